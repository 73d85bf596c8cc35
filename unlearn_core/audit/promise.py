"""What a promise (epsilon, delta) lets an attacker find: the part of the ROC in which every attack must lie.

The promise speaks of two runs whose training sets hold the same retained images and any others to be forgotten:
whatever one looks for in the result is at most e^epsilon times as likely in one as in the other, plus delta. Let an
attacker call an image a member by any statistic and threshold fixed beforehand. Exchange a forgotten training image
with a never-seen one of the same kind: were the two drawn alike, then on average the chance that the never-seen image
is called a member equals the chance that the forgotten one would be, had it not been trained on. So, over images and
over the method's noise,

    TPR <= e^epsilon FPR + delta,   FPR <= e^epsilon TPR + delta,

and the same two for 1 - TPR and 1 - FPR, since an attacker may call the others members. A measured curve is one run on
some images, with a threshold chosen on them, so chance may carry it a little outside.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from unlearn_core.audit.roc import LOW_RATES, Roc

Float64 = npt.NDArray[np.float64]

RATE = LOW_RATES[0]
"""The false-positive rate at which the promise is said in words."""
NOTHING = 0.99
"""Share of members that may be found at `RATE` from which a promise counts as empty."""


@dataclass(frozen=True)
class Promise:
    """A promise of unlearning.

    Attributes:
        epsilon: at least 0.
        delta: in [0, 1].
    """

    epsilon: float
    delta: float

    def region(self, fpr: Float64) -> Float64:
        """(2, N) the smallest and the largest TPR that are allowed at (N,) false-positive rates."""
        factor = np.exp(min(self.epsilon, 700.0))  # beyond it everything is allowed, and no number is left
        highest = np.minimum(factor * fpr + self.delta, 1 - (1 - fpr - self.delta) / factor)
        lowest = np.maximum((fpr - self.delta) / factor, 1 - self.delta - factor * (1 - fpr))
        return np.stack([lowest, highest]).clip(0, 1)

    @property
    def auc(self) -> float:
        """The largest area under a ROC within the region: that under its upper edge, of three straight pieces."""
        corner = (1 - self.delta) / (1 + np.exp(min(self.epsilon, 700.0)))
        left = corner * (self.delta + 1 - corner) / 2
        return float(left + (1 - self.delta - corner) * (2 - corner) / 2 + self.delta)

    @property
    def found(self) -> float:
        """The largest share of members that an attack may find at `RATE`."""
        return float(self.region(np.array([RATE]))[1, 0])

    @property
    def empty(self) -> bool:
        """Whether it allows next to everything."""
        return self.found >= NOTHING

    def __str__(self) -> str:
        return f"ε = {self.epsilon:g}, δ = {self.delta:g}"

    def beside(self, attack: Roc) -> str:
        """What it allows beside what one attack found, in sentences."""
        if self.empty:
            return (f"This promise is empty: it allows an attack to find {self.found:.1%} of the members at "
                    f"{RATE:.0%} false alarms, so no measurement could break it. Only what is measured says anything.")
        here = next(at for at in attack.low if at.rate == RATE)
        measured = f"; this one finds {here.value:.1%}" if here.resolved else ""
        return (f"On average over noise and images, no attack may find more than {self.found:.1%} of the members at "
                f"{RATE:.0%} false alarms{measured}. None may reach an AUC above {self.auc:.2f}; this one has "
                f"{attack.auc:.2f}. The promise holds against everybody who does not know the noise's seed, the "
                "measurement is of this one attacker.")


def promise_of(trace: Mapping[str, float]) -> Promise | None:
    """What a method's run promised, by the numbers that it noted down; None for most methods."""
    if "promised_epsilon" not in trace:
        return None
    return Promise(trace["promised_epsilon"], trace["promised_delta"])
