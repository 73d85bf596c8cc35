"""The pictures in a subject's data folder: which there are, what is wrong with them, and their pixels."""

from __future__ import annotations

import os
import stat
import unicodedata
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from unlearn_core.nets.train import seed_of
from unlearn_core.progress import Progress, silent
from unlearn_core.subjects.own.description import LARGEST_BY_DEFAULT, SIZES, limited, opened, plain, reason, shown

Part = Literal["train", "test", "validation"]
NEEDED: tuple[Part, ...] = ("train", "test")
PARTS: tuple[Part, ...] = (*NEEDED, "validation")
"""Every subject has those that are needed; on the last, if it is there, a search judges its settings."""
MOST_FILES = 1_000_000
MOST_PIXELS = 50_000_000
CLASSES = (2, 1000)
_MOST_BYTES = 200 * 2**20
_MOST_SCANS = 100
"""Of a JPEG: each may be of some bytes, and takes as long as the picture has pixels. Common are 1 and 10."""
_KINDS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}
_TESTS = ("test", "val", "validation")
"""What the folder of test pictures may be called. Where the first is there, another has the validation pictures."""
warnings.filterwarnings("ignore", module=r"PIL\.")  # what matters of a picture is said in a sentence


@dataclass(frozen=True)
class Picture:
    """One file: its path from the subject's folder, and what the file system says of it."""

    path: str
    bytes: int
    modified: int


@dataclass(frozen=True, eq=False)
class Listing:
    """All pictures of a subject, none of them opened.

    Attributes:
        classes: their names, sorted.
        parts: of each part, the pictures of each class, sorted by name.
        faults: a sentence each; without any, every class has pictures enough.
    """

    classes: tuple[str, ...] = ()
    parts: dict[Part, list[list[Picture]]] = field(default_factory=lambda: {part: [] for part in PARTS})
    faults: list[str] = field(default_factory=list)

    def of(self, part: Part) -> Iterator[tuple[int, Picture]]:
        """The pictures of a part with their classes' numbers."""
        return ((label, picture) for label, found in enumerate(self.parts[part]) for picture in found)

    def count(self, part: Part) -> int:
        return sum(map(len, self.parts[part]))

    @property
    def there(self) -> tuple[Part, ...]:
        """The parts that have pictures."""
        return tuple(part for part in PARTS if self.count(part))

    def all(self) -> Iterator[Picture]:
        return (picture for part in PARTS for _, picture in self.of(part))

    def __len__(self) -> int:
        return sum(map(self.count, PARTS))


def listed(folder: Path) -> Listing:
    """List a subject's pictures and join the classes of its parts by name. Nothing is opened, and no link followed."""
    faults: list[str] = []
    walk = _Walk(folder)
    top = walk.folders("data")
    if "train" not in top:
        if tests := [name for name in _TESTS if name in top]:
            faults.append(f"data: train beside {tests[0]} expected, or neither.")
            return Listing(faults=limited(walk.places, "folders") + faults)
        found = {"train": walk.classes(top), "test": dict[str, list[Picture]](), "validation": {}}
        for name, pictures in found["train"].items():
            test = set(_test(name, len(pictures)))
            found["test"][name] = [picture for i, picture in enumerate(pictures) if i in test]
            found["train"][name] = [picture for i, picture in enumerate(pictures) if i not in test]
    else:
        tests = [name for name in _TESTS if name in top]
        if not tests:
            faults.append("data: test (or val, or validation) beside train expected.")
        faults += limited([f"data/{shown(name)}: nothing but train, test and validation expected beside train."
                           for name in top if name not in ("train", *_TESTS)], "folders")
        if len(tests) > 2 or (len(tests) == 2 and tests[0] != "test"):
            faults.append("data: test beside train expected, and one of val and validation.")
        found = {part: {} for part in PARTS}
        found |= {part: walk.classes(walk.folders(top[name]))
                  for part, name in zip(PARTS, ("train", *tests), strict=False)}
        for part, name in zip(("test", "validation"), tests, strict=False):
            faults += _unjoined(found["train"], found[part], f"data/{name}")
    faults = limited(walk.places, "folders") + faults + limited(sorted(walk.files), "files")
    if walk.seen > MOST_FILES:
        faults.append(f"data: at most {MOST_FILES:,} files expected; no more were looked at.")
    classes = tuple(sorted(found["train"]))
    if not CLASSES[0] <= len(classes) <= CLASSES[1]:
        faults.append(f"data: {CLASSES[0]} to {CLASSES[1]:,} folders of training pictures expected, one a class, "
                      f"got {len(classes):,}.")
    few = [f"class {shown(name)}: at least 2 training and 1 test pictures expected, got {len(found['train'][name])} "
           f"and {len(found['test'][name])}." for name in classes
           if name in found["test"] and (len(found["train"][name]) < 2 or not found["test"][name])]
    few += [f"class {shown(name)}: at least 1 validation picture expected, got none." for name in classes
            if name in found["validation"] and not found["validation"][name]]
    faults += limited(few, "classes")
    return Listing(classes, {part: [found[part].get(name, []) for name in classes] for part in PARTS}, faults)


