"""What was recorded while a network was trained: which images moved its weights, and how."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import torch
from torch import Tensor

from unlearn_core.measure.pruning import Pruning, PruningRule, prune
from unlearn_core.nets.images import ImageSet
from unlearn_core.nets.request import Request


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
