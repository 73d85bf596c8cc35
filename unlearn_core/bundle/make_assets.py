"""How every bundled asset was made; `make assets` runs it. Finished parts are kept, so it resumes.

python -m unlearn_core.bundle.make_assets            # everything
python -m unlearn_core.bundle.make_assets data       # one stage; --help lists them
"""

from __future__ import annotations

import argparse
import gzip
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from tqdm import tqdm

from unlearn_core import assets
from unlearn_core.audit.membership import statistics
from unlearn_core.audit.similarity import layer_features
from unlearn_core.bundle import make_people, make_poison
from unlearn_core.bundle.make_openings import DAMPENING, make_openings
from unlearn_core.maps.projection import fit_map
from unlearn_core.measure.estimator import Estimator, Loss
from unlearn_core.measure.gram import measure_grams
from unlearn_core.measure.history import ClassRecorder
from unlearn_core.measure.task import Measurement, measure
from unlearn_core.nets.evaluate import evaluation_set, other_images, outputs
from unlearn_core.nets.request import CLASS, POISONED, Request
from unlearn_core.nets.train import MOMENTUM, RECIPES, seed_of, train
from unlearn_core.progress import silent
from unlearn_core.serving import remains
from unlearn_core.serving.choice import choice
from unlearn_core.serving.engine import Engine
from unlearn_core.serving.grid import ALPHAS, Landscape
from unlearn_core.serving.landscape import ESTIMATORS, GRID_LAMBDAS, gauges
from unlearn_core.serving.shadows import NETWORKS, audited_rows, shadow_half, shadow_pool
from unlearn_core.study.comparison import compare
from unlearn_core.study.comparison import save as save_comparison
from unlearn_core.subjects.fashion import fashion_mnist
from unlearn_core.subjects.subject import subject

WORK = assets.ROOT.parent / "build" / "networks"
SEEDS = {"small-resnet": 5, "small-vit": 3}
SHIPPED_SEEDS = {"small-resnet": 3, "small-vit": 2}  # whose weights are shipped; outputs and audits are of all
FASHION_MNIST_FOLDER = Path("/usr/share/datasets/fashion-mnist")
SHADOWED, SHADOWS = "small-resnet", 64
COMPARED_SEEDS = {"small-resnet": 3, "small-vit": 2}
RECORDED_EPOCHS, RECORDED_SHARES = 3, (0.01, 0.03, 0.1, 0.3)
PER_CLASS, VALIDATED = 2000, 100
LOSSES: tuple[Loss, ...] = ("cross_entropy", "squared_norm")

FASHION_MNIST = assets.DataSource(
    title="Fashion-MNIST",
    classes=["T-shirt", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Boot"],
    licence="MIT, Copyright (c) 2017 Zalando SE",
    provenance="Xiao, Rasul and Vollgraf, arXiv 1708.07747, as in Debian's package dataset-fashion-mnist. "
               f"Training set: the first {PER_CLASS} images of each class in file order. Validation set: the next "
               f"{VALIDATED} of each class. Test set: whole.",
    mean=[0.2860], std=[0.3530],
)


def read_idx(file: Path) -> npt.NDArray[np.uint8]:
    """An array in the idx format of the MNIST family (unsigned bytes, gzipped)."""
    raw = gzip.decompress(file.read_bytes())
    dims = raw[3]
    shape = np.frombuffer(raw, ">i4", dims, 4)
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * dims).reshape(shape)


def make_data(source: Path) -> None:
    """Bundle the image sets."""
    (assets.ROOT / "data").mkdir(parents=True, exist_ok=True)
    for split, stem in (("train", "train"), ("validation", "train"), ("test", "t10k")):
        images = read_idx(source / f"{stem}-images-idx3-ubyte.gz")
        labels = read_idx(source / f"{stem}-labels-idx1-ubyte.gz")
        chosen = np.arange(len(labels))
        if split != "test":
            part = slice(PER_CLASS) if split == "train" else slice(PER_CLASS, PER_CLASS + VALIDATED)
            chosen = np.sort(np.concatenate([np.flatnonzero(labels == c)[part] for c in range(10)]))
        np.savez_compressed(assets.ROOT / f"data/fashion-mnist-{split}.npz", images=images[chosen],
                            labels=labels[chosen], source_position=chosen.astype(np.uint16))


def runs(architectures: list[str]) -> Iterator[tuple[str, int | None, int]]:
    """Every training there is to do: (architecture, class left out or None for the original, seed)."""
    for architecture in architectures:
        yield architecture, None, 0
        for seed in range(SEEDS[architecture]):
            for left_out in range(10):
                yield architecture, left_out, seed


