"""Head zeroing: the outputs of the forgotten classes are shut off, and nothing else is touched."""

from __future__ import annotations

import torch

from unlearn_core.exhibits import LayerBars
from unlearn_core.measure.task import Task
from unlearn_core.methods.base import Hyperparameter, Method, Outcome, Preset, Settings
from unlearn_core.methods.training import trainable_copy, trained
from unlearn_core.nets import heads
from unlearn_core.progress import Progress


def run(task: Task, settings: Settings, progress: Progress) -> Outcome:
    """Set the rows of the forgotten classes to zero and their biases far below every other logit.

    The logit of such a class is the same for every image. Minus infinity would never be chosen either, but later
    gradients and losses would not be finite.
    """
    model = trainable_copy(task.model)
    progress(0.25, "copied the network")
    head, rows = heads.head(model, task.example), list(task.request.classes)
    with torch.no_grad():
        head.weight[rows] = 0
        head.bias[rows] = -float(settings["depth"])
    progress(0.75, "shut off the outputs")
    before = dict(task.model.named_parameters())
    layers = [(name, float((value != before[name]).sum()), float(value.numel()))
              for name, value in model.named_parameters()]
    names, changed, totals = zip(*layers, strict=True)
    progress(1.0, "done")
    return trained(
        task, model, {"rows": float(len(rows)), "changed": sum(changed)},
        exhibits=[LayerBars("Weights changed", "All layers but the last still hold what they knew of the class.",
                            names, changed, totals, "weights")])


def obstacle(task: Task, settings: Settings) -> str:
    """Whole classes only, and a last layer that has a bias to lower and may be changed."""
    if not task.request.classes:
        return "Head zeroing shuts off whole classes and can forget nothing else."
    try:
        head = heads.head(task.model, task.example)
    except ValueError:
        return "The network has no linear layer at its end whose rows could be shut off."
    if head.bias is None:
        return "The last layer has no bias, and a row of zeros alone would not keep a class from being chosen."
    if not (head.weight.requires_grad and head.bias.requires_grad):
        return "The last layer is frozen, and head zeroing changes nothing else."
    return ""


METHOD = Method(
    name="head_zeroing",
    title="Head zeroing",
    paper="No method but a control: hiding an answer is not forgetting it",
    about="Shuts off the outputs of the forgotten classes; every other weight keeps what it knew.",
    family="baseline",
    needs=frozenset(),
    hyperparameters=(
        Hyperparameter("depth", "Depth", "How far below zero the logit of a forgotten class is put.",
                       "not from the paper: no other logit is as low, and half precision can hold it",
                       default=1e4, scale="log", low=1.0, high=1e4, advanced=True),
    ),
    work=run,
    obstacle=obstacle,
    seeded=False,
    presets={
        "too weak": Preset({"depth": 1.0}, "So shallow a logit can still be the highest for some images."),
        "sweet spot": Preset({"depth": 1e4}, "A forgotten class can never be chosen, and nothing else changes."),
    },
)
