"""Could the unlearned model be told from one retrained without the data? The null is retrained seeds among themselves.

Two tests that see different things. `distinguish` compares outputs image by image, and notices a model that answers
unlike any retrained one. `privacy_score` compares the distribution of one number over the forget set, as the
Unlearning Comparator does, and notices outputs that are too sure or too flat. In both a further retrained seed is,
but for its luck, one of the null.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.special import stdtrit  # type: ignore[import-untyped]

from unlearn_core.audit.membership import entropy, margins

Float64 = npt.NDArray[np.float64]
Place = Literal["within", "edge", "apart"]
Side = Literal["high", "low"]

LEAST_SEEDS = 3
LEVEL = 0.99
"""Of each check's prediction interval. Eight checks are made of every outcome: at this level a retrained network fails
one of them by luck at most 8 times in 100, at 95 % up to a third of the time."""
DELTA = 1e-5


@dataclass(frozen=True, eq=False)
class Placement:
    """Where a model's value lies among those of retrained seeds.

    Attributes:
        value: of the audited model.
        null: (seeds,) the same quantity of each retrained seed against the others.
        expected: (low, high) in which a further seed would lie with the probability `LEVEL`, see `further`; an infinite
            end is one on which nothing is wrong.
    """

    value: float
    null: Float64
    expected: tuple[float, float]

    @property
    def place(self) -> Place:
        """``within`` the range of the seeds; on the ``edge``, outside it yet where a further seed may lie; ``apart``.

        Of R + 1 exchangeable models, the one at hand lies outside the range of the others 2 times in R + 1 by luck
        alone: to be outside is not enough to be told apart.
        """
        low, high = self.expected
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
    _check_seeds(len(seeds))
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


# --- worst-case privacy score -----------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class AttackCurve:
    """"The audited model if the statistic is at least the threshold" (or below it), at every threshold.

    Attributes:
        thresholds: (points,) the distinct values, rising, and one above them all, infinite.
        fpr: (points,) share of the retrained model's outputs that are taken for the audited one's.
        fnr: (points,) share of the audited model's outputs that are taken for the retrained one's.
        score: (points,) attack score in [0, 1], see `attack_score`.
    """

    thresholds: Float64
    fpr: Float64
    fnr: Float64
    score: Float64


def attack_score(fpr: Float64, fnr: Float64, delta: float = DELTA) -> Float64:
    """How strong an attack with these error rates is: 1 - 2**-epsilon, in [0, 1].

    epsilon = min(log((1 - delta - fpr) / fnr), log((1 - delta - fnr) / fpr)) in nats, at least 0, as in the public
    code of the Unlearning Comparator (arXiv 2508.12730). Taking the smaller logarithm asks that the attack be strong in
    both errors, and does not reward the single outlier that every finite sample has. An attack without any error
    scores 1, one that misses everything 0.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        epsilon = np.minimum(np.log((1 - delta - fpr) / fnr), np.log((1 - delta - fnr) / fpr))
    epsilon = np.where((fpr >= 1 - delta) | (fnr >= 1 - delta), 0, np.maximum(epsilon, 0))
    result: Float64 = 1 - 2.0**-epsilon
    return result


def attack_curve(audited: Float64, reference: Float64, above: bool = True) -> AttackCurve:
    """One attacker who tells outputs of the audited model from those of a retrained one by a threshold.

    Args:
        audited: (N,) statistic of the audited model's outputs on the forget set.
        reference: (M,) of a retrained model's.
        above: whether values at or above the threshold are taken for the audited model's, or those below it.

    Raises:
        ValueError: if either is empty or not finite.
    """
    for name, values in (("audited", audited), ("reference", reference)):
        if not len(values):
            raise ValueError(f"{name}: at least one value of the statistic expected, got none")
        if not np.isfinite(values).all():
            raise ValueError(f"{name}: finite values of the statistic expected, got NaN or infinity")
    thresholds = np.append(np.unique(np.concatenate([audited, reference])), np.inf)
    below = [np.searchsorted(np.sort(values), thresholds) / len(values) for values in (audited, reference)]
    fnr, fpr = (below[0], 1 - below[1]) if above else (1 - below[0], below[1])
    return AttackCurve(thresholds, fpr, fnr, attack_score(fpr, fnr))


def comparator_statistics(logits: npt.NDArray[np.floating]) -> dict[str, Float64]:
    """The two statistics of the Unlearning Comparator, per image (...,); neither needs a label.

    ``entropy``: in nats, of the softmax at temperature 2. ``confidence``: log p / (1 - p) of the most likely class.

    Args:
        logits: (..., classes), raw.
    """
    table = np.asarray(logits, dtype=np.float64).reshape(-1, np.shape(logits)[-1])
    halved = np.exp((table - table.max(1, keepdims=True)) / 2)
    found = {"entropy": entropy(halved / halved.sum(1, keepdims=True)), "confidence": margins(table).max(1)}
    return {name: values.reshape(np.shape(logits)[:-1]) for name, values in found.items()}


