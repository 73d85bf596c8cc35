"""Tests of unlearn_core.nets.images: the bundled set, torchvision's sets from local files, choices of images."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.io import savemat
from torch import Tensor

from unlearn_core.nets.images import ImageSet, Split, stratified, torchvision_set
from unlearn_core.subjects.fashion import fashion_mnist

# --- Fashion-MNIST --------------------------------------------------------------------------------


@pytest.mark.parametrize(("split", "per_class"), [("train", 2000), ("test", 1000)])
def test_fashion_mnist_is_bundled(split: Split, per_class: int) -> None:
    images = fashion_mnist(split)
    assert len(images) == 10 * per_class and images.images.shape == (10 * per_class, 1, 28, 28)
    assert images.labels.bincount().tolist() == [per_class] * 10
    assert images.classes[0] == "T-shirt" and images.classes[9] == "Boot" and len(set(images.classes)) == 10
    pixels = images.pixels(torch.arange(0, len(images), 5))
    assert abs(pixels.mean().item()) < 0.02 and abs(pixels.std().item() - 1) < 0.02


def test_fashion_mnist_labels_belong_to_their_images() -> None:
    """The nearest class mean of the training set names two thirds of the test images; by chance, a tenth."""
    train, test = fashion_mnist("train"), fashion_mnist("test")
    few = torch.arange(0, len(train), 10)
    x, y = train.pixels(few).flatten(1), train.labels[few]
    means = torch.stack([x[y == label].mean(0) for label in range(10)])
    some = torch.arange(1000)
    nearest = torch.cdist(test.pixels(some).flatten(1), means).argmin(1)
    assert (nearest == test.labels[some]).float().mean() > 0.6


# --- ImageSet -------------------------------------------------------------------------------------


def colours() -> ImageSet:
    images = torch.arange(4 * 3 * 2 * 2, dtype=torch.uint8).reshape(4, 3, 2, 2)
    return ImageSet(
        "colours", images, torch.tensor([0, 1, 0, 1]), ("a", "b"), (0.1, 0.2, 0.3), (0.5, 0.25, 1.0)
    )


def test_pixels_are_standardised_by_channel() -> None:
    images = colours()
    before = images.images.clone()
    pixels = images.pixels()
    for channel, (mean, std) in enumerate(zip(images.mean, images.std, strict=True)):
        expected = (images.images[:, channel].double() / 255 - mean) / std
        torch.testing.assert_close(pixels[:, channel].double(), expected, rtol=1e-5, atol=1e-6)
    assert pixels.dtype == torch.float32 and pixels.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(images.images, before)
    assert torch.equal(images.pixels(torch.tensor([2, 0])), pixels[[2, 0]])
    assert torch.equal(images.pixels(slice(1, 3)), pixels[1:3])


def test_subset_keeps_everything_else() -> None:
    images = colours()
    some = images.subset(torch.tensor([3, 0]))
    assert some.labels.tolist() == [1, 0] and torch.equal(some.images, images.images[[3, 0]])
    assert (some.name, some.classes, some.mean, some.std) == (
        images.name,
        images.classes,
        images.mean,
        images.std,
    )
    assert len(some) == 2 and len(images) == 4


@pytest.mark.parametrize(
    ("images", "labels", "sentence"),
    [
        (
            torch.zeros(2, 1, 4, 4),
            torch.zeros(2).long(),
            r"images: uint8 of shape \(N, C, H, W\) expected, got torch.float32",
        ),
        (torch.zeros(2, 4, 4).byte(), torch.zeros(2).long(), r"images: .* of shape \(2, 4, 4\)"),
        (torch.zeros(2, 1, 4, 4).byte(), torch.zeros(3).long(), "labels: 2 expected, one per image, got 3"),
        (torch.zeros(2, 1, 4, 4).byte(), torch.tensor([0, 2]), r"labels: values in 0\.\.1 expected"),
        (torch.zeros(2, 1, 4, 4).byte(), torch.tensor([-1, 0]), r"labels: values in 0\.\.1 expected"),
    ],
)
def test_image_sets_that_make_no_sense_are_refused(images: Tensor, labels: Tensor, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        ImageSet("bad", images, labels, ("a", "b"), (0.5,), (0.5,))


def test_stratified_takes_the_first_of_each_class() -> None:
    labels = torch.tensor([2, 0, 2, 0, 2, 0, 5, 5])
    assert stratified(labels, 2).tolist() == [0, 1, 2, 3, 6, 7]
    assert stratified(labels, 1).tolist() == [0, 1, 6]
    with pytest.raises(ValueError, match=r"^per_class: at most 2 images of class 5 exist, got 3$"):
        stratified(labels, 3)


# --- torchvision's data sets, from files of the kind it downloads ---------------------------------


def random_images(n: int, *shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, *shape), np.uint8)


def write_idx(file: Path, values: np.ndarray) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(
        bytes([0, 0, 8, values.ndim]) + struct.pack(f">{values.ndim}i", *values.shape) + values.tobytes()
    )


def write_png(file: Path, pixels: np.ndarray) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(file)


@pytest.mark.parametrize("name", ["MNIST", "FashionMNIST", "KMNIST"])
def test_mnist_family(name: str, tmp_path: Path) -> None:
    labels = np.arange(30, dtype=np.uint8) % 10
    parts = {
        "train": ("train", random_images(30, 28, 28)),
        "test": ("t10k", random_images(20, 28, 28, seed=1)),
    }
    for stem, images in parts.values():
        write_idx(tmp_path / name / "raw" / f"{stem}-images-idx3-ubyte", images)
        write_idx(tmp_path / name / "raw" / f"{stem}-labels-idx1-ubyte", labels[: len(images)])
    for split, (_, images) in parts.items():
        found = torchvision_set(name, tmp_path, split)  # type: ignore[arg-type]
        assert found.name == name and len(found.classes) == 10
        np.testing.assert_array_equal(found.images[:, 0], images)
        np.testing.assert_array_equal(found.labels, labels[: len(images)])
        seen = parts["train"][1]  # whatever is asked of a network, its pixels are scaled as when it was trained
        assert found.mean == pytest.approx([seen.mean() / 255], abs=1e-6)
        assert found.std == pytest.approx([seen.std() / 255], rel=1e-3)


def test_svhn_is_read_by_its_split(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torchvision

    monkeypatch.setattr(
        torchvision.datasets.svhn, "check_integrity", lambda *_: True
    )  # the real files' checksums
    images = random_images(12, 32, 32, 3)
    for split, offset in (("train", 0), ("test", 1)):
        labels = (np.arange(12) + offset) % 10 + 1  # the files call a zero 10
        savemat(
            tmp_path / f"{split}_32x32.mat",
            {"X": images.transpose(1, 2, 3, 0), "y": labels[:, None].astype(np.uint8)},
        )
        found = torchvision_set("SVHN", tmp_path, split)  # type: ignore[arg-type]
        np.testing.assert_array_equal(found.images, images.transpose(0, 3, 1, 2))
        assert found.labels.tolist() == (labels % 10).tolist()
        assert found.classes == tuple(f"class {i}" for i in range(10))
        assert len(found.mean) == len(found.std) == 3


def image_folder(root: Path, per_class: int, *, seed: int = 0, size: int = 8) -> np.ndarray:
    images = random_images(3 * per_class, size, size, 3, seed=seed)
    for i, pixels in enumerate(images):
        write_png(root / ("cat", "dog", "owl")[i // per_class] / f"{i % per_class:03}.png", pixels)
    return images.transpose(0, 3, 1, 2)


def test_image_folder_with_a_folder_for_each_part(tmp_path: Path) -> None:
    expected = {
        split: image_folder(tmp_path / split, 4, seed=seed) for seed, split in enumerate(("train", "test"))
    }
    for split, images in expected.items():
        found = torchvision_set("ImageFolder", tmp_path, split)  # type: ignore[arg-type]
        np.testing.assert_array_equal(found.images, images)
        assert found.labels.tolist() == [0] * 4 + [1] * 4 + [2] * 4
        assert found.classes == ("cat", "dog", "owl")


def test_image_folder_without_parts_gives_every_fifth_image_to_the_test(tmp_path: Path) -> None:
    images = image_folder(tmp_path, 10)
    test_rows = [4, 9, 14, 19, 24, 29]
    test = torchvision_set("ImageFolder", tmp_path, "test")
    train = torchvision_set("ImageFolder", tmp_path, "train")
    np.testing.assert_array_equal(test.images, images[test_rows])
    np.testing.assert_array_equal(train.images, np.delete(images, test_rows, axis=0))
    assert test.labels.tolist() == [0, 0, 1, 1, 2, 2] and train.classes == test.classes == (
        "cat",
        "dog",
        "owl",
    )


def test_grey_images_in_a_folder(tmp_path: Path) -> None:
    """torchvision's folder loader makes every image RGB."""
    for i, pixels in enumerate(random_images(6, 8, 8)):
        write_png(tmp_path / "train" / "ab"[i % 2] / f"{i}.png", pixels)
    found = torchvision_set("ImageFolder", tmp_path, "train")
    assert found.images.shape == (6, 3, 8, 8) and torch.equal(found.images[:, 0], found.images[:, 2])


