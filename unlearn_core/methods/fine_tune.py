"""Fine-tuning: goes on training on the retained images, so that the rest is forgotten by neglect."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from unlearn_core.measure.task import Task
from unlearn_core.methods.base import CHOSEN, TUNED, Method, Outcome, Preset, Settings
from unlearn_core.methods.loop import (
    CROSS_ENTROPY,
    batch_size,
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
from unlearn_core.nets.train import one_cycle
from unlearn_core.progress import Progress


def run(task: Task, settings: Settings, progress: Progress) -> Outcome:
    """Descend on retained images alone: SGD with momentum 0.9, one-cycle schedule, no augmentation."""
    kept = some_retained(task, settings["retain_images"])
    size, passes, rate = int(settings["batch_size"]), int(settings["epochs"]), float(settings["lr"])
    model = training_norms(trainable_copy(task.model))
    optimiser = torch.optim.SGD(model.parameters(), rate, momentum=0.9)
    order = task.generator("fine_tune", "order")
    plan = [batches(kept, size, order) for _ in range(passes)]

    def loss(chosen: Tensor) -> Tensor:
        return F.cross_entropy(logits(model, task, chosen), task.train.labels[chosen])

    losses = descend(model, optimiser, plan.__getitem__, loss, passes, progress, "fine-tuning",
                     one_cycle(optimiser, rate, sum(map(len, plan))))
    return trained(
        task, model.eval(),
        {"steps": float(len(losses)), "retain_images": float(len(kept)), "first_loss": losses[0],
         "final_loss": losses[-1]},
        exhibits=[loss_curves("A rise in the middle is the high learning rate shaking the network; what is not "
                              "relearnt afterwards stays forgotten.", CROSS_ENTROPY, retained_images=losses)])


METHOD = Method(
    name="fine_tune",
    title="Fine-tune",
    paper="A baseline of Golatkar et al., Eternal sunshine of the spotless net, CVPR 2020, arXiv 1911.04933; settings "
          "of Foster et al., arXiv 2308.07707",
    about="Goes on training on the retained images only; the forget set is never looked at.",
    family="baseline",
    needs=frozenset({"retain images", "labels"}),
    hyperparameters=(
        learning_rate("The highest learning rate of the run; the higher, the more is forgotten.", 0.2,
                      f"{TUNED}; SSD: 0.02"),
        epochs(3, "Passes over the retained images.", f"{TUNED}; SSD: 5"),
        retain_images(500, f"{CHOSEN}; SSD: all"),
        batch_size(64, source=CHOSEN),
    ),
    work=run,
    obstacle=frozen_entirely,
    presets={
        "official": Preset({"lr": 0.02, "epochs": 5, "retain_images": "all", "batch_size": 64},
                           "What SSD was compared with: careful training on every retained image."),
        "too weak": Preset({"lr": 0.005, "epochs": 1, "retain_images": 200},
                           "Little training leaves what the network knows in place."),
        "sweet spot": Preset({"lr": 0.2, "epochs": 3, "retain_images": 500},
                             "A high learning rate shakes the network, and only the rest is learnt again."),
    },
)
