"""The worst-case privacy score: how well any threshold tells an unlearned model's outputs from a retrained one's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from unlearn_core.audit.distinguish import Placement, check_seeds, further
from unlearn_core.audit.membership import entropy, margins

Float64 = npt.NDArray[np.float64]
DELTA = 1e-5


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
    check_seeds(seeds)
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
