"""Two questions that are no part of the verdict, as checks, so that they are tried on networks of known truth as well.

Whether a network is nearer to retraining than to the original, which those pass too that only hide what they know, and
of persons hardly any; how differently it answers image by image (KLoM), which hardly any passes. docs/relative.md has
both, measured.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from unlearn_core.audit.distinguish import LEAST_SEEDS, Placement, further
from unlearn_core.audit.evidence import HEAD_ZEROING, ORIGINAL, Check, Model, Models, passes
from unlearn_core.audit.klom import copies, klom
from unlearn_core.audit.membership import true_margins
from unlearn_core.audit.relative import LEAST_SEEDS as LEAST_NEAR
from unlearn_core.audit.relative import relative
from unlearn_core.nets.evaluate import softmax

NEARER, KLOM = "Nearer to retraining", "KLoM"


def beside(networks: Models, retrained: Sequence[Model], labels: npt.NDArray[np.int64], member: npt.NDArray[np.bool_],
           forgotten: npt.NDArray[np.bool_], before: Model, hold_out: bool = True) -> list[Check]:
    """Both questions asked of every network, as `evidence.gather` asks the verdict's.

    Args:
        networks: by name.
        retrained: without three of them nothing is asked.
        labels: (N,) true classes of the audited images.
        member: (N,) whether the image was in the original's training set.
        forgotten: (N,) whether the image belongs to what was to be forgotten.
        before: the original.
        hold_out: whether to ask of held-out retrained networks too.
    """
    seen = member & forgotten
    true, first = labels[seen], softmax(before.logits[seen])
    twice = copies(np.array([true_margins(model.logits[seen], true) for model in retrained]))

    def nearer(mine: Model, others: Sequence[Model]) -> Placement:
        found = relative(softmax(mine.logits[seen]), first, softmax(np.stack([o.logits[seen] for o in others])))
        return Placement(float(found.shares.min()), found.least, (0.5, math.inf), by_rule=True)

    def unlike(mine: Model, others: Sequence[Model]) -> Placement:
        found = klom(true_margins(mine.logits[None, seen], true),
                     true_margins(np.stack([o.logits[seen] for o in others]), true))
        return Placement(found.mean, found.null, further(found.null, "high", of_pairs=True))

    def asked(place: Callable[[Model, Sequence[Model]], Placement],
              least: int) -> tuple[tuple[Placement, ...], dict[str, Placement]]:
        if len(retrained) < LEAST_SEEDS or twice:
            return (), {}
        rest = [[*retrained[:i], *retrained[i + 1:]] for i in range(len(retrained))] if hold_out else []
        held = [place(own, others) for own, others in zip(retrained, rest, strict=False) if len(others) >= least]
        return tuple(held), {name: place(model, retrained) for name, model in networks.items()}

    return [
        Check(NEARER, "the smallest share, over retrained networks, of the way from the original to that one; above "
              "½ it is nearer to each of them", "privacy", False, None, *asked(nearer, LEAST_NEAR)),
        Check(KLOM, "mean divergence of the margins from retrained networks', image by image", "privacy", False, None,
              *asked(unlike, LEAST_SEEDS))]


def self_test(check: Check) -> str:
    """How a question fares on the networks of which the truth is known, in a sentence."""
    held = f"{check.passing} of {len(check.held_out)} held-out retrained networks pass" if check.held_out else \
        "retrained networks are too few to hold one out"
    others = [f"{words} {'passes' if passes(check.judged[name]) else 'fails'}" for name, words in (
        (ORIGINAL, "the original"), (HEAD_ZEROING, "head zeroing")) if name in check.judged]
    worth = {"works": "", "strict": " Retrained networks fail it too, so to fail it proves little.",
             "uninformative": " It does not see even the untouched original, so here it proves nothing."}[check.worth]
    return f"Tried on networks of known truth: {', '.join([held, *others])}.{worth}"
