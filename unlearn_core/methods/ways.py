"""One request, importances measured in several ways: what gradient, what order, what batch size, against what."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from unlearn_core.measure.estimator import Loss
from unlearn_core.measure.ratio_index import RatioIndex, build_index
from unlearn_core.measure.task import Task
from unlearn_core.methods.base import Value
from unlearn_core.methods.selective import importance_pair
from unlearn_core.progress import Progress, stage


def _batches(order: str, size: int = 64, reference: str = "all") -> dict[str, Value]:
    return {"unit": "batch_mean", "order": order, "batch_size": size, "reference": reference}


OFFICIAL, SHUFFLED = "batch mean, class by class", "batch mean, shuffled"

WAYS: Mapping[str, Mapping[str, Value]] = MappingProxyType({
    "per sample": {"unit": "per_sample", "reference": "all"},
    "per sample, against retain": {"unit": "per_sample", "reference": "retain"},
    OFFICIAL: _batches("class_sorted"),
    "batch mean, as stored": _batches("given"),
    SHUFFLED: _batches("shuffled"),
    "shuffled, batches of 16": _batches("shuffled", 16),
    "shuffled, batches of 250": _batches("shuffled", 250),
    "shuffled, against retain": _batches("shuffled", reference="retain"),
})
"""Ways to measure, each one choice away from another; batches of 64 and all training images unless said."""


def measure_ways(task: Task, loss: Loss, progress: Progress) -> dict[str, RatioIndex]:
    """The importance ratios of one request in each of the `WAYS`; as many passes over the training images."""
    weights, found = dict(task.model.named_parameters()), {}
    for i, (title, settings) in enumerate(WAYS.items()):
        pair = importance_pair(task, loss, settings, stage(progress, i / len(WAYS), (i + 1) / len(WAYS), title))
        found[title] = build_index(weights, pair.forget, pair.reference)
    return found
