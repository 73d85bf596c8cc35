"""SCRUB: move away from the teacher on the forget set, stay with it on the rest (Kurmanji et al., NeurIPS 2023)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional as F

from unlearn_core.exhibits import Curves
from unlearn_core.measure.task import Task
from unlearn_core.methods import loop
from unlearn_core.methods.bad_teacher import divergence, lesson
from unlearn_core.methods.base import CHOSEN, TUNED, Hyperparameter, Method, Outcome, Preset, Settings
from unlearn_core.methods.training import batches, trainable_copy, trained
from unlearn_core.nets import models
from unlearn_core.progress import Progress, stage


@dataclass
class _Phase:
    """One pass over some images, lowering one loss; keeps the loss of each step."""

    name: str
    loss: Callable[[Tensor], Tensor]
    images: Tensor
    size: int
    followed: list[tuple[float, float]] = field(default_factory=list)


def run(task: Task, settings: Settings, progress: Progress) -> Outcome:
    """Alternate max-steps on the forget set, in the first epochs only, and min-steps on retained images."""
    temperature = float(settings["temperature"])
    forget, kept = task.split[0], loop.some_retained(task, settings["retain_images"])
    student, dropout = models.in_training(trainable_copy(task.model)), task.generator("scrub", "dropout")
    used = torch.cat([forget, kept])
    answers = lesson(trainable_copy(task.model), task, used, stage(progress, 0.0, 0.1, "asking the teacher"))
    targets = answers.new_empty(len(task.train), answers.shape[1])
    targets[used] = answers

    def terms(positions: Tensor) -> tuple[Tensor, Tensor]:
        """The student's logits, and its distance from the teacher in the scale of distillation, T^2 KL."""
        with models.seeded(dropout):
            logits = loop.logits(student, task, positions)
        return logits, temperature**2 * divergence(targets[positions], logits, temperature).mean()

    def move_away(positions: Tensor) -> Tensor:
        return -terms(positions)[1]

    def stay(positions: Tensor) -> Tensor:
        logits, distance = terms(positions)
        return (float(settings["ce_weight"]) * F.cross_entropy(logits, task.train.labels[positions])
                + float(settings["kl_weight"]) * distance)

    learning = [p for p in student.parameters() if p.requires_grad]
    lr, decay = float(settings["lr"]), float(settings["weight_decay"])
    optimiser: torch.optim.Optimizer = (
        torch.optim.SGD(learning, lr, momentum=0.9, weight_decay=decay) if settings["optimiser"] == "sgd"
        else torch.optim.Adam(learning, lr, weight_decay=decay))
    away = _Phase("max-steps", move_away, forget, int(settings["forget_batch_size"]))
    back = _Phase("min-steps", stay, kept, int(settings["batch_size"]))
    phases = [phase for epoch in range(int(settings["epochs"]))
              for phase in ((away, back) if epoch < int(settings["max_epochs"]) else (back,))]
    total, done, steps = sum(len(phase.images) for phase in phases), 0, 0
    order = task.generator("scrub", "order")
    for phase in phases:
        low, done = done, done + len(phase.images)
        groups = batches(phase.images, phase.size, order)
        losses = loop.descend(
            student, optimiser, lambda _, groups=groups: groups, phase.loss, 1,  # type: ignore[misc]
            stage(progress, 0.1 + 0.9 * low / total, 0.1 + 0.9 * done / total, "unlearning"), phase.name)
        phase.followed += [(float(steps + i + 1), value) for i, value in enumerate(losses)]
        steps += len(losses)
    progress(1.0, "done")
    distances, returns = [(x, -value) for x, value in away.followed], back.followed
    trace = {"max_steps": float(len(distances)), "min_steps": float(len(returns)),
             "forget_images": float(len(forget)), "retain_images": float(len(kept))}
    lines = {"distance from the original": distances, "retained images": returns}
    trace |= {name: line[-1][1] for name, line in zip(("final_distance", "final_loss"), lines.values(), strict=True)
              if line}
    curves = Curves(
        "Away and back", "Max-steps raise the distance from the original on forget images; min-steps then lower the "
        "loss on retained images.", "step", "loss (nats)",
        {name: (tuple(x for x, _ in line), tuple(y for _, y in line)) for name, line in lines.items() if line})
    return trained(task, student, trace, exhibits=(curves,))


