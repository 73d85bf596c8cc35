"""Importance ratios r = I_f / I_D: what they may be made of, and how many are made quickly, in cache-sized pieces."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from unlearn_core.measure.estimator import Importance

Floats = npt.NDArray[np.floating]
_Job = TypeVar("_Job")
_Result = TypeVar("_Result")
# Elements handled at once: small enough to stay in a core's cache.
CHUNK = 1 << 17
# Elements handed to a thread at once: below this, starting a thread costs more than it saves.
JOB = 1 << 19


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


def divide(forget: Floats, reference: Floats, out: Floats) -> bool:
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


def _ordinary(values: Floats) -> bool:
    """Whether all are finite and without a sign. One pass: read as whole numbers, all others are at least infinity."""
    return int(values.view(f"u{values.itemsize}").max()) < _infinity(values.dtype)


@cache
def _infinity(kind: np.dtype[np.floating]) -> int:
    """Infinity, read as a whole number."""
    return int(np.array(np.inf, kind).view(f"u{kind.itemsize}"))


def flat(values: Tensor) -> Floats:
    """The values in one row, without a copy where they lie so; bfloat16, which NumPy lacks, as float32."""
    values = values.detach().float() if values.dtype == torch.bfloat16 else values.detach()
    row: Floats = values.contiguous().view(-1).numpy()
    return row


def pieces(arrays: tuple[Floats, ...], size: int) -> Iterator[tuple[Floats, ...]]:
    """Views of so many elements of each of several arrays, one after the other."""
    for start in range(0, len(arrays[0]), size):
        yield tuple(a[start:start + size] for a in arrays)


def in_threads(work: Callable[[_Job], _Result], jobs: Iterable[_Job], weights: int) -> Iterator[_Result]:
    """Results in order, from as many threads as PyTorch may use; on this one where weights are few."""
    threads = min(torch.get_num_threads(), -(-weights // JOB))
    if threads <= 1:
        yield from map(work, jobs)
        return
    with ThreadPoolExecutor(threads) as pool:
        try:
            yield from pool.map(work, jobs)
        finally:
            pool.shutdown(cancel_futures=True)
