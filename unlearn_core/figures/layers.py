"""Where the forgetting happens: totals of layers, units within a layer, filters, and importances measured otherwise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from unlearn_core.figures.style import CLASSES, LAYOUT, ORIGINAL, RETRAINED, UNLEARNED

Floats = npt.NDArray[np.floating]

_COLOURS = (UNLEARNED, ORIGINAL)
_PATTERNS = ("", "/")  # tells the series apart without colour
_TEXT = {"size": 14}
_LEGEND = {"orientation": "h", "y": 1, "yanchor": "bottom", "x": 0, "traceorder": "normal", "font": _TEXT}


def share_text(share: float) -> str:
    """A share in words, told from 0 where it is not."""
    return "–" if np.isnan(share) else "0" if share == 0 else f"{share:.1%}" if abs(share) >= 0.0005 else "<0.1%"


def group_bars(series: Mapping[str, Mapping[str, float]], ink: str = RETRAINED) -> go.Figure:
    """Bars of one or two shares for each group of layers, the first on top, on an axis from 0 to 100 % or more.

    Args:
        series: what is shown -> group -> share.
        ink: colour of the text: black, or the text colour on a dark page.
    """
    figure = go.Figure(layout=LAYOUT)
    for i, (title, shares) in enumerate(series.items()):
        figure.add_bar(
            y=list(shares), x=list(shares.values()), orientation="h", name=title,
            text=list(map(share_text, shares.values())), textposition="outside", cliponaxis=False,
            textfont={"color": ink}, marker={"color": _COLOURS[i], "pattern": {
                "shape": _PATTERNS[i], "fillmode": "overlay", "fgcolor": "#FFFFFF", "solidity": 0.2}},
            hovertemplate=f"%{{y}}, {title}: %{{text}}<extra></extra>")
    names = next(iter(series.values()))
    most = max((value for shares in series.values() for value in shares.values() if np.isfinite(value)), default=0.0)
    figure.update_xaxes(range=[0, max(1.0, most)], tickformat=".0%", gridcolor=ORIGINAL + "44", zeroline=False,
                        tickfont=_TEXT)
    figure.update_yaxes(autorange="reversed", type="category", showgrid=False, automargin=True, ticklabelstandoff=6,
                        tickfont=_TEXT)
    return figure.update_layout(height=90 + 20 * (1 + len(series)) * len(names), bargap=0.25, font_color=ink,
                                margin={"r": 64, "t": 40}, showlegend=True, legend=_LEGEND)


def unit_bars(names: Sequence[str], bars: Floats, what: str, removed: Floats | None, ink: str = RETRAINED) -> go.Figure:
    """One bar for each unit of a layer, in the order given, and a diamond for the share of its norm that is gone.

    Args:
        names: of the units.
        bars: (units,) shares: weights selected, or the relative change.
        what: name of the bars.
        removed: (units,) share of each unit's squared norm removed, or None.
        ink: colour of text and diamonds.
    """
    figure = go.Figure(layout=LAYOUT)
    figure.add_bar(x=list(names), y=bars, name=what, marker_color=UNLEARNED,
                   hovertemplate=f"%{{x}}, {what}: %{{y:.1%}}<extra></extra>")
    if removed is not None:
        figure.add_scatter(x=list(names), y=removed, name="squared norm removed", mode="markers", cliponaxis=False,
                           marker={"symbol": "diamond", "size": 9, "color": ink},
                           hovertemplate="%{x}, squared norm removed: %{y:.1%}<extra></extra>")
    figure.update_xaxes(type="category", automargin=True, showgrid=False, tickangle=-45 if len(names) > 6 else 0,
                        tickfont=_TEXT)
    figure.update_yaxes(range=[0, max(1.05, 1.05 * float(np.max(bars, initial=0)))], tickformat=".0%",
                        gridcolor=ORIGINAL + "44", zeroline=False, automargin=True, tickfont=_TEXT)
    return figure.update_layout(height=360, bargap=0.15, font_color=ink, margin={"t": 40}, showlegend=True,
                                legend=_LEGEND)


def filter_tiles(names: Sequence[str], before: Floats, after: Floats, ink: str = RETRAINED) -> go.Figure:
    """Filters of a convolution as tiny images: before above, after below, one column each, on one scale of colour.

    Args:
        names: of the filters.
        before: (filters, inputs, height, width).
        after: the same.
        ink: colour of the text.
    """
    across = int(np.ceil(np.sqrt(before.shape[1])))
    tiles = [[_tile(filters[i], across) for i in range(len(names))] for filters in (before, after)]
    high, wide = tiles[0][0].shape
    gap = 1 if before.shape[1] == 1 else 4  # wider than between the inputs of one filter
    down, right = high + gap, wide + gap
    canvas = np.full((2 * down - gap, len(names) * right - gap), np.nan)
    for row, line in enumerate(tiles):
        for column, tile in enumerate(line):
            canvas[row * down:row * down + high, column * right:column * right + wide] = tile
    limit = float(np.abs(before).max(initial=0)) or 1.0
    figure = go.Figure(layout=LAYOUT)
    figure.add_heatmap(z=canvas, zmin=-limit, zmax=limit, zmid=0, hoverongaps=False,
                       colorscale=[[0, CLASSES[0]], [0.5, "#F4F4F2"], [1, CLASSES[1]]],
                       hovertemplate="weight %{z:.3f}<extra></extra>",
                       colorbar={"title": {"text": "weight", "side": "right"}, "thickness": 12, "outlinewidth": 0})
    figure.update_xaxes(tickvals=[i * right + (wide - 1) / 2 for i in range(len(names))], ticktext=list(names),
                        showgrid=False, zeroline=False,
                        ticks="", tickfont=_TEXT, tickangle=-30 if len(names) > 6 else 0)
    figure.update_yaxes(tickvals=[(high - 1) / 2, down + (high - 1) / 2], ticktext=["before", "after"],
                        autorange="reversed", showgrid=False, zeroline=False, ticks="", automargin=True, tickfont=_TEXT)
    return figure.update_layout(height=320, font_color=ink)


def _tile(filters: Floats, across: int) -> Floats:
    """(inputs, h, w) as one picture: the inputs side by side, with gaps, in rows of `across`."""
    inputs, high, wide = filters.shape
    if inputs == 1:
        return np.asarray(filters[0])
    rows = -(-inputs // across)
    tile = np.full((rows * (high + 1) - 1, across * (wide + 1) - 1), np.nan)
    for i in range(inputs):
        top, left = (i // across) * (high + 1), (i % across) * (wide + 1)
        tile[top:top + high, left:left + wide] = filters[i]
    return tile


def selected_by_layer(layers: Sequence[str], ways: Mapping[str, Floats], totals: Mapping[str, float],
                      ink: str = RETRAINED) -> go.Figure:
    """Small multiples: the share of every layer's weights that is selected, once for each way of measuring.

    Args:
        layers: names, from the input on.
        ways: title -> (layers,) shares.
        totals: title -> share of all weights.
        ink: colour of the text.
    """
    columns = 4
    rows = -(-len(ways) // columns)
    figure = make_subplots(rows=rows, cols=columns, shared_yaxes=True, shared_xaxes=True,
                           horizontal_spacing=0.02, vertical_spacing=0.2,
                           subplot_titles=[f"{title}<br><b>{share_text(totals[title])}</b>" for title in ways])
    for i, (title, shares) in enumerate(ways.items()):
        figure.add_bar(x=np.arange(len(layers)), y=shares, customdata=list(layers), marker_color=UNLEARNED,
                       hovertemplate="%{customdata}: %{y:.1%}<extra>" + title + "</extra>",
                       row=i // columns + 1, col=i % columns + 1)
    figure.update_layout(LAYOUT)
    figure.update_annotations(font={"size": 15, "color": ink})
    figure.update_xaxes(showticklabels=False, showgrid=False, zeroline=False)
    figure.update_xaxes(title={"text": "input → output", "font": {"size": 14}, "standoff": 4}, row=rows)
    figure.update_yaxes(range=[0, 1], tickformat=".0%", dtick=0.5, gridcolor=ORIGINAL + "44", zeroline=False,
                        tickfont=_TEXT)
    return figure.update_layout(height=430, bargap=0.1, font_color=ink, margin={"t": 60, "b": 36, "l": 48})
