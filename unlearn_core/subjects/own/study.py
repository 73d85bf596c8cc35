"""A subject's folder as a whole: everything that can be found wrong with it, in one go."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from unlearn_core.nets.models import SMALL
from unlearn_core.progress import Progress, silent
from unlearn_core.subjects.own.description import DESCRIPTION, SIZES, Description, described, shown
from unlearn_core.subjects.own.groups import groups
from unlearn_core.subjects.own.pictures import Listing, Shape, listed, shape, undecodable
from unlearn_core.subjects.own.weights import MODEL, built, loaded, unfit

DERIVED = "derived"


@dataclass(frozen=True, eq=False)
class Study:
    """A folder without a fault: what it says, what lies in it, and whether it brings its own network."""

    folder: Path
    description: Description
    listing: Listing
    shape: Shape
    given: bool


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


def _examined(folder: Path) -> tuple[Study | None, Listing, Shape, list[str]]:
    if not folder.is_dir():
        return None, Listing(), Shape(SIZES[0], 3), [f"{shown(folder.name)}: a folder expected."]
    description, faults = described(folder)
    listing = listed(folder)
    faults = faults + listing.faults + groups(folder, listing)[1]
    expected = None
    if description is None:
        wanted = shape(folder, listing, None, 3)
    else:
        only = None if description.architecture in SMALL else 3  # torchvision's networks take no other
        wanted = shape(folder, listing, description.size, description.channels or only)
    if description is not None and wanted is not None and listing.classes:
        if description.mean is not None and description.std is not None and not (
                len(description.mean) == len(description.std) == wanted.channels):
            faults.append(f"{DESCRIPTION}: mean and std: one number for each of {wanted.channels} channels expected.")
        expected, more = built(description.architecture, wanted, len(listing.classes), description.layers)
        faults += more
    given = os.path.lexists(folder / MODEL)
    if given:
        faults += _model_faults(folder, description, wanted, len(listing.classes), expected is not None,
                                unfit(folder, expected))
    derived = folder / DERIVED
    if os.path.lexists(derived) and (derived.is_symlink() or not derived.is_dir()):
        faults.append(f"{DERIVED}: a folder expected, or nothing.")
    if faults or description is None or wanted is None:
        return None, listing, wanted or Shape(SIZES[0], 3), faults
    return Study(folder, description, listing, wanted, given), listing, wanted, faults


def _model_faults(folder: Path, description: Description | None, wanted: Shape | None, classes: int, known: bool,
                  faults: list[str]) -> list[str]:
    if faults or not known or description is None or wanted is None:
        return faults
    try:
        loaded(folder / MODEL, description.architecture, wanted, classes)
    except ValueError as error:
        return [str(error)]
    return []

