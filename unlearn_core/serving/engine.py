"""From a choice to numbers: scenes, exact outcomes and landscapes, computed once for all sessions.

Everything that leaves this module is plain: numbers, numpy arrays, bytes. Pages know nothing of PyTorch.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Protocol, cast

import numpy as np
import numpy.typing as npt
import torch
from cachetools import LRUCache
from torch import Tensor, nn

from unlearn_core.audit.accuracy import per_class
from unlearn_core.audit.gauges import KINDS, GaugeName, Reading, read_gauges
from unlearn_core.measure.anatomy import parameter_kinds
from unlearn_core.measure.estimator import Importance
from unlearn_core.measure.gram import Gram, Patches
from unlearn_core.measure.ratio_index import build_index
from unlearn_core.measure.task import Measurement, Task, measure
from unlearn_core.methods import method
from unlearn_core.methods.base import Value
from unlearn_core.methods.selective import ceiling, importance_pair
from unlearn_core.nets.evaluate import (
    Outputs,
    Rows,
    accuracy_images,
    kept_groups,
    missing_rows,
    outputs,
    with_rows,
)
from unlearn_core.nets.images import ImageSet
from unlearn_core.nets.request import Request
from unlearn_core.packing import ClassNumbers, class_numbers
from unlearn_core.progress import Progress, silent, stage
from unlearn_core.serving.choice import Choice, choice
from unlearn_core.serving.grid import ALPHAS, LAMBDAS, Landscape
from unlearn_core.serving.parts import in_parts
from unlearn_core.serving.pool import Lane, Pool, Ticket
from unlearn_core.serving.scenes import Base, Scene, Seen, Settled, scene_blob, steps, unlearn
from unlearn_core.serving.size import weigh
from unlearn_core.subjects.subject import Subject, look_again, subject

CACHE_BYTES = 2**28
LATEST = 64
"""Outputs that are kept for the verdicts that follow, half a megabyte each."""
LOOK_SECONDS = 4.5
"""How long a landscape fills after somebody asked for its points; browsers ask every 0.7 to 3 seconds."""


class Evaluate(Protocol):
    """Outputs of a network with other weights on the evaluation set, or on other images."""

    def __call__(self, network: str, weights: Mapping[str, Tensor], rows: Rows | None = None) -> Outputs: ...


class Engine:
    """Models, data and caches of one process, shared read-only by all its sessions.

    Attributes:
        pool: where work is done and results are kept.
        evaluate: outputs of a network with other weights; computed here unless replaced.
    """

    def __init__(self, cache_bytes: int = CACHE_BYTES) -> None:
        self.pool = Pool(cache_bytes, weigh)
        self.evaluate: Evaluate = self._evaluate
        self._lock = threading.Lock()
        self._bases: dict[str, Base] = {}
        self._references: dict[tuple[str, Request], tuple[Mapping[str, Tensor], ...]] = {}
        self._latest: LRUCache[Choice, Outputs] = LRUCache(LATEST)

    def base(self, network: str, progress: Progress = silent) -> Base:
        """A subject's network, loaded and evaluated once, which takes an own large one a minute."""
        base = self._loaded(network)
        base.evaluated(progress)
        return base

    def _loaded(self, network: str) -> Base:
        with self._lock:
            if network not in self._bases:
                found = subject(network)
                self._bases[network] = Base(found, found.original(), found.evaluation.images.pixels())
            return self._bases[network]

    def _evaluate(self, network: str, weights: Mapping[str, Tensor], rows: Rows | None = None) -> Outputs:
        base = self._loaded(network)
        if rows is None:
            return outputs(base.model, base.pixels, weights, base.leading) if weights else base.before
        part, positions = rows
        images = base.subject.images.test if part == "test" else base.subject.images.train
        if weights:
            return outputs(base.model, images.pixels(torch.from_numpy(positions)), weights)
        key = ("original", network, part, positions.tobytes())  # the same for most requests
        if (known := self.pool.known(key)) is None:
            known = self.pool.keep(key, outputs(base.model, images.pixels(torch.from_numpy(positions))))
        return cast(Outputs, known)

    def seen(self, network: str, request: Request) -> Seen:
        """The images that outcomes of a request are shown on."""
        key = ("seen", network, request)
        if (known := self.pool.known(key)) is None:
            base, images = self.base(network), subject(network).images
            added = missing_rows(request, images.train, images.test, images.evaluation)
            evaluation = with_rows(images.evaluation, images.train, images.test, added)
            before = self._joined(base.before, network, {}, added)
            positions = base.feature_map.place(before.features) if added else base.positions
            known = self.pool.keep(key, Seen(evaluation, tuple(added), evaluation.forgotten(request),
                                             kept_groups(request, evaluation, (), images.train, images.test), before,
                                             positions))
        return cast(Seen, known)

    def answers(self, network: str, request: Request, weights: Mapping[str, Tensor], progress: Progress = silent,
                tell: Callable[[npt.NDArray[np.int64], Outputs], None] = lambda positions, found: None) -> Outputs:
        """Outputs of a network with other weights on the images of `seen`.

        Args:
            network: its name.
            request: what is to be forgotten.
            weights: by name, that stand in for the network's own.
            progress: told where that takes long; may cancel.
            tell: given there what `in_parts` yields, as it comes.
        """
        base, seen = self.base(network), self.seen(network, request)
        if not weights or base.quick:
            return self._joined(self.evaluate(network, weights), network, weights, seen.added)
        for positions, found in in_parts(seen.evaluation, seen.forgotten,
                                         partial(self.evaluate, network, weights), base.seconds):
            tell(positions, found)
            progress(len(positions) / len(seen.forgotten), f"{len(positions):,} of {len(seen.forgotten):,} images")
        return found

    def _joined(self, first: Outputs, network: str, weights: Mapping[str, Tensor], added: Sequence[Rows]) -> Outputs:
        parts = [first, *(self.evaluate(network, weights, rows) for rows in added)]
        return first if not added else Outputs(np.concatenate([part.logits for part in parts]),
                                               np.concatenate([part.features for part in parts]))

    # -- retrained networks that are not bundled ----------------------------------------------------------------

    def retrained(self, network: str, forget: Request) -> tuple[Mapping[str, Tensor], ...]:
        """Weights of the networks retrained for a request: here, or those that are bundled."""
        found = self._references.get((network, forget))
        if found is None:
            found = tuple(dict(model.state_dict()) for model in subject(network).retrained(forget))
            if found:  # else it would be one entry for every request that anybody thinks of
                self._references[network, forget] = found
        return found

    def keep_retrained(self, network: str, forget: Request,
                       networks: Sequence[Mapping[str, Tensor]]) -> None:
        """Judge by these networks from now on: whatever was kept without them is forgotten."""
        self._references[network, forget] = tuple(networks)
        self.pool.clear()

    def look_again(self) -> None:
        """Take up subjects that were prepared meanwhile, and judge by networks that were retrained for known ones.

        Those that were retrained here stay in use for requests that have no others.
        """
        others = look_again()
        for network, forget in list(self._references):
            if network in others and subject(network).retrained(forget):
                self._references.pop((network, forget), None)
        if others:
            self.pool.clear()

    def retrained_logits(self, network: str, request: Request) -> npt.NDArray[np.float32] | None:
        """(seeds, N, classes) outputs on the evaluation set of bundled networks, or else of those retrained here."""
        if (bundled := subject(network).retrained_logits(request)) is not None:
            return bundled
        if not (found := self.retrained(network, request)):
            return None
        key = ("retrained", network, request)
        known = self.pool.known(key)
        if known is None:
            known = self.pool.keep(key, np.stack([self.answers(network, request, weights).logits for weights in found]))
        return cast("npt.NDArray[np.float32]", known)

    # -- scenes ---------------------------------------------------------------------------------------------

    def scene(self, chosen: Choice) -> Ticket[Scene]:
        """What is fixed while the sliders move: seconds when importances must be measured first."""
        wanted = chosen.scene
        return self.pool.submit(("scene", wanted), lambda progress: self.prepare(wanted, progress), Lane.SCENE)

    def prepare(self, chosen: Choice, progress: Progress) -> Scene:
        """What `scene` answers, computed here and now."""
        chosen = chosen.scene
        half = 0.0 if self._loaded(chosen.network).ready else 0.5  # of the work, where the original must be evaluated
        base, found = self.base(chosen.network, stage(progress, 0.0, half, "the original")), method(chosen.method)
        request, settings = chosen.forget, dict(chosen.settings)
        seen = self.seen(chosen.network, request)
        evaluation = seen.evaluation
        task = Task(base.model, base.subject.images.train, request, self._importances(base.subject),
                    self._grams(base.subject), base.subject.history if "training history" in found.needs else None,
                    base.subject.recipe)
        weights = dict(base.model.named_parameters())
        index = limit = None
        if found.importance is not None:
            pair = importance_pair(task, found.importance, settings, stage(progress, half, 1.0))
            index, limit = build_index(weights, pair.forget, pair.reference), ceiling(task, settings)
        labels, member = evaluation.labels, evaluation.member
        unseen = accuracy_images(request, member, seen.forgotten)
        logits = self.retrained_logits(chosen.network, request)
        seeds = [Outputs(seed, np.zeros((0, 0), np.float32)) for seed in (logits if logits is not None else [])]

        def accuracies(o: Outputs) -> npt.NDArray[np.float64]:
            return per_class(o.predicted[unseen], labels[unseen], len(task.train.classes))

        kinds, sizes = parameter_kinds(base.model, task.example), np.array([w.numel() for w in weights.values()])
        scene = Scene(
            chosen, request, seen, task, tuple(weights), tuple(kinds[n] for n in weights), sizes,
            np.array([float(w.detach().double().norm()) for w in weights.values()]),
            read_gauges(seen.before, labels, member, seen.forgotten),
            tuple(read_gauges(seed, labels, member, seen.forgotten) for seed in seeds),
            logits,
            accuracies(seen.before), np.stack([accuracies(s) for s in seeds]) if seeds else None, index, limit,
            scene_blob(base, seen, request, index, kinds, sizes, limit),
        )
        progress(1.0, "done")
        return scene

    def _grams(self, found: Subject) -> Callable[..., Gram]:
        shipped = found.grams

        def provide(model: nn.Module, train: ImageSet, positions: Tensor | None, patches: Patches,
                    progress: Progress) -> Gram:
            if positions is None and patches == "exact":
                return shipped(model, train, positions, patches, progress)
            key = ("gram", found.name, None if positions is None else positions.numpy().tobytes(), patches)
            known = self.pool.known(key)
            if known is None:
                known = self.pool.keep(key, shipped(model, train, positions, patches, progress))
            return cast(Gram, known)

        return provide

    def _importances(self, found: Subject) -> Callable[..., Importance]:
        def provide(model: nn.Module, train: ImageSet, request: Request, wanted: Measurement,
                    progress: Progress) -> Importance:
            # Only a class-sorted loader looks at the request when it reads all images.
            whole = wanted.part == "all" and wanted.order != "class_sorted"
            key = ("importance", found.name, None if whole else request, wanted)
            known = self.pool.known(key)
            if known is None:
                shipped = found.shipped_importance(request, wanted)
                known = self.pool.keep(key, measure(model, train, request, wanted, progress)
                                       if shipped is None else shipped)
            return cast(Importance, known)

        return provide

    # -- exact outcomes -------------------------------------------------------------------------------------

    def settle(self, scene: Scene, chosen: Choice) -> Ticket[Settled]:
        """The exact outcome of a choice: ahead of everything else if it is a matter of milliseconds."""
        found = method(chosen.method)
        # All that draw random numbers train; a refusal takes no time and must not wait behind anybody's training.
        refused = found.obstacle(scene.task, dict(chosen.settings))
        long = not refused and (found.seeded or not self.base(chosen.network).quick)
        return self.pool.submit(("settled", chosen), lambda progress: self.compute(scene, chosen, progress),
                                Lane.LONG if long else Lane.RELEASE)

    def glimpse(self, chosen: Choice) -> Mapping[GaugeName, Reading] | None:
        """The gauges of a choice on the images evaluated so far, where that takes long."""
        return cast("Mapping[GaugeName, Reading] | None", self.pool.known(("glimpse", chosen)))

    def compute(self, scene: Scene, chosen: Choice, progress: Progress) -> Settled:
        """What `settle` answers, computed here and now."""
        base = self.base(chosen.network)
        labels, member = scene.seen.evaluation.labels, scene.seen.evaluation.member

        def tell(positions: npt.NDArray[np.int64], found: Outputs) -> None:
            part = Outputs(found.logits[positions], found.features[positions])
            self.pool.keep(("glimpse", chosen), read_gauges(part, labels[positions], member[positions],
                                                            scene.seen.forgotten[positions]))

        half = 0.98 if base.quick else 0.5
        result, change, weights = unlearn(scene, chosen, stage(progress, 0.0, half, method(chosen.method).title))
        start = time.perf_counter()
        after = self.answers(chosen.network, scene.request, weights, stage(progress, half, 0.98, "evaluated"), tell)
        seconds = time.perf_counter() - start
        with self._lock:
            self._latest[chosen] = after
        gauges = read_gauges(after, labels, member, scene.seen.forgotten)
        unseen = accuracy_images(scene.request, member, scene.seen.forgotten)
        settled = Settled(
            chosen, gauges, per_class(after.predicted[unseen], labels[unseen], len(scene.task.train.classes)),
            change, after.predicted, after.logits, base.feature_map.place(after.features),
            weights if scene.index is None else None, (*base.faults, *result.warnings), result.trace,
            result.exhibits, result.cost, seconds)
        if scene.index is not None:
            alpha, lam = result.trace["alpha"], result.trace["lambda"]
            settled = replace(settled, alpha=alpha, lam=lam, answers=scene.index.query(alpha, lam))
        progress(1.0, "done")
        return settled

    def latest(self, chosen: Choice) -> Outputs | None:
        """Outputs on the images of `seen`, of which a `Settled` keeps no features, of what was computed lately."""
        with self._lock:
            return self._latest.get(chosen)

    def weights(self, scene: Scene, settled: Settled) -> dict[str, Tensor]:
        """Parameters and buffers of an outcome that differ from the original's, by name."""
        if settled.weights is not None:
            return settled.weights
        return unlearn(scene, settled.choice, silent)[2]

    # -- landscapes -----------------------------------------------------------------------------------------

    def landscape(self, scene: Scene) -> Landscape:
        """The landscape of a scene, from the bundled files where they hold it."""
        with self._lock:
            key = ("landscape", scene.choice)
            known = self.pool.known(key)
            if known is None:
                bundled = _is_default(scene.choice)
                known = self.pool.keep(key, Landscape(
                    subject(scene.choice.network).landscape(scene.request) if bundled else None))
            return cast(Landscape, known)

    def look(self, scene: Scene, landscape: Landscape) -> None:
        """Say that somebody looks at the landscape of this scene: it fills for the next seconds, unless a point takes
        long.
        """
        if not self.base(scene.choice.network).quick:
            return
        landscape.wanted_until = time.monotonic() + LOOK_SECONDS
        with landscape.lock:
            if landscape.filling or landscape.complete:
                return
            landscape.filling = True
        threading.Thread(target=self._fill, args=(scene, landscape), daemon=True).start()

    def _fill(self, scene: Scene, landscape: Landscape) -> None:
        try:
            while time.monotonic() < landscape.wanted_until and (todo := landscape.missing()):
                landscape.points.append(self.pool.submit(("point", scene.choice, todo[0]),
                                                         partial(self._point, scene, todo[0]), Lane.FILL).result())
        finally:
            landscape.filling = False

    def _point(self, scene: Scene, position: int, progress: Progress) -> tuple[
            int, npt.NDArray[np.float32], npt.NDArray[np.uint8], ClassNumbers]:
        point = self.point(scene, position)
        progress(1.0, "done")
        return point

    def point(self, scene: Scene, position: int) -> tuple[
            int, npt.NDArray[np.float32], npt.NDArray[np.uint8], ClassNumbers]:
        """Evaluate one point of the grid."""
        alpha, lam = ALPHAS[position // len(LAMBDAS)], LAMBDAS[position % len(LAMBDAS)]
        settings: dict[str, Value] = {**dict(scene.choice.settings), "lambda": lam, "alpha": alpha}
        name = scene.choice.method if scene.choice.method != "assd" else "ssd"
        settled = self.compute(scene, choice(scene.choice.network, scene.choice.forget, name, settings), silent)
        gauges = np.array([settled.gauges[g].value for g in KINDS], np.float32)
        return position, gauges, steps(settled.xy, np.uint8), class_numbers(settled.predicted, settled.logits.shape[1])


def _is_default(scene: Choice) -> bool:
    defaults = {k: v for k, v in method("ssd").settings().items() if k not in ("alpha", "lambda")}
    return scene.method in ("ssd", "assd") and dict(scene.settings) == defaults
