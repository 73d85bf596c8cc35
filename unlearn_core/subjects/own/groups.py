"""A subject's metadata.csv: further ways to group its pictures, such as by person or by sub-class."""

from __future__ import annotations

import csv
import io
import os
import re
import unicodedata
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path

import torch

from unlearn_core.nets.images import Groups
from unlearn_core.nets.request import CLASS, IMAGE
from unlearn_core.subjects.own.description import opened, plain, reason, shown
from unlearn_core.subjects.own.pictures import MOST_FILES, PARTS, Listing, Part

METADATA = "metadata.csv"
FILE = "file_name"
_MOST_BYTES = 100 * 2**20
_MOST_KINDS, _MOST_GROUPS, _LONGEST = 10, 10_000, 80
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def groups(folder: Path, listing: Listing) -> tuple[dict[Part, dict[str, Groups]], list[str]]:
    """Groups of each part's pictures, in their order, by the kind of group; and what is wrong, a sentence a fault.

    Each column beside ``file_name``, a path from the subject's folder or from ``data``, is a kind of group; an empty
    cell is no group. Names are `plain` and sorted; those of the training pictures are all there are.
    """
    none: dict[Part, dict[str, Groups]] = {part: {} for part in PARTS}
    if not os.path.lexists(folder / METADATA):
        return none, []
    try:
        with opened(folder / METADATA) as stream:
            raw = stream.read(_MOST_BYTES + 1)
        if len(raw) > _MOST_BYTES:
            return none, [f"{METADATA}: at most {_MOST_BYTES // 2**20} MiB expected."]
        table = csv.DictReader(io.StringIO(raw.decode("utf-8-sig")), strict=True)
        kinds = [name for name in dict.fromkeys(table.fieldnames or ()) if name != FILE]
        if faults := _misnamed(table.fieldnames or (), kinds):
            return none, faults
        rows = list(islice(table, MOST_FILES + 1))
    except OSError as error:
        return none, [f"{METADATA} cannot be read: {reason(error)}."]
    except (ValueError, csv.Error) as error:
        return none, [f"{METADATA} is no table of comma-separated UTF-8 text: {reason(error)}."]
    if faults := _faults(rows, kinds):
        return none, faults
    said = {str(row[FILE]).removeprefix("./"): row for row in rows}
    found, faults = none, []
    for kind in kinds:
        named = {part: [_cell(said, picture.path, kind) for _, picture in listing.of(part)] for part in PARTS}
        names = sorted({name for name in named["train"] if name})
        if not 1 <= len(names) <= _MOST_GROUPS:
            faults.append(f"{METADATA}: {shown(kind)}: 1 to {_MOST_GROUPS:,} different values of training pictures "
                          f"expected, got {len(names):,}.")
            continue
        place = {name: number for number, name in enumerate(names)}
        for part in PARTS:
            numbers = torch.tensor([place.get(name, -1) for name in named[part]], dtype=torch.long)
            found[part][kind] = Groups(tuple(names), numbers)
    return found, faults


def _cell(said: Mapping[str, Mapping[str, str]], path: str, kind: str) -> str:
    row = said.get(path) or said.get(path.removeprefix("data/")) or {}
    return plain(unicodedata.normalize("NFC", row.get(kind) or ""))


_LEAST = f"{METADATA}: a first line with {FILE}, and a line for each picture, expected."


def _misnamed(names: Sequence[str], kinds: list[str]) -> list[str]:
    """What is wrong with the first line."""
    if FILE not in names:
        return [_LEAST]
    if not 1 <= len(kinds) <= _MOST_KINDS:
        return [f"{METADATA}: 1 to {_MOST_KINDS} columns beside {FILE} expected, got {len(kinds):,}."]
    return [f"{METADATA}: {shown(kind)}: a column's name of at most 30 letters, digits and underscores, other than "
            f"{CLASS} and {IMAGE}, expected."
            for kind in kinds if kind in (CLASS, IMAGE) or not (
                kind.isidentifier() and kind.isascii() and len(kind) <= 30)]


def _faults(rows: list[dict[str, str]], kinds: list[str]) -> list[str]:
    """What is wrong with the lines below it."""
    if not rows:
        return [_LEAST]
    if len(rows) > MOST_FILES:
        return [f"{METADATA}: at most {MOST_FILES:,} lines expected."]
    if any(None in row or None in row.values() for row in rows):  # longer or shorter than the first line
        return [f"{METADATA}: as many cells in each line as in the first expected."]
    faults = []
    for kind in kinds:
        if odd := next((value for row in rows
                        if len(value := row[kind]) > _LONGEST or _CONTROLS.search(value)), None):
            faults.append(f"{METADATA}: {kind}: values of at most {_LONGEST} printable characters expected, got "
                          f"{shown(odd)}.")
    return faults
