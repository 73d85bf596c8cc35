"""How far the weights of each layer moved: the same axis as in the live view."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go

from unlearn_core.figures.style import CLASSES, LAYOUT, ORIGINAL, RETRAINED, UNLEARNED

Float64 = npt.NDArray[np.float64]

LOW, HIGH = 1e-3, 10.0
"""The ends of the axis, as in assets/js/live/change.js."""

_MANY_ROWS = 50


def change_text(change: float) -> str:
    """A relative change in words: per cent with two digits, "0" for a layer that did not move."""
    if not np.isfinite(change):
        return "∞" if change > 0 else "–"
    if change < LOW:
        return f"<{LOW:.1%}" if change > 0 else "0"
    return f"{change:.{2 if change < 0.00995 else 1 if change < 0.0995 else 0}%}"


def layer_change(layers: Sequence[str], series: Mapping[str, Float64],
                 colours: Sequence[str] = (UNLEARNED, CLASSES[0]), ink: str = RETRAINED) -> go.Figure:
    """Bars of the relative weight change ‖ΔW‖/‖W‖ per layer on a fixed logarithmic axis, the input on top.

    Args:
        layers: names.
        series: method title -> (layers,) relative changes; one or two read best. What lies beyond the axis is
            clipped and marked with an arrow, NaN is written as a dash.
        colours: one per series.
        ink: colour of the text: black, or the text colour on a dark page.
    """
    figure = go.Figure(layout=LAYOUT)
    shapes = ("", "/", ".", "x")  # tells the series apart without colour
    for i, (title, changes) in enumerate(series.items()):
        ends = np.nan_to_num(changes, nan=LOW, posinf=HIGH).clip(LOW, HIGH)
        said = [change_text(float(c)) for c in changes]
        figure.add_bar(
            y=list(layers), x=ends - LOW, base=LOW, orientation="h", name=title, customdata=said,
            text=[f"▸ {text}" if change > HIGH else text for text, change in zip(said, changes, strict=True)],
            textposition="outside", textfont={"color": ink}, cliponaxis=False,
            marker={"color": colours[i % len(colours)], "pattern": {
                "shape": shapes[i % len(shapes)], "fillmode": "overlay", "fgcolor": "#FFFFFF", "solidity": 0.2}},
            hovertemplate=f"%{{y}}, {title}: %{{customdata}}<extra></extra>")
    ticks = [10.0**k for k in range(-3, 2)]
    figure.update_xaxes(title="change of the weights, relative to their size", type="log",
                        range=[np.log10(LOW), np.log10(HIGH)], tickvals=ticks,
                        ticktext=[f"{t:.1%}" if t < 0.01 else f"{t:.0%}" for t in ticks], gridcolor=ORIGINAL + "44",
                        automargin=True)
    rows = len(layers) * max(len(series), 1)
    thin = rows > _MANY_ROWS
    figure.update_yaxes(autorange="reversed", showgrid=False, automargin=True, type="category", dtick=1,
                        ticklabelstandoff=6, tickfont={"size": 12 if thin else 15})
    return figure.update_layout(
        height=100 + (14 if thin else 24) * max(rows, 3), bargap=0.2, font_color=ink, margin={"r": 84, "t": 40},
        showlegend=len(series) > 1,
        legend={"orientation": "h", "y": 1, "yanchor": "bottom", "x": 0, "traceorder": "normal"})
