"""The same images as three networks see them, on one map: original, retrained without the class, unlearned."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Literal, cast

import numpy as np
import numpy.typing as npt
from torch import nn

from unlearn_core.audit.similarity import Features, layer_features
from unlearn_core.maps.projection import NEIGHBOURS, Float32, align, fill, fit_linear, nearest, trustworthiness
from unlearn_core.maps.refit import fit_together
from unlearn_core.methods import method
from unlearn_core.nets.evaluate import softmax
from unlearn_core.packing import class_numbers, pack
from unlearn_core.progress import Progress, stage
from unlearn_core.serving.engine import Engine
from unlearn_core.serving.pool import Lane, Pool, Ticket
from unlearn_core.serving.scenes import Scene, Settled
from unlearn_core.serving.size import weigh
from unlearn_core.subjects.subject import subject

Kind = Literal["umap", "pca", "joint"]
Role = Literal["original", "retrained", "unlearned"]
Group = Literal["all", "forget", "forgotten", "kept", "overly", "unlike"]

GROUPS: Mapping[Group, tuple[str, str]] = {
    "all": ("All images", "Every evaluation image, trained on or never seen."),
    "forget": ("Forget set", "Images of what is to be forgotten."),
    "forgotten": ("Correctly forgotten",
                  "Forget-set images that the unlearned network no longer puts into their class."),
    "kept": ("Not forgotten", "Forget-set images that the unlearned network still puts into their class."),
    "overly": ("Overly forgotten", "Retained images that the original got right and the unlearned network gets wrong."),
    "unlike": ("Unlike retraining", "Images that the unlearned and the retrained networks (by their mean probability) "
                                    "put into different classes."),
}
"""Named groups of images: title, and who belongs to it."""


@dataclass(frozen=True, eq=False)
class Surroundings:
    """Each image's nearest neighbours in one network's own feature space, where no map distorts them.

    Attributes:
        new: (N,) share that are not among its neighbours in the original.
        alike: (N,) share that have its true class.
    """

    new: Float32
    alike: Float32


@dataclass(frozen=True, eq=False)
class Panel:
    """One network's images on the map.

    Attributes:
        features: (N, width) in the original's basis.
        xy: (N, 2) positions; outside [0, 1] where a linear map does not reach.
        predicted: (N,) most likely class.
        trust: (N,) trustworthiness of each image's neighbours on the map.
    """

    role: Role
    features: Float32
    xy: Float32
    predicted: npt.NDArray[np.int64]
    trust: Float32


@dataclass(frozen=True, eq=False)
class Embedding:
    """Three networks (two where none is retrained) on one map.

    Attributes:
        choice: key of the outcome.
        layer: one of `Subject.layers`.
        kind: how points were placed: by a bundled UMAP, by principal components, or by one UMAP fitted to all.
        panels: original, the first retrained network if there is one, unlearned.
        surroundings: by role, one for each network; retrained has one a seed.
        probabilities: by role, (N, classes); retrained is the mean over its networks.
        truth: (N,) true classes.
        member: (N,) whether the image was trained on.
        forgotten: (N,) whether an image is of what is to be forgotten.
        forget: numbers of the classes to be forgotten; none where it is no class.
        pictures: (N,) their numbers for the browser.
        classes: their names.
        aligned: by role, where features had to be brought into the original's basis: share of the original's variance
            over retained images that they then explain.
        plane: share of the original's variance that a linear map shows; None for UMAP.
    """

    choice: str
    layer: str
    kind: Kind
    panels: tuple[Panel, ...]
    surroundings: dict[Role, tuple[Surroundings, ...]]
    probabilities: dict[Role, Float32]
    truth: npt.NDArray[np.int64]
    member: npt.NDArray[np.bool_]
    forgotten: npt.NDArray[np.bool_]
    forget: tuple[int, ...]
    pictures: npt.NDArray[np.int64]
    classes: Sequence[str]
    aligned: dict[Role, float]
    plane: float | None

    @property
    def beyond(self) -> int:
        """How many points, of all panels, lie outside the map."""
        return sum(int((np.abs(panel.xy - 0.5) > 0.5).any(1).sum()) for panel in self.panels)

    def group(self, name: Group) -> npt.NDArray[np.bool_]:
        """(N,) who belongs to a group of `GROUPS`; nobody where it needs retrained networks and there are none."""
        before, after, asked = self.panels[0].predicted, self.panels[-1].predicted, self.forgotten
        everyone = np.ones(len(self.truth), np.bool_)
        retrained = self.probabilities.get("retrained")
        members: dict[Group, npt.NDArray[np.bool_]] = {
            "all": everyone, "forget": asked, "forgotten": asked & (after != self.truth),
            "kept": asked & (after == self.truth), "overly": ~asked & (before == self.truth) & (after != self.truth),
            "unlike": ~everyone if retrained is None else after != retrained.argmax(1)}
        return members[name]

    def blob(self) -> bytes:
        """What the browser draws, packed."""
        def shares(values: npt.NDArray[np.floating], top: int) -> npt.NDArray[np.floating]:
            return (values.clip(0, 1) * top).round()

        return pack({"classes": list(self.classes), "forget": list(self.forget), "n": len(self.truth),
                     "panels": [panel.role for panel in self.panels], "groups": list(GROUPS),
                     "voices": list(self.probabilities)}, {
            "xy": shares(np.stack([panel.xy for panel in self.panels]), 65535).astype(np.uint16),
            "klass": class_numbers(np.stack([panel.predicted for panel in self.panels]), len(self.classes)),
            "probability": shares(np.stack(list(self.probabilities.values())), 255).astype(np.uint8),
            "truth": class_numbers(self.truth, len(self.classes)), "member": self.member.astype(np.uint8),
            "forgotten": self.forgotten.astype(np.uint8), "picture": self.pictures.astype(np.int32),
            "group": np.stack([self.group(name) for name in GROUPS]).astype(np.uint8)})


def key(choice: str, layer: str, kind: Kind) -> Hashable:
    """What an embedding is kept under in the engine's pool."""
    return "embedding", choice, layer, kind


