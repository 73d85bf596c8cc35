"""Optimisation-based unlearning with layer-wise partial updates (arXiv 2403.07611, JMLR 2025, Algorithm 3)."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor
from torch.nn import functional as F

from unlearn_core.measure.task import Task
from unlearn_core.methods import loop
from unlearn_core.methods.base import CHOSEN, TUNED, Hyperparameter, Method, Outcome, Preset, Settings
from unlearn_core.methods.masks import BATCH_SIZE, BODY_SHARE, HEAD_SHARE, RULE, SCOPE, Terms, partial_updates
from unlearn_core.methods.training import batches
from unlearn_core.progress import Progress

CLIMBED = "forget images"
"""The term of the loss that climbs."""


def run(task: Task, settings: Settings, progress: Progress) -> Outcome:
    """Climb the loss of the forget set and descend on that of some retained images."""
    forget, retain = task.split
    size, weight = int(settings["batch_size"]), float(settings["retain_weight"])
    limit, pauses = float(settings["loss_limit"]), settings["at_limit"] == "pause"
    retained = loop.some_retained(task, settings["retain_images"]) if weight else retain[:0]
    forgotten = torch.zeros(len(task.train), dtype=torch.bool)
    forgotten[forget] = True

    def epoch(order: torch.Generator) -> list[Tensor]:
        """Batches of every forget image once, each with as large a batch of the retained images, in turn."""
        pairs = zip(batches(forget, size, order), itertools.cycle(batches(retained, size, order)), strict=False)
        return [torch.cat(pair) for pair in pairs]

    def objective(logits: Tensor, batch: Tensor) -> Terms:
        climbing = forgotten[batch]
        losses = F.cross_entropy(logits, task.train.labels[batch], reduction="none")
        climbed = losses[climbing].clamp(max=limit) if pauses else losses[climbing]  # no gradient above the limit
        terms = {CLIMBED: (-1.0, climbed.mean())}
        if len(retained):
            terms["retained images"] = (weight, losses[~climbing].mean())
        return terms

    return partial_updates(task, settings, progress, epoch, objective,
                           ends=lambda values: not pauses and values[CLIMBED] > limit)


METHOD = Method(
    name="partial_optimisation",
    title="Partial optimisation",
    paper="Layer-wise partial machine unlearning, JMLR 2025, arXiv 2403.07611, Algorithm 3",
    about="Climbs the loss of the forget images, while only a part of each layer may learn at a step.",
    family="partial updates",
    needs=frozenset({"forget images", "retain images", "labels"}),
    hyperparameters=(
        BODY_SHARE, HEAD_SHARE, RULE,
        Hyperparameter(
            "lr", "Learning rate", "How far a step goes, without momentum.", TUNED,
            default=0.01, scale="log", low=1e-5, high=1.0),
        Hyperparameter(
            "epochs", "Epochs", "Passes over the forget images, unless the loss limit ends the run earlier.", CHOSEN,
            default=3, scale="choice", choices=(1, 2, 3, 5, 10, 20)),
        Hyperparameter(
            "retain_weight", "Retain weight", "How much the loss of the retained images counts, that of the forget "
            "images counting 1; 0 only climbs.", CHOSEN, default=3.0, scale="linear", low=0.0, high=10.0),
        Hyperparameter(
            "loss_limit", "Loss limit", "The cross entropy in nats at which a forget image counts as forgotten: "
            "without a limit the climb would speed up for ever.", CHOSEN, default=4.0, scale="log", low=1.0,
            high=1000.0),
        Hyperparameter(
            "at_limit", "At the limit", "Stop: the run ends once the forget images of a step exceed the limit on "
            "average. Pause: each image above it stops counting and the run goes on.",
            f"{TUNED}; the paper's loss has no limit", default="pause", scale="choice",
            choices=("stop", "pause")),
        Hyperparameter(
            "retain_images", "Retained images", "How many images of each retained class the descent may use; with 0 "
            "the method only climbs.", CHOSEN, default=200, scale="choice", choices=(0, 50, 100, 200, 500, 1000)),
        BATCH_SIZE, SCOPE,
    ),
    work=run,
    obstacle=loop.frozen_entirely,
    presets={
        "too weak": Preset({"lr": 0.0001}, "The steps are so short that the network still knows the class."),
        "sweet spot": Preset(
            {"lr": 0.01, "at_limit": "pause"},
            "Images that are forgotten stop counting, so that the other classes keep what they need."),
        "naive": Preset({"body_share": 1.0, "head_share": 1.0, "lr": 0.003},
                        "Every weight learns at every step, in shorter steps: no partial updates."),
        "catastrophic": Preset({"retain_weight": 0.0, "loss_limit": 100.0, "lr": 0.003, "at_limit": "stop"},
                               "Climbs alone and without a limit in reach: every class is lost."),
    },
)
