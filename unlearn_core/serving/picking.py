"""Single training images to be forgotten, chosen by a rule among those on show."""

from __future__ import annotations

from typing import Literal

import numpy as np

from unlearn_core.nets.request import IMAGE, Request
from unlearn_core.serving.scenes import Base

Way = Literal["at random", "the hardest", "the easiest"]
WAYS: dict[Way, str] = {
    "at random": "the same ones for everybody.",
    "the hardest": "those of whose true class the original is least sure.",
    "the easiest": "those of whose true class it is surest.",
}
MOST_PICKED = 100


def pick(base: Base, way: Way, count: int) -> Request:
    """So many of the training images of the evaluation set.

    Args:
        base: the original and its images.
        way: the rule.
        count: of images, at most half of those on show are taken.
    """
    evaluation = base.subject.evaluation
    members = np.flatnonzero(evaluation.member)
    sureness = base.before.probabilities[members, evaluation.labels[members]]
    order = {"at random": np.random.default_rng(0).permutation(len(members)), "the hardest": np.argsort(sureness),
             "the easiest": np.argsort(-sureness)}[way]
    rows = evaluation.row[members[order[:min(count, len(members) // 2)]]]
    return Request(tuple(sorted(map(int, rows))), IMAGE)
