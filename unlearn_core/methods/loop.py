"""What methods that only differ in their images and their loss share: the loop, the images, the loss curve."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unlearn_core.exhibits import Curves
from unlearn_core.measure.task import Task
from unlearn_core.methods.base import AUTHOR, FROZEN, Hyperparameter, Settings, Value
from unlearn_core.methods.training import batches, finite
from unlearn_core.nets import heads, models
from unlearn_core.progress import Progress

CROSS_ENTROPY = "cross-entropy (nats)"
"""What `loss_curves` draws for most methods."""


def descend(model: nn.Module, optimiser: torch.optim.Optimizer, groups: Callable[[int], list[Tensor]],
            loss: Callable[[Tensor], Tensor], epochs: int, progress: Progress, what: str,
            schedule: torch.optim.lr_scheduler.LRScheduler | None = None,
            clip: float | None = None) -> tuple[float, ...]:
    """Take one step per batch. The network's mode is the caller's choice: `trainable_copy` is in evaluation mode.

    Args:
        model: whose gradients are cleared, and clipped where asked for; changed in place.
        optimiser: over the model's parameters; frozen ones have no gradient, so it leaves them alone.
        groups: epoch, counted from 0, -> the batches of that epoch as positions of images, such as `training.batches`.
        loss: positions -> what is to fall; a method that ascends negates it.
        epochs: how often `groups` is asked; with 0 nothing happens but one call of `progress`.
        progress: told after every step, as 0 to 1 of this call; may cancel.
        what: the stage's name, for progress notes and for the message of a run that diverged.
        schedule: stepped after every step of the optimiser, if there is one.
        clip: largest norm of the whole gradient, if there is a limit.

    Returns:
        The loss before each step.

    Raises:
        Diverged: if a loss is not finite; no step is taken with it.
    """
    losses: list[float] = []
    for epoch in range(epochs):
        chosen = groups(epoch)
        for i, positions in enumerate(chosen):
            value = loss(positions)
            losses.append(finite(value, f"{what}, step {len(losses) + 1}"))
            model.zero_grad()
            value.backward()  # type: ignore[no-untyped-call]
            if clip is not None:
                nn.utils.clip_grad_norm_(model.parameters(), clip)
            optimiser.step()
            if schedule is not None:
                schedule.step()
            progress((epoch + (i + 1) / len(chosen)) / epochs, f"{what}, epoch {epoch + 1} of {epochs}")
    if not epochs:
        progress(1.0, f"{what}, no epochs")
    return tuple(losses)


def wrong_labels(labels: Tensor, forbidden: Collection[int], classes: int, generator: torch.Generator) -> Tensor:
    """A random label for each image: never its own, never a forbidden one, all others equally likely.

    Args:
        labels: (N,) int64, the true labels.
        forbidden: labels that are given to no image, such as the forgotten classes.
        classes: number of classes.
        generator: owns the randomness.

    Returns:
        (N,) int64.

    Raises:
        ValueError: if an image has no label left.
    """
    allowed = torch.ones(len(labels), classes)
    allowed[torch.arange(len(labels)), labels] = 0
    allowed[:, list(forbidden)] = 0
    if not bool(allowed.any(1).all()):
        raise ValueError(f"classes: a wrong label for every image expected, but {len(set(forbidden))} of {classes} "
                         "are forbidden")
    return torch.multinomial(allowed, 1, generator=generator).flatten()


def some_retained(task: Task, per_class: Value, generator: torch.Generator | None = None) -> Tensor:
    """Positions of a random choice of retained images, at most `per_class` of each class; ``"all"`` takes all."""
    retain = task.split[1]
    if per_class == "all":
        return retain
    generator = generator or task.generator("retained images")
    retain = retain[torch.randperm(len(retain), generator=generator)]
    labels = task.train.labels[retain]
    return torch.cat([retain[labels == label][: int(per_class)] for label in torch.unique(labels)])


def logits(model: nn.Module, task: Task, positions: Tensor) -> Tensor:
    """(N, classes) outputs of the network on training images, which are given in the precision of its weights."""
    outputs: Tensor = model(heads.as_taken(model, task.train.pixels(positions)))
    return outputs


def mean_gradient(model: nn.Module, task: Task, positions: Tensor, progress: Progress) -> dict[str, Tensor]:
    """The gradient of the mean cross-entropy on some training images, at the given weights; frozen weights have none.

    Args:
        model: in the mode in which it is to be read; left as it is.
        task: whose training images are meant.
        positions: (N,) of the images, at least one.
        progress: told after each batch; may cancel.

    Raises:
        Diverged: if the loss is not finite.
    """
    learning = {name: p for name, p in model.named_parameters() if p.requires_grad}
    sums = {name: torch.zeros_like(p) for name, p in learning.items()}
    parts = torch.split(positions, 250)
    for i, part in enumerate(parts):
        loss = F.cross_entropy(logits(model, task, part), task.train.labels[part], reduction="sum")
        finite(loss, f"gradient, batch {i + 1}")
        found = torch.autograd.grad(loss, list(learning.values()), allow_unused=True)
        for name, gradient in zip(learning, found, strict=True):
            if gradient is not None:
                sums[name] += gradient / len(positions)
        progress((i + 1) / len(parts), f"batch {i + 1} of {len(parts)}")
    return sums


Schedule = Callable[[torch.optim.Optimizer, int, int], torch.optim.lr_scheduler.LRScheduler]
"""Optimiser, number of epochs, steps of each -> the schedule, stepped after every step."""


def each_epoch(rate: Callable[[int, int], float]) -> Schedule:
    """A schedule that changes from epoch to epoch; epoch, counted from 0, and their number -> share of the rate."""
    return lambda optimiser, epochs, steps: torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: rate(step // steps, epochs))


def relearn(task: Task, model: nn.Module, settings: Settings, schedule: Schedule, purpose: str,
            progress: Progress) -> tuple[float, ...]:
    """Train a damaged network on retained images alone: SGD with momentum 0.9 and weight decay 5e-4, dropout on.

    Args:
        task: whose retained images are meant.
        model: changed in place; it ends in evaluation mode.
        settings: ``retain_images``, ``epochs``, ``lr`` and ``batch_size``.
        schedule: of the learning rate.
        purpose: names the random numbers that are drawn.
        progress: told after every step; may cancel.

    Returns:
        The loss before each step.

    Raises:
        Diverged: if a loss is not finite.
    """
    kept, passes = some_retained(task, settings["retain_images"]), int(settings["epochs"])
    order, dropout = task.generator(purpose, "order"), task.generator(purpose, "dropout")
    plan = [batches(kept, int(settings["batch_size"]), order) for _ in range(passes)]

    def loss(positions: Tensor) -> Tensor:
        with models.seeded(dropout):
            found = logits(model, task, positions)
        return F.cross_entropy(found, task.train.labels[positions])

    optimiser = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], float(settings["lr"]),
                                momentum=0.9, weight_decay=5e-4)
    losses = descend(models.in_training(model), optimiser, plan.__getitem__, loss, passes, progress, "fine-tuning",
                     schedule(optimiser, passes, len(plan[0])))
    model.eval()
    return losses


def loss_curves(caption: str, loss: str, /, **series: Sequence[float]) -> Curves:
    """A picture of a loss over the steps of a run, one line per name; `_` in a name is shown as a space.

    Args:
        caption: how to read it.
        loss: what is drawn, with its unit, such as `CROSS_ENTROPY`.
        series: the values of each line, from the first step on.
    """
    return Curves("Training loss", caption, "step", loss, {
        name.replace("_", " "): (tuple(map(float, range(1, len(values) + 1))), tuple(values))
        for name, values in series.items()})


def frozen_entirely(task: Task, settings: Settings) -> str:
    """The obstacle of every method that trains: there is nothing to train."""
    learns = any(value.requires_grad for value in task.model.parameters())
    return "" if learns else FROZEN


def training_norms(model: nn.Module) -> nn.Module:
    """The model with its batch norms as in training: they use and follow each batch's statistics.

    Dropout stays off, and so do frozen batch norms.
    """
    still = set(models.frozen(model))
    for name, module in model.named_modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and name not in still:
            module.train()
    return model


def learning_rate(meaning: str, default: float, source: str = AUTHOR) -> Hyperparameter:
    """The knob ``lr``; `source` says where the default comes from."""
    return Hyperparameter("lr", "Learning rate", meaning, source, default, "log", low=1e-5, high=1.0)


def epochs(default: int, meaning: str, source: str = AUTHOR) -> Hyperparameter:
    """The knob ``epochs``; `source` says where the default comes from."""
    return Hyperparameter("epochs", "Epochs", meaning, source, default, "choice", choices=(1, 2, 3, 5, 8, 10, 20))


def retain_images(default: int, source: str = AUTHOR) -> Hyperparameter:
    """The knob ``retain_images``, for `some_retained`; `source` says where the default comes from."""
    return Hyperparameter("retain_images", "Retained images", "How many images of each retained class are trained on, "
                          "if there are as many.", source, default, "choice",
                          choices=(50, 100, 200, 300, 500, 1000, 2000, "all"))


def batch_size(default: int, meaning: str = "Images per step.", source: str = AUTHOR) -> Hyperparameter:
    """The knob ``batch_size``; `source` says where the default comes from."""
    return Hyperparameter("batch_size", "Batch size", meaning, source, default, "choice",
                          choices=(16, 32, 64, 128, 256), advanced=True)


def clip(meaning: str, source: str = AUTHOR) -> Hyperparameter:
    """The knob ``clip``: the largest norm of the whole gradient; `source` says where the default comes from."""
    return Hyperparameter("clip", "Clip", meaning, source, 1.0, "log", low=0.01, high=100.0, advanced=True)
