"""Linear probe: can a fresh linear head on the frozen features recover the forgotten classes?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from unlearn_core.audit.gauges import Reading, reading


@dataclass(frozen=True)
class Probe:
    """What a fresh linear head makes of a network's features.

    Attributes:
        recovered: its accuracy on unseen images of the forgotten classes, with 95 % Wilson interval.
        others: its accuracy on unseen images of the other classes.
        auc: how well its probability of a forgotten class tells unseen images of these classes from others;
            0.5 is chance. With 95 % interval of DeLong et al. 1988, which has no width at 0 and at 1. Unlike
            `recovered`, it does not depend on where the head draws the line, and so tells networks apart with
            fewer images.
        fitted: training images used.
        tested: unseen images used.
    """

    recovered: Reading
    others: Reading
    auc: Reading
    fitted: int
    tested: int


def linear_probe(features: npt.NDArray[np.floating], labels: npt.NDArray[np.int64], member: npt.NDArray[np.bool_],
                 forgotten: npt.NDArray[np.bool_], *, strength: float = 1.0, iterations: int = 500) -> Probe:
    """Fit a linear head on the features of training images of all classes, and read it on unseen images.

    Multinomial logistic regression with L2 penalty (scikit-learn, lbfgs) on features standardised by the training
    images; nothing is random. Where whole classes were to be forgotten the head tells all classes apart; where a part
    of some was, that part from the rest. A retrained network's features know something of any class, too, so the
    reference is the probe of retrained networks, not chance: a network recovers what unlearning hid if its
    probe lies above theirs. Source of the idea: Alain and Bengio, arXiv 1610.01644; for unlearning, arXiv 2604.08271.

    Args:
        features: (N, width), the input of the network's own head (`evaluate.Outputs.features`).
        labels: (N,) true classes.
        member: (N,) whether the image is a training image: those are fitted, the others are tested.
        forgotten: (N,) whether the image is of what was to be forgotten: whole classes, or a part of some.
        strength: inverse of the penalty's weight, scikit-learn's ``C``.
        iterations: of lbfgs, at most.

    Raises:
        ValueError: if the shapes do not fit, a feature is not finite, no feature varies over the training images
            (any answer would be arbitrary), or there is not at least one training and one unseen image of each
            forgotten class or of the forgotten part, and of the rest.
    """
    if features.ndim != 2 or not len(features) == len(labels) == len(member):
        raise ValueError("features: one row, one label and one membership per image expected, got shapes "
                         f"{features.shape}, {labels.shape} and {member.shape}")
    if not np.isfinite(features).all():
        raise ValueError("features: finite numbers expected, got NaN or infinity; the weights are damaged")
    if not forgotten.any():
        raise ValueError("forgotten: at least one image expected, got none")
    own = np.unique(labels[forgotten])
    whole = bool((forgotten == np.isin(labels, own)).all())
    target = labels if whole else forgotten.astype(np.int64)
    for kind, chosen in (("training", member), ("unseen", ~member)):
        for label in own if whole else (1,):
            if not (chosen & (target == label)).any():
                what = f"class {label}" if whole else "what was to be forgotten"
                raise ValueError(f"labels: at least one {kind} image of {what} expected, got none")
        if not (chosen & ~forgotten).any():
            raise ValueError(f"labels: at least one {kind} image of the rest expected, got none")
    if (features[member] == features[member][0]).all():
        raise ValueError("features: at least one that varies over the training images expected, got none; the network "
                         "gives every image the same features")
    probe = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=iterations))
    probe.fit(features[member].astype(np.float64), target[member])
    shares = probe.predict_proba(features[~member].astype(np.float64))
    known, truth, hidden = probe.classes_, target[~member], forgotten[~member]
    right = known[shares.argmax(1)] == truth
    score = shares[:, np.isin(known, own if whole else [1])].sum(1)
    return Probe(reading(right[hidden]), reading(right[~hidden]), auc(score[hidden], score[~hidden]),
                 int(member.sum()), len(truth))


def auc(high: npt.NDArray[np.float64], low: npt.NDArray[np.float64]) -> Reading:
    """The share of pairs that are in order, ties by half, and its interval from each image's share of its pairs."""
    # By hand for the interval, which needs more than the area that scikit-learn gives.
    def below(values: npt.NDArray[np.float64], others: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        ordered = np.sort(others)
        count = np.searchsorted(ordered, values, "left") + np.searchsorted(ordered, values, "right")
        result: npt.NDArray[np.float64] = count / (2 * len(others))
        return result

    shares = below(high, low), below(low, high)
    area = float(shares[0].mean())
    half = 1.96 * float(np.sqrt(sum(share.var(ddof=int(len(share) > 1)) / len(share) for share in shares)))
    return Reading(area, (max(area - half, 0.0), min(area + half, 1.0)))
