"""Judging settings on validation images, here or on the workers of a Dask cluster."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from typing import cast

from unlearn_core.methods import method
from unlearn_core.methods.base import Diverged
from unlearn_core.nets.request import Request
from unlearn_core.progress import Cancelled, Progress, silent, stage
from unlearn_core.serving.choice import Choice
from unlearn_core.serving.engine import Engine
from unlearn_core.serving.landscape import scene_of
from unlearn_core.study import tune
from unlearn_core.study.cluster import WITHOUT_SECONDS, connect
from unlearn_core.study.results import SweepError
from unlearn_core.study.run import engine as process_engine

Gaps = tuple[float, float]
"""|forget gap| and |retain gap| to retraining, in points."""
Judged = Callable[[Sequence[Choice], Progress], list[Gaps | Exception]]
"""Judges some settings; in place of an answer, why there is none."""


def reference(engine: Engine, network: str, request: Request) -> Gaps:
    """Mean accuracies of the retrained networks, bundled or made here (see `tune.accuracies`).

    Raises:
        ValueError: if there are none.
    """
    key = ("judged", network, request)
    known = engine.pool.known(key)
    if known is None:
        model, weights = engine.base(network).model, engine.retrained(network, request)
        if not weights:
            raise ValueError("The networks that were retrained for this request are no longer at hand: retrain them "
                             "again (the verdict offers it).")
        known = engine.pool.keep(key, tune.mean_accuracies(network, request, weights, model))
    return cast(Gaps, known)


def judge(engine: Engine, chosen: Choice, progress: Progress, aim: Gaps | None = None) -> Gaps:
    """|forget gap| and |retain gap| in points, by the rule that chose the defaults (`tune`): no test image is read.

    A run that diverges counts as if everything were wrong.

    Args:
        engine: holds the network and the images.
        chosen: what is judged.
        progress: told all the time; may cancel.
        aim: as of `reference`, where this engine need not have the retrained networks.

    Raises:
        ValueError: as `reference`, and whatever else the method raises.
    """
    scene = scene_of(engine, chosen, stage(progress, 0.0, 0.5, "importances"))
    aim = aim or reference(engine, chosen.network, chosen.forget)
    try:
        result = method(chosen.method).run(replace(scene.task, seed=chosen.seed), dict(chosen.settings),
                                           stage(progress, 0.5, 0.9))
    except Diverged:
        return 100.0, 100.0
    got = tune.accuracies(chosen.network, chosen.forget, result.weights, scene.task.model)
    return 100 * abs(got[0] - aim[0]), 100 * abs(got[1] - aim[1])


def judge_there(chosen: Choice, aim: Gaps) -> Gaps:
    """What a worker of a cluster does with a setting; the retrained networks stay where they are."""
    return judge(process_engine(), chosen, silent, aim)


@contextmanager
def judges(engine: Engine, scheduler: str, rest: Choice) -> Iterator[tuple[int, Judged]]:
    """How many settings are judged at once, and what judges them: this process, or the workers of a Dask scheduler; a
    subject of one's own by those that have it (see `placement`). All are judged against the same networks.

    Args:
        engine: of this process.
        scheduler: its address; empty for this process.
        rest: any choice of the search.

    Raises:
        ValueError: as `reference`.
        SweepError: if no scheduler answers there, it has no workers, or they run other code than this; from the judge,
            if they are lost, or none has the subject.
    """
    aim = reference(engine, rest.network, rest.forget)

    def here(choices: Sequence[Choice], progress: Progress) -> list[Gaps | Exception]:
        return [_answer(partial(judge, engine, one, progress, aim)) for one in choices]

    if not scheduler:
        yield 1, here
        return
    import distributed

    from unlearn_core.study.placement import Placement

    with connect(scheduler) as client:
        placement = Placement(client, [rest.network])

        def there(choices: Sequence[Choice], progress: Progress) -> list[Gaps | Exception]:
            futures, manned = [client.submit(judge_there, one, aim, pure=False, resources=placement.needs(rest.network)
                                             or None) for one in choices], time.monotonic()
            try:
                while waiting := [future for future in futures if not future.done()]:
                    progress(1 - len(waiting) / len(futures), " ".join(
                        [f"{len(waiting)} on the cluster", *placement.look()]))
                    if reason := placement.hopeless(rest.network):
                        raise SweepError(reason)
                    with suppress(OSError, RuntimeError, CancelledError):  # of a scheduler that is gone
                        if client.nthreads():
                            manned = time.monotonic()
                    if time.monotonic() > manned + WITHOUT_SECONDS:
                        raise SweepError(f"The cluster has had no worker for {WITHOUT_SECONDS:.0f} seconds. What was "
                                         "found before is kept: start some workers and go on from there.")
                    with suppress(TimeoutError, CancelledError):  # the latter where the scheduler is gone
                        distributed.wait(waiting, timeout=0.3)
                return [_answer(future.result) for future in futures]
            finally:
                with suppress(Exception):  # of a client that is closed there is nothing to cancel
                    client.cancel(futures)

        yield max(1, placement.threads(rest.network)), there


def _answer(work: Callable[[], Gaps]) -> Gaps | Exception:
    try:
        return work()
    except Exception as error:
        if isinstance(error, Cancelled):
            raise
        if isinstance(error, CancelledError):  # no fault of the setting, which may be tried again
            return SweepError("The scheduler is gone, and this trial with it. What was found before is kept.")
        if type(error).__name__ == "KilledWorker":
            return RuntimeError("Workers died of this trial again and again. What was found before is kept.")
        return error