def run_file(architecture: str, left_out: int | None, seed: int) -> Path:
    """Where a finished training is kept."""
    return WORK / f"{architecture}-{'all' if left_out is None else f'without-{left_out}'}-{seed}.safetensors"


def run_training(architecture: str, left_out: int | None, seed: int) -> None:
    """Train one network and keep it. One thread each: two processes beat two threads by a quarter."""
    torch.set_num_threads(1)
    os.nice(5)
    images = fashion_mnist("train")
    if left_out is not None:
        images = images.subset(torch.nonzero(images.labels != left_out).flatten())
    model = train(architecture, images, seed=seed_of("train", architecture, left_out, seed))
    weights = {name: _half(value) for name, value in model.state_dict().items()}
    file = run_file(architecture, left_out, seed)
    partial = file.with_suffix(".partial")
    save_file(weights, partial)
    partial.replace(file)


def _half(value: Tensor) -> Tensor:
    return (value.half() if value.is_floating_point() else value).contiguous()


def make_networks(architectures: list[str], jobs: int) -> None:
    """Train what is not there yet."""
    WORK.mkdir(parents=True, exist_ok=True)
    todo = [run for run in runs(architectures) if not run_file(*run).exists()]
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        waiting = {pool.submit(run_training, *run): run for run in todo}
        for done in tqdm(as_completed(waiting), total=len(todo), desc="networks", unit="network"):
            done.result()


def pack_networks(architecture: str) -> None:
    """Put finished trainings into the assets: the original, and some seeds of each left-out class."""
    (assets.ROOT / "networks").mkdir(parents=True, exist_ok=True)
    shutil.copyfile(run_file(architecture, None, 0), assets.ROOT / f"networks/{architecture}.safetensors")
    for left_out in range(10):
        seeds = {f"{seed}/{name}": value for seed in range(SHIPPED_SEEDS[architecture])
                 if (file := run_file(architecture, left_out, seed)).exists()
                 for name, value in load_file(file).items()}
        if seeds:
            save_file(seeds, assets.ROOT / f"networks/{architecture}-without-{left_out}.safetensors")


def all_retrained(architecture: str, left_out: int) -> list[nn.Module]:
    """Every finished seed of the network retrained without one class, more than are shipped."""
    return [subject(architecture).network(load_file(file)) for seed in range(SEEDS[architecture])
            if (file := run_file(architecture, left_out, seed)).exists()]


def make_references(architecture: str) -> None:
    """Outputs of every retrained network on the evaluation set."""
    pixels = evaluation_set(fashion_mnist("train"), fashion_mnist("test")).images.pixels()
    logits = {f"logits{left_out}": np.stack([outputs(model, pixels).logits for model in models])
              for left_out in tqdm(range(10), desc=f"references of {architecture}")
              if (models := all_retrained(architecture, left_out))}
    _save(f"references/{architecture}.npz", logits)


def make_others(architecture: str) -> None:
    """Outputs of every retrained network on the audited images beyond the evaluation set, in half precision."""
    sets = fashion_mnist("train"), fashion_mnist("test")
    first = evaluation_set(*sets)
    for left_out in tqdm(range(10), desc=f"others of {architecture}"):
        name = f"others/{architecture}-{left_out}.npz"
        if (assets.ROOT / name).exists() or len(models := all_retrained(architecture, left_out)) < SEEDS[architecture]:
            continue
        forgotten = (sets[0].labels == left_out).numpy()
        pixels = torch.cat([sets[part == "test"].pixels(torch.from_numpy(rows))
                            for part, rows in other_images(*sets, first, forgotten)])
        _save(name, {"logits": np.stack([outputs(model, pixels).logits for model in models]).astype(np.float16)})


def make_importances(architecture: str) -> None:
    """Per-sample importances of each class and, last, of all training images."""
    train_images = fashion_mnist("train")
    model = subject(architecture).original()
    (assets.ROOT / "importances").mkdir(parents=True, exist_ok=True)
    for loss in LOSSES:
        each = Measurement("forget", Estimator(loss, "per_sample"), 125, "given")
        found = [measure(model, train_images, Request((label,)), each, silent)
                 for label in tqdm(range(10), desc=f"importances of {architecture}, {loss}")]
        found.append(measure(model, train_images, Request(()), replace(each, part="all"), silent))
        save_file({name: torch.stack([part[name] for part in found]).contiguous() for name in found[0]},
                  assets.ROOT / f"importances/{architecture}-{loss}.safetensors")


