"""From an outcome to the one verdict: its answers on all images, what is inside, and every check on both.

Pages, the command line, sweeps and the table in `docs/verdict.md` all come here, so that none can say something else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import numpy.typing as npt

from unlearn_core.audit.accuracy import per_class
from unlearn_core.audit.beside import beside
from unlearn_core.audit.distinguish import LEAST_SEEDS, Spread
from unlearn_core.audit.evidence import (
    ATTACK_SUCCESS,
    FORGET_ACCURACY,
    ORIGINAL,
    UNLEARNED,
    Check,
    Model,
    gather,
    joined,
)
from unlearn_core.audit.gauges import GaugeName, Reading, read_gauges
from unlearn_core.audit.relearn import Relearning
from unlearn_core.audit.verdict import Loss, Verdict, judge, losses
from unlearn_core.methods import METHODS
from unlearn_core.nets.evaluate import Outputs, accuracy_images
from unlearn_core.nets.request import POISONED
from unlearn_core.progress import Progress, silent, stage
from unlearn_core.serving.choice import SEEDS, Choice, choice
from unlearn_core.serving.engine import Engine
from unlearn_core.serving.pool import Lane, Ticket
from unlearn_core.serving.scenes import Scene, Settled
from unlearn_core.serving.yardstick import (
    Bools,
    Float32,
    Float64,
    Yardstick,
    accuracy_on,
    everything,
    inside,
    spreads,
    yardstick,
)


@dataclass(frozen=True, eq=False)
class Readings:
    """What gauges and bars show of an outcome, beside what it is compared with, all on the same images.

    Attributes:
        images: how many there are.
        gauges: of the outcome.
        original: before unlearning.
        band: of each retrained network, possibly of none.
        accuracy: (classes,) share of each class's test images that the outcome recognises.
        accuracy_before: (classes,) of the original.
        accuracy_retrained: (seeds, classes) of the retrained networks, or None.
    """

    images: int
    gauges: dict[GaugeName, Reading]
    original: dict[GaugeName, Reading]
    band: tuple[dict[GaugeName, Reading], ...]
    accuracy: Float64
    accuracy_before: Float64
    accuracy_retrained: Float64 | None


@dataclass(frozen=True, eq=False)
class Audit:
    """The outcome of a choice, judged on all audited images.

    Attributes:
        readings: its gauges.
        checks: all, with what they say of the outcome.
        beside: the questions that are no part of the verdict, likewise.
        verdict: the conclusion.
        losses: of each retained class and group, the worst first.
    """

    readings: Readings
    checks: tuple[Check, ...]
    beside: tuple[Check, ...]
    verdict: Verdict
    losses: tuple[Loss, ...]


def first_readings(scene: Scene, settled: Settled) -> Readings:
    """What is read at the moment of a release, on the evaluation set."""
    return Readings(len(settled.logits), settled.gauges, scene.original, scene.retrained, settled.accuracy,
                    scene.accuracy_before, scene.accuracy_retrained)


def first_verdict(engine: Engine, scene: Scene, settled: Settled) -> Verdict:
    """The verdict at the moment of a release, from answers on the evaluation set alone: it cannot be a good one."""
    seen = scene.seen
    labels, before = seen.evaluation.labels, seen.before
    retrained = [] if scene.retrained_logits is None else [Model(logits) for logits in scene.retrained_logits]
    checks = gather({ORIGINAL: Model(before.logits), UNLEARNED: Model(settled.logits)}, retrained, labels,
                    seen.evaluation.member, seen.forgotten, only=[FORGET_ACCURACY, ATTACK_SUCCESS],
                    planted=scene.request.kind == POISONED,
                    spreads=spreads(engine, scene.choice.network, scene.request))
    return _conclude(scene.choice, checks, before.logits, settled.logits, [seed.logits for seed in retrained], labels,
                     seen.kept, settled.gauges["forget"].value, spreads(engine, scene.choice.network, scene.request))[0]


def _conclude(chosen: Choice, checks: Sequence[Check], before: Float32, after: Float32, retrained: Sequence[Float32],
              labels: npt.NDArray[np.int64], kept: Mapping[str, Bools], accuracy: float,
              spreads: Mapping[str, Spread]) -> tuple[Verdict, tuple[Loss, ...]]:
    right, *references = (logits.argmax(1) == labels for logits in (before, *retrained))
    among = {name: np.array([seed[rows].mean() for seed in references]) for name, rows in kept.items() if rows.any()}
    lost: list[Loss] = []
    whole = set(chosen.subject.classes)
    for part in ({n: m for n, m in kept.items() if n in whole}, {n: m for n, m in kept.items() if n not in whole}):
        many = 1 if part.keys() <= whole else len(part)  # classes are few and large
        known = {name: spreads[accuracy_on(name)].value for name in part if accuracy_on(name) in spreads}
        lost += losses(right, after.argmax(1) == labels, part, among if references else None, many, known)
    lost.sort(key=lambda one: one.rank, reverse=True)
    several = len(chosen.forget.chosen) > 1
    return judge(checks, lost[0] if lost else None, chosen.words, accuracy, several, len(retrained)), tuple(lost)


def submit(engine: Engine, scene: Scene, settled: Settled) -> Ticket[Audit]:
    """Judge an outcome: about a second. What fine-tuning it has told is a part of the evidence once it is known."""
    key = _key(engine, settled.choice)
    return engine.pool.submit(key, lambda progress: audit(engine, scene, settled, progress, key[-1]), Lane.AUDIT)


def known(engine: Engine, chosen: Choice) -> Audit | None:
    """The audit of a choice, if it has been made."""
    return cast(Audit | None, engine.pool.known(_key(engine, chosen)))


def _key(engine: Engine, chosen: Choice) -> tuple[str, Choice, int | None]:
    course = engine.pool.known(("relearning", chosen))
    return "audit", chosen, course.taken if isinstance(course, Relearning) else None


def audit(engine: Engine, scene: Scene, settled: Settled, progress: Progress = silent,
          steps: int | None = None) -> Audit:
    """What `submit` answers, computed here and now.

    Args:
        engine: holds the network, the images and the caches.
        scene: of the choice.
        settled: its outcome.
        progress: told all the time; may cancel.
        steps: what it took to relearn, where that is known.
    """
    network, request = settled.choice.network, scene.request
    measure = yardstick(engine, network, request, stage(progress, 0.0, 0.4))
    answers = everything(engine, network, request, engine.weights(scene, settled), stage(progress, 0.4, 0.95),
                         engine.latest(settled.choice))
    found = judged(measure, settled.choice, replace(inside(engine, network, request, answers), steps=steps))
    progress(1.0, "done")
    return found


def judged(measure: Yardstick, chosen: Choice, mine: Model) -> Audit:
    """Judge a network by what was found of it, as an outcome of a choice or of another with the same request."""
    labels, member, forgotten = measure.labels, measure.member, measure.forgotten
    gauges = read_gauges(Outputs(mine.logits, mine.logits), labels, member, forgotten)
    checks = joined(measure.checks, gather({UNLEARNED: mine}, measure.retrained, labels, member, forgotten,
                                           hold_out=False, spreads=measure.spreads,
                                           planted=chosen.forget.kind == POISONED))
    more = joined(measure.beside, beside({UNLEARNED: mine}, measure.retrained, labels, member, forgotten,
                                         measure.models[ORIGINAL], hold_out=False))
    unseen = accuracy_images(chosen.forget, member, forgotten)
    accuracy = per_class(mine.logits[unseen].argmax(1), labels[unseen], len(measure.classes))
    verdict, lost = _conclude(chosen, checks, measure.models[ORIGINAL].logits, mine.logits,
                              [seed.logits for seed in measure.retrained], labels, measure.kept, gauges["forget"].value,
                              measure.spreads)
    return Audit(
        Readings(len(labels), gauges, measure.original, measure.band, accuracy, measure.accuracy_before,
                 measure.accuracy_retrained), tuple(checks), tuple(more), verdict, lost)


def submit_outputs(engine: Engine, scene: Scene, settled: Settled) -> Ticket[Float32]:
    """(N, classes) the outcome's logits on all audited images, for who looks closer than the verdict: a second."""
    return engine.pool.submit(
        ("everything", settled.choice),
        lambda progress: everything(engine, settled.choice.network, scene.request, engine.weights(scene, settled),
                                    progress).logits, Lane.SCENE)


# -- a reference for requests without a bundled one ---------------------------------------------------------------

REFERENCES = LEAST_SEEDS
"""How many networks are retrained for a request: fewer cannot tell whether one more would be like them."""


def submit_reference(engine: Engine, chosen: Choice) -> Ticket[int]:
    """Retrain networks without what is to be forgotten, for everybody: minutes; the answer is their number."""
    def work(progress: Progress) -> int:
        scene = engine.prepare(choice(chosen.network, chosen.forget, "retrain", {}), silent)
        found = []
        for i in range(REFERENCES):
            part = stage(progress, i / REFERENCES, (i + 1) / REFERENCES, f"network {i + 1} of {REFERENCES}")
            task = replace(scene.task, seed=SEEDS.stop + i)  # of no visitor's own retraining
            found.append(METHODS["retrain"].run(task, METHODS["retrain"].settings(), part).weights)
        engine.keep_retrained(chosen.network, chosen.forget, found)
        return len(found)

    return engine.pool.submit(("retraining", chosen.network, chosen.forget), work, Lane.LONG, keep=False)
