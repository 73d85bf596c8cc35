"""The interference matrix: which classes are hurt when another one, or a group, is forgotten."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go

from unlearn_core.figures.style import LAYOUT, RETRAINED

Float64 = npt.NDArray[np.float64]

WRITTEN = 3.0
"""Changes of at least so many points are written into their cell."""


def interference(forgotten: Sequence[str], classes: Sequence[str], method: str, matrix: Float64,
                 ink: str = RETRAINED) -> go.Figure:
    """A row is what was forgotten, a column a class, the colour its change of test accuracy in points.

    Args:
        forgotten: names of what was forgotten: classes, or groups such as persons.
        classes: names.
        method: title of the method that did the forgetting.
        matrix: (forgotten, classes) changes in points, NaN where unknown (left empty); a class's own cell is marked
            with a cross.
        ink: colour of the text: black, or the text colour on a dark page.
    """
    text = [[_cell(float(value), row == column) for column, value in zip(classes, values, strict=True)]
            for row, values in zip(forgotten, matrix, strict=True)]
    figure = go.Figure(layout=LAYOUT)
    figure.add_heatmap(
        z=matrix, x=list(classes), y=list(forgotten), zmin=-100, zmax=100, zmid=0, colorscale=_scale(ink), xgap=2,
        ygap=2, text=text, texttemplate="%{text}", textfont={"size": 15}, hoverongaps=False,
        hovertemplate=f"{method} forgets %{{y}}:<br>%{{x}} %{{z:+.1f}} points<extra></extra>",
        colorbar={"title": "points", "tickvals": [-100, -50, 0, 50, 100], "thickness": 16, "outlinewidth": 0,
                  "ticktext": ["−100", "−50", "0", "+50", "+100"]})
    figure.update_xaxes(title="change in test accuracy of", showgrid=False, zeroline=False, side="top", tickangle=-35,
                        automargin=True, type="category", dtick=1)
    figure.update_yaxes(title=f"forgotten by {method}", autorange="reversed", showgrid=False, zeroline=False,
                        automargin=True, type="category", dtick=1, ticklabelstandoff=6)
    return figure.update_layout(height=150 + 36 * len(forgotten), font_color=ink)


def _cell(value: float, diagonal: bool) -> str:
    if np.isnan(value):
        return ""
    number = f"{value:+.0f}".replace("-", "−") if abs(value) >= WRITTEN else ""
    return f"✖ {number}".strip() if diagonal else number


def _scale(ink: str) -> list[tuple[float, str]]:
    """Orange for losses, blue for gains, steepest near 0; in the middle near the page, dark or light."""
    if ink == RETRAINED:
        return [(0, "#7A2E00"), (0.2, "#C2500A"), (0.4, "#EFA15F"), (0.47, "#F8DFC8"), (0.5, "#F1F1EF"),
                (0.53, "#CFE2F0"), (0.6, "#7FB6DC"), (0.8, "#0072B2"), (1, "#003F66")]
    return [(0, "#FFC08A"), (0.2, "#E8731E"), (0.4, "#9C4A12"), (0.47, "#573018"), (0.5, "#2A2E34"),
            (0.53, "#1F3D52"), (0.6, "#1B5F8C"), (0.8, "#3A9BDC"), (1, "#A9D8F5")]
