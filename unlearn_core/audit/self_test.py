"""Do the checks work? Each is tried on networks of which the truth is known, before an outcome is judged by it.

A retrained network that the check has not seen must pass. The untouched original must fail: a check that lets it pass
cannot see forgetting for this request, and passing it proves nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.stats import betabinom  # type: ignore[import-untyped]

from unlearn_core.audit.distances import jensen_shannon
from unlearn_core.audit.distinguish import (
    LEAST_SEEDS,
    LEVEL,
    Placement,
    comparator_statistics,
    distinguish,
    further,
    privacy_score,
)
from unlearn_core.audit.gauges import DAMAGED
from unlearn_core.audit.membership import StatisticName, statistics
from unlearn_core.audit.remains import Reference
from unlearn_core.audit.roc import roc
from unlearn_core.evaluate import softmax

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]
Worth = Literal["works", "uninformative", "strict"]

ORIGINAL, HEAD_ZEROING, UNLEARNED = "original", "head zeroing", "unlearned"
CHECKS = ("Forget accuracy", "Threshold attacks", "Distance of outputs", "Worst-case privacy score",
          "Jensen–Shannon divergence", "Linear probe", "Relearn time", "Layer similarity (CKA)")
INSIDE = CHECKS[-3:]
"""Those that do not look at the network's own answers."""
STEPS_SPREAD = 0.1
"""Relative spread of relearning steps over seeds: the median over the bundled requests where all came back in time.
Where all are stopped at one limit, their own says nothing."""
_ATTACKS: tuple[StatisticName, ...] = ("margin", "entropy", "modified_entropy")


@dataclass(frozen=True, eq=False)
class Check:
    """One check, tried on the models at hand.

    Attributes:
        title: its name.
        about: the number it reads, and which side of it tells that something is left.
        held_out: each retrained seed among the others; empty where they are too few.
        judged: the other models among all seeds, by name; without those for which the number is not known.
    """

    title: str
    about: str
    held_out: tuple[Placement, ...]
    judged: Mapping[str, Placement]

    @property
    def passing(self) -> int:
        """How many held-out seeds pass."""
        return sum(passes(seed) for seed in self.held_out)

    @property
    def worth(self) -> Worth:
        """What passing is worth here.

        ``uninformative``: even the original passes. ``strict``: two retrained networks or more fail, which luck
        alone hardly explains, so that failing proves little.
        """
        if passes(self.judged[ORIGINAL]):
            return "uninformative"
        return "strict" if len(self.held_out) - self.passing > 1 else "works"

    @property
    def verdict(self) -> str:
        """One sentence that follows from the numbers."""
        if self.worth == "uninformative":
            return f"{self.title}: cannot see even the untouched original here; passing proves nothing."
        tried = len(self.held_out)
        if self.worth == "strict":
            return (f"{self.title}: only {self.passing} of {tried} retrained networks pass when held out; failing "
                    "proves little here.")
        if not tried:
            return f"{self.title}: sees the original; there are too few retrained networks to hold one out."
        return f"{self.title}: sees the original, and {self.passing} of {tried} held-out retrained networks pass."


def passes(placement: Placement) -> bool:
    """Whether a further retrained network might have this value."""
    return placement.place != "apart"


def verdict(checks: Sequence[Check], lost: float = 0.0) -> str:
    """What the checks that work here say of the unlearned model, in one sentence.

    Args:
        checks: with the unlearned model among the judged.
        lost: retain accuracy lost against retraining (`gauges.damage`). A damaged network knows little of anything,
            so that finding nothing inside it proves nothing.
    """
    used = [check for check in checks if check.worth == "works" and UNLEARNED in check.judged]
    if not used:
        return "Not known: no check can tell the untouched original from retrained networks here."
    failed = [check.title for check in used if not passes(check.judged[UNLEARNED])]
    untried = [check.title for check in checks if check.worth == "works" and UNLEARNED not in check.judged]
    rest = f" Not tried yet: {listed(untried)}." if untried else ""
    count = f"it fails {len(failed)} of {len(used)} checks that see the original"
    inside = [name for name in failed if name in INSIDE]
    if CHECKS[0] in failed:
        share = next(check.judged[UNLEARNED].value for check in used if check.title == CHECKS[0])
        said = f"Not gone: {share:.0%} of what was to be forgotten is still recognised, and {count}."
    elif lost > DAMAGED:
        said = (f"Damaged: the other classes lost {100 * lost:.0f} points against retraining, so what is not found "
                f"inside may be lost with everything else; {count}.")
    elif not failed:
        said = f"Gone, as far as can be seen: it passes all {len(used)} checks that would have seen the original."
    elif inside:
        said = (f"Hidden rather than gone: the class is no longer named, yet {listed(inside)} still find"
                f"{'s' if len(inside) == 1 else ''} it; {count}.")
    else:
        said = (f"Nothing is found inside, but the outputs differ from a retrained network's ({listed(failed)}); "
                f"{count}.")
    return said + rest


def listed(titles: Sequence[str]) -> str:
    """Titles of checks within a sentence."""
    names = [title if title.startswith("J") else title[0].lower() + title[1:] for title in titles]
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


@dataclass(frozen=True, eq=False)
class Model:
    """What the checks read of one model; they leave out what is not known.

    Attributes:
        logits: (N, classes) on the evaluation set.
        auc: of the linear probe.
        steps: to relearn, the cap if it was not reached in time; None if not run.
        similarity: CKA to the original, on forgotten images in the last layer before the head.
    """

    logits: Float32
    auc: float
    steps: int | None
    similarity: float


