"""Everything the Privacy page says of one unlearned model, from outputs alone."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.special import stdtrit  # type: ignore[import-untyped]

from unlearn_core.audit.distinguish import (
    LEAST_SEEDS,
    Distinguishability,
    Placement,
    PrivacyScore,
    comparator_statistics,
    distinguish,
    privacy_score,
)
from unlearn_core.audit.membership import AttackForm, StatisticName, forget_set_attack, statistics
from unlearn_core.audit.roc import NullBand, Roc, RocIntervals, bootstrap, null_band, roc
from unlearn_core.evaluate import softmax

Float64 = npt.NDArray[np.float64]
Float32 = npt.NDArray[np.float32]
Standing = Literal["within", "just above", "just below", "above", "below"]

TITLES: dict[StatisticName, str] = {
    "margin": "logit margin", "loss": "loss", "confidence": "confidence", "entropy": "entropy",
    "modified_entropy": "modified entropy"}
"""The statistics for people, the one that is shown first first."""
DISTINCT: tuple[StatisticName, ...] = ("margin", "entropy", "modified_entropy")
"""Statistics that order images differently: loss and confidence order them as the margin does."""


def standing(placement: Placement) -> Standing:
    """Where a value lies among the retrained seeds'; ``just``: where one more seed might lie too."""
    if placement.place == "within":
        return "within"
    above = placement.value > placement.null.mean()
    if placement.place == "edge":
        return "just above" if above else "just below"
    return "above" if above else "below"


@dataclass(frozen=True)
class Calls:
    """What a threshold gets wrong.

    Attributes:
        fpr: share of never-seen images called members.
        fnr: share of members not called members.
    """

    fpr: float
    fnr: float

    @property
    def balanced_accuracy(self) -> float:
        """Mean share of right answers of the two groups; 0.5 for a coin."""
        return 1 - (self.fpr + self.fnr) / 2


@dataclass(frozen=True, eq=False)
class Attacked:
    """One attack statistic on the forgotten classes.

    Attributes:
        members: (P,) of the unlearned model on the forget set's training images.
        others: (n,) of the unlearned model on unseen images of the same classes.
        unlearned: its ROC.
        interval: bootstrap intervals of that.
        original: ROC of the original.
        original_interval: bootstrap intervals of that.
        null: the same attack on the retrained seeds; None if there are too few.
        placement: the unlearned model's AUC among the seeds'; None without them.
        original_placement: the original's AUC among the seeds'; None without them.
    """

    members: Float64
    others: Float64
    unlearned: Roc
    interval: RocIntervals
    original: Roc
    original_interval: RocIntervals
    null: NullBand | None
    placement: Placement | None
    original_placement: Placement | None

    def at(self, threshold: float) -> Calls:
        """The errors of "a member if at least the threshold"."""
        return Calls(float((self.others >= threshold).mean()), float((self.members < threshold).mean()))


@dataclass(frozen=True, eq=False)
class Told:
    """Whether the unlearned model and the original can be told from retrained seeds, on the forget set.

    Attributes:
        distance: of the unlearned model's outputs.
        original_distance: of the original's.
        score: worst-case privacy of the unlearned model.
        original_score: of the original.
    """

    distance: Distinguishability
    original_distance: Distinguishability
    score: PrivacyScore
    original_score: PrivacyScore

    @property
    def apart(self) -> bool | None:
        """Whether the unlearned model can be told from retrained ones by either test; None if not settled."""
        places = {self.distance.placement.place, self.score.placement.place}
        return True if "apart" in places else None if "edge" in places else False


