"""The live view: one component on a canvas that moves everything in the same frame while dragging."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from ui.controls import named_settings
from ui.opening import drawn, opening
from ui.present import Shown
from ui.server.runtime import publish
from unlearn_core.picture.scripts import script, styles
from unlearn_core.picture.told import STYLES, told
from unlearn_core.serving.choice import Choice

_mount = st.components.v2.component(
    "lacuna_live",
    html='<div class="lacuna-live"></div>',
    css=styles(*STYLES),
    js=script("live/main.js"),
)


def live_view(shown: Shown, on_point: Callable[[], None], on_picked: Callable[[], None]) -> None:
    """Show a picture; the component's state is in `st.session_state["live"]`.

    `on_point` runs when a drag is released (state ``point``: alpha, lambda and the scene's key), `on_picked` when an
    image is clicked (state ``picked``: its number in the evaluation set). A former picture is dimmed and says whose it
    is. Where only alpha and lambda differ, the view goes to the point that is being computed, and interpolates.
    """
    if shown.picture is None or shown.readings is None:
        raise ValueError("shown: a picture expected, got none")
    (scene, settled), readings = shown.picture, shown.readings
    publish(scene, settled)
    _mount(
        key="live",
        data=told(scene, settled, readings, shown.point) | {
            "ask": opening(),
            "former": "" if shown.moving else shown.former,
            "show": way(settled.choice) if scene.index is not None else []},
        on_point_change=on_point,
        on_picked_change=on_picked,
        on_drawn_change=drawn,
    )


STAGES = (("too weak", "weak"), ("sweet spot", "best trade-off", "medium"), ("catastrophic", "very strong"))
"""Names of the settings that "Just show me" leads over, in its order."""


def way(chosen: Choice) -> list[dict[str, object]]:
    """From a setting that is too weak over the right one to ruin: those of this request that differ in alpha and
    lambda alone, so that one can glide between them.
    """
    fixed = {name: value for name, value in chosen.settings if name not in ("alpha", "lambda")}
    known = {one.name: one.settings for one in named_settings(chosen.network, chosen.forget, chosen.method)
             if {"alpha", "lambda"} <= one.settings.keys()
             and all(one.settings[name] == value for name, value in fixed.items())}
    found = [next((name for name in names if name in known), None) for names in STAGES]
    return [{"name": name, "alpha": known[name]["alpha"], "lambda": known[name]["lambda"]} for name in found if name]
