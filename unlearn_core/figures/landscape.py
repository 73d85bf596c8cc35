"""How the knobs behave: gauges over two knobs, along one, class by class; and the way of a search."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from unlearn_core.figures.style import CLASSES, LAYOUT, ORIGINAL, RETRAINED, UNLEARNED

Float64 = npt.NDArray[np.float64]

GAP_SHOWN = 50.0
"""Points from retraining at which the colour of a gap ends: beyond, all is equally far."""
LINES = ("#C2410C", "#2E86C1", "#7FB3D5", "#8E7CC3", "#B7950B")
_DASHES = ("solid", "dash", "dot", "dashdot", "longdash")
_SYMBOLS = ("circle", "square", "diamond", "triangle-up", "x")


@dataclass(frozen=True)
class Scale:
    """A knob as an axis: evaluated positions stand evenly, as on the slider.

    Attributes:
        label: symbol or word.
        values: positions, ascending.
    """

    label: str
    values: tuple[float, ...]

    @property
    def ticks(self) -> dict[str, object]:
        """Where the axis is labelled: about five of its positions."""
        shown = range(0, len(self.values), max((len(self.values) - 1) // 4, 1))
        return {"tickvals": list(shown), "ticktext": [f"{self.values[i]:.3g}" for i in shown], "zeroline": False,
                "showgrid": False, "tickfont": {"size": 14}}


@dataclass(frozen=True)
class Mark:
    """A setting that means something, at its place on both scales; NaN in one of them is a whole line.

    Attributes:
        title: what it is.
        x: place, 0 is the first position.
        y: likewise.
        symbol: plotly's name of the sign.
        color: of the sign; the ink by default.
    """

    title: str
    x: float
    y: float
    symbol: str
    color: str = ""


def heatmaps(panels: Mapping[str, Float64], x: Scale, y: Scale, good: npt.NDArray[np.bool_], marks: Sequence[Mark],
             ink: str = RETRAINED) -> go.Figure:
    """Shares, and last the gap to retraining in points, over two knobs; cells can be clicked.

    Args:
        panels: (len(x), len(y)) values in [0, 1] by title, NaN where unknown; a title that ends in "points" is a gap.
        x: the knob to the right.
        y: the knob upwards.
        good: (len(x), len(y)) cells that are outlined: as good as retrained.
        marks: settings to show.
        ink: colour of text and outline: black, or the text colour on a dark page.
    """
    rows = (len(panels) + 1) // 2
    figure = make_subplots(rows, 2, subplot_titles=list(panels), shared_xaxes="all", shared_yaxes="all",
                           horizontal_spacing=0.09, vertical_spacing=0.16 if rows > 1 else 0)
    figure.update_layout(LAYOUT)
    columns, lines = np.meshgrid(np.arange(len(x.values)), np.arange(len(y.values)), indexing="ij")
    hover = [[f"{x.label} = {x.values[i]:g}, {y.label} = {y.values[j]:g}",
              "<br>".join(f"{title} {_said(title, float(values[i, j]))}" for title, values in panels.items())]
             for i, j in zip(columns.flat, lines.flat, strict=True)]
    for n, (title, values) in enumerate(panels.items()):
        at = {"row": n // 2 + 1, "col": n % 2 + 1}
        gap = title.endswith("points")
        figure.add_heatmap(z=values.T, zmin=0, zmax=GAP_SHOWN if gap else 1, xgap=1, ygap=1, hoverinfo="skip",
                           coloraxis="coloraxis2" if gap else "coloraxis", **at)
        edges = outline(good)
        for color, width in (("#FFFFFF", 5), ("#000000", 2)):
            figure.add_scatter(x=edges[0], y=edges[1], mode="lines", line={"color": color, "width": width},
                               hoverinfo="skip", name="as good as retrained", legendgroup="good",
                               showlegend=bool(n == 0 and width == 2 and good.any()), **at)
        for mark in marks:
            _add_mark(figure, mark, len(x.values), len(y.values), n == 0, ink, at)
        # A heatmap cannot be selected from; these squares, never seen, can.
        figure.add_scatter(x=columns.ravel(), y=lines.ravel(), mode="markers", customdata=hover,
                           marker={"symbol": "square", "size": 30, "opacity": 0}, showlegend=False,
                           selected={"marker": {"opacity": 0}}, unselected={"marker": {"opacity": 0}},
                           hovertemplate="%{customdata[0]}<br>%{customdata[1]}<extra></extra>", **at)
    figure.update_xaxes(**x.ticks, range=[-0.5, len(x.values) - 0.5])
    figure.update_yaxes(**y.ticks, range=[-0.5, len(y.values) - 0.5])
    figure.update_xaxes(title=x.label, row=rows, title_standoff=4)
    figure.update_yaxes(title=y.label, col=1)
    figure.update_annotations(font={"size": 16, "color": ink})
    percent = {"tickvals": [0, 0.5, 1], "ticktext": ["0 %", "50 %", "100 %"]}
    figure.update_layout(
        coloraxis={"cmin": 0, "cmax": 1, "colorscale": "Cividis", "colorbar": {
            **_bar(0.78), **percent, "title": "share"}},
        coloraxis2={"cmin": 0, "cmax": GAP_SHOWN, "colorscale": "Cividis", "reversescale": True, "colorbar": {
            **_bar(0.22), "tickvals": [0, 25, 50], "ticktext": ["0", "25", "50+"], "title": "points"}})
    return figure.update_layout(height=270 * rows + 90, font_color=ink, showlegend=True, margin={"t": 70, "r": 90},
                                legend={"orientation": "h", "y": 1.09, "yanchor": "bottom", "x": 0,
                                        "font": {"size": 14}})


def _said(title: str, value: float) -> str:
    if np.isnan(value):
        return "not known yet"
    return f"{value:.1f}" if title.endswith("points") else f"{value:.1%}"


def _bar(y: float) -> dict[str, object]:
    return {"len": 0.46, "y": y, "thickness": 14, "outlinewidth": 0, "x": 1.01}


def _add_mark(figure: go.Figure, mark: Mark, columns: int, rows: int, named: bool, ink: str,
              at: dict[str, int]) -> None:
    about = {"name": mark.title, "legendgroup": mark.title, "showlegend": named, "hoverinfo": "skip"}
    color = mark.color or ink
    if np.isnan(mark.x) == np.isnan(mark.y):
        if not np.isnan(mark.x):
            hollow = mark.symbol.endswith("open")  # around another mark that may be at the same place
            figure.add_scatter(x=[mark.x], y=[mark.y], mode="markers", **about, **at, marker={
                "symbol": mark.symbol, "size": 24 if hollow else 15, "color": color,
                "line": {"width": 4 if hollow else 2, "color": color if hollow else "#FFFFFF"}})
        return
    xs, ys = ([mark.x] * 2, [-0.5, rows - 0.5]) if np.isnan(mark.y) else ([-0.5, columns - 0.5], [mark.y] * 2)
    figure.add_scatter(x=xs, y=ys, mode="lines", line={"dash": "dash", "width": 3, "color": color}, **about, **at)


def outline(good: npt.NDArray[np.bool_]) -> tuple[list[float | None], list[float | None]]:
    """The edges between marked cells and all others, each a line of its own."""
    padded = np.pad(good, 1)
    xs: list[float | None] = []
    ys: list[float | None] = []
    for i, j in zip(*np.nonzero(padded[1:, 1:-1] != padded[:-1, 1:-1]), strict=True):
        xs += [i - 0.5, i - 0.5, None]
        ys += [j - 0.5, j + 0.5, None]
    for i, j in zip(*np.nonzero(padded[1:-1, 1:] != padded[1:-1, :-1]), strict=True):
        xs += [i - 0.5, i + 0.5, None]
        ys += [j - 0.5, j - 0.5, None]
    return xs, ys


def curves(x: Scale, runs: Mapping[str, Float64], titles: Sequence[str], retrained: Float64 | None,
           original: Sequence[float], here: float, ink: str = RETRAINED) -> go.Figure:
    """Gauges along one knob, one panel each, beside the band of the retrained networks and the original's value.

    Args:
        x: the knob.
        runs: (len(x), gauges) values in [0, 1] by name; the first is drawn in the colour of the unlearned model.
        titles: of the gauges.
        retrained: (seeds, gauges) values; None if unknown.
        original: value of each gauge before unlearning.
        here: place of the present setting; NaN if it is not on the axis.
        ink: colour of text and band: black, or the text colour on a dark page.
    """
    figure = make_subplots(1, len(titles), subplot_titles=list(titles), shared_yaxes=True, horizontal_spacing=0.03)
    figure.update_layout(LAYOUT)
    places = np.arange(len(x.values))
    for n in range(len(titles)):
        at = {"row": 1, "col": n + 1}
        for k, (name, values) in enumerate(runs.items()):
            figure.add_scatter(
                x=places, y=values[:, n], mode="lines+markers", name=name, legendgroup=name, showlegend=n == 0,
                line={"color": LINES[k % len(LINES)], "width": 3, "dash": _DASHES[k % len(_DASHES)]},
                marker={"size": 9, "symbol": _SYMBOLS[k % len(_SYMBOLS)]}, customdata=x.values,
                hovertemplate=f"{name}<br>{x.label} = %{{customdata:g}}: %{{y:.1%}}<extra></extra>", **at)
        # Plotly leaves such shapes out of a panel without traces, so they come last.
        if retrained is not None:
            low, high = retrained[:, n].min(), retrained[:, n].max()
            figure.add_hrect(y0=low - 0.003, y1=high + 0.003, fillcolor=ink, opacity=0.3, line_width=0, layer="below",
                             **at)
        figure.add_hline(y=original[n], line={"color": ORIGINAL, "width": 2, "dash": "dot"}, **at)
        if not np.isnan(here):
            figure.add_vline(x=here, line={"color": UNLEARNED, "width": 1.5, "dash": "dash"}, **at)
    figure.update_xaxes(**x.ticks, title=x.label, range=[-0.5, len(places) - 0.5])
    figure.update_yaxes(range=[-0.04, 1.04], tickformat=".0%", gridcolor=ORIGINAL + "44", zeroline=False)
    figure.update_annotations(font={"size": 16, "color": ink})
    return figure.update_layout(height=340, font_color=ink, showlegend=len(runs) > 1,
                                margin={"t": 70 if len(runs) > 1 else 30}, legend={
                                    "orientation": "h", "y": 1.14, "yanchor": "bottom", "x": 0, "font": {"size": 14}})


def small_multiples(classes: Sequence[str], x: Scale, values: Float64, best: Sequence[float], present: Sequence[int],
                    ink: str = RETRAINED) -> go.Figure:
    """Forget accuracy (dashed, crosses) and retain accuracy (solid, dots) along a knob, one panel a forgotten class.

    Args:
        classes: names.
        x: the knob.
        values: (classes, len(x), gauges) values in [0, 1]; forget and retain accuracy come first.
        best: place of each class's best setting, which stands beside its name and as an upright line.
        present: classes whose name stands out.
        ink: colour of text: black, or the text colour on a dark page.
    """
    columns = 5
    where = [f"{x.label} = {x.values[round(place)]:.3g}" for place in best]
    names = [(f"<b>✖ {name}</b>" if n in present else name) + f": {where[n]}" for n, name in enumerate(classes)]
    figure = make_subplots(-(-len(classes) // columns), columns, subplot_titles=names, shared_xaxes=True,
                           shared_yaxes=True, horizontal_spacing=0.02, vertical_spacing=0.14)
    figure.update_layout(LAYOUT)
    places = np.arange(len(x.values))
    for n in range(len(classes)):
        at = {"row": n // columns + 1, "col": n % columns + 1}
        for k, (name, dash, symbol) in enumerate((("forget accuracy", "dash", "x"), ("retain accuracy", "solid",
                                                                                     "circle"))):
            figure.add_scatter(
                x=places, y=values[n, :, k], mode="lines+markers", name=name, showlegend=False,
                line={"color": CLASSES[n % len(CLASSES)], "width": 2.5, "dash": dash},
                marker={"size": 7, "symbol": symbol}, customdata=x.values,
                hovertemplate=f"{classes[n]}, {name}<br>{x.label} = %{{customdata:g}}: %{{y:.1%}}<extra></extra>", **at)
        figure.add_vline(x=best[n], line={"color": ink, "width": 2}, **at)
    few = {**x.ticks, "tickvals": [0, (len(places) - 1) // 2, len(places) - 1]}
    few["ticktext"] = [f"{x.values[i]:.3g}" for i in (0, (len(places) - 1) // 2, len(places) - 1)]
    figure.update_xaxes(**few)
    figure.update_xaxes(title=x.label, row=-(-len(classes) // columns), title_standoff=2)
    figure.update_yaxes(range=[-0.06, 1.06], tickvals=[0, 0.5, 1], tickformat=".0%", gridcolor=ORIGINAL + "44",
                        zeroline=False)
    return figure.update_layout(height=480, font_color=ink, margin={"t": 40})


def path(x: Scale, y: Scale, gap: Float64 | None, xs: Float64, ys: Float64, scores: Float64, best: int,
         ink: str = RETRAINED) -> go.Figure:
    """Where a search went: its trials over the landscape of the gap, in their order.

    Args:
        x: a knob.
        y: another.
        gap: (len(x), len(y)) gap to retraining in points; None if unknown.
        xs: (trials,) places along x.
        ys: (trials,) places along y.
        scores: (trials,) what each trial reached, in points.
        best: which trial won.
        ink: colour of text: black, or the text colour on a dark page.
    """
    figure = go.Figure(layout=LAYOUT)
    if gap is not None:
        figure.add_heatmap(z=gap.T, zmin=0, zmax=GAP_SHOWN, colorscale="Cividis", reversescale=True, hoverinfo="skip",
                           xgap=1, ygap=1, opacity=0.75, colorbar={"title": "points", "tickvals": [0, 25, 50],
                                                                   "ticktext": ["0", "25", "50+"], "thickness": 14,
                                                                   "outlinewidth": 0})
    order = np.arange(1, len(xs) + 1)
    figure.add_scatter(
        x=xs, y=ys, mode="markers", customdata=np.column_stack([order, scores]),
        hovertemplate="trial %{customdata[0]:.0f}: %{customdata[1]:.1f} points<extra></extra>",
        marker={"size": 7 + 9 * order / len(order), "color": UNLEARNED, "opacity": 0.9,
                "line": {"width": 1.5, "color": "#FFFFFF"}})
    figure.add_scatter(x=[xs[best]], y=[ys[best]], mode="markers", hoverinfo="skip", marker={
        "symbol": "star", "size": 24, "color": "#FFFFFF", "line": {"width": 2.5, "color": UNLEARNED}})
    figure.update_xaxes(**x.ticks, title=x.label, range=[-0.6, len(x.values) - 0.4])
    figure.update_yaxes(**y.ticks, title=y.label, range=[-0.6, len(y.values) - 0.4])
    return figure.update_layout(height=380, font_color=ink)


def best_so_far(scores: Float64, best: Sequence[float], ink: str = RETRAINED) -> go.Figure:
    """Each trial's score as a dot, the lowest so far as a line, in points."""
    figure = go.Figure(layout=LAYOUT)
    order = np.arange(1, len(scores) + 1)
    figure.add_scatter(x=order, y=np.minimum(scores, GAP_SHOWN * 2), mode="markers", customdata=scores,
                       marker={"color": UNLEARNED, "size": 8, "opacity": 0.6},
                       hovertemplate="trial %{x}: %{customdata:.1f} points<extra></extra>")
    figure.add_scatter(x=order, y=np.minimum(best, GAP_SHOWN * 2), mode="lines", hoverinfo="skip",
                       line={"shape": "hv", "color": ink, "width": 3})
    figure.update_xaxes(title="trial", rangemode="tozero", showgrid=False)
    figure.update_yaxes(title="gap to retraining, points", rangemode="tozero", gridcolor=ORIGINAL + "44")
    return figure.update_layout(height=320, font_color=ink)


