"""The evaluation images on the map, before or after: for the plain view, notebooks and reports."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go

from unlearn_core.figures.style import CLASSES, LAYOUT


def embedding(xy: npt.NDArray[np.float32], predicted: npt.NDArray[np.int64], labels: npt.NDArray[np.int64],
              forgotten: npt.NDArray[np.bool_], names: Sequence[str]) -> go.Figure:
    """Images as points: colour is the predicted class, a cross an image of what was to be forgotten.

    Args:
        xy: (N, 2) positions in [0, 1].
        predicted: (N,) most likely classes.
        labels: (N,) true classes.
        forgotten: (N,) whether the image is of what was to be forgotten.
        names: class names.
    """
    figure = go.Figure(layout=LAYOUT)
    colours = np.array([CLASSES[c % len(CLASSES)] for c in range(len(names))])[predicted]
    for chosen, symbol, size, opacity, name in ((~forgotten, "circle", 4, 0.35, "retained"),
                                                (forgotten, "x", 8, 0.95, "to be forgotten")):
        figure.add_scatter(  # no WebGL: school machines and remote desktops often have none
            x=xy[chosen, 0], y=xy[chosen, 1], mode="markers", name=name,
            marker={"symbol": symbol, "size": size, "color": colours[chosen], "opacity": opacity},
            text=[f"{names[t]}, predicted {names[p]}" for t, p in zip(labels[chosen], predicted[chosen], strict=True)],
            hovertemplate="%{text}<extra></extra>")
    for axes in (figure.update_xaxes, figure.update_yaxes):
        axes(range=[0, 1], showticklabels=False, showgrid=False, zeroline=False)
    figure.update_layout(height=380)
    return figure
