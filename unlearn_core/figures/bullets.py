"""Gauges as bullets, as in the live view: original, retrained band, unlearned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go

from unlearn_core.figures.style import LAYOUT, ORIGINAL, RETRAINED, UNLEARNED


@dataclass(frozen=True)
class Bullet:
    """One gauge; all values are shares in [0, 1].

    Attributes:
        value: of the unlearned model.
        original: before unlearning.
        retrained: of each retrained seed; empty if there are none.
        guess: where somebody thought that the value would be.
    """

    value: float
    original: float
    retrained: npt.NDArray[np.float64]
    guess: float | None = None


def bullets(gauges: Mapping[str, Bullet], ink: str = RETRAINED) -> go.Figure:
    """One line per gauge from 0 to 100 %: a grey tick, a band over the seeds, and the unlearned model with its value.

    Args:
        gauges: by title.
        ink: colour of text and band: black, or the text colour on a dark page.
    """
    figure = go.Figure(layout=LAYOUT)
    rows = list(range(len(gauges)))
    for row, (title, gauge) in zip(rows, gauges.items(), strict=True):
        figure.add_shape(type="rect", x0=0, x1=100, y0=row - 0.12, y1=row + 0.12, fillcolor=ORIGINAL, opacity=0.25,
                         line_width=0, layer="below")
        figure.add_annotation(x=0, y=row - 0.42, text=f"<b>{title}</b>", showarrow=False, xanchor="left",
                              font={"color": ink})
        said = f"<b>{gauge.value:.1%}</b>"
        if len(gauge.retrained):
            low, high = 100 * gauge.retrained.min(), 100 * gauge.retrained.max()
            figure.add_shape(type="rect", x0=low - 0.5, x1=high + 0.5, y0=row - 0.22, y1=row + 0.22, fillcolor=ink,
                             opacity=0.55, line_width=0)
            said += f", retrained {' to '.join(dict.fromkeys((f'{low:.0f}', f'{high:.0f}')))} %"
        if gauge.guess is not None:
            figure.add_scatter(x=[100 * gauge.guess], y=[row], mode="markers", name="guess", cliponaxis=False,
                               marker={"symbol": "diamond-open", "size": 16, "color": ink, "line": {"width": 3}},
                               hovertemplate="guess %{x:.0f} %<extra></extra>")
        figure.add_annotation(x=100, y=row - 0.42, text=said, showarrow=False, xanchor="right",
                              font={"color": UNLEARNED})
    figure.add_scatter(x=[100 * g.original for g in gauges.values()], y=rows, mode="markers", name="original",
                       marker={"symbol": "line-ns-open", "size": 20, "color": ORIGINAL, "line": {"width": 4}},
                       hovertemplate="original %{x:.1f} %<extra></extra>")
    figure.add_scatter(x=[100 * g.value for g in gauges.values()], y=rows, mode="markers", name="unlearned",
                       marker={"size": 16, "color": UNLEARNED}, cliponaxis=False,
                       hovertemplate="unlearned %{x:.1f} %<extra></extra>")
    figure.update_xaxes(range=[-2, 102], showgrid=False, zeroline=False, showticklabels=False)
    figure.update_yaxes(range=[len(rows) - 0.6, -0.75], visible=False)
    return figure.update_layout(height=68 * len(rows), margin={"l": 4, "r": 4, "t": 4, "b": 4})
