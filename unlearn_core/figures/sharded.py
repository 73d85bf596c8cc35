"""Training in shards: which stages a request costs, and how soon the advantage is gone."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go

from unlearn_core.figures.style import LAYOUT, ORIGINAL, RETRAINED, UNLEARNED


def shard_grid(hit: npt.NDArray[np.int64], again: npt.NDArray[np.bool_], ink: str = RETRAINED) -> go.Figure:
    """Shards by slices: how many images of each are to be forgotten, and which stages are trained again.

    Args:
        hit: (shards, slices) images to be forgotten.
        again: (shards, slices) whether the stage is trained again.
        ink: colour of the text.
    """
    shards, slices = hit.shape
    figure = go.Figure(go.Heatmap(
        z=again.astype(float), x=[f"slice {i + 1}" for i in range(slices)], y=[f"shard {i + 1}" for i in range(shards)],
        zmin=0, zmax=1, colorscale=[[0, ORIGINAL + "55"], [1, UNLEARNED]], showscale=False, xgap=6, ygap=6,
        customdata=np.where(again, "trained again", "kept as it is"),
        hovertemplate="%{y}, %{x}: %{customdata}; %{text} to be forgotten<extra></extra>",
        text=np.char.mod("%d images", hit)), LAYOUT)
    for i, j in zip(*np.nonzero(hit), strict=True):
        figure.add_annotation(x=j, y=i, text=f"<b>{hit[i, j]:,}</b>", showarrow=False,
                              font={"size": 18, "color": "#FFFFFF"})
    figure.update_yaxes(autorange="reversed", tickfont={"size": 15})
    figure.update_xaxes(side="top", tickfont={"size": 15})
    return figure.update_layout(height=52 * shards + 40, font_color=ink)


def shard_curve(images: npt.NDArray[np.int64], share: npt.NDArray[np.float64], here: tuple[int, float],
                ink: str = RETRAINED) -> go.Figure:
    """Share of the training that is done again, over how many images at random are asked for.

    Args:
        images: (K,) how many, ascending, at least 1.
        share: (K,) in [0, 1].
        here: images and share of the request.
        ink: colour of the text.
    """
    figure = go.Figure(layout=LAYOUT)
    figure.add_scatter(x=images, y=100 * share, mode="lines", line={"color": ORIGINAL, "width": 4},
                       hovertemplate="%{x:,} images at random: %{y:.0f} %<extra></extra>")
    side = "left" if here[0] ** 2 > images[-1] else "right"
    figure.add_scatter(x=[here[0]], y=[100 * here[1]], mode="markers+text", text=["this request"],
                       textposition=f"bottom {side}", textfont={"size": 16},
                       marker={"color": UNLEARNED, "size": 16, "symbol": "diamond"},
                       hovertemplate="this request, %{x:,} images: %{y:.0f} %<extra></extra>")
    figure.update_xaxes(type="log", title="images to be forgotten", gridcolor=ORIGINAL + "44", tickfont={"size": 15},
                        dtick=1)
    figure.update_yaxes(range=[0, 105], ticksuffix=" %", gridcolor=ORIGINAL + "44", tickfont={"size": 15})
    return figure.update_layout(height=300, font_color=ink)
