"""Image sets as tensors: one's own, torchvision's by name, and stratified choices of images."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

Split = Literal["train", "validation", "test"]
Pair = tuple[npt.NDArray[np.uint8], int]


@dataclass(frozen=True, eq=False)
class Groups:
    """A way to group images across or within classes: by person, by sub-class.

    Attributes:
        names: of the groups, for people.
        numbers: (N,) int64, of each image; -1 for an image of no group.
    """

    names: tuple[str, ...]
    numbers: Tensor

    def __post_init__(self) -> None:
        numbers = self.numbers
        if len(numbers) and not -1 <= int(numbers.min()) <= int(numbers.max()) < len(self.names):
            raise ValueError(f"groups: numbers in -1..{len(self.names) - 1} expected")


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Labelled images held in memory as bytes.

    Attributes:
        name: the set's name, as in ``fashion-mnist``.
        images: (N, C, H, W) uint8.
        labels: (N,) int64, indices into ``classes``; given as any kind of whole number.
        classes: one name per class.
        mean: per-channel mean of the training images, in [0, 1].
        std: per-channel standard deviation of the training images, in [0, 1].
        groups: further ways to group the images, by the kind of group, as in ``person``; possibly none.
    """

    name: str
    images: Tensor
    labels: Tensor
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    groups: Mapping[str, Groups] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.images.dtype != torch.uint8 or self.images.dim() != 4:
            raise ValueError(f"images: uint8 of shape (N, C, H, W) expected, got {self.images.dtype} "
                             f"of shape {tuple(self.images.shape)}")
        if self.labels.is_floating_point() or self.labels.is_complex() or self.labels.dtype == torch.bool:
            raise ValueError(f"labels: whole numbers expected, got {self.labels.dtype}")
        object.__setattr__(self, "labels", self.labels.long())  # losses take no other kind of whole number
        if self.labels.shape != self.images.shape[:1]:
            raise ValueError(f"labels: {len(self.images)} expected, one per image, got {len(self.labels)}")
        if len(self.labels) and not 0 <= int(self.labels.min()) <= int(self.labels.max()) < len(self.classes):
            raise ValueError(f"labels: values in 0..{len(self.classes) - 1} expected")
        for kind, found in self.groups.items():
            if found.numbers.shape != self.labels.shape:
                raise ValueError(f"groups: a {kind} for each of the {len(self.images)} images expected, got "
                                 f"{len(found.numbers)}")

    def __len__(self) -> int:
        return len(self.labels)

    def pixels(self, index: Tensor | slice = slice(None)) -> Tensor:
        """The chosen images as a network takes them: float32, standardised, channels last in memory."""
        mean, std = (torch.tensor(v).view(1, -1, 1, 1) for v in (self.mean, self.std))
        scaled = self.images[index].float().div_(255).sub_(mean).div_(std)
        return scaled.contiguous(memory_format=torch.channels_last)

    def subset(self, index: Tensor) -> ImageSet:
        """The image set that holds only the images at `index`."""
        return replace(self, images=self.images[index], labels=self.labels[index],
                       groups={kind: Groups(g.names, g.numbers[index]) for kind, g in self.groups.items()})

    def in_terms_of(self, train: ImageSet) -> ImageSet:
        """The same images as a network trained on `train` must see them: its numbers of classes, mean and deviation.

        Classes, and groups of each kind, are matched by name; the two sets may know different ones, in any order. A
        group that the training set lacks, or a kind of group, is none.

        Raises:
            ValueError: if an image is of a class that the training set does not know, or a name stands for two classes.
        """
        labels = self.labels
        if self.classes != train.classes:
            used = [self.classes[label] for label in torch.unique(labels).tolist()]
            if unknown := [name for name in used if train.classes.count(name) != 1 or self.classes.count(name) != 1]:
                raise ValueError(f"classes: those of the training set expected ({_some(train.classes)}), each name "
                                 f"once, got images of {_some(unknown)}")
            number = {name: i for i, name in enumerate(train.classes)}
            labels = torch.tensor([number.get(name, -1) for name in self.classes])[labels]
        groups = {}
        for kind, known in train.groups.items():
            numbers = torch.full_like(labels, -1)
            if kind in self.groups:
                place = {name: i for i, name in enumerate(known.names)}
                there = [place.get(name, -1) for name in self.groups[kind].names]
                numbers = torch.tensor([*there, -1])[self.groups[kind].numbers]  # -1 is the last
            groups[kind] = Groups(known.names, numbers)
        return ImageSet(self.name, self.images, labels, train.classes, train.mean, train.std, groups)


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def joined(first: ImageSet, second: ImageSet) -> ImageSet:
    """The images of two sets in the same terms (see `ImageSet.in_terms_of`), one after the other."""
    groups = {kind: Groups(known.names, torch.cat([known.numbers, second.groups[kind].numbers]))
              for kind, known in first.groups.items()}
    return replace(first, images=torch.cat([first.images, second.images]),
                   labels=torch.cat([first.labels, second.labels]), groups=groups)


def stratified(labels: Tensor, per_class: int) -> Tensor:
    """Positions of the first `per_class` images of each class, in ascending order.

    Raises:
        ValueError: if a class has fewer images than asked for.
    """
    for label, members in enumerate(torch.bincount(labels).tolist()):
        if 0 < members < per_class:
            raise ValueError(f"per_class: at most {members} images of class {label} exist, got {per_class}")
    return first_of_each(labels, per_class)


