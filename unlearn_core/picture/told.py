"""What the live view is told of a picture, on a page of the app or in a file of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from unlearn_core.audit.gauges import KINDS
from unlearn_core.figures import style
from unlearn_core.methods import method, positions
from unlearn_core.methods.base import Hyperparameter
from unlearn_core.methods.selective import ALPHA, LAMBDA
from unlearn_core.picture.images import address
from unlearn_core.serving.judgement import Readings
from unlearn_core.serving.scenes import Scene, Settled

STYLES = ("button.css", "card.css", "live.css")
"""Of the view, in `assets/css/`."""


def told(scene: Scene, settled: Settled, readings: Readings, point: Mapping[str, float | None]) -> dict[str, Any]:
    """`LiveData` of `assets/js/live/types.d.ts`, without whose picture it is, and without a way to be shown.

    Args:
        scene: what is fixed.
        settled: the exact outcome.
        readings: of the outcome, for the gauges.
        point: where alpha and lambda stand; None for a method that has neither.
    """
    knobs = {knob.name for knob in method(scene.choice.method).hyperparameters}

    def slider(knob: Hyperparameter, locked: bool) -> dict[str, Any] | None:
        return None if scene.index is None else {
            "ticks": positions(knob), "value": point[knob.name], "label": knob.label, "meaning": knob.meaning,
            "locked": locked}

    return {
        "key": scene.choice.key,
        **addresses(scene, settled),
        "image": address(scene.choice.subject),
        "alpha": slider(ALPHA, "alpha" not in knobs),
        "lambda": slider(LAMBDA, False),
        "gauges": [{
            "id": name, "label": kind.title, "better": kind.better,
            "about": f"{kind.about}: {readings.gauges[name].images:,} images",
            "original": readings.original[name].value,
            "retrained": [seed[name].value for seed in readings.band],
            "settled": readings.gauges[name].value, "interval": readings.gauges[name].interval,
        } for name, kind in KINDS.items()],
        "settled": {"alpha": settled.alpha, "lambda": settled.lam},
        "exact": exact_layers(scene, settled),
        "show": [],
        "palette": {"original": style.ORIGINAL, "retrained": style.RETRAINED, "unlearned": style.UNLEARNED,
                    "classes": style.colours(len(scene.choice.subject.classes))},
    }


def addresses(scene: Scene, settled: Settled) -> dict[str, Any]:
    """Where the view fetches what it draws; `points` is None where there is no landscape."""
    return {"scene": f"lacuna/scene/{scene.choice.key}",
            "points": None if scene.index is None else f"lacuna/points/{scene.choice.key}",
            "outcome": f"lacuna/outcome/{settled.choice.key}"}


def exact_layers(scene: Scene, settled: Settled) -> dict[str, object] | None:
    """What was selected in each layer, and how much of its weights is kept on average: not read off a histogram."""
    found = settled.answers
    return None if found is None else {
        "share": (found.selected / scene.sizes).tolist(), "multiplier": found.mean_multiplier.tolist(),
        "total": float(found.selected.sum() / scene.sizes.sum())}
