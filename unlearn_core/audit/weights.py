"""How far the weights moved, layer by layer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import numpy.typing as npt
from torch import Tensor


def relative_change(before: Iterable[tuple[str, Tensor]], after: Mapping[str, Tensor]) -> npt.NDArray[np.float64]:
    """(layers,) norm of the change over the norm of the original, ‖ΔW‖ / ‖W‖, one per parameter of `before`.

    A layer that was zero counts as 1 if it moved at all.
    """
    def share(name: str, old: Tensor) -> float:
        moved, norm = float((after[name].detach() - old).double().norm()), float(old.double().norm())
        return moved / norm if norm else float(moved > 0)

    return np.array([share(name, old.detach()) for name, old in before])
