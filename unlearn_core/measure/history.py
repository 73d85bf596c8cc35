"""What was recorded while a network was trained: which images moved its weights, and how."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from typing import Literal, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unlearn_core.nets.images import ImageSet
from unlearn_core.nets.request import Request

PruningRule = Literal["keep_top", "drop_top", "random"]


@dataclass(frozen=True)
class Pruning:
    """Which part of a history is kept: whole epochs, and of each recorded update some entries of every layer.

    A layer is one parameter tensor. Records are pruned one by one before they are stored (arXiv 2403.07611,
    Algorithm 1).

    Attributes:
        share: of the entries kept, in [0, 1]; ``ceil(share * entries)`` per layer.
        rule: the largest; all that ``keep_top`` of the remaining share leaves out; or random ones.
        exceptions: shares of single layers, by parameter name.
        epochs: how many of the last recorded epochs; None or more than there are: all.
    """

    share: float = 1.0
    rule: PruningRule = "keep_top"
    exceptions: Mapping[str, float] = field(default_factory=dict)
    epochs: int | None = None

    def of(self, name: str) -> float:
        """The share kept of this layer."""
        return self.exceptions.get(name, self.share)

    def entries(self, name: str, size: int) -> int:
        """How many of the `size` entries of this layer are kept of each record."""
        share = Fraction(str(self.of(name)))
        return size - share_size(1 - share, size) if self.rule == "drop_top" else share_size(share, size)


def share_size(share: float | Fraction, entries: int) -> int:
    """How many entries a share of them is, rounded up: ceil(share * entries).

    The share counts as the decimal number it is written as: 0.07 of 100 is 7, though 0.07 * 100 comes out above 7.
    """
    return math.ceil(Fraction(str(share)) * entries)


@dataclass(frozen=True, eq=False)
class Recorded:
    """The recorded movement that a forget set caused.

    Attributes:
        update: summed over the records that hold forget samples, by parameter name; subtract it to forget.
        records: number of those records.
        of: number of all records in the epochs asked for.
        epochs: number of those epochs.
        kept_entries: stored in the records that were summed.
        kept_share: of all entries of a record.
        stored_bytes: what an operator keeps for all records of those epochs: the values in half precision, each with
            a four-byte position unless a whole layer takes less.
    """

    update: dict[str, Tensor]
    records: int
    of: int
    epochs: int
    kept_entries: int
    kept_share: float
    stored_bytes: int


class History(Protocol):
    """The recorded training history of a network."""

    def obstacle(self, request: Request, train: ImageSet, pruning: Pruning) -> str:
        """Why this history cannot serve the request, as a sentence; empty if it can."""

    def caused_by(self, request: Request, train: ImageSet, pruning: Pruning, generator: torch.Generator) -> Recorded:
        """The movement caused by the records that hold any of the images to forget.

        Args:
            request: what is to be forgotten.
            train: all training images.
            pruning: which part of the history is kept.
            generator: of random pruning; other rules leave it alone.
        """


def _recorded(update: dict[str, Tensor], pruning: Pruning, records: int, of: int, epochs: int) -> Recorded:
    sizes = {name: value.numel() for name, value in update.items()}
    kept = {name: pruning.entries(name, size) for name, size in sizes.items()}
    stored = sum(min(6 * kept[name], 2 * size) for name, size in sizes.items())
    return Recorded(update, records, of, epochs, records * sum(kept.values()),
                    sum(kept.values()) / max(1, sum(sizes.values())), of * stored)


def largest(magnitudes: Tensor, counts: Sequence[int]) -> list[Tensor]:
    """Which entries are the largest of each row, of equal ones the first; for several counts at once.

    Args:
        magnitudes: (..., n).
        counts: how many, each from 0 to n.

    Returns:
        For each count a (..., n) bool with that many entries True in each row.
    """
    n = magnitudes.shape[-1]
    # One partition for all counts: with a sort, or a search for each count, pruning would take twice as long.
    places = [n - count for count in counts if count] or [0]
    ranked = torch.from_numpy(np.partition(magnitudes.numpy(), places, axis=-1))
    masks = []
    for count in counts:
        if not count:
            masks.append(torch.zeros_like(magnitudes, dtype=torch.bool))
            continue
        threshold = ranked[..., n - count, None]
        mask = magnitudes >= threshold
        if int(mask.sum()) > count * threshold.numel():
            above, equal = magnitudes > threshold, magnitudes == threshold
            mask = above | (equal & (equal.cumsum(-1) <= count - above.sum(-1, keepdim=True)))
        masks.append(mask)
    return masks


def prune(update: Tensor, name: str, pruning: Pruning, generator: torch.Generator) -> Tensor:
    """The update of one layer with zeros where nothing is kept."""
    size = update.numel()
    kept = pruning.entries(name, size)
    if pruning.rule == "random":
        chosen = torch.randperm(size, generator=generator)[:kept]
        mask = torch.zeros(size, dtype=torch.bool).index_fill_(0, chosen, True)
    elif pruning.rule == "drop_top":
        mask = ~largest(update.abs().flatten(), [size - kept])[0]
    else:
        mask = largest(update.abs().flatten(), [kept])[0]
    return torch.where(mask.view(update.shape), update, 0)


@dataclass(frozen=True, eq=False)
class Step:
    """The exact record of one training step.

    Attributes:
        epoch: counted from 0.
        positions: (B,) of the training images that the step saw.
        update: weights after minus weights before, by parameter name.
    """

    epoch: int
    positions: Tensor
    update: dict[str, Tensor]


@dataclass(frozen=True, eq=False)
class StepHistory:
    """Exact records of single training steps, in full precision (Graves et al., arXiv 2010.10981).

    Any images can be forgotten with it; it takes as much memory as there are steps times weights.

    Attributes:
        steps: in the order of the training.
    """

    steps: tuple[Step, ...]

    def obstacle(self, request: Request, train: ImageSet, pruning: Pruning) -> str:
        """As `History.obstacle`."""
        forget, _ = request.split(train)
        held = any(bool(torch.isin(step.positions, forget).any()) for step in self._window(pruning))
        return "" if held else "None of the recorded training steps saw an image that is to be forgotten."

    def caused_by(self, request: Request, train: ImageSet, pruning: Pruning, generator: torch.Generator) -> Recorded:
        """As `History.caused_by`."""
        forget, _ = request.split(train)
        window = self._window(pruning)
        # A generator for each record: what is kept of it must not depend on the request.
        seeds = torch.randint(2**62, (len(window),), generator=generator).tolist()
        update = {name: torch.zeros_like(value) for name, value in window[0].update.items()}
        records = 0
        for step, seed in zip(window, seeds, strict=True):
            if torch.isin(step.positions, forget).any():
                records += 1
                chance = torch.Generator().manual_seed(seed)
                for name, value in step.update.items():
                    update[name] += prune(value, name, pruning, chance)
        return _recorded(update, pruning, records, len(window), len({step.epoch for step in window}))

    def _window(self, pruning: Pruning) -> list[Step]:
        epochs = sorted({step.epoch for step in self.steps})
        wanted = epochs if pruning.epochs is None else epochs[-pruning.epochs:]
        return [step for step in self.steps if step.epoch in wanted]


def record_training(model: nn.Module, optimiser: torch.optim.Optimizer, images: ImageSet,
                    epochs: Iterable[Sequence[Tensor]]) -> StepHistory:
    """Train with cross-entropy and record every step.

    Args:
        model: gives logits; changed in place, in whatever mode it is in.
        optimiser: over the model's parameters.
        images: the training images.
        epochs: for each epoch its batches, as positions in `images`.
    """
    steps = []
    dtype = next(model.parameters()).dtype
    for epoch, batches in enumerate(epochs):
        for positions in batches:
            before = {name: value.detach().clone() for name, value in model.named_parameters()}
            optimiser.zero_grad()
            loss = F.cross_entropy(model(images.pixels(positions).to(dtype)), images.labels[positions])
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            steps.append(Step(epoch, positions, {name: value.detach() - before[name]
                                                 for name, value in model.named_parameters()}))
    return StepHistory(tuple(steps))


@dataclass(frozen=True, eq=False)
class ClassHistory:
    """The last epochs of a training, summed by class: small enough to be shipped with a network.

    A record is one class's part of one step. A step of SGD is linear in the gradients of its batch, momentum
    included, so it splits exactly into the parts of the classes; what weight decay does belongs to no class.

    Attributes:
        tables: from `ClassRecorder.tables`.
    """

    tables: Mapping[str, Tensor]

    def obstacle(self, request: Request, train: ImageSet, pruning: Pruning) -> str:
        """As `History.obstacle`."""
        if not request.classes:
            return "The history of this network was recorded by class, so it can forget nothing but whole classes."
        if missing := [label for label in request.classes if label not in self._classes]:
            return f"The history of this network holds no record of class {missing[0]}."
        shares = {pruning.of(name) for name in self._sizes} - {0.0, 1.0}
        if not shares:
            return ""
        if pruning.rule == "random":
            return "The history of this network was pruned by size only: keep_top and drop_top can be served."
        stored = sorted(f"{1 - share if pruning.rule == 'drop_top' else share:g}" for share in self._shares)
        if unknown := sorted(share for share in shares if f"{share:g}" not in stored):
            return (f"The history of this network was pruned ({pruning.rule}) to shares of 0, {', '.join(stored)} "
                    f"and 1, but not to {unknown[0]:g}.")
        if pruning.epochs is not None and pruning.epochs < self._epochs:
            return f"The history of this network was pruned for all of its {self._epochs} epochs together."
        return ""

    def caused_by(self, request: Request, train: ImageSet, pruning: Pruning, generator: torch.Generator) -> Recorded:
        """As `History.caused_by`; call it only where there is no obstacle."""
        epochs = self._epochs if pruning.epochs is None else min(pruning.epochs, self._epochs)
        steps = int(self.tables["steps"][self._epochs - epochs:].sum())
        update = {name: torch.stack([self._part(label, name, epochs, pruning.of(name), pruning.rule)
                                     for label in request.classes]).sum(0) for name in self._sizes}
        return _recorded(update, pruning, steps * len(request.classes), steps * len(self._classes), epochs)

    def _part(self, label: int, name: str, epochs: int, share: float, rule: PruningRule) -> Tensor:
        """(layer's shape) float32: the movement of one layer by one class."""
        full = torch.stack([self.tables[f"full/{epoch}/{label}/{name}"].float()
                            for epoch in range(self._epochs - epochs, self._epochs)]).sum(0)
        if share in (0.0, 1.0):
            return full * share
        if rule == "drop_top":
            return full - self.tables[f"top{1 - share:g}/{label}/{name}"].float()
        return self.tables[f"top{share:g}/{label}/{name}"].float()

    @property
    def _epochs(self) -> int:
        return len(self.tables["steps"])

    @cached_property
    def _classes(self) -> list[int]:
        return sorted({int(key.split("/")[2]) for key in self.tables if key.startswith("full/0/")})

    @cached_property
    def _shares(self) -> list[float]:
        return sorted({float(key.split("/")[0][3:]) for key in self.tables if key.startswith("top")})

    @cached_property
    def _sizes(self) -> dict[str, int]:
        first = f"full/0/{self._classes[0]}/"
        return {key.removeprefix(first): value.numel() for key, value in self.tables.items() if key.startswith(first)}


class ClassRecorder:
    """Collects a `ClassHistory` while a network is trained by SGD with Nesterov momentum.

    For each class c, ``buffer_c = momentum * buffer_c + g_c`` and its part of the step is
    ``-lr * (g_c + momentum * buffer_c)``, where g_c is the gradient of the batch's mean loss through the images of c.
    Momentum from before the recording belongs to no class.

    Args:
        model: the network in training; frozen weights are left out.
        momentum: of the optimiser; 0 for plain SGD.
        classes: number of classes.
        epochs: number of epochs to be recorded.
        shares: of the largest entries; a sum of the records so pruned is collected for each.
    """

    def __init__(self, model: nn.Module, momentum: float, classes: int, epochs: int, shares: Sequence[float]) -> None:
        self._parameters = {name: value for name, value in model.named_parameters() if value.requires_grad}
        self._momentum = momentum
        weights = sum(value.numel() for value in self._parameters.values())
        dtype = next(iter(self._parameters.values())).dtype
        self._buffer = torch.zeros(classes, weights, dtype=dtype)
        self._full = torch.zeros(epochs, classes, weights, dtype=dtype)
        self._top = {share: torch.zeros(classes, weights, dtype=dtype) for share in shares}
        self._steps = torch.zeros(epochs, dtype=torch.long)

    def step(self, epoch: int, logits: Tensor, labels: Tensor, lr: float) -> None:
        """Record a step; call it before the optimiser's, and before ``backward``, which frees the graph.

        Args:
            epoch: of the recorded ones, from 0.
            logits: (B, classes) with their graph.
            labels: (B,).
            lr: the optimiser's learning rate at this step.
        """
        losses = F.cross_entropy(logits, labels, reduction="none") / len(labels)
        self._buffer *= self._momentum
        parts = self._momentum * self._buffer  # of the classes that the batch lacks
        for label in torch.unique(labels).tolist():
            found = torch.autograd.grad(losses[labels == label].sum(), list(self._parameters.values()),
                                        retain_graph=True, allow_unused=True, materialize_grads=True)
            gradient = torch.cat([g.flatten() for g in found])
            self._buffer[label] += gradient
            parts[label] = gradient + self._momentum * self._buffer[label]
        parts *= -lr
        self._steps[epoch] += 1
        self._full[epoch] += parts
        sizes = [value.numel() for value in self._parameters.values()]
        prunings = [Pruning(share) for share in self._top]
        for i, (name, layer) in enumerate(zip(self._parameters, torch.split(parts, sizes, 1), strict=True)):
            masks = largest(layer.abs(), [pruning.entries(name, layer.shape[1]) for pruning in prunings])
            for mask, total in zip(masks, self._top.values(), strict=True):
                torch.split(total, sizes, 1)[i].add_(layer * mask)

    def tables(self) -> dict[str, Tensor]:
        """What a `ClassHistory` reads, in half precision.

        Returns:
            ``steps``: (epochs,) int64, steps recorded in each epoch; ``full/{epoch}/{class}/{parameter}``: the sum of
            that epoch's records of that class; ``top{share}/{class}/{parameter}``: the sum over all epochs of the
            records pruned to their largest entries.
        """
        found = {"steps": self._steps.clone()}
        sums = {f"full/{epoch}": total for epoch, total in enumerate(self._full)}
        sums |= {f"top{share:g}": total for share, total in self._top.items()}
        sizes = [value.numel() for value in self._parameters.values()]
        for kind, total in sums.items():
            for label, row in enumerate(total):
                for (name, value), flat in zip(self._parameters.items(), torch.split(row, sizes), strict=True):
                    found[f"{kind}/{label}/{name}"] = flat.view(value.shape).half()
        return found
