"""A figure as a still picture, for the second until a browser has read Plotly: what matters of it, at the same place.

Lines, marks, cells and names; every mark is a dot, and axes, legends and hovering come with the figure itself.
"""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Iterable
from html import escape

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go
from PIL import Image
from plotly.colors import hex_to_rgb

Margins = tuple[int, int, int, int]
"""Pixels that are left free around the axes: left, right, top, bottom."""


def sketch(figure: go.Figure, margins: Margins) -> str:
    """The figure as SVG text that fills what width it gets, at the figure's own height in pixels.

    Args:
        figure: of scatters and heatmaps, with a height and with a range for every axis.
        margins: as Plotly comes to choose them.
    """
    left, right, top, bottom = margins
    panels: dict[str, list[str]] = {}
    for trace in figure.data:
        drawn = _cells(figure, trace) if trace.type == "heatmap" else [*_line(figure, trace), *_dots(figure, trace)]
        panels.setdefault(f"{trace.xaxis or 'x'} {trace.yaxis or 'y'}", []).extend(drawn)
    for note in figure.layout.annotations:
        if note.xref == "paper":  # a panel's title
            panels.setdefault("", []).append(_text(note, 100 * note.x, 100 - 100 * note.y, "middle", -8, 0))
        else:
            (x,), (y,) = _places(figure, "x", [note.x]), _places(figure, "y", [note.y])
            anchor = "start" if note.xanchor == "left" else "end"
            panels.setdefault("x y", []).append(_text(note, x, y, anchor, (note.ay or 0) + 5, note.ax or 0))
    inner = "".join(_panel(figure, axes, "".join(drawn)) for axes, drawn in panels.items())
    height = figure.layout.height
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="100%" height="{height}" font-family="sans-serif" '
            f'font-size="15" fill="{figure.layout.font.color}"><svg x="{left}" y="{top}" overflow="visible" '
            f'width="calc(100% - {left + right}px)" height="{height - top - bottom}">{inner}</svg></svg>')


def _panel(figure: go.Figure, axes: str, drawn: str) -> str:
    """What is drawn in a pair of axes, at their place; without axes, over all of them."""
    if not axes:
        return drawn
    (x0, x1), (y0, y1) = (_axis(figure, name).domain or (0, 1) for name in axes.split())
    return (f'<svg x="{100 * x0:.2f}%" y="{100 - 100 * y1:.2f}%" width="{100 * (x1 - x0):.2f}%" '
            f'height="{100 * (y1 - y0):.2f}%" overflow="visible">'
            f'<rect width="100%" height="100%" fill="none" stroke="#8A9099" stroke-opacity=".4"/>{drawn}</svg>')


def _axis(figure: go.Figure, name: str) -> go.layout.XAxis:
    return figure.layout[f"{name[0]}axis{name[1:]}"]


def _places(figure: go.Figure, axis: str, values: Iterable[float | None]) -> list[float]:
    """Percent from the left or the top; NaN where there is no value."""
    low, high = _axis(figure, axis).range
    shares = 100 * (np.array([np.nan if value is None else value for value in values], float) - low) / (high - low)
    return [float(100 - share if axis.startswith("y") else share) for share in shares]


def _both(figure: go.Figure, trace: go.Scatter) -> list[tuple[float, float]]:
    return list(zip(_places(figure, trace.xaxis or "x", trace.x), _places(figure, trace.yaxis or "y", trace.y),
                    strict=True))


def _line(figure: go.Figure, trace: go.Scatter) -> list[str]:
    if "lines" not in trace.mode:
        return []
    path, pen = [], "M"
    for x, y in _both(figure, trace):
        if not np.isnan([x, y]).any():
            path.append(f"{pen}{x:.2f} {y:.2f}")
        pen = "M" if np.isnan([x, y]).any() else "L"
    dash = "" if trace.line.dash in (None, "solid") else 'stroke-dasharray="6"'
    return [f'<svg width="100%" height="100%" viewBox="0 0 100 100" preserveAspectRatio="none" overflow="visible">'
            f'<path d="{"".join(path)}" fill="none" stroke="{trace.line.color}" stroke-width="{trace.line.width or 2}" '
            f'vector-effect="non-scaling-stroke" {dash}/></svg>']


def _dots(figure: go.Figure, trace: go.Scatter) -> list[str]:
    marker = trace.marker
    if "markers" not in trace.mode or marker.opacity == 0:
        return []
    colours = [marker.color] * len(trace.x) if isinstance(marker.color, str) else [
        f"rgb{tuple(map(int, each))}" for each in _colours(figure, marker.coloraxis, np.array(marker.color, float))]
    if str(marker.symbol).endswith("open"):
        colours = ["none"] * len(colours)
    edge = f'stroke="{marker.line.color}" stroke-width="{marker.line.width}"' if marker.line.color else ""
    return [f'<circle cx="{x:.2f}%" cy="{y:.2f}%" r="{marker.size / 2:g}" fill="{colour}" {edge}/>'
            for (x, y), colour in zip(_both(figure, trace), colours, strict=True) if not np.isnan([x, y]).any()]


def _cells(figure: go.Figure, trace: go.Heatmap) -> list[str]:
    """One picture, a pixel a cell."""
    values = np.array(trace.z, float)[::-1]
    known = ~np.isnan(values)
    pixels = np.zeros((*values.shape, 4), np.uint8)
    pixels[known, 3] = 255
    pixels[known, :3] = _colours(figure, trace.coloraxis, values[known])
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return [f'<image width="100%" height="100%" preserveAspectRatio="none" style="image-rendering:pixelated" '
            f'href="data:image/png;base64,{base64.b64encode(stream.getvalue()).decode()}"/>']


def _colours(figure: go.Figure, axis: str, values: npt.NDArray[np.float64]) -> npt.NDArray[np.uint8]:
    """(N,) values on a colour axis, as (N, 3) bytes."""
    found = figure.layout[axis]
    shares = (values - found.cmin) / (found.cmax - found.cmin)
    stops, colours = zip(*found.colorscale, strict=True)
    return np.stack([np.interp(1 - shares if found.reversescale else shares, stops, channel)
                     for channel in np.array([hex_to_rgb(colour) for colour in colours]).T], axis=1).astype(np.uint8)


def _text(note: go.layout.Annotation, x: float, y: float, anchor: str, down: float, aside: float) -> str:
    weight = ' font-weight="bold"' if "<b>" in note.text else ""
    return (f'<text x="{x:.2f}%" y="{y:.2f}%" dx="{aside:g}" dy="{down:g}" text-anchor="{anchor}"{weight}>'
            f'{escape(re.sub("<[^>]*>", "", note.text))}</text>')
