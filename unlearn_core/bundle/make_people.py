"""How the drawn people became a subject: pictures, network, retrained networks, and what was measured of them.

Each training is kept in its own file, so that the work resumes. A reference without a person is trained on the pictures
of all others, by the same recipe; so is one without a class, and one without ten images.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from unlearn_core import assets
from unlearn_core.audit.membership import statistics
from unlearn_core.audit.roc import roc
from unlearn_core.bundle.people import VIEWS, contact_sheet, people
from unlearn_core.bundle.persons import EXPRESSIONS, NAMES
from unlearn_core.bundle.portraits import SIZE
from unlearn_core.bundle.work import half, in_processes, save_comparison, save_landscape, uncompared
from unlearn_core.files import replacing
from unlearn_core.nets.evaluate import missing_rows, outputs, with_rows
from unlearn_core.nets.images import ImageSet
from unlearn_core.nets.request import IMAGE, Request
from unlearn_core.nets.train import seed_of, train
from unlearn_core.progress import silent
from unlearn_core.serving.choice import choice
from unlearn_core.serving.engine import Engine
from unlearn_core.subjects.data import bundled_images
from unlearn_core.subjects.subject import subject

SUBJECT, SEEDS, SEEDS_OF_TEN, COMPARED_SEEDS = "people-resnet", 3, 8, 3
WORK = assets.ROOT.parent / "build" / "people"
TEN = Request((89, 109, 142, 153, 212, 229, 363, 459, 541, 576), IMAGE)
"""The ten images that the app picks at random: so few that three networks would not tell the original from them."""
PERSONS = [Request((number,), "person") for number in range(len(NAMES))]
LEFT_OUT = [None, *PERSONS, *(Request((label,)) for label in range(len(EXPRESSIONS))), TEN]
"""Nothing for the original."""


def source() -> assets.DataSource:
    """What the manifest says of the drawn people."""
    with np.load(assets.ROOT / "data/people-train.npz", allow_pickle=False) as table:
        scaled = table["images"].astype(np.float64).transpose(1, 0, 2, 3).reshape(3, -1) / 255
    return assets.DataSource(
        title="Drawn people", classes=list(EXPRESSIONS), licence="MIT, as this project",
        provenance=f"Drawn by unlearn_core/bundle/people.py; nobody's face. {len(NAMES)} people, {SIZE} x {SIZE} "
                   f"pixels, of each person with each expression {VIEWS['train']} training, {VIEWS['test']} test and "
                   f"{VIEWS['validation']} validation images.",
        mean=[round(float(v), 4) for v in scaled.mean(1)], std=[round(float(v), 4) for v in scaled.std(1)],
        groups={"person": list(NAMES)})


def make_data() -> None:
    """Draw the pictures, and a sheet of everybody."""
    for split in VIEWS:
        drawn = people(split)
        np.savez_compressed(assets.ROOT / f"data/people-{split}.npz", images=drawn.images, labels=drawn.labels,
                            person=drawn.person)
    contact_sheet().save(assets.ROOT / "people.png", optimize=True)


def training_images(left_out: Request | None) -> ImageSet:
    """The training images without what is left out, or all."""
    images = bundled_images("people", "train")
    return images if left_out is None else images.subset(left_out.split(images)[1])


def seeds(left_out: Request | None) -> range:
    """Those that are trained without it."""
    return range(1 if left_out is None else SEEDS_OF_TEN if left_out == TEN else SEEDS)


def run_file(left_out: Request | None, seed: int) -> Path:
    """Where a finished training is kept."""
    return WORK / f"{'all' if left_out is None else f'without-{left_out.slug}'}-{seed}.safetensors"


def run_training(left_out: Request | None, seed: int) -> None:
    """Train one network and keep it, with the seconds of processor time that it took."""
    started = time.process_time()
    described = subject(SUBJECT)
    model = train(described.architecture, training_images(left_out), recipe=described.recipe,
                  seed=seed_of("train", SUBJECT, None if left_out is None else left_out.slug, seed))
    with replacing(run_file(left_out, seed)) as file:
        save_file({name: half(value) for name, value in model.state_dict().items()}, file,
                  {"seconds": f"{time.process_time() - started:.2f}"})


def make_networks(jobs: int) -> None:
    """Train what is not there yet and put it into the assets."""
    WORK.mkdir(parents=True, exist_ok=True)
    todo = [(left_out, seed) for left_out in LEFT_OUT for seed in seeds(left_out)
            if not run_file(left_out, seed).exists()]
    in_processes(run_training, todo, jobs, "networks of people")
    pack()


def pack() -> None:
    """Put finished trainings into the assets."""
    for left_out in LEFT_OUT:
        found = {seed: load_file(file) for seed in seeds(left_out) if (file := run_file(left_out, seed)).exists()}
        if len(found) < len(seeds(left_out)):
            continue
        if left_out is None:
            save_file(found[0], assets.ROOT / f"networks/{SUBJECT}.safetensors")
        else:
            save_file({f"{seed}/{name}": value for seed, state in found.items() for name, value in state.items()},
                      assets.ROOT / f"networks/{SUBJECT}-without-{left_out.slug}.safetensors")


def make_references() -> None:
    """Outputs of the retrained networks on the images that a request is shown on, in half precision."""
    described = subject(SUBJECT)
    sets, shown = (described.images.train, described.images.test), {}
    for asked in (each for each in LEFT_OUT if each is not None):
        seen = with_rows(described.evaluation, *sets, missing_rows(asked, *sets, described.evaluation))
        if models := described.retrained(asked):
            said = [outputs(model, seen.images.pixels()).logits for model in models]
            shown[f"logits{asked.slug}"] = np.stack(said).astype(np.float16)
    np.savez_compressed(assets.ROOT / f"references/{SUBJECT}.npz", **shown)  # type: ignore[arg-type]


def make_landscape(asked: Request) -> None:
    """The (alpha, lambda) landscape of SSD's defaults; a finished file is kept."""
    name = f"landscapes/{SUBJECT}-{asked.slug}.npz"
    if (assets.ROOT / name).exists():
        return
    engine = Engine()
    save_landscape(name, engine, engine.prepare(choice(SUBJECT, asked, "ssd", {}), silent))


