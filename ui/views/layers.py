"""The importance ratios of every layer on one canvas, with α as a line that can be dragged through them."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from ui.present import Shown
from ui.server.runtime import publish
from ui.sliders import positions
from ui.views.scripts import script, styles
from unlearn_core.figures import style
from unlearn_core.measure.anatomy import stage_of
from unlearn_core.methods import method
from unlearn_core.methods.selective import ALPHA

_mount = st.components.v2.component(
    "lacuna_layers",
    html='<div class="lacuna-layers"></div>',
    css=styles("layers.css"),
    js=script("layers/main.js"),
)


def layers_view(shown: Shown, layer: str, on_point: Callable[[], None], on_layer: Callable[[], None]) -> None:
    """Show the ratios of a method with importances; the component's state is in `st.session_state["layers"]`.

    `on_point` runs when a drag of α is released (state ``point``: alpha, lambda and the scene's key), `on_layer` when a
    layer's row is clicked (state ``layer``: its name). A former picture says whose it is.
    """
    if shown.picture is None or (settled := shown.picture[1]).answers is None:
        raise ValueError(f"shown: a picture of a method with importances expected, got {shown.picture}")
    scene = shown.picture[0]
    publish(scene)
    _mount(
        key="layers",
        data={
            "key": scene.choice.key,
            "former": "" if shown.moving else shown.former,
            "scene": f"lacuna/scene/{scene.choice.key}",
            "alpha": {"ticks": positions(ALPHA), "value": shown.point["alpha"], "label": ALPHA.label,
                      "meaning": ALPHA.meaning,
                      "locked": all(knob.name != "alpha" for knob in method(scene.choice.method).hyperparameters)},
            "lambda": shown.point["lambda"],
            "exact": {"alpha": settled.alpha, "lambda": settled.lam,
                      "share": (settled.answers.selected / scene.sizes).tolist(),
                      "multiplier": settled.answers.mean_multiplier.tolist(),
                      "total": float(settled.answers.selected.sum() / scene.sizes.sum())},
            "stages": [stage_of(name) for name in scene.layers],
            "layer": layer,
            "palette": {"original": style.ORIGINAL, "retrained": style.RETRAINED, "unlearned": style.UNLEARNED,
                        "classes": style.colours(len(scene.choice.subject.classes))},
        },
        on_point_change=on_point,
        on_layer_change=on_layer,
    )