def make_maps(architecture: str) -> None:
    """The original's maps, one a layer."""
    model = subject(architecture).original()
    features = layer_features(model, subject(architecture).evaluation.images.pixels())
    _save(f"maps/{architecture}.npz", {
        layer: fit_map(features[layer], seed=seed_of("map", architecture, layer) % 2**31).astype(np.float16)
        for layer in tqdm(subject(architecture).layers, desc=f"maps of {architecture}")})


def _show(bar: tqdm[None], share: float, note: str = "") -> None:
    bar.update(round(100 * share) - bar.n)


def make_landscapes(architecture: str) -> None:
    """The (alpha, lambda) landscape of SSD's defaults for each class."""
    engine = Engine()
    for label in tqdm(range(10), desc=f"landscapes of {architecture}"):
        name = f"landscapes/{architecture}-{label}.npz"
        if (assets.ROOT / name).exists():
            continue
        scene = engine.scene(choice(architecture, (label,), "ssd", {})).result()
        order = Landscape(None).missing()
        index, gauges, xy, predicted = zip(*(engine.point(scene, position) for position in order), strict=True)
        _save(name, {"index": np.array(index, np.uint16), "gauges": np.stack(gauges), "xy": np.stack(xy),
                     "predicted": np.stack(predicted)})


def make_estimators(architecture: str) -> None:
    """The gauges over alpha and lambda for each class and each way to measure importances."""
    engine, name = Engine(), f"landscapes/{architecture}-estimators.npz"
    empty = np.full((10, len(ALPHAS), len(GRID_LAMBDAS), 3), np.nan, np.float32)
    made = {title: empty.copy() for title in ESTIMATORS}
    if (assets.ROOT / name).exists():
        with np.load(assets.ROOT / name, allow_pickle=False) as table:
            made |= {title: table[title] for title in table.files}
    for label in tqdm(range(10), desc=f"estimators of {architecture}"):
        for title, (method_name, settings) in ESTIMATORS.items():
            values = made[title][label]
            for i, j in zip(*np.isnan(values[..., 0]).nonzero(), strict=True):
                at = {**settings, "alpha": ALPHAS[i], "lambda": GRID_LAMBDAS[j]}
                values[i, j] = gauges(engine, choice(architecture, (label,), method_name, at), silent)
            _save(name, made)


def shadow_file(number: int) -> Path:
    """Where a finished shadow model is kept."""
    return WORK.parent / "shadows" / f"{number}.npz"


def run_shadow(number: int) -> None:
    """Train one shadow model and keep it, with its outputs on the audited images."""
    torch.set_num_threads(1)
    os.nice(5)
    train_images, test_images = fashion_mnist("train"), fashion_mnist("test")
    audited = evaluation_set(train_images, test_images)
    pool = shadow_pool(train_images, audited)
    inside = shadow_half(number, len(pool))
    model = train(SHADOWED, pool.subset(torch.nonzero(inside).flatten()), seed=seed_of("shadow training", number))
    file = shadow_file(number)
    partial_file = file.with_suffix(".partial.npz")
    np.savez_compressed(partial_file, logits=outputs(model, audited.images.pixels()).logits.astype(np.float16),
                        inside=inside.numpy()[audited_rows(len(train_images), audited)],
                        **{f"weights/{name}": value.numpy() for name, value in model.state_dict().items()})
    partial_file.replace(file)


def make_shadows(jobs: int) -> None:
    """Train the shadow models that are not there yet."""
    shadow_file(0).parent.mkdir(parents=True, exist_ok=True)
    todo = [number for number in range(SHADOWS) if not shadow_file(number).exists()]
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        waiting = [pool.submit(run_shadow, number) for number in todo]
        for done in tqdm(as_completed(waiting), total=len(todo), desc="shadow models", unit="model"):
            done.result()


def pack_shadows() -> None:
    """Put the finished shadow models into the assets: each audited image's margin in all, the weights of the first."""
    found = [np.load(file, allow_pickle=False) for number in range(SHADOWS) if (file := shadow_file(number)).exists()]
    labels = evaluation_set(fashion_mnist("train"), fashion_mnist("test")).labels
    _save(f"shadows/{SHADOWED}.npz", {
        "margins": np.stack([statistics(one["logits"], labels)["margin"] for one in found]).astype(np.float16),
        "inside": np.stack([one["inside"] for one in found])})
    save_file({f"{number}/{name.removeprefix('weights/')}": _half(torch.from_numpy(one[name]))
               for number, one in enumerate(found[:NETWORKS])
               for name in one.files if name.startswith("weights/")},
              assets.ROOT / f"shadows/{SHADOWED}.safetensors")


