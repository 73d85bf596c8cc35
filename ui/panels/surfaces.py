"""What the panels of knobs share: gauges over a plane of settings that fills while one looks, and settings in words."""

from __future__ import annotations

import time

import numpy as np
import streamlit as st

from ui.server.runtime import engine
from ui.sliders import snap
from ui.state import State
from unlearn_core.audit.gauges import KINDS
from unlearn_core.figures.landscape import Scale
from unlearn_core.methods.base import Value
from unlearn_core.serving.choice import Choice
from unlearn_core.serving.landscape import (
    Plane,
    Surface,
    numeric,
    surface,
)

TITLES = [kind.title for kind in KINDS.values()]
PACE, REDRAW = 1.5, 5.0
"""Seconds after which a panel that fills is run again, and after which its charts are made anew."""


def scale(chosen: Choice, name: str, values: tuple[float, ...]) -> Scale:
    """A knob as an axis."""
    return Scale(numeric(chosen.method)[name].label, values)


def in_words(chosen: Choice, settings: dict[str, Value]) -> str:
    """Settings in words."""
    knobs = numeric(chosen.method)
    return ", ".join(f"{knobs[name].label} = {float(value):.3g}{knobs[name].unit}" for name, value in settings.items())


def open_in_playground(visitor: State, chosen: Choice, settings: dict[str, float]) -> None:
    """Go there with these values, each at the nearest slider position."""
    knobs = numeric(chosen.method)
    visitor.put(chosen.method, {name: snap(knobs[name], value) for name, value in settings.items()})
    st.switch_page("pages/playground.py")


def filling(found: Surface, what: str) -> None:
    """Keep a surface filling while it is looked at, and say how far it is."""
    total = int(np.prod(found.plane.shape))
    missing = len(found.missing())
    if found.problems:
        st.caption(f"{len(found.problems)} of {total} points could not be run, {next(iter(found.problems.values()))}")
    if not missing:
        return
    stopped = st.session_state.setdefault("stopped", set())
    with st.container(horizontal=True, vertical_alignment="center"):
        if found.plane in stopped:
            st.caption(f"Stopped at {total - missing} of {total} points; they are kept.")
            if st.button("Go on", icon=":material/play_arrow:", key=f"go.{what}"):
                stopped.discard(found.plane)
                st.rerun()
        else:
            found.look(engine())
            st.progress((total - missing) / total, f"{total - missing} of {total} points of the {what}, coarse to "
                        "fine, while nobody waits for anything else")
            if st.button("Stop", icon=":material/stop:", key=f"stop.{what}"):
                stopped.add(found.plane)
                found.stop()
                st.rerun()


def moving(*shown: Plane) -> float | None:
    """Seconds until a fragment that shows these planes must run again; None if nothing will change."""
    stopped = st.session_state.get("stopped", set())
    return PACE if any(one not in stopped and surface(engine(), one).missing() for one in shown) else None


def shown_values(found: Surface, what: str) -> np.ndarray:
    """A surface's values as they are shown: the latest every few seconds, as a chart that changes is built anew."""
    key = f"drawn.{what}"
    shown, since, values = st.session_state.get(key, (None, 0.0, found.values))
    if shown != found.plane or not found.missing() or time.monotonic() - since > REDRAW:
        values = found.values.copy()
        st.session_state[key] = (found.plane, time.monotonic(), values)
    return values
