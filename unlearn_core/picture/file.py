"""One file of the live picture: the app's own view with all that it would fetch, readable without server or network."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from unlearn_core import assets
from unlearn_core.audit.gauges import KINDS
from unlearn_core.methods import method
from unlearn_core.picture.images import png
from unlearn_core.picture.scripts import script, styles
from unlearn_core.picture.told import STYLES, addresses, told
from unlearn_core.progress import Progress, silent, stage
from unlearn_core.serving.choice import Choice
from unlearn_core.serving.engine import Engine
from unlearn_core.serving.fields import permalink
from unlearn_core.serving.grid import ALPHAS, LAMBDAS
from unlearn_core.serving.judgement import Audit
from unlearn_core.serving.scenes import Scene, Settled
from unlearn_core.sheet import drawing
from unlearn_core.sheet.evidence import outcome, own_engine
from unlearn_core.sheet.words import MEANING

SCHEMA = "lacuna-picture-1"
MOST_BYTES = 5_000_000
"""A file stays below; images for which there is no room are left out, those to be forgotten last."""
_MARGIN = 100_000


def produce(chosen: Choice, progress: Progress = silent) -> str:
    """Run a choice, evaluate its whole landscape, and put the picture into a file.

    Raises:
        NotApplicable, Diverged: as `Method.run`.
        ValueError: as `picture`.
    """
    engine = own_engine()
    scene, settled, audit = outcome(chosen, stage(progress, 0.0, 0.5))
    if scene.index is not None:
        landscape = engine.landscape(scene)
        for position in (missing := landscape.missing()):
            progress(0.5 + 0.5 * (1 - len(landscape.missing()) / len(missing)), "evaluating the landscape")
            landscape.points.append(engine.point(scene, position))
    progress(1.0, "done")
    return picture(engine, scene, settled, audit)


def picture(engine: Engine, scene: Scene, settled: Settled, audit: Audit) -> str:
    """The picture of an outcome as one page of HTML, with as much of its landscape as has been evaluated.

    Raises:
        ValueError: if even without a single image it would be larger than `MOST_BYTES`.
    """
    what = about(scene, settled, audit)
    data = told(scene, settled, audit.readings, {"alpha": settled.alpha, "lambda": settled.lam})
    files = view_files(engine, scene, settled)
    points = 0 if scene.index is None else len(engine.landscape(scene).points)
    room = MOST_BYTES - _MARGIN - sum(4 * len(blob) // 3 for blob in files.values())
    if room < 0:
        raise ValueError(f"picture: a file of at most {MOST_BYTES / 1e6:.0f} MB expected; the positions of "
                         f"{len(settled.logits):,} images alone are more")
    images = image_files(scene, room)
    return templates().get_template("picture.html.jinja").render(
        what=what, data=_script(what), told=_script(data), files=_script({n: _text(b) for n, b in files.items()}),
        pictures=_script(images), script=Markup(script("live/alone.js")), styles=Markup(styles(*STYLES)),
        points=points, grid=len(ALPHAS) * len(LAMBDAS), shown=len(settled.logits), held=len(images))


def about(scene: Scene, settled: Settled, audit: Audit) -> dict[str, Any]:
    """What a file says it is; a gallery reads it there."""
    chosen, readings, own = settled.choice, audit.readings, settled.choice.subject
    source = assets.manifest().data.get(scene.task.train.name)
    return {
        "schema": SCHEMA, "network": own.title, "images": own.about, "words": chosen.words,
        "credit": source and f"{source.title}: {source.licence}", "forget": str(chosen.forget),
        "method": method(chosen.method).title, "settings": dict(chosen.settings),
        "seed": chosen.seed if method(chosen.method).seeded else None, "key": chosen.key,
        "permalink": permalink(chosen), "computed_on": datetime.now(UTC).date().isoformat(),
        "level": str(audit.verdict.level), "verdict": audit.verdict.sentence, "detail": audit.verdict.detail,
        "meaning": MEANING[audit.verdict.level], "n_images": readings.images, "n_retrained": len(readings.band),
        "gauges": [_gauge(name, audit) for name in KINDS]}


def _gauge(name: Any, audit: Audit) -> dict[str, Any]:
    mine, band = audit.readings.gauges[name], [seed[name].value for seed in audit.readings.band]
    return {"measure": KINDS[name].title, "original": audit.readings.original[name].value,
            "retrained_low": min(band, default=None), "retrained_high": max(band, default=None),
            "this_model": mine.value, "ci95": list(mine.interval)}


def view_files(engine: Engine, scene: Scene, settled: Settled) -> dict[str, bytes]:
    """What the view would fetch of the server, by address, with as much of the landscape as has been evaluated."""
    data = addresses(scene, settled)
    found = {data["scene"]: scene.blob, data["outcome"]: settled.blob()}
    return found if data["points"] is None else found | {data["points"]: engine.landscape(scene).blob(0)}


def image_files(scene: Scene, room: int) -> dict[str, str]:
    """Images by their numbers for browsers, as base64: those to be forgotten first, then the others in a fixed random
    order, as long as there is room for them, in bytes.
    """
    seen, found = scene.seen, {}
    shuffled = np.random.default_rng(0).permutation(len(seen.forgotten))
    for row in sorted(shuffled, key=lambda row: not seen.forgotten[row]):
        number = int(seen.evaluation.pictures[row])
        coded = _text(png(scene.choice.network, number))
        room -= len(coded) + len(f'"{number}": "", ')
        if room < 0:
            break
        found[str(number)] = coded
    return found


def _text(blob: bytes) -> str:
    return base64.b64encode(blob).decode("ascii")


def _script(data: Mapping[Any, Any]) -> Markup:
    """JSON that may stand within a script element."""
    return Markup(json.dumps(data, ensure_ascii=False, allow_nan=False).replace("<", "\\u003c"))


@cache
def templates() -> Environment:
    """Of pictures and of their gallery."""
    made = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined,
                       trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True)
    made.filters |= {"share": drawing.share, "percent": lambda value: f"{value:.1%}".replace("%", "\u202f%")}
    return made
