"""Convolution transpose: kernels are mirrored at their diagonal, then the rest is learnt again (arXiv 2410.01276).

Followed: the implementation in the repository of Deep Unlearn, xcadet/deepunlearn, `munl/unlearning/kgltop5.py`, of
the fifth solution of the NeurIPS 2023 machine unlearning challenge. It swaps height and width of the kernels of every
two-dimensional convolution and then trains on the retain set: SGD, momentum 0.9, weight decay 5e-4, a rate that falls
by half a cosine from epoch to epoch. Not checked: the notebook that was handed in there, and the settings that the
paper's search found for each of its data sets.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import nn

from unlearn_core.measure.task import Task
from unlearn_core.methods import loop
from unlearn_core.methods.base import CHOSEN, TUNED, Hyperparameter, Method, Outcome, Preset, Settings, Value
from unlearn_core.methods.training import trainable_copy, trained
from unlearn_core.progress import Progress

_CODE = "released code"


def convolutions(model: nn.Module, which: Value) -> list[nn.Conv2d]:
    """The convolutions whose kernels are transposed: square, larger than 1 × 1, and not frozen.

    A kernel that is not square would change its shape, which no network stands; one of 1 × 1 is its own transpose.

    Args:
        model: whose modules are looked through, in the order in which they were defined.
        which: ``all``, ``first half`` or ``last half``; of an odd number the middle one belongs to the last half.
    """
    found = [module for module in model.modules() if isinstance(module, nn.Conv2d) and module.weight.requires_grad
             and module.kernel_size[0] == module.kernel_size[1] > 1]
    half = len(found) // 2
    return {"all": found, "first half": found[:half], "last half": found[half:]}[str(which)]


def transpose(chosen: Sequence[nn.Conv2d]) -> None:
    """W[o, i, y, x] <- W[o, i, x, y], in place; biases stay."""
    with torch.no_grad():
        for module in chosen:
            module.weight.copy_(module.weight.transpose(2, 3).clone())


def cosine(epoch: int, epochs: int) -> float:
    """Share of the first learning rate in an epoch, counted from 0: (1 + cos(pi epoch / epochs)) / 2."""
    return (1 + math.cos(math.pi * epoch / epochs)) / 2


def run(task: Task, settings: Settings, progress: Progress) -> Outcome:
    """Transpose the kernels, then fine-tune on retained images."""
    model = trainable_copy(task.model)
    chosen = convolutions(model, settings["convolutions"])
    before = [module.weight.detach().clone() for module in chosen]
    transpose(chosen)
    with torch.no_grad():
        moved = sum(float((module.weight - old).square().sum()) for module, old in zip(chosen, before, strict=True))
        size = sum(float(old.square().sum()) for old in before)
    progress(0.0, "kernels transposed")
    losses = loop.relearn(task, model, settings, loop.each_epoch(cosine), "convolution transpose", progress)
    progress(1.0, "done")
    trace = {"transposed": float(len(chosen)), "relative_change": math.sqrt(moved / size) if size else 0.0,
             "steps": float(len(losses)), "first_loss": losses[0], "final_loss": losses[-1]}
    return trained(task, model, trace, exhibits=(loop.loss_curves(
        "It begins where the transposed kernels left the network and falls as the retained images are learnt again.",
        loop.CROSS_ENTROPY, retained_images=losses),))


def obstacle(task: Task, settings: Settings) -> str:
    """Without a kernel that can be transposed nothing would be done but fine-tuning."""
    if not convolutions(task.model, "all"):
        return ("Convolution transpose turns square kernels larger than 1 × 1, and this network has none that may "
                "change.")
    if not convolutions(task.model, settings["convolutions"]):
        return "The first half of a single convolution is none: choose all convolutions or the last half."
    return ""


METHOD = Method(
    name="convolution_transpose",
    title="Convolution transpose",
    paper="CT in Cadet et al., Deep unlearn: Benchmarking machine unlearning, arXiv 2410.01276; the fifth solution of "
          "the NeurIPS 2023 machine unlearning challenge",
    about="Mirrors the kernels of convolutions at their diagonal, then learns the retained images again; never looks "
          "at a forgotten image.",
    family="baseline",
    needs=frozenset({"retain images", "labels"}),
    hyperparameters=(
        loop.learning_rate("The learning rate of the first epoch; it falls from epoch to epoch.", 0.01,
                           f"{TUNED}; {_CODE}: 0.001"),
        loop.epochs(2, "Passes over the retained images.", f"{CHOSEN}; {_CODE}: 3"),
        loop.retain_images(500, f"{CHOSEN}; {_CODE}: all"),
        Hyperparameter("convolutions", "Kernels", "Which convolutions have their kernels transposed, counted from the "
                       "input.", f"{_CODE}: all", default="all", scale="choice",
                       choices=("all", "first half", "last half"), advanced=True),
        loop.batch_size(64, source=f"{_CODE}: 64"),
    ),
    work=run,
    obstacle=obstacle,
    presets={
        "official": Preset({"lr": 0.001, "epochs": 3, "retain_images": "all", "convolutions": "all", "batch_size": 64},
                           "The repository's own values: every kernel, and all retained images."),
        "too weak": Preset({"lr": 0.005, "epochs": 1, "convolutions": "first half"},
                           "Only the first kernels are turned, and little is learnt anew."),
    },
)
