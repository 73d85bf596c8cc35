"""The one sweep of this server, in a process of its own, so that nobody's slider waits for it.

Where it runs is the operator's to say, not the visitor's, because a Dask scheduler is trusted with code:
LACUNA_SCHEDULER is the address of a running one, else it runs on this machine.
"""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import sys
import tempfile
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from unlearn_core.assets import REPOSITORY
from unlearn_core.study.sweep import Space

SCHEDULER = os.environ.get("LACUNA_SCHEDULER", "")
WORKERS = 2


@dataclass(frozen=True)
class Started:
    """The sweep of this server, running or ended. Its two logs have no name: nobody else can write there."""

    folder: Path
    about: str
    process: subprocess.Popen[bytes]
    log: IO[bytes]
    errors: IO[bytes]

    @property
    def running(self) -> bool:
        return self.process.poll() is None

    @property
    def lines(self) -> list[dict[str, Any]]:
        """What it has said so far, less what is being written or was cut by a full disk."""
        found = []
        for line in _text(self.log).splitlines():
            with suppress(ValueError):
                found.append(json.loads(line))
        return [line for line in found if isinstance(line, dict)]

    @property
    def reason(self) -> str:
        """The last line of what it has complained about, or nothing."""
        return (_text(self.errors).strip().splitlines() or [""])[-1]


def _text(file: IO[bytes]) -> str:
    # The process shares the place in the file, which seeking would move.
    return os.pread(file.fileno(), os.fstat(file.fileno()).st_size, 0).decode("utf-8", "replace")


_lock = threading.Lock()
_last: Started | None = None


def last() -> Started | None:
    """The sweep that was started last, if any."""
    return _last


def start(space: Space, folder: Path, about: str) -> None:
    """Start a sweep unless one is running.

    Raises:
        OSError: if the folder cannot be made, or there is no room for temporary files.
    """
    global _last
    command = ["nice", "-n", "10", sys.executable, "-m", "unlearn_core", "sweep", "--json", "--out", str(folder),
               "--methods", *space.methods, "--networks", *space.networks, "--seeds", str(space.seeds),
               "--forget", *map(str, space.forget),
               "--workers", str(WORKERS), "--scheduler", SCHEDULER,
               *(f"--grid={name}={','.join(map(str, values))}" for name, values in space.grid.items())]
    with _lock:
        if _last is not None and _last.running:
            return
        folder.mkdir(parents=True, exist_ok=True)
        log, errors = tempfile.TemporaryFile(), tempfile.TemporaryFile()  # noqa: SIM115 - gone with the last of them
        process = subprocess.Popen(command, cwd=REPOSITORY, stdout=log, stderr=errors, stdin=subprocess.DEVNULL,
                                   env={**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"})
        _last = Started(folder, about, process, log, errors)


def stop() -> None:
    """Interrupt the sweep; what has finished is kept."""
    if _last is not None and _last.running:
        _last.process.terminate()


atexit.register(stop)
