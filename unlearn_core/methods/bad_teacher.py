"""Bad teacher: an ignorant teacher for the forget set, the original for the rest (Chundawat et al., AAAI 2023)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unlearn_core.exhibits import Curves
from unlearn_core.measure.task import Task
from unlearn_core.methods import loop
from unlearn_core.methods.base import CHOSEN, TUNED, Hyperparameter, Method, Outcome, Preset, Settings
from unlearn_core.methods.training import batches, trainable_copy, trained
from unlearn_core.nets import models
from unlearn_core.progress import Progress, stage


def divergence(teacher: Tensor, student: Tensor, temperature: float) -> Tensor:
    """KL(teacher ‖ student) of each image, in nats, between softmaxes at a temperature.

    Args:
        teacher: (N, classes) logits.
        student: (N, classes) logits.
        temperature: what both are divided by; higher compares the unlikely classes more.

    Returns:
        (N,), never negative but for rounding.
    """
    wanted, given = (F.log_softmax(logits / temperature, 1) for logits in (teacher, student))
    return (wanted.exp() * (wanted - given)).sum(1)


@torch.no_grad()
def lesson(teacher: nn.Module, task: Task, positions: Tensor, progress: Progress) -> Tensor:
    """The teacher's (N, classes) logits on training images, asked for once: the teacher never changes."""
    parts = torch.split(positions, 250)
    answers = []
    for i, part in enumerate(parts):
        answers.append(loop.logits(teacher, task, part))
        progress((i + 1) / len(parts), f"{i + 1} of {len(parts)}")
    return torch.cat(answers)


def run(task: Task, settings: Settings, progress: Progress) -> Outcome:
    """Distil a fresh network's answers on the forget set and the original's on a share of the retain set."""
    temperature, epochs = float(settings["temperature"]), int(settings["epochs"])
    forget, retain = task.split
    shuffled = retain[torch.randperm(len(retain), generator=task.generator("bad teacher", "retained images"))]
    kept = shuffled[:max(1, round(float(settings["retain_share"]) * len(retain)))]
    original, student = trainable_copy(task.model), models.in_training(trainable_copy(task.model))
    ignorant = models.fresh(task.model, task.generator("bad teacher", "fresh network")).eval()
    positions = torch.cat([forget, kept])
    answers = torch.cat([lesson(ignorant, task, forget, stage(progress, 0.0, 0.1, "asking the ignorant teacher")),
                         lesson(original, task, kept, stage(progress, 0.1, 0.2, "asking the competent teacher"))])
    targets = answers.new_empty(len(task.train), answers.shape[1])
    targets[positions] = answers
    forgotten = torch.zeros(len(task.train), dtype=torch.bool)
    forgotten[forget] = True
    share = targets.shape[1] if settings["reduction"] == "mean" else 1
    followed: dict[str, list[tuple[int, float]]] = {"forget images": [], "retained images": []}
    steps, dropout = 0, task.generator("bad teacher", "dropout")

    def loss(positions: Tensor) -> Tensor:
        nonlocal steps
        steps += 1
        with models.seeded(dropout):
            logits = loop.logits(student, task, positions)
        apart = divergence(targets[positions], logits, temperature)
        mine = forgotten[positions]
        for name, part in zip(followed, (apart.detach()[mine], apart.detach()[~mine]), strict=True):
            if len(part):
                followed[name].append((steps, float(part.mean())))
        return apart.mean() / share

    order = task.generator("bad teacher", "order")
    losses = loop.descend(
        student, torch.optim.Adam([p for p in student.parameters() if p.requires_grad], float(settings["lr"])),
        lambda _: batches(positions, int(settings["batch_size"]), order), loss, epochs,
        stage(progress, 0.2, 1.0, "learning from both teachers"), "distillation")
    progress(1.0, "done")
    trace = {"steps": float(len(losses)), "forget_images": float(len(forget)), "retain_images": float(len(kept)),
             **{f"final_divergence_{name.split()[0]}": values[-1][1] for name, values in followed.items() if values}}
    curves = Curves(
        "Distance from the teachers",
        "Low on forget images means as ignorant as an untrained network, low on retained images as good as the "
        "original.", "step", "KL(teacher ‖ student) per image (nats)",
        {name: (tuple(float(x) for x, _ in values), tuple(y for _, y in values))
         for name, values in followed.items() if values})
    return trained(task, student, trace, exhibits=(curves,))


def obstacle(task: Task, settings: Settings) -> str:
    """The ignorant teacher needs weights that can be drawn anew, and the student weights that can learn."""
    if stale := models.cannot_renew(task.model):
        return f"The ignorant teacher cannot be made: {stale[0]} has no rule for its initial weights."
    return loop.frozen_entirely(task, settings)


METHOD = Method(
    name="bad_teacher",
    title="Bad teacher",
    paper="Chundawat et al., Can bad teaching induce forgetting? Unlearning in deep networks using an incompetent "
          "teacher, AAAI 2023, arXiv 2205.08096",
    about="Teaches the network to answer like an untrained one on the forget images and like the original on others.",
    family="baseline",
    needs=frozenset({"forget images", "retain images"}),
    hyperparameters=(
        Hyperparameter("lr", "Learning rate", "Step size of Adam: higher forgets more and harms more.",
                       f"{TUNED}; official code: 1e-4", default=3e-4, scale="log", low=1e-5, high=0.1),
        Hyperparameter("epochs", "Epochs", "Passes over the forget images and the chosen retained images.",
                       "official code: 1", default=1, scale="choice", choices=(0, 1, 2, 3, 5)),
        Hyperparameter("retain_share", "Retained share", "Share of the retained images that the original teaches.",
                       "official code: 0.3", default=0.3, scale="linear", low=0.01, high=1.0),
        Hyperparameter("batch_size", "Batch size", "Images per step.", f"{CHOSEN}; official code: 256",
                       default=128, scale="choice", choices=(16, 32, 64, 128, 256), advanced=True),
        Hyperparameter("temperature", "T", "What logits are divided by before they are compared: higher weighs "
                       "unlikely classes more.", "official code: 1", default=1.0, scale="log", low=0.5, high=16.0,
                       advanced=True),
        Hyperparameter("reduction", "Average", "Batchmean averages the divergence over images; the official mean also "
                       "divides it by the number of classes, which Adam hardly notices.",
                       "the divergence of the paper; official code: mean", default="batchmean", scale="choice",
                       choices=("batchmean", "mean"), advanced=True),
    ),
    work=run,
    obstacle=obstacle,
    presets={
        "official": Preset({"lr": 1e-4, "epochs": 1, "retain_share": 0.3, "batch_size": 256, "temperature": 1.0,
                            "reduction": "mean"}, "The official code's values: too weak for networks this small."),
    },
)
