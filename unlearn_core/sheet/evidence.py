"""The evidence on one outcome, as plain data: everything that page, card and comparison are made of."""

from __future__ import annotations

import hashlib
import math
import platform
import shlex
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import cache
from typing import Any

import numpy as np
import torch

from unlearn_core import assets
from unlearn_core.audit.accuracy import wilson
from unlearn_core.audit.evidence import FORGET_ACCURACY, ORIGINAL, UNLEARNED, Check
from unlearn_core.audit.gauges import KINDS, GaugeName, Reading
from unlearn_core.audit.verdict import Loss
from unlearn_core.methods import method
from unlearn_core.nets.evaluate import accuracy_counts
from unlearn_core.progress import Progress, silent, stage
from unlearn_core.serving.choice import VERSION, Choice
from unlearn_core.serving.engine import Engine
from unlearn_core.serving.fields import permalink, written
from unlearn_core.serving.judgement import Audit, Readings, submit_reference
from unlearn_core.serving.judgement import audit as judge
from unlearn_core.serving.remains import submit_relearning
from unlearn_core.serving.scenes import Scene, Settled
from unlearn_core.sheet import words
from unlearn_core.sheet.asked import Asked, asked
from unlearn_core.sheet.keys import manifest, manifest_hash
from unlearn_core.sheet.weights import fingerprint, packed, state
from unlearn_core.subjects import openings

Evidence = dict[str, Any]
"""As in `evidence.schema.json`."""

SCHEMA = "lacuna-evidence-1"
RELEARN_TIME = "Relearn time"
_DIGITS = 6


@cache
def own_engine() -> Engine:
    """An engine for sheets made outside the app; it computes on one thread."""
    torch.set_num_threads(1)
    return Engine()


def produce(chosen: Choice, key: bytes | None = None, progress: Progress = silent, relearn: bool = True,
            retrain: bool = False) -> tuple[Evidence, bytes]:
    """Run a choice and everything that its sheet says; the evidence and the file of the weights.

    Args:
        chosen: what is run.
        key: of the image hashes; None for a sheet without them.
        progress: told all the time; may cancel.
        relearn: whether to fine-tune the outcome, where there is something to compare that with.
        retrain: whether to retrain networks to compare with where none is bundled: minutes.

    Raises:
        NotApplicable, Diverged: as `Method.run`.
    """
    engine = own_engine()
    scene = engine.prepare(chosen, stage(progress, 0.0, 0.2))
    if retrain and not scene.retrained:
        submit_reference(engine, chosen).result()
        scene = engine.prepare(chosen, silent)
    settled = engine.compute(scene, chosen, stage(progress, 0.2, 0.5))
    audit = judge(engine, scene, settled, stage(progress, 0.5, 0.7))
    if relearn and any(c.title == RELEARN_TIME and ORIGINAL in c.judged for c in audit.checks):
        progress(0.7, "learning again")
        steps = submit_relearning(engine, scene, settled).result().taken
        audit = judge(engine, scene, settled, stage(progress, 0.9, 1.0), steps)
    return evidence(engine, scene, settled, audit, key), weights_file(engine, scene, settled)


def outcome(chosen: Choice, progress: Progress = silent) -> tuple[Scene, Settled, Audit]:
    """Run a choice and judge it by what is at hand, as the app does."""
    engine = own_engine()
    scene = engine.prepare(chosen, stage(progress, 0.0, 0.3))
    settled = engine.compute(scene, chosen, stage(progress, 0.3, 0.6))
    return scene, settled, judge(engine, scene, settled, stage(progress, 0.6, 1.0))


def weights_file(engine: Engine, scene: Scene, settled: Settled) -> bytes:
    """The outcome's weights as a safetensors file."""
    return packed(settled.choice, state(engine.base(settled.choice.network).model, engine.weights(scene, settled)))


def image_hashes(scene: Scene, key: bytes) -> list[str]:
    """Of every image that is to be forgotten."""
    return manifest(key, scene.task.train, asked(scene).rows)


