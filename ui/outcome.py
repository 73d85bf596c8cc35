"""Parts of an outcome that several pages show: its gauges, its images, class by class, on the map, under attack."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import numpy as np
import pandas as pd
import streamlit as st

from ui import pictures
from ui.lessons import DAMPENED, GUESSES
from ui.server.runtime import engine
from ui.waiting import ready
from unlearn_core.audit.evidence import ORIGINAL
from unlearn_core.audit.gauges import KINDS
from unlearn_core.audit.membership import statistics
from unlearn_core.audit.report import DISTINCT, TITLES, AttackName
from unlearn_core.audit.roc import bootstrap, null_band, roc
from unlearn_core.audit.unseen import compared
from unlearn_core.exhibits import Pictures
from unlearn_core.figures.accuracy_change import accuracy_change
from unlearn_core.figures.bullets import Bullet, bullets
from unlearn_core.figures.embedding import embedding
from unlearn_core.figures.exhibits import exhibit_figure, picture_arrays
from unlearn_core.figures.privacy import Curve, roc_curves
from unlearn_core.nets.evaluate import accuracy_counts
from unlearn_core.serving.judgement import Readings, Yardstick, submit_outputs, yardstick
from unlearn_core.serving.scenes import Scene, Settled

NO_BAR = {"displayModeBar": False}


def gauges(readings: Readings, dampened: float | None, guesses: Mapping[str, float], ink: str) -> None:
    """Every gauge on a line with its three marks; guesses by the gauge's name."""
    rows = {kind.title: Bullet(readings.gauges[name].value, readings.original[name].value,
                               np.array([seed[name].value for seed in readings.band]), guesses.get(name))
            for name, kind in KINDS.items()}
    if dampened is not None:
        rows[GUESSES[DAMPENED]] = Bullet(dampened, 0.0, np.array([]), guesses.get(DAMPENED))
    st.plotly_chart(bullets(rows, ink), key="gauges", config=NO_BAR,
                    alt="; ".join(f"{title} {row.value:.1%}" for title, row in rows.items()))
    st.caption("How to read this: grey tick, the original; dark band, networks retrained without what is to be "
               "forgotten; orange, the network now" + ("; ◇, your guess." if guesses else "."))


