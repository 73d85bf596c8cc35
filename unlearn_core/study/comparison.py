"""Every method on one request at its defaults, several seeds each: what the page *Which method* shows."""

from __future__ import annotations

import json
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import cast

import numpy as np
import numpy.typing as npt

from unlearn_core import assets
from unlearn_core.audit.evidence import ORIGINAL
from unlearn_core.audit.measures import MEASURES, MeasureName, output_measures
from unlearn_core.audit.weights import relative_change
from unlearn_core.methods import METHODS
from unlearn_core.methods.base import Diverged, NotApplicable, Value
from unlearn_core.nets.evaluate import softmax
from unlearn_core.nets.request import CLASS, Request
from unlearn_core.progress import Progress, silent, stage
from unlearn_core.serving.choice import choice
from unlearn_core.serving.engine import Engine
from unlearn_core.serving.judgement import audit
from unlearn_core.serving.pool import Lane, Ticket
from unlearn_core.serving.scenes import Scene, Settled
from unlearn_core.study import verdicts
from unlearn_core.subjects.subject import subject

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]
UInt8 = npt.NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Entry:
    """One model, or one method with its seeds, on one request. The arrays are empty where there are no runs.

    Attributes:
        name: of the method, or ``original``.
        settings: the hyper-parameters used.
        obstacle: why there are no runs, as a sentence; else empty.
        warnings: sentences of the first run.
        measures: (seeds, measures) values in the order of `MEASURES`.
        accuracy: (seeds, classes) test accuracy.
        change: (layers,) relative weight change of the first run.
        predicted: (N,) most likely class of each evaluation image in the first run.
        confidence: (N,) its probability, 0 to 255.
        xy: (N, 2) map positions, 0 to 255.
        level: of the first run's verdict; empty if it is not known.
        verdict: of the first run, in full.
    """

    name: str
    settings: Mapping[str, Value] = field(default_factory=dict)
    obstacle: str = ""
    warnings: tuple[str, ...] = ()
    measures: Float64 = field(default_factory=lambda: np.zeros((0, len(MEASURES))))
    accuracy: Float64 = field(default_factory=lambda: np.zeros((0, 0)))
    change: Float64 = field(default_factory=lambda: np.zeros(0))
    predicted: UInt8 = field(default_factory=lambda: np.zeros(0, np.uint8))
    confidence: UInt8 = field(default_factory=lambda: np.zeros(0, np.uint8))
    xy: UInt8 = field(default_factory=lambda: np.zeros((0, 2), np.uint8))
    level: str = ""
    verdict: str = ""

    def values(self, name: MeasureName) -> Float64:
        """(seeds,) values of a measure."""
        return self.measures[:, list(MEASURES).index(name)]


@dataclass(frozen=True, eq=False)
class Comparison:
    """Every method on one request.

    Attributes:
        network: name of a bundled network.
        forget: what is to be forgotten.
        entries: by name: ``original`` and every method; ``retrain`` is the reference.
        precomputed: whether it was shipped.
    """

    network: str
    forget: Request
    entries: Mapping[str, Entry]
    precomputed: bool = False

    @property
    def missing(self) -> tuple[str, ...]:
        """The registered methods that it lacks, such as one that was added after it was shipped."""
        return tuple(name for name in METHODS if name not in self.entries)


def compare(engine: Engine, network: str, forget: Request, seeds: int, progress: Progress,
            retrain_seconds: float | None = None) -> Comparison:
    """Run every method on a bundled network at its defaults.

    Where retrained networks are bundled they are the runs of true retraining, so it need not be run; else it is,
    first, which takes about a minute a seed.

    Args:
        engine: holds the network and the caches.
        network: name of a bundled network.
        forget: what is to be forgotten.
        seeds: runs of each method that has any randomness.
        progress: told all the time; may cancel.
        retrain_seconds: what one retraining took; by default as in the shipped comparison.

    Raises:
        ValueError: for an unknown network or an impossible request.
    """
    scene = engine.prepare(choice(network, forget, "retrain", {}), silent)
    reference = None if scene.retrained_logits is None else softmax(scene.retrained_logits)
    entries: dict[str, Entry] = {}
    if reference is not None:
        if retrain_seconds is None:
            shipped = load(network, forget)
            retrain_seconds = float(shipped.entries["retrain"].values("seconds")[0]) if shipped else float("nan")
        entries["retrain"] = _bundled_retraining(engine, scene, reference, retrain_seconds)
        begin = 0.0
    else:
        begin = 0.7  # most of the time
        runs = _runs(engine, network, forget, "retrain", seeds, stage(progress, 0, begin, "Reference"))
        reference = np.stack([run.probabilities for run in runs])
        entries["retrain"] = _entry(engine, scene, runs, reference)
    seen = scene.seen
    entries["original"] = Entry(
        "original", {}, "", (), _measures(scene, seen.before.probabilities, reference),
        scene.accuracy_before[None], np.zeros(len(scene.layers)), *_view(seen.before.probabilities, seen.positions))
    entries |= _entries(engine, scene, reference, [name for name in METHODS if name != "retrain"], seeds,
                        stage(progress, begin, 1))
    progress(1.0, "done")
    return Comparison(network, forget, {name: entries[name] for name in ("original", *METHODS)})


