"""Sweeps: many runs over methods, networks, requests, seeds and settings, on any Dask cluster.

The cluster holds only a few runs per worker at any time and each worker loads the bundled files itself, so what moves
is a choice in one direction and a row of numbers in the other; docs/scaling.md has the arithmetic.
"""

from __future__ import annotations

import math
import queue
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

from unlearn_core.progress import Progress, silent
from unlearn_core.serving.choice import Choice
from unlearn_core.study import results
from unlearn_core.study.results import SweepError
from unlearn_core.study.run import Row, Status, failure, record

if TYPE_CHECKING:
    from distributed import Client, Future

AHEAD = 8
"""Runs a worker thread has at most: enough to be never idle, few enough for any scheduler."""
ROWS, SECONDS = 1000, 5.0
"""Finished runs are written when so many wait, or the oldest has waited so long."""


@dataclass(frozen=True)
class Tally:
    """How a sweep ended.

    Attributes:
        total: runs asked for.
        kept: of these, finished before this sweep began.
        ended: number of the others by how they ended.
    """

    total: int
    kept: int
    ended: Mapping[Status, int]

    @property
    def failed(self) -> int:
        """Runs that the next sweep will try again."""
        return self.ended.get("failed", 0)


class Runs(Protocol):
    """What is to be run, such as a `Space`: how many, each once, and on which networks."""

    @property
    def networks(self) -> Sequence[str]: ...

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Choice]: ...


def sweep(space: Runs, folder: Path, client: Client, progress: Progress = silent,
          tell: Callable[[str], None] = lambda said: None, work: Callable[[Choice], Row] = record,
          patience: float = 600.0) -> Tally:
    """Run what of a space the folder does not hold yet, and add it there.

    Runs that failed before are tried again. A run whose worker dies is given to another one; after a few deaths (the
    scheduler's ``allowed-failures``) it is recorded as failed. A subject of one's own must be on some worker (see
    `placement`), or else its runs are recorded as failed. However a sweep ends, what has finished is in the
    folder, and the same sweep goes on from there.

    Args:
        space: the runs.
        folder: of the results, see `results.load`; one sweep at a time.
        client: of the cluster, from `connect`.
        progress: told the share of runs finished; may cancel.
        tell: told in a sentence what a person should know meanwhile.
        work: what a worker does with a choice.
        patience: seconds to wait for a full disk to have room again; nothing new is run meanwhile.

    Raises:
        SweepError: if the folder is in use or stays full, or the scheduler is lost.
        Cancelled: if `progress` said so.
    """
    with results.locked(folder):
        found = results.load(folder, tell, rename=True)
        answered = set(found["key"][found["status"] != "failed"])
        kept, ended = 0, Counter[Status]()
        writer = _Writer(folder, tell, patience)

        def todo() -> Iterator[Choice]:
            nonlocal kept
            for chosen in space:
                if chosen.key in answered:
                    kept += 1
                else:
                    yield chosen

        try:
            with closing(batches(todo(), client, work, writer, space.networks, tell)) as coming:
                for rows, last in coming:
                    ended.update(cast(Status, row["status"]) for row in rows)
                    writer.write_if_due(last)
                    done = kept + ended.total()
                    failed = f", {ended['failed']:,} failed" if ended["failed"] else ""
                    progress(done / len(space), f"{done:,} of {len(space):,} runs{failed}")
        finally:
            writer.finish()
        results.compact(folder, tell)
    return Tally(len(space), kept, ended)


