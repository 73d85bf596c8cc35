"""KLoM: how differently unlearned and retrained networks answer, image by image (arXiv 2602.16400).

The KL divergence between the distribution of the logit margin over unlearned networks and that over retrained ones. The
paper has a hundred networks of each and compares histograms. With the few at hand an image's margins are taken as
normal with one standard deviation for both kinds of network: the divergence is then half the squared standardised
difference of their means. What chance adds on average is taken off an image's value, which then is no less than 0, so
that a mean over images stays above 0; the interval says how little few networks know.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq
from scipy.special import digamma, polygamma, stdtrit

from unlearn_core.audit.distinguish import LEAST_SEEDS

Float64 = npt.NDArray[np.float64]
CAP = 100.0
"""Nats: larger values say no more than that the answers have nothing in common (the paper clips there too)."""


@dataclass(frozen=True, eq=False)
class KLoM:
    """Divergence of the margins of unlearned from those of retrained networks.

    Attributes:
        value: (N,) per image, in nats, bias taken off, 0 to `CAP`.
        low: (N,) lower end of the 95 % interval.
        high: (N,) upper end.
        shift: (N,) mean margin of the unlearned less that of the retrained, in logits; positive: surer than these.
        null: (R,) mean of `value` of each retrained network against the others: what chance gives.
        null_apart: (R,) share of images whose interval leaves out 0, of each retrained network against the others.
    """

    value: Float64
    low: Float64
    high: Float64
    shift: Float64
    null: Float64
    null_apart: Float64

    @property
    def mean(self) -> float:
        """Over the images."""
        return float(self.value.mean())

    @property
    def sentence(self) -> str:
        """What was found, in a sentence."""
        among = " to ".join(dict.fromkeys(f"{share:.0%}" for share in (self.null_apart.min(), self.null_apart.max())))
        return (f"Image by image its margins are {self.mean:.1f} nats from retrained networks' (KLoM); held-out "
                f"retrained networks' are {self.null.min():.1f} to {self.null.max():.1f} from the others'. For "
                f"{(self.low > 0).mean():.0%} of the images the 95 % interval leaves out 0; for held-out retrained "
                f"networks it does so for {among}.")


def klom(unlearned: npt.NDArray[np.floating], retrained: npt.NDArray[np.floating]) -> KLoM:
    """Compare the margins of U unlearned with those of R retrained networks on the same images.

    Args:
        unlearned: (U, N) logit margin of the true class; of U = 1 the spread is taken to be that of the retrained.
        retrained: (R, N) of R >= 3 networks trained without the images.

    Raises:
        ValueError: if shapes disagree, there are no images, fewer than 3 retrained networks, the margins of two of
            them are equal, or one is not finite.
    """
    mine, seeds = np.asarray(unlearned, np.float64), np.asarray(retrained, np.float64)
    if mine.ndim != 2 or seeds.ndim != 2 or mine.shape[1:] != seeds.shape[1:] or not mine.size:
        raise ValueError("unlearned, retrained: shapes (networks, images) with the same images, at least one, "
                         f"expected, got {mine.shape} and {seeds.shape}")
    if len(seeds) < LEAST_SEEDS:
        raise ValueError(f"retrained: at least {LEAST_SEEDS} networks expected, got {len(seeds)}")
    if not (np.isfinite(mine).all() and np.isfinite(seeds).all()):
        raise ValueError("unlearned, retrained: finite margins expected, got NaN or infinity")
    if copies(seeds):
        raise ValueError("retrained: margins that differ between networks expected, got equal ones")
    held_out = [_divergence(seeds[i:i + 1], np.delete(seeds, i, 0)) for i in range(len(seeds))]
    return KLoM(*_divergence(mine, seeds), mine.mean(0) - seeds.mean(0),
                np.array([value.mean() for value, _, _ in held_out]),
                np.array([(low > 0).mean() for _, low, _ in held_out]))


def copies(margins: npt.NDArray[np.floating]) -> bool:
    """Whether two of (R, N) networks answer alike: one network twice says nothing of a third."""
    return len(np.unique(margins, axis=0)) < len(margins)


def _divergence(mine: Float64, seeds: Float64) -> tuple[Float64, Float64, Float64]:
    """Value and the ends of its 95 % interval."""
    variance, freedom = squeezed(seeds.var(0, ddof=1), len(seeds) - 1)
    apart = (mine.mean(0) - seeds.mean(0)) / np.sqrt(variance)
    error = 1 / len(mine) + 1 / len(seeds)
    # Few images do not say how alike their variances are: the freedom that is gained from them is bounded. The
    # difference is in units of a standard deviation that is not known exactly either. In all, 94 to 100 % where 95 %
    # are asked, of 3 to 200 images, alike or not, with 3 or 5 networks, 0 to 8 standard deviations apart.
    freedom = min(freedom, (len(seeds) - 1) * (1 + math.log(seeds.shape[1])))
    half = float(stdtrit(freedom, 0.975)) * np.sqrt(error + apart**2 / (2 * freedom))
    least = np.maximum(np.abs(apart) - half, 0)
    value, low, high = ((apart**2 - error) / 2, least**2 / 2, (np.abs(apart) + half)**2 / 2)
    return np.clip(value, 0, CAP), np.clip(low, 0, CAP), np.clip(high, 0, CAP)


def squeezed(variances: Float64, freedom: int) -> tuple[Float64, float]:
    """Variances of many images, each known from few networks, drawn towards what they have in common.

    Empirical Bayes with an inverse-chi-squared prior, its two parameters by the moments of the logarithms.
    Source: Smyth 2004, Statistical Applications in Genetics and Molecular Biology 3(1), section 6.2.

    Args:
        variances: (N,) of each image, unbiased.
        freedom: degrees of freedom of each.

    Returns:
        (N,) the posterior variances, and their degrees of freedom, infinite if all images have one variance.
    """
    known = variances[variances > 0]
    logs = np.log(known) - digamma(freedom / 2) + math.log(freedom / 2)
    excess = (float(logs.var(ddof=1)) if len(logs) > 1 else 0.0) - float(polygamma(1, freedom / 2))
    if excess <= polygamma(1, 1e6):
        return np.full_like(variances, math.exp(logs.mean())), math.inf
    half = float(brentq(lambda x: float(polygamma(1, x)) - excess, 1e-3, 1e6))
    prior = math.exp(float(logs.mean()) + float(digamma(half)) - math.log(half))
    return (2 * half * prior + freedom * variances) / (2 * half + freedom), 2 * half + freedom
