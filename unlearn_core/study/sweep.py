"""Sweeps: many runs over methods, networks, requests, seeds and settings, on any Dask cluster.

The cluster holds only a few runs per worker at any time and each worker loads the bundled files itself, so what moves
is a choice in one direction and a row of numbers in the other; docs/scaling.md has the arithmetic.
"""

from __future__ import annotations

import itertools
import logging
import math
import queue
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from unlearn_core.methods import method
from unlearn_core.methods.base import Hyperparameter, Value
from unlearn_core.nets.request import Request
from unlearn_core.progress import Progress, silent
from unlearn_core.serving.choice import SEEDS, VERSION, Choice, choice
from unlearn_core.study import results
from unlearn_core.study.results import SweepError
from unlearn_core.study.run import Row, Status, failure, record
from unlearn_core.subjects.subject import bundled

if TYPE_CHECKING:
    from distributed import Client, Future

AHEAD = 8
"""Runs a worker thread has at most: enough to be never idle, few enough for any scheduler."""
ROWS, SECONDS = 1000, 5.0
"""Finished runs are written when so many wait, or the oldest has waited so long."""
POINTS = 100_000
"""Values of one range at most."""
RUNS = 10_000_000
"""Runs of one sweep at most: their keys and rows take 10 GB of the client's memory."""
ANSWER_SECONDS = 15.0
"""How long to wait for a scheduler, and for its first worker."""

HERE = {
    # A worker gets a run only when it has nothing else to do: if it dies, no other run is suspected.
    "distributed.scheduler.worker-saturation": 1.0,
    # Dask's own MALLOC_TRIM_THRESHOLD_ is left out: with it, large blocks of memory are asked for anew each time, and
    # tensors are such blocks. Importances then take more than three times as long.
    "distributed.nanny.pre-spawn-environ": {"OMP_NUM_THREADS": 1, "OMP_WAIT_POLICY": "passive"},
}
"""Settings of a scheduler on this machine."""


@dataclass(frozen=True)
class Range:
    """Values from `low` to `high`, both included, spread as a slider of the knob is: evenly, or evenly in ratio."""

    low: float
    high: float
    points: int

    def values(self, knob: Hyperparameter) -> tuple[float, ...]:
        """The values, with three significant digits where these tell them apart.

        Raises:
            ValueError: if the knob has no range, the range is inverted, or it has fewer than two points or far too
                many.
        """
        if knob.scale == "choice":
            raise ValueError(f"{knob.name}: some of {', '.join(map(str, knob.choices))} expected, got a range")
        if not self.low < self.high:
            raise ValueError(f"{knob.name}: a range from low to high expected, got {self.low:g} to {self.high:g}")
        if self.points < 2:
            raise ValueError(f"{knob.name}: a range of at least 2 points expected, got {self.points}")
        if self.points > POINTS:
            raise ValueError(f"{knob.name}: a range of at most {POINTS:,} points expected, got {self.points:,}")
        knob.checked(self.low), knob.checked(self.high)
        spread = (np.geomspace if knob.scale == "log" else np.linspace)(self.low, self.high, self.points)
        short = tuple(min(max(float(f"{v:.3g}"), knob.low), knob.high) for v in spread)
        return short if len(set(short)) == self.points else tuple(map(float, spread))