def test_a_data_set_with_neither_train_nor_split(tmp_path: Path) -> None:
    image_folder(tmp_path / "eurosat" / "2750", 5)
    parts = [torchvision_set("EuroSAT", tmp_path, split) for split in ("train", "test")]  # type: ignore[arg-type]
    assert [part.labels.bincount().tolist() for part in parts] == [[4, 4, 4], [1, 1, 1]]


def test_a_set_trains(tmp_path: Path) -> None:
    """What comes out is what a network takes."""
    from unlearn_core.nets import models

    image_folder(tmp_path, 5, size=32)
    images = torchvision_set("ImageFolder", tmp_path, "train")
    model = models.build(
        "small-vit", channels=3, classes=3, size=32, generator=torch.Generator().manual_seed(0)
    )
    assert model(images.pixels()).shape == (12, 3)


@pytest.mark.parametrize("name", ["NoSuchSet", "torch", "", "__doc__", "wrap_dataset_for_transforms_v2"])
def test_unknown_names_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"^name: a class of torchvision.datasets expected \(such as CIFAR10\), got"
    ):
        torchvision_set(name, tmp_path, "train")


@pytest.mark.parametrize(
    "name", ["MNIST", "CIFAR10", "SVHN", "EuroSAT", "ImageFolder", "STL10", "CocoDetection", "EMNIST"]
)
def test_missing_files_and_unsuitable_sets_are_a_sentence(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError) as caught:
        torchvision_set(name, tmp_path, "train")
    assert str(caught.value).startswith(f"root: {name} (train) could not be read from {str(tmp_path)!r}: ")
    assert (
        len(str(caught.value)) > len(f"root: {name} (train) could not be read from {str(tmp_path)!r}: ") + 5
    )


def test_damaged_images_are_a_sentence(tmp_path: Path) -> None:
    image_folder(tmp_path / "train", 2)
    (tmp_path / "train" / "cat" / "000.png").write_bytes(b"not a picture")
    with pytest.raises(ValueError, match=r"^root: ImageFolder \(train\) could not be read"):
        torchvision_set("ImageFolder", tmp_path, "train")


def test_images_of_different_sizes_are_refused(tmp_path: Path) -> None:
    image_folder(tmp_path / "train", 2)
    write_png(tmp_path / "train" / "owl" / "wide.png", random_images(1, 8, 9, 3)[0])
    with pytest.raises(
        ValueError,
        match=r"^name: at least one image, all of one size, expected; ImageFolder \(train\) has "
        r"7 images of 2 sizes",
    ):
        torchvision_set("ImageFolder", tmp_path, "train")


def test_an_empty_part_is_refused(tmp_path: Path) -> None:
    image_folder(tmp_path, 3)  # too few for a fifth
    with pytest.raises(ValueError, match="has 0 images"):
        torchvision_set("ImageFolder", tmp_path, "test")
