"""How far two networks' outputs lie apart: divergences, agreement, tug-of-war, and accuracies to compare them by.

Everything is computed as its definition says by default. ``form="official"`` gives what the published code
computes instead, so that published numbers can be compared.
"""

from __future__ import annotations

import math
from dataclasses import astuple, dataclass, fields
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.special import rel_entr

Form = Literal["correct", "official"]
"""The definition, or what the reference code makes of it."""

Probabilities = npt.NDArray[np.floating]
"""(N, classes), each row of which adds up to 1."""

_ROUNDING = 1e-3  # of a row's sum: half precision is allowed, logits are not


def jensen_shannon(p: Probabilities, q: Probabilities) -> npt.NDArray[np.float64]:
    """Jensen–Shannon divergence of each image's two outputs: ½ KL(p‖m) + ½ KL(q‖m) with m = ½ (p + q).

    Source: Lin 1991, IEEE Transactions on Information Theory 37(1). Symmetric; 0 for equal outputs and ln 2 for
    outputs that share no class.

    Args:
        p: (N, classes) probabilities of one network.
        q: (N, classes) probabilities of the other on the same images.

    Returns:
        (N,) in nats, 0 to ln 2; divided by ln 2, in bits, 0 to 1.

    Raises:
        ValueError: if these are not two equal shapes of probabilities of at least one image.
    """
    p, q = _pair(p, q)
    # scipy's jensenshannon is its root, which loses digits. 2p against p + q, not p against their half, which may be
    # zero where a tiny p is not.
    divergence = (rel_entr(2 * p, p + q) + rel_entr(2 * q, p + q)).sum(1) / 4
    result: npt.NDArray[np.float64] = np.clip(divergence, 0.0, math.log(2))
    return result


def mean_jensen_shannon(p: Probabilities, q: Probabilities, form: Form = "correct") -> float:
    """Mean Jensen–Shannon divergence over images, in nats (divided by ln 2: in bits).

    The official code of bad teaching, SSD and SUPREME calls ``F.kl_div(log p, m)``, which is KL(m‖p), arguments
    reversed, and averages over images *and* classes: a value about `classes` times smaller, with no upper bound.
    It is infinite as soon as one output is exactly 0 where the other is not, as after head zeroing.

    Args:
        p: (N, classes) probabilities of one network.
        q: (N, classes) probabilities of the other on the same images.
        form: ``correct``, 0 to ln 2; or ``official``, ½ Σ [m ln(m/p) + m ln(m/q)] / (N · classes), 0 to infinity.

    Raises:
        ValueError: as `jensen_shannon`.
    """
    if form == "correct":
        return float(jensen_shannon(p, q).mean())
    p, q = _pair(p, q)
    middle = (p + q) / 2
    return float((rel_entr(middle, p) + rel_entr(middle, q)).mean() / 2)


def zrf(unlearned: Probabilities, untrained: Probabilities, form: Form = "correct") -> float:
    """Zero retrain forgetting: 1 minus the divergence of the outputs from an untrained network's on the forget set.

    Source: Chundawat et al., arXiv 2205.08096, equation 4. 1 means outputs as those of a network that has learnt
    nothing. That is not the same as those of a retrained network, which has learnt the other classes: compare
    with the ZRF of retrained networks rather than with 1.

    Args:
        unlearned: (N, classes) probabilities on the forget set.
        untrained: (N, classes) probabilities of an untrained network on the same images, such as
            ``evaluate.outputs(models.fresh(model, generator), pixels).probabilities``; in evaluation mode,
            where official code may leave its teacher in training mode.
        form: of the divergence, see `mean_jensen_shannon`.

    Returns:
        1 - ln 2 = 0.307 to 1 (``correct``, in nats), or up to 1 (``official``).

    Raises:
        ValueError: as `jensen_shannon`.
    """
    return 1.0 - mean_jensen_shannon(unlearned, untrained, form)


