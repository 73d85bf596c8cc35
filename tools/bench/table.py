"""What the benchmark prints: rows, each with its samples, and how they are taken."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

ROOT = Path(__file__).parent.parent.parent
UNITS = {"ms": 1e3, "s": 1.0}


@dataclass
class Row:
    """One line of the table. A target bounds the ratio where there is one, else the median."""

    what: str
    median: float
    unit: str
    n: int
    target: float | None
    ratio: float | None
    remark: str
    samples: list[float] = field(repr=False)

    def cells(self) -> tuple[str, ...]:
        """What the table shows."""
        judged, sign = (self.median, f" {self.unit}") if self.ratio is None else (self.ratio, "×")
        target = "" if self.target is None else f"≤ {self.target:g}{sign}"
        met = "" if self.target is None else "met" if judged <= self.target else "MISSED"
        ratio = "" if self.ratio is None else f"{self.ratio:.2f}× "
        return self.what, f"{short(self.median)} {self.unit}", target, met, str(self.n), ratio + self.remark


rows: list[Row] = []
machine: dict[str, object] = {}
"""What the rows were measured on."""


def short(value: float) -> str:
    """Three digits."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def row(what: str, seconds: list[float], unit: str = "ms", *, target: float | None = None, remark: str = "",
        against: list[float] | None = None, name: str = "", summary: Callable[[list[float]], float] = median) -> None:
    """Add a line; durations come in seconds. `against` is the other side of a ratio, called `name`."""
    scale, ratio = UNITS.get(unit, 1.0), None
    if against is not None:
        ratio = median(seconds) / median(against)
        remark = f"of {name} ({short(median(against) * scale)} {unit})" + f"; {remark}" * bool(remark)
    samples = [value * scale for value in seconds]
    rows.append(Row(what, float(summary(samples)), unit, len(samples), target, ratio, remark, samples))
    print(f"  {what}: {' | '.join(rows[-1].cells()[1:])}", flush=True)


def timed(work: Callable[[], object]) -> float:
    """Seconds that one call takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def in_turns(repeats: int, sides: Mapping[str, Callable[[], object]], warm: bool = True) -> dict[str, list[float]]:
    """Seconds of every side; a round runs each side once, and each round begins with another side."""
    names = list(sides)
    for name in names * warm:
        sides[name]()
    samples: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(repeats):
        for name in names[turn % len(names):] + names[:turn % len(names)]:
            samples[name].append(timed(sides[name]))
    return samples
