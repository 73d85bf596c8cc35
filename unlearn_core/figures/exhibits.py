"""Pictures of what a method did: curves, bars and maps of the layers, and images it made."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go

from unlearn_core.exhibits import Curves, LayerBars, LayerMap, Pictures
from unlearn_core.figures.style import CLASSES, LAYOUT, ORIGINAL, RETRAINED, UNLEARNED

_DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
_GRID = ORIGINAL + "44"
_MANY_LAYERS = 40
_FEW_POINTS = 30


def exhibit_figure(exhibit: Curves | LayerBars | LayerMap, ink: str = RETRAINED) -> go.Figure:
    """Draw one exhibit; its title and caption belong beside the figure.

    Args:
        exhibit: anything but pictures, for which there is `picture_arrays`.
        ink: colour of the text: black, or the text colour on a dark page.
    """
    if isinstance(exhibit, Curves):
        figure = _curves(exhibit)
    elif isinstance(exhibit, LayerBars):
        figure = _layer_bars(exhibit, ink)
    else:
        figure = _layer_map(exhibit)
    return figure.update_layout(font_color=ink)


def picture_arrays(exhibit: Pictures) -> list[npt.NDArray[np.uint8]]:
    """The images as bytes, (H, W) or (H, W, 3), each stretched to its own 1st to 99th percentile.

    Without the stretch, noise would be either a flat grey or clipped. An image of a single value comes out mid-grey.

    Raises:
        ValueError: if the images have neither one nor three channels.
    """
    channels = exhibit.images.shape[1]
    if channels not in (1, 3):
        raise ValueError(f"images: one or three channels expected, got {channels}")
    return [_stretched(image[0] if channels == 1 else image.transpose(1, 2, 0)) for image in exhibit.images]


def _stretched(image: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    finite = image[np.isfinite(image)]
    low, high = np.percentile(finite, (1, 99)) if finite.size else (0.0, 0.0)
    if high <= low:
        return np.full(image.shape, 128, np.uint8)
    share = np.clip((np.nan_to_num(image, nan=low, posinf=high, neginf=low) - low) / (high - low), 0, 1)
    return (255 * share).round().astype(np.uint8)


def _curves(exhibit: Curves) -> go.Figure:
    figure = go.Figure(layout=LAYOUT)
    single = len(exhibit.series) == 1
    for i, (name, (x, y)) in enumerate(exhibit.series.items()):
        known = np.where(np.isfinite(np.asarray(y, float)), np.asarray(y, float), np.nan)  # a gap in the line
        colour = UNLEARNED if single else CLASSES[i % len(CLASSES)]
        figure.add_scatter(
            x=np.asarray(x, float), y=known, name=name, mode="lines+markers" if len(x) <= _FEW_POINTS else "lines",
            line={"color": colour, "width": 3, "dash": _DASHES[i % len(_DASHES)]}, marker={"size": 7},
            hovertemplate=f"{name}, {exhibit.x} %{{x:,}}: %{{y:.4g}}<extra></extra>")
    figure.update_xaxes(title=exhibit.x, gridcolor=_GRID, zeroline=False, automargin=True)
    figure.update_yaxes(title=exhibit.y, gridcolor=_GRID, zerolinecolor=ORIGINAL, automargin=True)
    return figure.update_layout(height=340, showlegend=not single, margin_t=8 if single else 40,
                                legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0})


def _layer_bars(exhibit: LayerBars, ink: str) -> go.Figure:
    values, totals = np.asarray(exhibit.values, float), np.asarray(exhibit.totals, float)
    share = np.divide(100 * values, totals, out=np.zeros_like(values), where=totals > 0)
    whole = all(float(v).is_integer() for v in (*values, *totals))
    said = [f"{v:,.0f} of {t:,.0f}" if whole else f"{v:.2g} of {t:.3g}" for v, t in zip(values, totals, strict=True)]
    figure = go.Figure(layout=LAYOUT)
    figure.add_bar(y=exhibit.layers, x=np.full(len(share), 100.0), orientation="h", hoverinfo="skip",
                   marker={"color": ORIGINAL, "opacity": 0.18}, name="possible", text=said, textposition="outside",
                   textfont={"color": ink}, cliponaxis=False)
    figure.add_bar(y=exhibit.layers, x=share, orientation="h", marker={"color": UNLEARNED}, name=exhibit.unit,
                   customdata=said, hovertemplate=f"%{{y}}: %{{customdata}} {exhibit.unit}<extra></extra>")
    figure.update_xaxes(title=f"{exhibit.unit}, % of those possible", range=[0, 100], dtick=20, gridcolor=_GRID,
                        zeroline=False, automargin=True)
    _layers_down(figure, exhibit.layers)
    return figure.update_layout(barmode="overlay", bargap=0.25, margin_r=120)


def _layer_map(exhibit: LayerMap) -> go.Figure:
    figure = go.Figure(layout=LAYOUT)
    figure.add_heatmap(
        z=exhibit.values, x=np.arange(1, exhibit.values.shape[1] + 1), y=exhibit.layers, zmin=0, zmax=1, ygap=2,
        colorscale="Cividis", hoverongaps=False, hovertemplate="%{y}, %{x}: %{z:.3f}<extra></extra>",
        colorbar={"title": "share", "dtick": 0.25, "thickness": 16, "outlinewidth": 0})
    figure.update_xaxes(title=exhibit.x, showgrid=False, zeroline=False, automargin=True)
    _layers_down(figure, exhibit.layers)
    return figure


def _layers_down(figure: go.Figure, layers: Sequence[str]) -> None:
    """Every layer has its name, the input on top; rows become thinner where there are many."""
    row, font = (24, 15) if len(layers) <= _MANY_LAYERS else (14, 11)
    figure.update_yaxes(autorange="reversed", showgrid=False, automargin=True, tickfont={"size": font},
                        ticklabelstandoff=6, type="category", dtick=1)
    figure.update_layout(height=80 + row * max(len(layers), 3))