def activation_distance(p: Probabilities, q: Probabilities, form: Form = "correct") -> float:
    """Mean Euclidean distance of the two networks' probabilities: mean over images of ‖p - q‖₂.

    Source: Golatkar et al., arXiv 1911.04933, as used by Chundawat et al., arXiv 2205.08096.

    Args:
        p: (N, classes) probabilities of one network.
        q: (N, classes) probabilities of the other on the same images.
        form: ``correct``, the mean; or ``official``, the root of the mean square as in SUPREME's code, never smaller.

    Returns:
        0 to √2.

    Raises:
        ValueError: as `jensen_shannon`.
    """
    p, q = _pair(p, q)
    apart = np.linalg.norm(p - q, axis=1)
    return float(apart.mean() if form == "correct" else math.sqrt((apart**2).mean()))


def agreement(predicted: npt.NDArray[np.int64], reference: npt.NDArray[np.int64]) -> float:
    """Share of images that two networks put in the same class, right or wrong ("completeness").

    Source: Cao and Yang 2015, IEEE Symposium on Security and Privacy.

    Args:
        predicted: (N,) most likely classes of one network.
        reference: (N,) those of the other, such as a retrained one, on the same images.

    Raises:
        ValueError: if these are not two equal numbers of predictions, at least one.
    """
    if predicted.ndim != 1 or predicted.shape != reference.shape or not len(predicted):
        raise ValueError("predicted: one class per image of both networks and at least one image expected, got shapes "
                         f"{predicted.shape} and {reference.shape}")
    return float((predicted == reference).mean())


@dataclass(frozen=True)
class Accuracies:
    """A network's accuracies, 0 to 1.

    Attributes:
        forget: on the training images to be forgotten.
        retain: on the other training images.
        test: on unseen images.
    """

    forget: float
    retain: float
    test: float

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not 0 <= value <= 1:
                raise ValueError(f"{field.name}: a share in [0, 1] expected, got {value}")


def tug_of_war(unlearned: Accuracies, retrained: Accuracies) -> float:
    """ToW: the product of 1 - |difference to retraining| over forget, retain and test accuracy; 1 is best.

    Source: Zhao et al., arXiv 2406.01257, section 3. Their ToW-MIA is the same with the scores of a membership
    attack on the forget set in the place of the forget accuracies.
    """
    gaps = [abs(mine - theirs) for mine, theirs in zip(astuple(unlearned), astuple(retrained), strict=True)]
    return float(np.prod(1 - np.array(gaps)))


def mean_accuracy(right: npt.NDArray[np.bool_], form: Form = "correct", batch_size: int = 256) -> float:
    """Share of right answers.

    Args:
        right: (N,) whether each image was predicted right, in the order in which it was evaluated.
        form: ``correct``; or ``official``, the mean of the batches' accuracies as in SSD's code, in which the images
            of a short last batch count for more.
        batch_size: of the official form.

    Raises:
        ValueError: if there is no image, or the batch size is not positive.
    """
    if right.ndim != 1 or not len(right):
        raise ValueError(f"right: one truth value per image and at least one image expected, got shape {right.shape}")
    if batch_size < 1:
        raise ValueError(f"batch_size: at least 1 expected, got {batch_size}")
    if form == "correct":
        return float(right.mean())
    return float(np.mean([right[i : i + batch_size].mean() for i in range(0, len(right), batch_size)]))


def _pair(p: Probabilities, q: Probabilities) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Both in double precision, each row adding up to 1 as nearly as that can."""
    if p.ndim != 2 or p.shape != q.shape or not p.size:
        raise ValueError("probabilities: two equal shapes (N, classes) of at least one image expected, got "
                         f"{p.shape} and {q.shape}")
    return _normalised(p), _normalised(q)


def _normalised(p: Probabilities) -> npt.NDArray[np.float64]:
    double = p.astype(np.float64)
    sums = double.sum(1, keepdims=True)
    if not (np.isfinite(double).all() and (double >= 0).all() and (abs(sums - 1) < _ROUNDING).all()):
        raise ValueError("probabilities: numbers from 0 on that add up to 1 for each image expected, got values from "
                         f"{double.min():g} to {double.max():g} and sums from {sums.min():g} to {sums.max():g}")
    result: npt.NDArray[np.float64] = double / sums
    return result
