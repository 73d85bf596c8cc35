"""Relearn time: how soon does fine-tuning bring the forgotten classes back?"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unlearn_core.methods.training import batches, finite, trainable_copy
from unlearn_core.nets import heads, models
from unlearn_core.nets.images import ImageSet
from unlearn_core.nets.request import Request
from unlearn_core.progress import Progress, silent

_BATCH = 250  # see `evaluate`


@dataclass(frozen=True)
class RelearnRecipe:
    """How a network is fine-tuned; the defaults are those of the reference code (bad teaching, SSD).

    Attributes:
        lr: Adam's learning rate. A small network needs more steps than a large one with the same: raise it if
            nothing is relearnt before the cap.
        batch_size: training images per step.
        epochs: passes over the training set after which to give up; part of a pass is allowed.
        share: of the original's accuracy that counts as relearnt.
        checked: forgotten images, equally many of each class where there are as many, that the accuracy is taken on
            after every step. More cost time, fewer make the accuracy coarse.
        fresh_rows: draw the head's rows of the forgotten classes anew first. A method that pushes these outputs far
            down (head zeroing: by 10,000) otherwise looks as if it had forgotten, since Adam cannot move a bias by
            more than about `lr` a step; with fresh rows, what counts is what the features still know. A departure
            from the reference code.
    """

    lr: float = 1e-3
    batch_size: int = 256
    epochs: float = 10.0
    share: float = 0.95
    checked: int = 200
    fresh_rows: bool = False

    def __post_init__(self) -> None:
        for name, value in (("lr", self.lr), ("epochs", self.epochs), ("share", self.share)):
            if not 0 < value < math.inf:
                raise ValueError(f"{name}: a number above 0 expected, got {value}")
        for name, count in (("batch_size", self.batch_size), ("checked", self.checked)):
            if count < 1:
                raise ValueError(f"{name}: at least 1 expected, got {count}")


@dataclass(frozen=True)
class Relearning:
    """The course of a fine-tuning.

    Attributes:
        accuracy: (steps + 1) shares of the checked forgotten images that are right, before the first step and after
            each; it ends where the target is reached, or at the cap.
        seen: (steps + 1) training images used so far.
        target: the accuracy that counts as relearnt.
        checked: forgotten images that the accuracy is taken on.
    """

    accuracy: tuple[float, ...]
    seen: tuple[int, ...]
    target: float
    checked: int

    @property
    def taken(self) -> int:
        """Steps that were taken, whether or not the target was reached."""
        return len(self.accuracy) - 1

    @property
    def steps(self) -> int | None:
        """Steps until the target was reached, 0 if nothing was forgotten; None if it was not reached."""
        return self.taken if self.accuracy[-1] >= self.target else None

    @property
    def images(self) -> int | None:
        """Training images used until the target was reached; None if it was not."""
        return None if self.steps is None else self.seen[-1]


def relearn(original: nn.Module, weights: Mapping[str, Tensor], train: ImageSet, request: Request,
            generator: torch.Generator, recipe: RelearnRecipe | None = None,
            progress: Progress = silent) -> Relearning:
    """Fine-tune on the full training set until the forget set is recognised nearly as well as by the original.

    Source: relearn time of Golatkar et al., arXiv 1911.04933, as measured by Chundawat et al., arXiv 2201.05629:
    Adam, cross-entropy, checked after every mini-batch in evaluation mode. Frozen weights stay frozen.

    Args:
        original: the network trained on everything, which sets the target; left as it is.
        weights: parameters and buffers by name to start from, such as `Outcome.weights` or a retrained network's
            ``state_dict()``; what is not named is the original's. Left as they are.
        train: the training images, forget set included.
        request: what was to be forgotten.
        generator: owns the order of the images, dropout and fresh rows; give every network that is to be compared
            one with the same seed.
        recipe: by default the reference code's.
        progress: told after every step, as a share of the cap; may cancel.

    Raises:
        ValueError: if the network has no such weights, nothing can be trained, nothing is to be forgotten, the
            original recognises none of the forget set, or fresh rows are asked for where no class is forgotten.
        Diverged: if a loss is not finite.
    """
    recipe = recipe or RelearnRecipe()
    positions = checked_positions(train, request, recipe.checked)
    pixels, labels = heads.as_taken(original, train.pixels(positions)), train.labels[positions]
    target = recipe.share * _accuracy(models.private_copy(original), pixels, labels)
    if not target:
        raise ValueError("original: a network that recognises the forget set expected, got an accuracy of 0")
    model = _started(original, weights)
    if recipe.fresh_rows:
        draw_rows(model, pixels, request.classes, generator)
    optimiser = torch.optim.Adam(model.parameters(), recipe.lr)  # which skips what is frozen
    drops = any(getattr(module, "p", 0) or getattr(module, "dropout", 0) for module in model.modules())
    cap = math.ceil(recipe.epochs * len(batches(torch.arange(len(train)), recipe.batch_size, torch.Generator())))
    accuracy, seen = [_accuracy(model, pixels, labels)], [0]
    queue: list[Tensor] = []
    while accuracy[-1] < target and len(seen) <= cap:
        queue = queue or batches(torch.arange(len(train)), recipe.batch_size, generator)
        chosen, step = queue.pop(0), len(seen)
        models.in_training(model)
        with models.seeded(generator) if drops else nullcontext():
            loss = F.cross_entropy(model(heads.as_taken(model, train.pixels(chosen))), train.labels[chosen])
        finite(loss, f"relearning, step {step}")
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        accuracy.append(_accuracy(model, pixels, labels))
        seen.append(seen[-1] + len(chosen))
        progress(step / cap, f"relearning, step {step} of at most {cap}, accuracy {accuracy[-1]:.0%}")
    progress(1.0, "relearning, done")
    return Relearning(tuple(accuracy), tuple(seen), target, len(labels))


@dataclass(frozen=True)
class Anamnesis:
    """The anamnesis index: steps to relearn over those of a retrained network.

    Attributes:
        value: 1 is as retraining; far below 1, the network had not forgotten; far above, it forgot more than
            it should, which gives away that something was removed. NaN if unknown.
        known: ``exactly``; ``at least`` or ``at most`` if one of the two did not get there before the cap;
            ``unknown`` if neither did or the retrained network needed no step.
    """

    value: float
    known: Literal["exactly", "at least", "at most", "unknown"]


def anamnesis(unlearned: Relearning, retrained: Relearning) -> Anamnesis:
    """The anamnesis index (AIN) of Chundawat et al., arXiv 2201.05629: relearn time over that of a retrained network.

    Raises:
        ValueError: if the two had different targets.
    """
    if not math.isclose(unlearned.target, retrained.target):
        raise ValueError(f"target: the same for both networks expected, got {unlearned.target:g} and "
                         f"{retrained.target:g}")
    mine, theirs = unlearned.steps, retrained.steps
    if theirs == 0 or (mine is None and theirs is None):
        return Anamnesis(math.nan, "unknown")
    if theirs is None:
        return Anamnesis(unlearned.taken / retrained.taken, "at most")
    return Anamnesis(unlearned.taken / theirs, "exactly" if mine is not None else "at least")


def checked_positions(train: ImageSet, request: Request, count: int) -> Tensor:
    """The first forgotten images of each class, in turn, so that a small number is fairly shared."""
    forget, _ = request.split(train)
    if not len(forget):
        raise ValueError("request: at least one training image to forget expected, got none")
    labels = train.labels[forget]
    turn = torch.empty_like(labels)
    for label in torch.unique(labels):
        same = labels == label
        turn[same] = torch.arange(int(same.sum()))
    return forget[torch.argsort(turn, stable=True)[:count]]


def _accuracy(model: nn.Module, pixels: Tensor, labels: Tensor) -> float:
    model.eval()
    with torch.no_grad():
        predicted = torch.cat([model(part).argmax(1) for part in torch.split(pixels, _BATCH)])
    return float((predicted == labels).double().mean())


def _started(original: nn.Module, weights: Mapping[str, Tensor]) -> nn.Module:
    model = trainable_copy(original)
    if not any(value.requires_grad for value in model.parameters()):
        raise ValueError("original: a network with at least one weight that is not frozen expected, got none")
    named = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    with torch.no_grad():
        for name, value in weights.items():
            if name not in named or named[name].shape != value.shape:
                raise ValueError("weights: names and shapes of the network's expected, got "
                                 f"{name} of shape {tuple(value.shape)}")
            named[name].copy_(value)
    return model


def draw_rows(model: nn.Module, images: Tensor, rows: tuple[int, ...], generator: torch.Generator) -> None:
    """Draw these rows of the head anew, weights and biases, as its module draws them; changes the model.

    Raises:
        ValueError: if there are none.
    """
    if not rows:
        raise ValueError("fresh_rows: a request that forgets whole classes expected, got single images")
    head = heads.head(model, images)
    fresh = copy.deepcopy(head)
    with models.seeded(generator):
        fresh.reset_parameters()
    with torch.no_grad():
        for value, drawn in zip(head.parameters(), fresh.parameters(), strict=True):
            value[list(rows)] = drawn[list(rows)]
