"""What every outcome of a request is judged by: the answers of the original and of retrained networks on all images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import cast

import numpy as np
import numpy.typing as npt
from torch import Tensor, nn

from unlearn_core.audit.accuracy import per_class
from unlearn_core.audit.beside import beside
from unlearn_core.audit.distinguish import Spread, pooled
from unlearn_core.audit.evidence import (
    ANSWERS,
    HEAD_ZEROING,
    ORIGINAL,
    Check,
    Model,
    gather,
)
from unlearn_core.audit.gauges import GaugeName, Reading, read_gauges
from unlearn_core.audit.probe import linear_probe
from unlearn_core.audit.similarity import cka
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
from unlearn_core.serving.engine import Engine
from unlearn_core.serving.parts import LONGEST
from unlearn_core.subjects.subject import subject

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
AT_ONCE = 1000
"""Images evaluated in one go, whole batches of them, so that the same outputs come as from all at once."""
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
        beside: the questions that are no part of the verdict, on the same.
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
    beside: tuple[Check, ...]


def everything(engine: Engine, network: str, request: Request, weights: Mapping[str, Tensor],
               progress: Progress = silent, shown: Outputs | None = None) -> Outputs:
    """Outputs on all audited images; the features are those of the evaluation set alone.

    Args:
        engine: holds the network and the images.
        network: its name.
        request: what is to be forgotten.
        weights: by name, that stand in for the network's own.
        progress: told every `AT_ONCE` images, or every few seconds, where a release may pass; may cancel.
        shown: outputs on the images of `Engine.seen`, where they are at hand.
    """
    first = engine.answers(network, request, weights, stage(progress, 0.0, 0.5)) if shown is None else shown
    base = engine.base(network)
    size = AT_ONCE if base.quick else max(1, int(LONGEST / base.seconds))
    parts = [(part, rows[i:i + size]) for part, rows in others(engine, network, request)
             for i in range(0, len(rows), size)]
    logits = [first.logits]
    for i, some in enumerate(parts):
        progress(0.5 + 0.5 * i / len(parts), "evaluating on all test images")
        logits.append(engine.evaluate(network, weights, some).logits)
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


def accuracy_on(name: str) -> str:
    """What the accuracy on a class or group is called among the `spreads`."""
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
                    nulls.setdefault(accuracy_on(name), []).append(right[:, rows].mean(1))
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
                            planted=request.kind == POISONED)),
        tuple(beside(models, retrained, labels, member, forgotten, models[ORIGINAL])))


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
