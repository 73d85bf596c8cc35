"""The checks of one outcome, each tried on networks of which the truth is known before anything is judged by it.

A retrained network that the check has not seen must pass. The untouched original must fail: a check that lets it pass
cannot see forgetting for this request, and passing it proves nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import combinations
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.stats import betabinom

from unlearn_core.audit.distances import jensen_shannon
from unlearn_core.audit.distinguish import LEAST_SEEDS, LEVEL, Placement, Spread, distinguish, further
from unlearn_core.audit.membership import StatisticName, statistics, true_margins
from unlearn_core.audit.privacy_score import comparator_statistics, privacy_score
from unlearn_core.audit.roc import roc
from unlearn_core.audit.unseen import compared
from unlearn_core.nets.evaluate import softmax

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]
Worth = Literal["works", "uninformative", "strict"]
Status = Literal["passes", "fails", "cannot tell here", "not made yet"]
Sign = Literal["remembers", "too much", "other"]
Page = Literal["playground", "privacy", "embeddings"]
Models = Mapping[str, "Model"]
Labels = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

ORIGINAL, HEAD_ZEROING, UNLEARNED = "original", "head zeroing", "unlearned"
FORGET_ACCURACY, SURENESS, ATTACKS = "Forget accuracy", "Sureness of the old answer", "Threshold attacks"
ATTACK_SUCCESS = "Attack success"
FEWEST = 2
"""Retrained networks with which a check can be made: one alone does not say how much such networks differ."""
STEPS_SPREAD = 0.1
"""Relative spread of relearning steps over seeds: the median over the bundled requests where all came back in time.
Where all are stopped at one limit, their own says nothing."""
_ATTACKS: tuple[StatisticName, ...] = ("margin", "entropy", "modified_entropy")


@dataclass(frozen=True, eq=False)
class Model:
    """What the checks read of one network; a check whose number is None has not been made.

    Attributes:
        logits: (N, classes) on the audited images.
        auc: of the linear probe.
        similarity: CKA to the original, on forgotten images in the head's input.
        steps: to relearn, the cap if it was not reached in time.
    """

    logits: Float32
    auc: float | None = None
    similarity: float | None = None
    steps: int | None = None


@dataclass(frozen=True, eq=False)
class Check:
    """One check, tried on the networks at hand.

    Attributes:
        title: its name.
        about: the number it reads.
        page: where it is explained.
        inside: whether it looks behind the network's own answers.
        remembers: the side of the retrained networks' values on which something is left; None if neither says so.
        held_out: each retrained network among the others; empty where they are too few.
        judged: the other networks among all retrained ones, by name; without those for which it was not made.
    """

    title: str
    about: str
    page: Page
    inside: bool
    remembers: Literal["high", "low"] | None
    held_out: tuple[Placement, ...]
    judged: Mapping[str, Placement]

    @property
    def luck(self) -> int:
        """How many held-out networks may fail by luck: none where to pass is a rule and no prediction interval."""
        return 0 if any(seed.by_rule for seed in self.held_out) else 1

    @property
    def passing(self) -> int:
        """How many held-out retrained networks pass."""
        return sum(passes(seed) for seed in self.held_out)

    @property
    def worth(self) -> Worth:
        """What passing is worth here.

        ``uninformative``: even the original passes. ``strict``: more retrained networks fail than luck alone explains,
        so that failing proves little.
        """
        if ORIGINAL not in self.judged or passes(self.judged[ORIGINAL]):
            return "uninformative"
        return "strict" if len(self.held_out) - self.passing > self.luck else "works"

    def status(self, name: str = UNLEARNED) -> Status:
        """What the check says of a network.

        Where the original passes, to pass says nothing; to fail, which held-out retrained networks do not, does.
        """
        if name not in self.judged:
            return "not made yet"
        if self.worth == "works":
            return "passes" if passes(self.judged[name]) else "fails"
        sound = bool(self.held_out) and len(self.held_out) - self.passing <= self.luck
        return "fails" if sound and not passes(self.judged[name]) else "cannot tell here"

    def sign(self, name: str = UNLEARNED) -> Sign:
        """What a failure is a sign of: something is left, or more is gone than retraining takes, or neither."""
        if self.remembers is None:
            return "other"
        placed = self.judged[name]
        side = "high" if placed.value > placed.null.mean() else "low"
        return "remembers" if side == self.remembers else "too much"


def joined(checks: Sequence[Check], more: Sequence[Check]) -> list[Check]:
    """The same checks with the networks of both lists among the judged."""
    return [replace(check, judged={**check.judged, **other.judged}) for check, other in zip(checks, more, strict=True)]


def passes(placement: Placement) -> bool:
    """Whether a further retrained network might have this value."""
    return placement.place != "apart"


def read(check: Check, placement: Placement) -> str:
    """A network's number and the retrained networks' range, in a few words."""
    low, high = placement.null.min(), placement.null.max()
    if check.title in (FORGET_ACCURACY, ATTACK_SUCCESS):
        return f"{placement.value:.1%}, retrained {low:.1%} to {high:.1%}"
    return f"{placement.value:.3g}, retrained {low:.3g} to {high:.3g}"


def recognition(logits: Float32, labels: Labels, member: Bools, forgotten: Bools) -> float:
    """Share of the training images to be forgotten that are recognised."""
    seen = member & forgotten
    return float((logits[seen].argmax(1) == labels[seen]).mean())


def sureness(logits: Float32, labels: Labels, member: Bools, forgotten: Bools) -> float:
    """Mean logit margin of the true class on the training images to be forgotten."""
    seen = member & forgotten
    return float(true_margins(logits[seen], labels[seen]).mean())


def exposure(logits: Float32, labels: Labels, member: Bools, forgotten: Bools) -> float:
    """Highest AUC of the threshold attacks, on the training images to be forgotten against unseen ones like them."""
    attacked = member & forgotten | compared(labels, member, forgotten)
    found, known = statistics(logits[attacked], labels[attacked]), member[attacked]
    return max(roc(found[name][known], found[name][~known]).auc for name in _ATTACKS)


def attack_success(logits: Float32, labels: Labels, member: Bools, forgotten: Bools) -> float:
    """Share of the unseen images with the mark of a poison that are given the class that it stands for, their label."""
    marked = ~member & forgotten
    return float((logits[marked].argmax(1) == labels[marked]).mean())


ANSWERS: dict[str, Callable[[Float32, Labels, Bools, Bools], float]] = {
    FORGET_ACCURACY: recognition, SURENESS: sureness, ATTACKS: exposure}
"""What single checks read off a network's answers, by the check's title; arguments as for `gather`."""


def gather(networks: Models, retrained: Sequence[Model], labels: npt.NDArray[np.int64],
           member: npt.NDArray[np.bool_], forgotten: npt.NDArray[np.bool_],
           only: Sequence[str] | None = None, hold_out: bool = True,
           spreads: Mapping[str, Spread] | None = None, planted: bool = False) -> list[Check]:
    """Every check on every network: retrained ones, each held out in turn, and the named others among all of them.

    Args:
        networks: by name, usually `ORIGINAL`, `HEAD_ZEROING` and the outcome at hand, `UNLEARNED`.
        retrained: without two of them no check can be made, without three none that compares pairs.
        labels: (N,) true classes of the audited images.
        member: (N,) whether the image was in the original's training set.
        forgotten: (N,) whether the image belongs to what was to be forgotten.
        only: titles of the checks to be made; the others are in the list as not made.
        hold_out: whether to try the checks on held-out retrained networks, which takes most of the time.
        spreads: of the numbers of `ANSWERS` among networks retrained for the same request, where they are known from
            many requests; else these networks alone must say it.
        planted: whether a poison is to be forgotten, so that unseen images with its mark say whether it still works.
    """
    seen, spread = member & forgotten, spreads or {}
    rest = [[*retrained[:i], *retrained[i + 1:]] for i in range(len(retrained))] if hold_out else []

    def single(value: Callable[[Model], float | None], expected: Callable[[Float64], tuple[float, float]]
               ) -> tuple[tuple[Placement, ...], dict[str, Placement]]:
        """A number of one network."""
        known = [value(seed) for seed in retrained]
        if None in known:
            return (), {}
        null = np.array(known, np.float64)
        among = [np.delete(null, i) for i in range(len(rest))] if len(null) > 2 else []
        held = tuple(Placement(float(own), others, expected(others)) for own, others in zip(null, among, strict=False))
        judged = {name: Placement(float(own), null, expected(null))
                  for name, model in networks.items() if (own := value(model)) is not None}
        return held, judged

    def paired(place: Callable[[Model, Sequence[Model]], Placement]) -> tuple[tuple[Placement, ...],
                                                                             dict[str, Placement]]:
        """A number of a network and the retrained ones it is compared with."""
        if len(retrained) < LEAST_SEEDS:
            return (), {}
        held = [place(seed, others) for seed, others in zip(retrained, rest, strict=False)
                if len(others) >= LEAST_SEEDS]
        return tuple(held), {name: place(model, retrained) for name, model in networks.items()}

    def of_images(null: Float64, images: Bools) -> tuple[float, float]:
        """Where the share of one more network may lie, were only the images drawn anew: seeds may all have none."""
        n, hits = int(images.sum()), float(null.sum() * images.sum())
        by_images = betabinom.ppf([(1 - LEVEL) / 2, (1 + LEVEL) / 2], n, 0.5 + hits, 0.5 + n * len(null) - hits) / n
        low, high = further(null, known=spread.get(FORGET_ACCURACY) if images is seen else None)
        return min(low, float(by_images[0])), max(high, float(by_images[1]))

    def fine_tuned(null: Float64) -> tuple[float, float]:
        return further(null, least=STEPS_SPREAD * float(null.mean()))

    def of_answers(title: str) -> Callable[[Model], float]:
        return lambda model: ANSWERS[title](model.logits, labels, member, forgotten)

    def elsewhere(title: str) -> Callable[[Float64], tuple[float, float]]:
        return lambda null: further(null, known=spread.get(title))

    def apart(model: Model, others: Sequence[Model]) -> Placement:
        return distinguish(softmax(model.logits[seen]), softmax(np.stack([o.logits[seen] for o in others]))).placement

    def private(model: Model, others: Sequence[Model]) -> Placement:
        return privacy_score(comparator_statistics(model.logits[seen]),
                             comparator_statistics(np.stack([o.logits[seen] for o in others]))).placement

    def diverging(model: Model, others: Sequence[Model]) -> Placement:
        mine, *theirs = (softmax(one.logits[seen]) for one in (model, *others))
        among = np.zeros((len(theirs), len(theirs)))
        for (i, a), (j, b) in combinations(enumerate(theirs), 2):
            among[i, j] = among[j, i] = jensen_shannon(a, b).mean()
        null = among.sum(1) / (len(others) - 1)
        return Placement(float(np.mean([jensen_shannon(mine, other).mean() for other in theirs])), null,
                         further(null, "high", of_pairs=True))

    def check(title: str, about: str, page: Page, inside: bool, remembers: Literal["high", "low"] | None,
              tried: Callable[[], tuple[tuple[Placement, ...], dict[str, Placement]]]) -> Check:
        made = len(retrained) >= FEWEST and (only is None or title in only)
        return Check(title, about, page, inside, remembers, *(tried() if made else ((), {})))

    outside = partial(check, inside=False)
    behind = partial(check, page="embeddings", inside=True)
    mark = [outside(ATTACK_SUCCESS, "unseen images with the mark that are given the class that it stands for",
                    "playground", remembers="high", tried=partial(
                        single, lambda m: attack_success(m.logits, labels, member, forgotten),
                        partial(of_images, images=~member & forgotten)))] if planted else []
    return [
        *mark,
        outside(FORGET_ACCURACY, "accuracy on the training images to be forgotten", "playground", remembers="high",
                tried=partial(single, of_answers(FORGET_ACCURACY), partial(of_images, images=seen))),
        outside(SURENESS, "mean logit margin of the true class on the images to be forgotten",
                "privacy", remembers="high", tried=partial(single, of_answers(SURENESS), elsewhere(SURENESS))),
        outside(ATTACKS, "highest AUC of margin, entropy and modified entropy, training against unseen "
                "images of what was to be forgotten", "privacy", remembers="high",
                tried=partial(single, of_answers(ATTACKS), elsewhere(ATTACKS))),
        outside("Distance of outputs", "mean Euclidean distance of the probabilities to retrained networks'",
                "privacy", remembers=None, tried=partial(paired, apart)),
        outside("Worst-case privacy score", "1 less the score of the strongest threshold that tells it from "
                "retrained networks", "privacy", remembers=None, tried=partial(paired, private)),
        outside("Jensen–Shannon divergence", "mean divergence of the outputs from retrained networks'", "embeddings",
                remembers=None, tried=partial(paired, diverging)),
        behind("Linear probe", "AUC of a fresh linear head on the features, on unseen images", remembers="high",
               tried=partial(single, lambda m: m.auc, further)),
        behind("Layer similarity (CKA)", "to the original, on what was to be forgotten, in the last layer before the "
               "head", remembers="high", tried=partial(single, lambda m: m.similarity, further)),
        behind("Relearn time", "fine-tuning steps, head rows fresh, until 95 % of the original's accuracy",
               remembers="low", tried=partial(single, lambda m: m.steps, fine_tuned)),
    ]