def submit(engine: Engine, scene: Scene, settled: Settled, layer: str, kind: Literal["umap", "pca"]
            ) -> Ticket[Embedding]:
    """The embedding of an outcome: about a second at first, less once the retrained networks' features are known."""
    return engine.pool.submit(key(settled.choice.key, layer, kind),
                              lambda progress: embed(engine, scene, settled, layer, kind, progress), Lane.RELEASE)


def embed(engine: Engine, scene: Scene, settled: Settled, layer: str, kind: Literal["umap", "pca"],
          progress: Progress) -> Embedding:
    """What `submit` answers, computed here and now.

    Raises:
        ValueError: if the layer is none of the network's, or an output is not finite.
    """
    network = settled.choice.network
    seen = scene.seen
    evaluation = seen.evaluation
    if layer not in subject(network).layers:
        raise ValueError(f"layer: one of {', '.join(subject(network).layers)} expected, got {layer!r}")
    base, truth = engine.base(network), evaluation.labels
    before = _features(engine, scene, original=True, progress=stage(progress, 0, 0.1, "original"))[0]
    others = _features(engine, scene, original=False, progress=stage(progress, 0.1, 0.5, "retrained"))
    weights = engine.weights(scene, settled)
    after = layer_features(base.model, seen.pixels, weights) if weights else before
    progress(0.6, "placing the images")

    shown: list[tuple[Role, Float32, npt.NDArray[np.int64]]] = [
        ("original", before[layer], seen.before.predicted), ("unlearned", after[layer], settled.predicted)]
    if others:
        shown.insert(1, ("retrained", others[0][layer], list(others[0].values())[-1].argmax(1)))  # the head comes last
    retained = ~seen.forgotten
    aligned: dict[Role, float] = {}
    for number, (role, features, predicted) in enumerate(shown):
        if role == "retrained" or (role == "unlearned" and method(settled.choice.method).afresh):
            found = align(features, before[layer], retained)
            shown[number], aligned[role] = (role, found.features, predicted), found.explained
    linear = fit_linear(before[layer]) if kind == "pca" else None
    shipped = before[layer][:len(base.before.predicted)]  # a bundled map knows the evaluation set alone
    chart = linear or subject(network).feature_map(layer, shipped)
    panels = []
    for number, (role, features, predicted) in enumerate(shown):
        xy = chart.place(features)
        panels.append(Panel(role, features, xy, predicted, trustworthiness(features, xy)))
        progress(0.6 + 0.1 * (number + 1), "measuring neighbours")

    started = nearest(before[layer])
    probabilities: dict[Role, Float32] = {"original": seen.before.probabilities}
    if scene.retrained_logits is not None:
        probabilities["retrained"] = softmax(scene.retrained_logits).mean(0)
    probabilities["unlearned"] = settled.probabilities
    progress(1.0, "done")
    return Embedding(
        settled.choice.key, layer, kind, tuple(panels),
        {"original": (_surroundings(before[layer], started, truth),),
         "retrained": tuple(_surroundings(other[layer], started, truth) for other in others),
         "unlearned": (_surroundings(after[layer], started, truth),)},
        probabilities, truth, evaluation.member, seen.forgotten, scene.request.classes, evaluation.pictures,
        subject(network).classes, aligned, None if linear is None else linear.explained)


