"""A network that takes long is evaluated some images at a time: first numbers early, cancelled at once.

At 224 pixels one outcome on two thousand images takes a minute and more. The first part is what a tenth of a second
allows, and each part is twice the last, so that what has been seen grows as long as somebody looks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal

import numpy as np
import numpy.typing as npt

from unlearn_core.nets.evaluate import EvaluationSet, Outputs, Rows

QUICK = 1.0
"""Processor seconds up to which a network is evaluated on all images in one go."""
FIRST, LONGEST = 0.1, 2.0
"""Seconds that the first part should take, and the longest."""
UNREAD = 1
"""The kind, `2 * member + forgotten`, that no gauge is read on."""
FEWEST = 12
"""Images of the first part at least: four of each kind that the gauges are read on."""


def in_turn(member: npt.NDArray[np.bool_], forgotten: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """(N,) positions in an order whose beginnings are fair: the kinds of images that gauges are read on take turns,
    each in a random order that is always the same. Unseen images of what is to be forgotten come last.
    """
    kind, chance = 2 * member + forgotten, np.random.default_rng(0).permutation(len(member))
    turn = np.empty(len(member), np.int64)
    for each in np.unique(kind):
        rows = np.flatnonzero(kind == each)
        turn[rows[np.argsort(chance[rows])]] = np.arange(len(rows)) + len(kind) * (each == UNREAD)
    return np.lexsort((kind, turn))


def in_parts(evaluation: EvaluationSet, forgotten: npt.NDArray[np.bool_], evaluate: Callable[[Rows], Outputs],
             seconds: float) -> Iterator[tuple[npt.NDArray[np.int64], Outputs]]:
    """Evaluate images some at a time, in the order of `in_turn`.

    Args:
        evaluation: N images.
        forgotten: (N,) which are of what is to be forgotten.
        evaluate: the network's outputs on some training or test images.
        seconds: that one image takes, about.

    Yields:
        The positions evaluated so far, and the outputs of all N images, of which those at other positions mean nothing.
    """
    order = in_turn(evaluation.member, forgotten)
    found, done, size = None, 0, max(FEWEST, int(FIRST / seconds))
    while done < len(order):
        positions = order[done:done + size]
        member = evaluation.member[positions]
        both: dict[Literal["train", "test"], npt.NDArray[np.bool_]] = {"train": member, "test": ~member}
        for part, here in both.items():
            if not here.any():
                continue
            new = evaluate((part, evaluation.row[positions[here]]))
            if found is None:
                found = Outputs(*(np.zeros((len(order), each.shape[1]), np.float32)
                                  for each in (new.logits, new.features)))
            found.logits[positions[here]], found.features[positions[here]] = new.logits, new.features
        done += len(positions)
        size = max(FEWEST, min(2 * size, int(LONGEST / seconds)))
        assert found is not None
        yield order[:done], found
