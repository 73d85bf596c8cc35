"""What is fixed while knobs move, and what an outcome is."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from threading import Lock
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from torch import Tensor, nn

from unlearn_core.assets import AssetError
from unlearn_core.audit.gauges import GaugeName, Reading
from unlearn_core.audit.weights import relative_change
from unlearn_core.exhibits import Exhibit
from unlearn_core.maps.projection import FeatureMap, fit_linear
from unlearn_core.measure.ratio_index import Answers, RatioIndex
from unlearn_core.measure.task import Task
from unlearn_core.methods import method
from unlearn_core.methods.base import Cost, Outcome
from unlearn_core.nets.evaluate import (
    EvaluationSet,
    Leading,
    Outputs,
    Rows,
    leading,
    outputs,
    softmax,
)
from unlearn_core.nets.request import Request
from unlearn_core.packing import class_numbers, pack
from unlearn_core.progress import Progress, silent
from unlearn_core.serving.choice import Choice
from unlearn_core.serving.grid import ALPHAS, BINS, LAMBDAS, LOG_RATIO
from unlearn_core.serving.parts import QUICK
from unlearn_core.subjects.subject import Subject


@dataclass(frozen=True, eq=False)
class Base:
    """A subject's network with what never changes about it.

    Attributes:
        pixels: (N, C, H, W) of the evaluation set, as the network takes them.
    """

    subject: Subject
    model: nn.Module
    pixels: Tensor

    _lock: Lock = field(default_factory=Lock)
    _first: list[tuple[Outputs, float]] = field(default_factory=list)

    @property
    def ready(self) -> bool:
        """Whether the original has been evaluated."""
        return bool(self._first)

    def evaluated(self, progress: Progress = silent) -> tuple[Outputs, float]:
        """What the original says of the evaluation set, and the processor seconds that one image takes on the thread
        that evaluates; computed once, by whoever asks first.
        """
        with self._lock:
            if not self._first:
                start = time.thread_time()  # whatever else the machine does
                found = outputs(self.model, self.pixels, progress=progress)
                self._first.append((found, (time.thread_time() - start) / len(self.pixels)))
        return self._first[0]

    @property
    def before(self) -> Outputs:
        """What the original says of the evaluation set."""
        return self.evaluated()[0]

    @property
    def seconds(self) -> float:
        """Processor seconds that one image takes on the thread that evaluates."""
        return self.evaluated()[1]

    @property
    def quick(self) -> bool:
        """Whether all images are evaluated in one go."""
        return self.seconds * len(self.pixels) <= QUICK

    @cached_property
    def _mapped(self) -> tuple[FeatureMap, tuple[str, ...]]:
        return mapped(self.subject, self.before.features)

    @property
    def feature_map(self) -> FeatureMap:
        """Places features on the map."""
        return self._mapped[0]

    @property
    def faults(self) -> tuple[str, ...]:
        """A sentence for each bundled file that could not be used and for which something else stands in."""
        return self._mapped[1]

    @cached_property
    def positions(self) -> npt.NDArray[np.float32]:
        """(N, 2) of the evaluation set on the map, in [0, 1]."""
        return self.feature_map.place(self.before.features)

    @cached_property
    def leading(self) -> Leading:
        """What the modules at its beginning say of each batch, only where networks are evaluated: some 70 MB for those
        that are bundled.
        """
        return leading(self.model, self.pixels)


def mapped(found: Subject, features: npt.NDArray[np.float32]) -> tuple[FeatureMap, tuple[str, ...]]:
    """The map of the last layer, or else the plane of two principal components and a sentence on why."""
    try:
        return found.feature_map(list(found.layers)[-1], features), ()
    except AssetError as problem:
        plane = FeatureMap(features, fit_linear(features).place(features))
        return plane, (f"{problem} Until then the map shows the plane of two principal components.",)


@dataclass(frozen=True, eq=False)
class Seen:
    """The images by which the outcomes of a request are shown and first judged.

    Attributes:
        evaluation: the subject's evaluation set, and what the request adds to it.
        added: the images that it adds; none for whole classes.
        forgotten: (N,) which are of what is to be forgotten.
        kept: masks of the unseen images of each class, and each group of another kind, that stays; by name.
        before: what the original says of all.
        positions: (N, 2) on the map, in [0, 1].
    """

    evaluation: EvaluationSet
    added: tuple[Rows, ...]
    forgotten: npt.NDArray[np.bool_]
    kept: Mapping[str, npt.NDArray[np.bool_]]
    before: Outputs
    positions: npt.NDArray[np.float32]

    @cached_property
    def pixels(self) -> Tensor:
        """(N, C, H, W) as a network takes them."""
        return self.evaluation.images.pixels()

    @property
    def weight(self) -> int:
        """Bytes of its own: without added images all but the masks is the subject's, held once for everybody."""
        masks = self.forgotten.nbytes * (1 + len(self.kept))
        own = self.evaluation.images.images.nbytes + self.before.logits.nbytes + self.before.features.nbytes
        return masks + own * bool(self.added)


