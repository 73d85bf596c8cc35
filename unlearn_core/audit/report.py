"""Everything the page *Attacker* says of one unlearned model, from outputs alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from unlearn_core.audit.distinguish import LEAST_SEEDS, Distinguishability, Placement, distinguish, further
from unlearn_core.audit.klom import KLoM, copies, klom
from unlearn_core.audit.lira import Shadows
from unlearn_core.audit.membership import AttackForm, StatisticName, forget_set_attack, statistics, true_margins
from unlearn_core.audit.privacy_score import PrivacyScore, comparator_statistics, privacy_score
from unlearn_core.audit.relative import Relative, relative
from unlearn_core.audit.roc import NullBand, Roc, RocIntervals, bootstrap, null_band, roc, said
from unlearn_core.audit.unseen import compared
from unlearn_core.nets.evaluate import softmax

Float64 = npt.NDArray[np.float64]
Float32 = npt.NDArray[np.float32]
Standing = Literal["within", "just above", "just below", "above", "below"]
ShadowAttack = Literal["lira", "u_lira"]
AttackName = StatisticName | ShadowAttack

TITLES: dict[AttackName, str] = {
    "margin": "logit margin", "loss": "loss", "confidence": "confidence", "entropy": "entropy",
    "modified_entropy": "modified entropy", "lira": "LiRA, per image", "u_lira": "U-LiRA, per image"}
"""The attack statistics for people, the one that is shown first first."""
DISTINCT: tuple[AttackName, ...] = ("margin", "entropy", "modified_entropy", "lira", "u_lira")
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
class Groups:
    """One attack statistic of one model on images of the forgotten classes.

    Attributes:
        members: (P,) of the forget set's training images.
        others: (n,) of unseen images.
    """

    members: Float64
    others: Float64


@dataclass(frozen=True, eq=False)
class Attacked:
    """One attack statistic on the forgotten classes.

    Attributes:
        after: the statistic of the unlearned model.
        before: the statistic of the original.
        retrained: the statistic of each retrained seed; empty if there are too few.
        unlearned: its ROC.
        interval: intervals over images of that.
        original: ROC of the original.
        original_interval: intervals over images of that.
        null: the same attack on the retrained seeds; None if there are too few.
        placement: the unlearned model's AUC among the seeds'; None without them.
        original_placement: the original's AUC among the seeds'; None without them.
        calibration: the same attack on each shadow model, judged by the others: what it reaches on models trained
            just like them. None for an attack without shadow models.
    """

    after: Groups
    before: Groups
    retrained: tuple[Groups, ...]
    unlearned: Roc
    interval: RocIntervals
    original: Roc
    original_interval: RocIntervals
    null: NullBand | None
    placement: Placement | None
    original_placement: Placement | None
    calibration: NullBand | None

    def at(self, threshold: float) -> Calls:
        """The errors of "a member if at least the threshold"."""
        return Calls(float((self.after.others >= threshold).mean()), float((self.after.members < threshold).mean()))


@dataclass(frozen=True, eq=False)
class Told:
    """Whether the unlearned model and the original can be told from retrained seeds, on the forget set.

    Attributes:
        distance: of the unlearned model's outputs.
        original_distance: of the original's.
        score: worst-case privacy of the unlearned model.
        original_score: of the original.
        relative: whether the unlearned model is nearer to them or to the original.
        klom: how differently it answers, by image of the forget set's training images; None where two retrained
            networks answer alike.
    """

    distance: Distinguishability
    original_distance: Distinguishability
    score: PrivacyScore
    original_score: PrivacyScore
    relative: Relative
    klom: KLoM | None


@dataclass(frozen=True, eq=False)
class Report:
    """All numbers of the page.

    Attributes:
        attacks: by statistic; LiRA and U-LiRA only where their shadow models are at hand.
        strongest: the statistic with the highest AUC on the unlearned model.
        told: None if there are fewer than three retrained seeds.
        called_member: share of the forget set that the entropy attack of the SSD paper calls members, by its form.
        seeds: number of retrained seeds used.
    """

    attacks: dict[AttackName, Attacked]
    strongest: AttackName
    told: Told | None
    called_member: dict[AttackForm, float]
    seeds: int

    @property
    def distinct(self) -> tuple[AttackName, ...]:
        """The statistics at hand that order images differently."""
        return tuple(name for name in DISTINCT if name in self.attacks)

    @property
    def informative(self) -> bool | None:
        """Whether some membership attack sees the images in the untouched original; None without retrained seeds.

        An attack that the original passes cannot fail an unlearned model for what it remembers.
        """
        found = [self.attacks[name].original_placement for name in self.distinct]
        return None if self.told is None else any(p is not None and standing(p) == "above" for p in found)

    @property
    def headline(self) -> str:
        """What this view shows, in one sentence that follows from the numbers; the conclusion is the verdict's."""
        attack = self.attacks[self.strongest]
        by = TITLES[self.strongest] if attack.calibration else f"a threshold on {TITLES[self.strongest]}"
        words = (f"The membership attack with the highest AUC ({by}) has {attack.unlearned.auc:.2f} "
                 f"(95 % interval: {said(attack.interval.auc)})")
        if self.told is None or attack.null is None:
            return f"{words}, where guessing has 0.50."
        distance, score = self.told.distance.placement, self.told.score.placement
        return (f"{words}, on retrained networks {attack.null.auc.min():.2f} to {attack.null.auc.max():.2f}; its "
                f"outputs lie {distance.value:.2f} from retrained networks', which lie {distance.null.min():.2f} to "
                f"{distance.null.max():.2f} from each other; worst-case privacy score {score.value:.2f}, retrained "
                f"{score.null.min():.2f} to {score.null.max():.2f}.")


