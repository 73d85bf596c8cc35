"""The playground: move a slider, see what is forgotten, what it costs, and whether anyone could tell."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from ui import outcome, pictures
from ui.asking import forget_these, instead
from ui.controls import knobs, presets, take_point
from ui.poison import poison
from ui.present import headline, present, whose
from ui.state import State, state, tell_notes
from ui.views.live import live_view
from unlearn_core.assets import AssetError
from unlearn_core.audit.gauges import KINDS
from unlearn_core.figures.style import RETRAINED, RETRAINED_ON_DARK
from unlearn_core.methods import method
from unlearn_core.serving.judgement import Readings
from unlearn_core.serving.scenes import Scene, Settled

SHARE = st.column_config.ProgressColumn(format="percent", min_value=0, max_value=1)
ARROWS = {"up": "↑ Higher is better", "match": "→ The nearer to the retrained band, the better"}


def gauges(readings: Readings) -> None:
    """The gauges in plain widgets."""
    for column, (name, kind) in zip(st.columns(len(KINDS)), KINDS.items(), strict=True):
        reading, band = readings.gauges[name], [seed[name].value for seed in readings.band]
        with column.container(border=True):
            st.metric(kind.title, f"{reading.value:.1%}",
                      f"{100 * (reading.value - readings.original[name].value):+.1f} points against the original",
                      delta_color="off")
            retrained = f"retrained {min(band):.1%} to {max(band):.1%} ({len(band)} seeds)" if band else \
                "no retrained network is at hand to compare with"
            arrow = ARROWS[kind.better] + ". " if band or kind.better == "up" else ""
            st.caption(f"{arrow}{kind.about.capitalize()}: {reading.images:,} images, "
                       f"95 % interval {reading.interval[0]:.1%} to {reading.interval[1]:.1%}; "
                       f"original {readings.original[name].value:.1%}; {retrained}.")


def layer_table(scene: Scene, settled: Settled) -> pd.DataFrame:
    """What happened to each layer."""
    table = pd.DataFrame({"layer": scene.layers, "kind": scene.kinds, "weights": scene.sizes})
    if (answers := settled.answers) is not None:
        table = table.assign(**{
            "selected": answers.selected, "selected share": answers.selected / scene.sizes,
            "mean multiplier": answers.mean_multiplier, "norm removed": answers.norm_removed})
    return table.assign(**{"relative change": settled.change})


def show_image(position: int, settled: Settled, scene: Scene) -> None:
    """One image with its probabilities before and after."""
    seen, classes = scene.seen, scene.choice.subject.classes
    evaluation = seen.evaluation
    truth = classes[evaluation.labels[position]]
    with st.container(border=True, horizontal=True):
        st.image(evaluation.images.images[position].permute(1, 2, 0).squeeze(-1).numpy(), width=120,
                 caption=f"{truth}, {'training' if evaluation.member[position] else 'test'} image")
        st.dataframe(
            pd.DataFrame({"class": classes, "before": seen.before.probabilities[position],
                          "after": settled.probabilities[position]}).sort_values("before", ascending=False).head(5),
            hide_index=True, column_config={"before": SHARE, "after": SHARE})


def provenance(scene: Scene, settled: Settled, readings: Readings) -> str:
    """Where the numbers come from, in one paragraph."""
    wanted, point = settled.choice, ""
    if settled.answers is not None:
        point = (f"Landscape behind the pad: precomputed for SSD's default estimator and one class, else filled in "
                 f"now. α = {settled.alpha:.3g}, λ = {settled.lam:.3g}; {int(settled.answers.selected.sum()):,} of "
                 f"{int(scene.sizes.sum()):,} weights selected. ")
    elif method(wanted.method).seeded:
        point = f"Seed {wanted.seed}. "
    kept = f", {settled.cost.stored_bytes / 1e6:.1f} MB kept from training" if settled.cost.stored_bytes else ""
    own = wanted.subject
    return (f"Computed now by {own.title}, trained on {len(own.images.train):,} images of {own.about}. Gauges and "
            f"bars: {readings.images:,} images; map, pad and card: {len(settled.logits):,} of them (up to 100 "
            f"training and 100 test images of each class). Retrained band: {len(readings.band)} networks. {point}"
            f"Positions on the map are placed by nearest neighbours, not refitted. Method {settled.cost.seconds:.2g} "
            f"processor seconds{kept}; evaluation {settled.evaluate_seconds * 1000:.0f} ms; outcome {wanted.key}.")


def details(scene: Scene, settled: Settled, readings: Readings, plain: bool) -> None:
    """All of an outcome that stands below the live view, or takes its place."""
    wanted = settled.choice
    for sentence in settled.warnings:
        st.info(sentence, icon=":material/info:")
    if plain:
        gauges(readings)
    evaluation = scene.seen.evaluation
    st.caption(provenance(scene, settled, readings))
    ink = RETRAINED_ON_DARK if st.context.theme.type == "dark" else RETRAINED

    if plain:
        picked = st.number_input("Image to look at", 0, len(evaluation.labels) - 1, value=None, key="image",
                                 placeholder=f"0 to {len(evaluation.labels) - 1}; the first half are training images")
    else:
        picked = (st.session_state.get("live") or {}).get("picked")
    if isinstance(picked, int) and 0 <= picked < len(evaluation.labels):
        show_image(picked, settled, scene)
        forget_these(state(), [int(evaluation.pictures[picked])])

    poison(scene, settled, readings, ink)
    if plain:
        outcome.maps(scene, settled)

    left, right = st.columns([0.48, 0.52])
    with left:
        outcome.accuracies(settled, readings, ink)
    with right:
        st.markdown("#### Which layers changed?")
        st.caption("How to read this: click a column to sort. Relative change is ‖ΔW‖ / ‖W‖" + (
            "; selected weights have an importance ratio above α, the multiplier is what a weight keeps on average."
            if settled.answers is not None else "."))
        table = layer_table(scene, settled)
        st.dataframe(table, hide_index=True, height=380, column_config={
            "selected share": SHARE, "norm removed": SHARE,
            "mean multiplier": st.column_config.NumberColumn(format="%.3f"),
            "relative change": st.column_config.NumberColumn(format="percent")})
        st.download_button("Table as CSV", lambda: table.to_csv(index=False), f"lacuna-{wanted.key}.csv", "text/csv",
                           on_click="ignore", icon=":material/download:")
    outcome.own_pictures(settled, ink)
    outcome.images(scene, settled)


def story(chosen: State) -> None:
    """What this is about, for who has never heard of it: what the network sees, what is asked of it, and why."""
    try:
        wanted = chosen.choice()
        named, own = wanted.words, wanted.subject
        numbers = [2 * row for row in wanted.forget.split(own.images.train)[0][:6].tolist()]
    except (AssetError, ValueError):  # told below
        return
    with st.container(horizontal=True, vertical_alignment="center", key="story"):
        pictures.strip(own, numbers, f"Images of {named}", 44)
        instead(chosen, wanted)
        st.markdown(f"This network was trained to recognise **{own.about}**. It is asked to forget **{named}**, as if "
                    "it had never seen them. People ask for this when images were theirs, wrong or unsafe. Did it?")


@st.fragment
def playground(chosen: State) -> None:
    """Everything that reacts to a knob."""
    if st.session_state.pop("undone", False):
        st.rerun()
    tell_notes(chosen)
    shown = present(chosen)
    story(chosen)
    presets(chosen)
    headline(shown, chosen)
    whose(shown)
    with sidebar:
        fits = shown.picture is not None and shown.wanted is not None and shown.picture[0].choice == shown.wanted.scene
        knobs(chosen, shown.picture[0].ceiling if shown.picture is not None and fits else None)
        st.session_state["plain"] = chosen.plain
        st.toggle("Plain view", key="plain", on_change=lambda: setattr(chosen, "plain", st.session_state["plain"]),
                  help="The same numbers and pictures in plain widgets: for screen readers, and where the canvas "
                       "cannot run.")
    if shown.picture is None or shown.readings is None:
        return
    if not chosen.plain:
        live_view(shown, lambda: take_point(chosen, "live", ("alpha", "lambda")), lambda: None)
    with st.container(key="former" if shown.former else "picture"):
        details(*shown.picture, shown.readings, chosen.plain)


visitor = state()
sidebar = st.sidebar.container()
playground(visitor)
