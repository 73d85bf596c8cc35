"""NegGrad+: descent on retained images and ascent on the forget set in every step."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from unlearn_core.measure.task import Task
from unlearn_core.methods.base import CHOSEN, TUNED, Hyperparameter, Method, Outcome, Preset, Settings
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
    retain_images,
    some_retained,
    training_norms,
)
from unlearn_core.methods.training import batches, trainable_copy, trained
from unlearn_core.progress import Progress


def run(task: Task, settings: Settings, progress: Progress) -> Outcome:
    """Lower CE(retained batch) - weight * CE(forget batch) by SGD with momentum 0.9 and a clipped gradient.

    Both batches go through the network together. The forget set's batches begin again when they are used up.
    """
    forget, _ = task.split
    kept = some_retained(task, settings["retain_images"])
    forgotten = torch.zeros(len(task.train), dtype=torch.bool).index_fill(0, forget, True)
    size, weight = int(settings["batch_size"]), float(settings["weight"])
    model = training_norms(trainable_copy(task.model))
    order = task.generator("neggrad_plus", "order")
    losses: dict[bool, list[float]] = {False: [], True: []}

    def pairs(epoch: int) -> list[Tensor]:
        rises = batches(forget, size, order)
        return [torch.cat([falls, rises[i % len(rises)]]) for i, falls in enumerate(batches(kept, size, order))]

    def loss(chosen: Tensor) -> Tensor:
        each = F.cross_entropy(logits(model, task, chosen), task.train.labels[chosen], reduction="none")
        rises = forgotten[chosen]
        falling, rising = each[~rises].mean(), each[rises].mean()
        losses[False].append(float(falling.detach()))
        losses[True].append(float(rising.detach()))
        return falling - weight * rising

    optimiser = torch.optim.SGD(model.parameters(), float(settings["lr"]), momentum=0.9)
    descend(model, optimiser, pairs, loss, int(settings["epochs"]), progress, "descent and ascent",
            clip=float(settings["clip"]))
    return trained(
        task, model.eval(),
        {"steps": float(len(losses[True])), "retain_images": float(len(kept)), "final_loss": losses[False][-1],
         "final_forget_loss": losses[True][-1]},
        exhibits=[loss_curves("The forgotten images' loss is meant to rise while that of the retained ones stays low.",
                              CROSS_ENTROPY, retained_images=losses[False], forgotten_images=losses[True])])


METHOD = Method(
    name="neggrad_plus",
    title="NegGrad+",
    paper="A baseline of Kurmanji et al., Towards unbounded machine unlearning, NeurIPS 2023, arXiv 2302.09880",
    about="Climbs the loss of the forget set while descending that of retained images.",
    family="baseline",
    needs=frozenset({"forget images", "retain images", "labels"}),
    hyperparameters=(
        Hyperparameter("weight", "Ascent weight", "Weight of the forget set's rising loss beside the falling one.",
                       TUNED, default=0.1, scale="log", low=0.001, high=1.0),
        learning_rate("How far a step goes.", 0.02, TUNED),
        epochs(1, "Passes over the retained images.", CHOSEN),
        retain_images(300, CHOSEN),
        clip("Longer gradients are shortened to this length, so that the climb cannot run away.", CHOSEN),
        batch_size(64, "Retained images per step, and as many forgotten ones.", CHOSEN),
    ),
    work=run,
    obstacle=frozen_entirely,
    presets={
        "too weak": Preset({"weight": 0.01, "lr": 0.002}, "The descent undoes what the ascent achieves."),
        "sweet spot": Preset({"weight": 0.1, "lr": 0.02},
                             "The ascent removes the class and the descent holds the rest."),
        "catastrophic": Preset({"weight": 1.0, "lr": 0.03},
                               "The ascent has no bound and soon outweighs the descent."),
    },
)
