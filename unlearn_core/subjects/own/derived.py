"""What `prepare` leaves in a folder's ``derived``: which files, what each was made from, and how they are read.

Every file is written under a temporary name and then renamed, and holds or is noted with the key of what it was made
from: so a stopped `prepare` knows what is done.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from safetensors import SafetensorError, safe_open

from unlearn_core.nets.images import Groups, ImageSet
from unlearn_core.progress import Progress, silent
from unlearn_core.subjects.own.description import DESCRIPTION, opened
from unlearn_core.subjects.own.groups import METADATA
from unlearn_core.subjects.own.pictures import NEEDED, Listing, Part
from unlearn_core.subjects.own.study import DERIVED, Study
from unlearn_core.subjects.own.weights import MODEL, retrained_files

FORMAT = 1
"""Of what is derived; another number makes everything anew."""
RECORD, CONTENTS, DECODED = "prepared.json", "contents.json", "images.json"


def arrays(parts: Sequence[Part]) -> set[str]:
    """The files of decoded pictures of some parts."""
    return {f"{kind}-{part}.npy" for kind in ("images", "labels") for part in parts}


def key_of(*parts: object) -> str:
    """One key for all that something was made from."""
    return hashlib.sha256(repr((FORMAT, *parts)).encode()).hexdigest()


# -- files ------------------------------------------------------------------------------------------------------------


def read_table(file: Path, most: int = 2**24) -> dict[str, object]:
    """A table that `prepare` wrote; empty if there is none that can be read, or one of more bytes than that."""
    try:
        with opened(file) as stream:
            found = json.loads(stream.read(most)) if os.fstat(stream.fileno()).st_size <= most else None
        return found if isinstance(found, dict) else {}
    except (OSError, ValueError, RecursionError):
        return {}


def write_table(file: Path, said: object) -> None:
    """Write a table that `read_table` reads."""
    with written(file) as stream:
        stream.write(json.dumps(said).encode())


@contextmanager
def written(file: Path) -> Iterator[BinaryIO]:
    """A file to write that gets its name when all of it is there."""
    made = file.with_name(f".{file.name}.{os.getpid()}.tmp")
    try:
        with made.open("xb") as stream:
            yield stream
        made.replace(file)
    finally:
        made.unlink(missing_ok=True)


@contextmanager
def locked(folder: Path) -> Iterator[Path]:
    """The folder's ``derived``, made if need be, for one process alone; the lock ends with the process.

    Raises:
        ValueError: if another process has it.
        OSError: if it cannot be made.
    """
    derived = folder / DERIVED
    derived.mkdir(exist_ok=True)
    handle = os.open(derived, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError("This folder is being prepared already, in another process; wait until that is done, "
                             "or stop it.") from None
        yield derived
    finally:
        os.close(handle)


def length(file: Path) -> int:
    """Bytes of a regular file; -1 if it is none."""
    return file.stat().st_size if file.is_file() and not file.is_symlink() else -1


def digest(file: Path) -> str:
    """SHA-256 of a regular file.

    Raises:
        OSError: if it is none, or cannot be read.
    """
    with opened(file) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


# -- what the folder holds --------------------------------------------------------------------------------------------


def contents_of(folder: Path, listing: Listing, progress: Progress = silent) -> dict[str, list[object]]:
    """By path: bytes, time and SHA-256 of every picture, and of the networks and the metadata where they are.

    A file is read only if its size or its time differ from those that were noted when it was read last.
    """
    known = _contents(folder, listing)
    found: dict[str, list[object]] = {}
    stats = [(picture.path, picture.bytes, picture.modified) for picture in listing.all()]
    for name in (MODEL, METADATA, *retrained_files(folder)):
        if os.path.lexists(folder / name):
            about = (folder / name).lstat()
            stats.append((name, about.st_size, about.st_mtime_ns))
    for i, (path, size, modified) in enumerate(stats):
        found[path] = noted(known, path, size, modified) or [size, modified, digest(folder / path)]
        progress((i + 1) / len(stats), f"reading {i + 1:,} of {len(stats):,} files")
    return found


def _contents(folder: Path, listing: Listing) -> dict[str, object]:
    """What was noted of the files; of a path that takes more than its share of bytes, nothing is known."""
    return read_table(folder / DERIVED / CONTENTS, 2**20 + 2**11 * len(listing))


def noted(known: dict[str, object], path: str, size: int, modified: int) -> list[object] | None:
    """What is noted of a file, if it is of this size and time."""
    found = known.get(path)
    return found if isinstance(found, list) and len(found) == 3 and found[:2] == [size, modified] else None


def fingerprint(folder: Path, contents: dict[str, list[object]]) -> str:
    """Of all that a subject is made from: its description, networks and metadata; each picture's name and content.

    Raises:
        OSError: if the description cannot be read.
    """
    return key_of(digest(folder / DESCRIPTION), [(path, said[0], said[2]) for path, said in sorted(contents.items())])


# -- what is derived --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Record:
    """What `prepare` says at its end.

    Attributes:
        fingerprint: of what the folder held.
        trained: whether the network was trained here.
        model: SHA-256 of its file.
        classes: their names.
        mean: of each channel, in [0, 1].
        std: likewise.
        accuracy: of the network on all test images.
        files: bytes of each derived file that a subject cannot do without.
        references: SHA-256 of each derived file of retrained networks.
    """

    fingerprint: str
    trained: bool
    model: str
    classes: list[str]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    accuracy: float
    files: dict[str, int]
    references: dict[str, str]

    @property
    def identity(self) -> str:
        """Of everything that decides what the subject answers."""
        return key_of(self.fingerprint, self.model, sorted(self.references.items()))[:16]


def record(folder: Path) -> Record | None:
    """What `prepare` said of a folder; None if it has not come to its end, or cannot be read."""
    said = read_table(folder / DERIVED / RECORD)
    kinds = {"fingerprint": str, "trained": bool, "model": str, "classes": list, "mean": list, "std": list,
             "accuracy": float, "files": dict, "references": dict}
    if (folder / DERIVED).is_symlink() or any(type(said.get(name)) is not kind for name, kind in kinds.items()) or (
            not all(type(value) is float and math.isfinite(value) for value in [*said["mean"], *said["std"]])):  # type: ignore[misc]
        return None
    return Record(**{name: tuple(value) if isinstance(value, list) and name != "classes" else value
                     for name, value in said.items() if name in kinds})  # type: ignore[arg-type]


def fits(folder: Path, found: Record) -> bool:
    """Whether the derived files are all there, each as long as it was."""
    return set(found.files) - arrays(["validation"]) == {*arrays(NEEDED), *[MODEL] * found.trained} and all(
        length(folder / DERIVED / name) == size for name, size in found.files.items())


def image_set(folder: Path, part: Part, name: str, classes: list[str], mean: tuple[float, ...],
              std: tuple[float, ...], groups: Mapping[str, Groups]) -> ImageSet:
    """The decoded images of a part; they stay in the file until they are looked at.

    Raises:
        OSError, ValueError: if the files are missing or are none of these.
    """
    # Copied on writing: PyTorch does not know of memory that cannot be written.
    images, labels = (np.load(folder / DERIVED / f"{kind}-{part}.npy", mmap_mode="c", allow_pickle=False)
                      for kind in ("images", "labels"))
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1] != len(mean) or labels.dtype != np.int64 or (
            labels.shape != images.shape[:1] or not len(labels) or labels.min() < 0 or labels.max() >= len(classes)):
        raise ValueError(f"images-{part}.npy and labels-{part}.npy are not what was decoded")
    return ImageSet(name, torch.from_numpy(np.asarray(images)), torch.from_numpy(np.array(labels)), tuple(classes),
                    mean, std, groups)


# -- of what it was made ----------------------------------------------------------------------------------------------


def pictures_key(study: Study, contents: dict[str, list[object]]) -> str:
    """Of the decoded pictures; behind a plus those of validation, on which no network depends."""
    def of(parts: Sequence[Part]) -> str:
        return key_of("pictures", asdict(study.shape), [(part, label, contents[picture.path][2]) for part in parts
                                                        for label, picture in study.listing.of(part)])

    return of(NEEDED) + (f"+{of(['validation'])}" if study.listing.count("validation") else "")


def decoded(study: Study, key: str) -> tuple[list[float], list[float]] | None:
    """Mean and standard deviation of the decoded training images; None if these pictures are not decoded."""
    said = read_table(study.folder / DERIVED / DECODED)
    files = said.get("files")
    if said.get("key") != key or not isinstance(files, dict) or set(files) != arrays(study.listing.there) or any(
            length(study.folder / DERIVED / name) != size for name, size in files.items()):
        return None
    return said["mean"], said["std"]  # type: ignore[return-value]


def decoded_key(study: Study) -> str | None:
    """The key of the decoded pictures if they are those of the folder; None if not, or if a file changed since."""
    known = _contents(study.folder, study.listing)
    if not all(noted(known, picture.path, picture.bytes, picture.modified) for picture in study.listing.all()):
        return None  # all would have to be read to know
    key = pictures_key(study, contents_of(study.folder, study.listing))
    return None if decoded(study, key) is None else key


def scale(study: Study, key: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation by which images are standardised: those that are said, or the training images'."""
    found, said = decoded(study, key), study.description
    if said.mean is not None and said.std is not None:
        return said.mean, said.std
    if found is None:
        raise ValueError("The decoded pictures were removed meanwhile; start again.")
    return tuple(found[0]), tuple(found[1])


def network_key(study: Study, key: str) -> str:
    """Of a network trained on the decoded pictures of that key."""
    return key_of(key.partition("+")[0], study.description.architecture, asdict(study.description.recipe),
                  scale(study, key))


def about_networks(file: Path) -> dict[str, str]:
    """What `prepare` noted in a file of networks; empty if there is none, or none that can be read."""
    if length(file) < 0:
        return {}
    try:
        with safe_open(file, "pt") as stored:
            return dict(stored.metadata() or {})
    except (SafetensorError, OSError):
        return {}


def network_file(study: Study) -> Path:
    """The subject's own network, or that which was trained here."""
    return study.folder / MODEL if study.given else study.folder / DERIVED / MODEL
