"""The bundled files: each is listed in `assets/manifest.json` and checked before it is read.

Only formats that cannot carry code are read: safetensors, plain npz, JSON.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import zipfile
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

REPOSITORY = Path(__file__).parent.parent
ROOT = Path(os.environ.get("LACUNA_ASSETS", REPOSITORY / "assets"))


class AssetError(Exception):
    """A bundled file is missing, incomplete or not the one that was shipped. The message names it."""


@dataclass(frozen=True)
class AssetFile:
    """What the manifest says of one file."""

    sha256: str
    bytes: int
    about: str


@dataclass(frozen=True)
class DataSource:
    """Where a bundled data set comes from, and what its numbers mean.

    Attributes:
        title: for people.
        classes: their names.
        licence: what may be done with it.
        provenance: who made it, and which part of it is bundled.
        mean: of the training images, by channel, in [0, 1].
        std: of the training images, by channel, in [0, 1].
        groups: names of further groups of the images, by the kind of group.
    """

    title: str
    classes: list[str]
    licence: str
    provenance: str
    mean: list[float] = field(default_factory=list)
    std: list[float] = field(default_factory=list)
    groups: dict[str, list[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Manifest:
    """The table of contents of the assets folder."""

    data: dict[str, DataSource]
    files: dict[str, AssetFile]


@cache
def manifest() -> Manifest:
    """The manifest, read once.

    Raises:
        AssetError: if it is missing or cannot be read.
    """
    try:
        raw = json.loads((ROOT / "manifest.json").read_text("utf-8"))
        return Manifest({k: DataSource(**v) for k, v in raw["data"].items()},
                        {k: AssetFile(**v) for k, v in raw["files"].items()})
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise AssetError(f"assets/manifest.json cannot be read ({reason(error)}). Restore it from the repository."
                         ) from error


_checked: dict[Path, tuple[int, int, int]] = {}
"""Of each file that was found to be as shipped: when it was changed last, its size and its place on the disk."""


def path(name: str) -> Path:
    """The file's path, after its size and SHA-256 were found to match the manifest; again when it has changed since.

    Raises:
        AssetError: if it is not listed, missing, cannot be read, or is not the file that was shipped.
    """
    expected = manifest().files.get(name)
    if expected is None:
        raise AssetError(f"assets/{name} is not listed in the manifest, so it is not loaded.")
    file = ROOT / name
    try:
        found = file.stat()
        if not stat.S_ISREG(found.st_mode):
            raise FileNotFoundError
        state = found.st_mtime_ns, found.st_size, found.st_ino
        same = _checked.get(file) == state or (found.st_size == expected.bytes and sha256(file) == expected.sha256)
    except FileNotFoundError as error:
        raise AssetError(f"assets/{name} is missing. Restore it from the repository or run `make assets`.") from error
    except OSError as error:
        raise AssetError(f"assets/{name} cannot be read ({reason(error)}). Whoever runs the app must let it be "
                         "read.") from error
    if not same:
        raise AssetError(f"assets/{name} is not the file that was shipped (its checksum differs), so it is not "
                         "loaded. Restore it from the repository or run `make assets`.")
    _checked[file] = state
    return file


def reason(error: Exception) -> str:
    """What went wrong, in the system's words for a file and else in the error's own: without the path of any folder."""
    return error.strerror.lower() if isinstance(error, OSError) and error.strerror else str(error)


def sha256(file: Path) -> str:
    """The file's SHA-256 as hexadecimal digits."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def arrays(name: str) -> dict[str, npt.NDArray[np.generic]]:
    """All arrays of a bundled npz file."""
    return read_arrays(path(name))


def tensors(name: str) -> dict[str, Tensor]:
    """All tensors of a bundled safetensors file."""
    return read_tensors(path(name))


def read_arrays(file: Path) -> dict[str, npt.NDArray[np.generic]]:
    """All arrays of an npz file; no pickled object is ever read."""
    try:
        with np.load(file, allow_pickle=False) as table:
            return {key: table[key] for key in table.files}
    except (ValueError, OSError, EOFError, TypeError, zipfile.BadZipFile) as error:
        raise AssetError(f"{_named(file)} cannot be read ({reason(error)}).") from error


def read_tensors(file: Path) -> dict[str, Tensor]:
    """All tensors of a safetensors file.

    They are copied into memory: what is only mapped from a file ends the process when that file is cut short.
    """
    try:
        return load(file.read_bytes())
    except (SafetensorError, OSError) as error:
        raise AssetError(f"{_named(file)} cannot be read ({reason(error)}).") from error


def _named(file: Path) -> str:
    """A file's name for a message, without the folders above the project's or the subject's."""
    return f"assets/{file.relative_to(ROOT)}" if file.is_relative_to(ROOT) else "/".join(file.parts[-2:])


def tuning(method: str) -> list[dict[str, Any]]:
    """The settings of a method that were tried when its defaults were chosen, best first; empty if none were."""
    name = f"tuning/{method}.json"
    found: list[dict[str, Any]] = json.loads(path(name).read_text("utf-8")) if name in manifest().files else []
    return found


def write_manifest(data: dict[str, DataSource], about: dict[str, str]) -> None:
    """List every file named in `about` with its size and checksum (used when assets are remade)."""
    files = {name: AssetFile(sha256(ROOT / name), (ROOT / name).stat().st_size, text)
             for name, text in sorted(about.items())}
    table = {"data": {k: asdict(v) for k, v in data.items()}, "files": {k: asdict(v) for k, v in files.items()}}
    (ROOT / "manifest.json").write_text(json.dumps(table, indent=1) + "\n", "utf-8")
    manifest.cache_clear()
    _checked.clear()
