"""Ordinary training, for the bundled networks and for true retraining alike."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unlearn_core.nets import heads, models
from unlearn_core.nets.images import ImageSet
from unlearn_core.progress import Progress, silent


@dataclass(frozen=True)
class Recipe:
    """How a network is trained: one-cycle schedule, flips and small shifts if wanted, bf16 autocast.

    Attributes:
        optimiser: ``sgd`` (Nesterov momentum 0.9) or ``adamw``.
        epochs: passes over the training set.
        batch_size: images per step.
        peak_lr: the schedule's highest learning rate.
        weight_decay: L2 (SGD) or decoupled (AdamW) decay.
        shift: largest random shift of an image, in pixels.
        flip: whether half of the images are flipped left to right, others at each pass.
    """

    optimiser: str
    epochs: int
    batch_size: int
    peak_lr: float
    weight_decay: float
    shift: int = 0
    flip: bool = True


MOMENTUM = 0.9
"""Nesterov's, of every SGD recipe."""

Watch = Callable[[int, nn.Module, Tensor, Tensor, float], None]
"""Told before each step: epoch, network, logits with their graph, labels, learning rate."""

RECIPES = {
    "small-resnet": Recipe("sgd", epochs=18, batch_size=100, peak_lr=0.2, weight_decay=1e-3),
    "small-vit": Recipe("adamw", epochs=14, batch_size=100, peak_lr=2e-3, weight_decay=0.05),
}


def seed_of(*key: object) -> int:
    """One seed per key, the same on every machine: the key's parts are told apart by SHA-256."""
    return int.from_bytes(hashlib.sha256(repr(key).encode()).digest()[:4], "big")


def train(architecture: str, images: ImageSet, *, seed: int, recipe: Recipe | None = None,
          progress: Progress = silent, watch: Watch | None = None, rows: Tensor | None = None) -> nn.Module:
    """Train a network from a fresh initialisation.

    The weights are rounded to half precision at the end, once, so that the shipped half-precision files
    hold exactly the network that was measured.

    Args:
        architecture: a name that `models.build` knows.
        images: the training images; classes that are absent keep their row in the head.
        seed: fixes initialisation, order and augmentation.
        recipe: by default that of `RECIPES`.
        progress: told after every step; may cancel.
        watch: sees every step, to record it.
        rows: positions of the images that it sees; by default all.

    Returns:
        The network in float32 and evaluation mode.
    """
    generator = torch.Generator().manual_seed(seed)
    channels, size = images.images.shape[1], images.images.shape[2]
    model = models.build(architecture, channels=channels, classes=len(images.classes), size=size,
                         generator=generator)
    fit(model, images, recipe or RECIPES[architecture], generator, progress, watch, rows)
    return rounded(model)


def fit(model: nn.Module, images: ImageSet, recipe: Recipe, generator: torch.Generator,
        progress: Progress = silent, watch: Watch | None = None, rows: Tensor | None = None) -> tuple[float, ...]:
    """Train the weights of a network that are not frozen, in place; it ends in evaluation mode.

    Args:
        model: the network, as initialised.
        images: the training images.
        recipe: how to train.
        generator: owns order, augmentation and dropout.
        progress: told after every step; may cancel.
        watch: sees every step, to record it.
        rows: positions of the images to train on, which need not be in memory; by default all.

    Returns:
        The cross-entropy before each step, in nats.
    """
    rows = torch.arange(len(images)) if rows is None else rows
    steps_per_epoch = max(1, len(rows) // recipe.batch_size)
    steps = steps_per_epoch * recipe.epochs
    optimiser = _optimiser(model, recipe)
    schedule = one_cycle(optimiser, recipe.peak_lr, steps)
    drops = any(getattr(module, "p", 0) or getattr(module, "dropout", 0) for module in model.modules())
    single = all(value.dtype == torch.float32 for value in model.parameters())  # others keep their precision
    losses = []
    models.in_training(model)
    for epoch in range(recipe.epochs):
        order = rows[torch.randperm(len(rows), generator=generator)]
        for i in range(steps_per_epoch):
            chosen = order[i * recipe.batch_size : (i + 1) * recipe.batch_size]
            inputs = heads.as_taken(model, augment(images.pixels(chosen), recipe.shift, generator, recipe.flip))
            with (models.seeded(generator) if drops else nullcontext(),
                  torch.autocast("cpu", torch.bfloat16, enabled=single)):
                logits = model(inputs).float()
                loss = F.cross_entropy(logits, images.labels[chosen])
            if watch is not None:
                watch(epoch, model, logits, images.labels[chosen], optimiser.param_groups[0]["lr"])
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
            losses.append(float(loss.detach()))
            progress((epoch * steps_per_epoch + i + 1) / steps, f"epoch {epoch + 1} of {recipe.epochs}")
    model.eval()
    return tuple(losses)


def one_cycle(optimiser: torch.optim.Optimizer, peak_lr: float, steps: int) -> torch.optim.lr_scheduler.OneCycleLR:
    """The schedule of a run of that many steps: a quarter up to the highest learning rate, then down to nearly zero."""
    rise = 0.25 if steps > 4 else 0.3  # PyTorch divides by zero if the rise takes exactly one step
    return torch.optim.lr_scheduler.OneCycleLR(optimiser, peak_lr, total_steps=steps, pct_start=rise)


def augment(inputs: Tensor, shift: int, generator: torch.Generator, flip: bool = True) -> Tensor:
    """Flip half of the images left to right, if wanted, and shift each by up to `shift` pixels, edges padded."""
    n, _, height, width = inputs.shape
    if flip:
        flipped = torch.rand(n, generator=generator) < 0.5
        inputs = torch.where(flipped[:, None, None, None], inputs.flip(3), inputs)
    if shift:
        padded = F.pad(inputs, (shift,) * 4, mode="replicate").movedim(1, 3)
        dy, dx = torch.randint(0, 2 * shift + 1, (2, n, 1, 1), generator=generator)
        rows, columns = torch.arange(height)[:, None], torch.arange(width)
        inputs = padded[torch.arange(n)[:, None, None], rows + dy, columns + dx].movedim(3, 1)
    return inputs.contiguous(memory_format=torch.channels_last)


def _optimiser(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    kinds: dict[str, Callable[[], torch.optim.Optimizer]] = {
        "sgd": lambda: torch.optim.SGD(model.parameters(), recipe.peak_lr, momentum=MOMENTUM, nesterov=True,
                                       weight_decay=recipe.weight_decay),
        "adamw": lambda: torch.optim.AdamW(model.parameters(), recipe.peak_lr, weight_decay=recipe.weight_decay),
    }
    return kinds[recipe.optimiser]()


def rounded(model: nn.Module) -> nn.Module:
    """The network, its numbers rounded in place to those that half precision can hold."""
    with torch.no_grad():
        for value in (*model.parameters(), *model.buffers()):
            if value.is_floating_point():
                value.copy_(value.half())
    return model
