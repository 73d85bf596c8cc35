"""An outcome in pictures: its gauges, its images, class by class, on the map, and what its method drew."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import streamlit as st

from ui import pictures
from ui.lessons import DAMPENED, GUESSES
from ui.tables import data_table
from ui.theme import NO_BAR, SHARE
from unlearn_core.audit.gauges import KINDS
from unlearn_core.exhibits import Pictures
from unlearn_core.figures.accuracy_change import accuracy_change
from unlearn_core.figures.bullets import Bullet, bullets
from unlearn_core.figures.embedding import embedding
from unlearn_core.figures.exhibits import exhibit_figure, picture_arrays
from unlearn_core.methods import method
from unlearn_core.nets.evaluate import accuracy_counts
from unlearn_core.serving.judgement import Readings
from unlearn_core.serving.scenes import Scene, Settled

ARROWS = {"up": "↑ Higher is better", "match": "→ The nearer to the retrained band, the better"}


def gauges(readings: Readings, dampened: float | None, guesses: Mapping[str, float], ink: str) -> None:
    """Every gauge on a line with its three marks; guesses by the gauge's name."""
    rows = {kind.title: Bullet(readings.gauges[name].value, readings.original[name].value,
                               np.array([seed[name].value for seed in readings.band]), guesses.get(name))
            for name, kind in KINDS.items()}
    if dampened is not None:
        rows[GUESSES[DAMPENED]] = Bullet(dampened, 0.0, np.array([]), guesses.get(DAMPENED))
    st.plotly_chart(bullets(rows, ink), key="gauges", config=NO_BAR,
                    alt="; ".join(f"{title} {row.value:.1%}" for title, row in rows.items()))
    st.caption("How to read this: grey tick, the original; the band, networks retrained without what is to be "
               "forgotten; orange, the network now" + ("; ◇, your guess." if guesses else "."))


def metrics(readings: Readings) -> None:
    """The gauges in plain widgets."""
    for column, (name, kind) in zip(st.columns(len(KINDS)), KINDS.items(), strict=True):
        reading, band = readings.gauges[name], [seed[name].value for seed in readings.band]
        with column.container(border=True):
            st.metric(kind.title, f"{reading.value:.1%}",
                      f"{100 * (reading.value - readings.original[name].value):+.1f} points against the original",
                      delta_color="off")
            seeds = f"{len(band)} seed{'s' * (len(band) > 1)}"
            retrained = f"retrained {min(band):.1%} to {max(band):.1%} ({seeds})" if band else \
                "no retrained network is at hand to compare with"
            arrow = ARROWS[kind.better] + ". " if band or kind.better == "up" else ""
            st.caption(f"{arrow}{kind.about.capitalize()}: {reading.images:,} images, "
                       f"95 % interval {reading.interval[0]:.1%} to {reading.interval[1]:.1%}; "
                       f"original {readings.original[name].value:.1%}; {retrained}.")


def images(scene: Scene, settled: Settled) -> None:
    """Images of the forget set with their predictions before and after."""
    seen, own = scene.seen, scene.choice.subject
    first = np.flatnonzero(seen.forgotten & seen.evaluation.member)[:100]
    before, after, numbers = seen.before, settled.probabilities, seen.evaluation.pictures
    sure = before.probabilities.max(1)
    st.markdown("#### What does it see in them now?")
    st.caption("How to read this: images of the forget set, each with its prediction and confidence before → after.")
    pictures.wall(own, {int(numbers[i]): f"{own.classes[before.predicted[i]]} {sure[i]:.0%} → "
                                         f"{own.classes[settled.predicted[i]]} {after[i].max():.0%}"
                        for i in first[::max(len(first) // 15, 1)]}, 92)


def one_image(position: int, settled: Settled, scene: Scene) -> None:
    """One image with its probabilities before and after."""
    seen, classes = scene.seen, scene.choice.subject.classes
    evaluation = seen.evaluation
    truth = classes[evaluation.labels[position]]
    with st.container(border=True, horizontal=True):
        st.image(evaluation.images.images[position].permute(1, 2, 0).squeeze(-1).numpy(), width=120,
                 caption=f"{truth}, {'training' if evaluation.member[position] else 'test'} image")
        data_table(
            pd.DataFrame({"class": classes, "before": seen.before.probabilities[position],
                          "after": settled.probabilities[position]}).sort_values("before", ascending=False).head(5),
            hide_index=True, column_config={"before": SHARE, "after": SHARE})


def accuracies(settled: Settled, readings: Readings, ink: str) -> None:
    """The change of every class."""
    own = settled.choice.subject
    classes, forget = own.classes, settled.choice.forget.classes
    counts = accuracy_counts(settled.choice.forget, own.images.test.in_terms_of(own.images.train))
    st.markdown("#### Who else was hurt?")
    st.caption("How to read this: bars to the left lost accuracy. ✖ is to be forgotten; marks in the colour of the "
               "text are the retrained models; the dashed line is the mean of the retained classes. "
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
        data_table(pd.DataFrame({"number": [k.replace("_", " ") for k in settled.trace],
                                   "value": list(settled.trace.values())}), hide_index=True)


def provenance(scene: Scene, settled: Settled, readings: Readings) -> str:
    """Where the numbers come from, in one paragraph."""
    wanted, point = settled.choice, ""
    if settled.answers is not None:
        point = (f"Landscape behind the pad: bundled, or else filled in now. "
                 f"α = {settled.alpha:.3g}, λ = {settled.lam:.3g}; {int(settled.answers.selected.sum()):,} of "
                 f"{int(scene.sizes.sum()):,} weights selected. ")
    elif method(wanted.method).seeded:
        point = f"Seed {wanted.seed}. "
    kept = f", {settled.cost.stored_bytes / 1e6:.1f} MB kept from training" if settled.cost.stored_bytes else ""
    own = wanted.subject
    return (f"Computed now by {own.title}, trained on {len(own.images.train):,} images of {own.about}. Gauges and "
            f"bars: {readings.images:,} images; map, pad and card: {len(settled.logits):,} of them (up to 100 "
            f"training and 100 test images of each class, and those of the request). Retrained networks: "
            f"{len(readings.band) or 'none'}. {point}"
            f"Positions on the map are placed by nearest neighbours, not refitted. Method {settled.cost.seconds:.2g} "
            f"processor seconds{kept}; evaluation {settled.evaluate_seconds * 1000:.0f} ms; outcome {wanted.key}.")
