"""How Fashion-MNIST became a data set of the app, and the networks on it, each trained with and without a class."""

from __future__ import annotations

import gzip
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from unlearn_core import assets
from unlearn_core.bundle.work import half, in_processes
from unlearn_core.files import replacing
from unlearn_core.nets.train import seed_of, train
from unlearn_core.subjects.fashion import fashion_mnist
from unlearn_core.subjects.subject import subject

WORK = assets.ROOT.parent / "build" / "networks"
SEEDS = {"small-resnet": 5, "small-vit": 3}
SHIPPED_SEEDS = {"small-resnet": 3, "small-vit": 2}  # whose weights are shipped; outputs and audits are of all
FASHION_MNIST_FOLDER = Path("/usr/share/datasets/fashion-mnist")
PER_CLASS, VALIDATED = 2000, 100

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
    """Train one network and keep it."""
    images = fashion_mnist("train")
    if left_out is not None:
        images = images.subset(torch.nonzero(images.labels != left_out).flatten())
    model = train(architecture, images, seed=seed_of("train", architecture, left_out, seed))
    with replacing(run_file(architecture, left_out, seed)) as file:
        save_file({name: half(value) for name, value in model.state_dict().items()}, file)


def make_networks(architectures: list[str], jobs: int) -> None:
    """Train what is not there yet."""
    WORK.mkdir(parents=True, exist_ok=True)
    todo = [run for run in runs(architectures) if not run_file(*run).exists()]
    in_processes(run_training, todo, jobs, "networks")


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
