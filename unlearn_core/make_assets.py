"""How every bundled asset was made; `make assets` runs it. Finished parts are kept, so it resumes.

python -m unlearn_core.make_assets            # everything
python -m unlearn_core.make_assets data       # one stage: data, networks, references, maps, landscapes
"""

from __future__ import annotations

import argparse
import gzip
import os
import shutil
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from tqdm import tqdm

from unlearn_core import assets, data, zoo
from unlearn_core.engine import Engine, Landscape, choice
from unlearn_core.evaluate import evaluation_set, outputs
from unlearn_core.importance import Estimator, Loss
from unlearn_core.projection import fit_map
from unlearn_core.scenario import Scenario
from unlearn_core.task import Measurement, measure
from unlearn_core.train import seed_of, train

WORK = assets.ROOT.parent / "build" / "networks"
SEEDS = {"small-resnet": 5, "small-vit": 3}
PER_CLASS = 2000
LOSSES: tuple[Loss, ...] = ("cross_entropy", "squared_norm")

FASHION_MNIST = assets.DataSource(
    title="Fashion-MNIST",
    classes=["T-shirt", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Boot"],
    licence="MIT, Copyright (c) 2017 Zalando SE",
    provenance="Xiao, Rasul and Vollgraf, arXiv 1708.07747, as in Debian's package dataset-fashion-mnist. "
               f"Training set: the first {PER_CLASS} images of each class in file order. Test set: whole.",
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
    for split, stem in (("train", "train"), ("test", "t10k")):
        images = read_idx(source / f"{stem}-images-idx3-ubyte.gz")
        labels = read_idx(source / f"{stem}-labels-idx1-ubyte.gz")
        chosen = np.arange(len(labels))
        if split == "train":
            chosen = np.sort(np.concatenate([np.flatnonzero(labels == c)[:PER_CLASS] for c in range(10)]))
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
    images = data.fashion_mnist("train")
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
    """Put the finished trainings into the assets: the original, and all seeds of each left-out class."""
    (assets.ROOT / "networks").mkdir(parents=True, exist_ok=True)
    shutil.copyfile(run_file(architecture, None, 0), assets.ROOT / f"networks/{architecture}.safetensors")
    for left_out in range(10):
        seeds = {f"{seed}/{name}": value for seed in range(SEEDS[architecture])
                 if (file := run_file(architecture, left_out, seed)).exists()
                 for name, value in load_file(file).items()}
        if seeds:
            save_file(seeds, assets.ROOT / f"networks/{architecture}-without-{left_out}.safetensors")


def make_references(architecture: str) -> None:
    """Outputs of every retrained network on the evaluation set."""
    pixels = evaluation_set(*zoo.image_sets()).images.pixels()
    logits = {f"logits{left_out}": np.stack([outputs(model, pixels).logits
                                             for model in zoo.retrained(architecture, left_out)])
              for left_out in tqdm(range(10), desc=f"references of {architecture}")
              if f"networks/{architecture}-without-{left_out}.safetensors" in assets.manifest().files}
    _save(f"references/{architecture}.npz", logits)


def make_maps(architecture: str) -> None:
    """Reference importances and the feature map of the original."""
    train_images, test_images = zoo.image_sets()
    model = zoo.original(architecture)
    everything = Scenario(())
    (assets.ROOT / "importances").mkdir(parents=True, exist_ok=True)
    for loss in LOSSES:
        with tqdm(desc=f"importance of {architecture}, {loss}", total=100) as bar:
            wanted = Measurement("all", Estimator(loss, "per_sample"), 125, "given")
            found = measure(model, train_images, everything, wanted, partial(_show, bar))
        save_file({name: value.contiguous() for name, value in found.items()},
                  assets.ROOT / f"importances/{architecture}-{loss}.safetensors")
    features = outputs(model, evaluation_set(train_images, test_images).images.pixels()).features
    fitted = fit_map(features, seed=seed_of("map", architecture) % 2**31)
    _save(f"maps/{architecture}.npz", {"features": fitted.features, "positions": fitted.positions})


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
        order = Landscape(scene, None).missing()
        index, gauges, xy, predicted = zip(*(engine.point(scene, position) for position in order), strict=True)
        _save(name, {"index": np.array(index, np.uint16), "gauges": np.stack(gauges), "xy": np.stack(xy),
                     "predicted": np.stack(predicted)})


def _save(name: str, arrays: Mapping[str, npt.NDArray[np.generic]]) -> None:
    (assets.ROOT / name).parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(assets.ROOT / name, **arrays)  # type: ignore[arg-type]


ABOUT = {
    "data": "Fashion-MNIST images (N, 28, 28) uint8, labels, positions in the original file",
    "networks": "weights in half precision: the original, or every retrained seed without one class",
    "references": "outputs of the retrained networks on the evaluation images, (seeds, N, classes)",
    "importances": "per-sample importance of every weight over all training images",
    "maps": "the original's features of the evaluation images and their UMAP positions",
    "landscapes": "SSD at its defaults on an (alpha, lambda) grid: gauges, map positions, predictions",
}


def list_assets() -> None:
    """Write the manifest of everything that is there."""
    found = {f"{folder}/{file.name}": about for folder, about in ABOUT.items()
             for file in (assets.ROOT / folder).glob("*.*")}
    assets.write_manifest({"fashion-mnist": FASHION_MNIST}, found)


def main() -> None:
    """Run one stage, or all of them in order."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    stages = ["data", "networks", "references", "maps", "landscapes"]
    parser.add_argument("stage", nargs="?", default="all", choices=["all", *stages])
    parser.add_argument("--architectures", nargs="+", default=list(SEEDS), choices=list(SEEDS))
    parser.add_argument("--jobs", type=int, default=2, help="trainings at once, one thread each")
    parser.add_argument("--fashion-mnist", type=Path, default=Path("/usr/share/datasets/fashion-mnist"),
                        help="folder of the four original idx files")
    chosen = parser.parse_args()
    wanted = stages if chosen.stage == "all" else [chosen.stage]
    if "data" in wanted:
        make_data(chosen.fashion_mnist)
        list_assets()
    if "networks" in wanted:
        make_networks(chosen.architectures, chosen.jobs)
    for stage, make in (("networks", pack_networks), ("references", make_references), ("maps", make_maps),
                        ("landscapes", make_landscapes)):
        if stage in wanted:
            for architecture in chosen.architectures:
                make(architecture)
            list_assets()


if __name__ == "__main__":
    main()