def _features(engine: Engine, scene: Scene, original: bool, progress: Progress) -> tuple[Features, ...]:
    """Every layer's features of the original, or of each bundled network retrained for the request."""
    network, request = scene.choice.network, scene.request
    wanted = ("layers", network, original, request if scene.seen.added or not original else None)
    known = engine.pool.known(wanted)
    if known is None:
        models: list[nn.Module] = [engine.base(network).model] if original else subject(network).retrained(request)
        found = []
        for number, model in enumerate(models):
            found.append(layer_features(model, scene.seen.pixels))
            progress((number + 1) / len(models), "reading its layers")
        known = engine.pool.keep(wanted, tuple(found))
    return cast(tuple[Features, ...], known)


def _surroundings(features: Float32, before: npt.NDArray[np.int64], truth: npt.NDArray[np.int64]) -> Surroundings:
    now = nearest(features)
    new = ~(now[:, :, None] == before[:, None, :]).any(2)
    return Surroundings(new.mean(1, dtype=np.float32), (truth[now] == truth[:, None]).mean(1, dtype=np.float32))


# -- fitted together ----------------------------------------------------------------------------------------

@cache
def _refits() -> Pool:
    """Joint fits run in processes of their own, one at a time, and never take the engine's workers from a slider.

    Of a pool's workers only one takes the long lane.
    """
    return Pool(0, weigh)


def refit(engine: Engine, placed: Embedding) -> Ticket[Embedding]:
    """One UMAP fitted to all panels together: some ten seconds in another process; the engine's pool keeps it."""
    wanted = key(placed.choice, placed.layer, "joint")
    if engine.pool.known(wanted) is not None:
        return engine.pool.submit(wanted, lambda progress: joint(placed, progress), Lane.LONG)
    return _refits().submit(wanted, lambda progress: engine.pool.keep(wanted, joint(placed, progress)), Lane.LONG)


def joint(placed: Embedding, progress: Progress) -> Embedding:
    """What `refit` answers, computed here and now; turned so that it resembles the map before.

    Raises:
        RuntimeError: if the fitting process fails.
    """
    together = fit_together(np.concatenate([panel.features for panel in placed.panels]), 0, progress)
    everyone = np.ones(len(together), np.bool_)
    turned = fill(align(together, np.concatenate([panel.xy for panel in placed.panels]), everyone).features)
    parts = np.split(turned, len(placed.panels))
    return replace(placed, kind="joint", plane=None, panels=tuple(
        replace(panel, xy=xy, trust=trustworthiness(panel.features, xy))
        for panel, xy in zip(placed.panels, parts, strict=True)))


# -- in words -----------------------------------------------------------------------------------------------

def finding(found: Embedding) -> str:
    """One sentence on what became of the forget set's neighbourhoods, against retraining."""
    asked = found.forgotten
    alike = {role: np.array([seed.alike[asked].mean() for seed in seeds])
             for role, seeds in found.surroundings.items()}
    new = {role: np.array([seed.new[asked].mean() for seed in seeds]) for role, seeds in found.surroundings.items()}
    own = found.surroundings["unlearned"][0].alike[asked]
    low, high = own.mean() + np.array([-1.96, 1.96]) * own.std() / np.sqrt(len(own))
    band = alike["retrained"]
    begin = ("The forget set's neighbourhoods" if not band.size else
             "The forget set holds together more than after retraining" if low > band.max() else
             "The forget set is torn apart more than by retraining" if high < band.min() else
             "The forget set holds together about as it does after retraining")

    def beside(seeds: npt.NDArray[np.floating]) -> str:
        return f"; retrained {100 * seeds.min():.0f} to {seeds.max():.0%}" if seeds.size else ""

    return (f"{begin}: {own.mean():.0%} of an image's {NEIGHBOURS} nearest neighbours share its class (original "
            f"{alike['original'][0]:.0%}{beside(band)}), {new['unlearned'][0]:.0%} are new "
            f"(original 0%{beside(new['retrained'])}).")
