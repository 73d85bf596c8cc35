"""Do the checks work? Each is tried on networks of which the truth is known, before an outcome is judged by it.

A retrained network that the check has not seen must pass. The untouched original must fail: a check that lets it pass
cannot see forgetting for this request, and passing it proves nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from unlearn_core.audit.distances import jensen_shannon
from unlearn_core.audit.distinguish import (
    LEAST_SEEDS,
    Placement,
    Side,
    comparator_statistics,
    distinguish,
    further,
    privacy_score,
)
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


def verdict(checks: Sequence[Check]) -> str:
    """What the checks that work here say of the unlearned model, in one sentence."""
    used = [check for check in checks if check.worth == "works" and UNLEARNED in check.judged]
    if not used:
        return "Not known: no check can tell the untouched original from retrained networks here."
    failed = [check.title for check in used if not passes(check.judged[UNLEARNED])]
    untried = [check.title for check in checks if check.worth == "works" and UNLEARNED not in check.judged]
    rest = f" Not tried yet: {listed(untried)}." if untried else ""
    count = f"it fails {len(failed)} of {len(used)} checks that retrained networks pass"
    inside = [name for name in failed if name in INSIDE]
    if not failed:
        said = f"Gone, as far as can be seen: it passes all {len(used)} checks that would have seen the original."
    elif CHECKS[0] in failed:
        said = f"Not gone: the class is still recognised, and {count}."
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
        similarity: CKA to each retrained network, on forgotten images in the last layer before the head; of an
            outcome only to the first ones, if the weights of the others are not at hand.
    """

    logits: Float32
    auc: float
    steps: int | None
    similarity: Float64 = field(default_factory=lambda: np.zeros(0))


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
    last = reference.similarity["forget"][:, :, -2]
    found = (reference.original, reference.head_zeroing, *reference.retrained)
    everyone = [Model(logits, one.probe.auc.value, one.relearning.taken, last[i, 2:])
                for i, (logits, one) in enumerate(zip((original, head_zeroing, *retrained), found, strict=True))]
    named = {ORIGINAL: everyone[0], HEAD_ZEROING: everyone[1]} | ({UNLEARNED: unlearned} if unlearned else {})
    compared = (len(unlearned.similarity) if unlearned else 0) or len(retrained)
    seeds, forgotten = everyone[2:], np.isin(labels, list(forget))
    seen = member & forgotten

    def single(value: Callable[[Model], float | None], wrong: Side) -> tuple[tuple[Placement, ...],
                                                                            dict[str, Placement]]:
        """A number of one model."""
        null = np.array([value(seed) for seed in seeds], np.float64)
        among = [np.delete(null, i) for i in range(len(null))]
        held = tuple(Placement(float(own), others, further(others, wrong))
                     for own, others in zip(null, among, strict=True))
        judged = {name: Placement(float(own), null, further(null, wrong))
                  for name, model in named.items() if (own := value(model)) is not None}
        return held, judged

    def paired(place: Callable[[Model, list[Model]], Placement | None]) -> tuple[tuple[Placement, ...],
                                                                               dict[str, Placement]]:
        """A number of a model and the seeds it is compared with."""
        rest = [seeds[:i] + seeds[i + 1:] for i in range(len(seeds))]
        held = [place(seed, others) for seed, others in zip(seeds, rest, strict=True) if len(others) >= LEAST_SEEDS]
        judged = {name: place(model, seeds) for name, model in named.items()}
        return (tuple(one for one in held if one is not None),
                {name: one for name, one in judged.items() if one is not None})

    def means(to_seeds: Float64, among: Float64, wrong: Side) -> Placement:
        """The mean over the seeds, among each seed's mean over the others."""
        null = (among.sum(1) - among.diagonal()) / (len(among) - 1)
        return Placement(float(to_seeds.mean()), null, further(null, wrong, of_pairs=True))

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

        return means(np.array([between(model, o) for o in others]),
                     np.array([[between(a, b) for b in others] for a in others]), "high")

    def similar(model: Model, others: list[Model]) -> Placement | None:
        if not len(model.similarity):
            return None
        chosen = [i for i, seed in enumerate(seeds) if any(seed is o for o in others)]
        known = model.similarity[chosen] if len(others) < len(seeds) else model.similarity[:compared]
        return means(known, last[2:, 2:][np.ix_(chosen, chosen)], "low")

    results = (
        ("accuracy on the training images to be forgotten; higher than retrained is remembered",
         single(lambda m: float((m.logits[seen].argmax(1) == labels[seen]).mean()), "high")),
        ("highest AUC of margin, entropy and modified entropy, training against unseen images of the class",
         single(attacked, "high")),
        ("mean Euclidean distance of the probabilities to retrained networks'; both sides count", paired(apart)),
        ("1 less the score of the strongest threshold that tells it from retrained networks", paired(private)),
        ("mean divergence of the outputs from retrained networks'", paired(diverging)),
        ("AUC of a fresh linear head on the features, on unseen images", single(lambda m: m.auc, "high")),
        ("fine-tuning steps, head rows fresh, until 95 % of the original's accuracy; sooner is remembered",
         single(lambda m: m.steps, "low")),
        ("to retrained networks, on the forgotten class, last layer before the head; less alike is remembered",
         paired(similar)),
    )
    return [Check(title, about, held, judged)
            for title, (about, (held, judged)) in zip(CHECKS, results, strict=True)]
