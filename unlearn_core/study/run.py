"""One choice, run in a process of its own: what the command line shows and what a worker of a sweep records."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from typing import Literal, TypeVar, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from unlearn_core.audit.gauges import GaugeName
from unlearn_core.audit.measures import MeasureName, output_measures
from unlearn_core.measure.estimator import Importance
from unlearn_core.measure.gram import Gram, Patches
from unlearn_core.measure.passes import counted
from unlearn_core.measure.task import Measurement, Task
from unlearn_core.methods import method
from unlearn_core.methods.base import Diverged, NotApplicable, Outcome
from unlearn_core.nets.evaluate import softmax
from unlearn_core.nets.images import ImageSet
from unlearn_core.nets.request import Request
from unlearn_core.progress import Progress, silent
from unlearn_core.serving.choice import VERSION, Choice
from unlearn_core.serving.engine import Engine
from unlearn_core.serving.judgement import Audit, judged
from unlearn_core.serving.yardstick import Yardstick, everything, inside, yardstick

T = TypeVar("T")
Status = Literal["done", "not applicable", "diverged", "failed"]
"""How a run ended. The first three are answers: run again, they would end so again."""
Row = dict[str, object]
"""A run's record, with the columns of `results.COLUMNS`."""

GAUGE_MEASURES: dict[MeasureName, GaugeName] = {
    "forget_train": "forget", "retain_test": "retain", "membership": "membership"}
"""The measures that are gauges, and so have an interval."""


@dataclass(frozen=True, eq=False)
class Run:
    """A choice and what it led to.

    Attributes:
        outcome: of the method.
        logits: (N, classes) outputs of the unlearned network on all audited images.
        yardstick: what it is judged by.
        audit: its gauges and the verdict.
        measures: all of `MEASURES`; the distance is NaN where no retrained networks are bundled.
        backward_images: images whose gradient was taken, each as often as that was.
    """

    chosen: Choice
    outcome: Outcome
    logits: npt.NDArray[np.float32]
    yardstick: Yardstick
    audit: Audit
    measures: dict[MeasureName, float]
    backward_images: int


@cache
def engine() -> Engine:
    """This process's engine; it computes on one thread."""
    torch.set_num_threads(1)
    return Engine()


def run(chosen: Choice, progress: Progress = silent) -> Run:
    """Run a choice and evaluate what it made.

    Statistics of the original are measured once a process, but every run that uses them is charged the seconds and the
    backward passes that this took: the cost of a run does not depend on what ran before it.

    Raises:
        NotApplicable: if the method cannot serve the request.
        Diverged: if the weights left the finite numbers.
        assets.AssetError: if a bundled file is missing or altered.
    """
    here, request = engine(), chosen.forget
    base = here.base(chosen.network)
    charged: dict[Hashable, tuple[float, int]] = {}

    def once(key: Hashable, measure: Callable[[], T]) -> T:
        known = cast("tuple[T, float, int] | None", here.pool.known(key))
        if known is None:
            start, passed = time.thread_time(), passes.images  # the clock of `Method.run`
            value = measure()
            known = here.pool.keep(key, (value, time.thread_time() - start, passes.images - passed))
            charged[key] = 0.0, 0  # this run's own clock has it
        charged.setdefault(key, known[1:])
        return known[0]

    def importances(model: nn.Module, train: ImageSet, request: Request, wanted: Measurement,
                    progress: Progress) -> Importance:
        return once(("timed importance", chosen.network, request, wanted),
                    lambda: base.subject.importances(model, train, request, wanted, progress))

    def grams(model: nn.Module, train: ImageSet, positions: Tensor | None, patches: Patches,
              progress: Progress) -> Gram:
        return once(("timed gram", chosen.network, None if positions is None else positions.numpy().tobytes(), patches),
                    lambda: base.subject.grams(model, train, positions, patches, progress))

    history = base.subject.history if "training history" in method(chosen.method).needs else None
    task = Task(base.model, base.subject.images.train, request, importances, grams, history, base.subject.recipe,
                chosen.seed)
    with counted() as passes:
        outcome = method(chosen.method).run(task, dict(chosen.settings), progress)
    measure = yardstick(here, chosen.network, request)
    after = everything(here, chosen.network, request, outcome.weights)
    audit = judged(measure, chosen, inside(here, chosen.network, request, after))
    reference = np.array([softmax(seed.logits) for seed in measure.retrained], np.float32).reshape(
        -1, *after.logits.shape)
    measures = output_measures(after.probabilities, measure.labels, measure.member, measure.forgotten, reference)
    measures |= {"seconds": outcome.cost.seconds + sum(seconds for seconds, _ in charged.values()),
                 "stored_bytes": float(outcome.cost.stored_bytes)}
    return Run(chosen, outcome, after.logits, measure, audit, measures,
               passes.images + sum(images for _, images in charged.values()))


def record(chosen: Choice) -> Row:
    """Run a choice and record it: never raises because of the run, so that one setting cannot stop a sweep.

    A choice that came from another process brings its key. Where the subject's files are others, that key is another
    too, and nothing is run.
    """
    started, clock = datetime.now(UTC), time.perf_counter()
    row: Row = {"status": "done"}
    if replace(chosen).key != chosen.key:  # the key came along with the choice; a copy works out its own
        return failure(chosen, "failed", f"subject: {chosen.network} as it is where the sweep was started expected on "
                                         f"{socket.gethostname()}, got other files; prepare it there from the same "
                                         "ones, start that worker again, and start the same sweep again.")
    try:
        found = run(chosen)
        row |= dict(found.measures.items())
        for measure, gauge in GAUGE_MEASURES.items():
            row[f"{measure}_low"], row[f"{measure}_high"] = found.audit.readings.gauges[gauge].interval
        row |= {"level": str(found.audit.verdict.level), "verdict": str(found.audit.verdict)}
        row["backward_images"] = found.backward_images
        row["warnings"] = " ".join(found.outcome.warnings)
    except NotApplicable as reason:
        row = failure(chosen, "not applicable", str(reason))
    except Diverged as reason:
        row = failure(chosen, "diverged", str(reason))
    except Exception as error:
        row = failure(chosen, "failed", f"{type(error).__name__}: {error}")
    return described(chosen) | row | {"started": started, "elapsed": time.perf_counter() - clock,
                                      "host": socket.gethostname()}


def described(chosen: Choice) -> Row:
    """The columns that say what was run."""
    return {"key": chosen.key, "version": VERSION, "network": chosen.network,
            "forget": str(chosen.forget), "method": chosen.method,
            "settings": json.dumps(dict(chosen.settings)), "seed": chosen.seed}


def failure(chosen: Choice, status: Status, error: str) -> Row:
    """The record of a run that gave no network."""
    return described(chosen) | {"status": status, "error": error, "started": datetime.now(UTC)}
