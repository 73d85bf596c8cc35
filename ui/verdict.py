"""The one strip at the top of every page: verdict, checks as marks, the evidence sheet, and the way to a reference."""

from __future__ import annotations

from dataclasses import asdict

import streamlit as st

from ui.server.runtime import engine
from ui.sheet import sheet
from ui.waiting import held, hold, ready
from unlearn_core.audit.verdict import Level, Verdict
from unlearn_core.nets.request import Request
from unlearn_core.picture.scripts import script, styles
from unlearn_core.serving.choice import Choice
from unlearn_core.serving.judgement import REFERENCES, Audit, submit, submit_reference
from unlearn_core.serving.pool import Lane
from unlearn_core.serving.scenes import Scene, Settled
from unlearn_core.study import comparison

AUDIT, REFERENCE = "audit", "reference"
"""Slots of what a verdict waits for: the look inside, and networks that are retrained for it."""

_mount = st.components.v2.component("lacuna_marks", html='<div class="lacuna-marks"></div>', css=styles("marks.css"),
                                    js=script("marks.js"))


def strip(scene: Scene, settled: Settled, verdict: Verdict, audit: Audit | None, final: bool = False) -> None:
    """Level and sentence, what a person should know with it, and every check; `final` if no audit will come."""
    st.markdown(f"#### {verdict.sentence}")
    left, right = st.columns([0.8, 0.2], vertical_alignment="center")
    left.caption(f"{verdict.detail} {basis(audit, len(settled.logits))}")
    with right:
        sheet(scene, settled, audit)
    pressed = _mount(key="marks", data={"marks": [asdict(mark) for mark in verdict.marks]},
                     on_page_change=lambda: None)  # without it the press does not reach this run
    if pressed.page:
        st.switch_page(f"pages/{pressed.page}.py")
    if audit is None and not final:
        crowded = engine().pool.queued(Lane.AUDIT) > 1
        st.fragment(_judge, run_every=1.5 if crowded else 0.3)(scene, settled)  # each look costs the server 10 ms
    if audit is not None and verdict.level is Level.UNKNOWN:
        reference(settled.choice)


def basis(audit: Audit | None, first: int) -> str:
    """What the verdict rests on so far."""
    if audit is None:
        return f"A first answer from {first:,} images; all test images and the inside follow in a moment."
    seeds = len(audit.readings.band)
    beside = f"beside {seeds} network{'s' * (seeds > 1)} retrained without them; " if seeds else ""
    return (f"From all {audit.readings.images:,} images at hand, {beside}✓ passes, ✕ fails, ? cannot tell, ○ not "
            "tried; a press explains.")


def _judge(scene: Scene, settled: Settled) -> None:
    # The browser draws the answer first, undisturbed: judging begins at the second run, and ends in one of the page.
    if st.session_state.get("answered") != settled.choice.key:
        st.session_state["answered"] = settled.choice.key
        return
    ticket = held(AUDIT)
    if ticket is None:
        hold(AUDIT, submit(engine(), scene, settled))
    elif ticket.wait(0):
        st.rerun()


def reference(chosen: Choice) -> None:
    """The way to a reference for a request that has none: networks retrained now, kept for everybody."""
    asked = chosen.network, chosen.forget
    if st.session_state.get(REFERENCE) != asked:
        if chosen.subject.recipe is None:
            st.caption("How this network was trained is not known, so none can be retrained to compare with.")
            return
        shipped = comparison.load(chosen.network, Request((0,)))
        minutes = REFERENCES * float(shipped.entries["retrain"].values("seconds")[0]) / 60 if shipped else None
        if st.button(f"Retrain {REFERENCES} networks to compare with"
                     + ("" if minutes is None else f", about {minutes:.0f} minutes"),
                     icon=":material/model_training:", key="ask.reference",
                     help="Without them nothing can be said. Real progress, can be cancelled, kept for everybody."):
            st.session_state[REFERENCE] = asked
            st.rerun()
        return
    if ready(submit_reference(engine(), chosen), 0.3, f"Retraining without {chosen.words}",
             lambda: st.session_state.pop(REFERENCE, None), REFERENCE) is not None:
        st.session_state.pop(REFERENCE, None)
        st.rerun()
