"""A tab's first run: the browser draws a page's own picture first, and what takes it long comes in the next run.

Plotly is megabytes of script, which a browser reads for a second and more: in one run with it, all else waits for it.
"""

from __future__ import annotations

import base64
import time
from typing import Any

import plotly.graph_objects as go
import streamlit as st

from ui.theme import NO_BAR
from unlearn_core.figures.sketch import Margins, sketch

PATIENCE = 10.0
"""Seconds after which the rest follows although a view has not said that it is drawn: its script may be broken."""


def opening() -> bool:
    """Whether this is a tab's first run: a view that stands in it is to say when it is drawn, by `drawn`."""
    return "opened" not in st.session_state


def drawn() -> None:
    """What the first run has shown is drawn."""
    st.session_state["opened"] = True


def rest_follows(patience: float = 0.05) -> None:
    """End a tab's first run here: what follows comes when a view has said that it is drawn, or after some seconds."""
    if opening():
        st.session_state["opened"] = False
        _rest(time.monotonic() + patience)
        st.stop()


@st.fragment(run_every=0.1)
def _rest(until: float) -> None:
    if st.session_state["opened"] or time.monotonic() > until:
        st.rerun()


def first_chart(figure: go.Figure, key: str, margins: Margins, **widget: Any) -> Any:
    """A page's first chart; the first run of a tab ends with a sketch of it, which stays until the chart is drawn.

    Args:
        figure: see `sketch`.
        key: of the chart.
        margins: see `sketch`.
        widget: as for `st.plotly_chart`.
    """
    sketches = st.session_state.setdefault("sketches", {})
    with st.container(key=f"sketched-{key}"):  # one place for both: app.css
        if opening():
            image = base64.b64encode(sketch(figure, margins).encode()).decode()
            sketches[key] = (f'<img class="lacuna-sketch" alt="" height="{figure.layout.height}" '
                             f'src="data:image/svg+xml;base64,{image}">')
            st.empty()
            st.html(sketches[key])
            rest_follows()
        picked = st.plotly_chart(figure, key=key, config=NO_BAR, **widget)
        if key in sketches:
            st.html(sketches[key])
    return picked