def first_of_each(labels: Tensor, most: int) -> Tensor:
    """Positions of the first images of each class, `most` or as many as there are, in ascending order."""
    members = (torch.nonzero(labels == label).flatten()[:most] for label in torch.unique(labels))
    return torch.cat(list(members)).sort().values


def torchvision_set(name: str, root: str | Path, split: Split, *, download: bool = False,
                    train: ImageSet | None = None) -> ImageSet:
    """Any image data set of torchvision, by its class name, through torchvision's own loader.

    The download, where asked for, shows torchvision's own progress bar. All images must have one size. Other parts
    than the training images come in their terms: with their numbers of classes, their mean and their deviation.

    Args:
        name: a class of ``torchvision.datasets``, such as ``CIFAR10``, ``SVHN`` or ``ImageFolder``.
        root: the folder that holds the set, or will hold it after the download.
        split: which part to load; it becomes ``train=`` or ``split=``, whichever the loader takes, or the
            folder of that name in the root of an ``ImageFolder``. Of sets without parts, every fifth image
            of each class is a test image.
        download: whether torchvision may fetch what is missing.
        train: the training images, where they are at hand; otherwise they are read too.

    Raises:
        ValueError: if there is no such data set, its files are missing, its images differ in size or cannot be shown
            with 8 bits, or as `ImageSet.in_terms_of`.
    """
    found = _read(name, root, split, download)
    return found if split == "train" else found.in_terms_of(train or _read(name, root, "train", download))


def _read(name: str, root: str | Path, split: Split, download: bool) -> ImageSet:
    """One part of a set, in its own terms."""
    import inspect

    import torchvision

    known = {n for n in torchvision.datasets.__all__ if inspect.isclass(getattr(torchvision.datasets, n))}
    if name not in known:
        raise ValueError(f"name: a class of torchvision.datasets expected (such as CIFAR10), got {name!r}")
    loader: Callable[..., object] = getattr(torchvision.datasets, name)
    accepted = inspect.signature(loader).parameters
    folder, divided = Path(root), True
    arguments: dict[str, object] = {}
    if "train" in accepted:
        arguments["train"] = split == "train"
    elif "split" in accepted:
        arguments["split"] = split
    elif (folder / split).is_dir():
        folder = folder / split
    else:
        divided = False
    if "loader" in accepted:
        arguments["loader"] = _open
    if "download" in accepted:
        arguments["download"] = download
    try:
        source = loader(str(folder), **arguments)
        pairs = [(_channels_first(image), int(label)) for image, label in source]  # type: ignore[attr-defined]
    except (RuntimeError, OSError, ImportError, TypeError, ValueError) as error:
        raise ValueError(f"root: {name} ({split}) could not be read from {str(root)!r}: {error}") from error
    classes = _class_names(source, [label for _, label in pairs])
    if not divided:
        pairs = _every_fifth(pairs, split)
    sizes = {pixels.shape for pixels, _ in pairs}
    if len(sizes) != 1:
        raise ValueError(f"name: at least one image, all of one size, expected; {name} ({split}) has "
                         f"{len(pairs)} images of {len(sizes)} sizes {sorted(sizes)[:3]}")
    images = torch.from_numpy(np.stack([pixels for pixels, _ in pairs]))
    scaled = images.float().div(255).transpose(0, 1).flatten(1)
    return ImageSet(name, images, torch.tensor([label for _, label in pairs]), classes,
                    tuple(scaled.mean(1).tolist()), tuple(scaled.std(1).clamp(min=1e-6).tolist()))


def _open(path: str) -> Image.Image:
    """A picture of any mode in three colours; torchvision's own loader would turn 16-bit pictures white."""
    with Image.open(path) as image:
        return _eight_bit(image).convert("RGB")


def _eight_bit(image: Image.Image) -> Image.Image:
    """A grey or RGB picture with 8 bits per channel; transparency is dropped."""
    if image.mode in ("L", "RGB"):
        return image
    if image.mode.startswith("I"):  # 16 bits, which PNG files with that many have in either of PIL's modes
        deep = np.asarray(image)
        if int(deep.min()) < 0 or int(deep.max()) > 65535:
            raise ValueError(f"pictures of 8 or 16 bits expected, got values from {deep.min()} to {deep.max()}")
        return Image.fromarray((deep / 257).round().astype(np.uint8))
    if image.mode == "F":
        raise ValueError("pictures of 8 or 16 bits expected, got one of floating-point numbers")
    return image.convert("L" if image.mode in ("1", "LA", "La") else "RGB")


def _channels_first(image: object) -> npt.NDArray[np.uint8]:
    pixels: npt.NDArray[np.uint8] = np.asarray(_eight_bit(image) if isinstance(image, Image.Image) else image)
    if pixels.dtype != np.uint8:
        raise ValueError(f"pictures of 8 bits expected, got {pixels.dtype}")
    return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)


def _every_fifth(pairs: list[Pair], split: Split) -> list[Pair]:
    """The test images, every fifth of each class, or all others."""
    seen: Counter[int] = Counter()
    chosen = []
    for pixels, label in pairs:
        seen[label] += 1
        if (seen[label] % 5 == 0) == (split == "test"):
            chosen.append((pixels, label))
    return chosen


def _class_names(source: object, labels: Sequence[int]) -> tuple[str, ...]:
    named = getattr(source, "classes", None)
    return tuple(map(str, named)) if named else tuple(f"class {i}" for i in range(max(labels, default=0) + 1))
