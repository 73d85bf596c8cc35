"""Is an unlearned network nearer to the retrained ones or to the original? One needle between both.

The question of the relative three-sample audit (arXiv 2601.19755): two retrained networks differ from each other
already, so that "not equal to a retrained one" is no fault. What forgetting must do is come nearer to those that never
saw the images than to the one that did. Theirs is a kernel test of one network each; here distances are those of
`distinguish`, and the several retrained networks at hand say how sure the answer is. Where few images are to be
forgotten, retrained networks may lie as far from each other as from the original; each held out in turn, they say how
often one of them is not nearer either.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

Float64 = npt.NDArray[np.float64]
Side = Literal["retrained", "original", "between"]

LEAST_SEEDS = 2


@dataclass(frozen=True, eq=False)
class Relative:
    """Where a network stands between the original and the retrained ones.

    Attributes:
        shares: (R,) for each retrained network, d(original) / (d(original) + d(retrained)), where d is the mean
            distance of outputs: 0 is the original itself, ½ as far from both, 1 that retrained network itself.
        null: (R,) the needle of each retrained network among the others: where forgetting would put it.
        least: (R,) the least share of each retrained network among the others.
        p: how often the original would be as far away as it is, or farther, among all R + 1 networks, if it were one
            like the others: no smaller than 1 / (R + 1), which says no more than that it is the farthest.
        per_image: (N,) the same share of each image's distances, mean over seeds; ½ where both are zero.
    """

    shares: Float64
    null: Float64
    least: Float64
    p: float
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
    def side(self) -> Side:
        """Which it is nearer to, if the comparison with each retrained network says the same."""
        if (self.shares > 0.5).all():
            return "retrained"
        return "original" if (self.shares < 0.5).all() else "between"

    @property
    def sentence(self) -> str:
        """What was found, and what that is worth, in a sentence or two."""
        n, failing = len(self.shares), len(self.least) - self.passing
        where = f"{self.needle:.2f}, where 0 is the original and retrained networks lie at " \
                f"{self.null.min():.2f} to {self.null.max():.2f}"
        if self.side == "retrained":
            return (f"Nearer to each of {n} retrained networks than to the original ({where}; p = {self.p:.2g}, the "
                    f"least that {n} can give).") + (
                f" Of the retrained networks, each held out, only {self.passing} of {n} "
                f"{'is' if self.passing == 1 else 'are'} so too." if failing else "")
        said = (f"Nearer to the original than to any of {n} retrained networks ({where})." if self.side == "original"
                else f"Between the original and the retrained networks: nearer to {int((self.shares > 0.5).sum())} of "
                f"{n} retrained ones than to the original ({where}).")
        return said + (f" That proves little here: of the retrained networks, each held out, {failing} of {n} "
                       f"{'is' if failing == 1 else 'are'} not nearer to all of the others either." if failing else "")


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
    farther = (found <= 0.5).sum()  # retrained networks that are as far away as the original, or farther
    return Relative(found, null, least, float((1 + farther) / (1 + len(seeds))), per_image)


def _share(original: Float64, retrained: Float64) -> Float64:
    total = original + retrained
    result: Float64 = np.divide(original, total, out=np.full_like(total, 0.5), where=total > 0)
    return result