def make_landscapes(jobs: int) -> None:
    """The landscape of each person."""
    in_processes(make_landscape, [(asked,) for asked in PERSONS], jobs, "landscapes of people")


def make_comparisons(jobs: int) -> None:
    """Compare all methods on the ten images and on each person; what is there is kept, and completed."""
    seconds = median(_seconds(file) for file in sorted(WORK.glob("*.safetensors")))
    todo = [(SUBJECT, asked, COMPARED_SEEDS, seconds) for asked in uncompared(SUBJECT, (TEN, *PERSONS))]
    in_processes(save_comparison, todo, jobs, "comparisons of people")


# -- what was measured ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Measured:
    """How well a network does, and how well an attack tells the images that it was shown from others.

    Attributes:
        trained: accuracy on training images.
        tested: accuracy on test images.
        auc: of a threshold on the margin of the true class, members against test images.
        entropy_auc: of a threshold on the entropy of the outputs.
    """

    trained: float
    tested: float
    auc: float
    entropy_auc: float


def measured(model: nn.Module, train_images: ImageSet, test_images: ImageSet) -> Measured:
    """What a network makes of the images that are, or would have been, its members, and of those that never were."""
    right, found = [], []
    for images in (train_images, test_images):
        said = outputs(model, images.pixels())
        right.append(float((said.predicted == images.labels.numpy()).mean()))
        found.append(statistics(said.logits, images.labels.numpy()))
    members, others = found
    return Measured(right[0], right[1], roc(members["margin"], others["margin"]).auc,
                    roc(members["entropy"], others["entropy"]).auc)


def only(images: ImageSet, person: int) -> ImageSet:
    """One person's images."""
    return images.subset(torch.nonzero(images.groups["person"].numbers == person).flatten())


