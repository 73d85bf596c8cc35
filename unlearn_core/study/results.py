"""The results of sweeps: a folder of Parquet files in which no finished run is ever lost or listed twice.

A sweep writes what has finished as small files, each whole before it gets its name, and puts them together at the end.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from unlearn_core.audit.measures import MEASURES
from unlearn_core.files import replacing
from unlearn_core.study.run import GAUGE_MEASURES, Row

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

WHOLE = "results.parquet"
PARTS = "part-*.parquet"
MANY = 200
"""Parts that are put together before more are written: a small file costs 3 ms to open and mostly holds headers."""

COLUMNS: dict[str, str] = {
    "key": "string", "version": "int64", "network": "string", "forget": "string", "method": "string",
    "settings": "string", "seed": "int64", "status": "string", "error": "string", "level": "string",
    "verdict": "string", "warnings": "string",
    **dict.fromkeys(MEASURES, "float64"),
    **{f"{name}_{end}": "float64" for name in GAUGE_MEASURES for end in ("low", "high")},
    "backward_images": "int64", "started": "timestamp", "elapsed": "float64", "host": "string",
}
"""Name and kind of each column, the same for every method. Empty where a run has no such value.

``key`` is `Choice.key`; ``forget`` holds class numbers separated by commas; ``settings`` is JSON; ``level`` and
``verdict`` are those of `audit.verdict`; ``*_low`` and ``*_high`` end the 95 % interval over images;
``backward_images`` counts each image as often as its gradient was taken, statistics at hand included; ``started`` is in
UTC; ``elapsed`` the worker's wall-clock seconds, evaluation included, while ``seconds`` is the processor time of the
method alone, statistics at hand included.
"""


class SweepError(Exception):
    """A sweep cannot begin or go on; the message says why and what to do. What has finished is kept."""


def load(folder: Path, tell: Callable[[str], None] = lambda said: None, rename: bool = False) -> pd.DataFrame:
    """All runs in a folder, each once: its answer if it has one, else its latest failure. Oldest first.

    A file that is damaged is left out: the next sweep repeats its runs.

    Args:
        folder: of a sweep; need not exist yet.
        tell: told a sentence about each damaged file.
        rename: whether to set damaged files aside for good, which is for who has the folder `locked`.

    Raises:
        SweepError: if a file cannot be read now, though it may be sound, or is sound and no result of a sweep.
    """
    import pyarrow as pa

    while True:  # a sweep may put its parts together while somebody reads
        try:
            tables = [read_file(file, tell, rename) for file in _files(folder)]
            break
        except FileNotFoundError:
            continue
    found = pa.concat_tables([_schema().empty_table(), *(table for table in tables if table is not None)]).to_pandas()
    found = found.assign(failed=found["status"] == "failed").sort_values(
        ["failed", "started"], ascending=[True, False], kind="stable")
    once: pd.DataFrame = found.drop_duplicates("key").drop(columns="failed").sort_values(
        "started", kind="stable", ignore_index=True)
    return once


def append(folder: Path, rows: Sequence[Row], tell: Callable[[str], None] = lambda said: None) -> None:
    """Write runs as one more file, whole or not at all; now and then put all files together, as `compact` does.

    Raises:
        OSError: if it cannot be written.
    """
    import pyarrow as pa

    write(pa.Table.from_pylist(list(rows), _schema()), folder / PARTS.replace("*", uuid.uuid4().hex))
    if len(list(folder.glob(PARTS))) >= MANY:
        compact(folder, tell)


def compact(folder: Path, tell: Callable[[str], None] = lambda said: None) -> None:
    """Put all files of a folder together, if that is possible now; else they stay, and serve as well.

    Args:
        folder: of a sweep, `locked`.
        tell: told a sentence about each damaged file, which is set aside.
    """
    parts = list(folder.glob(PARTS))
    if parts:
        with suppress(OSError, SweepError):
            write_rows(load(folder, tell, rename=True), folder / WHOLE)
            for part in parts:
                part.unlink(missing_ok=True)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Make the folder, if need be, and keep other sweeps out of it; the lock ends with the process.

    Raises:
        SweepError: if it cannot be written to, or another sweep has it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        held = FileLock(folder / ".lock").acquire(timeout=0)
    except Timeout as taken:
        raise SweepError(f"folder: {folder} is in use by another sweep; wait for it or name another folder") from taken
    except OSError as error:
        raise SweepError(f"folder: one that can be written to expected, got {folder} ({_reason(error)}); name another "
                         "one") from error
    with held:
        for unfinished in folder.glob(".*.tmp"):  # of a sweep that was killed while it wrote
            unfinished.unlink(missing_ok=True)
        yield


def _files(folder: Path) -> list[Path]:
    # Parts first: a sweep that puts them together meanwhile has written the whole before a part goes.
    return [*sorted(folder.glob(PARTS)), *folder.glob(WHOLE)]


def read_file(file: Path, tell: Callable[[str], None], rename: bool) -> pa.Table | None:
    """One file of results; None if it is damaged, which is told, and with `rename` it is set aside.

    Raises:
        FileNotFoundError: if there is none.
        SweepError: if it cannot be read now, or is sound and no result of a sweep.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:  # bytes first: whatever goes wrong with them at hand is their own fault
        raw = file.read_bytes()
        table = pq.read_table(pa.BufferReader(raw), page_checksum_verification=True)
    except FileNotFoundError:
        raise
    except (pa.ArrowException, OSError, MemoryError) as error:
        if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno is not None):
            why = _reason(error) if isinstance(error, OSError) else "there is not enough memory"
            raise SweepError(f"folder: files that can be read expected, got {file} ({why}); nothing was changed: see "
                             "to that and try again") from error
        reason = str(error).splitlines()[0]
    else:
        if table.schema.equals(_schema()):
            return table
        raise SweepError(f"folder: results of sweeps of this version expected, got {file}, which is sound but has "
                         "other columns; move it elsewhere or name another folder")
    kept = "left out"
    if rename:
        aside = file.with_name(f"{file.name}.{uuid.uuid4().hex[:6]}.corrupt")
        with suppress(OSError):
            file.rename(aside)
            kept = f"set aside as {aside.name}"
    tell(f"{file} is damaged ({reason}); it is {kept}, and the next sweep repeats its runs.")
    return None


def write(table: pa.Table, file: Path) -> None:
    """Write under another name first; the name is given when every byte is on the disk."""
    import pyarrow.parquet as pq

    with replacing(file) as unfinished, unfinished.open("wb") as stream:
        pq.write_table(table, stream, compression="zstd", write_page_checksum=True)
        stream.flush()
        os.fsync(stream.fileno())


def write_rows(rows: pd.DataFrame, file: Path) -> None:
    """Write runs, as `load` gives them, as one file."""
    import pyarrow as pa

    write(pa.Table.from_pandas(rows, _schema(), preserve_index=False), file)


def _schema() -> pa.Schema:
    import pyarrow as pa

    kinds = {"string": pa.string(), "int64": pa.int64(), "float64": pa.float64(),
             "timestamp": pa.timestamp("us", tz="UTC")}
    return pa.schema([(name, kinds[kind]) for name, kind in COLUMNS.items()])


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
