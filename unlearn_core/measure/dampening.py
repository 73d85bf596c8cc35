"""Selective dampening from sorted importance ratios: exact answers for any (alpha, lambda).

SSD (Foster et al., arXiv 2308.07707) depends on a weight only through its ratio r = I_f / I_D: it is
selected if r > alpha and multiplied by min(lambda / r, 1). Sorting the ratios of a layer once, with prefix
sums, turns every later question about that layer into two binary searches.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from unlearn_core.measure.estimator import Importance
from unlearn_core.progress import Progress, silent

Float64 = npt.NDArray[np.float64]

# Elements handled at once where weights are written: small enough to stay in a core's cache.
_CHUNK = 1 << 18


def check_alpha_lambda(alpha: float, lam: float) -> None:
    """Refuse thresholds that mean nothing.

    Raises:
        ValueError: unless alpha is a finite number >= 0 and lambda a finite number >= 0.
    """
    for name, value in (("alpha", alpha), ("lambda", lam)):
        if not 0 <= value <= sys.float_info.max:
            raise ValueError(f"{name}: a finite number of at least 0 expected, got {value}")


def ratios(forget: Tensor, reference: Tensor) -> Tensor:
    """I_f / I_D elementwise; 0 where I_f is 0 (never selected), infinite where only I_D is 0.

    Raises:
        ValueError: if shapes differ, or a value is negative, infinite or not a number.
    """
    if forget.shape != reference.shape:
        raise ValueError(f"importance: shapes must agree, got {tuple(forget.shape)} and {tuple(reference.shape)}")
    _check_values(forget, reference)
    return (forget / reference).masked_fill_(forget == 0, 0)


def _check_values(forget: Tensor, reference: Tensor) -> None:
    for values in (forget, reference):
        if values.numel():
            low, high = torch.aminmax(values)  # NaN passes through to both
            if not (float(low) >= 0 and float(high) < math.inf):
                raise ValueError("importance: finite values of at least 0 expected, got a negative value, "
                                 "infinity or NaN")


def check_shapes(parameters: Mapping[str, Tensor], forget: Importance, reference: Importance) -> None:
    """Refuse importances of another network.

    Raises:
        ValueError: unless both have a tensor of the weights' shape for every parameter.
    """
    for name, weights in parameters.items():
        for values in (forget, reference):
            if name not in values or values[name].shape != weights.shape:
                got = tuple(values[name].shape) if name in values else "nothing"
                raise ValueError(f"importance: shape {tuple(weights.shape)} expected for {name}, got {got}")


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
    ratios: npt.NDArray[np.floating]  # ascending
    inverse: Float64  # suffix sums of 1 / r, from each position to the end; length n + 1
    energy: Float64  # suffix sums of theta^2
    damped: Float64  # suffix sums of (theta / r)^2


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
            multiplier[i] = 1 - (len(layer.ratios) - changed - lam * layer.inverse[changed]) / size
            if layer.energy[0] > 0:
                removed[i] = (layer.energy[changed] - lam**2 * layer.damped[changed]) / layer.energy[0]
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
            inverse[i] = -np.diff(layer.inverse[cuts])
            infinite[i] = len(layer.ratios) - finite
        return counts, inverse, infinite


def _first_above(ascending: npt.NDArray[np.floating], threshold: float) -> int:
    """Position of the first value strictly above the threshold.

    Like PyTorch in `dampen`, compares in the precision of the ratios; this also spares searchsorted a copy.
    """
    with np.errstate(over="ignore"):
        key = ascending.dtype.type(threshold)
    return int(np.searchsorted(ascending, key, side="right"))


def build_index(parameters: Mapping[str, Tensor], forget: Importance, reference: Importance, *,
                progress: Progress = silent) -> RatioIndex:
    """Sort the ratios of every layer once; O(n log n), about 28 bytes per weight.

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
    for name, weights in parameters.items():
        ascending, order = torch.sort(ratios(forget[name], reference[name]).flatten())
        r = ascending.numpy()
        energy = weights.detach().flatten()[order].numpy().astype(np.float64) ** 2
        with np.errstate(divide="ignore"):
            inverse = np.divide(1.0, r, dtype=np.float64)
        inverse[r == 0] = 0  # never selected: keeps the sums finite
        layers.append(_Layer(r, _suffix_sums(inverse), _suffix_sums(energy), _suffix_sums(energy * inverse**2)))
        done += len(r)
        progress(done / total, "sorting importance ratios")
    return RatioIndex(tuple(parameters), np.array([p.numel() for p in parameters.values()]), tuple(layers))


def _suffix_sums(values: Float64) -> Float64:
    sums = np.zeros(len(values) + 1)
    np.cumsum(values[::-1], out=sums[1:])
    return sums[::-1]


def dampen(parameters: Mapping[str, Tensor], forget: Importance, reference: Importance, alpha: float,
           lam: float) -> dict[str, Tensor]:
    """New weights: theta * min(lambda * I_D / I_f, 1) where I_f / I_D > alpha, theta elsewhere.

    Works in cache-sized pieces, so that memory is read and written once. The given weights are not changed.

    Source: SSD, arXiv 2308.07707, eqs. for selection and dampening; strict inequality as in the official code.

    Raises:
        ValueError: as `check_alpha_lambda`, or if the importances do not fit the weights.
    """
    check_alpha_lambda(alpha, lam)
    check_shapes(parameters, forget, reference)
    result = {}
    for name, weights in parameters.items():
        source = weights.detach().contiguous()
        result[name] = torch.empty_like(source)
        whole = (source, result[name], forget[name].contiguous(), reference[name].contiguous())
        zeros = source.new_zeros(min(source.numel(), _CHUNK))
        for old, new, f, d in zip(*(torch.split(t.view(-1), _CHUNK) for t in whole), strict=True):
            _check_values(f, d)
            r = f / d  # NaN where both are 0, which is above nothing
            smaller = torch.addcdiv(zeros[: len(r)], old, r, value=lam)  # theta * lambda / r
            # A selected weight with r <= lambda keeps its value: the multiplier is at most 1.
            torch.where(r > max(alpha, lam), smaller, old, out=new)
    return result