def _test(name: str, count: int) -> list[int]:
    """Which pictures of a class are for testing where the folder does not say: a fifth, the same whenever asked."""
    order = np.random.default_rng(seed_of("own split", name)).permutation(count)
    return [int(i) for i in order[:max(1, count // 5)]]


def _unjoined(train: dict[str, list[Picture]], test: dict[str, list[Picture]], where: str) -> list[str]:
    alone = [f"class {shown(name)} has no folder in {where}." for name in sorted(set(train) - set(test))]
    return limited(alone + [f"class {shown(name)} has no folder in data/train."
                             for name in sorted(set(test) - set(train))], "classes")


class _Walk:
    """A look at folders that counts what it sees, and stops when that is too much."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.seen = folder, 0
        self.places, self.files = list[str](), list[str]()  # what is wrong with folders, and with what lies in them

    def folders(self, where: str) -> dict[str, str]:
        """The folders in a folder by name, in Unicode's composed form, with their paths; other files are ignored."""
        found: dict[str, str] = {}
        looks: set[str] = set()
        for entry in self._entries(where):
            path, name = f"{where}/{entry.name}", unicodedata.normalize("NFC", entry.name)
            if entry.is_symlink():
                self.places.append(f"{shown(path)}: a folder expected, got a link.")
            elif entry.is_dir(follow_symlinks=False):
                if any(unicodedata.category(c) in ("Cc", "Cs") for c in name):
                    self.places.append(f"{shown(path)}: a name of printable Unicode expected.")
                elif (look := plain(name)) in looks:
                    self.places.append(f"{shown(path)}: two folders of the same name, written differently.")
                else:
                    found[name] = path
                    looks.add(look)
        return found

    def classes(self, folders: dict[str, str]) -> dict[str, list[Picture]]:
        return {name: self._pictures(path) for name, path in folders.items()}

    def _pictures(self, where: str) -> list[Picture]:
        found = []
        for entry in self._entries(where):
            path = f"{where}/{entry.name}"
            if entry.is_symlink():
                self.files.append(f"{shown(path)}: a picture expected, got a link.")
            elif not entry.is_file(follow_symlinks=False):
                self.files.append(f"{shown(path)}: a picture expected, got no regular file.")
            elif os.path.splitext(entry.name)[1].lower() not in _KINDS:
                self.files.append(f"{shown(path)}: a .png, .jpg or .jpeg expected.")
            else:
                try:
                    about = entry.stat(follow_symlinks=False)
                except OSError as error:  # removed meanwhile, or too long a path
                    self.files.append(f"{shown(path)} cannot be read: {reason(error)}.")
                else:
                    found.append(Picture(path, about.st_size, about.st_mtime_ns))
        return sorted(found, key=lambda picture: picture.path)

    def _entries(self, where: str) -> Iterator[os.DirEntry[str]]:
        """What lies in a folder, hidden files apart."""
        try:
            if not stat.S_ISDIR((self.folder / where).lstat().st_mode):
                self.places.append(f"{shown(where)}: a folder expected.")
                return
            with os.scandir(self.folder / where) as entries:
                for entry in islice(entries, max(0, MOST_FILES + 1 - self.seen)):
                    self.seen += 1
                    if not entry.name.startswith("."):
                        yield entry
        except FileNotFoundError:
            self.places.append(f"{shown(where)} is missing.")
        except OSError as error:
            self.places.append(f"{shown(where)} cannot be read: {reason(error)}.")


# -- single pictures ------------------------------------------------------------------------------------------------


@contextmanager
def _picture(folder: Path, path: str) -> Iterator[Image.Image]:
    """A picture whose head is read and found to be one that may be decoded.

    Raises:
        ValueError: if it is none; the message is a sentence that begins with its path.
    """
    try:
        with opened(folder / path) as stream:
            if os.fstat(stream.fileno()).st_size > _MOST_BYTES:
                raise ValueError(f"at most {_MOST_BYTES // 2**20} MiB expected")
            with Image.open(stream, formats=("PNG", "JPEG")) as picture:
                kind = "JPEG" if picture.format == "MPO" else str(picture.format)  # several JPEGs in one file
                if kind != _KINDS[os.path.splitext(path)[1].lower()]:
                    raise ValueError(f"its name says otherwise, but it is a {kind}")
                if picture.width * picture.height > MOST_PIXELS:
                    raise ValueError(f"at most {MOST_PIXELS // 10**6} megapixels expected, got "
                                     f"{picture.width:,} x {picture.height:,} pixels")
                yield picture
    except UnidentifiedImageError:
        raise ValueError(f"{shown(path)} is neither PNG nor JPEG.") from None
    except Exception as error:  # a broken picture makes decoders raise whatever they please
        raise ValueError(f"{shown(path)} cannot be used: {reason(error)}.") from error


@dataclass(frozen=True)
class Shape:
    """What all images of a subject have in common: pixels along a side, and channels."""

    size: int
    channels: int


def shape(folder: Path, listing: Listing, size: int | None, channels: int | None) -> Shape | None:
    """What is said, or else what the pictures suggest; None if no picture can say it.

    The shorter side of the first training picture, and three channels unless all pictures are grey.
    """
    pictures = (picture for _, picture in listing.of("train"))
    if size is None:
        try:
            with _picture(folder, next(pictures).path) as first:
                size = min(max(SIZES[0], min(first.size)), LARGEST_BY_DEFAULT)
        except (ValueError, StopIteration):
            return None
    if channels is None:
        channels = 1 if all(_is_grey(folder, picture) for picture in listing.all()) else 3
    return Shape(size, channels)


def _is_grey(folder: Path, picture: Picture) -> bool:
    try:
        with _picture(folder, picture.path) as head:
            return head.mode in ("1", "L", "LA") or head.mode.startswith("I")
    except ValueError:
        return True  # it is a fault of its own


def pixels(folder: Path, path: str, wanted: Shape) -> npt.NDArray[np.uint8]:
    """A picture's pixels, upright and cut from the middle to a square of that size.

    Returns:
        (channels, size, size).

    Raises:
        ValueError: if it is no picture; the message is a sentence.
    """
    with _picture(folder, path) as picture:
        if picture.format != "PNG" and (scans := _scans(folder / path)) > _MOST_SCANS:
            raise ValueError(f"at most {_MOST_SCANS} scans expected, got {scans:,}")
        side = 2 * wanted.size
        picture.draft(picture.mode, (side, side))  # a large JPEG is decoded no larger than is of use
        upright: Image.Image = ImageOps.exif_transpose(picture)
        if upright.mode.startswith("I"):  # 16 bits: the high ones; converting would cut all of them at 255
            upright = Image.fromarray((np.asarray(upright) >> 8).clip(0, 255).astype(np.uint8))
        if "A" in upright.mode or "transparency" in upright.info:
            upright = upright.convert("RGBA")
            upright = Image.alpha_composite(Image.new("RGBA", upright.size, "white"), upright)
        upright = upright.convert("L" if wanted.channels == 1 else "RGB")
        if upright.size != (wanted.size, wanted.size):
            upright = ImageOps.fit(upright, (wanted.size, wanted.size), Image.Resampling.BILINEAR)
        found: npt.NDArray[np.uint8] = np.asarray(upright).reshape(wanted.size, wanted.size, wanted.channels)
        return found.transpose(2, 0, 1)


def _scans(file: Path) -> int:
    """How often a JPEG goes over its pixels, and a few more where it holds smaller ones of itself."""
    with opened(file) as stream:
        return stream.read().count(b"\xff\xda")


def undecodable(folder: Path, listing: Listing, wanted: Shape, progress: Progress = silent) -> list[str]:
    """Decode every picture once, keeping none; a sentence for each of the first ten that cannot be, then a count."""
    faults = []
    for i, picture in enumerate(listing.all()):
        try:
            pixels(folder, picture.path, wanted)
        except ValueError as error:
            faults.append(str(error))
        progress((i + 1) / len(listing), f"{i + 1:,} of {len(listing):,} pictures")
    return limited(faults, "pictures")
