"""Is it really gone? What probe, fine-tuning, layers and outputs of an unlearned network still tell of a class."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal, TypeVar, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from unlearn_core import assets
from unlearn_core.audit.distances import (
    Accuracies,
    Form,
    activation_distance,
    agreement,
    mean_jensen_shannon,
    tug_of_war,
    zrf,
)
from unlearn_core.audit.gauges import Reading
from unlearn_core.audit.probe import Probe, linear_probe
from unlearn_core.audit.relearn import Relearning, RelearnRecipe, relearn
from unlearn_core.audit.similarity import Features, LayerSimilarity, Part, cka, layer_features, layer_similarity
from unlearn_core.measure.task import Task
from unlearn_core.methods import METHODS
from unlearn_core.nets import models
from unlearn_core.nets.evaluate import EvaluationSet, outputs, softmax
from unlearn_core.nets.images import ImageSet
from unlearn_core.nets.request import Request
from unlearn_core.progress import Progress, silent, stage
from unlearn_core.serving.engine import Engine
from unlearn_core.serving.pool import Lane, Ticket
from unlearn_core.serving.scenes import Scene, Settled
from unlearn_core.subjects.subject import subject

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]
Better = Literal["down", "up", "match"]
T = TypeVar("T")

RELEARN = {"small-resnet": RelearnRecipe(lr=1e-3, epochs=1.5, checked=100, fresh_rows=True),
           "small-vit": RelearnRecipe(lr=2e-4, epochs=1.0, checked=100, fresh_rows=True)}
"""How networks are fine-tuned, by architecture; any other as the ResNet.