def measure() -> None:
    """Measure the original and every network retrained without a person; write `DOCUMENT`."""
    described = subject(SUBJECT)
    train_images, test_images = described.images.train, described.images.test
    overall = measured(described.original(), train_images, test_images)
    rows, before, after = [], [], []
    for person, name in enumerate(NAMES):
        own = only(train_images, person), only(test_images, person)
        one = measured(described.original(), *own)
        others = [measured(model, *own) for model in described.retrained(PERSONS[person])]
        before.append(one)
        after.extend(others)
        rows.append(f"| {name} | {one.trained:.0%} | {one.tested:.0%} | {_said(one.auc)} | "
                    f"{mean(other.trained for other in others):.0%} | {mean(other.tested for other in others):.0%} | "
                    f"{_said(mean(other.auc for other in others))} |")
    without = [measured(model, *(images.subset(torch.nonzero(images.labels == label).flatten())
                                 for images in (train_images, test_images)))
               for label in range(len(EXPRESSIONS)) for model in described.retrained(Request((label,)))]
    seconds = median(_seconds(file) for file in sorted(WORK.glob("*.safetensors")))
    separate = sum(one.auc > max(other.auc for other in after[i * SEEDS:(i + 1) * SEEDS])
                   for i, one in enumerate(before))
    facts = {
        "accuracy of the original on training images": f"{overall.trained:.1%}",
        "accuracy of the original on test images": f"{overall.tested:.1%}",
        "AUC of the attack on the original, all images: by margin": _said(overall.auc),
        "by entropy, which needs no label": _said(overall.entropy_auc),
        "one person's images, median (range) over people: by margin": _range([one.auc for one in before]),
        "by entropy ": _range([one.entropy_auc for one in before]),
        "the same on networks retrained without the person, over people and seeds: by margin":
            _range([one.auc for one in after]),
        "by entropy  ": _range([one.entropy_auc for one in after]),
        "mean by margin": f"{mean(one.auc for one in after):.3f}",
        f"people whose AUC on the original is above that on all {SEEDS} retrained networks":
            f"{separate} of {len(NAMES)}",
        "a class's images, on networks retrained without the class: by margin": _range([one.auc for one in without])}
    DOCUMENT.write_text(TEXT.format(
        people=len(NAMES), expressions=len(EXPRESSIONS), size=SIZE, **{f"of_{split}": n for split, n in VIEWS.items()},
        all_of_train=len(train_images), all_of_test=len(test_images), seconds=f"{seconds:.0f}", seeds=SEEDS,
        seeds_of_ten=SEEDS_OF_TEN,
        facts="\n".join(f"| {what.strip()} | {value} |" for what, value in facts.items()),
        rows="\n".join(rows)), "utf-8")


def _said(auc: float) -> str:
    return f"{auc:.2f}".removeprefix("0")


def _range(values: Sequence[float]) -> str:
    return f"{_said(median(values))} ({_said(min(values))} to {_said(max(values))})" if values else "not measured"


def _seconds(file: Path) -> float:
    with safe_open(file, "pt") as stored:
        return float(stored.metadata()["seconds"])


DOCUMENT = assets.REPOSITORY / "docs" / "people.md"
TEXT = """# The drawn people

![Everybody plainly and with six expressions](../assets/people.png)

{people} people who do not exist, drawn by `unlearn_core/bundle/people.py` from one seed; nobody's face. The network
is asked what a face expresses, one of {expressions} expressions, and never who it is: to forget a person cuts across
all classes. Every third person looks much like one of the two before.

Pictures are {size} x {size} pixels in colour. Of each person with each expression there are {of_train} training,
{of_test} test and {of_validation} validation images: {all_of_train:,} to train on, {all_of_test:,} to test with. Tilt,
turn, light and background vary; hands, scarves, cups and dark glasses are in the way; an expression may be blended
with another, and people's faces at rest already look more or less glad. So few and so varied pictures, shown as they
are, without flips or shifts, are learnt by heart in part.

Made by `python -m unlearn_core.bundle.make_assets people`; one training takes {seconds} s of one core of a busy
machine. For each person and each class, {seeds} networks were retrained from a fresh initialisation by the same
recipe, without the training images of that person or class; {seeds_of_ten} without ten images at random, because with
{seeds} no check could tell the original from them. Their weights are shipped in half precision.

The attack is a threshold; AUC says how well it tells training images from test images, .5 for guessing.
How hard the pictures are and how long the network trains was chosen by looking at accuracy and AUC on these same test
images, with other initial weights; the retrained networks of three people were looked at, too. At the first try, with
stronger blends and more in the way, test accuracy was 37 to 42 % and the AUC .96.

| | |
|:--|--:|
{facts}

A person has {of_train} x {expressions} members and {of_test} x {expressions} unseen images: the AUC of one network on
one person has a standard error of about .05, and about so much the retrained networks spread around .5. Those without
one person lean to the same side (Charlie's members happen to be the easier images), so that the fair measure of a
person is the distance from the retrained networks and not from .5.

Each person alone; AUC by margin, and of retrained networks (without the person) the mean:

| | original: training images | test images | AUC | retrained: same images | test images | AUC |
|:--|--:|--:|--:|--:|--:|--:|
{rows}
"""
