"""Accuracies with their uncertainty."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt


class Count(NamedTuple):
    """How many of some images were named rightly."""

    hits: int
    images: int

    @property
    def share(self) -> float:
        """In [0, 1]."""
        return self.hits / self.images

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % Wilson interval of the share."""
        return wilson(self.hits, self.images)


class Change(NamedTuple):
    """A difference of two shares, in [-1, 1], with its 95 % interval."""

    value: float
    low: float
    high: float


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


def difference(first: Count, second: Count) -> Change:
    """The first share less the second, with Newcombe's interval from the two Wilson intervals.

    It takes the two for independent. Of one set of images under two networks that mostly agree it is too wide, if
    anything.

    Source: Newcombe, Statistics in Medicine 17 (1998), 873, method 10.
    """
    value = first.share - second.share
    (low, high), (other_low, other_high) = first.interval, second.interval
    return Change(value, value - math.hypot(first.share - low, other_high - second.share),
                  value + math.hypot(high - first.share, second.share - other_low))


def per_class(predicted: npt.NDArray[np.int64], labels: npt.NDArray[np.int64],
              classes: int) -> npt.NDArray[np.float64]:
    """(classes,) share of each class's images that are predicted right; NaN for a class without images."""
    counts = np.bincount(labels, minlength=classes)
    hits = np.bincount(labels[predicted == labels], minlength=classes)
    shares = np.full(classes, np.nan)
    np.divide(hits, counts, out=shares, where=counts > 0)
    return shares
