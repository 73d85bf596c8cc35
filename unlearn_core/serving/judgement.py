"""From an outcome to the one verdict: its answers on all images, what is inside, and every check on both.

Pages, the command line, sweeps and the table in `docs/verdict.md` all come here, so that none can say something else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import numpy.typing as npt
from torch import Tensor, nn

from unlearn_core.audit.accuracy import per_class
from unlearn_core.audit.distinguish import LEAST_SEEDS, Spread, pooled
from unlearn_core.audit.evidence import (
    ANSWERS,
    ATTACK_SUCCESS,
    FORGET_ACCURACY,
    HEAD_ZEROING,
    ORIGINAL,
    UNLEARNED,
    Check,
    Model,
    gather,
    joined,
)
from unlearn_core.audit.gauges import GaugeName, Reading, read_gauges
from unlearn_core.audit.probe import linear_probe
from unlearn_core.audit.relearn import Relearning
from unlearn_core.audit.similarity import cka
from unlearn_core.audit.verdict import Verdict, judge, worst_loss
from unlearn_core.methods import METHODS
from unlearn_core.nets.evaluate import (
    Outputs,
    Rows,
    accuracy_images,
    kept_groups,
    labelled,
    masked,
    missing_rows,
    other_images,
)
from unlearn_core.nets.heads import head
from unlearn_core.nets.images import ImageSet
from unlearn_core.nets.request import CLASS, IMAGE, POISONED, Request, unaudited
from unlearn_core.progress import Progress, silent, stage
from unlearn_core.serving import remains
from unlearn_core.serving.choice import SEEDS, Choice, choice
from unlearn_core.serving.engine import Engine
from unlearn_core.serving.pool import Lane, Ticket
from unlearn_core.serving.scenes import Scene, Settled
from unlearn_core.subjects.subject import subject

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
FEWEST = 10
"""Images below which the similarity of their features says nothing."""


@dataclass(frozen=True, eq=False)
class Yardstick:
    """What every outcome of one request is judged by, on all audited images: those of the evaluation set come first.

    Attributes:
        classes: names.
        labels: (N,) true classes.
        member: (N,) whether the image was in the original's training set.
        forgotten: (N,) whether it belongs to what was to be forgotten.
        models: the original and head zeroing, by their names in `audit.evidence`.
        retrained: one per seed, possibly none.
        original: gauges before unlearning.
        band: gauges of each retrained network.
        accuracy_before: (classes,) test accuracy of the original.
        accuracy_retrained: (seeds, classes) of the retrained networks, or None.
        kept: masks of the unseen images of each class, and each group of another kind, that stays; by name.
        spreads: see `spreads`.
        checks: on these networks; none is made without two retrained ones.
    """

    classes: tuple[str, ...]
    labels: npt.NDArray[np.int64]
    member: Bools
    forgotten: Bools
    models: Mapping[str, Model]
    retrained: tuple[Model, ...]
    original: dict[GaugeName, Reading]
    band: tuple[dict[GaugeName, Reading], ...]
    accuracy_before: Float64
    accuracy_retrained: Float64 | None
    kept: Mapping[str, Bools]
    spreads: Mapping[str, Spread]
    checks: tuple[Check, ...]


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
        verdict: the conclusion.
    """

    readings: Readings
    checks: tuple[Check, ...]
    verdict: Verdict


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
                     seen.kept, settled.gauges["forget"].value, spreads(engine, scene.choice.network, scene.request))


def _conclude(chosen: Choice, checks: Sequence[Check], before: Float32, after: Float32, retrained: Sequence[Float32],
              labels: npt.NDArray[np.int64], kept: Mapping[str, Bools], accuracy: float,
              spreads: Mapping[str, Spread]) -> Verdict:
    right, *references = (logits.argmax(1) == labels for logits in (before, *retrained))
    among = {name: np.array([seed[rows].mean() for seed in references]) for name, rows in kept.items() if rows.any()}
    losses = []
    whole = set(chosen.subject.classes)
    for part in ({n: m for n, m in kept.items() if n in whole}, {n: m for n, m in kept.items() if n not in whole}):
        many = 1 if part.keys() <= whole else len(part)  # classes are few and large
        known = {name: spreads[_accuracy(name)].value for name in part if _accuracy(name) in spreads}
        losses.append(worst_loss(right, after.argmax(1) == labels, part, among if references else None, many, known))
    loss = max(filter(None, losses), key=lambda one: (one.damage, one.value), default=None)
    several = len(chosen.forget.chosen) > 1
    return judge(checks, loss, chosen.words, accuracy, several)


