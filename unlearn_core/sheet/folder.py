"""A sheet as a folder: the data, the page, the card, the weights and, with a key, the keyed hashes of the images."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Sequence
from pathlib import Path

from unlearn_core.sheet import render
from unlearn_core.sheet.evidence import Evidence

WEIGHTS, HASHES = "weights.safetensors", "forget-manifest.txt"


def texts(evidence: Evidence) -> dict[str, str]:
    """What follows from the data, by the names of the files."""
    return {render.DATA: render.data(evidence), render.PAGE: render.page(evidence), render.CARD: render.card(evidence)}


def check_empty(folder: Path) -> None:
    """Nothing is ever written over.

    Raises:
        ValueError: unless the folder is empty, or not there in a folder that is.
    """
    there = folder.is_dir() and not folder.is_symlink() and not any(folder.iterdir())
    fresh = not folder.exists() and not folder.is_symlink() and folder.resolve().parent.is_dir()
    if not (there or fresh):
        raise ValueError(f"out: an empty folder, or a new one in a folder that exists, expected, got {folder}; nothing "
                         "is written over")


def write(folder: Path, evidence: Evidence, weights: bytes, hashes: Sequence[str] | None) -> list[Path]:
    """Write a sheet whole or not at all; the files.

    Raises:
        ValueError: as `check_empty`.
        OSError: if nothing can be written there.
    """
    check_empty(folder)
    made = folder.resolve().with_name(f".{uuid.uuid4().hex}.tmp")
    try:
        made.mkdir()
        for name, text in texts(evidence).items():
            (made / name).write_text(text, "utf-8")
        (made / WEIGHTS).write_bytes(weights)
        if hashes is not None:
            (made / HASHES).write_text("\n".join(hashes) + "\n", "ascii")
        made.rename(folder)  # fails where something has come in between
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return sorted(folder.iterdir())