def evidence(engine: Engine, scene: Scene, settled: Settled, audit: Audit, key: bytes | None = None) -> Evidence:
    """The evidence on an outcome, from what is at hand."""
    request = asked(scene)
    return {
        "schema": SCHEMA, "title": words.TITLE, "reading": _reading(settled.choice, audit),
        "request": _request(scene, request, key), "artefacts": _artefacts(engine, scene, settled),
        "procedure": _procedure(engine, settled, audit), "evidence": _measured(engine, settled.choice, audit),
        "touched": _touched(settled.choice, request, audit), "limits": list(words.LIMITS),
        "outside": dict.fromkeys(words.OUTSIDE_FIELDS), "decision": dict.fromkeys(words.DECISION_FIELDS)}


def _reading(chosen: Choice, audit: Audit) -> Evidence:
    verdict = audit.verdict
    return {"finding": verdict.sentence, "detail": verdict.detail, "level": str(verdict.level),
            "meaning": words.MEANING[verdict.level], "status": "draft", "how_to_read": list(words.HOW_TO_READ),
            "kind": words.RETRAINED_KIND if chosen.method == "retrain" else words.APPROXIMATE_KIND}


def _request(scene: Scene, request: Asked, key: bytes | None) -> Evidence:
    found = None if key is None else manifest_hash(key, manifest(key, scene.task.train, request.rows))
    return dict.fromkeys(words.REQUEST_FIELDS) | {
        "scope_type": request.scope, "words": request.words, "forget": request.written,
        "n_items": len(request.rows), "forget_manifest_hmac": found,
        "hashes": words.NO_HASHES if key is None else words.HASHES}


def _artefacts(engine: Engine, scene: Scene, settled: Settled) -> Evidence:
    base = engine.base(settled.choice.network)
    after, before = state(base.model, engine.weights(scene, settled)), base.model.state_dict()
    file = hashlib.sha256(packed(settled.choice, after)).hexdigest()
    return {
        "network": base.subject.name, "title": base.subject.title, "about": base.subject.about,
        "architecture": base.subject.architecture, "n_parameters": sum(p.numel() for p in base.model.parameters()),
        "n_changed": sum(int((after[name] != value).sum()) for name, value in base.model.named_parameters()),
        "subject_fingerprint": base.subject.fingerprint, "data": scene.task.train.name,
        "n_training_images": len(scene.task.train),
        "before": {"weights_sha256": fingerprint(before), "file_sha256": assets.sha256(base.subject.model())},
        "after": {"weights_sha256": fingerprint(after), "file_sha256": file},
        "known_copies": None}


def _procedure(engine: Engine, settled: Settled, audit: Audit) -> Evidence:
    chosen = settled.choice
    found, (how, when) = method(chosen.method), settings_chosen(chosen)
    return {
        "key": chosen.key, "method": chosen.method, "title": found.title, "reference": found.paper,
        "about": found.about, "settings": dict(chosen.settings), "settings_chosen": how, "settings_chosen_when": when,
        "seed": chosen.seed if found.seeded else None, "data_needed": sorted(found.needs),
        "seconds": float(f"{settled.cost.seconds:.3g}"), "seconds_are": words.SECONDS,
        "stored_bytes": settled.cost.stored_bytes, "bound": words.NO_BOUND, "notes": list(settled.warnings),
        "permalink": permalink(chosen), "rerun_command": rerun(chosen, _reference(chosen, audit)),
        "numbers_version": VERSION, "made_on": datetime.now(UTC).date().isoformat(),
        "versions": {"python": platform.python_version(), "torch": str(torch.__version__), "numpy": np.__version__},
        "machine": f"{platform.system()} {platform.machine()}"}


def settings_chosen(chosen: Choice) -> tuple[str, str]:
    """Where the settings come from, and whether they were chosen before the numbers on the sheet were seen."""
    settings, network, name = dict(chosen.settings), chosen.network, chosen.method
    opens = openings.opening(network, chosen.forget, name)
    read = (f"Before this audit, by a rule that reads no test image; {opens.images if opens else 0} of the training "
            "images to be forgotten were among those that it read.")
    if opens is not None and settings == opens.settings:
        return "the opening of this request" + (
            "" if opens.serves else ", a trade-off: nothing that was tried both forgets and spares the rest"), read
    if settings == method(name).settings():
        return "the general defaults of the method", "Before this audit, on the networks that come with the project."
    for named in openings.presets(network, chosen.forget, name):
        if settings == named.settings:
            return f"the preset “{named.name}”", read if opens is not None and named.name in openings.CLAIMS else \
                "Before this audit; the preset is the same for every request."
    return "set by hand", ("Whether before this audit, or after numbers like these had been seen, is not known; the "
                           "latter makes numbers look better than they are.")