@dataclass(frozen=True, eq=False)
class Attack:
    """The strongest threshold attack found.

    Attributes:
        statistic: what it reads.
        above: whether values at or above the threshold are taken for the audited model's.
        threshold: where it draws the line.
        fpr: share of retrained outputs taken for the audited model's.
        fnr: share of audited outputs taken for the retrained model's.
        score: attack score in [0, 1].
    """

    statistic: str
    above: bool
    threshold: float
    fpr: float
    fnr: float
    score: float

    @property
    def advantage(self) -> float:
        """True-positive less false-positive rate at this threshold; 0 for guessing."""
        return 1 - self.fnr - self.fpr


@dataclass(frozen=True, eq=False)
class PrivacyScore:
    """Worst-case privacy: 1 less the score of the strongest attack.

    Attributes:
        placement: the mean score against the retrained seeds, and, as the null, each seed's mean score against the
            others: the noise ceiling, which is below 1 because the strongest attack is picked on the same images.
        per_seed: (R,) the audited model's score against each retrained seed.
        strongest: (R,) the attack behind each of them.
        verdict: one sentence that follows from the numbers.
    """

    placement: Placement
    per_seed: Float64
    strongest: tuple[Attack, ...]
    verdict: str


def strongest_attack(audited: Mapping[str, Float64], reference: Mapping[str, Float64]) -> Attack:
    """The best of all thresholds of all statistics in both directions.

    Args:
        audited: (N,) by name of the statistic.
        reference: (M,) of one retrained model, under the same names.

    Raises:
        ValueError: if there is no statistic, the names differ, or as `attack_curve`.
    """
    if not audited or set(audited) != set(reference):
        raise ValueError("audited, reference: the same statistics, at least one, expected, "
                         f"got {sorted(audited)} and {sorted(reference)}")
    best: Attack | None = None
    for name in audited:
        for above in (True, False):
            curve = attack_curve(audited[name], reference[name], above)
            i = int(curve.score.argmax())
            if best is None or curve.score[i] > best.score:
                best = Attack(name, above, float(curve.thresholds[i]), float(curve.fpr[i]), float(curve.fnr[i]),
                              float(curve.score[i]))
    assert best is not None
    return best


def privacy_score(audited: Mapping[str, Float64], retrained: Mapping[str, Float64]) -> PrivacyScore:
    """The worst-case privacy score (Unlearning Comparator, arXiv 2508.12730), with its noise ceiling.

    Differs from that project's code where it could only err: every distinct value is tried as a threshold instead of
    51 fixed ones on rounded values, and there are R retrained models instead of one.

    Args:
        audited: (N,) of the audited model on the forget set, by name of the statistic (`comparator_statistics`, to
            which others may be added).
        retrained: (R, N) of R >= 3 retrained seeds, under the same names.

    Raises:
        ValueError: if there are fewer than 3 seeds, the statistics differ, or a value is not finite.
    """
    counts = {len(values) for values in retrained.values()}
    if len(counts) > 1:
        raise ValueError(f"retrained: equally many seeds for each statistic expected, got {sorted(counts)}")
    seeds = counts.pop() if counts else 0
    _check_seeds(seeds)
    each = [{name: values[seed] for name, values in retrained.items()} for seed in range(seeds)]
    strongest = tuple(strongest_attack(audited, seed) for seed in each)
    per_seed = 1 - np.array([attack.score for attack in strongest])
    among = np.zeros((seeds, seeds))
    for i in range(seeds):
        for j in range(i):
            # both directions are tried and the score treats both errors alike, so that a pair has one score
            among[i, j] = among[j, i] = 1 - strongest_attack(each[i], each[j]).score
    null = among.sum(1) / (seeds - 1)
    placement = Placement(float(per_seed.mean()), null, further(null, "low", of_pairs=True))
    return PrivacyScore(placement, per_seed, strongest, _say_score(placement, strongest))


def _say_score(placement: Placement, strongest: tuple[Attack, ...]) -> str:
    null, value = placement.null, placement.value
    scores = f"worst-case privacy {value:.2f}, retrained models among themselves {null.min():.2f} to {null.max():.2f}"
    if placement.place == "within":
        return f"No threshold tells it from a retrained model better than retrained models from each other: {scores}."
    if placement.place == "edge":
        return f"Not settled: {scores}; lower than each of the {len(null)} seeds, but one more seed might be as low."
    names = [attack.statistic for attack in strongest]
    most = max(sorted(set(names)), key=names.count)
    return f"A threshold on {most.replace('_', ' ')} tells it from a retrained model: {scores}."


def _check_seeds(seeds: int) -> None:
    if seeds < LEAST_SEEDS:
        raise ValueError(f"retrained: at least {LEAST_SEEDS} seeds for a null expected, got {seeds}")
