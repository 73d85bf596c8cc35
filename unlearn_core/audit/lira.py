"""Likelihood-ratio membership inference: each image judged against its own history in shadow models."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

Float64 = npt.NDArray[np.float64]
Variance = Literal["image", "pooled", "common"]

PER_IMAGE_FROM = 64
"""Shadow models from which on each image has a variance of its own (Carlini et al., arXiv 2112.03570, section VI)."""

_FLOOR = 0.01  # of the pooled standard deviation: no image is more certain than this


@dataclass(frozen=True, eq=False)
class Shadows:
    """What shadow models say of the audited images.

    Attributes:
        margins: (K, N) logit margin of each image's true class under each model.
        inside: (K, N) whether that model saw that image.
    """

    margins: npt.NDArray[np.floating]
    inside: npt.NDArray[np.bool_]

    def of(self, images: npt.NDArray[np.bool_]) -> Shadows:
        """The same models on the chosen images only."""
        return Shadows(self.margins[:, images], self.inside[:, images])

    def score(self, target: npt.NDArray[np.floating]) -> Float64:
        """(N,) how much more like a member than not each image of the audited model is; see `lira`.

        All Gaussians have one variance: a model that forgot, or is surer than any shadow model, may lie far outside
        of both, and there the wider of two would win, whatever the margin. With one variance the ratio rises with the
        margin (falls, for the few images that models which saw them are less sure of).
        """
        return lira(self.margins, self.inside, target, least=2, variance="common").score

    def leave_one_out(self) -> Float64:
        """(K, N) the score of each model as the target of the others: what LiRA can do on models of their kind."""
        margins, inside = self.margins, self.inside
        return np.stack([Shadows(np.delete(margins, k, 0), np.delete(inside, k, 0)).score(margins[k])
                         for k in range(len(margins))])


@dataclass(frozen=True, eq=False)
class Lira:
    """What the shadow models say of each image.

    The two forms are on different scales: one ROC must not mix them, and `score` does not.

    Attributes:
        log_ratio: (N,) online form, log N(margin; in) - log N(margin; out); NaN where either side has too few models.
        deviations: (N,) offline form, how many standard deviations the margin lies above what models say that did not
            see the image; NaN where those are too few. The paper's 1 - Pr[Z > margin] is the normal distribution
            function of it, which orders the images alike but is 1 to machine precision from 8.3 on.
        variance: whether the Gaussians had a variance per image, one for each side, or one in common.
    """

    log_ratio: Float64
    deviations: Float64
    variance: Variance

    @property
    def form(self) -> Literal["online", "offline"]:
        """Online if every image has it, else offline."""
        return "offline" if np.isnan(self.log_ratio).any() else "online"

    @property
    def score(self) -> Float64:
        """(N,) the statistic of one form for all images, higher is more like a member."""
        return self.log_ratio if self.form == "online" else self.deviations

    @property
    def out_tail(self) -> Float64:
        """(N,) Pr[Z > margin] for a model that did not see the image: small if this one looks as if it had."""
        result: Float64 = ndtr(-self.deviations)
        return result


def lira(margins: npt.NDArray[np.floating], inside: npt.NDArray[np.bool_], target: npt.NDArray[np.floating], *,
         least: int = 4, variance: Variance | None = None) -> Lira:
    """LiRA (Carlini et al., arXiv 2112.03570, algorithm 1), or U-LiRA (Hayes et al., arXiv 2403.01218).

    For LiRA the shadow models are trained; for U-LiRA they are trained and then made to forget what the audited model
    forgot, and "inside" means: was in the training set before the forgetting. The arithmetic is the same. Each image
    gets a Gaussian of its logit margins on either side. Means are per image; variances too from 64 models on, and
    pooled within images below that. (The paper's code takes the spread over all images for the pooled form, which
    also holds the differences between images; within is what the Gaussians need.) A variance of 0 is raised to that
    of 1 % of the pooled standard deviation.

    Args:
        margins: (K, N) logit margin of each image under each shadow model (see `membership.margins`).
        inside: (K, N) whether that model saw that image.
        target: (N,) margins of the audited model.
        least: models that each side of an image must have, at least 2.
        variance: ``image``, ``pooled`` within each side, or ``common`` to both; by the number of models if not given.

    Raises:
        ValueError: if shapes disagree, a margin is not finite, or an image has fewer than `least` OUT models and
            could be judged in neither form.
    """
    values, aim = np.asarray(margins, dtype=np.float64), np.asarray(target, dtype=np.float64)
    if values.ndim != 2 or inside.shape != values.shape or aim.shape != values.shape[1:]:
        raise ValueError("margins, inside, target: shapes (models, images) twice and (images,) expected, "
                         f"got {values.shape}, {inside.shape} and {aim.shape}")
    if not values.size:
        raise ValueError("margins: at least one image under at least one shadow model expected, got none")
    if least < 2:
        raise ValueError(f"least: at least 2 models for a variance expected, got {least}")
    if not (np.isfinite(values).all() and np.isfinite(aim).all()):
        raise ValueError("margins, target: finite values expected, got NaN or infinity")
    kind: Variance = variance or ("image" if len(values) >= PER_IMAGE_FROM else "pooled")
    out_mean, out_deviation, out_enough = _gaussians(values, ~inside, least, kind)
    if not out_enough.all():
        raise ValueError(f"inside: at least {least} shadow models that did not see it expected for every image, "
                         f"got fewer for {int((~out_enough).sum())} of {len(aim)}")
    in_mean, in_deviation, in_enough = _gaussians(values, inside, least, kind)
    if kind == "common" and in_enough.any():
        in_deviation = out_deviation = np.sqrt((in_deviation**2 + out_deviation**2) / 2)
    off_out = (aim - out_mean) / out_deviation
    off_in = (aim - in_mean) / in_deviation
    ratio = (off_out**2 - off_in**2) / 2 + np.log(out_deviation / in_deviation)
    return Lira(np.where(in_enough, ratio, np.nan), off_out, kind)


def _gaussians(values: Float64, chosen: npt.NDArray[np.bool_], least: int,
               kind: Variance) -> tuple[Float64, Float64, npt.NDArray[np.bool_]]:
    """(N,) mean and standard deviation of each image's chosen margins, and whether they are enough."""
    count = chosen.sum(0)
    mean = np.where(chosen, values, 0).sum(0) / np.maximum(count, 1)
    squares = (np.where(chosen, values - mean, 0)**2).sum(0)
    enough = count >= least
    freedom = int((count - 1)[enough].sum())
    pooled = float(np.sqrt(squares[enough].sum() / freedom)) if freedom else 0.0
    spread = np.sqrt(squares / np.maximum(count - 1, 1)) if kind == "image" else np.full(len(count), pooled)
    return mean, np.maximum(spread, max(_FLOOR * pooled, 1e-6)), enough