def submit(engine: Engine, scene: Scene, settled: Settled) -> Ticket[Audit]:
    """Judge an outcome: about a second. What fine-tuning it has told is a part of the evidence once it is known."""
    key = _key(engine, settled.choice)
    return engine.pool.submit(key, lambda progress: audit(engine, scene, settled, progress, key[-1]), Lane.SCENE)


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
    answers = everything(engine, network, request, engine.weights(scene, settled), stage(progress, 0.4, 0.95))
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
    unseen = accuracy_images(chosen.forget, member, forgotten)
    accuracy = per_class(mine.logits[unseen].argmax(1), labels[unseen], len(measure.classes))
    return Audit(
        Readings(len(labels), gauges, measure.original, measure.band, accuracy, measure.accuracy_before,
                 measure.accuracy_retrained), tuple(checks),
        _conclude(chosen, checks, measure.models[ORIGINAL].logits, mine.logits,
                  [seed.logits for seed in measure.retrained], labels, measure.kept, gauges["forget"].value,
                  measure.spreads))


def submit_outputs(engine: Engine, scene: Scene, settled: Settled) -> Ticket[Float32]:
    """(N, classes) the outcome's logits on all audited images, for who looks closer than the verdict: a second."""
    return engine.pool.submit(
        ("everything", settled.choice),
        lambda progress: everything(engine, settled.choice.network, scene.request, engine.weights(scene, settled),
                                    progress).logits, Lane.SCENE)


def everything(engine: Engine, network: str, request: Request, weights: Mapping[str, Tensor],
               progress: Progress = silent) -> Outputs:
    """Outputs on all audited images; the features are those of the evaluation set alone."""
    first = engine.answers(network, request, weights)
    parts = list(others(engine, network, request))
    logits = [first.logits]
    for i, rows in enumerate(parts):
        progress(i / len(parts), "evaluating on all test images")
        logits.append(engine.evaluate(network, weights, rows).logits)
    return Outputs(np.concatenate(logits), first.features)


def others(engine: Engine, network: str, request: Request) -> Iterator[Rows]:
    """The audited images beyond those that are shown."""
    images = subject(network).images
    return other_images(images.train, images.test, engine.seen(network, request).evaluation,
                        request.mask(images.train).numpy(), without=unaudited(request, images.test).numpy())


def inside(engine: Engine, network: str, request: Request, found: Outputs) -> Model:
    """What a fresh head, and a comparison with the original, make of a network's features."""
    seen = engine.seen(network, request)
    forgotten, member = seen.forgotten, seen.evaluation.member
    auc = alike = None
    if (forgotten & ~member).any():  # of single images there are no unseen ones to probe for
        try:
            auc = linear_probe(found.features, seen.evaluation.labels, member, forgotten).auc.value
        except ValueError:  # every image has the same features: they tell nothing
            auc = 0.5
    if forgotten.sum() >= FEWEST:
        similar = cka(found.features[forgotten], seen.before.features[forgotten])
        alike = 0.0 if np.isnan(similar) else similar
    return Model(found.logits, auc, alike)


def yardstick(engine: Engine, network: str, request: Request, progress: Progress = silent) -> Yardstick:
    """What outcomes of a request are judged by, put together once for everybody."""
    key = ("yardstick", network, request)
    kept = engine.pool.known(key)
    if kept is None:
        kept = engine.pool.keep(key, _yardstick(engine, network, request, progress))
    return cast(Yardstick, kept)


def _accuracy(name: str) -> str:
    return f"accuracy on {name}"


