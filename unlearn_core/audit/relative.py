"""Is an unlearned network nearer to the retrained ones or to the original? One needle between both.

The question of the relative three-sample audit (arXiv 2601.19755): two retrained networks differ from each other
already, so that "not equal to a retrained one" is no fault. What forgetting must do is come nearer to those that never
saw the images than to the one that did. It is a weaker question than `distinguish` asks, and has the fewest false
alarms. Theirs is a kernel test of one network each; here distances are those of `distinguish`, and the several
retrained networks at hand say how sure the answer is.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Literal

import numpy as np
import numpy.typing as npt

Float64 = npt.NDArray[np.float64]
Side = Literal["retrained", "original", "between"]

LEAST_SEEDS = 2
MOST_SEEDS = 16
"""All sign changes of so many seeds are tried, 65,536 of them; of more, only the first so many."""


@dataclass(frozen=True, eq=False)
class Relative:
    """Where a network stands between the original and the retrained ones.

    Attributes:
        shares: (R,) for each retrained network, d(original) / (d(original) + d(retrained)), where d is the mean
            distance of outputs: 0 is the original itself, ½ as far from both, 1 that retrained network itself.
        null: (R,) the needle of each retrained network among the others: where forgetting would put it.
        least: (R,) the least share of each retrained network among the others.
        p: of the needle or a higher one if a network were as near to either (all sign changes over seeds are tried).
        least_p: the smallest p that so few retrained networks can give.
        per_image: (N,) the same share of each image's distances, mean over seeds; ½ where both are zero.
    """

    shares: Float64
    null: Float64
    least: Float64
    p: float
    least_p: float
    per_image: Float64

    @property
    def needle(self) -> float:
        """Mean share over the retrained networks."""
        return float(self.shares.mean())

    @property
    def passing(self) -> int:
        """How many retrained networks, each held out, are nearer to all of the others than to the original."""
        return int((self.least > 0.5).sum())

    @property
    def tells(self) -> bool:
        """Whether the question has an answer here: retrained networks differ by as much where few images are asked."""
        return self.passing == len(self.least)

    @property
    def side(self) -> Side:
        """Which it is nearer to, if the comparison with each retrained network says the same; see `tells`."""
        if (self.shares > 0.5).all():
            return "retrained"
        return "original" if (self.shares < 0.5).all() else "between"

    @property
    def sentence(self) -> str:
        """What was found, in a sentence."""
        n = len(self.shares)
        where = f"{self.needle:.2f}, where 0 is the original and retrained networks lie at " \
                f"{self.null.min():.2f} to {self.null.max():.2f}"
        if not self.tells:
            return (f"Cannot be told here: of {n} retrained networks, each held out, "
                    f"{f'only {self.passing}' if self.passing else 'none'} "
                    f"{'is' if self.passing < 2 else 'are'} nearer to all of the others than to the original. "
                    f"This network lies at {where}.")
        if self.side == "between":
            return (f"Between the original and the retrained networks: nearer to {int((self.shares > 0.5).sum())} of "
                    f"{n} retrained ones than to the original ({where}).")
        likelihood = f"p = {self.p:.2g}" + (f", the least that {n} can give" if self.p <= self.least_p else "")
        if self.side == "retrained":
            return f"Nearer to each of {n} retrained networks than to the original ({where}; {likelihood})."
        return f"Nearer to the original than to any of {n} retrained networks ({where})."


def relative(unlearned: npt.NDArray[np.floating], original: npt.NDArray[np.floating],
             retrained: npt.NDArray[np.floating]) -> Relative:
    """Place a network between the original and the retrained ones, by its outputs on the images to be forgotten.

    Args:
        unlearned: (N, classes) probabilities of the network at hand.
        original: (N, classes) of the network before.
        retrained: (R, N, classes) of R >= 2 networks trained without the images.

    Raises:
        ValueError: if shapes disagree, there are no images, fewer than 2 retrained networks, or a value is not finite.
    """
    mine, first, seeds = (np.asarray(a, np.float64) for a in (unlearned, original, retrained))
    if mine.ndim != 2 or mine.shape != first.shape or seeds.ndim != 3 or seeds.shape[1:] != mine.shape:
        raise ValueError("unlearned, original, retrained: shapes (images, classes) twice and (seeds, images, classes) "
                         f"expected, got {mine.shape}, {first.shape} and {seeds.shape}")
    if not mine.size:
        raise ValueError("unlearned: at least one image expected, got none")
    if len(seeds) < LEAST_SEEDS:
        raise ValueError(f"retrained: at least {LEAST_SEEDS} networks expected, got {len(seeds)}")
    if not (np.isfinite(mine).all() and np.isfinite(first).all() and np.isfinite(seeds).all()):
        raise ValueError("unlearned, original, retrained: finite outputs expected, got NaN or infinity")

    def shares(network: Float64, others: Float64) -> Float64:
        apart: Float64 = np.linalg.norm(others - network, axis=2).mean(1)
        return _share(np.full_like(apart, np.linalg.norm(network - first, axis=1).mean()), apart)

    found = shares(mine, seeds)
    held_out = [shares(seed, np.delete(seeds, i, 0)) for i, seed in enumerate(seeds)]
    null, least = (np.array([read(each) for each in held_out]) for read in (np.mean, np.min))
    apart: Float64 = np.linalg.norm(seeds - mine, axis=2)
    per_image = _share(np.broadcast_to(np.linalg.norm(mine - first, axis=1), apart.shape), apart).mean(0)
    return Relative(found, null, least, *_permuted(found - 0.5), per_image)


def _share(original: Float64, retrained: Float64) -> Float64:
    total = original + retrained
    result: Float64 = np.divide(original, total, out=np.full_like(total, 0.5), where=total > 0)
    return result


def _permuted(values: Float64) -> tuple[float, float]:
    """One-sided p of the mean under all changes of sign, and the smallest possible."""
    few = values[:MOST_SEEDS]
    signs = np.array(list(product((1.0, -1.0), repeat=len(few))))
    # The order of additions differs: what ties up to rounding must count.
    return float(((signs * few).mean(1) >= few.mean() - 1e-12).mean()), 1 / len(signs)
