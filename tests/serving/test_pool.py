"""The compute pool: shared work, priorities, cancellation, a bounded cache."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from unlearn_core.progress import Cancelled, Progress
from unlearn_core.serving.pool import WORKERS, Lane, Pool


@pytest.fixture
def pool() -> Pool:
    return Pool(1000, weigh=lambda value: len(str(value)))


def stepping(steps: int, log: list[str] | None = None, name: str = "") -> Callable[[Progress], str]:
    def work(progress: Progress) -> str:
        for i in range(steps):
            time.sleep(0.01)
            progress((i + 1) / steps, "stepping")
            if log is not None:
                log.append(name)
        return name

    return work


def test_identical_requests_run_once(pool: Pool) -> None:
    runs: list[int] = []

    def work(progress: Progress) -> str:
        runs.append(1)
        time.sleep(0.05)
        return "answer"

    tickets = [pool.submit("key", work, Lane.RELEASE) for _ in range(8)]
    assert [t.result() for t in tickets] == ["answer"] * 8
    assert pool.submit("key", work, Lane.RELEASE).result() == "answer" and len(runs) == 1


def test_work_that_nobody_holds_stops_and_is_not_kept(pool: Pool) -> None:
    seen: list[str] = []
    ticket = pool.submit("long", stepping(1000, seen, "step"), Lane.LONG)
    while not seen:
        time.sleep(0.005)
    ticket.release()
    ticket.release()
    assert ticket.wait(2)
    assert len(seen) < 900 and pool.known("long") is None
    with pytest.raises(Cancelled):
        ticket.result()
    assert pool.submit("long", stepping(2, name="again"), Lane.LONG).result() == "again"


def test_work_that_somebody_else_holds_goes_on(pool: Pool) -> None:
    first, second = (pool.submit("shared", stepping(20, name="done"), Lane.LONG) for _ in range(2))
    first.release()
    assert second.result() == "done"


def test_queued_work_that_is_given_up_never_starts(pool: Pool) -> None:
    gate = threading.Event()
    blocked = [pool.submit(i, lambda _: gate.wait(5), Lane.RELEASE) for i in range(len(WORKERS))]
    started: list[str] = []
    waiting = pool.submit("given up", lambda _: started.append("started"), Lane.RELEASE)
    waiting.release()
    gate.set()
    for ticket in blocked:
        ticket.result()
    pool.submit("after", lambda _: None, Lane.FILL).result()
    assert not started


def test_long_work_never_blocks_a_release_and_waits_while_it_runs(pool: Pool) -> None:
    log: list[str] = []
    long = pool.submit("long", stepping(100, log, "long"), Lane.LONG)
    fill = pool.submit("fill", stepping(1, log, "fill"), Lane.FILL)
    while len(log) < 3:
        time.sleep(0.005)
    before = log.count("long")

    def urgent(progress: Progress) -> int:
        time.sleep(0.2)
        return log.count("long")

    during = pool.submit("urgent", urgent, Lane.RELEASE).result()
    assert during - before <= 2, "the long job paused"
    assert "fill" not in log, "what nobody waits for comes last"
    long.result()
    fill.result()
    assert log[-1] == "fill"


def test_a_scene_waits_for_no_long_work_and_lets_releases_through(pool: Pool) -> None:
    log: list[str] = []
    long = [pool.submit(name, stepping(500, log, name), Lane.LONG) for name in ("first", "second")]
    while not log:
        time.sleep(0.005)
    scenes = [pool.submit(name, stepping(20, log, name), Lane.SCENE) for name in ("one", "two")]
    assert pool.submit("release", lambda _: "at once", Lane.RELEASE).result() == "at once"
    assert not any(ticket.wait(0) for ticket in long + scenes), "before any of the others was done"
    for ticket in scenes:
        ticket.result()
    assert not long[0].wait(0) and "second" not in log, "long work never takes the workers of faster lanes"
    for ticket in long:
        ticket.release()


def test_a_queue_of_verdicts_keeps_nobody_from_another_scene_or_from_training(pool: Pool) -> None:
    gate = threading.Event()
    audits = [pool.submit(i, lambda _: gate.wait(10), Lane.AUDIT) for i in range(3)]
    for lane in (Lane.SCENE, Lane.LONG, Lane.RELEASE, Lane.FILL):
        assert pool.submit(lane.name, lambda _: "done", lane).result() == "done"
    assert pool.queued(Lane.AUDIT) == 2 and not any(audit.wait(0) for audit in audits), "one runs, two wait"
    gate.set()
    assert all(audit.result() for audit in audits) and pool.queued(Lane.AUDIT) == 0


def test_a_scene_is_taken_although_there_is_always_a_release(pool: Pool) -> None:
    gate, last, log = threading.Event(), threading.Event(), list[tuple[str, int]]()

    def work(name: str, until: threading.Event) -> Callable[[Progress], bool]:
        def wait(progress: Progress) -> bool:
            log.append((name, threading.get_ident()))
            return until.wait(10)
        return wait

    tickets = [pool.submit("training", work("training", last), Lane.LONG)]
    tickets += [pool.submit(i, work("release", gate), Lane.RELEASE) for i in range(20)]
    while len(log) < 4:  # one trains, three take releases
        time.sleep(0.005)
    scene = pool.submit("scene", work("scene", gate), Lane.SCENE)
    gate.set()
    scene.result()
    worker = next(worker for name, worker in log if name == "scene")
    assert [name for name, of in log if of == worker][:2] == ["release", "scene"]
    last.set()
    assert all(ticket.result() for ticket in tickets)


def test_a_failure_reaches_everybody_and_the_next_try_works(pool: Pool) -> None:
    def fail(progress: Progress) -> str:
        time.sleep(0.05)
        raise ValueError("a clear sentence")

    for ticket in [pool.submit("key", fail, Lane.RELEASE) for _ in range(3)]:
        with pytest.raises(ValueError, match="a clear sentence"):
            ticket.result()
    assert pool.submit("key", lambda _: "fine", Lane.RELEASE).result() == "fine"


def test_the_cache_is_bounded_in_weight(pool: Pool) -> None:
    for i in range(50):
        pool.submit(i, lambda _: "x" * 100, Lane.RELEASE).result()
    assert sum(pool.known(i) is not None for i in range(50)) == 10
    assert pool.submit("huge", lambda _: "x" * 2000, Lane.RELEASE).result() == "x" * 2000
    assert pool.known("huge") is None


def test_a_ticket_that_nobody_has_any_more_gives_up() -> None:
    """As when a tab is closed and its session forgotten."""
    pool, stopped = Pool(100, lambda value: 1), threading.Event()

    def work(progress: Progress) -> str:
        try:
            while True:
                progress(0.5, "on and on")
                time.sleep(0.01)
        except Cancelled:
            stopped.set()
            raise

    tickets = [pool.submit("long", work, Lane.LONG) for _ in range(2)]
    tickets.pop()
    assert not stopped.wait(0.2), "one of two still wants it"
    tickets.pop()
    assert stopped.wait(5)


def test_the_pool_says_when_long_work_waits() -> None:
    pool, gate = Pool(100, lambda value: 1), threading.Event()
    filling = pool.submit("fill", lambda progress: gate.wait(5), Lane.FILL)
    while not filling.note:
        time.sleep(0.01)
    assert not pool.awaited
    waiting = pool.submit("long", lambda progress: "done", Lane.LONG)
    assert pool.awaited
    gate.set()
    assert waiting.result() == "done" and not pool.awaited


def test_what_is_not_to_be_kept_runs_again() -> None:
    pool, runs = Pool(100, lambda value: 1), list[int]()
    for _ in range(2):
        assert pool.submit("search", lambda progress: runs.append(1) or len(runs), Lane.LONG, keep=False).result()
    assert len(runs) == 2 and pool.known("search") is None
