"""A search for good settings: what to look for, how far it is, and what it found."""

from __future__ import annotations

import numpy as np
import streamlit as st
import torch

from ui.panels.surfaces import in_words, open_in_playground, scale
from ui.server.permission import STUDIES_ARE_THE_OPERATORS, visitors_may
from ui.server.runtime import engine
from ui.state import State
from ui.studies.sweeps import SCHEDULER
from ui.theme import NO_BAR
from ui.waiting import give_up, held, hold
from unlearn_core.assets import AssetError
from unlearn_core.figures import landscape as figures
from unlearn_core.figures.tradeoff import pareto
from unlearn_core.serving.choice import Choice
from unlearn_core.serving.landscape import (
    gap,
    numeric,
    place,
    plane,
    reference,
    surface,
)
from unlearn_core.study import search as searches
from unlearn_core.study.results import SweepError
from unlearn_core.study.tune import judged_images


def search(visitor: State, chosen: Choice, names: list[str], ink: str) -> None:
    """The panel of a search over some knobs by name, run again and again while it is under way."""
    st.markdown("#### Can a machine find the setting?")
    st.caption("Optuna's TPE looks for it, as SSD's authors did (50 trials, α in [0.1, 100], λ in [0.1, 5]), judged on "
               "training images to be forgotten and on validation images of the rest, never on test images. "
               + (f"It runs on the cluster at {SCHEDULER}." if SCHEDULER else "Whoever moves a slider goes first."))
    asked = _asked(chosen, names)
    if asked is not None:
        live = getattr(held("search"), "key", None) == ("search", asked) or searches.running(asked)
        st.fragment(_progress, run_every=1.0 if live else None)(visitor, chosen, asked, ink, live)


def _asked(chosen: Choice, names: list[str]) -> searches.Search | None:
    """The widgets of a search, and the search; None, and a sentence, if it makes none."""
    knobs = numeric(chosen.method)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        goal = st.selectbox("Looking for", list(searches.GOALS), format_func=lambda g: searches.GOALS[g].capitalize(),
                            key="search.goal", width=300)
        trials = st.number_input("Trials", searches.TRIALS.start, searches.TRIALS.stop - 1, searches.PAPER_TRIALS,
                                 key="search.trials", width=130, help="SSD's authors used 50.")
        ranges = []
        for name in names:
            knob = knobs[name]
            ends = [st.number_input(f"{knob.label} {word}", value=float(end), format="%g", width=150,
                                    key=f"search.{chosen.method}.{name}.{word}",
                                    help=f"In [{knob.low:g}, {knob.high:g}].")
                    for word, end in (("from", knob.low), ("to", knob.high))]
            ranges.append((name, *ends))
    try:
        return searches.search(chosen, ranges, goal, int(trials),
                               retrained=bool(engine().retrained(chosen.network, chosen.forget)))
    except ValueError as problem:
        st.warning(f"{str(problem)[0].upper()}{str(problem)[1:]}.", icon=":material/info:")
        return None


def _trouble(problem: Exception) -> str:
    """Why a search stopped, as a sentence."""
    if isinstance(problem, OSError):
        return (f"The search cannot go on: {(problem.strerror or str(problem)).lower()}. Its folder must be open to "
                "writing and have room; the trials that are kept stay.")
    return str(problem)


def _progress(visitor: State, chosen: Choice, asked: searches.Search, ink: str, live: bool) -> None:
    """Start, pause, resume; and what was found so far. `live` says whether it is run again every second."""
    ticket = held("search")
    running = ticket is not None and ticket.key == ("search", asked)
    if running and ticket.wait(0):
        give_up("search")
        try:
            if ticket.result() < asked.trials:  # it gave way to others
                hold("search", searches.submit(engine(), asked, scheduler=SCHEDULER))
        except (AssetError, SweepError, ValueError, RuntimeError, OSError) as problem:
            st.session_state["search failed"] = (asked, _trouble(problem))
        st.rerun()
    failed = st.session_state.get("search failed")
    if failed is not None and failed[0] == asked:
        st.error(failed[1], icon=":material/error:")
    try:
        found, elsewhere = searches.results(asked), not running and searches.running(asked)
    except OSError as problem:
        st.error(_trouble(problem), icon=":material/error:")
        return
    if live and not running and not elsewhere:
        st.rerun()
    if found.damaged:
        st.warning("The file of this search is damaged and cannot be read. A new start sets it aside and begins "
                   "afresh.", icon=":material/link_off:")
    done = len(found.trials)
    with st.container(horizontal=True, vertical_alignment="center"):
        if running:
            st.progress(min(done / asked.trials, 1.0), f"{done} of {asked.trials} trials: {ticket.note}")
            if st.button("Pause", icon=":material/pause:"):
                give_up("search")
                st.rerun()
        elif elsewhere:
            st.progress(min(done / asked.trials, 1.0), f"{done} of {asked.trials} trials: another visitor runs this "
                        "search, or it is about to pause")
        elif done < asked.trials:
            if not visitors_may():
                st.caption(STUDIES_ARE_THE_OPERATORS)
            elif st.button("Resume" if done else "Search", icon=":material/play_arrow:", type="primary"):
                st.session_state.pop("search failed", None)
                hold("search", searches.submit(engine(), asked, scheduler=SCHEDULER))
                st.rerun()
            if done:
                st.caption(f"{done} of {asked.trials} trials are done and kept, also over a restart of the app.")
        if done and not running and not elsewhere and visitors_may() and \
                st.button("Throw away", icon=":material/delete:", type="tertiary"):
            try:
                searches.discard(asked)
            except (RuntimeError, OSError) as problem:
                st.session_state["search failed"] = (asked, _trouble(problem))
            st.rerun()
    if done:
        _found(visitor, chosen, asked, found, ink)


