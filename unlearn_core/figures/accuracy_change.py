"""Per-class accuracy change: the picture of collateral damage."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go

from unlearn_core.figures.style import LAYOUT, ORIGINAL, RETRAINED, UNLEARNED

Float64 = npt.NDArray[np.float64]


def accuracy_change(classes: Sequence[str], before: Float64, after: Float64, retrained: Float64 | None,
                    forget: Sequence[int], ink: str = RETRAINED) -> go.Figure:
    """Diverging bars of test accuracy change in points, one per class, around zero.

    Args:
        classes: names.
        before: (classes,) accuracy of the original, in [0, 1].
        after: (classes,) accuracy of the unlearned model.
        retrained: (seeds, classes) accuracies of retrained models, drawn as a range; None if unknown.
        forget: numbers of the forgotten classes; hatched and marked with a cross.
        ink: colour of the retrained marks: black, or the text colour on a dark page.
    """
    change = 100 * (after - before)
    names = [f"✖ {name}" if i in forget else name for i, name in enumerate(classes)]
    kept = [i for i in range(len(names)) if i not in forget]
    mean = float(np.mean(change[kept]))
    # The whole layout at once: plotly takes several milliseconds for each update, and every released slider draws this.
    figure = go.Figure(layout=LAYOUT.to_plotly_json() | {
        "height": 380, "showlegend": True, "legend": {"orientation": "h", "y": 1.12},
        "margin": {"l": 110, "r": 8, "t": 8, "b": 8},
        "xaxis": {"title": {"text": "change in test accuracy (points)"}, "range": [-112, 40], "zeroline": True,
                  "dtick": 20},
        "yaxis": {"autorange": "reversed"},
        "shapes": [{"type": "line", "x0": mean, "x1": mean, "y0": 0, "y1": 1, "yref": "y domain",
                    "line": {"dash": "dash", "color": ORIGINAL}}]})
    figure.add_bar(
        y=names, x=change, orientation="h", text=[f"{c:+.0f}" for c in change], textposition="outside",
        marker={"color": UNLEARNED, "pattern": {"shape": ["/" if i in forget else "" for i in range(len(names))]}},
        name="unlearned", hovertemplate="%{y}: %{x:+.1f} points<extra></extra>", cliponaxis=False)
    if retrained is not None:
        against = 100 * (retrained - before)
        centre, low, high = against.mean(0), against.min(0), against.max(0)
        figure.add_scatter(
            y=names, x=centre, mode="markers", name="retrained", marker={"symbol": "line-ns-open", "size": 16,
                                                                       "color": ink, "line": {"width": 3}},
            error_x={"type": "data", "array": high - centre, "arrayminus": centre - low, "thickness": 3, "width": 0},
            hovertemplate="%{y}, retrained: %{x:+.1f} points<extra></extra>")
    return figure
