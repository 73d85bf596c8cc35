"""Label flipping with layer-wise partial updates (arXiv 2403.07611, JMLR 2025, Algorithm 2)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from unlearn_core.measure.task import Task
from unlearn_core.methods import loop
from unlearn_core.methods.base import CHOSEN, TUNED, Hyperparameter, Method, Outcome, Preset, Settings
from unlearn_core.methods.masks import BATCH_SIZE, BODY_SHARE, HEAD_SHARE, RULE, SCOPE, Terms, partial_updates
from unlearn_core.methods.training import batches
from unlearn_core.progress import Progress


def run(task: Task, settings: Settings, progress: Progress) -> Outcome:
    """Train on the forget set with wrong labels, drawn once, and on some retained images with their own."""
    forget, _ = task.split
    positions = torch.cat([forget, loop.some_retained(task, settings["retain_images"])])
    targets = task.train.labels.clone()
    targets[forget] = loop.wrong_labels(
        targets[forget], task.request.classes, len(task.train.classes),
        task.generator("partial updates", "wrong labels"))

    def objective(logits: Tensor, batch: Tensor) -> Terms:
        return {"relabelled and retained images": (1.0, F.cross_entropy(logits, targets[batch]))}

    return partial_updates(task, settings, progress,
                           lambda order: batches(positions, int(settings["batch_size"]), order), objective)


METHOD = Method(
    name="partial_label_flip",
    title="Partial label flip",
    paper="Layer-wise partial machine unlearning, JMLR 2025, arXiv 2403.07611, Algorithm 2",
    about="Trains on random wrong labels for the forget images, while only a part of each layer may learn at a step.",
    family="partial updates",
    needs=frozenset({"forget images", "retain images", "labels"}),
    hyperparameters=(
        BODY_SHARE, HEAD_SHARE, RULE,
        Hyperparameter(
            "lr", "Learning rate", "How far a step goes against the gradient, without momentum.", TUNED,
            default=0.02, scale="log", low=1e-4, high=1.0),
        Hyperparameter(
            "epochs", "Epochs", "Passes over the relabelled and the retained images.", TUNED,
            default=2, scale="choice", choices=(1, 2, 3, 5, 10, 20)),
        Hyperparameter(
            "retain_images", "Retained images", "Images of each retained class, trained on with their true labels; "
            "0 trains on the forget set only.", CHOSEN, default=200, scale="choice",
            choices=(0, 50, 100, 200, 500, 1000)),
        BATCH_SIZE, SCOPE,
    ),
    work=run,
    obstacle=loop.frozen_entirely,
    presets={
        "too weak": Preset({"body_share": 0.01, "head_share": 0.01, "lr": 0.001},
                           "One weight in a hundred learns at a step: most of the class is still known at the end."),
        "sweet spot": Preset({"body_share": 0.3, "head_share": 0.3, "lr": 0.02, "epochs": 2, "retain_images": 200},
                             "Forgets the class and keeps almost all of the rest."),
        "naive": Preset({"body_share": 1.0, "head_share": 1.0, "lr": 0.006},
                        "Every weight learns at every step, in shorter steps: no partial updates."),
        "catastrophic": Preset({"lr": 0.05, "epochs": 10, "retain_images": 0},
                               "Long steps on wrong labels alone: nothing holds the other classes in place."),
    },
)
