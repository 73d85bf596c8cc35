"""What the partial-update methods share: at each step only a part of each layer learns (arXiv 2403.07611)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unlearn_core.exhibits import LayerMap
from unlearn_core.measure import anatomy
from unlearn_core.measure.pruning import share_size
from unlearn_core.measure.task import Task
from unlearn_core.methods import loop
from unlearn_core.methods.base import CHOSEN, Hyperparameter, Outcome, Settings
from unlearn_core.methods.training import finite, trainable_copy, trained
from unlearn_core.progress import Progress

Terms = Mapping[str, tuple[float, Tensor]]
"""A loss as a sum: for each part its name, its weight and its value."""

SLICES = 64
"""Columns of the map of updates: each layer is shown in this many equal slices."""


# The class is read off the head, features come from the body: two shares are the fewest that let layers differ.
BODY_SHARE = Hyperparameter(
    "body_share", "Body share", "How much of every layer but the last learns at a step; 1 is ordinary training.",
    CHOSEN, default=0.3, scale="linear", low=0.0, high=1.0)
HEAD_SHARE = Hyperparameter(
    "head_share", "Head share", "How much of the last layer, which has a row for each class, learns at a step.",
    CHOSEN, default=0.3, scale="linear", low=0.0, high=1.0)
RULE = Hyperparameter(
    "rule", "Mask", "Which weights of a layer learn at a step: a window that moves on and wraps around, a fresh random "
    "choice, or those with the largest gradients.", "not from the paper: unpublished; the first of the rules in the "
    "authors' work on partial sharing", default="sequential", scale="choice",
    choices=("sequential", "random", "largest"))
SCOPE = Hyperparameter(
    "scope", "Layers", "Whether every layer may learn, or only its weights, without biases and normalisation.",
    "not from the paper: all of them, as in ordinary training", default="all", scale="choice",
    choices=("all", "weights"), advanced=True)
BATCH_SIZE = Hyperparameter(
    "batch_size", "Batch size", "Images per step; where retained images have batches of their own, as many of them.",
    CHOSEN, default=64, scale="choice", choices=(16, 32, 64, 128, 256), advanced=True)


def mask(rule: str, size: int, gradient: Tensor, step: int, generator: torch.Generator) -> Tensor:
    """Which entries of a layer learn at a step.

    Args:
        rule: ``sequential``: a window that starts where the last one ended and wraps around; ``random``: drawn
            afresh; ``largest``: the largest |g|, of equal ones the first.
        size: how many, at most as many as there are.
        gradient: of the layer, any shape.
        step: counted from 0.
        generator: of the random choice; other rules leave it alone.

    Returns:
        A bool tensor of the gradient's shape with exactly `size` entries True.
    """
    entries = gradient.numel()
    if rule == "sequential":
        chosen = (step * size + torch.arange(size)) % entries
    elif rule == "random":
        chosen = torch.randperm(entries, generator=generator)[:size]
    else:
        chosen = gradient.abs().flatten().argsort(descending=True, stable=True)[:size]
    return torch.zeros(entries, dtype=torch.bool).index_fill_(0, chosen, True).view(gradient.shape)


def mask_sizes(model: nn.Module, images: Tensor, settings: Settings) -> dict[str, int]:
    """How many entries of each trainable parameter learn at a step, by name.

    Args:
        model: whose shares are asked for.
        images: two, to find its head.
        settings: ``body_share``, ``head_share`` and ``scope``.
    """
    sizes = {}
    kinds = anatomy.parameter_kinds(model, images)
    for name, value in model.named_parameters():
        if value.requires_grad:
            share = float(settings["head_share" if kinds[name] == "head" else "body_share"])
            left_out = settings["scope"] == "weights" and (kinds[name] == "norm" or name.endswith("bias"))
            sizes[name] = 0 if left_out else share_size(share, value.numel())
    return sizes


def partial_updates(task: Task, settings: Settings, progress: Progress,
                    epoch: Callable[[torch.Generator], list[Tensor]],
                    objective: Callable[[Tensor, Tensor], Terms],
                    ends: Callable[[Mapping[str, float]], bool] = lambda values: False) -> Outcome:
    """Descend on a loss by plain SGD, theta_l <- theta_l - lr * (M_l * g_l) for each layer l at each step.

    A layer is one parameter tensor. Normalisation uses the running statistics of the original network and leaves
    them alone: batches that are full of one class would drag them towards it.

    Source: arXiv 2403.07611, Algorithms 2 and 3, in structure; shares, schedule and rates are unpublished.

    Args:
        task: network, data and request.
        settings: ``lr``, ``epochs``, ``body_share``, ``head_share``, ``rule`` and ``scope``.
        progress: told after each step.
        epoch: the batches of one epoch, as positions in the training images; its argument owns their order.
        objective: the loss as its terms, of a batch's logits and its positions.
        ends: whether to end before the step at which the terms have these values.

    Raises:
        Diverged: if a term of the loss is not finite.
    """
    progress(0.0, "choosing the images")
    model = trainable_copy(task.model)
    sizes = mask_sizes(model, task.example, settings)
    counts = {name: torch.zeros(value.shape) for name, value in model.named_parameters()}
    optimiser = torch.optim.SGD([value for value in model.parameters() if value.requires_grad],
                                lr=float(settings["lr"]))
    order, chance = (task.generator("partial updates", purpose) for purpose in ("order", "masks"))
    schedule = [batch for _ in range(int(settings["epochs"])) for batch in epoch(order)]
    used = torch.zeros(len(task.train), dtype=torch.bool)
    curves: dict[str, list[float]] = {}
    steps = 0
    for batch in schedule:
        terms = objective(loop.logits(model, task, batch), batch)
        note = f"step {steps + 1} of {len(schedule)}"
        values = {name: finite(value, note) for name, (_, value) in terms.items()}
        for name, number in values.items():
            curves.setdefault(name, []).append(number)
        if ends(values):
            break
        optimiser.zero_grad()
        torch.stack([weight * value for weight, value in terms.values()]).sum().backward()  # type: ignore[no-untyped-call]
        for name, layer in model.named_parameters():
            if layer.grad is not None:
                chosen = mask(str(settings["rule"]), sizes[name], layer.grad, steps, chance)
                layer.grad.masked_fill_(~chosen, 0)
                counts[name] += chosen
        optimiser.step()
        used[batch] = True
        steps += 1
        progress(steps / (len(schedule) + 1), note)
    progress(1.0, "done")
    weights = sum(count.numel() for count in counts.values())
    updated = sum(float(count.sum()) for count in counts.values()) / max(steps, 1)
    trace = {
        "steps": float(steps),
        "images": float(used.sum()),
        "updated_per_step": updated,
        "updated_share": updated / weights,
        "ever_updated_share": sum(int((count > 0).sum()) for count in counts.values()) / weights,
        "final_loss": sum(weight * values[name] for name, (weight, _) in terms.items()),
    }
    rows = [F.adaptive_avg_pool1d(count.view(1, 1, -1), SLICES).view(SLICES) for count in counts.values()]
    return trained(
        task, model, trace,
        warnings=() if updated else ("No weight was updated: every share is 0, or the loss began above its limit.",),
        exhibits=(
            LayerMap(
                "Which weights learned",
                f"Each row is a layer cut into {SLICES} equal slices; the colour is the share of steps at which a "
                "weight there was updated.",
                tuple(counts), (torch.stack(rows) / max(steps, 1)).numpy(), "slice of the layer"),
            loop.loss_curves("Each point is the loss on the images of one step, before its update.", loop.CROSS_ENTROPY,
                             **curves)))