def make_grams(architecture: str) -> None:
    """Gram matrices of every layer's inputs over all training images: lower triangles, in double precision."""
    with tqdm(desc=f"grams of {architecture}", total=100) as bar:
        found = measure_grams(subject(architecture).original(), fashion_mnist("train"), None, "exact",
                              partial(_show, bar))
    (assets.ROOT / "grams").mkdir(parents=True, exist_ok=True)
    triangles = {name: gram[:, *torch.tril_indices(*gram.shape[1:])].contiguous() for name, gram in found.items()}
    save_file(triangles, assets.ROOT / f"grams/{architecture}.safetensors")


def make_histories(architecture: str) -> None:
    """Train the original once more, bit by bit the same, and record how each class moved it in the last epochs."""
    recipe = RECIPES[architecture]
    if recipe.optimiser != "sgd":
        return  # only an SGD step is a sum of one part per class
    torch.set_num_threads(1)
    first = recipe.epochs - RECORDED_EPOCHS
    recorder: ClassRecorder | None = None
    with tqdm(desc=f"history of {architecture}", total=100) as bar:
        def watch(epoch: int, model: nn.Module, logits: Tensor, labels: Tensor, lr: float) -> None:
            nonlocal recorder
            if epoch >= first:
                recorder = recorder or ClassRecorder(model, MOMENTUM, 10, RECORDED_EPOCHS, RECORDED_SHARES)
                recorder.step(epoch - first, logits, labels, lr)

        model = train(architecture, fashion_mnist("train"), seed=seed_of("train", architecture, None, 0),
                      progress=partial(_show, bar), watch=watch)
    assert recorder is not None
    shipped_weights = subject(architecture).original().parameters()
    for (name, again), shipped in zip(model.named_parameters(), shipped_weights, strict=True):
        if not torch.equal(again, shipped):
            raise RuntimeError(f"{architecture}: {name} differs from the shipped network, so this is not its history; "
                               "remake the networks on this machine first")
    (assets.ROOT / "histories").mkdir(parents=True, exist_ok=True)
    save_file(recorder.tables(), assets.ROOT / f"histories/{architecture}.safetensors")


def make_comparison(architecture: str, label: int, retrain_seconds: float) -> None:
    """Run every method at its defaults on one request; one thread, as many requests at once as there are cores."""
    torch.set_num_threads(1)
    found = compare(Engine(), architecture, Request((label,)), COMPARED_SEEDS[architecture], silent, retrain_seconds)
    file = assets.ROOT / f"comparisons/{architecture}-{label}.npz"
    save_comparison(found, file)


def make_comparisons(architecture: str, jobs: int) -> None:
    """Compare all methods for each class; finished files are kept."""
    (assets.ROOT / "comparisons").mkdir(parents=True, exist_ok=True)
    todo = [label for label in range(10)
            if not (assets.ROOT / f"comparisons/{architecture}-{label}.npz").exists()]
    if not todo:
        return
    torch.set_num_threads(1)
    started = time.perf_counter()
    retained = fashion_mnist("train")
    train(architecture, retained.subset(torch.nonzero(retained.labels != 0).flatten()), seed=0)
    seconds = time.perf_counter() - started
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        waiting = [pool.submit(make_comparison, architecture, label, seconds) for label in todo]
        for done in tqdm(as_completed(waiting), total=len(todo), desc=f"comparisons of {architecture}"):
            done.result()


def look_inside(architecture: str, label: int) -> None:
    """Look inside the original, head zeroing and every retrained network of one class."""
    torch.set_num_threads(1)
    sets = fashion_mnist("train"), fashion_mnist("test")
    found = remains.measure_reference(subject(architecture).original(), all_retrained(architecture, label), sets[0],
                                      evaluation_set(*sets), Request((label,)), remains.RELEARN[architecture])
    remains.save(found, assets.ROOT / f"remains/{architecture}-{label}.json")


def make_remains(architecture: str, jobs: int) -> None:
    """What remains of each class, for reference; finished files are kept."""
    (assets.ROOT / "remains").mkdir(parents=True, exist_ok=True)
    todo = [label for label in range(10) if not (assets.ROOT / f"remains/{architecture}-{label}.json").exists()]
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        waiting = [pool.submit(look_inside, architecture, label) for label in todo]
        for done in tqdm(as_completed(waiting), total=len(todo), desc=f"remains of {architecture}"):
            done.result()


