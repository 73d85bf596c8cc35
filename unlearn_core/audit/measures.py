"""The numbers methods are compared by, each with its direction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from unlearn_core.audit.gauges import called_member

MeasureName = Literal["forget_train", "forget_test", "retain_train", "retain_test", "membership", "distance",
                      "seconds", "stored_bytes"]


@dataclass(frozen=True)
class MeasureKind:
    """What a measure is, its unit, and which way is better (``match``: as near the retrained models as possible)."""

    title: str
    about: str
    unit: Literal["share", "s", "bytes", ""]
    better: Literal["match", "up", "down"]


MEASURES: dict[MeasureName, MeasureKind] = {
    "forget_train": MeasureKind("Forget, train", "accuracy on the training images to be forgotten", "share", "match"),
    "forget_test": MeasureKind("Forget, test", "accuracy on unseen images of the forgotten classes", "share", "match"),
    "retain_train": MeasureKind("Retain, train", "accuracy on the other training images", "share", "match"),
    "retain_test": MeasureKind("Retain, test", "accuracy on unseen images of the other classes", "share", "up"),
    "membership": MeasureKind("Membership", "forgotten images the entropy attack calls members", "share", "match"),
    "distance": MeasureKind("Distance", "mean Euclidean distance of the probabilities to those of the retrained "
                            "models, on the training images to be forgotten; 0 to 1.41", "", "down"),
    "seconds": MeasureKind("Time", "processor seconds of the method", "s", "down"),
    "stored_bytes": MeasureKind("Stored", "what must be kept from training", "bytes", "down"),
}


def output_measures(probabilities: npt.NDArray[np.float32], labels: npt.NDArray[np.int64],
                    member: npt.NDArray[np.bool_], forgotten: npt.NDArray[np.bool_],
                    retrained: npt.NDArray[np.float32]) -> dict[MeasureName, float]:
    """All measures that follow from outputs on an evaluation set; the distance is NaN without retrained models.

    Args:
        probabilities: (N, classes) of the model to be judged.
        labels: (N,) true classes.
        member: (N,) whether the image was in the original's training set.
        forgotten: (N,) whether the image is of what was to be forgotten.
        retrained: (seeds, N, classes) probabilities of the retrained models, possibly of none.
    """
    right = probabilities.argmax(1) == labels
    apart = np.linalg.norm(retrained - probabilities, axis=2)[:, member & forgotten]
    return {
        "forget_train": float(right[member & forgotten].mean()),
        "forget_test": float(right[~member & forgotten].mean()) if (~member & forgotten).any() else float("nan"),
        "retain_train": float(right[member & ~forgotten].mean()),
        "retain_test": float(right[~member & ~forgotten].mean()),
        "membership": float(called_member(probabilities, member, forgotten).mean()),
        "distance": float(apart.mean()) if apart.size else float("nan"),
    }