METHOD = Method(
    name="scrub",
    title="SCRUB",
    paper="Kurmanji et al., Towards unbounded machine unlearning, NeurIPS 2023, arXiv 2302.09880",
    about="Moves away from the original's answers on the forget images and back to them on retained images, in turn.",
    family="baseline",
    needs=frozenset({"forget images", "retain images", "labels"}),
    hyperparameters=(
        Hyperparameter("lr", "Learning rate", "Step size: higher forgets more and harms more.",
                       f"{TUNED}; official code: 5e-4", default=1e-3, scale="log", low=1e-5, high=0.5),
        Hyperparameter("epochs", "Epochs", "Passes over the retained images.", "official code, large scale: 3",
                       default=3, scale="choice", choices=(0, 1, 2, 3, 5, 10)),
        Hyperparameter("max_epochs", "Max epochs", "In how many of the first epochs the network also moves away from "
                       "the original on the forget images.", "official code, large scale: msteps 2", default=2,
                       scale="choice", choices=(0, 1, 2, 3, 5, 10)),
        Hyperparameter("kl_weight", "α", "Weight of the distance from the original on retained images.",
                       "official code, large scale: 0.001", default=0.001, scale="linear", low=0.0, high=1.0),
        Hyperparameter("ce_weight", "γ", "Weight of the cross-entropy with the true labels on retained images.",
                       "official code, large scale: 0.99", default=0.99, scale="linear", low=0.0, high=1.0),
        Hyperparameter("retain_images", "Retained images", "How many images of each retained class the min-steps see.",
                       f"{CHOSEN}; official code: all", default=500, scale="choice",
                       choices=(50, 100, 250, 500, 1000, "all")),
        Hyperparameter("temperature", "T", "What logits are divided by before they are compared: higher weighs "
                       "unlikely classes more.", "official code, large scale: 4", default=4.0, scale="log", low=0.5,
                       high=16.0, advanced=True),
        Hyperparameter("optimiser", "Optimiser", "SGD with momentum 0.9, or Adam.", "official code, large scale: sgd",
                       default="sgd", scale="choice", choices=("sgd", "adam"), advanced=True),
        Hyperparameter("weight_decay", "Weight decay", "How strongly every step pulls the weights to zero.",
                       "official code, large scale: 5e-4", default=5e-4, scale="linear", low=0.0, high=0.1,
                       advanced=True),
        Hyperparameter("batch_size", "Batch size", "Retained images per step.", "official code, large scale: 128",
                       default=128, scale="choice", choices=(16, 32, 64, 128, 256), advanced=True),
        Hyperparameter("forget_batch_size", "Forget batch", "Forget images per step.",
                       f"{CHOSEN}; official code, large scale: 32", default=256, scale="choice",
                       choices=(16, 32, 64, 128, 256), advanced=True),
    ),
    work=run,
    obstacle=loop.frozen_entirely,
    presets={
        "official": Preset(
            {"optimiser": "sgd", "lr": 5e-4, "weight_decay": 5e-4, "epochs": 3, "max_epochs": 2, "ce_weight": 0.99,
             "kl_weight": 0.001, "temperature": 4.0, "batch_size": 128, "forget_batch_size": 32,
             "retain_images": "all"},
            "The official code's large-scale values: many small max-steps, repaired on all retained images."),
        "small scale": Preset(
            {"optimiser": "adam", "lr": 5e-4, "weight_decay": 0.1, "epochs": 10, "max_epochs": 3, "ce_weight": 1.0,
             "kl_weight": 0.5, "temperature": 2.0, "batch_size": 128, "forget_batch_size": 32, "retain_images": "all"},
            "The official code's small-scale values; it trains for ten epochs on all images."),
    },
)
