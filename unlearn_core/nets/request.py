"""What is to be forgotten: the request, and the split of the images it makes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from unlearn_core.nets.images import Groups, ImageSet

CLASS, IMAGE, POISONED = "class", "image", "poisoned"
"""Kinds of request. Images that somebody planted are a group like any other, but for one thing: in the test set there
are some too, made to see whether the poison works, and they are read for no other request (see `unaudited`)."""
MOST_IMAGES = 200
"""Of single images in one request: an address holds no more, and a page shows all of them."""


class Named(Protocol):
    """What knows the names of classes and groups: an image set, or a subject."""

    @property
    def classes(self) -> tuple[str, ...]: ...

    @property
    def groups(self) -> Mapping[str, Groups]: ...


@dataclass(frozen=True)
class Request:
    """Forget all images of some classes, all images of some other groups, or single training images.

    Attributes:
        chosen: numbers of classes or groups, or positions in the training set; ascending and without repeats.
        kind: ``class``, ``image``, or a kind of group that the images have, as in ``person``.
    """

    chosen: tuple[int, ...]
    kind: str = CLASS

    @property
    def classes(self) -> tuple[int, ...]:
        """The classes that are to be forgotten whole; none where groups or single images are."""
        return self.chosen if self.kind == CLASS else ()

    def mask(self, images: ImageSet, rows: Tensor | None = None) -> Tensor:
        """(N,) bool: which of these images are to be forgotten, or show what is.

        Args:
            images: N of them.
            rows: (N,) their positions in the training set, -1 for an image that was not trained on; by default the
                images are the training set.
        """
        chosen = torch.tensor(self.chosen, dtype=torch.long)
        if self.kind == IMAGE:
            return torch.isin(torch.arange(len(images)) if rows is None else rows, chosen)
        return torch.isin(images.labels if self.kind == CLASS else images.groups[self.kind].numbers, chosen)

    def shown_by(self, unseen: ImageSet) -> Tensor:
        """(N,) bool: which of these images, none of which was trained on, show what is to be forgotten."""
        return self.mask(unseen, torch.full((len(unseen),), -1))

    def split(self, train: ImageSet) -> tuple[Tensor, Tensor]:
        """Positions of the forget set and of the retain set in the training images."""
        forgotten = self.mask(train)
        return torch.nonzero(forgotten).flatten(), torch.nonzero(~forgotten).flatten()

    def words(self, known: Named) -> str:
        """For people, within a sentence; the images, or their subject, know the names."""
        if self.kind == IMAGE:
            return "this image" if len(self.chosen) == 1 else f"these {len(self.chosen)} images"
        names = known.classes if self.kind == CLASS else known.groups[self.kind].names
        *first, last = (names[number] for number in self.chosen)
        return " and ".join(filter(None, (", ".join(first), last)))

    @property
    def slug(self) -> str:
        """Within a file's name: `3`, `0-1`, `person-3`."""
        return "-".join(map(str, ((self.kind,) if self.kind != CLASS else ()) + self.chosen))

    def __str__(self) -> str:
        numbers = ",".join(map(str, self.chosen))
        return numbers if self.kind == CLASS else f"{self.kind}:{numbers}"


def unaudited(request: Request, test: ImageSet) -> Tensor:
    """(N,) bool: the test images on which nothing is read: those with a mark, if something else is to be forgotten."""
    if request.kind == POISONED or POISONED not in test.groups:
        return torch.zeros(len(test), dtype=torch.bool)
    return test.groups[POISONED].numbers >= 0


def checked(request: Request, train: ImageSet) -> Request:
    """The request in order and without repeats.

    Raises:
        ValueError: if the images have no such groups, a number does not exist, nothing or everything is asked for, or
            more than `MOST_IMAGES` single images.
    """
    if request.kind == CLASS:
        return forget_classes(request.chosen, len(train.classes))
    if request.kind == IMAGE:
        if len(request.chosen) > MOST_IMAGES:
            raise ValueError(f"images: at most {MOST_IMAGES} expected, got {len(request.chosen)}")
        return forget_images(request.chosen, len(train))
    if request.kind not in train.groups:
        raise ValueError(f"forget: one of {', '.join((CLASS, *train.groups, IMAGE))} expected, got {request.kind!r}")
    names = train.groups[request.kind].names
    found = Request(_in_order(request.chosen, len(names), f"{request.kind} groups", "group", all_of=len(names) == 1),
                    request.kind)
    if not 0 < (size := int(found.mask(train).sum())) < len(train):
        raise ValueError(f"{request.kind} groups: some but not all training images expected, got {size}")
    return found


def _in_order(chosen: Sequence[int], known: int, what: str, one: str, all_of: bool = False) -> tuple[int, ...]:
    """In order and without repeats; `all_of` them only where that is allowed."""
    found = tuple(sorted(set(chosen)))
    for number in (*found[:1], *found[-1:]):
        if not 0 <= number < known:
            raise ValueError(f"{what}: numbers in 0..{known - 1} expected, got {number}")
    if not found:
        raise ValueError(f"{what}: at least one {one} must be forgotten, got none")
    if len(found) == known and not all_of:
        raise ValueError(f"{what}: at least one {one} must be kept, got all {known}")
    return found


def parsed(text: str) -> Request:
    """A request as `str` writes it: numbers of classes, or a kind and its numbers, as in ``person:3,4``; unchecked.

    Raises:
        ValueError: if the text is none.
    """
    kind, separator, numbers = text.rpartition(":")
    parts = numbers.split(",")
    if not all(part.strip().isdecimal() and len(part) < 10 for part in parts):
        raise ValueError("forget: numbers separated by commas expected, of classes, or after a kind and a colon, "
                         f"got {text[:40]!r}")
    return Request(tuple(int(part.strip()) for part in parts), kind.strip() if separator else CLASS)


def read(text: str, train: ImageSet) -> Request:
    """A request as `str` writes it, in order and without repeats.

    Raises:
        ValueError: as `parsed` and `checked`.
    """
    return checked(parsed(text), train)


def forget_classes(classes: Sequence[int], number_of_classes: int) -> Request:
    """The request to forget whole classes.

    Raises:
        ValueError: if a class does not exist, or if none or all are asked for.
    """
    return Request(_in_order(classes, number_of_classes, "classes", "class"))


def forget_images(positions: Sequence[int], number_of_images: int) -> Request:
    """The request to forget single training images, of whatever class.

    Raises:
        ValueError: if an image does not exist, or if none or all are asked for.
    """
    return Request(_in_order(positions, number_of_images, "images", "image"), IMAGE)
