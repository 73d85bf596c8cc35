"""Which never-seen images the images to be forgotten are compared with."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Bools = npt.NDArray[np.bool_]


def compared(labels: npt.NDArray[np.int64], member: Bools, forgotten: Bools) -> Bools:
    """(N,) the unseen images of the same classes or groups; for single images, which have none, of their true classes.

    Args:
        labels: (N,) true classes.
        member: (N,) whether the image was in the original's training set.
        forgotten: (N,) whether the image is of what was to be forgotten.
    """
    own: Bools = ~member & forgotten
    return own if own.any() else ~member & np.isin(labels, labels[forgotten])
