"""Selective dampening (SSD, Foster et al., arXiv 2308.07707) of a network's weights."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial

import numpy as np
import torch
from torch import Tensor

from unlearn_core.measure.estimator import Importance
from unlearn_core.measure.ratios import (
    CHUNK,
    JOB,
    Floats,
    check_alpha_lambda,
    check_shapes,
    divide,
    flat,
    in_threads,
    pieces,
)

# Elements that PyTorch handles on the calling thread, without threads of its own.
_SERIAL = 1 << 15


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
               for name, weights in parameters.items()}  # as in `flat`
    # Strides and all: a convolution rounds by them, even where they make no difference to the layout.
    result = {name: torch.empty_like(source) for name, source in sources.items()}
    wholes = (tuple(map(flat, (source, result[name], forget[name], reference[name])))
              for name, source in sources.items())
    jobs = (job for whole in wholes for job in pieces(whole, JOB))
    for _ in in_threads(partial(_dampen_into, alpha, lam), jobs, sum(w.numel() for w in result.values())):
        pass
    return {name: new.to(parameters[name].dtype) for name, new in result.items()}


def _dampen_into(alpha: float, lam: float, arrays: tuple[Floats, ...]) -> None:
    """Dampen a part: weights, new weights, I_f and I_D."""
    _, new, forget, _ = arrays
    kind = forget.dtype.type
    buffer = torch.from_numpy(np.empty(min(len(new), CHUNK), kind))
    with np.errstate(over="ignore"):  # in the precision of the ratios, as `RatioIndex` compares them
        threshold, numerator = float(kind(max(alpha, lam))), float(kind(lam))
    with np.errstate(all="ignore"):
        for old, out, f, d in pieces(arrays, CHUNK):
            piece = buffer[:len(out)]
            r = piece.numpy()
            ordinary = divide(f, d, r) and 0 < numerator < math.inf
            # A weight that is not selected, or has r <= lambda, gets a multiplier of lambda / lambda = 1. Writing only
            # where a mask says so would take several times as long.
            for part in torch.split(piece, _SERIAL):
                torch.threshold_(part, threshold, numerator)
            np.divide(kind(numerator), r, out=r)
            if not ordinary:
                np.fmin(r, kind(1), out=r)  # NaN, from 0 / 0, becomes 1
            np.multiply(old, r, out=out)
