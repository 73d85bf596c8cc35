"""NegGrad: gradient ascent on the forget set."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from unlearn_core.measure.task import Task
from unlearn_core.methods.base import CHOSEN, TUNED, Method, Outcome, Preset, Settings
from unlearn_core.methods.loop import (
    CROSS_ENTROPY,
    batch_size,
    clip,
    descend,
    epochs,
    frozen_entirely,
    learning_rate,
    logits,
    loss_curves,
)
from unlearn_core.methods.training import batches, trainable_copy, trained
from unlearn_core.progress import Progress


def run(task: Task, settings: Settings, progress: Progress) -> Outcome:
    """Ascend the cross-entropy of the forget set by plain SGD; running statistics stay as they were."""
    forget, _ = task.split
    model = trainable_copy(task.model)
    order = task.generator("neggrad", "order")

    def loss(chosen: Tensor) -> Tensor:
        return -F.cross_entropy(logits(model, task, chosen), task.train.labels[chosen])

    rises = descend(model, torch.optim.SGD(model.parameters(), float(settings["lr"])),
                    lambda _: batches(forget, int(settings["batch_size"]), order), loss, int(settings["epochs"]),
                    progress, "ascent", clip=float(settings["clip"]))
    losses = [-value for value in rises]
    return trained(
        task, model, {"steps": float(len(losses)), "first_loss": losses[0], "final_loss": losses[-1]},
        exhibits=[loss_curves("It is meant to rise: far above the logarithm of the number of classes, the network "
                              "is surer of wrong answers than by chance.", CROSS_ENTROPY, forgotten_images=losses)])


METHOD = Method(
    name="neggrad",
    title="NegGrad",
    paper="A baseline of Golatkar et al., Eternal sunshine of the spotless net, CVPR 2020, arXiv 1911.04933",
    about="Climbs the loss of the forget set instead of descending it; nothing holds the rest in place.",
    family="baseline",
    needs=frozenset({"forget images", "labels"}),
    hyperparameters=(
        learning_rate("How far a step goes up the gradient.", 0.005, TUNED),
        epochs(1, "Passes over the forget set.", CHOSEN),
        clip("Longer gradients are shortened to this length, without which the climb runs away.", CHOSEN),
        batch_size(64, source=CHOSEN),
    ),
    work=run,
    obstacle=frozen_entirely,
    presets={
        "too weak": Preset({"lr": 0.001, "epochs": 1, "clip": 1.0}, "The climb has hardly begun when the run ends."),
        "sweet spot": Preset({"lr": 0.005, "epochs": 1, "clip": 1.0},
                             "Most of the class is forgotten, at some cost to its neighbours."),
        "catastrophic": Preset({"lr": 0.03, "epochs": 1, "clip": 1.0},
                               "The climb goes on after the class is gone and takes the rest with it."),
    },
)
