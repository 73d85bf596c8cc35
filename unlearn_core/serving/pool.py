"""One bounded pool of compute for all sessions: priorities, shared work, real cancellation."""

from __future__ import annotations

import atexit
import os
import threading
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from contextlib import suppress
from enum import IntEnum
from functools import partial
from typing import Generic, TypeVar, cast

from cachetools import LRUCache

from unlearn_core.progress import Cancelled, Progress

T = TypeVar("T")


class Lane(IntEnum):
    """Who goes first."""

    RELEASE = 0  # somebody let go of a slider and is looking
    SCENE = 1  # somebody chose another class, network or method: a second or two
    AUDIT = 2  # somebody has an answer, and its verdict on all images is to follow: a second or two
    LONG = 3  # somebody watches a progress bar
    FILL = 4  # nobody waits


WORKERS = (((Lane.RELEASE,), 0), ((Lane.RELEASE,), 0), ((Lane.SCENE, Lane.RELEASE), 0), ((Lane.AUDIT,), 0),
           ((Lane.SCENE, Lane.LONG, Lane.FILL), 10))
"""The lanes whose work each worker takes, first to last, and its niceness. Releases have two of their own, because one
evaluates while the other prepares; none of the other lanes waits for them for ever, for with thirty visitors there is
always one. Verdicts have a worker, because there is one behind every answer: whoever chose another class, or watches a
progress bar, should not wait for them."""
PAUSE = {Lane.SCENE: 0.1, Lane.AUDIT: 1.0, Lane.LONG: 0.1, Lane.FILL: 0.1}
"""Seconds for which work steps aside, at each of its steps, while somebody waits for a release. It must not be for as
long as there is one: with thirty visitors there always is. Most of them move on before they need the verdict."""


class Ticket(Generic[T]):
    """One holder's interest in a piece of work. Work that nobody holds any more is cancelled."""

    def __init__(self, pool: Pool, job: _Job) -> None:
        self._pool, self._job, self._held = pool, job, True

    @property
    def key(self) -> Hashable:
        """What was asked for."""
        return self._job.key

    @property
    def share(self) -> float:
        """Share done, in [0, 1]."""
        return self._job.share

    @property
    def note(self) -> str:
        """What is being done."""
        return self._job.note

    def wait(self, seconds: float) -> bool:
        """Wait at most so long; True once the work is finished, whether it succeeded or failed."""
        return self._job.finished.wait(seconds)

    def result(self) -> T:
        """The result, waiting for it if need be.

        Raises:
            Exception: whatever the work raised.
        """
        self._job.finished.wait()
        self.release()
        if self._job.error is not None:
            raise self._job.error
        return cast(T, self._job.value)

    def release(self) -> None:
        """Give up interest; harmless when repeated."""
        if self._held:
            self._held = False
            self._pool._release(self._job)

    __del__ = release  # a closed tab gives up too, once its session is forgotten


class _Job:
    def __init__(self, key: Hashable, work: Callable[[Progress], object], lane: Lane, keep: bool) -> None:
        self.key, self.work, self.lane, self.keep = key, work, lane, keep
        self.holders = 0
        self.share, self.note = 0.0, ""
        self.finished = threading.Event()
        self.value: object = None
        self.error: BaseException | None = None