def _found(visitor: State, chosen: Choice, asked: searches.Search, found: searches.Results, ink: str) -> None:
    """The best setting, and why it was chosen."""
    trials, names = found.trials, [name for name, _, _ in asked.ranges]
    scores = np.array([trial.score for trial in trials])
    best = int(scores.argmin())
    first = trials[best]
    forget, held_out = judged_images(chosen.network, chosen.forget)
    kept = int((~torch.isin(held_out.labels, torch.tensor(chosen.forget.classes))).sum())
    st.markdown(f"**Best of {len(trials)}: {in_words(chosen, dict(first.values))}**, {first.score:.1f} points from "
                f"retraining ({first.forget_gap:.1f} in forget, {first.retain_gap:.1f} in retain "
                f"accuracy), found in trial {best + 1}. Judged on {len(forget):,} training images to be "
                f"forgotten and on {kept:,} images held out of training; test images are not used.")
    if st.button("Open the best on See", icon=":material/play_circle:"):
        open_in_playground(visitor, chosen, first.values)
    st.markdown("##### Why did it choose this?")
    left, right = st.columns([0.55, 0.45])
    with left:
        if len(names) == 2:
            x, y = names
            knobs = numeric(chosen.method)
            under = plane(asked.rest, x, y)
            retrained = reference(engine(), chosen.network, chosen.forget)
            known = surface(engine(), under)
            gaps = None if retrained is None or known.missing() else gap(known.values, retrained)
            at = [np.array([place(values, knobs[name], trial.values[name]) for trial in trials])
                  for name, values in ((x, under.xs), (y, under.ys))]
            behind = "" if gaps is None else " Behind: the gap to retraining on the evaluation images."
            st.caption("How to read this: a dot is a trial, the larger the later, ☆ the best. Ten are drawn at random, "
                       f"then TPE looks where good ones were.{behind}")
            axes = scale(chosen, x, under.xs), scale(chosen, y, under.ys)
            st.plotly_chart(figures.path(*axes, gaps, *at, scores, best, ink), key="path", config=NO_BAR,
                            alt="Where the search went")
    with right:
        if asked.goal == "both":
            gaps = np.array([[trial.forget_gap, trial.retain_gap] for trial in trials])
            on_front = pareto(gaps)
            st.caption(f"How to read this: a dot is a trial; the {on_front.sum()} on the line are beaten by no other "
                       "in both gaps. Lower left is better.")
            st.plotly_chart(figures.front(gaps, on_front, ink), key="front", config=NO_BAR,
                            alt=f"Trials by both gaps, {on_front.sum()} on the front")
        else:
            st.caption("How to read this: a dot is a trial, the line the best so far; lower is better.")
            st.plotly_chart(figures.best_so_far(scores, searches.best_so_far(trials), ink), key="best", config=NO_BAR,
                            alt=f"Best score so far, at last {scores.min():.1f} points")
    if found.importances:
        knobs = numeric(chosen.method)
        leading = next(iter(found.importances))
        st.markdown(f"{knobs[leading].label} decided most: {found.importances[leading]:.0%} of what sets the best "
                    "trials apart lies in it (PED-ANOVA).")
        st.caption("How to read this: the longer a bar, the more the best trials agree on this knob's value; the "
                   "shares add up to 100 %.")
        st.plotly_chart(figures.importances({knobs[n].label: share for n, share in found.importances.items()}, ink),
                        key="importances", config=NO_BAR, alt="Importance of each knob")
