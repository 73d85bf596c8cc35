"""Play the attacker: some images, half of them trained on. Which? And what a coin and an attack reach on the same."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import binom

from unlearn_core.audit.lira import Shadows
from unlearn_core.audit.membership import margins
from unlearn_core.audit.roc import roc
from unlearn_core.audit.unseen import compared
from unlearn_core.nets.evaluate import softmax

Float64 = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
IMAGES = 20
"""On the table, if there are as many."""
LEAST = 3
"""Images of each kind below which there is no game."""


@dataclass(frozen=True, eq=False)
class Table:
    """The images that lie on the table, and those that they were drawn from.

    Attributes:
        drawn: (n,) positions of the images on the table, shuffled; half of them trained on.
        pool: (p,) positions of all images that could have been drawn.
        member: (N,) whether an image was trained on.
        labels: (N,) true classes.
    """

    drawn: npt.NDArray[np.int64]
    pool: npt.NDArray[np.int64]
    member: Bools
    labels: npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Attack:
    """What attacks make of one network.

    Attributes:
        confidence: (n,) probability that the network gives each drawn image's true class.
        calls: (n,) whether LiRA calls each drawn image a member; None without shadow models.
        best: balanced accuracy of the best threshold on the confidence, over all images of the pool.
        lira: balanced accuracy of LiRA over all images of the pool; None without shadow models.
    """

    confidence: Float64
    calls: Bools | None
    best: float
    lira: float | None


def deal(labels: npt.NDArray[np.int64], member: Bools, forgotten: Bools, generator: np.random.Generator) -> Table:
    """Draw the images of a game: as many that are to be forgotten, and were trained on, as like them that were not.

    Args:
        labels: (N,) true classes.
        member: (N,) whether the image was in the original's training set.
        forgotten: (N,) whether the image is of what was to be forgotten.
        generator: draws.

    Raises:
        ValueError: if there are fewer than `LEAST` of either kind.
    """
    inside = np.flatnonzero(member & forgotten)
    outside = np.flatnonzero(compared(labels, member, forgotten))
    half = min(IMAGES // 2, len(inside), len(outside))
    if half < LEAST:
        raise ValueError(f"For a game at least {LEAST} training images to be forgotten and {LEAST} unseen ones like "
                         f"them are needed; here are {len(inside)} and {len(outside)}.")
    drawn = np.concatenate([generator.choice(side, half, replace=False) for side in (inside, outside)])
    return Table(generator.permutation(drawn), np.concatenate([inside, outside]), member, labels)


def play(table: Table, logits: npt.NDArray[np.float32], shadows: Shadows | None) -> Attack:
    """Attack one network: by its confidence, and by LiRA, which calls an image a member where that is likelier.

    Args:
        table: see `deal`.
        logits: (N, classes) of the network on all images.
        shadows: models with and without each of the N images; None if there are none.
    """
    pool, seen = table.pool, table.member[table.pool]
    sure = softmax(logits)[np.arange(len(table.labels)), table.labels].astype(np.float64)
    calls = lira = None
    margin = margins(logits[pool])[np.arange(len(pool)), table.labels[pool]]
    if shadows is not None:
        called = Shadows(shadows.margins[:, pool], shadows.inside[:, pool]).score(margin) > 0
        calls = called[[int(np.flatnonzero(pool == image)[0]) for image in table.drawn]]
        lira = float((called[seen].mean() + (~called[~seen]).mean()) / 2)
    return Attack(sure[table.drawn], calls, roc(margin[seen], margin[~seen]).balanced_accuracy, lira)


def coin(images: int) -> tuple[float, int, int]:
    """How many of so many images a coin calls right: on average, and the range of 95 in 100 games."""
    low, high = binom.interval(0.95, images, 0.5)
    return images / 2, int(low), int(high)