class Pool:
    """Worker threads over a priority queue, and a cache of results bounded in bytes.

    Args:
        cache_bytes: how much the kept results may weigh together.
        weigh: bytes of a result.
    """

    def __init__(self, cache_bytes: int, weigh: Callable[[object], int]) -> None:
        self._changed = threading.Condition()
        self._queue: dict[Lane, deque[_Job]] = {lane: deque() for lane in Lane}
        self._jobs: dict[Hashable, _Job] = {}
        self._cache: LRUCache[Hashable, object] = LRUCache(cache_bytes, getsizeof=weigh)
        self._urgent = 0  # jobs of the release lane that are queued or running
        self._closed = False
        self._threads = [threading.Thread(target=self._worker, args=worker, daemon=True) for worker in WORKERS]
        for thread in self._threads:
            thread.start()
        atexit.register(self.close)  # a thread torn down inside PyTorch would abort the process

    def close(self) -> None:
        """Stop all work at its next step, and the workers with it."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join(timeout=10)

    @property
    def awaited(self) -> bool:
        """Whether somebody waits for long work that has not begun."""
        return self.queued(Lane.LONG) > 0

    def queued(self, lane: Lane) -> int:
        """How many pieces of work of a lane have not begun."""
        with self._changed:
            return sum(job.holders > 0 and not job.note for job in self._queue[lane])

    def known(self, key: Hashable) -> object | None:
        """The kept result of that key, or None."""
        with self._changed:
            return self._cache.get(key)

    def keep(self, key: Hashable, value: T) -> T:
        """Keep a result that was computed within another job."""
        with self._changed:
            self._keep(key, value)
        return value

    def clear(self) -> None:
        """Drop every kept result."""
        with self._changed:
            self._cache.clear()

    def submit(self, key: Hashable, work: Callable[[Progress], T], lane: Lane, keep: bool = True) -> Ticket[T]:
        """Ask for a result. Requests with one key share one run; a kept result is at hand at once.

        Args:
            key: what is asked for.
            work: computes it; told how to say its progress.
            lane: how urgent it is.
            keep: whether the result is kept for later requests.
        """
        with self._changed:
            job = self._jobs.get(key)
            if job is None:
                job = _Job(key, work, lane, keep)
                if key in self._cache:
                    job.value = self._cache[key]
                    job.finished.set()
                else:
                    self._jobs[key] = job
                    self._push(job)
            elif lane < job.lane and not job.share:
                job.lane = lane  # somebody more urgent wants the same
                self._push(job)
            job.holders += 1
            return Ticket(self, job)

    def _push(self, job: _Job) -> None:
        self._queue[job.lane].append(job)
        self._changed.notify_all()

    def _release(self, job: _Job) -> None:
        with self._changed:
            job.holders -= 1
            if job.holders == 0 and self._jobs.get(job.key) is job:
                del self._jobs[job.key]  # a later request starts afresh; a running job stops at its next step
                self._changed.notify_all()

    def _worker(self, lanes: Sequence[Lane], niceness: int) -> None:
        if niceness:
            with suppress(AttributeError, OSError):  # on Linux each thread has a priority of its own
                os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), niceness)
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or any(self._queue[lane] for lane in lanes))
                if self._closed:
                    return
                job = next(self._queue[lane].popleft() for lane in lanes if self._queue[lane])
                if job.holders == 0 or job.finished.is_set() or job.note:
                    continue  # dropped, done, or already taken by the other worker
                job.note = "starting"
                self._urgent += job.lane is Lane.RELEASE
            try:
                job.value = job.work(partial(self._step, job))
            except BaseException as error:
                job.error = error
            with self._changed:
                self._urgent -= job.lane is Lane.RELEASE
                if job.error is None and job.keep:
                    self._keep(job.key, job.value)
                if self._jobs.get(job.key) is job:
                    del self._jobs[job.key]
                job.finished.set()
                self._changed.notify_all()

    def _keep(self, key: Hashable, value: object) -> None:
        with suppress(ValueError):  # heavier than the whole cache: handed out, not kept
            self._cache[key] = value

    def _step(self, job: _Job, share: float, note: str = "") -> None:
        """Progress of a running job: stops it when nobody holds it, and lets urgent work pass."""
        job.share, job.note = share, note or "working"
        with self._changed:
            if job.lane is not Lane.RELEASE:
                self._changed.wait_for(lambda: self._closed or job.holders == 0 or not self._urgent,
                                       timeout=PAUSE[job.lane])
            if self._closed or job.holders == 0:
                raise Cancelled
