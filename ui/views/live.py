"""The live view: one component on a canvas that moves everything in the same frame while dragging."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from ui.controls import named_settings
from ui.pictures import address
from ui.present import Shown
from ui.server.runtime import publish
from ui.sliders import positions
from ui.views.scripts import script, styles
from unlearn_core.audit.gauges import KINDS
from unlearn_core.figures import style
from unlearn_core.methods import method
from unlearn_core.methods.selective import ALPHA, LAMBDA
from unlearn_core.serving.choice import Choice
from unlearn_core.serving.scenes import Scene, Settled

_mount = st.components.v2.component(
    "lacuna_live",
    html='<div class="lacuna-live"></div>',
    css=styles("card.css", "live.css"),
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
    knobs = {knob.name for knob in method(scene.choice.method).hyperparameters}
    live = scene.index is not None
    point = shown.point
    _mount(
        key="live",
        data={
            "key": scene.choice.key,
            "former": "" if shown.moving else shown.former,
            "scene": f"lacuna/scene/{scene.choice.key}",
            "points": f"lacuna/points/{scene.choice.key}" if live else None,
            "outcome": f"lacuna/outcome/{settled.choice.key}",
            "image": address(scene.choice.subject),
            "alpha": {"ticks": positions(ALPHA), "value": point["alpha"], "label": ALPHA.label,
                      "meaning": ALPHA.meaning, "locked": "alpha" not in knobs} if live else None,
            "lambda": {"ticks": positions(LAMBDA), "value": point["lambda"], "label": LAMBDA.label,
                       "meaning": LAMBDA.meaning, "locked": False} if live else None,
            "gauges": [{
                "id": name, "label": kind.title, "better": kind.better,
                "about": f"{kind.about}: {readings.gauges[name].images:,} images",
                "original": readings.original[name].value,
                "retrained": [seed[name].value for seed in readings.band],
                "settled": readings.gauges[name].value, "interval": readings.gauges[name].interval,
            } for name, kind in KINDS.items()],
            "settled": {"alpha": settled.alpha, "lambda": settled.lam},
            "exact": exact_layers(scene, settled),
            "show": way(settled.choice) if live else [],
            "palette": {"original": style.ORIGINAL, "retrained": style.RETRAINED, "unlearned": style.UNLEARNED,
                        "classes": style.colours(len(scene.choice.subject.classes))},
        },
        on_point_change=on_point,
        on_picked_change=on_picked,
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


def exact_layers(scene: Scene, settled: Settled) -> dict[str, object] | None:
    """What was selected in each layer, and how much of its weights is kept on average: not read off a histogram."""
    found = settled.answers
    return None if found is None else {
        "share": (found.selected / scene.sizes).tolist(), "multiplier": found.mean_multiplier.tolist(),
        "total": float(found.selected.sum() / scene.sizes.sum())}
