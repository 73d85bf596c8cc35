"""Fisher forgetting: noise where the retained images do not mind (Golatkar et al., CVPR 2020, arXiv 1911.04933)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from unlearn_core.exhibits import LayerBars
from unlearn_core.measure import anatomy
from unlearn_core.measure.estimator import Estimator, Importance
from unlearn_core.measure.importance import importance
from unlearn_core.measure.task import Task
from unlearn_core.methods import loop
from unlearn_core.methods.base import CHOSEN, Hyperparameter, Method, Outcome, Preset, Settings
from unlearn_core.methods.training import trainable_copy, trained
from unlearn_core.nets.models import private_copy
from unlearn_core.progress import Progress, stage

_BATCH = 125

CAP, HEAD_CAP, FACTOR, RESET_VARIANCE = 1e3, 1e2, 10.0, 1e-4
"""Of the released code: largest 1 / F, that of the last layer, what the last layer and all vectors are multiplied by,
and the variance of a forgotten class's row, whose mean becomes zero."""


@dataclass(frozen=True)
class _OwnLabels(Estimator):
    """Cross-entropy whose squared gradient is weighted by the probability that the network gives the label."""

    def losses(self, logits: Tensor, labels: Tensor) -> Tensor:
        chance = logits.detach().softmax(1).gather(1, labels[:, None])[:, 0]
        return chance.sqrt() * super().losses(logits, labels)


def fisher(task: Task, positions: Tensor, progress: Progress) -> Importance:
    """The diagonal of the Fisher information, F = mean over images of sum_k p_k(x) (d log p_k(x) / d theta)^2.

    The expectation over the network's own labels is exact: each image counts once with each label k, the square
    root of p_k in its loss. Source: arXiv 1911.04933.

    Args:
        task: the network and its training images.
        positions: of the images.
        progress: told after each batch.
    """
    classes = len(task.train.classes)
    parts = torch.split(positions, _BATCH)
    weights = next(task.model.parameters())
    pairs = ((task.train.pixels(part).to(weights.dtype), torch.full((len(part),), label))
             for part in parts for label in range(classes))
    mean = importance(private_copy(task.model), pairs, _OwnLabels("cross_entropy", "per_sample"), progress=progress,
                      total=len(parts) * classes)
    return {name: values * classes for name, values in mean.items()}  # a sum over labels, not a mean


def noise_variance(information: Importance, kinds: dict[str, str], scale: float, average: bool) -> Importance:
    """The variance of each weight's noise, scale / F within the released code's limits.

    Args:
        information: the Fisher information F by parameter name.
        kinds: of each parameter; ``head`` is the last layer (`anatomy.parameter_kinds`).
        scale: alpha.
        average: whether the weights of one output share the mean variance of its inputs (dimension 1).
    """
    found = {}
    for name, values in information.items():
        last = kinds[name] == "head"
        variance = (1 / (values + 1e-8)).clamp(max=HEAD_CAP if last else CAP)
        if average and variance.dim() > 1:
            variance = variance.mean(1, keepdim=True).expand_as(values)
        found[name] = scale * variance * (FACTOR if last or variance.dim() == 1 else 1)
    return found


def run(task: Task, settings: Settings, progress: Progress) -> Outcome:
    """Add noise to every weight, the more the less the retained images need it."""
    model, kinds = trainable_copy(task.model), anatomy.parameter_kinds(task.model, task.example)
    kept = loop.some_retained(task, settings["retain_images"])
    information = fisher(task, kept, stage(progress, 0.0, 0.95, "Fisher information"))
    variances = noise_variance(information, kinds, float(settings["noise_scale"]), settings["average"] == "inputs")
    generator = task.generator("fisher forgetting", "noise")
    rows = list(task.request.classes) if settings["forgotten_rows"] == "reset" else []
    shares, capped, entries = {}, 0, 0
    with torch.no_grad():
        for name, value in model.named_parameters():
            if not value.requires_grad:
                continue
            variance = variances[name].clone()
            noise = torch.randn(value.shape, generator=generator, dtype=torch.float64).to(value.dtype)
            if kinds[name] == "head":
                value[rows] = 0
                variance[rows] = RESET_VARIANCE
            noise *= variance.sqrt()
            energy, total = float(noise.square().sum()), float(value.square().sum() + noise.square().sum())
            shares[name] = energy / total if total else 0.0
            capped += int((1 / (information[name] + 1e-8) >= (HEAD_CAP if kinds[name] == "head" else CAP)).sum())
            entries += value.numel()
            value.add_(noise)
    progress(1.0, "done")
    trace = {"retain_images": float(len(kept)), "rows_reset": float(len(rows)), "capped_share": capped / entries,
             "mean_information": sum(float(v.sum()) for v in information.values()) / entries,
             "noise_deviation": (sum(float(variances[n].sum()) for n in shares) / entries) ** 0.5}
    bars = LayerBars(
        "How much of each layer is noise", "The noise's share of the layer's sum of squares: at 0.5 there is as much "
        "noise as weight.", tuple(shares), tuple(shares.values()), (1.0,) * len(shares), "share")
    return trained(task, model, trace, exhibits=(bars,))


METHOD = Method(
    name="fisher_forgetting",
    title="Fisher forgetting",
    paper="Golatkar et al., Eternal sunshine of the spotless net: Selective forgetting in deep networks, CVPR 2020, "
          "arXiv 1911.04933",
    about="Adds noise to every weight, more where the retained images need it less, and empties the forgotten rows.",
    family="baseline",
    needs=frozenset({"retain images"}),
    hyperparameters=(
        Hyperparameter("noise_scale", "α", "The noise's variance is α over the Fisher information: higher forgets "
                       "more and harms more.", "released code: 1e-6", default=1e-6, scale="log", low=1e-9, high=1e-3),
        Hyperparameter("retain_images", "Retained images", "How many images of each retained class the Fisher "
                       "information is measured on.", f"{CHOSEN}; released code: all", default=50, scale="choice",
                       choices=(10, 25, 50, 100, 250, 500, "all")),
        Hyperparameter("forgotten_rows", "Forgotten rows", "Reset also puts small noise in place of the last layer's "
                       "rows of the forgotten classes.", "released code: reset", default="reset", scale="choice",
                       choices=("reset", "keep")),
        Hyperparameter("average", "Noise per", "Each weight has a variance of its own, or all inputs of an output "
                       "share their mean.", "released code: inputs", default="inputs", scale="choice",
                       choices=("inputs", "weight"), advanced=True),
    ),
    work=run,
    obstacle=loop.frozen_entirely,
    presets={
        "official": Preset({"noise_scale": 1e-6, "retain_images": "all", "forgotten_rows": "reset",
                            "average": "inputs"}, "The released values, with the information of all retained images."),
        "too weak": Preset({"noise_scale": 1e-6, "forgotten_rows": "keep"},
                           "Without the reset rows, noise of the released size forgets next to nothing."),
        "catastrophic": Preset({"noise_scale": 1e-4, "forgotten_rows": "keep"},
                               "Noise that is large enough to forget by itself drowns every class."),
    },
)