def complete(engine: Engine, found: Comparison, seeds: int, progress: Progress) -> Comparison:
    """Run the methods that a shipped comparison lacks, and nothing else.

    Args:
        engine: holds the network and the caches.
        found: of a request with bundled retrained networks.
        seeds: runs of each method that has any randomness.
        progress: told all the time; may cancel.
    """
    scene = engine.prepare(choice(found.network, found.forget, "retrain", {}), silent)
    assert scene.retrained_logits is not None
    added = _entries(engine, scene, softmax(scene.retrained_logits), found.missing, seeds, progress)
    progress(1.0, "done")
    return replace(found, entries={**found.entries, **added})


def _entries(engine: Engine, scene: Scene, reference: Float32, names: Sequence[str], seeds: int,
             progress: Progress) -> dict[str, Entry]:
    entries: dict[str, Entry] = {}
    network, forget = scene.choice.network, scene.choice.forget
    for i, name in enumerate(names):
        part = stage(progress, i / len(names), (i + 1) / len(names), f"{i + 1} of {len(names)}")
        try:
            entries[name] = _entry(engine, scene, _runs(engine, network, forget, name, seeds, part), reference)
        except (NotApplicable, Diverged) as reason:
            entries[name] = Entry(name, METHODS[name].settings(), str(reason))
    return entries


def _runs(engine: Engine, network: str, forget: Request, name: str, seeds: int,
          progress: Progress) -> list[Settled]:
    found, runs = METHODS[name], []
    number = seeds if found.seeded else 1
    for seed in range(number):
        chosen = choice(network, forget, name, {}, seed)
        part = stage(progress, seed / number, (seed + 1) / number, f"seed {seed}")
        scene = engine.prepare(chosen, stage(part, 0, 0.1, found.title))
        # What is measured at the request belongs to the time: nothing but what is shipped is at hand.
        task = replace(scene.task, importances=subject(network).importances, grams=subject(network).grams)
        runs.append(engine.compute(replace(scene, task=task), chosen, stage(part, 0.1, 1)))
    return runs


def _entry(engine: Engine, scene: Scene, runs: list[Settled], reference: Float32) -> Entry:
    first, name = runs[0], runs[0].choice.method
    # A retrained run is judged against the other ones: its distance to itself would count as 0.
    others = [np.delete(reference, i, 0) if name == "retrain" else reference for i in range(len(runs))]
    measures = [_measures(scene, run.probabilities, other, run.cost.seconds, run.cost.stored_bytes)
                for run, other in zip(runs, others, strict=True)]
    verdict = audit(engine, scene, first).verdict
    return Entry(name, dict(first.choice.settings), "", first.warnings, np.concatenate(measures),
                 np.stack([run.accuracy for run in runs]), first.change, *_view(first.probabilities, first.xy),
                 level=str(verdict.level), verdict=str(verdict))


def _bundled_retraining(engine: Engine, scene: Scene, reference: Float32, seconds: float) -> Entry:
    network, base = scene.choice.network, engine.base(scene.choice.network)
    weights = engine.retrained(network, scene.request)[0]
    first = engine.answers(network, scene.request, weights)
    assert scene.accuracy_retrained is not None
    return Entry(
        "retrain", METHODS["retrain"].settings(), "", (),
        np.concatenate([_measures(scene, seed, np.delete(reference, i, 0), seconds)
                        for i, seed in enumerate(reference)]),
        scene.accuracy_retrained, relative_change(base.model.named_parameters(), weights),
        *_view(first.probabilities, base.feature_map.place(first.features)))