def spreads(engine: Engine, network: str, request: Request) -> Mapping[str, Spread]:
    """How much the numbers of `evidence.ANSWERS`, and the accuracy on whatever stays, differ among networks retrained
    for one and the same group.

    Of a group there may be few retrained networks, but of many groups of its kind some. What they have in common is
    known far better than what three networks say. Empty for whole classes, single images, and where no other group has
    retrained networks.
    """
    if request.kind in (CLASS, IMAGE):
        return {}
    key = ("spreads", network, request.kind)
    if (kept := engine.pool.known(key)) is None:
        own = subject(network)
        train, test, shown = own.images.train, own.images.test, own.evaluation
        nulls: dict[str, list[Float64]] = {}
        for group in range(len(train.groups[request.kind].names)):
            one = Request((group,), request.kind)
            if (logits := own.retrained_logits(one)) is None:
                continue
            added = missing_rows(one, train, test, shown)
            labels, member = labelled(shown, added, train, test)
            forgotten = masked(one, shown, added, train, test)
            for title, read in ANSWERS.items():
                nulls.setdefault(title, []).append(np.array([read(seed, labels, member, forgotten)
                                                             for seed in logits]))
            right = logits.argmax(2) == labels
            for name, rows in kept_groups(one, shown, added, train, test).items():
                if rows.any():
                    nulls.setdefault(_accuracy(name), []).append(right[:, rows].mean(1))
        kept = engine.pool.keep(key, {title: found for title, each in nulls.items() if (found := pooled(each))})
    return cast("Mapping[str, Spread]", kept)


def _yardstick(engine: Engine, network: str, request: Request, progress: Progress) -> Yardstick:
    base, images, seen = engine.base(network), subject(network).images, engine.seen(network, request)
    evaluation, train, test = seen.evaluation, images.train, images.test
    rest = list(others(engine, network, request))
    labels, member = labelled(evaluation, rest, train, test)
    forgotten = masked(request, evaluation, rest, train, test)
    known = spreads(engine, network, request)
    before = everything(engine, network, request, {}, progress)
    retrained = _retrained(engine, network, request)
    models = {ORIGINAL: inside(engine, network, request, before)}
    if (shipped := remains.load(network, request)) is not None:
        last = shipped.similarity["forget"][0, :2, -2]
        models = {name: Model(logits, found.probe.auc.value, float(alike), found.relearning.taken)
                  for name, logits, found, alike in zip(
                      (ORIGINAL, HEAD_ZEROING), (before.logits, _shut(base.model, train, request, before.logits)),
                      (shipped.original, shipped.head_zeroing), last, strict=True)}

    def gauges(model: Model) -> dict[GaugeName, Reading]:
        return read_gauges(Outputs(model.logits, model.logits), labels, member, forgotten)

    unseen = accuracy_images(request, member, forgotten)

    def accuracy(model: Model) -> Float64:
        return per_class(model.logits[unseen].argmax(1), labels[unseen], len(train.classes))

    return Yardstick(
        train.classes, labels, member, forgotten, models, retrained, gauges(models[ORIGINAL]),
        tuple(map(gauges, retrained)), accuracy(models[ORIGINAL]),
        np.stack(list(map(accuracy, retrained))) if retrained else None,
        kept_groups(request, evaluation, rest, train, test),
        known, tuple(gather(models, retrained, labels, member, forgotten, spreads=known,
                            planted=request.kind == POISONED)))


def _shut(model: nn.Module, train: ImageSet, request: Request, logits: Float32) -> Float32:
    """The outputs of head zeroing, which differ from the original's in constants."""
    last = head(model, train.pixels(slice(2)))
    name = next(name for name, module in model.named_modules() if module is last)
    result, forget = logits.copy(), list(request.classes)
    result[:, forget] = remains.zeroed_head(model, train, request)[f"{name}.bias"].detach().numpy()[forget]
    return result


def _retrained(engine: Engine, network: str, request: Request) -> tuple[Model, ...]:
    """The bundled retrained networks, or those retrained here."""
    shipped = remains.load(network, request)
    first, more = subject(network).retrained_logits(request), subject(network).retrained_others(request)
    if shipped is None or first is None or more is None:
        return tuple(inside(engine, network, request, everything(engine, network, request, weights))
                     for weights in engine.retrained(network, request))
    return tuple(Model(np.concatenate(logits), found.probe.auc.value, float(alike), found.relearning.taken)
                 for *logits, found, alike in zip(first, more, shipped.retrained,
                                                  shipped.similarity["forget"][0, 2:, -2], strict=True))


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

