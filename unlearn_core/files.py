"""Files that are there whole or not at all."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def replacing(file: Path) -> Iterator[Path]:
    """A name beside this file to write under; this file takes what was written when all went well.

    Whatever goes wrong, an interruption included, this file stays as it was. Where the process is killed outright, a
    hidden file that ends in ``.tmp`` may be left in its folder.

    Raises:
        OSError: if the file cannot be replaced.
    """
    unfinished = file.with_name(f".{uuid.uuid4().hex}.tmp")
    try:
        yield unfinished
        unfinished.replace(file)
    finally:
        with suppress(OSError):  # it has its name by now, or was never made
            unfinished.unlink()