def self_test(original: Float32, head_zeroing: Float32, retrained: Float32, labels: npt.NDArray[np.int64],
              member: npt.NDArray[np.bool_], forget: Sequence[int], reference: Reference,
              unlearned: Model | None = None) -> list[Check]:
    """Try every check on retrained networks, each held out in turn, on the original, and on head zeroing.

    Args:
        original: (N, classes) logits on the evaluation set.
        head_zeroing: (N, classes) logits.
        retrained: (seeds, N, classes) logits, at least three seeds, in the reference's order.
        labels: (N,) true classes.
        member: (N,) whether the image was in the original's training set.
        forget: the classes that were to be forgotten.
        reference: what was found inside the same models.
        unlearned: an outcome to be judged with them.

    Raises:
        ValueError: if there are fewer than three retrained networks, or not as many as the reference has.
    """
    if not LEAST_SEEDS <= len(retrained) == len(reference.retrained):
        raise ValueError(f"retrained: the reference's {len(reference.retrained)} seeds and at least {LEAST_SEEDS} "
                         f"expected, got {len(retrained)}")
    last = reference.similarity["forget"][0, :, -2]
    found = (reference.original, reference.head_zeroing, *reference.retrained)
    everyone = [Model(logits, one.probe.auc.value, one.relearning.taken, float(last[i]))
                for i, (logits, one) in enumerate(zip((original, head_zeroing, *retrained), found, strict=True))]
    named = {ORIGINAL: everyone[0], HEAD_ZEROING: everyone[1]} | ({UNLEARNED: unlearned} if unlearned else {})
    seeds, forgotten = everyone[2:], np.isin(labels, list(forget))
    seen = member & forgotten

    def single(value: Callable[[Model], float | None], expected: Callable[[Float64], tuple[float, float]]
               ) -> tuple[tuple[Placement, ...], dict[str, Placement]]:
        """A number of one model."""
        null = np.array([value(seed) for seed in seeds], np.float64)
        among = [np.delete(null, i) for i in range(len(null))]
        held = tuple(Placement(float(own), others, expected(others)) for own, others in zip(null, among, strict=True))
        judged = {name: Placement(float(own), null, expected(null))
                  for name, model in named.items() if (own := value(model)) is not None}
        return held, judged

    def paired(place: Callable[[Model, list[Model]], Placement]) -> tuple[tuple[Placement, ...],
                                                                        dict[str, Placement]]:
        """A number of a model and the seeds it is compared with."""
        rest = [seeds[:i] + seeds[i + 1:] for i in range(len(seeds))]
        held = [place(seed, others) for seed, others in zip(seeds, rest, strict=True) if len(others) >= LEAST_SEEDS]
        return tuple(held), {name: place(model, seeds) for name, model in named.items()}

    def recognised(null: Float64) -> tuple[float, float]:
        """Where the share of one more network may lie, were only the images drawn anew: seeds may all have none."""
        n, hits = int(seen.sum()), float(null.sum() * seen.sum())
        by_images = betabinom.ppf(LEVEL, n, 0.5 + hits, 0.5 + n * len(null) - hits) / n
        return -math.inf, max(further(null, "high")[1], float(by_images))

    def fine_tuned(null: Float64) -> tuple[float, float]:
        return further(null, "low", least=STEPS_SPREAD * float(null.mean()))

    high = partial(further, wrong="high")

    def attacked(model: Model) -> float:
        read = statistics(model.logits[forgotten], labels[forgotten])
        return max(roc(read[name][member[forgotten]], read[name][~member[forgotten]]).auc for name in _ATTACKS)

    def apart(model: Model, others: list[Model]) -> Placement:
        return distinguish(softmax(model.logits[seen]), softmax(np.stack([o.logits[seen] for o in others]))).placement

    def private(model: Model, others: list[Model]) -> Placement:
        return privacy_score(comparator_statistics(model.logits[seen]),
                             comparator_statistics(np.stack([o.logits[seen] for o in others]))).placement

    def diverging(model: Model, others: list[Model]) -> Placement:
        def between(a: Model, b: Model) -> float:
            return float(jensen_shannon(softmax(a.logits[seen]), softmax(b.logits[seen])).mean())

        among = np.array([[between(a, b) for b in others] for a in others])
        null = (among.sum(1) - among.diagonal()) / (len(others) - 1)
        return Placement(float(np.mean([between(model, o) for o in others])), null,
                         further(null, "high", of_pairs=True))

    results = (
        ("accuracy on the training images to be forgotten; higher than retrained is remembered",
         single(lambda m: float((m.logits[seen].argmax(1) == labels[seen]).mean()), recognised)),
        ("highest AUC of margin, entropy and modified entropy, training against unseen images of the class",
         single(attacked, high)),
        ("mean Euclidean distance of the probabilities to retrained networks'; both sides count", paired(apart)),
        ("1 less the score of the strongest threshold that tells it from retrained networks", paired(private)),
        ("mean divergence of the outputs from retrained networks'", paired(diverging)),
        ("AUC of a fresh linear head on the features, on unseen images", single(lambda m: m.auc, high)),
        ("fine-tuning steps, head rows fresh, until 95 % of the original's accuracy; sooner is remembered",
         single(lambda m: m.steps, fine_tuned)),
        ("to the original, on the forgotten class, last layer before the head; more alike is remembered",
         single(lambda m: m.similarity, high)),
    )
    return [Check(title, about, held, judged)
            for title, (about, (held, judged)) in zip(CHECKS, results, strict=True)]
