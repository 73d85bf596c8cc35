"""The importance ratios of every layer on one canvas, with α as a line that can be dragged through them."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from ui.runtime import publish
from ui.scripts import read
from ui.state import positions
from unlearn_core.anatomy import stage_of
from unlearn_core.engine import Scene, Settled
from unlearn_core.figures import style
from unlearn_core.methods import method
from unlearn_core.methods.selective import ALPHA

_mount = st.components.v2.component(
    "lacuna_layers",
    html='<div class="lacuna-layers"></div>',
    css=read("layers.css"),
    js=read("live_maths.js", "canvas.js", "layers.js"),
)


def layers_view(scene: Scene, settled: Settled, layer: str, on_point: Callable[[], None],
                on_layer: Callable[[], None]) -> None:
    """Show the ratios of a method with importances; the component's state is in `st.session_state["layers"]`.

    `on_point` runs when a drag of α is released (state ``point``: alpha and lambda), `on_layer` when a layer's row is
    clicked (state ``layer``: its name).
    """
    if settled.answers is None:
        raise ValueError(f"method: one with importances expected, got {settled.choice.method!r}")
    publish(scene)
    _mount(
        key="layers",
        data={
            "scene": f"lacuna/scene/{scene.choice.key}",
            "alpha": {"ticks": positions(ALPHA), "value": settled.alpha, "label": ALPHA.label, "meaning": ALPHA.meaning,
                      "locked": all(knob.name != "alpha" for knob in method(scene.choice.method).hyperparameters)},
            "lambda": settled.lam,
            "exact": {"alpha": settled.alpha, "lambda": settled.lam,
                      "share": (settled.answers.selected / scene.sizes).tolist(),
                      "multiplier": settled.answers.mean_multiplier.tolist(),
                      "total": float(settled.answers.selected.sum() / scene.sizes.sum())},
            "stages": [stage_of(name) for name in scene.layers],
            "layer": layer,
            "palette": {"original": style.ORIGINAL, "retrained": style.RETRAINED, "unlearned": style.UNLEARNED,
                        "classes": style.CLASSES},
        },
        on_point_change=on_point,
        on_layer_change=on_layer,
    )