def batches(todo: Iterator[Choice], client: Client, work: Callable[[Choice], Row], writer: _Writer,
            networks: Sequence[str], tell: Callable[[str], None]) -> Generator[tuple[list[Row], bool], None, None]:
    """Rows as the writer gets them, a few times a second even if there are none, and whether they are the last."""
    from unlearn_core.study.placement import Placement

    # Keys of one name are one group to the scheduler, which then keeps the queue itself and not on the workers.
    name = f"run-{uuid.uuid4().hex[:8]}"
    running: dict[str, tuple[Choice, Future[Row]]] = {}
    ended: queue.SimpleQueue[Future[Row]] = queue.SimpleQueue()
    following = next(todo, None)
    counted, limit = -math.inf, 0
    try:
        placement = Placement(client, networks)
        # Runs that not every worker may get wait on the workers: one each, so that a death brings few under suspicion.
        ahead = 1 if placement.own else AHEAD
        while following is not None or running or writer.rows:
            rows: list[Row] = []
            if time.monotonic() > counted + 1:  # workers come and go
                counted, limit = time.monotonic(), ahead * max(1, sum(client.nthreads().values()))
                for said in placement.look():
                    tell(said)
                for chosen, future in list(running.values()):
                    if reason := placement.hopeless(chosen.network):
                        del running[chosen.key]
                        client.cancel(future)
                        rows.append(failure(chosen, "failed", reason))
                        writer.rows.append(rows[-1])
            while following is not None and len(running) < limit and not writer.stuck:
                future = client.submit(work, following, key=(name, following.key), pure=False,
                                       resources=placement.needs(following.network) or None)
                running[following.key] = following, future
                future.add_done_callback(ended.put)
                following = next(todo, None)
            for future in _drained(ended, 0.2):
                if future.key[1] in running:  # not given up before
                    rows.append(_row(*running.pop(future.key[1])))
                    writer.rows.append(rows[-1])  # at once: the next future may turn out to be lost
            yield rows, following is None and not running
    except OSError as error:
        raise SweepError("scheduler: the connection was lost. What has finished is in "
                         f"{writer.folder}; the same sweep goes on from there") from error
    finally:
        with suppress(OSError, RuntimeError):
            client.cancel([future for _, future in running.values()])


def _drained(ended: queue.SimpleQueue[Future[Row]], seconds: float) -> list[Future[Row]]:
    """Everything in the queue, waiting at most so long for the first."""
    found = []
    with suppress(queue.Empty):
        found.append(ended.get(timeout=seconds))
        while True:
            found.append(ended.get_nowait())
    return found


def _row(chosen: Choice, future: Future[Row]) -> Row:
    from distributed import KilledWorker

    if future.status in ("cancelled", "lost"):
        raise ConnectionError(future.status)
    try:
        row: Row = future.result()
        return row
    except KilledWorker as death:
        return failure(chosen, "failed", f"The worker died each of {death.allowed_failures + 1} times: it was killed, "
                                         "or there was not enough memory.")
    except Exception as error:
        return failure(chosen, "failed", f"{type(error).__name__}: {error}")


class _Writer:
    """Finished runs on their way to the disk.

    Attributes:
        rows: not yet written.
        stuck: whether the last attempt failed.
    """

    def __init__(self, folder: Path, tell: Callable[[str], None], patience: float) -> None:
        self.folder, self._tell, self._patience = folder, tell, patience
        self.rows: list[Row] = []
        self._tried = time.monotonic()
        self._stuck_since = math.inf

    @property
    def stuck(self) -> bool:
        return self._stuck_since < math.inf

    def write_if_due(self, last: bool) -> None:
        """Write now and then, and at the end.

        Raises:
            SweepError: if that has failed for too long.
        """
        due = time.monotonic() >= self._tried + SECONDS or ((last or len(self.rows) >= ROWS) and not self.stuck)
        if not self.rows or not due:
            return
        try:
            self._write()
        except OSError as error:
            if not self.stuck:
                self._stuck_since = time.monotonic()
                self._tell(f"{self.folder}: room for the results expected, got “{error.strerror}”. {len(self.rows):,} "
                           "finished runs wait in memory and nothing new is started; free some space there.")
            if time.monotonic() >= self._stuck_since + self._patience:
                raise SweepError(f"folder: room in {self.folder} expected, got “{error.strerror}”; free some space "
                                 "and start the same sweep again") from error

    def _write(self) -> None:
        self._tried = time.monotonic()
        results.append(self.folder, self.rows, self._tell)
        self.rows, self._stuck_since = [], math.inf

    def finish(self) -> None:
        """Write what is left, if need be where temporary files go."""
        if not self.rows:
            return
        try:
            self._write()
        except OSError:
            elsewhere = Path(tempfile.mkdtemp(prefix="lacuna-sweep-"))
            results.append(elsewhere, self.rows)
            self._tell(f"{len(self.rows):,} finished runs did not fit into {self.folder}; they are in {elsewhere}: "
                       "move that file there before the next sweep.")
