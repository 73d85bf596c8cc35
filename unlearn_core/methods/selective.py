"""What SSD, LFSSD and ASSD share: two importances, their ratios, and the dampened weights."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from unlearn_core.measure.dampening import dampen
from unlearn_core.measure.estimator import Estimator, Importance, Loss
from unlearn_core.measure.ratios import ratios
from unlearn_core.measure.task import Measurement, Part, Task
from unlearn_core.methods.base import Cost, Hyperparameter, Outcome, Settings
from unlearn_core.progress import Progress

ALPHA = Hyperparameter(
    "alpha", "α", "Selection threshold: a weight is dampened if it matters more than α times as much to the "
    "forget set as to the reference set.",
    "tuned on the bundled networks (see README); SSD searched [0.1, 100] and used 10 for CIFAR",
    default=4.0, scale="log", low=0.1, high=100.0)
LAMBDA = Hyperparameter(
    "lambda", "λ", "Dampening constant: a selected weight is multiplied by λ over its importance ratio, at most 1.",
    "SSD, arXiv 2308.07707: 1", default=1.0, scale="log", low=0.1, high=5.0)
UNIT = Hyperparameter(
    "unit", "Gradient of", "Per sample: the Fisher information of the paper. Batch mean: what the official code "
    "computes; it depends on batch size and order.", "paper, section on the Fisher diagonal; official code: batch_mean",
    default="per_sample", scale="choice", choices=("per_sample", "batch_mean"), advanced=True)
ORDER = Hyperparameter(
    "order", "Batch order", "Order of the images when batches are formed; it changes batch-mean importances only.",
    "official code: class by class", default="class_sorted", scale="choice",
    choices=("class_sorted", "shuffled", "given"), advanced=True)
BATCH_SIZE = Hyperparameter(
    "batch_size", "Batch size", "Images per batch; it changes batch-mean importances only.",
    "official code: 64", default=64, scale="choice", choices=(16, 32, 64, 128, 250), advanced=True)
REFERENCE = Hyperparameter(
    "reference", "Reference set", "What the forget set is compared with: all training images, or the retained only.",
    "SSD: all; ASSD's notebook: retain", default="all", scale="choice", choices=("all", "retain"), advanced=True)

MEASURED = (UNIT, ORDER, BATCH_SIZE, REFERENCE)
"""The knobs that decide the importances; all others only use them."""


@dataclass(frozen=True, eq=False)
class ImportancePair:
    """I_f and the reference importance by parameter name."""

    forget: Importance
    reference: Importance


def measurements(loss: Loss, settings: Settings) -> tuple[Measurement, Measurement]:
    """What must be measured for these settings: on the forget set, and on the reference set."""
    unit = str(settings["unit"])
    # Sums over samples do not depend on batches: one way to form them lets results be shared.
    batch_size, order = (125, "given") if unit == "per_sample" else (int(settings["batch_size"]), settings["order"])

    def wanted(part: Part) -> Measurement:
        return Measurement(part, Estimator(loss, unit), batch_size, order)  # type: ignore[arg-type]

    return wanted("forget"), wanted("retain" if settings["reference"] == "retain" else "all")


def importance_pair(task: Task, loss: Loss, settings: Settings, progress: Progress) -> ImportancePair:
    """Both importances, the forget set's first, as the official code does."""
    forget, reference = measurements(loss, settings)
    share = task.forget_share
    found = task.importance(forget, lambda done, note: progress(done * share, f"forget set, {note}"))
    others = task.importance(
        reference, lambda done, note: progress(share + done * (1 - share), f"reference set, {note}"))
    limit = ceiling(task, settings)
    return ImportancePair(found, others if limit is None else _bounded(found, others, limit))


def _bounded(forget: Importance, reference: Importance, limit: float) -> Importance:
    """The reference, raised where rounding alone lets a ratio exceed its ceiling.

    A weight that only the forget set uses lies exactly at the ceiling; rounded up, it would be selected there.
    """
    return {name: torch.where(f / reference[name] > limit,
                              torch.nextafter(f / limit, torch.full_like(f, math.inf)), reference[name])
            for name, f in forget.items()}


def ceiling(task: Task, settings: Settings) -> float | None:
    """1 / rho: the ratio that no weight can exceed, where such a bound holds; None where it does not.

    It holds for per-sample importances against all training images, which contain the forget set; retain
    importances and batch means have no such bound.
    """
    bounded = settings["unit"] == "per_sample" and settings["reference"] == "all"
    return 1 / task.forget_share if bounded else None


def run_selective(task: Task, loss: Loss, settings: Settings, progress: Progress,
                  threshold: Callable[[ImportancePair], float]) -> Outcome:
    """Dampen with the given lambda and the alpha that `threshold` finds."""
    pair = importance_pair(task, loss, settings, progress)
    alpha, lam = threshold(pair), float(settings["lambda"])
    parameters = dict(task.model.named_parameters())
    dampened = dampen(parameters, pair.forget, pair.reference, alpha, lam)
    selected = sum(_selected(pair, name, alpha) for name in parameters)
    limit = ceiling(task, settings)
    warnings = []
    if limit is not None and alpha >= limit:
        warnings.append(f"α = {alpha:g} is at or above the ceiling 1/ρ = {limit:g}: no weight can be selected.")
    elif selected == 0:
        warnings.append(f"No weight has an importance ratio above α = {alpha:g}: nothing was changed.")
    progress(1.0, "done")
    weights = sum(p.numel() for p in parameters.values())
    return Outcome(
        dampened,
        {"alpha": alpha, "lambda": lam, "selected": float(selected), "selected_share": selected / weights,
         "ceiling": float("inf") if limit is None else limit},
        tuple(warnings),
        Cost(stored_bytes=sum(_bytes(v) for v in pair.reference.values())),
    )


def _selected(pair: ImportancePair, name: str, alpha: float) -> int:
    return int((ratios(pair.forget[name], pair.reference[name]) > alpha).sum())


def _bytes(value: Tensor) -> int:
    return value.numel() * value.element_size()