def images(scene: Scene, settled: Settled) -> None:
    """Images of the forget set with their predictions before and after."""
    seen, own = scene.seen, scene.choice.subject
    first = np.flatnonzero(seen.forgotten & seen.evaluation.member)[:100]
    before, after, numbers = seen.before, settled.probabilities, seen.evaluation.pictures
    st.markdown("#### What does it see in them now?")
    st.caption("How to read this: images of the forget set, each with its prediction and confidence before → after.")
    pictures.wall(own, {int(numbers[i]): f"{own.classes[before.predicted[i]]} {before.probabilities[i].max():.0%} → "
                                         f"{own.classes[settled.predicted[i]]} {after[i].max():.0%}"
                        for i in first[::max(len(first) // 15, 1)]}, 92)


def accuracies(settled: Settled, readings: Readings, ink: str) -> None:
    """The change of every class."""
    own = settled.choice.subject
    classes, forget = own.classes, settled.choice.forget.classes
    counts = accuracy_counts(settled.choice.forget, own.images.test.in_terms_of(own.images.train))
    st.markdown("#### Who else was hurt?")
    st.caption("How to read this: bars to the left lost accuracy. ✖ is to be forgotten; black marks are the "
               "retrained models; the dashed line is the mean of the retained classes. "
               f"{counts.mean():,.0f} test images of each class.")
    lost = 100 * (readings.accuracy - readings.accuracy_before)
    worst = min((i for i in range(len(classes)) if i not in forget), key=lambda i: float(lost[i]))
    st.plotly_chart(
        accuracy_change(classes, readings.accuracy_before, readings.accuracy, readings.accuracy_retrained, forget, ink),
        key="change", config=NO_BAR,
        alt=f"Accuracy change per class; the most affected retained class is {classes[worst]} with "
            f"{lost[worst]:+.0f} points")


def maps(scene: Scene, settled: Settled) -> None:
    """The evaluation images on the original's map, before and after."""
    seen, classes = scene.seen, settled.choice.subject.classes
    for column, title, xy, predicted in zip(
            st.columns(2), ("Before", "After"), (seen.positions, settled.xy),
            (seen.before.predicted, settled.predicted), strict=True):
        with column:
            st.markdown(f"#### {title}")
            st.plotly_chart(embedding(xy, predicted, seen.evaluation.labels, seen.forgotten, classes),
                            key=f"map{title}", alt=f"Map of the evaluation images, {title.lower()}")
    st.caption("How to read this: each point is an image, colour is the predicted class, ✖ an image to be "
               "forgotten. Both maps share one coordinate system.")


def own_pictures(settled: Settled, ink: str) -> None:
    """The method's own pictures and numbers."""
    shown = settled.exhibits
    for pair in (shown[i:i + 2] for i in range(0, len(shown), 2)):
        for column, exhibit in zip(st.columns(len(pair)), pair, strict=True):
            with column:
                st.markdown(f"#### {exhibit.title}")
                st.caption(f"How to read this: {exhibit.caption}")
                if isinstance(exhibit, Pictures):
                    st.image(picture_arrays(exhibit), width=112, caption=list(exhibit.names))
                else:
                    st.plotly_chart(exhibit_figure(exhibit, ink), key=exhibit.title, alt=exhibit.caption, config=NO_BAR)
    with st.expander("The method's own numbers", icon=":material/tag:"):
        st.dataframe(pd.DataFrame({"number": [k.replace("_", " ") for k in settled.trace],
                                   "value": list(settled.trace.values())}), hide_index=True)


def attacked(scene: Scene, settled: Settled, ink: str) -> None:
    """How well a threshold on the answers tells training images of the forget set from unseen ones.

    To be shown once the verdict is there: it rests on the same answers of the same networks.
    """
    logits = ready(submit_outputs(engine(), scene, settled), 2.5, "Evaluating on all images", slot="outputs")
    if logits is None:
        return
    key = ("attacked", settled.choice)
    found = cast(Attack | None, engine().pool.known(key))
    if found is None:
        beside = yardstick(engine(), settled.choice.network, scene.request)
        found = engine().pool.keep(key, _attack(logits, beside))
    st.markdown("#### Can a threshold tell what it was trained on?")
    st.caption(f"How to read this: the strongest threshold here, on {found.title}, with {found.seen:,} training "
               f"images to be forgotten and {found.unseen:,} like them that were never seen. The higher the line at "
               "the left, the more training images are found with few false alarms. Orange, this network with its 95 % "
               "band; dashed grey, the original; hatched, retrained networks; dotted, guessing.")
    st.plotly_chart(roc_curves(found.curve, ink), key="roc", config=NO_BAR,
                    alt=f"ROC of {found.title}: area {found.auc:.2f}, {found.original:.2f} for the original")


@dataclass(frozen=True, eq=False)
class Attack:
    """The strongest threshold on one network's answers.

    Attributes:
        title: of the statistic.
        curve: its ROC beside the other networks'.
        auc: area under it.
        original: area under the original's.
        seen: number of training images.
        unseen: number of others.
    """

    title: str
    curve: Curve
    auc: float
    original: float
    seen: int
    unseen: int


def _attack(logits: np.ndarray, beside: Yardstick) -> Attack:
    rows = beside.member & beside.forgotten | compared(beside.labels, beside.member, beside.forgotten)
    seen = beside.member[rows]

    def groups(answers: np.ndarray) -> dict[AttackName, tuple[np.ndarray, np.ndarray]]:
        read = statistics(answers[rows], beside.labels[rows])
        return {name: (read[name][seen], read[name][~seen]) for name in DISTINCT if name in read}

    after, before = groups(logits), groups(beside.models[ORIGINAL].logits)
    best = max(after, key=lambda name: roc(*after[name]).auc)
    seeds = [groups(seed.logits)[best] for seed in beside.retrained]
    curve, first = roc(*after[best]), roc(*before[best])
    around = bootstrap(*after[best], np.random.default_rng(0))
    band = null_band([inside for inside, _ in seeds], [outside for _, outside in seeds]).envelope if seeds else None
    return Attack(TITLES[best], Curve(around.grid, curve.at(around.grid), around.band, first.at(around.grid), band),
                  curve.auc, first.auc, int(seen.sum()), int((~seen).sum()))
