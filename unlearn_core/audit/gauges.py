"""The three gauges: what a model still knows, what it cost, and whether an attacker could tell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from unlearn_core.audit.accuracy import wilson
from unlearn_core.audit.membership import entropy, entropy_attack
from unlearn_core.evaluate import Outputs
from unlearn_core.scenario import Scenario

GaugeName = Literal["forget", "retain", "membership"]


@dataclass(frozen=True)
class GaugeKind:
    """What a gauge measures, and which way is better (``match``: as near the retrained models as possible)."""

    title: str
    about: str
    better: Literal["match", "up"]


KINDS: dict[GaugeName, GaugeKind] = {
    "forget": GaugeKind("Forget accuracy", "on the training images to be forgotten", "match"),
    "retain": GaugeKind("Retain accuracy", "on unseen test images of the other classes", "up"),
    "membership": GaugeKind("Membership inference", "forgotten images the entropy attack calls members", "match"),
}


@dataclass(frozen=True)
class Reading:
    """A share in [0, 1] with its 95 % Wilson interval over images."""

    value: float
    interval: tuple[float, float]


def read_gauges(outputs: Outputs, labels: npt.NDArray[np.int64], member: npt.NDArray[np.bool_],
                scenario: Scenario) -> dict[GaugeName, Reading]:
    """Read all three gauges from a model's outputs on an evaluation set.

    Args:
        outputs: of N images.
        labels: (N,) true classes.
        member: (N,) whether the image was in the original's training set.
        scenario: what was to be forgotten.
    """
    forgotten = np.isin(labels, scenario.forget_classes)
    right = outputs.predicted == labels
    return {
        "forget": _reading(right[member & forgotten]),
        "retain": _reading(right[~member & ~forgotten]),
        "membership": _reading(called_member(outputs.probabilities, member, forgotten)),
    }


def called_member(probabilities: npt.NDArray[np.float32], member: npt.NDArray[np.bool_],
                  forgotten: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """The entropy attack's verdict on each training image to be forgotten (see `membership.entropy_attack`)."""
    uncertainty = entropy(probabilities)
    return entropy_attack(uncertainty[member & ~forgotten], uncertainty[~member & ~forgotten],
                          uncertainty[member & forgotten]).called_member


def _reading(hits: npt.NDArray[np.bool_]) -> Reading:
    return Reading(float(hits.mean()), wilson(int(hits.sum()), len(hits)))


DAMAGED = 0.10
"""Share of retain accuracy from whose loss on a network counts as damaged."""


def verdict(unlearned: dict[GaugeName, Reading], original: dict[GaugeName, Reading],
            retrained: Sequence[dict[GaugeName, Reading]]) -> str:
    """One sentence that follows from the numbers.

    A gauge matches if its interval meets the band of the retrained seeds.
    """
    forget, retain, membership = (unlearned[name].value for name in KINDS)
    if not retrained:
        return (f"Forget accuracy {forget:.0%} and retain accuracy {retain:.1%}; no retrained reference is at hand "
                "for this choice, so how good that is cannot be said.")
    apart = {name: _apart(unlearned[name], [seed[name].value for seed in retrained]) for name in KINDS}
    lost = damage(unlearned["retain"], [seed["retain"] for seed in retrained])
    if apart["forget"] > 0 and forget > original["forget"].value - 0.05:
        return f"Not forgotten: the class is still recognised {forget:.0%} of the time."
    if lost > DAMAGED:
        return f"Damaged: the other classes lost {100 * lost:.0f} points against retraining ({retain:.0%} left)."
    if apart["forget"] > 0:
        known = max(seed["forget"].value for seed in retrained)
        extent = "Nearly" if forget < known + 0.05 else "Partly"
        return (f"{extent} forgotten: {forget:.0%} of the forget set is still recognised, "
                f"by retrained models {known:.0%}.")
    cost = "at no measurable cost elsewhere"
    if lost > 0:
        cost = f"at a cost of {100 * lost:.1f} points elsewhere"
    if apart["membership"] == 0:
        return f"Forgotten {cost}; this attack cannot tell it from a retrained model."
    low, high = min(seed["membership"].value for seed in retrained), max(seed["membership"].value for seed in retrained)
    side = "more" if apart["membership"] > 0 else "fewer"
    return (f"Forgotten {cost}, but not as retraining would: the attack calls {side} of the forgotten images members "
            f"({membership:.0%}) than for retrained models ({low:.0%} to {high:.0%}).")


def damage(retain: Reading, retrained: Sequence[Reading]) -> float:
    """Retain accuracy lost against the mean of retrained networks; 0 if the interval meets their band or is above."""
    band = [seed.value for seed in retrained]
    return float(np.mean(band)) - retain.value if _apart(retain, band) < 0 else 0.0


def _apart(reading: Reading, band: list[float]) -> int:
    """-1 below the band, 1 above it, 0 if the reading's interval meets it."""
    low, high = reading.interval
    return -1 if high < min(band) else 1 if low > max(band) else 0
