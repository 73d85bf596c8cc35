"""Which method, and at what price: gaps to retraining, and time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go

from unlearn_core.figures.style import LAYOUT, ORIGINAL, RETRAINED

Float64 = npt.NDArray[np.float64]
Band = tuple[tuple[float, float], tuple[float, float]]
"""Lowest and highest gap of a retrained seed to the mean of the seeds, in points: of forget, of retain accuracy."""

ORIGINAL_NAME = "original"
"""The `Spot.name` of the network before unlearning: drawn grey, and no part of the front."""

_TICKS = (1, 3, 10, 30, 100)
_SYMBOLS = ("circle", "square", "diamond", "triangle-up", "pentagon", "hexagon", "star", "triangle-down")
_PLOT = (640, 400)  # px, about; names are placed for it
_LINE, _LETTER, _AWAY = 19, 8, 34  # px: height of a name, width of a letter, and how far a name stands from its mark
_DOTS = 8  # along the line from a mark to its name, where it must not touch other names
_FASTEST = 1e-3  # s


@dataclass(frozen=True)
class Spot:
    """Where a method stands.

    Attributes:
        name: of the method, or "original".
        title: what is written beside the mark.
        forget_gap: forget accuracy minus that of the retrained, in points, mean over the seeds.
        retain_gap: the same of the retain accuracy.
        forget_spread: half the range over the seeds, in points.
        retain_spread: the same of the retain accuracy.
        seconds: time the method took.
        family: what kind of method it is; one symbol each.
    """

    name: str
    title: str
    forget_gap: float
    retain_gap: float
    forget_spread: float
    retain_spread: float
    seconds: float
    family: str


def pareto(gaps: Float64) -> npt.NDArray[np.bool_]:
    """Which of (M, 2) gaps no other gap beats: (M,), by absolute value in both columns.

    One gap beats another if it is no larger in either column and smaller in one. A gap with NaN is on no front.
    """
    sizes: Float64 = np.abs(gaps)
    known = np.asarray(~np.isnan(sizes).any(axis=1))
    sizes = np.where(known[:, None], sizes, np.inf)
    one, other = sizes[:, None], sizes[None]
    beats = np.less_equal(one, other).all(axis=2) & np.less(one, other).any(axis=2)
    return np.asarray(known & ~beats.any(axis=0), np.bool_)


def tradeoff(spots: Sequence[Spot], front: npt.NDArray[np.bool_], band: Band | None,
             ink: str = RETRAINED) -> go.Figure:
    """Signed gaps to retraining, forget against retain accuracy; colour is time, the target is at the crossing.

    Both axes are logarithmic away from zero, so that good methods, near the target, stay apart. They reach to the
    next of 3, 10, 30 and 100 points, the forget axis at least to −10.

    Args:
        spots: the methods and, if wanted, the original.
        front: (spots,) which are not beaten; joined by a dashed line, their names in bold.
        band: the range of the retrained seeds around their mean; None if unknown.
        ink: colour of text and target: black, or the text colour on a dark page.
    """
    figure = go.Figure(layout=LAYOUT)
    around = band or ((0.0, 0.0), (0.0, 0.0))
    low, high = _reach(spots, "forget", around[0])
    ranges = [(min(low, -10), high), _reach(spots, "retain", around[1])]  # most marks are at zero: room for their names
    if band is not None:
        _target(figure, band, ink)
    shown = [i for i, s in enumerate(spots) if np.isfinite([s.forget_gap, s.retain_gap]).all()]
    methods = [i for i in shown if spots[i].name != ORIGINAL_NAME]
    order = sorted((i for i in methods if front[i]), key=lambda i: abs(spots[i].forget_gap))
    figure.add_scatter(x=[_place(spots[i].forget_gap) for i in order], y=[_place(spots[i].retain_gap) for i in order],
                       mode="lines", line={"dash": "dash", "width": 2, "color": ink}, name="not beaten",
                       hoverinfo="skip", showlegend=len(order) > 1)

    def marks(rows: list[int], name: str, marker: dict[str, object]) -> None:
        _marks(figure, [spots[i] for i in rows], marker, name, ink)

    for n, family in enumerate(dict.fromkeys(spots[i].family for i in methods)):
        rows = [i for i in methods if spots[i].family == family]
        marks(rows, family, {"symbol": _SYMBOLS[n % len(_SYMBOLS)], "coloraxis": "coloraxis",
                             "color": [_decade(spots[i].seconds) for i in rows]})
    if original := [i for i in shown if i not in methods]:
        marks(original, "original", {"symbol": "circle", "color": ORIGINAL})
    _names(figure, [spots[i] for i in shown], [i in order for i in shown], ranges, band, ink)
    for axis, reach, title in (("xaxis", ranges[0], "forget accuracy"), ("yaxis", ranges[1], "retain accuracy")):
        ticks = [t for t in (*(-t for t in reversed(_TICKS)), 0, *_TICKS) if reach[0] <= t <= reach[1]]
        figure.layout[axis].update(
            title=f"{title}, points from retraining", range=_span(reach), tickvals=[_place(t) for t in ticks],
            ticktext=[f"{t:+d}".replace("-", "−") if t else "0" for t in ticks],
            gridcolor=ORIGINAL + "44", zerolinecolor=ORIGINAL, zerolinewidth=2, automargin=True)
    return figure.update_layout(
        height=560, font_color=ink, showlegend=True, margin_t=40,
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        coloraxis=_time_scale([spots[i].seconds for i in methods]))


def _decade(seconds: float) -> float:
    return float(np.log10(max(seconds, _FASTEST)))


def _time_scale(seconds: Sequence[float]) -> dict[str, object]:
    """A colour axis over whole decades of time."""
    decades = [_decade(s) for s in seconds if np.isfinite(s)] or [0.0]
    low = int(np.floor(min(decades)))
    high = max(int(np.ceil(max(decades))), low + 1)
    names = [f"{10.0**k:,.0f} s" if k >= 0 else f"{10.0 ** (k + 3):.0f} ms" for k in range(low, high + 1)]
    return {"cmin": low, "cmax": high, "colorscale": "Cividis", "colorbar": {
        "title": "time", "tickvals": list(range(low, high + 1)), "ticktext": names, "thickness": 16,
        "outlinewidth": 0}}


def _span(reach: tuple[int, int]) -> tuple[float, float]:
    """The ends of an axis, with room for marks and names beyond its last ticks."""
    return _place(reach[0]) - 0.45, _place(reach[1]) + 0.45


def _place(gap: float) -> float:
    """Points on an axis that is linear near zero and logarithmic away from it."""
    return float(np.sign(gap) * np.log2(1 + abs(gap)))


def _reach(spots: Sequence[Spot], what: str, band: tuple[float, float]) -> tuple[int, int]:
    """From and to which tick an axis goes: all gaps and spreads are within, and three points around zero."""
    gaps = np.array([getattr(s, f"{what}_gap") for s in spots] + [0.0])
    spreads = np.nan_to_num(np.array([getattr(s, f"{what}_spread") for s in spots] + [0.0]))
    low, high = min(np.nanmin(gaps - spreads), band[0]), max(np.nanmax(gaps + spreads), band[1])

    def tick(size: float) -> int:
        return next((t for t in _TICKS[1:] if t >= size), _TICKS[-1])

    return -tick(-low), tick(high)


def _target(figure: go.Figure, band: Band, ink: str) -> None:
    """The rectangle of the retrained seeds, never too thin to be seen."""
    (x0, x1), (y0, y1) = [(min(_place(low), -0.08), max(_place(high), 0.08)) for low, high in band]
    said = "<br>".join(f"{what} {low:+.1f} to {high:+.1f} points"
                       for what, (low, high) in zip(("forget", "retain"), band, strict=True))
    figure.add_scatter(x=[x0, x1, x1, x0, x0], y=[y0, y0, y1, y1, y0], mode="lines", fill="toself", name="retrained",
                       line={"color": ink, "width": 2}, fillpattern={"shape": "/", "fgcolor": ink, "size": 6},
                       text=f"retrained seeds:<br>{said}", hoverinfo="text", hoveron="fills")


def _marks(figure: go.Figure, spots: Sequence[Spot], marker: dict[str, object], name: str, ink: str) -> None:
    def bars(what: str) -> dict[str, object]:
        gaps = [(getattr(s, f"{what}_gap"), getattr(s, f"{what}_spread")) for s in spots]
        return {"type": "data", "array": [_place(g + d) - _place(g) for g, d in gaps],
                "arrayminus": [_place(g) - _place(g - d) for g, d in gaps], "color": ink, "thickness": 1.5, "width": 4}

    figure.add_scatter(
        x=[_place(s.forget_gap) for s in spots], y=[_place(s.retain_gap) for s in spots], mode="markers",
        cliponaxis=False, name=name,
        marker={**marker, "size": 15, "line": {"width": 1.5, "color": ink}},
        error_x=bars("forget"), error_y=bars("retain"),
        customdata=[(s.title, s.forget_gap, s.forget_spread, s.retain_gap, s.retain_spread, s.seconds)
                    for s in spots],
        hovertemplate="%{customdata[0]}<br>forget %{customdata[1]:+.1f} ± %{customdata[2]:.1f} points"
                      "<br>retain %{customdata[3]:+.1f} ± %{customdata[4]:.1f} points"
                      "<br>%{customdata[5]:.3g} s<extra></extra>")


def _names(figure: go.Figure, spots: Sequence[Spot], best: Sequence[bool], ranges: Sequence[tuple[int, int]],
           band: Band | None, ink: str) -> None:
    """A name beside each mark, left or right of it and moved up or down where other marks, names or lines stand."""
    def pixel(axis: int, gap: float) -> float:
        low, high = _span(ranges[axis])
        return (_place(gap) - low) / (high - low) * _PLOT[axis]

    def touching(points: Float64, boxes: Float64) -> npt.NDArray[np.bool_]:
        """(L, B) whether any of L sets of points, (L, P, 2), lies in each of the (B, 4) boxes."""
        x, y = points[..., None, 0], points[..., None, 1]
        inside = (boxes[:, 0] < x) & (x < boxes[:, 1]) & (boxes[:, 2] < y) & (y < boxes[:, 3])
        return np.asarray(inside.any(1))

    def overlapping(boxes: Float64, others: Float64) -> npt.NDArray[np.int64]:
        """(B,) how many of some other boxes each of (B, 4) boxes overlaps."""
        low, high = boxes[:, None, ::2], boxes[:, None, 1::2]
        return np.asarray(((low < others[:, 1::2]) & (others[:, ::2] < high)).all(2).sum(1))

    marks = np.array([(pixel(0, spot.forget_gap), pixel(1, spot.retain_gap)) for spot in spots]).reshape(-1, 2)
    half, target = _LINE / 2, np.empty((0, 4))
    if band is not None:
        target = np.array([[pixel(0, end) for end in band[0]] + [pixel(1, end) for end in band[1]]])
    around = np.hstack([marks - half, marks + half])[:, [0, 2, 1, 3]]  # left, right, bottom, top
    names, lines = np.empty((0, 4)), np.empty((0, _DOTS, 2))
    for n in sorted(range(len(spots)), key=lambda n: -spots[n].retain_gap):
        (x, y), width = marks[n], _LETTER * len(spots[n].title)
        height, right = (grid.ravel() for grid in np.meshgrid(y + half * np.arange(-30, 31), [True, False],
                                                              indexing="ij"))
        near = np.where(right, x + _AWAY, x - _AWAY)
        left = np.where(right, near, near - width)
        boxes = np.stack([left, left + width, height - half, height + half], 1)
        line = np.stack([np.linspace(x, near, _DOTS, axis=1), np.linspace(np.full(len(near), y), height, _DOTS,
                                                                          axis=1)], 2)
        others = np.vstack([np.delete(around, n, 0), names])
        outside = (left < 0) | (left + width > _PLOT[0]) | (height < half) | (height > _PLOT[1] - half)
        crossed = touching(line, names).sum(1) + touching(lines, boxes).sum(0)
        cost = (np.abs(height - y) + 10_000 * outside + 1_000 * overlapping(boxes, others) + 40 * crossed
                + 250 * overlapping(boxes, target))
        chosen = int(cost.argmin())
        names, lines = np.vstack([names, boxes[chosen]]), np.concatenate([lines, line[chosen][None]])
        name = f"<b>{spots[n].title}</b>" if best[n] else spots[n].title
        side = 1 if right[chosen] else -1
        figure.add_annotation(
            x=_place(spots[n].forget_gap), y=_place(spots[n].retain_gap), text=name,
            font={"color": ink}, ax=side * _AWAY, ay=float(y - height[chosen]), showarrow=True, arrowhead=0,
            arrowwidth=1, arrowcolor=ink, standoff=8, xanchor="left" if side > 0 else "right", borderpad=1)
