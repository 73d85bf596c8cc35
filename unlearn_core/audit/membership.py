"""Membership inference: could an attacker tell that the forgotten images were trained on?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LogisticRegression


def entropy(probabilities: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """(N,) entropy in nats of each row of (N, classes) probabilities."""
    p = probabilities.astype(np.float64)
    result: npt.NDArray[np.float64] = -(p * np.log(p, out=np.zeros_like(p), where=p > 0)).sum(1)
    return result


@dataclass(frozen=True, eq=False)
class EntropyAttack:
    """A fitted entropy attack.

    Attributes:
        threshold: the entropy in nats at which the attacker changes his mind.
        called_member: (targets,) bool, his verdict on each target.
    """

    threshold: float
    called_member: npt.NDArray[np.bool_]

    @property
    def score(self) -> float:
        """Share of the targets that are called members, in [0, 1]."""
        return float(self.called_member.mean())


def entropy_attack(members: npt.NDArray[np.float64], non_members: npt.NDArray[np.float64],
                   targets: npt.NDArray[np.float64]) -> EntropyAttack:
    """The attack of the SSD paper: balanced logistic regression on the entropy of the outputs.

    The official code takes all retained training images as members and the *whole* test set as non-members,
    forgotten classes included. The corrected form, which the gauges use, takes members and non-members
    from the retained classes alone: the forgotten class has no place in what "never seen" looks like.

    Args:
        members: entropies of images known to be trained on.
        non_members: entropies of images known not to be.
        targets: entropies of the forget set.

    Raises:
        ValueError: if one of the three is empty.
    """
    for name, values in (("members", members), ("non_members", non_members), ("targets", targets)):
        if not len(values):
            raise ValueError(f"{name}: at least one entropy expected, got none")
    features = np.concatenate([members, non_members])[:, None]
    truth = np.repeat([1, 0], [len(members), len(non_members)])
    attack = LogisticRegression(class_weight="balanced").fit(features, truth)
    slope = float(attack.coef_[0, 0])
    return EntropyAttack(
        float(-attack.intercept_[0] / slope) if slope else float("nan"),
        attack.predict(targets[:, None]).astype(bool),
    )