@dataclass(frozen=True, eq=False)
class Scene:
    """All that is fixed while the knobs move.

    Attributes:
        choice: without alpha and lambda, or without any knob.
        seen: the images that are shown and first judged.
        layers: parameter names.
        kinds: what each layer is.
        sizes: number of weights of each layer.
        norms: (layers,) ‖W‖ of the original.
        original: the original's gauges.
        retrained: the gauges of each retrained seed; empty if none are bundled.
        retrained_logits: (seeds, N, classes) of the retrained, or None.
        accuracy_before: (classes,) test accuracy of the original.
        accuracy_retrained: (seeds, classes) test accuracy of the retrained, or None.
        index: importance ratios; None for a method that thresholds none.
        ceiling: 1/rho where it bounds the ratios, else None.
        blob: the live view's constant data, packed, see `scene_blob`.
    """

    choice: Choice
    request: Request
    seen: Seen
    task: Task
    layers: tuple[str, ...]
    kinds: tuple[str, ...]
    sizes: npt.NDArray[np.int64]
    norms: npt.NDArray[np.float64]
    original: dict[GaugeName, Reading]
    retrained: tuple[dict[GaugeName, Reading], ...]
    retrained_logits: npt.NDArray[np.float32] | None
    accuracy_before: npt.NDArray[np.float64]
    accuracy_retrained: npt.NDArray[np.float64] | None
    index: RatioIndex | None
    ceiling: float | None
    blob: bytes


@dataclass(frozen=True, eq=False)
class Settled:
    """The outcome of a choice as pages show it: what its method made of the network, evaluated.

    Attributes:
        gauges: readings of the unlearned model.
        accuracy: (classes,) test accuracy.
        change: (layers,) relative weight change.
        logits: (N, classes) after.
        xy: (N, 2) map positions in [0, 1].
        weights: parameters and buffers that differ from the original's, by name: what stands in for them. None for
            dampening, which is done again where they are asked for: they would weigh most of all that is kept. See
            `Engine.weights`.
        exhibits: pictures of what the method did.
        evaluate_seconds: of the forward pass.
        alpha: the threshold used, given or found by the method's rule; None for a method without.
        lam: the dampening constant; None for a method without.
        answers: what was dampened in each layer; None for a method that dampens nothing.
    """

    choice: Choice
    gauges: dict[GaugeName, Reading]
    accuracy: npt.NDArray[np.float64]
    change: npt.NDArray[np.float64]
    predicted: npt.NDArray[np.int64]
    logits: npt.NDArray[np.float32]
    xy: npt.NDArray[np.float32]
    weights: dict[str, Tensor] | None
    warnings: tuple[str, ...]
    trace: dict[str, float]
    exhibits: tuple[Exhibit, ...]
    cost: Cost
    evaluate_seconds: float
    alpha: float | None = None
    lam: float | None = None
    answers: Answers | None = None

    @property
    def probabilities(self) -> npt.NDArray[np.float32]:
        """(N, classes) after."""
        return softmax(self.logits)

    def blob(self) -> bytes:
        """The live view's data of this outcome, packed."""
        return pack({"alpha": self.alpha, "lambda": self.lam}, {
            "xy": steps(self.xy, np.uint16), "klass": class_numbers(self.predicted, self.logits.shape[1]),
            "probability": steps(self.probabilities, np.uint8), "change": self.change.astype(np.float32)})


def unlearn(scene: Scene, chosen: Choice, progress: Progress) -> tuple[
        Outcome, npt.NDArray[np.float64], dict[str, Tensor]]:
    """Run a method: its outcome, (layers,) relative weight change, and the parameters and buffers that moved, by name.

    Raises:
        NotApplicable, Diverged: as `Method.run`.
    """
    result = method(chosen.method).run(replace(scene.task, seed=chosen.seed), dict(chosen.settings), progress)
    change = relative_change(scene.task.model.named_parameters(), result.parameters)
    moved = {name for name, share in zip(scene.layers, change, strict=True) if share} | set(result.buffers)
    return result, change, {name: value.detach() for name, value in result.weights.items() if name in moved}


def scene_blob(base: Base, seen: Seen, request: Request, index: RatioIndex | None, kinds: Mapping[str, str],
               sizes: npt.NDArray[np.int64], limit: float | None) -> bytes:
    """What the browser draws a scene from: layers, images, and where ratios are known, their histograms."""
    header: dict[str, object] = {
        "layers": [{"name": n, "kind": k, "size": int(s)} for (n, k), s in zip(kinds.items(), sizes, strict=True)],
        "classes": base.subject.classes, "forget": request.classes, "n": len(seen.before.predicted),
        "words": request.words(base.subject.images.train)}
    arrays: dict[str, npt.NDArray[np.generic]] = {
        "before_xy": steps(seen.positions, np.uint16),
        "before_class": class_numbers(seen.before.predicted, len(base.subject.classes)),
        "truth": class_numbers(seen.evaluation.labels, len(base.subject.classes)),
        "member": seen.evaluation.member.astype(np.uint8),
        "forgotten": seen.forgotten.astype(np.uint8), "picture": seen.evaluation.pictures.astype(np.int32),
        "before_probability": steps(seen.before.probabilities, np.uint8)}
    if index is not None:
        counts, inverse, infinite = index.histogram(*LOG_RATIO, BINS)
        header |= {"alphas": ALPHAS, "lambdas": LAMBDAS, "ceiling": limit, "log_ratio": list(LOG_RATIO)}
        arrays |= {"counts": counts.astype(np.float32), "inverse": inverse.astype(np.float32),
                   "infinite": infinite.astype(np.float32)}
    return pack(header, arrays)


S = TypeVar("S", np.uint8, np.uint16)


def steps(values: npt.NDArray[np.float32], kind: type[S]) -> npt.NDArray[S]:
    """Shares in [0, 1] as whole steps of an unsigned integer."""
    top = np.iinfo(kind).max
    return (values.clip(0, 1) * top).round().astype(kind)
