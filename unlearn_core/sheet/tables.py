"""The numbers of one outcome as tables: CSV for a spreadsheet, Parquet for a program, and what each one holds."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping

import numpy as np
import pandas as pd

from unlearn_core.audit.distinguish import LEAST_SEEDS
from unlearn_core.audit.evidence import ORIGINAL, UNLEARNED
from unlearn_core.audit.gauges import KINDS
from unlearn_core.audit.klom import copies, klom
from unlearn_core.audit.membership import true_margins
from unlearn_core.methods import method
from unlearn_core.serving.change import change
from unlearn_core.serving.choice import Choice
from unlearn_core.serving.depth import depth
from unlearn_core.serving.engine import Engine
from unlearn_core.serving.fields import permalink
from unlearn_core.serving.judgement import Audit
from unlearn_core.serving.moved import submit as submit_moved
from unlearn_core.serving.scenes import Scene, Settled

CAPTIONS: Mapping[str, str] = {
    "gauges": "The three gauges, each a share of so many images with its 95 % interval, beside the original and the "
              "lowest and highest retrained network.",
    "checks": "Every check: its number for the original and this network, the lowest and highest retrained network, "
              "whether this network passes, and how many retrained networks do of those that were held out. One that "
              "the original passes too is heard only where this one fails. The last two are no part of the verdict.",
    "classes": "Share of the unseen images of each class that are named rightly.",
    "losses": "What each retained class, and each retained group of another kind, lost on unseen images, as a share of "
              "them, beyond what retraining costs as well, with its 95 % interval; those of groups hold for all of "
              "them together. The worst come first.",
    "layers": "What happened to each layer. relative_change is the norm of the change over the norm of the weights. "
              "Where a method dampens: how many weights were selected, what they keep on average, and the share of the "
              "layer's norm that is gone. Of matrices: how many directions there are, and how many the change and "
              "the weights before fill (stable rank).",
    "stages": "The original network with one stage's activations replaced by this network's: the shares of the "
              "training images to be forgotten, and of all other unseen images, that are then given their label (of a "
              "poison, the class it was trained as), with 95 % intervals.",
    "images": "The images on the map: what the original and this network take each for, how surely, and where each "
              "stands, from 0 to 1. moved_embedding is how far it moved at the head's input, where 1 is as far as two "
              "images usually lie apart; of a network made afresh (retrain, noisy fine-tuning) it says nothing. "
              "moved_answer is how far its probabilities did, at most 1.41. Of training images to be forgotten also "
              "how differently retrained networks answer (KLoM, in nats, with its 95 % interval) and by how many "
              "logits this network is surer than they of its label.",
}
"""What each table holds, by its name."""


def tables(engine: Engine, scene: Scene, settled: Settled, audit: Audit) -> dict[str, pd.DataFrame]:
    """All tables of an outcome, by the names of `CAPTIONS`; each knows its source, which Parquet keeps."""
    made = {"gauges": _gauges(audit), "checks": _checks(audit), "classes": _classes(settled, audit),
            "losses": _losses(audit), "layers": layers(engine, scene, settled),
            "stages": _stages(engine, scene, settled), "images": _images(engine, scene, settled)}
    for name, frame in made.items():
        frame.attrs = {"caption": CAPTIONS[name], "source": source(settled.choice, audit), "key": settled.choice.key}
    return made


def archive(found: Mapping[str, pd.DataFrame]) -> bytes:
    """A zip of each table twice, and a text that says what they hold and where they are from."""
    stream = io.BytesIO()
    said = "".join(f"{name}.csv, {name}.parquet\n{frame.attrs['caption']}\n\n" for name, frame in found.items())
    first = next(iter(found.values()))
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("README.txt", f"Tables from Lacuna. {first.attrs['source']}\n\n{said}")
        for name, frame in found.items():
            file.writestr(f"{name}.csv", frame.to_csv(index=False))
            file.writestr(f"{name}.parquet", frame.to_parquet(index=False))
    return stream.getvalue()


def source(chosen: Choice, audit: Audit) -> str:
    """Whose numbers they are, and what the verdict on them is."""
    return (f"{method(chosen.method).title} on {chosen.subject.title}, asked to forget {chosen.words}. "
            f"{audit.verdict.sentence} Key {chosen.key}, {permalink(chosen)}")


def layers(engine: Engine, scene: Scene, settled: Settled) -> pd.DataFrame:
    """A row for each layer: how far and along how much it moved and, where the method dampens, what was selected."""
    made = change(engine, scene, settled)
    spectra = [made.get(name) for name in scene.layers]
    table = pd.DataFrame({"layer": scene.layers, "kind": scene.kinds, "weights": scene.sizes,
                          "relative_change": settled.change,
                          "directions": [one.directions if one else None for one in spectra],
                          "change_rank": [one.rank if one else None for one in spectra],
                          "weights_rank": [one.own_rank if one else None for one in spectra]})
    if (answers := settled.answers) is None:
        return table
    return table.assign(selected=answers.selected, selected_share=answers.selected / scene.sizes,
                        mean_multiplier=answers.mean_multiplier, norm_removed=answers.norm_removed)


def _stages(engine: Engine, scene: Scene, settled: Settled) -> pd.DataFrame:
    found = depth(engine, scene, settled)
    return pd.DataFrame([
        {"stage": name, "forget": forget.value, "forget_low": forget.interval[0], "forget_high": forget.interval[1],
         "forget_images": forget.images, "retain": retain.value, "retain_low": retain.interval[0],
         "retain_high": retain.interval[1], "retain_images": retain.images}
        for (name, forget), retain in zip(found.forget.items(), found.retain.values(), strict=True)])


def _gauges(audit: Audit) -> pd.DataFrame:
    readings = audit.readings
    rows = []
    for name, kind in KINDS.items():
        mine, band = readings.gauges[name], [seed[name].value for seed in readings.band]
        rows.append({"gauge": kind.title, "this_network": mine.value, "low": mine.interval[0],
                     "high": mine.interval[1], "images": mine.images, "original": readings.original[name].value,
                     "retrained_low": min(band, default=None), "retrained_high": max(band, default=None)})
    return pd.DataFrame(rows)


def _checks(audit: Audit) -> pd.DataFrame:
    rows = []
    for check in (*audit.checks, *audit.beside):
        mine, before = check.judged.get(UNLEARNED), check.judged.get(ORIGINAL)
        null = [] if (known := mine or before) is None else known.null.tolist()
        rows.append({"check": check.title, "in_verdict": check in audit.checks, "inside": check.inside,
                     "status": str(check.status()),
                     "this_network": mine.value if mine else None, "original": before.value if before else None,
                     "retrained_low": min(null, default=None), "retrained_high": max(null, default=None),
                     "held_out": len(check.held_out), "held_out_passing": check.passing})
    return pd.DataFrame(rows)


def _classes(settled: Settled, audit: Audit) -> pd.DataFrame:
    readings, chosen = audit.readings, settled.choice
    seeds = readings.accuracy_retrained
    return pd.DataFrame({
        "class": chosen.subject.classes,
        "forgotten": [label in chosen.forget.classes for label in range(len(chosen.subject.classes))],
        "original": readings.accuracy_before, "this_network": readings.accuracy,
        "retrained_low": None if seeds is None else seeds.min(0),
        "retrained_high": None if seeds is None else seeds.max(0)})


def _losses(audit: Audit) -> pd.DataFrame:
    return pd.DataFrame([{"group": loss.group, "lost": loss.value, "low": loss.interval[0], "high": loss.interval[1],
                          "images": loss.images, "damaged": loss.damage} for loss in audit.losses])


def _images(engine: Engine, scene: Scene, settled: Settled) -> pd.DataFrame:
    far = submit_moved(engine, scene, settled).result()
    seen, names = scene.seen, pd.Series(settled.choice.subject.classes)

    def named(labels: object) -> object:
        return names.iloc[labels].to_numpy()  # type: ignore[call-overload]

    found = pd.DataFrame({
        "image": seen.evaluation.pictures, "class": named(seen.evaluation.labels), "trained_on": seen.evaluation.member,
        "to_be_forgotten": seen.forgotten, "before": named(seen.before.predicted),
        "before_probability": seen.before.probabilities.max(1), "after": named(settled.predicted),
        "after_probability": settled.probabilities.max(1), "before_x": seen.positions[:, 0],
        "before_y": seen.positions[:, 1], "after_x": settled.xy[:, 0], "after_y": settled.xy[:, 1],
        "moved_embedding": far.embedding, "moved_answer": far.answer})
    asked, seeds = seen.evaluation.member & seen.forgotten, scene.retrained_logits
    if seeds is None or len(seeds) < LEAST_SEEDS or not asked.any():
        return found
    true = seen.evaluation.labels[asked]
    if copies(among := true_margins(seeds[:, asked], true)):
        return found
    apart = klom(true_margins(settled.logits[None, asked], true), among)
    return found.join(pd.DataFrame({"klom": apart.value, "klom_low": apart.low, "klom_high": apart.high,
                                    "surer": apart.shift}, np.flatnonzero(asked)))
