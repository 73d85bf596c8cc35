"""The three gauges: what a model still knows, what it cost, and whether an attacker could tell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from unlearn_core.audit.accuracy import wilson
from unlearn_core.audit.membership import entropy, entropy_attack
from unlearn_core.nets.evaluate import Outputs

GaugeName = Literal["forget", "retain", "membership"]


@dataclass(frozen=True)
class GaugeKind:
    """What a gauge measures, and which way is better (``match``: as near the retrained models as possible)."""

    title: str
    about: str
    better: Literal["match", "up"]


KINDS: dict[GaugeName, GaugeKind] = {
    "forget": GaugeKind("Forget accuracy", "on the training images to be forgotten", "match"),
    "retain": GaugeKind("Retain accuracy", "on all other unseen test images", "up"),
    "membership": GaugeKind("Membership inference", "forgotten images the entropy attack calls members", "match"),
}


@dataclass(frozen=True)
class Reading:
    """A share in [0, 1] with its 95 % Wilson interval over that many images; 0 where their number is not kept."""

    value: float
    interval: tuple[float, float]
    images: int = 0


def read_gauges(outputs: Outputs, labels: npt.NDArray[np.int64], member: npt.NDArray[np.bool_],
                forgotten: npt.NDArray[np.bool_]) -> dict[GaugeName, Reading]:
    """Read all three gauges from a model's outputs on an evaluation set.

    Args:
        outputs: of N images.
        labels: (N,) true classes.
        member: (N,) whether the image was in the original's training set.
        forgotten: (N,) whether the image is of what was to be forgotten.

    Raises:
        ValueError: if a gauge has no image to be read on, or an image's class has no output.
    """
    if len(labels) and int(labels.max()) >= outputs.logits.shape[1]:
        raise ValueError(f"labels: one of the network's {outputs.logits.shape[1]} outputs expected for every image, "
                         f"got class {int(labels.max())}")
    right = outputs.predicted == labels
    groups = {"training images to forget": member & forgotten, "test images of the rest": ~member & ~forgotten,
              "training images of the rest": member & ~forgotten}
    for group, images in groups.items():
        if not images.any():
            raise ValueError(f"labels: at least one image of each group expected, got no {group}: their gauge cannot "
                             "be read")
    return {
        "forget": reading(right[member & forgotten]),
        "retain": reading(right[~member & ~forgotten]),
        "membership": reading(called_member(outputs.probabilities, member, forgotten)),
    }


def called_member(probabilities: npt.NDArray[np.float32], member: npt.NDArray[np.bool_],
                  forgotten: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """The entropy attack's verdict on each training image to be forgotten (see `membership.entropy_attack`)."""
    uncertainty = entropy(probabilities)
    return entropy_attack(uncertainty[member & ~forgotten], uncertainty[~member & ~forgotten],
                          uncertainty[member & forgotten]).called_member


def reading(hits: npt.NDArray[np.bool_]) -> Reading:
    """The share of hits among images, one at least."""
    return Reading(float(hits.mean()), wilson(int(hits.sum()), len(hits)), len(hits))