@dataclass(frozen=True, eq=False)
class Space:
    """The runs of a sweep: every combination, each once. `len` counts them; iterating makes them one by one.

    Attributes:
        methods: names.
        networks: names of bundled networks.
        forget: the requests.
        seeds: how many, from 0; a method that uses none runs once.
        grid: values of each knob that is not at its default; a method without that knob ignores it.

    Raises:
        ValueError: if a part is empty, unknown, inverted or out of range, or there are more than `RUNS` runs.
    """

    methods: tuple[str, ...]
    networks: tuple[str, ...] = field(default_factory=lambda: (next(iter(bundled())),))
    forget: tuple[Request, ...] = (Request((0,)),)
    seeds: int = 1
    grid: Mapping[str, Range | tuple[Value, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("methods", "networks", "forget"):
            if not getattr(self, name):
                raise ValueError(f"{name}: at least one expected, got none")
        if not 1 <= self.seeds <= len(SEEDS):
            raise ValueError(f"seeds: a whole number in 1..{len(SEEDS)} expected, got {self.seeds}")
        for network, request in itertools.product(self.networks, self.forget):
            choice(network, request, self.methods[0], {})
        known = {knob.name for name in self.methods for knob in method(name).hyperparameters}
        if unknown := set(self.grid) - known:
            raise ValueError(f"grid: hyper-parameters of {', '.join(self.methods)} expected ({', '.join(sorted(known))}"
                             f"), got {', '.join(sorted(unknown))}")
        if self._total > RUNS:
            raise ValueError(f"runs: at most {RUNS:,} of one sweep expected, got {self._total:,}; vary fewer values or "
                             "split it into several")

    @cached_property
    def _grids(self) -> dict[str, dict[str, tuple[Value, ...]]]:
        """The checked values of each knob, without repeats, by method."""
        return {name: {knob.name: self._values(knob) for knob in method(name).hyperparameters if knob.name in self.grid}
                for name in self.methods}

    def _values(self, knob: Hyperparameter) -> tuple[Value, ...]:
        wanted = self.grid[knob.name]
        values = wanted.values(knob) if isinstance(wanted, Range) else wanted
        if not values:
            raise ValueError(f"{knob.name}: at least one value expected, got none")
        return tuple(dict.fromkeys(map(knob.checked, values)))

    @cached_property
    def _requests(self) -> list[tuple[str, Request]]:
        networks, forget = dict.fromkeys(self.networks), dict.fromkeys(
            Request(tuple(sorted(set(each.chosen))), each.kind) for each in self.forget)
        return list(itertools.product(networks, forget))

    def _seeds(self, name: str) -> range:
        return range(self.seeds if method(name).seeded else 1)

    @property
    def _total(self) -> int:
        return sum(len(self._requests) * math.prod(map(len, grid.values())) * len(self._seeds(name))
                   for name, grid in self._grids.items())

    def __len__(self) -> int:
        return self._total

    def __iter__(self) -> Iterator[Choice]:
        for name, grid in self._grids.items():
            for (network, forget), values, seed in itertools.product(
                    self._requests, itertools.product(*grid.values()), self._seeds(name)):
                yield choice(network, forget, name, dict(zip(grid, values, strict=True)), seed)


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


@contextmanager
def connect(scheduler: str = "", workers: int = 2) -> Iterator[Client]:
    """A client of a running scheduler, or of one on this machine with that many worker processes, one thread each.

    Args:
        scheduler: its address, such as ``tcp://10.0.0.1:8786``; empty for this machine.
        workers: processes on this machine; a running scheduler has its own.

    Raises:
        ValueError: for fewer than one worker.
        SweepError: if no scheduler answers, it has no workers, or they run other code than this.
    """
    import dask
    from distributed import Client, LocalCluster

    if workers < 1:
        raise ValueError(f"workers: a whole number from 1 on expected, got {workers}")
    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # whatever matters is said by a row or an error
    if not scheduler:
        with (dask.config.set(HERE),
              LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address="127.0.0.1:0",
                           silence_logs=logging.CRITICAL) as cluster,
              Client(cluster) as client):
            yield client
        return
    try:
        client = Client(scheduler, timeout=ANSWER_SECONDS)
    except (OSError, ValueError, RuntimeError) as error:
        raise SweepError(f"scheduler: the address of a running Dask scheduler expected, got {scheduler}, where none "
                         "answers; check it, or leave it out to use this machine") from error
    with client:
        _check(client)
        yield client


def _check(client: Client) -> None:
    address = client.scheduler.address
    try:
        client.wait_for_workers(1, timeout=ANSWER_SECONDS)
    except TimeoutError as error:
        raise SweepError(f"scheduler: at least one worker expected at {address}, got none; start some with "
                         f"`dask worker {address}`") from error
    found: dict[str, object] = client.run(_version, on_error="return")
    try:
        found[address] = client.run_on_scheduler(_version)  # it reads the runs that it passes on
    except Exception as error:
        found[address] = error
    for place, version in found.items():
        if version != VERSION:
            raise SweepError(f"cluster: unlearn_core of version {VERSION} expected at {place}, got {version}; install "
                             "the same code on scheduler and workers, or name its folder in PYTHONPATH")


def _version() -> int:
    return VERSION


def sweep(space: Space, folder: Path, client: Client, progress: Progress = silent,
          tell: Callable[[str], None] = lambda said: None, work: Callable[[Choice], Row] = record,
          patience: float = 600.0) -> Tally:
    """Run what of a space the folder does not hold yet, and add it there.

    Runs that failed before are tried again. A run whose worker dies is given to another one; after a few deaths (the
    scheduler's ``allowed-failures``) it is recorded as failed. However a sweep ends, what has finished is in the
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
            with closing(_batches(todo(), client, work, writer)) as batches:
                for rows, last in batches:
                    ended.update(cast(Status, row["status"]) for row in rows)
                    writer.write_if_due(last)
                    done = kept + ended.total()
                    failed = f", {ended['failed']:,} failed" if ended["failed"] else ""
                    progress(done / len(space), f"{done:,} of {len(space):,} runs{failed}")
        finally:
            writer.finish()
        results.compact(folder, tell)
    return Tally(len(space), kept, ended)


def _batches(todo: Iterator[Choice], client: Client, work: Callable[[Choice], Row],
             writer: _Writer) -> Generator[tuple[list[Row], bool], None, None]:
    """Rows as the writer gets them, a few times a second even if there are none, and whether they are the last."""
    # Keys of one name are one group to the scheduler, which then keeps the queue itself and not on the workers.
    name = f"run-{uuid.uuid4().hex[:8]}"
    running: dict[str, tuple[Choice, Future[Row]]] = {}
    ended: queue.SimpleQueue[Future[Row]] = queue.SimpleQueue()
    following = next(todo, None)
    counted, limit = -math.inf, 0
    try:
        while following is not None or running or writer.rows:
            if time.monotonic() > counted + 1:  # workers come and go
                counted, limit = time.monotonic(), AHEAD * max(1, sum(client.nthreads().values()))
            while following is not None and len(running) < limit and not writer.stuck:
                future = client.submit(work, following, key=(name, following.key), pure=False)
                running[following.key] = following, future
                future.add_done_callback(ended.put)
                following = next(todo, None)
            rows: list[Row] = []
            for future in _drained(ended, 0.2):
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