def _measures(scene: Scene, probabilities: Float32, reference: Float32, seconds: float = 0.0,
              stored_bytes: float = 0.0) -> Float64:
    evaluation = scene.seen.evaluation
    found = output_measures(probabilities, evaluation.labels, evaluation.member, scene.seen.forgotten, reference)
    found |= {"seconds": seconds, "stored_bytes": stored_bytes}
    return np.array([[found[name] for name in MEASURES]])


def _view(probabilities: Float32, xy: Float32) -> tuple[UInt8, UInt8, UInt8]:
    return (probabilities.argmax(1).astype(np.uint8), np.rint(255 * probabilities.max(1)).astype(np.uint8),
            np.rint(255 * xy.clip(0, 1)).astype(np.uint8))


# -- files ----------------------------------------------------------------------------------------------------

STORED = ("measures", "accuracy", "change", "predicted", "confidence", "xy")


def save(comparison: Comparison, file: Path) -> None:
    """Write a comparison for shipping: the arrays in single precision at most, the rest as JSON."""
    about = {name: {"settings": dict(entry.settings), "obstacle": entry.obstacle, "warnings": entry.warnings,
                    "level": entry.level, "verdict": entry.verdict}
             for name, entry in comparison.entries.items()}
    arrays = {f"{name}/{field}": _single(getattr(entry, field))
              for name, entry in comparison.entries.items() for field in STORED}
    np.savez_compressed(file, about=np.frombuffer(json.dumps(about).encode(), np.uint8), **arrays)  # type: ignore[arg-type]


def _single(values: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
    return values.astype(np.float32) if values.dtype == np.float64 else values


@lru_cache(64)
def load(network: str, forget: Request) -> Comparison | None:
    """The shipped comparison, read once; None if there is none.

    Raises:
        assets.AssetError: if its file is missing or altered.
    """
    file = f"comparisons/{network}-{forget.slug}.npz"
    if file not in assets.manifest().files:
        return None
    table = assets.arrays(file)
    about = json.loads(table["about"].astype(np.uint8).tobytes())
    rows = verdicts.load(network if forget.kind == CLASS else f"{network}-{forget.kind}")
    judged = {(row.what, row.settings): row for row in rows if (row.forget,) == forget.chosen}
    entries = {}
    for name, said in about.items():
        measures, accuracy, change = (table[f"{name}/{field}"].astype(np.float64) for field in STORED[:3])
        predicted, confidence, xy = (table[f"{name}/{field}"].astype(np.uint8) for field in STORED[3:])
        row = judged.get({"original": (ORIGINAL, ""), "retrain": (verdicts.HELD_OUT, "0")}.get(
            name, (name, verdicts.DEFAULT)))
        level, verdict = (row.level, row.verdict) if row else (said.get("level", ""), said.get("verdict", ""))
        entries[name] = Entry(name, said["settings"], said["obstacle"], tuple(said["warnings"]), measures, accuracy,
                              change, predicted, confidence, xy, level, verdict)
    return Comparison(network, forget, entries, precomputed=True)


def submit(engine: Engine, network: str, forget: Request, seeds: int) -> Ticket[Comparison]:
    """Compare behind a progress bar; what one visitor has computed is at hand for the next."""
    return engine.pool.submit(("comparison", network, forget, seeds),
                              lambda progress: compare(engine, network, forget, seeds, progress), Lane.LONG)


def at_hand(engine: Engine, network: str, forget: Request, seeds: int) -> Comparison | None:
    """The shipped comparison, completed if anybody has asked for that; None if there is none."""
    shipped = load(network, forget)
    if shipped is None or not shipped.missing:
        return shipped
    return cast("Comparison | None", engine.pool.known(_completed(shipped, seeds))) or shipped


def submit_missing(engine: Engine, shipped: Comparison, seeds: int) -> Ticket[Comparison]:
    """Complete a shipped comparison behind a progress bar; what one visitor has computed is at hand for all."""
    return engine.pool.submit(_completed(shipped, seeds),
                              lambda progress: complete(engine, shipped, seeds, progress), Lane.LONG)


def _completed(shipped: Comparison, seeds: int) -> Hashable:
    return "completed comparison", shipped.network, shipped.forget, seeds, shipped.missing
