"""Accuracies with their uncertainty."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt


def wilson(hits: int, n: int, z: float = 1.96) -> tuple[float, float]:
    """The Wilson score interval of a share (Wilson 1927), 95 % by default.

    Raises:
        ValueError: unless 0 <= hits <= n and n > 0.
    """
    if n <= 0 or not 0 <= hits <= n:
        raise ValueError(f"hits: a count in 0..n of n > 0 expected, got {hits} of {n}")
    # By hand: scipy's binomtest works out a p value first, which takes thousands of times as long.
    share, spread = hits / n, z * z / n
    centre = (share + spread / 2) / (1 + spread)
    half = math.sqrt(share * (1 - share) * spread + spread * spread / 4) / (1 + spread)
    return max(centre - half, 0.0), min(centre + half, 1.0)


def per_class(predicted: npt.NDArray[np.int64], labels: npt.NDArray[np.int64],
              classes: int) -> npt.NDArray[np.float64]:
    """(classes,) share of each class's images that are predicted right; NaN for a class without images."""
    counts = np.bincount(labels, minlength=classes)
    hits = np.bincount(labels[predicted == labels], minlength=classes)
    shares = np.full(classes, np.nan)
    np.divide(hits, counts, out=shares, where=counts > 0)
    return shares
