"""Parts of an outcome that several pages show: its images, class by class, on the map, under attack, on its own."""

from __future__ import annotations

import numpy as np
import pandas as pd
import streamlit as st

from ui import pictures
from ui.server.runtime import engine
from ui.waiting import ready
from unlearn_core.audit.evidence import ORIGINAL
from unlearn_core.audit.membership import statistics
from unlearn_core.audit.roc import bootstrap, null_band, roc
from unlearn_core.exhibits import Pictures
from unlearn_core.figures.accuracy_change import accuracy_change
from unlearn_core.figures.embedding import embedding
from unlearn_core.figures.exhibits import exhibit_figure, picture_arrays
from unlearn_core.figures.privacy import Curve, roc_curves
from unlearn_core.serving.engine import Scene, Settled
from unlearn_core.serving.judgement import Readings, submit_outputs, yardstick

NO_BAR = {"displayModeBar": False}


def images(settled: Settled) -> None:
    """Images of the forget set with their predictions before and after."""
    base = engine().base(settled.choice.network)
    classes, before, after = base.subject.classes, base.before, settled.probabilities
    chosen = [i for i, label in enumerate(base.subject.evaluation.labels) if label in settled.choice.forget][:100:7]
    st.markdown("#### What does it see in them now?")
    st.caption("How to read this: images of the forget set, each with its prediction and confidence before → after.")
    pictures.wall(base.subject, {i: f"{classes[before.predicted[i]]} {before.probabilities[i].max():.0%} → "
                                    f"{classes[settled.predicted[i]]} {after[i].max():.0%}" for i in chosen}, 92)


def accuracies(settled: Settled, readings: Readings, ink: str) -> None:
    """The change of every class."""
    classes, forget = settled.choice.subject.classes, settled.choice.forget
    st.markdown("#### Who else was hurt?")
    st.caption("How to read this: bars to the left lost accuracy. ✖ is to be forgotten; black marks are the "
               "retrained models; the dashed line is the mean of the retained classes. "
               f"{readings.gauges['retain'].images // (len(classes) - len(forget)):,} test images of each class.")
    lost = 100 * (readings.accuracy - readings.accuracy_before)
    worst = min((i for i in range(len(classes)) if i not in forget), key=lambda i: float(lost[i]))
    st.plotly_chart(
        accuracy_change(classes, readings.accuracy_before, readings.accuracy, readings.accuracy_retrained, forget, ink),
        key="change", config=NO_BAR,
        alt=f"Accuracy change per class; the most affected retained class is {classes[worst]} with "
            f"{lost[worst]:+.0f} points")


def maps(settled: Settled) -> None:
    """The evaluation images on the original's map, before and after."""
    base = engine().base(settled.choice.network)
    evaluation = base.subject.evaluation
    for column, title, xy, predicted in zip(
            st.columns(2), ("Before", "After"), (base.positions, settled.xy),
            (base.before.predicted, settled.predicted), strict=True):
        with column:
            st.markdown(f"#### {title}")
            st.plotly_chart(embedding(xy, predicted, evaluation.labels, settled.choice.forget, base.subject.classes),
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
    """How well a threshold on the logit margin tells training images of the forget set from unseen ones."""
    found = ready(submit_outputs(engine(), scene, settled), 2.5, "Evaluating on all images", slot="outputs")
    if found is None:
        return
    beside = yardstick(engine(), settled.choice.network, scene.request)
    rows = beside.forgotten
    seen = beside.member[rows]

    def groups(logits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        margins = statistics(logits[rows], beside.labels[rows])["margin"]
        return margins[seen], margins[~seen]

    after, before = groups(found), groups(beside.models[ORIGINAL].logits)
    others = [groups(seed.logits) for seed in beside.retrained]
    around, curve, first = bootstrap(*after, np.random.default_rng(0)), roc(*after), roc(*before)
    null = null_band([members for members, _ in others], [unseen for _, unseen in others]) if others else None
    st.markdown("#### Can a threshold tell what it was trained on?")
    st.caption(f"How to read this: an attacker calls an image a training image if the network is sure enough of it "
               f"(logit margin), on {int(seen.sum()):,} training and {int((~seen).sum()):,} unseen images to be "
               "forgotten. The higher the line at the left, the more are found with few false alarms. Orange, this "
               "network with its 95 % band; dashed grey, the original; hatched, retrained networks; dotted, guessing.")
    st.plotly_chart(roc_curves(Curve(around.grid, curve.at(around.grid), around.band, first.at(around.grid),
                                     None if null is None else null.envelope), ink), key="roc", config=NO_BAR,
                    alt=f"ROC of the logit margin: area {curve.auc:.2f}, {first.auc:.2f} for the original")