@dataclass(frozen=True, eq=False)
class Report:
    """All numbers of the page.

    Attributes:
        attacks: by statistic.
        strongest: the statistic whose best threshold has the highest balanced accuracy on the unlearned model.
        told: None if there are fewer than three retrained seeds.
        called_member: share of the forget set that the entropy attack of the SSD paper calls members, by its form.
        seeds: number of retrained seeds used.
    """

    attacks: dict[StatisticName, Attacked]
    strongest: StatisticName
    told: Told | None
    called_member: dict[AttackForm, float]
    seeds: int

    @property
    def informative(self) -> bool | None:
        """Whether some membership attack sees the images in the untouched original; None without retrained seeds.

        An attack that the original passes cannot fail an unlearned model for what it remembers.
        """
        found = [self.attacks[name].original_placement for name in DISTINCT]
        return None if self.told is None else any(p is not None and standing(p) == "above" for p in found)

    @property
    def headline(self) -> str:
        """One sentence that follows from the numbers."""
        attack = self.attacks[self.strongest]
        low, high = attack.interval.auc
        said = (f"the strongest membership attack (a threshold on {TITLES[self.strongest]}) has AUC "
                f"{attack.unlearned.auc:.2f} (95 % interval {low:.2f} to {high:.2f})")
        if self.told is None or attack.null is None:
            return ("No retrained reference is at hand for this choice, so whether it can be told from retraining is "
                    f"not known; {said}, where guessing has 0.50.")
        return (f"{self._told_in_words(self.told)}; {said}, on retrained networks {attack.null.auc.min():.2f} to "
                f"{attack.null.auc.max():.2f}.")

    @staticmethod
    def _told_in_words(told: Told) -> str:
        distance, score = told.distance.placement, told.score.placement
        lead = {True: "Told from retraining", None: "Not settled whether it can be told from retraining",
                False: "Not told from retraining"}[told.apart]
        by_score = score.place != "within" and (distance.place == "within" or score.place == "apart" != distance.place)
        if by_score:
            return (f"{lead}: its worst-case privacy score is {score.value:.2f}, that of retrained networks among "
                    f"themselves {score.null.min():.2f} to {score.null.max():.2f}")
        return (f"{lead}: its outputs lie {distance.value:.2f} from those of retrained networks, which lie "
                f"{distance.null.min():.2f} to {distance.null.max():.2f} from each other")


def report(unlearned: Float32, original: Float32, retrained: Float32 | None, labels: npt.NDArray[np.int64],
           member: npt.NDArray[np.bool_], forget: tuple[int, ...]) -> Report:
    """Judge an unlearned model by its outputs on an evaluation set.

    The draws of the bootstrap are fixed, so equal outputs have equal reports.

    Args:
        unlearned: (N, classes) logits of the audited model.
        original: (N, classes) logits before unlearning.
        retrained: (seeds, N, classes) logits of retrained networks; None, or fewer than 3: without that comparison.
        labels: (N,) true classes.
        member: (N,) whether the image was in the original's training set.
        forget: the classes that were to be forgotten.

    Raises:
        ValueError: if an output is not finite, or there is no member or no unseen image of the classes.
    """
    forgotten = np.isin(labels, forget)
    seen, unseen = member & forgotten, ~member & forgotten
    seeds = retrained if retrained is not None and len(retrained) >= LEAST_SEEDS else None
    audited, before = statistics(unlearned, labels), statistics(original, labels)
    others = [statistics(seed, labels) for seed in seeds] if seeds is not None else []
    attacks: dict[StatisticName, Attacked] = {}
    for name in TITLES:
        null = null_band([s[name][seen] for s in others], [s[name][unseen] for s in others]) if others else None
        curve, curve_before = [roc(s[name][seen], s[name][unseen]) for s in (audited, before)]
        around, around_before = [bootstrap(s[name][seen], s[name][unseen], np.random.default_rng(0))
                                 for s in (audited, before)]
        attacks[name] = Attacked(
            audited[name][seen], audited[name][unseen], curve, around, curve_before, around_before, null,
            _among(curve.auc, null.auc) if null is not None else None,
            _among(curve_before.auc, null.auc) if null is not None else None)
    told = None
    if seeds is not None:
        outputs, numbers = softmax(seeds[:, seen]), comparator_statistics(seeds[:, seen])
        told = Told(distinguish(softmax(unlearned[seen]), outputs), distinguish(softmax(original[seen]), outputs),
                    privacy_score(comparator_statistics(unlearned[seen]), numbers),
                    privacy_score(comparator_statistics(original[seen]), numbers))
    probabilities = softmax(unlearned)
    forms: tuple[AttackForm, ...] = ("official", "corrected")
    called = {form: forget_set_attack(probabilities, member, forgotten, form).score for form in forms}
    strongest = max(DISTINCT, key=lambda name: attacks[name].unlearned.balanced_accuracy)
    return Report(attacks, strongest, told, called, len(others))


def _among(value: float, null: Float64) -> Placement:
    """Student's prediction interval for a further seed's value."""
    half = float(stdtrit(len(null) - 1, 0.975)) * float(null.std(ddof=1)) * math.sqrt(1 + 1 / len(null))
    centre = float(null.mean())
    return Placement(value, null, (centre - half, centre + half))
