"""The playground: move a slider, see what is forgotten, what it costs, and whether anyone could tell."""

from __future__ import annotations

import time

import streamlit as st

from ui import pictures
from ui.asking import forget_these, instead
from ui.controls import knobs, presets, take_point
from ui.mirror import showing, taken
from ui.opening import PATIENCE, rest_follows
from ui.panels import outcome
from ui.panels.layers import changed
from ui.panels.neighbours import neighbours
from ui.panels.poison import poison
from ui.present import headline, present, whose
from ui.state import State, state, tell_notes
from ui.theme import ink
from ui.views.live import live_view
from unlearn_core.assets import AssetError
from unlearn_core.methods import method
from unlearn_core.serving.judgement import Audit, Readings
from unlearn_core.serving.scenes import Scene, Settled

MOMENT = 0.1
"""Seconds between an answer and the charts below it: what comes within 10 ms a browser draws as one, charts first."""


def story(visitor: State) -> None:
    """What this is about, for who has never heard of it: what the network sees, what is asked of it, and why."""
    try:
        wanted = visitor.choice()
        named, own = wanted.words, wanted.subject
        numbers = [2 * row for row in wanted.forget.split(own.images.train)[0][:6].tolist()]
    except (AssetError, ValueError):  # told below
        return
    with st.container(horizontal=True, vertical_alignment="center", key="story"):
        pictures.strip(own, numbers, f"Images of {named}", 44)
        instead(visitor, wanted)
        st.markdown(f"This network was trained to recognise **{own.about}**. **{method(wanted.method).title}** makes "
                    f"it forget **{named}**, as if it had been trained without. People ask for this when images were "
                    "theirs, wrong or unsafe. Did it?")


def details(visitor: State, scene: Scene, settled: Settled, readings: Readings, audit: Audit | None) -> None:
    """All of an outcome that stands below the live view, or takes its place."""
    for sentence in settled.warnings:
        st.info(sentence, icon=":material/info:")
    if visitor.plain:
        outcome.metrics(readings)
    evaluation = scene.seen.evaluation
    last = len(evaluation.labels) - 1
    st.caption(outcome.provenance(scene, settled, readings))
    if visitor.plain:
        picked = st.number_input("Image to look at", 0, last, value=None, key="image",
                                 placeholder=f"0 to {last}")
    else:
        picked = (st.session_state.get("live") or {}).get("picked")
    if isinstance(picked, int) and 0 <= picked <= last:
        outcome.one_image(picked, settled, scene)
        forget_these(visitor, [int(evaluation.pictures[picked])])
    poison(scene, settled, readings, ink())
    if visitor.plain:
        outcome.maps(scene, settled)
    left, right = st.columns([0.48, 0.52])
    with left:
        outcome.accuracies(settled, readings, ink())
    with right:
        changed(scene, settled)
    if audit is not None:
        neighbours(settled.choice.subject, audit.losses)
    outcome.own_pictures(settled, ink())
    outcome.images(scene, settled)


@st.fragment
def playground(visitor: State) -> None:
    """Everything that reacts to a knob."""
    if st.session_state.pop("undone", False):
        st.rerun()
    tell_notes(visitor)
    shown = present(visitor)
    story(visitor)
    presets(visitor)
    headline(shown, visitor)
    whose(shown)
    with sidebar:
        fits = shown.picture is not None and shown.wanted is not None and shown.picture[0].choice == shown.wanted.scene
        knobs(visitor, shown.picture[0].ceiling if shown.picture is not None and fits else None)
        st.toggle("Plain view", key=showing("plain", visitor.plain),
                  on_change=lambda: setattr(visitor, "plain", taken("plain")),
                  help="The same numbers and pictures in plain widgets: for screen readers, and where the canvas "
                       "cannot run.")
    if shown.picture is None or shown.readings is None:
        return
    if not visitor.plain:
        drawn, key = st.session_state.get("drawn"), shown.picture[1].choice.key
        st.session_state["drawn"] = key
        live_view(shown, lambda: take_point(visitor, "live", ("alpha", "lambda")), lambda: None)
        rest_follows(PATIENCE)
        if drawn != key:
            time.sleep(MOMENT)
    with st.container(key="former" if shown.former else "picture"):
        details(visitor, *shown.picture, shown.readings, shown.audit)


visitor = state()
sidebar = st.sidebar.container()
playground(visitor)
