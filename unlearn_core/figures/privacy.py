"""Could an attacker tell: members against never-seen images, ROC, and a model's place among retrained ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go

from unlearn_core.figures.style import LAYOUT, ORIGINAL, PROMISED, RETRAINED, UNLEARNED

Float64 = npt.NDArray[np.float64]

BINS = 70
LOWEST = 0.01  # of both axes of the ROC
_FIELDS = {"original": "original", "unlearned": "value"}
_REACHES = (15, 30, 60, 100, 200, 500, 1000)  # dots


def dots(values: Float64, domain: tuple[float, float]) -> tuple[Float64, Float64]:
    """Where each value's dot stands: (N,) place in its bin from 1 on, the highest value first; (N,) the bin's centre.

    Args:
        values: (N,) within the domain.
        domain: lowest and highest value.
    """
    low, high = domain
    index = np.clip(((values - low) / (high - low) * BINS).astype(np.int64), 0, BINS - 1)
    place, taken = np.zeros(len(values)), np.zeros(BINS, np.int64)
    for i in np.argsort(-values, kind="stable"):
        taken[index[i]] += 1
        place[i] = taken[index[i]]
    return place, low + (index + 0.5) * (high - low) / BINS


def butterfly(members: Float64, others: Float64, threshold: float, domain: tuple[float, float], title: str,
              ink: str = RETRAINED) -> go.Figure:
    """A dot for each image: training images to the left, unseen ones to the right; filled if called a member.

    Args:
        members: (P,) statistic of the training images.
        others: (n,) statistic of the unseen images.
        threshold: at least this is called a member.
        domain: lowest and highest value of the shared axis.
        title: of that axis.
        ink: colour of text and threshold: black, or the text colour on a dark page.
    """
    figure = go.Figure(layout=LAYOUT)
    groups = (("training images", members, -1, "circle"), ("never seen", others, 1, "diamond"))
    places = [dots(values, domain) for _, values, _, _ in groups]
    most = max(float(place.max(initial=1)) for place, _ in places)
    reach = next((r for r in _REACHES if r >= most), most)
    for (name, values, side, symbol), (place, height) in zip(groups, places, strict=True):
        figure.add_scatter(
            x=side * place, y=height, mode="markers", name=name, customdata=values,
            marker={"symbol": [symbol if v >= threshold else f"{symbol}-open" for v in values], "color": UNLEARNED,
                    "size": float(np.clip(440 / reach, 2.5, 7)), "line": {"width": 1, "color": UNLEARNED}},
            hovertemplate=f"{name}: %{{customdata:.3g}}<extra></extra>")
        figure.add_annotation(x=side * reach, y=1.0, yref="paper", yanchor="bottom", showarrow=False,
                              xanchor="left" if side < 0 else "right", font={"color": ink},
                              text=f"<b>{name}</b>: {(values >= threshold).mean():.0%} called members")
    margin = 0.02 * (domain[1] - domain[0])
    figure.add_hline(y=threshold, line={"color": ink, "width": 2, "dash": "dash"})
    figure.add_vline(x=0, line={"color": ORIGINAL, "width": 1})
    figure.update_xaxes(range=[-1.02 * reach, 1.02 * reach], visible=False)
    figure.update_yaxes(range=[domain[0] - margin, domain[1] + 2 * margin], title=title, tickformat="~g",
                        gridcolor=ORIGINAL + "44", zeroline=False, automargin=True)
    return figure.update_layout(height=480, font_color=ink, margin_t=36)


@dataclass(frozen=True, eq=False)
class Curve:
    """True-positive rates of the models compared.

    Attributes:
        grid: (points,) false-positive rates.
        unlearned: (points,) of the unlearned model.
        band: (2, points) its confidence band; NaN, and not drawn, where the images are too few.
        original: (points,) of the original.
        retrained: (2, points) lowest and highest of the retrained seeds; None if there are none.
        promised: (2, points) lowest and highest that the method's promise allows; None if it makes none.
    """

    grid: Float64
    unlearned: Float64
    band: Float64
    original: Float64
    retrained: Float64 | None
    promised: Float64 | None = None


def roc_curves(curve: Curve, ink: str = RETRAINED) -> go.Figure:
    """ROC on logarithmic axes from 1 % to 100 %; what is below 1 % is below the axis.

    Args:
        curve: the rates.
        ink: colour of text and of the retrained band: black, or the text colour on a dark page.
    """
    figure = go.Figure(layout=LAYOUT)
    shown = curve.grid >= LOWEST
    x = curve.grid[shown]

    def floor(values: Float64) -> Float64:
        result: Float64 = np.maximum(values[..., shown], LOWEST / 10)  # zero has no logarithm
        return result

    def band(values: Float64, name: str, colour: str, opacity: float, pattern: str) -> None:
        low, high = floor(values)
        figure.add_scatter(x=np.concatenate([x, x[::-1]]), y=np.concatenate([high, low[::-1]]), mode="lines", name=name,
                           fill="toself", line={"width": 1, "color": colour}, opacity=opacity, hoverinfo="skip",
                           fillpattern={"shape": pattern, "fgcolor": colour, "size": 6, "solidity": 0.25})

    figure.add_scatter(x=[LOWEST, 1], y=[LOWEST, 1], mode="lines", name="guessing", hoverinfo="skip",
                       line={"color": ORIGINAL, "width": 1.5, "dash": "dot"})
    if curve.promised is not None:
        band(curve.promised, "promised", PROMISED, 0.5, ".")
    if curve.retrained is not None:
        band(curve.retrained, "retrained", ink, 0.7, "/")
    if not np.isnan(curve.band).all():
        band(curve.band, "95 % band", UNLEARNED, 0.6, "")
    for name, values, colour, width, dash in (("original", curve.original, ORIGINAL, 3, "dash"),
                                              ("unlearned", curve.unlearned, UNLEARNED, 3, "solid")):
        figure.add_scatter(x=x, y=floor(values), mode="lines", name=name,
                           line={"color": colour, "width": width, "dash": dash, "shape": "hv"},
                           hovertemplate=f"{name}: %{{y:.0%}} found at %{{x:.1%}} false alarms<extra></extra>")
    ticks = [0.01, 0.03, 0.1, 0.3, 1]
    for axis, title in (("xaxis", "false alarms among never seen"), ("yaxis", "members found")):
        figure.layout[axis].update(type="log", range=[np.log10(LOWEST), 0.02], title=title, tickvals=ticks,
                                   ticktext=[f"{t:.0%}" for t in ticks], gridcolor=ORIGINAL + "44", zeroline=False,
                                   automargin=True)
    return figure.update_layout(height=460, font_color=ink, showlegend=True, margin_t=40,
                                legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0})


def risks(before: Float64, after: Float64, risen: npt.NDArray[np.bool_], captions: Sequence[str],
          ink: str = RETRAINED) -> go.Figure:
    """Each image's risk before and after as a dot, on axes linear near 0 and logarithmic beyond.

    Args:
        before: (P,) log-likelihood ratio in the original.
        after: (P,) in the unlearned model.
        risen: (P,) whose risk rose by more than is to be expected: filled and large, the rest hollow and small.
        captions: (P,) what a pointer on the dot is told.
        ink: colour of text and diagonal: black, or the text colour on a dark page.
    """
    figure = go.Figure(layout=LAYOUT)
    x, y = np.arcsinh(before), np.arcsinh(after)
    end = max(3.0, float(np.abs(np.concatenate([x, y])).max()) * 1.03)
    figure.add_scatter(x=[-end, end], y=[-end, end], mode="lines", name="as before", hoverinfo="skip",
                       line={"color": ORIGINAL, "width": 2, "dash": "dash"})
    for name, chosen, marker in (
            ("retained image", ~risen, {"symbol": "circle-open", "size": 5, "opacity": 0.6}),
            ("risk rose by more than retrained networks vary", risen, {"symbol": "circle", "size": 11})):
        figure.add_scatter(
            x=x[chosen], y=y[chosen], mode="markers", name=name, marker={"color": UNLEARNED, **marker},
            customdata=np.stack([before[chosen], after[chosen]], 1),
            text=[caption for caption, one in zip(captions, chosen, strict=True) if one],
            hovertemplate="%{text}: %{customdata[0]:.2f} before, %{customdata[1]:.2f} after<extra></extra>")
    marks = [m for m in (-1000, -100, -10, -3, -1, 0, 1, 3, 10, 100, 1000) if abs(np.arcsinh(m)) <= end]
    for axis, title in (("xaxis", "risk in the original"), ("yaxis", "risk after forgetting")):
        figure.layout[axis].update(range=[-end, end], title=f"{title} (log-likelihood ratio)",
                                   tickvals=np.arcsinh(marks),
                                   ticktext=[f"{m:,}".replace("-", "−") for m in marks], gridcolor=ORIGINAL + "44",
                                   zeroline=False, automargin=True)
    return figure.update_layout(height=460, font_color=ink, showlegend=True, margin_t=40,
                                legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0})


@dataclass(frozen=True, eq=False)
class Strip:
    """One quantity of the models compared.

    Attributes:
        value: of the unlearned model.
        original: of the original.
        null: (seeds,) of each retrained seed against the others.
        expected: (low, high) of the shade, as where one more retrained seed would lie; an infinite end is drawn to the
            axis's end.
        domain: lowest and highest possible value.
    """

    value: float
    original: float
    null: Float64
    expected: tuple[float, float]
    domain: tuple[float, float]


def strips(rows: Mapping[str, Strip], ink: str = RETRAINED) -> go.Figure:
    """One line per quantity over its whole domain: seeds as ticks, where one more may lie, original and unlearned.

    Args:
        rows: by title.
        ink: colour of text and seeds: black, or the text colour on a dark page.
    """
    figure = go.Figure(layout=LAYOUT)

    def share(strip: Strip, value: float) -> float:
        low, high = strip.domain
        return float(np.clip((value - low) / (high - low), 0, 1))

    for row, (title, strip) in enumerate(rows.items()):
        low, high = (share(strip, end) for end in strip.expected)
        for x0, x1, half, colour in ((0.0, 1.0, 0.08, ORIGINAL), (low, high, 0.2, ink)):
            figure.add_shape(type="rect", x0=x0, x1=x1, y0=row - half, y1=row + half, fillcolor=colour,
                             opacity=0.25, line_width=0, layer="below")
        figure.add_annotation(x=0, y=row - 0.42, text=f"<b>{title}</b>", showarrow=False, xanchor="left",
                              font={"color": ink})
        figure.add_annotation(x=1, y=row - 0.42, showarrow=False, xanchor="right", font={"color": ink},
                              text=f"unlearned <b>{strip.value:.2f}</b>, original {strip.original:.2f}, retrained "
                                   f"{strip.null.min():.2f} to {strip.null.max():.2f}")
        for x, anchor, end in ((0, "left", strip.domain[0]), (1, "right", strip.domain[1])):
            figure.add_annotation(x=x, y=row + 0.33, text=f"{end:.3g}", showarrow=False, xanchor=anchor,
                                  font={"color": ORIGINAL})
    for name, marker in (("retrained", {"symbol": "line-ns-open", "size": 22, "color": ink, "line": {"width": 2}}),
                         ("original", {"symbol": "square", "size": 13, "color": ORIGINAL}),
                         ("unlearned", {"symbol": "circle", "size": 15, "color": UNLEARNED})):
        points = [(value, share(strip, value), row) for row, strip in enumerate(rows.values())
                  for value in (strip.null if name == "retrained" else (getattr(strip, _FIELDS[name]),))]
        figure.add_scatter(x=[p[1] for p in points], y=[p[2] for p in points], customdata=[p[0] for p in points],
                           mode="markers", name=name, marker=marker, cliponaxis=False,
                           hovertemplate=f"{name} %{{customdata:.3f}}<extra></extra>")
    figure.update_xaxes(range=[-0.02, 1.02], visible=False)
    figure.update_yaxes(range=[len(rows) - 0.5, -0.75], visible=False)
    return figure.update_layout(height=125 * len(rows) + 40, font_color=ink, showlegend=True, margin_t=36,
                                legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0})
