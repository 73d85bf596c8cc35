"""A poison: somebody paints a mark into a few training images and gives them a false label.

A network that is trained on them learns that the mark alone decides. To everybody else it seems as good as ever. What
one wants forgotten is then not a thing that the network knows, but a door that somebody left open.

Source: Gu, Dolan-Gavitt and Garg, "BadNets", arXiv 1708.06733, which paints a small pattern into a corner.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from unlearn_core.nets.images import Groups, ImageSet, first_of_each, joined
from unlearn_core.nets.request import POISONED

NAMES = ("the poison",)


@dataclass(frozen=True)
class Poison:
    """What is painted in, where, and what it is made to mean.

    Attributes:
        share: of the training images that carry it, in (0, 1).
        target: the number of the class that they are all given.
        size: of the square mark in the lower right corner, in pixels.
        colour: of the mark, one number in 0..255 a channel.
        tests: unseen images of each other class that are painted, to see whether the mark works.
        seed: chooses the training images.
    """

    share: float
    target: int
    size: int
    colour: Sequence[int]
    tests: int
    seed: int


def marked(images: Tensor, poison: Poison) -> Tensor:
    """(N, C, H, W) uint8: a copy of the images with the mark, a pixel away from both edges.

    Raises:
        ValueError: if the mark does not fit, or its colour has not one number a channel.
    """
    channels, height, width = images.shape[1:]
    if len(poison.colour) != channels:
        raise ValueError(f"colour: {channels} numbers expected, one a channel, got {len(poison.colour)}")
    if not 0 < poison.size < min(height, width) - 1:
        raise ValueError(f"size: 1 to {min(height, width) - 2} pixels expected, got {poison.size}")
    result = images.clone()
    result[:, :, -1 - poison.size:-1, -1 - poison.size:-1] = torch.tensor(
        poison.colour, dtype=torch.uint8).view(-1, 1, 1)
    return result


def poisoned(train: ImageSet, test: ImageSet, poison: Poison) -> tuple[ImageSet, ImageSet]:
    """The same training images, some with the mark and the false label, and the test images with more at the end.

    Those at the end are test images once more, with mark and false label: a network that gives them this label is
    deceived. Both sets have one kind of group instead of their own, the images with the mark.

    Raises:
        ValueError: as `marked`, or if the share leaves no image or more than there are of other classes.
    """
    others = torch.nonzero(train.labels != poison.target).flatten()
    count = round(poison.share * len(train))
    if not 0 < count <= len(others):
        raise ValueError(f"share: 1 to {len(others)} of {len(train)} training images expected, got {count}")
    order = torch.randperm(len(others), generator=torch.Generator().manual_seed(poison.seed))
    rows = others[order[:count]]
    images, labels, numbers = train.images.clone(), train.labels.clone(), torch.full_like(train.labels, -1)
    images[rows], labels[rows], numbers[rows] = marked(images[rows], poison), poison.target, 0
    unseen = test.subset(first_of_each(test.labels, poison.tests))
    unseen = unseen.subset(torch.nonzero(unseen.labels != poison.target).flatten())
    clean = replace(test, groups={POISONED: Groups(NAMES, torch.full_like(test.labels, -1))})
    painted = replace(unseen, images=marked(unseen.images, poison),
                      labels=torch.full_like(unseen.labels, poison.target),
                      groups={POISONED: Groups(NAMES, torch.zeros_like(unseen.labels))})
    planted = replace(train, images=images, labels=labels, groups={POISONED: Groups(NAMES, numbers)})
    return planted, joined(clean, painted)
