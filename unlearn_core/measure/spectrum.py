"""Along how many directions a layer changed: a patch of a few, or all of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Spectrum:
    """A layer's weights as a matrix of its outputs by all that each of them reads, and what was added to it.

    Attributes:
        change: (directions,) share of the squared change along each singular vector of it, the largest first; all 0
            where nothing changed.
        weights: (directions,) the same of the weights before.
    """

    change: Float64
    weights: Float64

    @property
    def directions(self) -> int:
        """How many there are: the smaller side of the matrix."""
        return len(self.change)

    @property
    def rank(self) -> float:
        """Stable rank of the change, ‖ΔW‖²_F / ‖ΔW‖²₂: how many directions it fills, weighed by how far it goes along
        each. From 1 to `directions`; 0 where nothing changed. Unlike the rank, it does not count what is next to 0
        (Rudelson and Vershynin 2007, section 1).
        """
        return stable_rank(self.change)

    @property
    def own_rank(self) -> float:
        """Stable rank of the weights before."""
        return stable_rank(self.weights)


def stable_rank(shares: Float64) -> float:
    """The stable rank of a matrix by `shares` of its squared norm along its singular vectors."""
    return float(shares.sum() / shares.max()) if shares.any() else 0.0


def spectrum(before: Tensor, after: Tensor) -> Spectrum:
    """How a layer's weights, of two dimensions or more, changed; in float64.

    Raises:
        ValueError: for tensors of fewer dimensions, or of two shapes.
    """
    if before.ndim < 2 or before.shape != after.shape:
        raise ValueError(f"before, after: two tensors of one shape with two dimensions or more expected, got "
                         f"{tuple(before.shape)} and {tuple(after.shape)}")
    return Spectrum(_shares(after.double() - before.double()), _shares(before.double()))


def spectra(before: Mapping[str, Tensor], after: Mapping[str, Tensor]) -> dict[str, Spectrum]:
    """`spectrum` of every layer that has two dimensions or more, in order.

    Args:
        before: layers by name.
        after: those that changed; all others are as they were.
    """
    return {name: spectrum(weights, after.get(name, weights)) for name, weights in before.items() if weights.ndim > 1}


def _shares(matrix: Tensor) -> Float64:
    with torch.no_grad():
        energy = torch.linalg.svdvals(matrix.detach().flatten(1)).square()
        return np.asarray((energy / energy.sum().clamp_min(torch.finfo(energy.dtype).tiny)).numpy(), np.float64)
