"""What forgetting some does to the rest: each retained image's risk of being found, before and after."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import stdtrit

from unlearn_core.audit.distinguish import LEAST_SEEDS
from unlearn_core.audit.lira import Shadows
from unlearn_core.audit.membership import statistics
from unlearn_core.audit.roc import bootstrap, roc

Float64 = npt.NDArray[np.float64]
Float32 = npt.NDArray[np.float32]

RATE = 0.01
"""The false-positive rate at which members are looked for."""


@dataclass(frozen=True, eq=False)
class RetainedRisk:
    """The risk of the training images that were to be kept: LiRA's log-likelihood ratio "seen" to "not seen".

    Attributes:
        number: (P,) which evaluation image it is.
        before: (P,) in the original.
        after: (P,) in the unlearned model.
        rise: (P,) by how much the arsinh of the risk exceeds the larger of what it was before and what one more
            retrained network would show (95 % prediction interval of the image); without retrained networks, what it
            was before. Positive: it rose by more than they vary.
        null_risen: (seeds,) how many images are so risen in each retrained network, the others being its yardstick;
            None if there are fewer than three.
        found_before: share of the images found in the original at 1 % false alarms, with its 95 % interval.
        found_after: the same in the unlearned model.
        found_retrained: (seeds,) the same in each retrained network; None if there are fewer than three.
    """

    number: npt.NDArray[np.int64]
    before: Float64
    after: Float64
    rise: Float64
    null_risen: npt.NDArray[np.int64] | None
    found_before: tuple[float, tuple[float, float]]
    found_after: tuple[float, tuple[float, float]]
    found_retrained: Float64 | None

    @property
    def risen(self) -> npt.NDArray[np.bool_]:
        """(P,) whose risk rose by more than retrained networks vary."""
        return self.rise > 0

    @property
    def finding(self) -> str:
        """One sentence that follows from the numbers."""
        (was, _), (now, ends) = self.found_before, self.found_after
        said = (f"Of {len(self.before)} retained training images LiRA finds {now:.1%} (95 % interval {ends[0]:.1%} to "
                f"{ends[1]:.1%}) at 1 % false alarms, before forgetting {was:.1%}")
        if self.null_risen is None or self.found_retrained is None:
            return said + "."
        seeds, risen = self.null_risen, int(self.risen.sum())
        more = ("more than" if risen > seeds.max() else "no more than" if risen >= seeds.min() else "fewer than")
        return (f"{said}, in retrained networks {self.found_retrained.min():.1%} to {self.found_retrained.max():.1%}; "
                f"{risen} became riskier by more than retrained networks vary, {more} by chance ({seeds.min()} to "
                f"{seeds.max()} in a retrained network).")


def retained_risk(unlearned: Float32, original: Float32, retrained: Float32 | None, labels: npt.NDArray[np.int64],
                  member: npt.NDArray[np.bool_], forgotten: npt.NDArray[np.bool_], shadows: Shadows) -> RetainedRisk:
    """Compare every retained training image's risk before and after (Hayes et al., arXiv 2403.01218, found it to rise).

    Args:
        unlearned: (N, classes) logits of the audited model.
        original: (N, classes) logits before unlearning.
        retrained: (seeds, N, classes) logits of retrained networks; None, or fewer than 3: without that comparison.
        labels: (N,) true classes.
        member: (N,) whether the image was in the original's training set.
        forgotten: (N,) whether the image is of what was to be forgotten.
        shadows: shadow models as trained, of all N images.

    Raises:
        ValueError: if an output is not finite, or there is no retained member or no unseen image of their classes.
    """
    kept = ~forgotten
    seen, models = member[kept], shadows.of(kept)

    def risk(logits: Float32) -> Float64:
        return models.score(statistics(logits[kept], labels[kept])["margin"])

    before, after = risk(original), risk(unlearned)
    seeds = None if retrained is None or len(retrained) < LEAST_SEEDS else np.stack([risk(r) for r in retrained])
    null_risen = found_retrained = None
    if seeds is not None:
        null_risen = np.array([int((_rise(seeds[k][seen], before[seen], np.delete(seeds, k, 0)[:, seen]) > 0).sum())
                               for k in range(len(seeds))])
        found_retrained = np.array([roc(seed[seen], seed[~seen], (RATE,)).low[0].value for seed in seeds])
    rise = _rise(after[seen], before[seen], None if seeds is None else seeds[:, seen])
    return RetainedRisk(np.flatnonzero(kept & member), before[seen], after[seen], rise, null_risen,
                        _share(before, seen), _share(after, seen), found_retrained)


def _share(risk: Float64, seen: npt.NDArray[np.bool_]) -> tuple[float, tuple[float, float]]:
    """Share of the members found at 1 % false alarms, with its interval."""
    members, others = risk[seen], risk[~seen]
    around = bootstrap(members, others, np.random.default_rng(0), resamples=400, rates=(RATE,), grid=np.array([RATE]))
    return roc(members, others, (RATE,)).low[0].value, around.low[0]


def _rise(risk: Float64, before: Float64, seeds: Float64 | None) -> Float64:
    """How far each image's risk lies above what it was and above what one more of the seeds would show."""
    bound = np.arcsinh(before)
    if seeds is not None:
        values, count = np.arcsinh(seeds), len(seeds)
        reach = float(stdtrit(count - 1, 0.975)) * math.sqrt(1 + 1 / count)
        bound = np.maximum(bound, values.mean(0) + reach * values.std(0, ddof=1))
    result: Float64 = np.arcsinh(risk) - bound
    return result
