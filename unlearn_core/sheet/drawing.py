"""Small still pictures: one number among those that it is compared with, as SVG."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

WIDTH, HEIGHT, EDGE = 170.0, 20.0, 7.0


def share(row: Mapping[str, Any], low: float = 0.0) -> Markup:
    """A share, with its band, on a scale from `low` to 1."""
    return _marks(row, (low, 1.0))


def sample(row: Mapping[str, Any]) -> Markup:
    """A mark of the legend."""
    return _marks({"null_band": None, "retrained_high": None} | dict(row), (0.0, 1.0), 54.0)


def check(row: Mapping[str, Any]) -> Markup:
    """A number of any size: the scale holds original and retrained networks, what lies far off is an arrow."""
    ends = [row["original"], row["retrained_low"], row["retrained_high"], *(row["null_band"] or ())]
    known = [end for end in ends if end is not None]
    if not known:
        return Markup("")
    low, high = min(known), max(known)
    mine, reach = row["this_model"], (high - low) or abs(high) or 1.0
    if mine is not None and low - reach <= mine <= high + reach:
        low, high = min(low, mine), max(high, mine)
    pad = 0.06 * ((high - low) or abs(high) or 1.0)
    return _marks(row, (low - pad, high + pad))


def _marks(row: Mapping[str, Any], scale: tuple[float, float], width: float = WIDTH) -> Markup:
    low, high = scale

    def at(value: float) -> float:
        return EDGE + (width - 2 * EDGE) * min(max((value - low) / (high - low), 0.0), 1.0)

    def box(ends: Sequence[float | None], kind: str, height: float) -> str:
        left, right = (at(low if ends[0] is None else ends[0]), at(high if ends[1] is None else ends[1]))
        least = max(right - left, 3.0)
        middle = min(max((left + right) / 2, EDGE + least / 2), width - EDGE - least / 2)
        return (f'<rect class="{kind}" x="{middle - least / 2:.1f}" y="{(HEIGHT - height) / 2:.1f}" '
                f'width="{least:.1f}" height="{height:.1f}"/>')

    middle = HEIGHT / 2
    drawn = [f'<line class="axis" x1="{EDGE}" x2="{width - EDGE}" y1="{middle}" y2="{middle}"/>']
    if (band := row.get("null_band")) is not None:
        drawn.append(box(band, "null", 16))
    if row["retrained_low"] is not None:
        drawn.append(box((row["retrained_low"], row["retrained_high"]), "retrained", 10))
    if row["original"] is not None:
        x = at(row["original"])
        drawn.append(f'<line class="original" x1="{x:.1f}" x2="{x:.1f}" y1="2" y2="{HEIGHT - 2}"/>')
    if (mine := row["this_model"]) is not None:
        x = at(mine)
        if (interval := row.get("ci95")) is not None:
            drawn.append(f'<line class="interval" x1="{at(interval[0]):.1f}" x2="{at(interval[1]):.1f}" '
                         f'y1="{middle}" y2="{middle}"/>')
        if low <= mine <= high:
            drawn.append(f'<circle class="mine" cx="{x:.1f}" cy="{middle}" r="4.5"/>')
        else:
            way = math.copysign(9.0, low - mine)
            drawn.append(f'<path class="mine" d="M{x - way / 1.5:.1f} {middle} l{way:.1f} -5.5 v11 z"/>')
    return Markup(f'<svg viewBox="0 0 {width:.0f} {HEIGHT:.0f}" aria-hidden="true">{"".join(drawn)}</svg>')


LEGEND: Mapping[str, Mapping[str, Any]] = {
    "the original": {"original": 0.5, "retrained_low": None, "this_model": None},
    "retrained networks": {"original": None, "retrained_low": 0.35, "retrained_high": 0.65, "this_model": None},
    "where one more retrained network may lie": {
        "original": None, "retrained_low": None, "this_model": None, "null_band": (0.3, 0.7)},
    "this network, with its 95 % interval": {
        "original": None, "retrained_low": None, "this_model": 0.5, "ci95": (0.35, 0.65)},
    "this network, far off the scale": {"original": None, "retrained_low": None, "this_model": 1.5},
}
"""One of each mark, by what it stands for."""
