"""Pruning: which entries of a recorded update are kept."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Literal

import numpy as np
import torch
from torch import Tensor

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