def _reference(chosen: Choice, audit: Audit) -> str:
    if not audit.readings.band:
        return "none"
    own = chosen.subject
    shipped = own.retrained_logits(chosen.forget) is not None or own.retrained(chosen.forget)
    return "bundled" if shipped else "retrained for this request"


def rerun(chosen: Choice, reference: str) -> str:
    """The command that makes the same sheet again."""
    settings = [f"{name}={written(value)}" for name, value in chosen.settings]
    return shlex.join(["python", "-m", "unlearn_core", "evidence", chosen.method, "--network", chosen.network,
                       "--forget", str(chosen.forget), "--seed", str(chosen.seed),
                       *(["--set", *settings] if settings else []),
                       *(["--retrain"] if reference == "retrained for this request" else []), "--out", "sheet"])


# -- numbers --------------------------------------------------------------------------------------------------------


def rounded(value: float | None) -> float | None:
    """Six digits; None for what is no number, or has no end."""
    return None if value is None or not math.isfinite(value) else float(f"{value:.{_DIGITS}g}") + 0.0


def _span(values: Iterable[float]) -> list[float | None]:
    return [rounded(float(value)) for value in values]


def _range(values: list[float]) -> Evidence:
    return {"retrained_low": rounded(min(values, default=None)), "retrained_high": rounded(max(values, default=None))}


def _measured(engine: Engine, chosen: Choice, audit: Audit) -> Evidence:
    readings = audit.readings
    return {"n_images": readings.images, "n_retrained": len(readings.band),
            "reference": _reference(chosen, audit),
            "gauges": [_gauge(name, readings) for name in KINDS],
            "checks": [_check(check, readings.gauges["forget"]) for check in audit.checks],
            "not_measured": list(words.NOT_MEASURED)}


def _gauge(name: GaugeName, readings: Readings) -> Evidence:
    mine = readings.gauges[name]
    return {"name": name, "measure": KINDS[name].title, "question": words.GAUGE_QUESTIONS[name],
            "original": rounded(readings.original[name].value),
            **_range([seed[name].value for seed in readings.band]), "this_model": rounded(mine.value),
            "ci95": _span(mine.interval), "n_images": mine.images}


def _check(check: Check, forget: Reading) -> Evidence:
    mine, before = check.judged.get(UNLEARNED), check.judged.get(ORIGINAL)
    known = mine or before
    return {
        "measure": check.title, "question": words.QUESTIONS.get(check.title, f"{check.about}."), "about": check.about,
        "inside": check.inside, "original": rounded(before.value) if before else None,
        **_range(known.null.tolist() if known else []), "n_retrained": len(known.null) if known else 0,
        "this_model": rounded(mine.value) if mine else None,
        "ci95": _span(forget.interval) if mine and check.title == FORGET_ACCURACY else None,
        "null_band": _span(known.expected) if known else None, "held_out": len(check.held_out),
        "held_out_passing": check.passing, "informative": check.worth == "works" if known else None,
        "status": check.status()}


def _touched(chosen: Choice, request: Asked, audit: Audit) -> Evidence:
    readings, images = audit.readings, chosen.subject.images
    counts = accuracy_counts(chosen.forget, images.test.in_terms_of(images.train))
    return {"worst": _loss(audit.verdict.loss),
            "classes": [_class(name, label, int(counts[label]), label in request.classes, readings)
                        for label, name in enumerate(chosen.subject.classes) if counts[label]],
            "remaining_people_at_higher_risk": None}


def _loss(loss: Loss | None) -> Evidence | None:
    return None if loss is None else {
        "group": loss.group, "lost": rounded(loss.value), "ci95": _span(loss.interval), "n_images": loss.images,
        "damage": loss.damage}


def _class(name: str, label: int, images: int, forgotten: bool, readings: Readings) -> Evidence:
    after, seeds = float(readings.accuracy[label]), readings.accuracy_retrained
    return {"name": name, "forgotten": forgotten, "original": rounded(float(readings.accuracy_before[label])),
            **_range([] if seeds is None else seeds[:, label].tolist()), "this_model": rounded(after),
            "ci95": _span(wilson(round(after * images), images)), "n_images": images}