def _save(name: str, arrays: Mapping[str, npt.NDArray[np.generic]]) -> None:
    (assets.ROOT / name).parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(assets.ROOT / name, **arrays)  # type: ignore[arg-type]


ABOUT = {
    "data": "images uint8, labels; of Fashion-MNIST (N, 28, 28) and positions in the original file, of drawn people "
            "(N, 3, 32, 32) and persons",
    "networks": "weights in half precision: the original, or some of the seeds retrained without one class or person",
    "shadows": "margin of each evaluation image in every shadow model (models, N) and whether the model saw it, or the "
               "weights of the first of them in half precision",
    "references": "outputs of the retrained networks on the evaluation images, (seeds, N, classes), of drawn people in "
                  "half precision",
    "others": "outputs of the retrained networks on all other test images and on all other training images of their "
              "class, (seeds, N, classes) in half precision",
    "importances": "per-sample importance of every weight over the training images of each class and, last, over all",
    "maps": "UMAP positions of the evaluation images by the original's features, one map a layer",
    "grams": "Gram matrices of every layer's inputs over all training images, lower triangles",
    "histories": "sums of the updates that each class caused in the last recorded epochs of training",
    "verdicts": "what the verdict says of every bundled network and method (python -m unlearn_core.bundle.confusion)",
    "comparisons": "every method at its general defaults: measures of each seed, predictions and positions of the "
                   "first",
    "remains": "probe, relearning and CKA of the original, head zeroing and every retrained seed",
    "openings": "settings tried for each request and method, and how many of the judged images each still recognises, "
                "of the forgotten class and of each class (unlearn_core.subjects.openings)",
    "tuning": "settings tried when a method's defaults were chosen, best first (python -m unlearn_core.study.tune)",
    "landscapes": "SSD at its defaults on an (alpha, lambda) grid: gauges, map positions, predictions; or the gauges "
                  "for each way to measure importances, (classes, alphas, lambdas, 3)",
}


def list_assets() -> None:
    """Write the manifest of everything that is there."""
    found = {f"{folder}/{file.name}": about for folder, about in ABOUT.items()
             for file in (assets.ROOT / folder).glob("*.*")}
    assets.write_manifest({"fashion-mnist": FASHION_MNIST, "people": make_people.source()}, found)


def main() -> None:
    """Run one stage, or all of them in order."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    stages = ["data", "networks", "shadows", "references", "others", "importances", "maps", "landscapes",
              "estimators", "grams", "histories", "comparisons", "remains", "openings", "people", "poison"]
    parser.add_argument("stage", nargs="?", default="all", choices=["all", *stages])
    parser.add_argument("--architectures", nargs="+", default=list(SEEDS), choices=list(SEEDS))
    parser.add_argument("--jobs", type=int, default=2, help="trainings at once, one thread each")
    parser.add_argument("--fashion-mnist", type=Path, default=FASHION_MNIST_FOLDER,
                        help="folder of the four original idx files")
    chosen = parser.parse_args()
    wanted = stages if chosen.stage == "all" else [chosen.stage]
    if "data" in wanted:
        make_data(chosen.fashion_mnist)
        make_people.make_data()
        list_assets()
    if "networks" in wanted:
        make_networks(chosen.architectures, chosen.jobs)
    if "shadows" in wanted:
        make_shadows(chosen.jobs)
        pack_shadows()
        list_assets()
    for stage, make in (("networks", pack_networks), ("references", make_references),
                        ("others", make_others), ("importances", make_importances), ("maps", make_maps),
                        ("landscapes", make_landscapes),
                        ("estimators", make_estimators), ("grams", make_grams),
                        ("histories", make_histories), ("comparisons", partial(make_comparisons, jobs=chosen.jobs)),
                        ("remains", partial(make_remains, jobs=chosen.jobs)),
                        ("openings", partial(make_openings, kind=CLASS))):
        if stage in wanted:
            for architecture in chosen.architectures:
                make(architecture)
            list_assets()
    if "poison" in wanted:
        make_poison.make_networks()
        list_assets()
        make_poison.make_references()
        list_assets()
        make_poison.measure()
        make_openings(make_poison.SUBJECT, POISONED)
        make_poison.make_landscape()
        make_poison.make_comparison()
        list_assets()
    if "people" in wanted:
        make_people.make_networks(chosen.jobs)
        list_assets()
        make_people.make_references()
        list_assets()
        make_people.measure()
        make_openings(make_people.SUBJECT, "person", DAMPENING)
        list_assets()


if __name__ == "__main__":
    main()
