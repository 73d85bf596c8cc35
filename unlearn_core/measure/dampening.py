"""Selective dampening from sorted importance ratios: exact answers for any (alpha, lambda).

SSD (Foster et al., arXiv 2308.07707) depends on a weight only through its ratio r = I_f / I_D: it is
selected if r > alpha and multiplied by min(lambda / r, 1). Sorting the ratios of a layer once, with prefix
sums, turns every later question about that layer into two binary searches.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from unlearn_core.measure.estimator import Importance
from unlearn_core.progress import Progress, silent

Float64 = npt.NDArray[np.float64]
_Floats = npt.NDArray[np.floating]
_Job = TypeVar("_Job")
_Result = TypeVar("_Result")

# Elements handled at once: small enough to stay in a core's cache.
_CHUNK = 1 << 17
# Elements that PyTorch handles on the calling thread, without threads of its own.
_SERIAL = 1 << 15
# Elements handed to a thread at once: below this, starting a thread costs more than it saves.
_JOB = 1 << 19
# Ratios summed up in advance; a query sums the remainder.
_BLOCK = 64


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
    """A layer's weights in the order of their ratios, and sums that spare a query most of the adding.

    Attributes:
        ratios: ascending.
        weights: theta, in the same order.
        blocks: suffix sums of the three terms of `_terms` from the start of each block to the end, (3, blocks + 1).
    """

    ratios: _Floats
    weights: _Floats
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


def _inverse(ratios: _Floats) -> Float64:
    """1 / r; 0 where r is 0, which is never selected: this keeps sums finite."""
    with np.errstate(divide="ignore", over="ignore"):
        inverse = np.divide(1.0, ratios, dtype=np.float64)
    if (never := ratios == 0).any():
        inverse[never] = 0
    return inverse


def _terms(ratios: _Floats, weights: _Floats) -> Float64:
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


def _first_above(ascending: _Floats, threshold: float) -> int:
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
    jobs = ((_flat(weights), _flat(forget[name]), _flat(reference[name])) for name, weights in parameters.items())
    for layer in _in_threads(_sorted_layer, jobs, total):
        layers.append(layer)
        done += len(layer.ratios)
        progress(done / total, "sorting importance ratios")
    return RatioIndex(tuple(parameters), np.array([p.numel() for p in parameters.values()]), tuple(layers))


def _sorted_layer(arrays: tuple[_Floats, ...]) -> _Layer:
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
    for piece in _pieces((r, ordered), _CHUNK):
        starts = np.arange(0, len(piece[0]), _BLOCK)
        np.add.reduceat(_terms(*piece), starts, axis=1, out=sums[:, first:first + len(starts)])
        first += len(starts)
    return _Layer(r, ordered, np.cumsum(sums[:, ::-1], axis=1)[:, ::-1])


def _fill_ratios(forget: _Floats, reference: _Floats, out: _Floats) -> None:
    """As `ratios`, with 0 in place of every ratio that is above nothing: the sign of -0 would spoil the order."""
    with np.errstate(all="ignore"):
        for f, d, r in _pieces((forget, reference, out), _CHUNK):
            if not _divide(f, d, r):
                r[~(r > 0)] = 0


def _divide(forget: _Floats, reference: _Floats, out: _Floats) -> bool:
    """I_f / I_D, NaN where both are 0. Whether all ratios are ordinary: neither NaN nor infinite, no sign.

    Raises:
        ValueError: as `ratios`.
    """
    np.divide(forget, reference, out=out)
    if _ordinary(reference):
        if _ordinary(out):  # then there is nothing else that I_f can be
            return True
        if _ordinary(forget):
            return False
    _check_values(torch.from_numpy(forget), torch.from_numpy(reference))
    return False


def _ordinary(values: _Floats) -> bool:
    """Whether all are finite and without a sign. One pass: read as whole numbers, all others are at least infinity."""
    return int(values.view(f"u{values.itemsize}").max()) < _infinity(values.dtype)


@cache
def _infinity(kind: np.dtype[np.floating]) -> int:
    """Infinity, read as a whole number."""
    return int(np.array(np.inf, kind).view(f"u{kind.itemsize}"))


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
    sources = {name: (weights.detach().float() if weights.dtype == torch.bfloat16 else weights.detach()).contiguous()
               for name, weights in parameters.items()}  # as in `_flat`
    # Strides and all: a convolution rounds by them, even where they make no difference to the layout.
    result = {name: torch.empty_like(source) for name, source in sources.items()}
    wholes = (tuple(map(_flat, (source, result[name], forget[name], reference[name])))
              for name, source in sources.items())
    jobs = (job for whole in wholes for job in _pieces(whole, _JOB))
    for _ in _in_threads(partial(_dampen_into, alpha, lam), jobs, sum(w.numel() for w in result.values())):
        pass
    return {name: new.to(parameters[name].dtype) for name, new in result.items()}


def _dampen_into(alpha: float, lam: float, arrays: tuple[_Floats, ...]) -> None:
    """Dampen a part: weights, new weights, I_f and I_D."""
    _, new, forget, _ = arrays
    kind = forget.dtype.type
    buffer = torch.from_numpy(np.empty(min(len(new), _CHUNK), kind))
    with np.errstate(over="ignore"):  # in the precision of the ratios, as in `_first_above`
        threshold, numerator = float(kind(max(alpha, lam))), float(kind(lam))
    with np.errstate(all="ignore"):
        for old, out, f, d in _pieces(arrays, _CHUNK):
            piece = buffer[:len(out)]
            r = piece.numpy()
            ordinary = _divide(f, d, r) and 0 < numerator < math.inf
            # A weight that is not selected, or has r <= lambda, gets a multiplier of lambda / lambda = 1. Writing only
            # where a mask says so would take several times as long.
            for part in torch.split(piece, _SERIAL):
                torch.threshold_(part, threshold, numerator)
            np.divide(kind(numerator), r, out=r)
            if not ordinary:
                np.fmin(r, kind(1), out=r)  # NaN, from 0 / 0, becomes 1
            np.multiply(old, r, out=out)


def _flat(values: Tensor) -> _Floats:
    """The values in one row, without a copy where they lie so; bfloat16, which NumPy lacks, as float32."""
    values = values.detach().float() if values.dtype == torch.bfloat16 else values.detach()
    row: _Floats = values.contiguous().view(-1).numpy()
    return row


def _pieces(arrays: tuple[_Floats, ...], size: int) -> Iterator[tuple[_Floats, ...]]:
    for start in range(0, len(arrays[0]), size):
        yield tuple(a[start:start + size] for a in arrays)


def _in_threads(work: Callable[[_Job], _Result], jobs: Iterable[_Job], weights: int) -> Iterator[_Result]:
    """Results in order, from as many threads as PyTorch may use; on this one where weights are few."""
    threads = min(torch.get_num_threads(), -(-weights // _JOB))
    if threads <= 1:
        yield from map(work, jobs)
        return
    with ThreadPoolExecutor(threads) as pool:
        try:
            yield from pool.map(work, jobs)
        finally:
            pool.shutdown(cancel_futures=True)
