"""How far each image moved from one network to another that was made from it: its embedding, and its answer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from unlearn_core.nets.evaluate import Outputs

Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Moved:
    """How far each of N images moved.

    Attributes:
        embedding: (N,) distance between its features before and after, where 1 is as far as two of the images lay
            apart before (root mean square over all pairs).
        answer: (N,) Euclidean distance between its probabilities before and after; 0 to 1.41.
        before: (N,) most likely class before.
        after: (N,) most likely class after.
    """

    embedding: Float64
    answer: Float64
    before: npt.NDArray[np.int64]
    after: npt.NDArray[np.int64]

    def most(self, of: npt.NDArray[np.bool_], number: int, afresh: bool = False) -> list[int]:
        """Positions of the images that moved most among some, by their embedding and then by their answer.

        Of a network made afresh, whose embedding is its own, by their answer alone.
        """
        chosen = np.flatnonzero(of)
        keys = (-self.answer[chosen],) if afresh else (-self.answer[chosen], -self.embedding[chosen])
        return [int(i) for i in chosen[np.lexsort(keys)][:number]]


def moved(before: Outputs, after: Outputs) -> Moved:
    """How far images moved.

    Args:
        before: of N images.
        after: of the same, from a network whose features stand in the same order: one that started from the other.

    Raises:
        ValueError: if there are no images, or not the same number of them or of features.
    """
    if before.features.shape != after.features.shape or before.logits.shape != after.logits.shape or \
            not len(before.logits):
        raise ValueError("before, after: outputs of the same images expected, at least one, got features of shapes "
                         f"{before.features.shape} and {after.features.shape}")
    first, then = before.features.astype(np.float64), after.features.astype(np.float64)
    apart = np.linalg.norm(then - first, axis=1)
    n = len(first)
    # The mean of squared distances over pairs of different images is twice the variance, summed over features.
    usual = float(np.sqrt(2 * first.var(0).sum() * n / max(n - 1, 1)))
    return Moved(np.divide(apart, usual, out=np.zeros(n), where=usual > 0),
                 np.linalg.norm(after.probabilities.astype(np.float64) - before.probabilities, axis=1),
                 before.predicted, after.predicted)
