"""What is left of a class: probes, relearning curves, and layer similarity against retrained networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from unlearn_core.figures.style import LAYOUT, ORIGINAL, RETRAINED, UNLEARNED

Float64 = npt.NDArray[np.float64]

_GRID = ORIGINAL + "44"
_ABOVE = {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0, "font": {"size": 14}}
_AXIS = {"tickfont": {"size": 14}, "title_font": {"size": 15}, "automargin": True, "zeroline": False}


@dataclass(frozen=True)
class Dot:
    """One number with its interval.

    Attributes:
        value: the number.
        interval: its 95 % interval over images.
    """

    value: float
    interval: tuple[float, float]


@dataclass(frozen=True, eq=False)
class Row:
    """One probe number of the models compared.

    Attributes:
        title: of its axis.
        models: by name: the unlearned, the original, head zeroing.
        retrained: of each seed; possibly none.
        expected: (low, high) in which one more retrained network would lie; None without seeds.
    """

    title: str
    models: Mapping[str, Dot]
    retrained: Sequence[Dot]
    expected: tuple[float, float] | None


def _role(name: str) -> tuple[str, str]:
    """Colour and symbol of a model that is no retrained network."""
    return {"original": (ORIGINAL, "square"), "head zeroing": (ORIGINAL, "square-open"),
            "unlearned": (UNLEARNED, "circle")}[name]


def probes(rows: Sequence[Row], ink: str = RETRAINED) -> go.Figure:
    """Side by side, one panel per number: a line per model with its interval, and the shade of retraining.

    Args:
        rows: the numbers, at most two read well.
        ink: colour of text and seeds: black, or the text colour on a dark page.
    """
    figure = make_subplots(1, len(rows), shared_yaxes=True, horizontal_spacing=0.06)
    figure.update_layout(LAYOUT)
    for column, row in enumerate(rows, 1):
        lines = [(name, dot, *_role(name), 14) for name, dot in row.models.items()]
        seeds = [("retrained", dot, ink, "line-ns-open", 20) for dot in row.retrained]
        for name, dot, colour, symbol, size in (*lines, *seeds):
            low, high = dot.interval
            figure.add_scatter(
                x=[dot.value], y=[name], mode="markers", name=name, row=1, col=column,
                marker={"symbol": symbol, "size": size, "color": colour, "line": {"width": 2, "color": colour}},
                error_x=None if name == "retrained" else {
                    "array": [high - dot.value], "arrayminus": [dot.value - low], "color": colour, "thickness": 2},
                hovertemplate=f"{name}: %{{x:.3f}} (95 % {low:.3f} to {high:.3f})<extra></extra>")
        if row.expected is not None:
            low, high = (float(np.clip(end, 0, 1)) for end in row.expected)
            figure.add_vrect(x0=low, x1=high, fillcolor=ink, opacity=0.12, line_width=0, layer="below", row=1,
                             col=column)
        figure.update_xaxes(title=row.title, gridcolor=_GRID, **_AXIS, row=1, col=column)
    shown = {trace.name for trace in figure.data}
    names = [name for name in ("head zeroing", "original", "retrained", "unlearned") if name in shown]
    figure.update_yaxes(categoryorder="array", categoryarray=names, showgrid=False, ticklabelstandoff=6, **_AXIS)
    return figure.update_layout(height=270, font_color=ink, margin_r=24)


@dataclass(frozen=True, eq=False)
class Course:
    """One network's relearning.

    Attributes:
        accuracy: (steps + 1) shares of the forget set that are right, before the first step and after each.
        reached: whether the last of them is the target.
    """

    accuracy: Sequence[float]
    reached: bool


def relearning(models: Mapping[str, Course], retrained: Sequence[Course], target: float,
               ink: str = RETRAINED) -> go.Figure:
    """Accuracy on the forget set against fine-tuning steps; each curve ends at the target, or at the cap.

    Args:
        models: by name: the unlearned if it is known, the original, head zeroing.
        retrained: one per seed.
        target: the accuracy that counts as relearnt.
        ink: colour of text and of the retrained networks: black, or the text colour on a dark page.
    """
    figure = go.Figure(layout=LAYOUT)
    # Head zeroing and the original often share one course: dots on a broad, fainter line.
    looks = {"original": (8, "solid", 0.45), "head zeroing": (3, "dot", 1.0), "unlearned": (3.5, "solid", 1.0)}
    lines = [("retrained", course, ink, 1.5, "solid", 0.6) for course in retrained]
    lines += [(name, course, _role(name)[0], *looks[name]) for name, course in models.items()]
    for i, (name, course, colour, width, dash, opacity) in enumerate(lines):
        steps, share = np.arange(len(course.accuracy)), np.array(course.accuracy)
        figure.add_scatter(
            x=steps, y=share, mode="lines", name=name, legendgroup=name, opacity=opacity,
            showlegend=not i or name != "retrained", line={"color": colour, "width": width, "dash": dash},
            hovertemplate=f"{name}, step %{{x}}: %{{y:.0%}}<extra></extra>")
        symbol = _role(name)[1] if name != "retrained" else "line-ns-open"
        figure.add_scatter(
            x=steps[-1:], y=share[-1:], mode="markers", showlegend=False, hoverinfo="skip", cliponaxis=False,
            marker={"symbol": symbol if course.reached else "triangle-right-open", "size": 13, "color": colour,
                    "line": {"width": 2, "color": colour}})
    figure.add_hline(y=target, line={"color": ink, "width": 1.5, "dash": "dash"})
    figure.add_annotation(x=1, xref="paper", y=target, yanchor="bottom", xanchor="right", showarrow=False,
                          text=f"relearnt: {target:.0%}", font={"color": ink})
    figure.update_xaxes(title="steps of fine-tuning on all training images", rangemode="tozero", gridcolor=_GRID,
                        **_AXIS)
    figure.update_yaxes(title="forget set right", tickformat=".0%", range=[-0.02, 1.05], gridcolor=_GRID, **_AXIS)
    return figure.update_layout(height=400, font_color=ink, showlegend=True, margin_t=44, legend=_ABOVE)


@dataclass(frozen=True, eq=False)
class Alike:
    """CKA per layer on one part of the images; NaN where a layer does not vary.

    Attributes:
        value: (layers,) of the unlearned to the network compared with; a mean if there are several.
        band: (2, layers) lowest and highest of the retrained networks in its place; None if there are too few.
    """

    value: Float64
    band: Float64 | None


def layer_similarity(layers: Sequence[str], parts: Mapping[str, Alike], ink: str = RETRAINED) -> go.Figure:
    """CKA from the first to the last layer, the forgotten class dashed with ✖, the retained solid with ●.

    Args:
        layers: names, input first.
        parts: ``forget`` and ``retain``.
        ink: colour of text and bands: black, or the text colour on a dark page.
    """
    figure = go.Figure(layout=LAYOUT)
    looks = {"forget": ("dash", "x", "/", "✖ forgotten"), "retain": ("solid", "circle", "", "● others")}
    for part, alike in parts.items():
        dash, symbol, pattern, said = looks[part]
        if alike.band is not None:
            low, high = alike.band
            figure.add_scatter(
                x=[*layers, *reversed(layers)], y=np.concatenate([high, low[::-1]]), mode="lines", hoverinfo="skip",
                fill="toself", line={"width": 1, "color": ink, "dash": dash}, opacity=0.45, name=f"retrained {said[0]}",
                fillpattern={"shape": pattern, "fgcolor": ink, "size": 6, "solidity": 0.3})
        figure.add_scatter(
            x=list(layers), y=alike.value, mode="lines+markers", name=said, cliponaxis=False,
            line={"color": UNLEARNED, "width": 3, "dash": dash}, marker={"symbol": symbol, "size": 11},
            hovertemplate=f"%{{x}}, {said}: %{{y:.2f}}<extra></extra>")
    low_end = min((float(np.nanmin(a.value)) for a in parts.values() if np.isfinite(a.value).any()), default=0.0)
    figure.update_xaxes(type="category", gridcolor=_GRID, title="layer, input first", **_AXIS)
    figure.update_yaxes(title="CKA", range=[min(low_end, 0) - 0.03, 1.04], dtick=0.2, gridcolor=_GRID, **_AXIS)
    return figure.update_layout(height=400, font_color=ink, showlegend=True, margin_t=64, legend=_ABOVE)
