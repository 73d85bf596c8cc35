"""Membership inference: could an attacker tell that the forgotten images were trained on?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.special import entr
from sklearn.linear_model import LogisticRegression

AttackForm = Literal["official", "corrected"]
StatisticName = Literal["loss", "confidence", "entropy", "modified_entropy", "margin"]

STATISTICS: dict[StatisticName, str] = {
    "loss": "negative cross-entropy of the true class, log p_y, in nats",
    "confidence": "probability of the true class, p_y",
    "entropy": "negative entropy of the probabilities, in nats; needs no label",
    "modified_entropy": "negative modified entropy, which also asks whether the certainty is right, in nats",
    "margin": "logit margin of the true class, log p_y / (1 - p_y)",
}
"""The per-image attack statistics; of each, higher is more like a member."""


def entropy(probabilities: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """(N,) entropy in nats of each row of (N, classes) probabilities."""
    result: npt.NDArray[np.float64] = entr(probabilities.astype(np.float64)).sum(1)
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


def forget_set_attack(probabilities: npt.NDArray[np.floating], member: npt.NDArray[np.bool_],
                      forgotten: npt.NDArray[np.bool_], form: AttackForm = "corrected") -> EntropyAttack:
    """The entropy attack on the training images to be forgotten (Foster et al., arXiv 2308.07707).

    Members are all retained training images in both forms. They differ in what "never seen" is taken to look like:
    the official code takes the whole test set, the corrected form only the retained classes of it. With the forgotten
    classes among the non-members, how sure the model is of them moves the attacker's threshold: the score may fall or
    rise without anything more or less being forgotten.

    Args:
        probabilities: (N, classes) of every image.
        member: (N,) whether the image was in the original's training set.
        forgotten: (N,) whether the image's class is to be forgotten.
        form: ``official`` or ``corrected``.

    Raises:
        ValueError: if the shapes disagree, the form is unknown, or one of the three groups is empty.
    """
    if not len(probabilities) == len(member) == len(forgotten):
        raise ValueError("probabilities, member, forgotten: one entry per image each expected, "
                         f"got {len(probabilities)}, {len(member)} and {len(forgotten)}")
    if form not in ("official", "corrected"):
        raise ValueError(f"form: official or corrected expected, got {form}")
    uncertainty = entropy(probabilities)
    never_seen = ~member if form == "official" else ~member & ~forgotten
    return entropy_attack(uncertainty[member & ~forgotten], uncertainty[never_seen], uncertainty[member & forgotten])


def margins(logits: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """(N, classes) log p / (1 - p) of every class, without cancellation (Carlini et al., arXiv 2112.03570, section V).

    1 - p is summed over the other classes instead of subtracted, so a class that the network is as good as sure of
    keeps its finite margin where log(1 - p) would have been minus infinity.

    Args:
        logits: (N, classes), raw, at least two classes.

    Raises:
        ValueError: if the logits are not such a table, or not finite.
    """
    z = np.asarray(logits, dtype=np.float64)
    if z.ndim != 2 or z.shape[1] < 2:
        raise ValueError(f"logits: a table (images, at least 2 classes) expected, got shape {z.shape}")
    if not np.isfinite(z).all():
        raise ValueError("logits: finite values expected, got NaN or infinity")
    rows, top = np.arange(len(z)), z.argmax(1)
    highest = z[rows, top][:, None]
    weight = np.exp(z - highest)
    rest = z.copy()
    rest[rows, top] = -np.inf
    second = rest.max(1)
    rest_weight = np.exp(rest - second[:, None]).sum(1)
    weight[rows, top] = 0  # the others of a class that is not the top: the top, which counts 1, and the rest
    others = highest + np.log1p(np.maximum(weight.sum(1, keepdims=True) - weight, 0))
    others[rows, top] = second + np.log(rest_weight)
    result: npt.NDArray[np.float64] = z - others
    return result


def true_margins(logits: npt.NDArray[np.floating], labels: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """(..., N) margin of the true class.

    Args:
        logits: (..., N, classes), raw, of one network or several.
        labels: (N,) true classes.

    Raises:
        ValueError: as `margins`.
    """
    every = margins(logits.reshape(-1, logits.shape[-1])).reshape(logits.shape)
    result: npt.NDArray[np.float64] = every[..., np.arange(len(labels)), labels]
    return result


def statistics(logits: npt.NDArray[np.floating],
               labels: npt.NDArray[np.integer]) -> dict[StatisticName, npt.NDArray[np.float64]]:
    """All attack statistics of every image, each (N,) and higher for what looks more like a member.

    Loss, confidence and entropy after Yeom et al. (arXiv 1709.01604) and Salem et al. (arXiv 1806.01246); modified
    entropy, Song & Mittal (arXiv 2003.10595, equation 8),
    -(1 - p_y) log p_y - sum over i other than y of p_i log(1 - p_i); margin, Carlini et al. (arXiv 2112.03570).
    Loss, confidence and margin order the images alike, so one threshold on any of them is the same attack.

    Args:
        logits: (N, classes), raw.
        labels: (N,) true classes.

    Raises:
        ValueError: if the logits are no finite table, or a label is missing or outside its columns.
    """
    margin = margins(logits)
    classes = margin.shape[1]
    if labels.shape != (len(margin),) or (len(labels) and not 0 <= labels.min() <= labels.max() < classes):
        raise ValueError(f"labels: one class in 0..{classes - 1} for each of {len(margin)} images expected")
    # log p = -softplus(-margin) and log(1 - p) = -softplus(margin)
    log_p, log_rest = -np.logaddexp(0, -margin), -np.logaddexp(0, margin)
    p = np.exp(log_p)
    rows = np.arange(len(margin))
    wrong = p * log_rest
    wrong[rows, labels] = 0
    own = log_p[rows, labels]
    return {
        "loss": own,
        "confidence": p[rows, labels],
        "entropy": (p * log_p).sum(1),
        "modified_entropy": np.exp(log_rest[rows, labels]) * own + wrong.sum(1),
        "margin": margin[rows, labels],
    }
