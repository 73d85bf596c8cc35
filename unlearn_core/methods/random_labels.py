"""Random labels: trains on wrong labels for the forget set (Graves et al., arXiv 2010.10981, "Unlearning").

The SSD and bad-teacher repositories call it amnesiac; the amnesiac method of the paper subtracts stored updates.
"""

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
    wrong_labels,
)
from unlearn_core.methods.training import batches, trainable_copy, trained
from unlearn_core.progress import Progress


def run(task: Task, settings: Settings, progress: Progress) -> Outcome:
    """Train with Adam on the relabelled forget set and on retained images, mixed; labels are drawn once."""
    forget, _ = task.split
    kept = some_retained(task, settings["retain_images"])
    everything = torch.cat([forget, kept])
    labels = task.train.labels.clone()
    labels[forget] = wrong_labels(labels[forget], task.request.classes, len(task.train.classes),
                                  task.generator("random_labels", "labels"))
    model = training_norms(trainable_copy(task.model))
    order = task.generator("random_labels", "order")

    def loss(chosen: Tensor) -> Tensor:
        return F.cross_entropy(logits(model, task, chosen), labels[chosen])

    losses = descend(model, torch.optim.Adam(model.parameters(), float(settings["lr"])),
                     lambda _: batches(everything, int(settings["batch_size"]), order), loss,
                     int(settings["epochs"]), progress, "relabelling")
    return trained(
        task, model.eval(),
        {"steps": float(len(losses)), "retain_images": float(len(kept)), "relabelled_images": float(len(forget)),
         "first_loss": losses[0], "final_loss": losses[-1]},
        exhibits=[loss_curves("It starts high because the new labels contradict what was learnt, and cannot reach "
                              "zero because nobody can guess random labels.", CROSS_ENTROPY,
                              relabelled_and_retained_images=losses)])


def obstacle(task: Task, settings: Settings) -> str:
    """There must be a wrong label, and something to train."""
    if len(task.train.classes) < 2:
        return "The network has a single output, so there is no wrong label to train on."
    return frozen_entirely(task, settings)


METHOD = Method(
    name="random_labels",
    title="Random labels",
    paper="Graves, Nagisetty and Ganesh, Amnesiac machine learning, AAAI 2021, arXiv 2010.10981 (there called "
          "unlearning; amnesiac in the repositories of SSD and bad teacher)",
    about="Trains on the forget set with random wrong labels, and on retained images with their own.",
    family="baseline",
    needs=frozenset({"forget images", "retain images", "labels"}),
    hyperparameters=(
        learning_rate("How far a step of Adam goes.", 5e-4, f"{TUNED}; SSD and bad teacher: 0.0001"),
        epochs(1, "Passes over the relabelled and the retained images.", f"{TUNED}; SSD and bad teacher: 3"),
        retain_images(500, f"{CHOSEN}; SSD and bad teacher: all"),
        batch_size(64, source=f"{CHOSEN}; SSD and bad teacher: 128"),
    ),
    work=run,
    obstacle=obstacle,
    presets={
        "official": Preset({"lr": 1e-4, "epochs": 3, "retain_images": "all", "batch_size": 128},
                           "What SSD and bad teacher were compared with, under the name amnesiac."),
        "too weak": Preset({"lr": 2e-5, "epochs": 1}, "The wrong labels have hardly been learnt when the run ends."),
        "sweet spot": Preset({"lr": 5e-4, "epochs": 1, "retain_images": 500},
                             "The class is gone after one pass, and the retained images hold the rest."),
    },
)
