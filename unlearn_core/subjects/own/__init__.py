"""Subjects of one's own: a folder with pictures, a subject.toml and perhaps a network becomes a `Subject`.

`check` says what is wrong with a folder, `estimate` what it takes to prepare it, `prepare` does so, `prepared` finds
those that are, and `in_use` holds those that this process works with. A folder is read as if a stranger had made it:
nothing in it is executed, no link is followed, and nothing is written but in its ``derived`` folder.
"""

from __future__ import annotations

import os
import re
import unicodedata
from contextlib import suppress
from functools import cache
from pathlib import Path

from unlearn_core import assets
from unlearn_core.nets.images import ImageSet
from unlearn_core.subjects.own.converting import convert
from unlearn_core.subjects.own.derived import (
    RECORD,
    Record,
    contents_of,
    fingerprint,
    fits,
    image_set,
    key_of,
    record,
)
from unlearn_core.subjects.own.description import DESCRIPTION, described, plain, shown
from unlearn_core.subjects.own.estimating import Estimate
from unlearn_core.subjects.own.groups import groups
from unlearn_core.subjects.own.pictures import Listing, Part, listed
from unlearn_core.subjects.own.preparing import SEEDS, estimate, prepare
from unlearn_core.subjects.own.study import DERIVED, check
from unlearn_core.subjects.own.weights import MODEL, retrained_files
from unlearn_core.subjects.parts import Images
from unlearn_core.subjects.subject import Subject

__all__ = ["SEEDS", "Estimate", "changed", "check", "convert", "estimate", "in_use", "plain", "prepare", "prepared",
           "take_up", "title", "unprepared"]

_records: dict[Path, dict[Path, tuple[int, int]]] = {}
"""Of each folder of subjects, what `_recorded` said when it was last looked at."""


def prepared(folder: Path, taken: set[str]) -> dict[str, Subject]:
    """The prepared subjects in a folder of subjects, by names that differ from those taken.

    Nothing is decoded; a file is read only if its size or time differ from when it was read last. What is not
    prepared, or was changed since, is left out.
    """
    found = {name: _subject(path, name) for path, name in _named(folder, taken).items()}
    return {name: subject for name, subject in found.items() if subject is not None}


@cache
def in_use(folder: Path, taken: frozenset[str]) -> dict[str, Subject]:
    """The subjects that this process works with: those that were prepared when it first asked, and what `take_up` found
    since. One that is in use keeps its images and its network, even if its folder is changed meanwhile.
    """
    _records[folder] = _recorded(folder)
    return prepared(folder, set(taken))


def take_up(folder: Path, taken: frozenset[str]) -> list[str]:
    """Add to those in use what was prepared meanwhile, and to each the networks that were retrained for it meanwhile.

    Returns:
        The names of those in use that have other retrained networks than before.
    """
    known = in_use(folder, taken)
    _records[folder] = _recorded(folder)
    now = prepared(folder, set(taken))
    others = [name for name, old in known.items() if name in now and now[name].fingerprint != old.fingerprint
              and now[name].origin == old.origin]
    known.update({name: found for name, found in now.items() if name not in known or name in others})
    return others


def changed(folder: Path) -> bool:
    """Whether any subject in a folder of subjects was prepared since that was last looked at; asked at every turn."""
    return _recorded(folder) != _records.get(folder)


def _recorded(folder: Path) -> dict[Path, tuple[int, int]]:
    """When each subject in a folder of subjects was last prepared, and in which file that is noted."""
    found = {}
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            with suppress(OSError):
                about = (file := Path(entry.path) / DERIVED / RECORD).lstat()
                found[file] = about.st_mtime_ns, about.st_ino
    return found


def unprepared(folder: Path, taken: set[str]) -> dict[str, Path]:
    """The subjects in a folder of subjects that `prepared` leaves out, by the names that they will have."""
    return {name: path for path, name in _named(folder, taken).items() if _subject(path, name) is None}


def title(folder: Path) -> str:
    """What a folder calls itself, or else its own name."""
    description, _ = described(folder)
    return shown(folder.name) if description is None else description.title


def _named(folder: Path, taken: set[str]) -> dict[Path, str]:
    """Every folder with a subject.toml and its name; names do not depend on which of them are prepared."""
    try:
        with os.scandir(folder) as entries:
            paths = sorted(Path(entry.path) for entry in entries if entry.is_dir(follow_symlinks=False))
    except OSError:
        return {}
    names: dict[Path, str] = {}
    for path in paths:
        if (path / DESCRIPTION).is_file():
            plain = unicodedata.normalize("NFKD", path.name).encode("ascii", "ignore").decode().lower()
            base = re.sub("[^a-z0-9]+", "-", plain).strip("-")[:60].rstrip("-") or "subject"
            name, number = base, 1
            while name in taken or name in names.values():
                number += 1
                name = f"{base}-{number}"
            names[path] = name
    return names


def _subject(folder: Path, name: str) -> Subject | None:
    found = record(folder)
    if found is None or not fits(folder, found):
        return None
    description, faults = described(folder)
    listing = listed(folder)
    if description is None or faults or listing.faults or tuple(found.classes) != listing.classes:
        return None
    try:
        contents = contents_of(folder, listing)
        if fingerprint(folder, contents) != found.fingerprint:
            return None
        brought = retrained_files(folder)
        origin = key_of(found.model, fingerprint(folder, {path: said for path, said in contents.items()
                                                          if path not in brought}))
    except OSError:
        return None
    derived, weights = folder / DERIVED, folder / (f"{DERIVED}/{MODEL}" if found.trained else MODEL)

    def file(kind: str, end: str) -> Path | None:
        wanted = derived / f"{kind}{end}"
        if kind == "networks":
            known = found.references.get(wanted.name)
            return None if known is None else _unaltered(wanted, known)
        return wanted if wanted.is_file() and not wanted.is_symlink() else None

    return Subject(name, plain(description.title), plain(description.about), description.architecture,
                   tuple(map(plain, found.classes)),
                   description.recipe if found.trained else description.given_recipe,
                   lambda: found.identity, file, lambda: _images(folder, name, found, listing),
                   lambda: _unaltered(weights, found.model),
                   {stage: plain(said) for stage, said in description.layers.items()}, description.licence,
                   description.credit, origin)


def _images(folder: Path, name: str, found: Record, listing: Listing) -> Images:
    kinds, _ = groups(folder, listing)

    def read(part: Part) -> ImageSet:
        try:
            return image_set(folder, part, name, list(map(plain, found.classes)), found.mean, found.std, kinds[part])
        except (OSError, ValueError) as error:
            raise assets.AssetError(f"{plain(shown(folder.name))}: its prepared images cannot be read ({error}). "
                                    "Prepare it again.") from error

    return Images(read("train"), read("test"),
                  lambda: read("validation") if "validation" in listing.there else None)


@cache
def _unaltered(file: Path, expected: str) -> Path:
    """The file, if it is the one that was there when its subject was prepared."""
    if file.is_symlink() or not file.is_file() or assets.sha256(file) != expected:
        name = plain(shown("/".join(file.parts[-2:])))
        raise assets.AssetError(f"{name} was changed since its subject was prepared.")
    return file
