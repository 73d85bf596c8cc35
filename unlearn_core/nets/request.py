"""What is to be forgotten: the request, and the split of the data it makes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Request:
    """Forget every training image of some classes, or single training images.

    Attributes:
        forget_classes: class numbers, ascending and without repeats.
        forget_samples: positions in the training set, ascending and without repeats; empty for whole classes.
    """

    forget_classes: tuple[int, ...]
    forget_samples: tuple[int, ...] = ()

    def is_forgotten(self, labels: Tensor) -> Tensor:
        """(N,) bool: whether each label belongs to a forgotten class."""
        return torch.isin(labels, torch.tensor(self.forget_classes, dtype=torch.long))

    def split(self, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Positions of the forget set and of the retain set among the training images with these labels."""
        forgotten = self.is_forgotten(labels)
        forgotten[list(self.forget_samples)] = True
        return torch.nonzero(forgotten).flatten(), torch.nonzero(~forgotten).flatten()


def forget_classes(classes: Sequence[int], number_of_classes: int) -> Request:
    """The request to forget whole classes.

    Raises:
        ValueError: if a class does not exist, or if none or all are asked for.
    """
    chosen = tuple(sorted(set(classes)))
    for label in chosen:
        if not 0 <= label < number_of_classes:
            raise ValueError(f"classes: numbers in 0..{number_of_classes - 1} expected, got {label}")
    if not chosen:
        raise ValueError("classes: at least one class must be forgotten, got none")
    if len(chosen) == number_of_classes:
        raise ValueError(f"classes: at least one class must be kept, got all {number_of_classes}")
    return Request(chosen)


def forget_samples(positions: Sequence[int], number_of_images: int) -> Request:
    """The request to forget single training images, of whatever class.

    Raises:
        ValueError: if an image does not exist, or if none or all are asked for.
    """
    chosen = tuple(sorted(set(positions)))
    if chosen and not 0 <= chosen[0] <= chosen[-1] < number_of_images:
        raise ValueError(f"positions: numbers in 0..{number_of_images - 1} expected, got {chosen[0]} to {chosen[-1]}")
    if not 0 < len(chosen) < number_of_images:
        raise ValueError(f"positions: between 1 and {number_of_images - 1} images to forget expected, "
                         f"got {len(chosen)}")
    return Request((), chosen)
