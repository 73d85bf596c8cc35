"""ASSD, adaptive selective synaptic dampening (Schoepf, Foster and Brintrup, arXiv 2402.10098)."""

from __future__ import annotations

import math

import numpy as np
import torch

from unlearn_core.measure.task import Task
from unlearn_core.methods.base import Method, Outcome, Preset, Settings
from unlearn_core.methods.selective import LAMBDA, MEASURED, ImportancePair, run_selective
from unlearn_core.progress import Progress


def percentile(forget_share: float) -> float:
    """The percentile of the ratios that becomes alpha: 100 - ln(1 + 100 rho)."""
    return 100 - math.log(1 + 100 * forget_share)


def adaptive_alpha(pair: ImportancePair, forget_share: float) -> float:
    """Alpha as a percentile of all finite importance ratios; 0/0 and x/0 are left out.

    Source: arXiv 2402.10098 and its official code.

    Raises:
        ValueError: if no weight has a finite ratio.
    """
    every = [(f / d).flatten() for f, d in zip(pair.forget.values(), pair.reference.values(), strict=True)]
    pooled = torch.cat([r[r.isfinite()] for r in every]).double().numpy()
    if not len(pooled):
        raise ValueError("importance: at least one weight with a finite ratio expected, found none")
    return float(np.percentile(pooled, percentile(forget_share)))


def run(task: Task, settings: Settings, progress: Progress) -> Outcome:
    """SSD with alpha set to a percentile of the importance ratios, which depends only on |D_f| / |D|."""
    return run_selective(task, "cross_entropy", settings, progress,
                         lambda pair: adaptive_alpha(pair, task.forget_share))


METHOD = Method(
    name="assd",
    title="ASSD",
    paper="Schoepf et al., Parameter-tuning-free data entry error unlearning with adaptive selective synaptic "
          "dampening, arXiv 2402.10098",
    about="SSD that picks α itself: a percentile of the importance ratios.",
    family="dampening",
    needs=frozenset({"forget images", "labels", "stored statistics"}),
    hyperparameters=(LAMBDA, *MEASURED),
    work=run,
    importance="cross_entropy",
    seeded=False,
    presets={
        "adaptive": Preset({}, "The rule on per-sample importances against all training images."),
        "official": Preset(
            {"unit": "batch_mean", "order": "class_sorted", "batch_size": 64, "reference": "retain"},
            "As in the official notebook: batch-mean gradients, compared with the retain set."),
    },
)
