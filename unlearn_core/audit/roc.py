"""How well one number per image separates members from never-seen images, and how sure of that we can be."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq
from scipy.stats import norm

from unlearn_core.audit.accuracy import wilson

Float64 = npt.NDArray[np.float64]

LOW_RATES = (0.01, 0.001)
"""The false-positive rates at which an attack is judged (Carlini et al., arXiv 2112.03570)."""
GRID: Float64 = np.concatenate([[0.0], np.geomspace(1e-3, 1, 61)])
"""The false-positive rates of confidence and null bands, for log and linear axes."""

FEW, TOO_FEW = 20, 5
"""Images of a group below which resampling them says too little (ten members: 75 to 91 % where 95 % are asked), and
below which no interval is given."""

_CELLS = 2_000_000  # resamples times distinct values held at once


@dataclass(frozen=True)
class TprAt:
    """The share of members found at a false-positive rate.

    Attributes:
        rate: the false-positive rate that the attacker may not exceed.
        value: the largest true-positive rate at that many false alarms or fewer, without interpolation; NaN if the
            never-seen images are too few to resolve the rate.
        finest: the smallest rate above 0 that they resolve, 1 / their number. Below it, only "no false alarm among
            n" could be counted, which does not show that the rate is so small (no alarm among 100 agrees with 3 %).
    """

    rate: float
    value: float
    finest: float

    @property
    def resolved(self) -> bool:
        """Whether there are never-seen images enough for this rate."""
        return not math.isnan(self.value)

    @property
    def reason(self) -> str:
        """Why the value is NaN; empty if it is not."""
        if self.resolved:
            return ""
        return (f"{round(1 / self.finest):,} never-seen images resolve false-positive rates down to "
                f"{100 * self.finest:.3g} %, not {100 * self.rate:.3g} %.")


@dataclass(frozen=True, eq=False)
class Roc:
    """The receiver operating characteristic of "a member if the statistic is at least the threshold".

    Attributes:
        fpr: (points,) share of never-seen images called members, rising from 0 to 1.
        tpr: (points,) share of members called members.
        thresholds: (points,) one per distinct value, falling, the first infinite.
        auc: area under the curve; 0.5 for guessing, below it if members look *less* like members.
        balanced_accuracy: the mean of tpr and 1 - fpr at the best threshold. The threshold is chosen on the same
            images, so that even a blind attack scores a little above 0.5: read it against the null band.
        best_threshold: where that is reached.
        low: the true-positive rate at each low false-positive rate asked for.
        members: number of members.
        others: number of never-seen images.
    """

    fpr: Float64
    tpr: Float64
    thresholds: Float64
    auc: float
    balanced_accuracy: float
    best_threshold: float
    low: tuple[TprAt, ...]
    members: int
    others: int

    def at(self, rates: npt.ArrayLike) -> Float64:
        """The largest tpr at no more than each false-positive rate (the curve as steps)."""
        wanted = _alarms(rates, self.others)
        result: Float64 = self.tpr[np.searchsorted(np.rint(self.fpr * self.others), wanted, side="right") - 1]
        return result


def roc(members: Float64, others: Float64, rates: Sequence[float] = LOW_RATES) -> Roc:
    """The ROC of an attack statistic.

    Args:
        members: (P,) statistic of images that were trained on, higher is more like a member.
        others: (n,) statistic of never-seen images of the same classes.
        rates: low false-positive rates to report.

    Raises:
        ValueError: if either is empty or not finite, or a rate is not in [0, 1].
    """
    _check(members, others)
    _check_rates(rates)
    thresholds = np.concatenate([[np.inf], np.unique(np.concatenate([members, others]))[::-1]])
    tpr, fpr = [1 - np.searchsorted(np.sort(values), thresholds) / len(values) for values in (members, others)]
    auc = float(np.trapezoid(tpr, fpr))
    balanced = (tpr + 1 - fpr) / 2
    best = int(balanced.argmax())
    curve = Roc(fpr, tpr, thresholds, auc, float(balanced[best]),
                float(thresholds[best]), (), len(members), len(others))
    finest = 1 / len(others)
    found = curve.at(rates)
    low = tuple(TprAt(rate, float(value) if _resolved(rate, len(others)) else math.nan, finest)
                for rate, value in zip(rates, found, strict=True))
    return Roc(curve.fpr, curve.tpr, curve.thresholds, curve.auc, curve.balanced_accuracy, curve.best_threshold, low,
               curve.members, curve.others)


@dataclass(frozen=True, eq=False)
class RocIntervals:
    """Intervals over images, each (low, high): bootstrap percentiles, of few images score intervals.

    They say how the numbers would vary with other images of the same kind, not with another training seed: that is
    the null band. Where all resamples say the same, as at a perfect separation, the score interval stands in.

    Attributes:
        auc: of the area under the curve; NaN, as all others, below `TOO_FEW` images of a group.
        low: of the true-positive rate at each low false-positive rate; NaN where that is not resolved. With few
            never-seen images it hangs on one or two of them, and covers less often than its level says.
        grid: (points,) false-positive rates.
        band: (2, points) pointwise lower and upper end of the true-positive rate at no more than these rates; NaN with
            fewer than `FEW` never-seen images, on which the thresholds hang.
        level: of the intervals.
        resamples: their number; 0 where none were made.
    """

    auc: tuple[float, float]
    low: tuple[tuple[float, float], ...]
    grid: Float64
    band: Float64
    level: float
    resamples: int


def bootstrap(members: Float64, others: Float64, generator: np.random.Generator, *, resamples: int = 1000,
              level: float = 0.95, rates: Sequence[float] = LOW_RATES, grid: Float64 = GRID) -> RocIntervals:
    """Stratified bootstrap of the ROC: members and never-seen images are each drawn with replacement.

    No resample is sorted: each is a row of counts over the distinct values, and its curve their running sums. Where
    either group has fewer than `FEW` images, see `_scored`.

    Args:
        members: (P,) statistic of the members.
        others: (n,) statistic of the never-seen images.
        generator: of the draws.
        resamples: how many.
        level: of the intervals, in (0, 1).
        rates: low false-positive rates to report.
        grid: (points,) false-positive rates of the band.

    Raises:
        ValueError: as `roc`, or if the level or the number of resamples is impossible.
    """
    _check(members, others)
    _check_rates(rates)
    _check_rates(grid)
    if resamples < 1 or not 0 < level < 1:
        raise ValueError("resamples, level: at least one resample and a level in (0, 1) expected, "
                         f"got {resamples} and {level}")
    scored = _scored(roc(members, others, rates), grid, level)
    if min(len(members), len(others)) < FEW:
        return scored
    everywhere = np.concatenate([np.asarray(rates, dtype=np.float64), grid])
    wanted = _alarms(everywhere, len(others))
    areas, found = [], []
    for tp, fp in _resampled(members, others, generator, resamples):
        areas.append((np.diff(fp, axis=1) * (tp[:, 1:] + tp[:, :-1])).sum(1) / (2 * len(members) * len(others)))
        # every row of fp rises from 0 to n, so that shifted rows are one rising sequence
        shift = np.arange(len(fp))[:, None] * (len(others) + 1)
        last = np.searchsorted((fp + shift).ravel(), (wanted + shift).ravel(), side="right") - 1
        found.append(tp.ravel()[last].reshape(len(fp), -1) / len(members))
    tails = [(1 - level) / 2, (1 + level) / 2]

    def interval(values: Float64, instead: tuple[float, float]) -> tuple[float, float]:
        low, high = np.quantile(values, tails)
        return (float(low), float(high)) if low < high else instead

    rises = np.concatenate(found)
    low = tuple(interval(rises[:, i], scored.low[i]) if _resolved(rate, len(others)) else (math.nan, math.nan)
                for i, rate in enumerate(rates))
    return RocIntervals(interval(np.concatenate(areas), scored.auc), low, grid,
                        np.quantile(rises[:, len(rates):], tails, axis=0), level, resamples)


def said(interval: tuple[float, float], form: str = ".2f") -> str:
    """An interval in words; none where the images were too few for one."""
    low, high = interval
    return "none, too few images" if math.isnan(low) else f"{low:{form}} to {high:{form}}"


def _scored(curve: Roc, grid: Float64, level: float) -> RocIntervals:
    """Score intervals: Newcombe's of the area, Wilson's of shares, thresholds held fixed."""
    members, others, z = curve.members, curve.others, float(norm.ppf((1 + level) / 2))
    missing = math.nan, math.nan
    if min(members, others) < TOO_FEW:
        return RocIntervals(missing, (missing,) * len(curve.low), grid, np.full((2, len(grid)), math.nan),
                            level, 0)

    def share(value: float) -> tuple[float, float]:
        return wilson(round(value * members), members, z)

    band = np.array([share(value) if others >= FEW else missing for value in curve.at(grid)]).T
    return RocIntervals(
        _auc_interval(curve.auc, members, others, z),
        tuple(share(at.value) if at.resolved else missing for at in curve.low), grid, band, level, 0)


def _auc_interval(auc: float, members: int, others: int, z: float) -> tuple[float, float]:
    """The score interval of an area under the curve.

    Source: Newcombe, Statistics in Medicine 25 (2006), 559, method 5.
    """
    size = (members + others) / 2 - 1

    def beyond(true: float) -> float:
        """How much farther the area lies from a true one than `z` of its standard errors."""
        spread = true * (1 - true) * (1 + size * (1 - true) / (2 - true) + size * true / (1 + true)) / members / others
        return abs(true - auc) - z * math.sqrt(spread)

    inside = min(max(auc, 1e-9), 1 - 1e-9)  # at the ends themselves there is no spread
    return (float(brentq(beyond, 0, inside)) if auc > 0 else 0.0, float(brentq(beyond, inside, 1)) if auc < 1 else 1.0)


def _resampled(members: Float64, others: Float64, generator: np.random.Generator,
               resamples: int) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    """Counts (rows, distinct values + 1) of true and false alarms at each threshold, falling, in portions."""
    distinct, place = np.unique(-np.concatenate([members, others]), return_inverse=True)
    size = len(distinct)
    parts = place[:len(members)], place[len(members):]
    for start in range(0, resamples, rows := max(1, _CELLS // size)):
        n = min(rows, resamples - start)
        counts = []
        for part in parts:
            drawn = part[generator.integers(0, len(part), (n, len(part)))]
            cells = np.bincount((drawn + size * np.arange(n)[:, None]).ravel(), minlength=n * size).reshape(n, size)
            counts.append(np.concatenate([np.zeros((n, 1), np.int64), cells.cumsum(1)], axis=1))
        yield counts[0], counts[1]


@dataclass(frozen=True, eq=False)
class NullBand:
    """What the same attack reads from models that never saw the members: one value per retrained seed.

    Attributes:
        auc: (seeds,) area under the curve.
        balanced_accuracy: (seeds,) at each seed's best threshold.
        low: (rates, seeds) true-positive rate at each low false-positive rate; NaN where that is not resolved.
        grid: (points,) false-positive rates.
        curves: (seeds, points) true-positive rate at no more than these rates.
    """

    auc: Float64
    balanced_accuracy: Float64
    low: Float64
    grid: Float64
    curves: Float64

    @property
    def envelope(self) -> Float64:
        """(2, points) lowest and highest curve."""
        return np.stack([self.curves.min(0), self.curves.max(0)])


def null_band(members: Sequence[Float64], others: Sequence[Float64], rates: Sequence[float] = LOW_RATES,
              grid: Float64 = GRID) -> NullBand:
    """The attack on retrained models, to which the same images are all unseen.

    Args:
        members: per seed, (P,) statistic of the images that the *original* was trained on.
        others: per seed, (n,) statistic of the never-seen images.
        rates: low false-positive rates to report.
        grid: (points,) false-positive rates of the curves.

    Raises:
        ValueError: if there is no seed, the two lists disagree in length, or as `roc`.
    """
    if not len(members):
        raise ValueError("members: the statistics of at least one retrained seed expected, got none")
    if len(members) != len(others):
        raise ValueError(f"members, others: equally many seeds expected, got {len(members)} and {len(others)}")
    _check_rates(grid)
    found = [roc(own, rest, rates) for own, rest in zip(members, others, strict=True)]
    return NullBand(
        np.array([curve.auc for curve in found]),
        np.array([curve.balanced_accuracy for curve in found]),
        np.array([[at.value for at in curve.low] for curve in found]).reshape(len(found), len(rates)).T,
        grid,
        np.stack([curve.at(grid) for curve in found]),
    )


def _alarms(rates: npt.ArrayLike, n: int) -> npt.NDArray[np.int64]:
    """How many false alarms among n each rate allows; 0.29 of 100 is 29, whatever 0.29 * 100 is."""
    result: npt.NDArray[np.int64] = np.floor(np.asarray(rates, dtype=np.float64) * n + 1e-9).astype(np.int64)
    return result


def _resolved(rate: float, n: int) -> bool:
    return int(_alarms(rate, n)) >= 1


def _check(members: Float64, others: Float64) -> None:
    for name, values in (("members", members), ("others", others)):
        if not len(values):
            raise ValueError(f"{name}: at least one value of the statistic expected, got none")
        if not np.isfinite(values).all():
            raise ValueError(f"{name}: finite values of the statistic expected, got NaN or infinity")


def _check_rates(rates: npt.ArrayLike) -> None:
    given = np.asarray(rates, dtype=np.float64)
    if not ((given >= 0) & (given <= 1)).all():
        raise ValueError("rates: false-positive rates in [0, 1] expected, got one outside")
