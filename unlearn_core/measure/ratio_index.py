"""Sorted importance ratios: exact answers for any (alpha, lambda).

Selective dampening depends on a weight only through its ratio r = I_f / I_D: it is selected if r > alpha and multiplied
by min(lambda / r, 1). Sorting the ratios of a layer once, with prefix sums, turns every later question about that
layer into two binary searches.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from torch import Tensor

from unlearn_core.measure.estimator import Importance
from unlearn_core.measure.ratios import (
    CHUNK,
    Floats,
    check_alpha_lambda,
    check_shapes,
    divide,
    flat,
    in_threads,
    pieces,
)
from unlearn_core.progress import Progress, silent

Float64 = npt.NDArray[np.float64]

# Ratios summed up in advance; a query sums the remainder.
_BLOCK = 64


@dataclass(frozen=True, eq=False)
class Answers:
    """What (alpha, lambda) does to each layer; arrays of shape (layers,).

    Attributes:
        selected: number of weights with r > alpha.
        mean_multiplier: mean over all weights of the layer of what each is multiplied by.
        norm_removed: share of the layer's squared norm that is removed, in [0, 1].
    """

    selected: npt.NDArray[np.int64]
    mean_multiplier: Float64
    norm_removed: Float64


@dataclass(frozen=True, eq=False)
class _Layer:
    """A layer's weights in the order of their ratios, and sums that spare a query most of the adding.

    Attributes:
        ratios: ascending.
        weights: theta, in the same order.
        blocks: suffix sums of the three terms of `_terms` from the start of each block to the end, (3, blocks + 1).
    """

    ratios: Floats
    weights: Floats
    blocks: Float64

    def tail(self, position: int) -> Float64:
        """Sums of the three terms from a position to the end: (3,)."""
        block = -(-position // _BLOCK)  # the first that is summed up
        rest = slice(position, block * _BLOCK)
        tail: Float64 = self.blocks[:, block] + _terms(self.ratios[rest], self.weights[rest]).sum(1)
        return tail

    def inverse_tails(self, positions: npt.NDArray[np.int64]) -> Float64:
        """Sums of 1 / r from each position to the end."""
        blocks = -(-positions // _BLOCK)
        places = positions[:, None] + np.arange(_BLOCK)
        inside = places < np.minimum(blocks * _BLOCK, len(self.ratios))[:, None]
        rest = np.where(inside, _inverse(self.ratios[places.clip(max=len(self.ratios) - 1)]), 0)
        tails: Float64 = self.blocks[0, blocks] + rest.sum(1)
        return tails


def _inverse(ratios: Floats) -> Float64:
    """1 / r; 0 where r is 0, which is never selected: this keeps sums finite."""
    with np.errstate(divide="ignore", over="ignore"):
        inverse = np.divide(1.0, ratios, dtype=np.float64)
    if (never := ratios == 0).any():
        inverse[never] = 0
    return inverse


def _terms(ratios: Floats, weights: Floats) -> Float64:
    """1 / r, theta^2 and (theta / r)^2 of each weight, (3, n)."""
    terms = np.empty((3, len(ratios)))
    terms[0] = _inverse(ratios)
    terms[1] = weights
    with np.errstate(over="ignore", invalid="ignore"):
        np.multiply(terms[0], terms[1], out=terms[2])
        terms[1:] *= terms[1:]
    return terms


@dataclass(frozen=True, eq=False)
class RatioIndex:
    """Sorted importance ratios of a network, layer by layer. A layer is one parameter tensor.

    Attributes:
        names: the layers' parameter names.
        sizes: number of weights of each layer.
    """

    names: tuple[str, ...]
    sizes: npt.NDArray[np.int64]
    _layers: tuple[_Layer, ...]

    @property
    def nbytes(self) -> int:
        """Memory that the layers hold, in bytes."""
        return sum(a.nbytes for layer in self._layers for a in (layer.ratios, layer.weights, layer.blocks))

    def query(self, alpha: float, lam: float) -> Answers:
        """Exact answers for all layers, in O(layers * log n).

        Raises:
            ValueError: as `check_alpha_lambda`.
        """
        check_alpha_lambda(alpha, lam)
        selected = np.zeros(len(self.names), np.int64)
        multiplier = np.ones(len(self.names))
        removed = np.zeros(len(self.names))
        for i, (layer, size) in enumerate(zip(self._layers, self.sizes, strict=True)):
            first = _first_above(layer.ratios, alpha)
            selected[i] = len(layer.ratios) - first
            # Between alpha and lambda the multiplier is clamped to 1: selected, but unchanged.
            changed = first if lam <= alpha else _first_above(layer.ratios, lam)
            inverse, energy, damped = layer.tail(changed)
            multiplier[i] = 1 - (len(layer.ratios) - changed - lam * inverse) / size
            if (norm := layer.blocks[1, 0]) > 0:
                removed[i] = (energy - lam * (lam * damped)) / norm
        return Answers(selected, multiplier, removed.clip(0, 1))

    def histogram(self, low: float, high: float, bins: int) -> tuple[Float64, Float64, Float64]:
        """Ratios binned by log10 r over [low, high]: counts (L, bins), sums of 1/r (L, bins), infinities (L,).

        A bin holds the ratios above its lower and up to its upper edge, as "strictly above alpha" needs. Ratios
        outside the range fall into the nearest bin, ratios of 0 into none.
        """
        edges = 10 ** np.linspace(low, high, bins + 1)[1:-1]
        counts, inverse = np.zeros((2, len(self.names), bins))
        infinite = np.zeros(len(self.names))
        for i, layer in enumerate(self._layers):
            positive = int(np.searchsorted(layer.ratios, 0, side="right"))
            finite = int(np.searchsorted(layer.ratios, np.inf, side="left"))
            inner = np.searchsorted(layer.ratios, edges, side="right").clip(positive, finite)
            cuts = np.concatenate([[positive], inner, [finite]])
            counts[i] = np.diff(cuts)
            inverse[i] = -np.diff(layer.inverse_tails(cuts))
            infinite[i] = len(layer.ratios) - finite
        return counts, inverse, infinite


def _first_above(ascending: Floats, threshold: float) -> int:
    """Position of the first value strictly above the threshold.

    Like PyTorch in `dampen`, compares in the precision of the ratios; this also spares searchsorted a copy.
    """
    with np.errstate(over="ignore"):
        key = ascending.dtype.type(threshold)
    return int(np.searchsorted(ascending, key, side="right"))


def build_index(parameters: Mapping[str, Tensor], forget: Importance, reference: Importance, *,
                progress: Progress = silent) -> RatioIndex:
    """Sort the ratios of every layer once; O(n log n), 8.4 bytes per weight (float64: 16.4).

    Args:
        parameters: the weights before dampening.
        forget: I_f by parameter name.
        reference: I_D by parameter name.
        progress: told after each layer.

    Raises:
        ValueError: if the importances do not fit the weights.
    """
    check_shapes(parameters, forget, reference)
    layers, total, done = [], sum(p.numel() for p in parameters.values()), 0
    jobs = ((flat(weights), flat(forget[name]), flat(reference[name])) for name, weights in parameters.items())
    for layer in in_threads(_sorted_layer, jobs, total):
        layers.append(layer)
        done += len(layer.ratios)
        progress(done / total, "sorting importance ratios")
    return RatioIndex(tuple(parameters), np.array([p.numel() for p in parameters.values()]), tuple(layers))


def _sorted_layer(arrays: tuple[Floats, ...]) -> _Layer:
    """Of weights, I_f and I_D."""
    weights, forget, reference = arrays
    if weights.dtype == forget.dtype == reference.dtype == np.float32 and sys.byteorder == "little":
        # Ratio and weight side by side: as one whole number they sort by the ratio, and the weight comes along.
        pairs = np.empty((len(weights), 2), np.float32)
        pairs[:, 0] = weights
        _fill_ratios(forget, reference, pairs[:, 1])
        pairs.view(np.uint64)[:, 0].sort()
        ordered, r = pairs.T
    else:
        r = np.empty(len(weights), np.result_type(forget, reference))
        _fill_ratios(forget, reference, r)
        order = np.argsort(r)
        ordered, r = weights[order], r[order]
    sums = np.zeros((3, -(-len(r) // _BLOCK) + 1))
    first = 0
    for piece in pieces((r, ordered), CHUNK):
        starts = np.arange(0, len(piece[0]), _BLOCK)
        np.add.reduceat(_terms(*piece), starts, axis=1, out=sums[:, first:first + len(starts)])
        first += len(starts)
    return _Layer(r, ordered, np.cumsum(sums[:, ::-1], axis=1)[:, ::-1])


def _fill_ratios(forget: Floats, reference: Floats, out: Floats) -> None:
    """As `ratios`, with 0 in place of every ratio that is above nothing: the sign of -0 would spoil the order."""
    with np.errstate(all="ignore"):
        for f, d, r in pieces((forget, reference, out), CHUNK):
            if not divide(f, d, r):
                r[~(r > 0)] = 0