def report(unlearned: Float32, original: Float32, retrained: Float32 | None, labels: npt.NDArray[np.int64],
           member: npt.NDArray[np.bool_], forgotten: npt.NDArray[np.bool_],
           shadows: Mapping[ShadowAttack, Shadows] | None = None) -> Report:
    """Judge an unlearned model by its outputs on an evaluation set.

    The draws of the bootstrap are fixed, so equal outputs have equal reports.

    Args:
        unlearned: (N, classes) logits of the audited model.
        original: (N, classes) logits before unlearning.
        retrained: (seeds, N, classes) logits of retrained networks; None, or fewer than 3: without that comparison.
        labels: (N,) true classes.
        member: (N,) whether the image was in the original's training set.
        forgotten: (N,) whether the image is of what was to be forgotten.
        shadows: of all N images: for LiRA as trained, for U-LiRA after each was made to forget the same. Their
            statistic is the arsinh of the log-likelihood ratio: the same order of images on an axis that far
            outliers do not flatten.

    Raises:
        ValueError: if an output is not finite, or there is no forgotten image, or no unseen one to compare with.
    """
    attacked = member & forgotten | compared(labels, member, forgotten)
    seen = member[attacked]
    seeds = retrained if retrained is not None and len(retrained) >= LEAST_SEEDS else None
    models = {name: first.of(attacked[:first.margins.shape[1]]) for name, first in (shadows or {}).items()}

    def read(logits: Float32) -> dict[AttackName, Groups]:
        found: dict[AttackName, Float64] = dict(statistics(logits[attacked], labels[attacked]).items())
        found |= {name: np.arcsinh(each.score(found["margin"][:each.margins.shape[1]]))
                  for name, each in models.items()}
        inside = {name: seen[:len(values)] for name, values in found.items()}
        return {name: Groups(values[inside[name]], values[~inside[name]]) for name, values in found.items()}

    audited, before = read(unlearned), read(original)
    others = [read(seed) for seed in seeds] if seeds is not None else []
    attacks: dict[AttackName, Attacked] = {}
    for name in audited:
        each = tuple(seed[name] for seed in others)
        null = null_band([s.members for s in each], [s.others for s in each]) if each else None
        curve, curve_before = [roc(s[name].members, s[name].others) for s in (audited, before)]
        around, around_before = [bootstrap(s[name].members, s[name].others, np.random.default_rng(0))
                                 for s in (audited, before)]
        attacks[name] = Attacked(
            audited[name], before[name], each, curve, around, curve_before, around_before, null,
            Placement(curve.auc, null.auc, further(null.auc)) if null is not None else None,
            Placement(curve_before.auc, null.auc, further(null.auc)) if null is not None else None,
            calibrate(models[name]) if name in models else None)
    told = None
    if seeds is not None:
        forget_set = member & forgotten
        among = true_margins(seeds[:, forget_set], labels[forget_set])
        outputs, numbers = softmax(seeds[:, forget_set]), comparator_statistics(seeds[:, forget_set])
        told = Told(distinguish(softmax(unlearned[forget_set]), outputs),
                    distinguish(softmax(original[forget_set]), outputs),
                    privacy_score(comparator_statistics(unlearned[forget_set]), numbers),
                    privacy_score(comparator_statistics(original[forget_set]), numbers),
                    relative(softmax(unlearned[forget_set]), softmax(original[forget_set]), outputs),
                    None if copies(among) else klom(true_margins(unlearned[None, forget_set], labels[forget_set]),
                                                    among))
    probabilities = softmax(unlearned)
    forms: tuple[AttackForm, ...] = ("official", "corrected")
    called = {form: forget_set_attack(probabilities, member, forgotten, form).score for form in forms}
    strongest = max((name for name in DISTINCT if name in attacks),
                    key=lambda name: attacks[name].unlearned.auc)
    return Report(attacks, strongest, told, called, len(others))


def calibrate(shadows: Shadows) -> NullBand:
    """What the attack reaches on each shadow model when the others judge it: its power, with spread.

    Raises:
        ValueError: if a model saw all of the images or none.
    """
    scores = shadows.leave_one_out()
    pairs = list(zip(scores, shadows.inside, strict=True))
    return null_band([score[inside] for score, inside in pairs], [score[~inside] for score, inside in pairs])
