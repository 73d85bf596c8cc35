"""Could the unlearned model be told from one retrained without the data? The null is retrained seeds among themselves.

Two tests that see different things. `distinguish` compares outputs image by image, and notices a model that answers
unlike any retrained one. `privacy_score`, in a file of its own, compares the distribution of one number over the forget
set and notices outputs that are too sure or too flat. In both a further retrained seed is, but for its luck, one of the
null.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.special import stdtrit

Float64 = npt.NDArray[np.float64]
Place = Literal["within", "edge", "apart"]
Side = Literal["high", "low"]

LEAST_SEEDS = 3
LEVEL = 0.99
"""Of each check's prediction interval. Eight checks are made of every outcome: at this level a retrained network fails
one of them by luck at most 8 times in 100, at 95 % up to a third of the time."""


@dataclass(frozen=True, eq=False)
class Placement:
    """Where a model's value lies among those of retrained seeds.

    Attributes:
        value: of the audited model.
        null: (seeds,) the same quantity of each retrained seed against the others.
        expected: (low, high) in which a further seed would lie with the probability `LEVEL`, see `further`; an infinite
            end is one on which nothing is wrong.
        by_rule: whether `expected` is a rule that holds for retrained networks too, and no interval made of theirs.
    """

    value: float
    null: Float64
    expected: tuple[float, float]
    by_rule: bool = False

    @property
    def place(self) -> Place:
        """``within`` the range of the seeds; on the ``edge``, outside it yet where a further seed may lie; ``apart``.

        Of R + 1 exchangeable models, the one at hand lies outside the range of the others 2 times in R + 1 by luck
        alone: to be outside is not enough to be told apart.
        """
        low, high = self.expected
        if self.by_rule:
            return "within" if low <= self.value <= high else "apart"
        if (math.isinf(low) or self.null.min() <= self.value) and (math.isinf(high) or self.value <= self.null.max()):
            return "within"
        return "edge" if low <= self.value <= high else "apart"

    @property
    def rank_high(self) -> float:
        """Share of the R + 1 values, its own included, that are at least as high: no smaller than 1 / (R + 1)."""
        return float((1 + (self.null >= self.value).sum()) / (1 + len(self.null)))

    @property
    def rank_low(self) -> float:
        """Share of the R + 1 values, its own included, that are at least as low: no smaller than 1 / (R + 1)."""
        return float((1 + (self.null <= self.value).sum()) / (1 + len(self.null)))


@dataclass(frozen=True)
class Spread:
    """A standard deviation of retrained networks that is known from many requests, and its degrees of freedom."""

    value: float
    freedom: int


def pooled(nulls: Sequence[Float64]) -> Spread | None:
    """The spread of a number among networks retrained for the same request, from several requests; None without two
    networks of any.
    """
    freedom = sum(len(null) - 1 for null in nulls if len(null) > 1)
    if not freedom:
        return None
    return Spread(math.sqrt(sum(float(((null - null.mean())**2).sum()) for null in nulls) / freedom), freedom)


def further(null: Float64, wrong: Side | None = None, of_pairs: bool = False, least: float = 0.0,
            known: Spread | None = None) -> tuple[float, float]:
    """Student's prediction interval, at `LEVEL`, for the value of one more retrained network.

    If a pair's value is a + b_i + b_j + noise, a seed's mean over the R - 1 others differs from the next seed's by
    only (R - 2) / (R - 1) of their b, each being among the other's partners. A further model is among no one's, so that
    the spread is divided by this; for the noise, that errs to the safe side.

    Args:
        null: (seeds,) values of the retrained networks, at least two, at least three `of_pairs`.
        wrong: the side on which a value tells that something is left; the other end becomes infinite.
        of_pairs: whether each value is a mean over the other seeds.
        least: a standard deviation of seeds that is known from elsewhere, for a null that has too little by chance.
        known: the standard deviation of seeds, if it is better known from other requests than from these few.
    """
    n = len(null)
    own = Spread(max(float(null.std(ddof=1)), least), n - 1) if known is None else known
    spread = own.value * ((n - 1) / (n - 2) if of_pairs else 1) * math.sqrt(1 + 1 / n)
    half = float(stdtrit(own.freedom, LEVEL if wrong else (1 + LEVEL) / 2)) * spread
    centre = float(null.mean())
    return -math.inf if wrong == "high" else centre - half, math.inf if wrong == "low" else centre + half


@dataclass(frozen=True, eq=False)
class Distinguishability:
    """The outputs' mean distance to retrained models, and whether that gives the model away.

    Attributes:
        placement: the distance among the retrained seeds' distances to each other.
        per_image: (N,) the audited model's mean distance on each image.
        verdict: one sentence that follows from the numbers.
    """

    placement: Placement
    per_image: Float64
    verdict: str


def distinguish(audited: npt.NDArray[np.floating], retrained: npt.NDArray[np.floating]) -> Distinguishability:
    """Test whether outputs on the forget set are as far from retrained models as those are from each other.

    The statistic is the mean over images and seeds of the Euclidean distance; the null value of a seed its mean
    distance to the R - 1 others. A mean of pairs has the same expectation whatever their number, so that a further
    retrained model has the null's expectation. Both sides count: a model *nearer* than the seeds are to each other
    (an average of them, or a flat answer) is no retrained model either.

    Args:
        audited: (N, D) probabilities, or any outputs, of the model on the images to be forgotten.
        retrained: (R, N, D) the same of R >= 3 retrained seeds.

    Raises:
        ValueError: if shapes disagree, there are no images, fewer than 3 seeds, or a value is not finite.
    """
    model, seeds = np.asarray(audited, dtype=np.float64), np.asarray(retrained, dtype=np.float64)
    if model.ndim != 2 or seeds.ndim != 3 or seeds.shape[1:] != model.shape:
        raise ValueError("audited, retrained: shapes (images, outputs) and (seeds, images, outputs) expected, "
                         f"got {model.shape} and {seeds.shape}")
    if not model.size:
        raise ValueError("audited: at least one image expected, got none")
    check_seeds(len(seeds))
    if not (np.isfinite(model).all() and np.isfinite(seeds).all()):
        raise ValueError("audited, retrained: finite outputs expected, got NaN or infinity")
    pairs = np.array([np.linalg.norm(seeds - seed, axis=2).mean(1) for seed in seeds])
    null = pairs.sum(1) / (len(seeds) - 1)
    per_image = np.linalg.norm(seeds - model, axis=2).mean(0)
    placement = Placement(float(per_image.mean()), null, further(null, of_pairs=True))
    return Distinguishability(placement, per_image, _say_distance(placement))


def _say_distance(placement: Placement) -> str:
    null, value = placement.null, placement.value
    among = f"retrained models {null.min():.2f} to {null.max():.2f} from each other"
    if placement.place == "within":
        return f"Like one more retrained model: its outputs are {value:.2f} from the retrained ones, {among}."
    side = "farther" if value > null.max() else "nearer"
    if placement.place == "edge":
        return (f"Not settled: its outputs are {value:.2f} from the retrained ones, {among}; {side} than each of the "
                f"{len(null)} seeds, but by no more than one more seed might be.")
    if side == "farther":
        return f"Unlike one more retrained model: its outputs are {value:.2f} from the retrained ones, {among}."
    return (f"Unlike one more retrained model: its outputs are only {value:.2f} from the retrained ones, {among}; "
            "a retrained model would have peculiarities of its own.")




def check_seeds(seeds: int) -> None:
    """Refuse a null of too few seeds.

    Raises:
        ValueError: for fewer than `LEAST_SEEDS`.
    """
    if seeds < LEAST_SEEDS:
        raise ValueError(f"retrained: at least {LEAST_SEEDS} seeds for a null expected, got {seeds}")
