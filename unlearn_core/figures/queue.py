"""Requests one after another: what each method costs the rest, and how far what was asked for comes back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from unlearn_core.audit.accuracy import Change
from unlearn_core.figures.style import CLASSES, LAYOUT, ORIGINAL, RETRAINED

Line = Sequence[Change | None]
"""A value after each request; None where there is none."""

_LEAST = 5.0  # points that both axes show at least: less is hardly to be told from nothing
_DASHES = ("solid", "dash", "dot")
_SYMBOLS = ("circle", "square", "diamond")


def queue_lines(erosion: Mapping[str, Line], reversal: Mapping[str, Line], retrained: Line, requests: Sequence[str],
                ink: str = RETRAINED) -> go.Figure:
    """Erosion on the left, reversal on the right, both in points over the requests so far, with 95 % bars.

    Args:
        erosion: by method, in [-1, 1]; three read best.
        reversal: likewise, of the same methods.
        retrained: erosion of networks retrained without all requests so far, dotted; None where there are none.
        requests: in their order, for people.
        ink: colour of the text: black, or the text colour on a dark page.
    """
    figure = make_subplots(1, 2, subplot_titles=("Erosion: lost on what is never asked for",
                                                 "Reversal: what comes back most"), horizontal_spacing=0.1)
    figure.update_layout(LAYOUT)
    for column, lines in enumerate((erosion, reversal), 1):
        for i, (title, line) in enumerate(lines.items()):
            colour = CLASSES[(0, 5, 2)[i % 3]]
            _line(figure, column, title, line, {"color": colour, "width": 3, "dash": _DASHES[i % 3]},
                  {"symbol": _SYMBOLS[i % 3], "size": 10, "color": colour})
    if any(retrained):
        _line(figure, 1, "retrained", retrained, {"color": ink, "width": 2, "dash": "dashdot"},
              {"symbol": "line-ew-open", "size": 14, "color": ink})
    for column, lines in enumerate((erosion, reversal), 1):
        ends = [100 * value for line in (*lines.values(), *([retrained] if column == 1 else []))
                for found in line if found for value in found]
        figure.update_yaxes(range=[1.1 * min([-1.0, *ends]), 1.1 * max([_LEAST, *ends])], col=column)
    ticks = [f"{i}.<br>{name}" for i, name in enumerate(requests, 1)]
    figure.update_xaxes(tickvals=list(range(1, len(ticks) + 1)), ticktext=ticks, range=[0.7, len(ticks) + 0.3],
                        showgrid=False, automargin=True, tickfont={"size": 14})
    figure.update_yaxes(zeroline=True, zerolinecolor=ORIGINAL, gridcolor=ORIGINAL + "44", ticksuffix=" pts",
                        automargin=True)
    return figure.update_layout(height=400, font_color=ink, showlegend=True, margin={"t": 64, "b": 8},
                                legend={"orientation": "h", "y": 1.12, "yanchor": "bottom", "x": 0})


def _line(figure: go.Figure, column: int, title: str, line: Line, drawn: dict[str, object],
          marker: dict[str, object]) -> None:
    there = [(i, *(100 * value for value in found)) for i, found in enumerate(line, 1) if found is not None]
    x, value, low, high = zip(*there, strict=True) if there else ((), (), (), ())
    figure.add_scatter(
        x=x, y=value, mode="lines+markers", name=title, legendgroup=title, showlegend=column == 1, line=drawn,
        marker=marker, row=1, col=column, customdata=list(zip(low, high, strict=True)),
        error_y={"type": "data", "array": [h - v for h, v in zip(high, value, strict=True)],
                 "arrayminus": [v - w for w, v in zip(low, value, strict=True)], "thickness": 1.5, "width": 4},
        hovertemplate=f"{title}, after request %{{x}}: %{{y:+.1f}} points, 95 %: %{{customdata[0]:+.1f}} to "
                      "%{customdata[1]:+.1f}<extra></extra>")