def front(gaps: Float64, best: npt.NDArray[np.bool_], ink: str = RETRAINED) -> go.Figure:
    """Trials by both gaps in points, those that no other beats joined by a line.

    Args:
        gaps: (trials, 2) absolute forget and retain gaps.
        best: (trials,) which are not beaten.
        ink: colour of text and line: black, or the text colour on a dark page.
    """
    figure = go.Figure(layout=LAYOUT)
    order = np.argsort(gaps[best][:, 0], kind="stable")
    figure.add_scatter(x=gaps[~best][:, 0], y=gaps[~best][:, 1], mode="markers", marker={
        "color": UNLEARNED, "size": 9, "opacity": 0.45},
        hovertemplate="forget %{x:.1f}, retain %{y:.1f}<extra></extra>")
    figure.add_scatter(x=gaps[best][order, 0], y=gaps[best][order, 1], mode="lines+markers",
                       line={"color": ink, "width": 2, "dash": "dash", "shape": "hv"},
                       marker={"color": UNLEARNED, "size": 14, "line": {"width": 2, "color": ink}},
                       hovertemplate="forget %{x:.1f}, retain %{y:.1f}<extra></extra>")
    for axis, title in (("xaxis", "forget gap, points"), ("yaxis", "retain gap, points")):
        figure.layout[axis].update(title=title, rangemode="tozero", gridcolor=ORIGINAL + "44", zerolinecolor=ORIGINAL)
    return figure.update_layout(height=320, font_color=ink)


def importances(shares: Mapping[str, float], ink: str = RETRAINED) -> go.Figure:
    """How much of what makes a setting good lies in each knob; the shares add up to one."""
    figure = go.Figure(layout=LAYOUT)
    names = list(shares)[::-1]
    figure.add_bar(y=names, x=[shares[name] for name in names], orientation="h", marker={"color": UNLEARNED},
                   text=[f"{shares[name]:.0%}" for name in names], textposition="auto", hoverinfo="skip", width=0.6)
    figure.update_xaxes(range=[0, 1], tickformat=".0%", gridcolor=ORIGINAL + "44", zeroline=False)
    figure.update_yaxes(automargin=True, ticklabelstandoff=6)
    return figure.update_layout(height=90 + 44 * len(names), font_color=ink)
