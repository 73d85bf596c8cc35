"""A subject's folder as a whole: everything that can be found wrong with it, in one go."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from unlearn_core.nets.images import ImageSet
from unlearn_core.nets.models import takes_any_channels
from unlearn_core.nets.request import IMAGE, Request, checked, read
from unlearn_core.progress import Progress, silent
from unlearn_core.subjects.own.description import DESCRIPTION, SIZES, Description, described, plain, shown
from unlearn_core.subjects.own.groups import groups
from unlearn_core.subjects.own.pictures import Listing, Shape, listed, shape, undecodable
from unlearn_core.subjects.own.weights import END, MODEL, RETRAINED, built, loaded, retrained_files, unfit

DERIVED = "derived"
_LONGEST = 100
"""Characters of a request in the name of a file."""


@dataclass(frozen=True, eq=False)
class Study:
    """A folder without a fault: what it says, what lies in it, and which networks it brings.

    Attributes:
        folder: of the subject.
        description: its subject.toml.
        listing: its pictures.
        shape: that they come to.
        outline: labels and groups of the training pictures, without their pixels.
        given: whether it brings its own network.
        retrained: by file, what its networks never saw.
    """

    folder: Path
    description: Description
    listing: Listing
    shape: Shape
    outline: ImageSet
    given: bool
    retrained: Mapping[str, Request]


def check(folder: Path, progress: Progress = silent) -> list[str]:
    """Everything that is wrong with a folder, a sentence a fault; nothing if it can be prepared.

    Every picture is decoded once. Nothing is written.
    """
    _, listing, wanted, faults = _examined(folder)
    return faults + undecodable(folder, listing, wanted, progress)


def sound(folder: Path) -> Study:
    """The folder, after all checks but the decoding of every picture.

    Raises:
        ValueError: if anything is wrong; the message has a line for each fault.
    """
    study, listing, wanted, faults = _examined(folder)
    if study is None:  # without another fault, the first picture could not say how large it is
        raise ValueError("\n".join(faults or undecodable(folder, listing, wanted)))
    return study


def requested(text: str, outline: ImageSet) -> Request:
    """What is to be forgotten, by the name of a class, as in ``River``, of a group, as in ``person:Anna``, or by
    numbers, as in ``0,3`` and ``person:2``; a name goes before a number.

    Raises:
        ValueError: if it is none of these, or single images.
    """
    kind, _, name = text.partition(":")
    name = plain(name)
    if text in outline.classes:
        found = checked(Request((outline.classes.index(text),)), outline)
    elif kind in outline.groups and name in outline.groups[kind].names:
        found = checked(Request((outline.groups[kind].names.index(name),), kind), outline)
    else:
        try:
            found = read(text, outline)
        except ValueError as error:
            raise ValueError(f"{shown(text)}: the name of a class, a kind of group and a name, or numbers of them, "
                             f"expected ({shown(str(error))}).") from None
    if found.kind == IMAGE or len(found.slug) > _LONGEST:
        raise ValueError(f"{shown(text)}: some classes or groups expected, not single images, and no more than make a "
                         f"name of {_LONGEST} characters.")
    return found


def _examined(folder: Path) -> tuple[Study | None, Listing, Shape, list[str]]:
    if not folder.is_dir():
        return None, Listing(), Shape(SIZES[0], 3), [f"{shown(folder.name)}: a folder expected."]
    description, faults = described(folder)
    listing = listed(folder)
    kinds, more = groups(folder, listing)
    faults = faults + listing.faults + more
    expected = None
    if description is None:
        wanted = shape(folder, listing, None, 3)
    else:
        only = None if takes_any_channels(description.architecture) else 3  # torchvision's networks take no other
        wanted = shape(folder, listing, description.size, description.channels or only)
    if description is not None and wanted is not None and listing.classes:
        if description.mean is not None and description.std is not None and not (
                len(description.mean) == len(description.std) == wanted.channels):
            faults.append(f"{DESCRIPTION}: mean and std: one number for each of {wanted.channels} channels expected.")
        expected, more = built(description.architecture, wanted, len(listing.classes), description.layers)
        faults += more
    given = os.path.lexists(folder / MODEL)
    named = retrained_files(folder)
    for name in [MODEL] * given + named:
        faults += _network_faults(folder / name, description, wanted, len(listing.classes), expected)
    derived = folder / DERIVED
    if os.path.lexists(derived) and (derived.is_symlink() or not derived.is_dir()):
        faults.append(f"{DERIVED}: a folder expected, or nothing.")
    if faults or description is None or wanted is None:
        return None, listing, wanted or Shape(SIZES[0], 3), faults
    labels = torch.tensor([label for label, _ in listing.of("train")])
    outline = ImageSet("", torch.empty((len(labels), 0, 0, 0), dtype=torch.uint8), labels, listing.classes, (), (),
                       kinds["train"])
    retrained = {}
    for name in named:
        what, _, number = name.removeprefix(RETRAINED).removesuffix(END).rpartition("-")
        try:
            if not number.isdecimal():
                raise ValueError(f"{RETRAINED}<what was forgotten>-<number>{END} expected.")
            retrained[name] = requested(what, outline)
        except ValueError as error:
            faults.append(f"{shown(name)}: {error}")
    if faults:
        return None, listing, wanted, faults
    return Study(folder, description, listing, wanted, outline, given, retrained), listing, wanted, faults


def _network_faults(file: Path, description: Description | None, wanted: Shape | None, classes: int,
                    expected: dict[str, Tensor] | None) -> list[str]:
    faults = unfit(file, expected)
    if faults or expected is None or description is None or wanted is None:
        return faults
    try:
        loaded(file, description.architecture, wanted, classes)
    except ValueError as error:
        return [str(error)]
    return []