Rates at which the original takes tens of steps: at 1e-3 the transformer relearns within 8 whether it was retrained
or not. The cap is about what a retrained ResNet needs.
"""


@dataclass(frozen=True)
class Finding:
    """What is found inside one network.

    Attributes:
        probe: a fresh head on its features.
        relearning: the course of its fine-tuning.
    """

    probe: Probe
    relearning: Relearning


@dataclass(frozen=True, eq=False)
class Reference:
    """What is found inside the networks that an unlearned one is compared with, for one request.

    Attributes:
        original: the network trained on everything.
        head_zeroing: the control, which hides the answer and forgets nothing.
        retrained: one per seed, possibly none.
        layers: names, in the order of the network.
        similarity: (models, models, layers) CKA of the original, head zeroing and the retrained seeds, in this order.
    """

    original: Finding
    head_zeroing: Finding
    retrained: tuple[Finding, ...]
    layers: tuple[str, ...]
    similarity: Mapping[Part, Float64]

    def among_retrained(self, part: Part) -> Float64:
        """(pairs, layers) CKA of the retrained networks to each other."""
        rows, columns = np.triu_indices(len(self.retrained), 1)
        return self.similarity[part][rows + 2, columns + 2]


def find(model: nn.Module, weights: Mapping[str, Tensor], train: ImageSet, evaluation: EvaluationSet,
         request: Request, recipe: RelearnRecipe, progress: Progress = silent) -> Finding:
    """Probe one network, and fine-tune it until it knows the class again.

    Every network is fine-tuned on the same images in the same order.

    Raises:
        ValueError: as `linear_probe` and `relearn`.
        Diverged: as `relearn`.
    """
    return Finding(
        linear_probe(outputs(model, evaluation.images.pixels(), weights).features, evaluation.labels,
                     evaluation.member, evaluation.forgotten(request)),
        relearn(model, weights, train, request, torch.Generator().manual_seed(0), recipe, progress))


def zeroed_head(model: nn.Module, train: ImageSet, request: Request) -> Mapping[str, Tensor]:
    """The weights of the control: head zeroing at its defaults."""
    method = METHODS["head_zeroing"]
    return method.run(Task(model, train, request), method.settings(), silent).weights


def measure_reference(model: nn.Module, retrained: Sequence[nn.Module], train: ImageSet, evaluation: EvaluationSet,
                      request: Request, recipe: RelearnRecipe, progress: Progress = silent) -> Reference:
    """Look inside the original, head zeroing and the retrained networks; seconds for each.

    Args:
        model: the original.
        retrained: one per seed, of the same architecture; possibly none.
        train: the training images, forget set included.
        evaluation: the images of probe and CKA.
        request: what was to be forgotten.
        recipe: of the fine-tuning.
        progress: told after every step; may cancel.
    """
    everyone = [{}, zeroed_head(model, train, request), *(dict(seed.state_dict()) for seed in retrained)]
    names = ["the original", "head zeroing", *(f"retrained network {i + 1}" for i in range(len(retrained)))]
    found = [find(model, weights, train, evaluation, request, recipe,
                  stage(progress, i / len(everyone), (i + 1) / len(everyone), name))
             for i, (name, weights) in enumerate(zip(names, everyone, strict=True))]
    features = [layer_features(model, evaluation.images.pixels(), weights) for weights in everyone]
    layers, forgotten = tuple(features[0]), evaluation.forgotten(request)
    parts: dict[Part, npt.NDArray[np.bool_]] = {"forget": forgotten, "retain": ~forgotten}
    return Reference(found[0], found[1], tuple(found[2:]), layers, {
        part: np.array([[[cka(a[layer][chosen], b[layer][chosen]) for layer in layers] for b in features]
                        for a in features])
        for part, chosen in parts.items()})


# -- the outcome at hand ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Background:
    """What every outcome of one request is held against, on the evaluation set; a second to compute.

    Attributes:
        original: its layers' outputs.
        retrained: the same of each retrained network whose weights are at hand.
        head_zeroing: (N, classes) logits of the control.
        untrained: (N, classes) logits of the same architecture with fresh weights.
    """

    original: Features
    retrained: tuple[Features, ...]
    head_zeroing: Float32
    untrained: Float32


def background(model: nn.Module, retrained: Sequence[nn.Module], train: ImageSet, pixels: Tensor,
               request: Request) -> Background:
    """Evaluate what outcomes of this request are compared with."""
    fresh = models.fresh(model, torch.Generator().manual_seed(0)).eval()
    return Background(layer_features(model, pixels), tuple(layer_features(seed, pixels) for seed in retrained),
                      outputs(model, pixels, zeroed_head(model, train, request)).logits, outputs(fresh, pixels).logits)


@dataclass(frozen=True, eq=False)
class Distance:
    """One output distance of each model to the retrained networks (ZRF: to an untrained one).

    Attributes:
        title: its name; the reference code's form says so.
        better: ``match``: as the retrained networks among themselves.
        values: of each model, the mean over the retrained networks; NaN without any.
        retrained: (seeds,) of each retrained network, to the others; empty if there are fewer than two.
    """

    title: str
    better: Better
    values: Mapping[str, float]
    retrained: Float64


def output_distances(unlearned: Mapping[str, Float32], retrained: Float32 | None, untrained: Float32,
                     labels: npt.NDArray[np.int64], member: npt.NDArray[np.bool_],
                     forgotten: npt.NDArray[np.bool_]) -> list[Distance]:
    """Every output distance, on the training images to be forgotten; tug-of-war on all images.

    Args:
        unlearned: (N, classes) logits by name of the model.
        retrained: (seeds, N, classes) logits, or None.
        untrained: (N, classes) logits of a network with fresh weights.
        labels: (N,) true classes.
        member: (N,) whether the image was in the original's training set.
        forgotten: (N,) whether the image is of what was to be forgotten.
    """
    shown = member & forgotten
    blank = softmax(untrained[shown])

    def accuracies(logits: Float32) -> Accuracies:
        right = logits.argmax(1) == labels
        return Accuracies(*(float(right[part].mean()) for part in (shown, member & ~forgotten, ~member)))

    def pair(kind: str, form: Form, a: Float32, b: Float32) -> float:
        if kind == "tug":
            return tug_of_war(accuracies(a), accuracies(b))
        if kind == "agreement":
            return agreement(a[shown].argmax(1), b[shown].argmax(1))
        compare = mean_jensen_shannon if kind == "divergence" else activation_distance
        return compare(softmax(a[shown]), softmax(b[shown]), form)

    def mean(kind: str, form: Form, a: Float32, others: Sequence[Float32]) -> float:
        if kind == "zrf":
            return zrf(softmax(a[shown]), blank, form)
        return float(np.mean([pair(kind, form, a, b) for b in others])) if len(others) else float("nan")

    seeds = list(retrained) if retrained is not None else []
    rows: list[tuple[str, Better, str, Form]] = [
        ("Jensen–Shannon divergence (nats)", "down", "divergence", "correct"),
        ("Jensen–Shannon, reference code's form", "down", "divergence", "official"),
        ("Activation distance", "down", "activation", "correct"),
        ("Activation distance, reference code's form", "down", "activation", "official"),
        ("Agreement in the predicted class", "up", "agreement", "correct"),
        ("Tug-of-war", "up", "tug", "correct"),
        ("ZRF, against an untrained network", "match", "zrf", "correct"),
        ("ZRF, reference code's form", "match", "zrf", "official"),
    ]
    return [Distance(
        title, better, {name: mean(kind, form, logits, seeds) for name, logits in unlearned.items()},
        np.array([mean(kind, form, seed, seeds[:i] + seeds[i + 1:]) for i, seed in enumerate(seeds)]
                 if len(seeds) > 1 else []))
        for title, better, kind, form in rows]


@dataclass(frozen=True, eq=False)
class Remains:
    """What is left in one outcome, all but its relearning.

    Attributes:
        reference: what is found inside the networks it is compared with.
        probe: a fresh head on its features.
        similarity: CKA per layer to the original and to the retrained networks, by part of the images.
        distances: of the outcome, the original and head zeroing.
        head_zeroing: (N, classes) logits of the control.
    """

    reference: Reference
    probe: Probe
    similarity: Mapping[Part, LayerSimilarity]
    distances: tuple[Distance, ...]
    head_zeroing: Float32


def submit(engine: Engine, scene: Scene, settled: Settled) -> Ticket[Remains]:
    """Look inside an outcome: about a second, and some seconds more where no reference is shipped."""
    return engine.pool.submit(("remains", settled.choice),
                              lambda progress: _remains(engine, scene, settled, progress), Lane.LONG)


def relearn_recipe(network: str) -> RelearnRecipe:
    """How the networks of a subject are fine-tuned."""
    return RELEARN.get(subject(network).architecture, RELEARN["small-resnet"])


def submit_relearning(engine: Engine, scene: Scene, settled: Settled) -> Ticket[Relearning]:
    """Fine-tune an outcome until it knows the class again: some seconds."""
    model, recipe = engine.base(settled.choice.network).model, relearn_recipe(settled.choice.network)
    return engine.pool.submit(
        ("relearning", settled.choice),
        lambda progress: relearn(model, engine.weights(scene, settled), scene.task.train, scene.request,
                                 torch.Generator().manual_seed(0), recipe, progress), Lane.LONG)


def _remains(engine: Engine, scene: Scene, settled: Settled, progress: Progress) -> Remains:
    network, request, seen = settled.choice.network, scene.request, scene.seen
    base, evaluation, train = engine.base(network), seen.evaluation, scene.task.train

    def once(name: str, work: Callable[[], T]) -> T:
        """Kept for every other outcome of this request."""
        known = engine.pool.known((name, network, request))
        return cast(T, known) if known is not None else engine.pool.keep((name, network, request), work())

    def retrained() -> list[nn.Module]:
        """The networks retrained for the request; of large ones, which take minutes to relearn, none."""
        own = subject(network)
        return [own.network(weights) for weights in (engine.retrained(network, request) if base.quick else ())]

    reference = load(network, request) or once("reference", lambda: measure_reference(
        base.model, retrained(), train, evaluation, request, relearn_recipe(network),
        stage(progress, 0, 0.9, "reference")))
    progress(0.9, "looking at the networks to compare with")
    around = once("background", lambda: background(
        base.model, retrained() if reference.retrained else [], train, seen.pixels, request))
    progress(0.95, "looking inside")
    weights = engine.weights(scene, settled)
    similarity = layer_similarity(layer_features(base.model, seen.pixels, weights), around.original,
                                  around.retrained, seen.forgotten)
    features = outputs(base.model, seen.pixels, weights).features
    named = {"unlearned": settled.logits, "original": seen.before.logits, "head zeroing": around.head_zeroing}
    found = Remains(
        reference, linear_probe(features, evaluation.labels, evaluation.member, seen.forgotten),
        # The weights of some seeds may not be at hand; the reference knows all of them.
        {part: replace(alike, among_retrained=reference.among_retrained(part)) for part, alike in similarity.items()},
        tuple(output_distances(named, scene.retrained_logits, around.untrained, evaluation.labels, evaluation.member,
                               seen.forgotten)),
        around.head_zeroing)
    progress(1.0, "done")
    return found


# -- files ------------------------------------------------------------------------------------------------------------


def save(reference: Reference, file: Path) -> None:
    """Write a reference for shipping, as JSON; CKA with four decimals."""
    table = {"original": asdict(reference.original), "head_zeroing": asdict(reference.head_zeroing),
             "retrained": [asdict(seed) for seed in reference.retrained], "layers": reference.layers,
             "similarity": {part: np.round(values, 4).tolist() for part, values in reference.similarity.items()}}
    file.write_text(json.dumps(table) + "\n", "utf-8")


def load(network: str, request: Request) -> Reference | None:
    """The shipped reference; None if there is none.

    Raises:
        assets.AssetError: if its file is missing or altered.
    """
    name = f"remains/{network}-{request.slug}.json"
    if name not in assets.manifest().files:
        return None
    table = json.loads(assets.path(name).read_text("utf-8"))
    return Reference(
        _finding(table["original"]), _finding(table["head_zeroing"]), tuple(map(_finding, table["retrained"])),
        tuple(table["layers"]), {part: np.array(values) for part, values in table["similarity"].items()})


def _finding(table: Mapping[str, Mapping[str, object]]) -> Finding:
    readings = {name: Reading(value["value"], tuple(value["interval"]), value.get("images", 0))
                if isinstance(value, dict) else value
                for name, value in table["probe"].items()}
    course = {name: tuple(value) if isinstance(value, list) else value for name, value in table["relearning"].items()}
    return Finding(Probe(**readings), Relearning(**course))  # type: ignore[arg-type]
