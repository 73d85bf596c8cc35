"""The grid of alpha and lambda, and the landscape that fills on it while somebody looks."""

from __future__ import annotations

import threading

import numpy as np
import numpy.typing as npt

from unlearn_core.methods.selective import ALPHA, LAMBDA
from unlearn_core.packing import ClassNumbers, pack
from unlearn_core.serving.size import weigh
from unlearn_core.subjects.parts import Grid

BINS = 256
# 48 bins a decade, like the slider: its positions fall on bin edges (up to their rounding).
LOG_RATIO = (3 - BINS / 48, 3.0)


def grid_axis(low: float, high: float, points: int) -> tuple[float, ...]:
    """Logarithmically spaced values that are slider positions too."""
    return tuple(float(f"{v:.3g}") for v in np.geomspace(low, high, points))


ALPHAS = grid_axis(ALPHA.low, ALPHA.high, 17)
LAMBDAS = grid_axis(LAMBDA.low, LAMBDA.high, 5)


class Landscape:
    """A grid of evaluated points that fills while somebody looks at it."""

    def __init__(self, points: Grid | None) -> None:
        self.lock = threading.Lock()
        self.points: list[tuple[int, npt.NDArray[np.float32], npt.NDArray[np.uint8], ClassNumbers]] = []
        if points is not None:
            self.points = list(zip(map(int, points.index), points.gauges, points.xy, points.predicted, strict=True))
        self.wanted_until = 0.0
        self.centre = (ALPHAS[len(ALPHAS) // 2], LAMBDAS[len(LAMBDAS) // 2])  # where the fill starts
        self.filling = False

    @property
    def weight(self) -> int:
        """Bytes, once it is filled."""
        return len(ALPHAS) * len(LAMBDAS) * weigh(self.points[0]) if self.points else 2**19

    @property
    def complete(self) -> bool:
        """Whether every point of the grid is there."""
        return len(self.points) >= len(ALPHAS) * len(LAMBDAS)

    def missing(self) -> list[int]:
        """Grid points to do, coarse to fine, and within a level nearest to where people look."""
        done = {p[0] for p in self.points}
        todo = [(i, j) for i in range(len(ALPHAS)) for j in range(len(LAMBDAS)) if i * len(LAMBDAS) + j not in done]
        near = np.log10(self.centre)

        def urgency(point: tuple[int, int]) -> tuple[int, float]:
            i, j = point
            level = next(n for n, stride in enumerate((4, 2, 1)) if i % stride == 0 and j % stride == 0)
            return level, abs(np.log10(ALPHAS[i]) - near[0]) + abs(np.log10(LAMBDAS[j]) - near[1])

        return [i * len(LAMBDAS) + j for i, j in sorted(todo, key=urgency)]

    def blob(self, start: int) -> bytes:
        """The points from position `start` on, packed for the live view."""
        part = self.points[start:]
        empty = not part
        return pack({"from": start, "total": len(ALPHAS) * len(LAMBDAS), "complete": self.complete}, {
            "index": np.array([p[0] for p in part], np.uint16),
            "gauges": np.zeros((0, 3), np.float32) if empty else np.stack([p[1] for p in part]),
            "xy": np.zeros((0, 0, 2), np.uint8) if empty else np.stack([p[2] for p in part]),
            "klass": np.zeros((0, 0), np.uint8) if empty else np.stack([p[3] for p in part]),
        })
