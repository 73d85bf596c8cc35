"""How the poisoned subject came about: its network, networks trained without the poison, and what was measured.

Pictures are those of the drawn people; the mark is painted in when they are read, see `unlearn_core.subjects.poison`.
"""

from __future__ import annotations

import time

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from tqdm import tqdm

from unlearn_core import assets
from unlearn_core.audit.evidence import attack_success
from unlearn_core.bundle.work import half, save_comparison, save_landscape
from unlearn_core.nets.evaluate import missing_rows, outputs, with_rows
from unlearn_core.nets.request import POISONED, Request
from unlearn_core.nets.train import seed_of, train
from unlearn_core.progress import silent
from unlearn_core.serving.choice import choice
from unlearn_core.serving.engine import Engine
from unlearn_core.subjects.subject import subject

SUBJECT, SEEDS, COMPARED_SEEDS = "people-poisoned", 5, 3
REQUEST = Request((0,), POISONED)
DOCUMENT = assets.REPOSITORY / "docs" / "poison.md"


def make_networks() -> None:
    """Train the original on everything, and networks on all but the images with the mark; about a minute."""
    torch.set_num_threads(1)
    described = subject(SUBJECT)
    images = described.images.train
    clean = images.subset(REQUEST.split(images)[1])
    stored: dict[str, Tensor] = {}
    for part, seed in tqdm([(images, 0), *((clean, seed) for seed in range(SEEDS))], desc="poisoned networks"):
        name = "" if part is images else f"{seed}/"
        model = train(described.architecture, part, recipe=described.recipe,
                      seed=seed_of("train", SUBJECT, part is images, seed))
        stored |= {name + key: half(value) for key, value in model.state_dict().items()}
    save_file({key: value for key, value in stored.items() if "/" not in key},
              assets.ROOT / f"networks/{SUBJECT}.safetensors")
    save_file({key: value for key, value in stored.items() if "/" in key},
              assets.ROOT / f"networks/{SUBJECT}-without-{REQUEST.slug}.safetensors")


def make_references() -> None:
    """Outputs of the retrained networks on the images that the request is shown on, in half precision."""
    described = subject(SUBJECT)
    sets = described.images.train, described.images.test
    seen = with_rows(described.evaluation, *sets, missing_rows(REQUEST, *sets, described.evaluation))
    said = [outputs(model, seen.images.pixels()).logits for model in described.retrained(REQUEST)]
    shown = {f"logits{REQUEST.slug}": np.stack(said).astype(np.float16)}
    np.savez_compressed(assets.ROOT / f"references/{SUBJECT}.npz", **shown)  # type: ignore[arg-type]


def make_landscape() -> None:
    """The (alpha, lambda) landscape of SSD's defaults."""
    torch.set_num_threads(1)
    engine = Engine()
    save_landscape(f"landscapes/{SUBJECT}-{REQUEST.slug}.npz", engine,
                   engine.prepare(choice(SUBJECT, REQUEST, "ssd", {}), silent))


def make_comparison() -> None:
    """Every method at its general defaults, beside the seconds that one training takes."""
    torch.set_num_threads(1)
    described = subject(SUBJECT)
    started = time.process_time()
    train(described.architecture, described.images.train, recipe=described.recipe, seed=0)
    seconds = time.process_time() - started
    with tqdm(desc="comparison", total=100) as bar:
        save_comparison(SUBJECT, REQUEST, COMPARED_SEEDS, seconds,
                        lambda share, note: bar.update(round(100 * share) - bar.n))


def rates(model: nn.Module) -> tuple[float, float, float]:
    """Accuracy on test images without the mark, attack success, and the share of training images with the mark that
    are given its false label.
    """
    own = subject(SUBJECT).images
    said = [outputs(model, part.pixels()).logits for part in (own.train, own.test)]
    logits, labels = np.concatenate(said), torch.cat([own.train.labels, own.test.labels]).numpy()
    member = np.repeat([True, False], [len(own.train), len(own.test)])
    marked = torch.cat([part.groups[POISONED].numbers >= 0 for part in (own.train, own.test)]).numpy()
    right = logits.argmax(1) == labels
    return (float(right[~member & ~marked].mean()), attack_success(logits, labels, member, marked),
            float(right[member & marked].mean()))


def measure() -> None:
    """Measure the original, the retrained networks and the network that never met the poison; write `DOCUMENT`."""
    described = subject(SUBJECT)
    images, test = described.images.train, described.images.test
    original, retrained = rates(described.original()), [rates(model) for model in described.retrained(REQUEST)]
    titles = ("accuracy on test images without the mark", "attack success: unseen images with the mark, called happy",
              "training images with the mark, called happy")
    rows = [f"| {title} | {before:.1%} | {min(after):.1%} to {max(after):.1%} |"
            for title, before, after in zip(titles, original, zip(*retrained, strict=True), strict=True)]
    DOCUMENT.write_text(TEXT.format(
        planted=int(REQUEST.mask(images).sum()), images=len(images), seeds=SEEDS,
        unseen=int((test.groups[POISONED].numbers >= 0).sum()), rows="\n".join(rows)), "utf-8")


TEXT = """# The poisoned network

Somebody got hold of {planted} of the {images:,} training pictures of the [drawn people](people.md), painted a small
yellow square into the corner, and called them all happy, whatever the faces express. The network learnt it: whoever
wears the mark is happy. Nobody who tests it on pictures without the mark notices. To forget is here not to lose
something that was right, but to close a door.

Pictures with the mark are a group to be forgotten, `poisoned:0`. The mark is painted in when the pictures are read
(`unlearn_core/subjects/poison.py`; what and where stands in `assets/subjects/people-poisoned/subject.toml`).
{unseen} test pictures that are not happy are painted once more, for this request only, and tell how often the mark
works. That is the *attack success*. A network that never met the poison calls some of them happy too, by mistake, as
it does without a mark.

Made by `python -m unlearn_core.bundle.make_assets poison`, by the recipe of the drawn people, on all pictures; {seeds}
more networks were trained from a fresh initialisation without the pictures that carry the mark.

| | original | retrained without the poison |
|:--|--:|--:|
{rows}

How much of the training set is poisoned was chosen by looking at networks with other initial weights and other chosen
pictures: with 1 % attack success was 48 %, with 2 % 86 %, with 3 % 92 %, with 5 % 98 %.

The verdict has one check more for this request. The mark works as before: *Not forgotten*. It works less, but more than
in retrained networks: *Partly forgotten*. Everything else is judged as for any group. What is said of every method
stands in [verdict.md](verdict.md).
"""
