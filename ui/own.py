"""Subjects of the operator's own: whose images they are, and those that wait to be prepared."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from html import escape
from pathlib import Path

import streamlit as st

from ui.server.runtime import engine
from ui.state import State
from ui.waiting import ready
from unlearn_core.progress import Progress
from unlearn_core.serving.pool import Lane, Ticket
from unlearn_core.subjects import own
from unlearn_core.subjects.own import Estimate
from unlearn_core.subjects.subject import bundled, own_folder, subjects

ALLOWED = "LACUNA_PREPARE"
"""The environment variable by which the operator lets visitors prepare subjects (1), or forbids it (0)."""
LOCAL = ("localhost", "127.0.0.1", "::1")
SHOWN = 5
"""So many faults of a folder are listed; `check` lists all."""

# Shared by all sessions: work of many minutes goes on when a page is reloaded, and ends only by Cancel.
_running: dict[str, Ticket[float]] = {}


def shelf(visitor: State) -> None:
    """Whose images the subject's are, and what else lies in the operator's folder."""
    shown = visitor.subject
    if said := " · ".join(filter(None, (shown.credit, shown.licence))):
        st.html(f'<div style="font-size:14px;opacity:.7;overflow-wrap:anywhere">Images: {escape(said)}</div>')
    look()
    if (wanted := st.session_state.get("preparing")) in subjects():  # whatever turn of the page is the first to see it
        del st.session_state["preparing"]
        _running.pop(wanted, None)
        visitor.take_network(wanted)
        st.rerun()
    if (folder := own_folder()) is not None and allowed():
        for name, path in _unprepared(folder).items():
            if name not in subjects():  # one that is in use and was changed since stays until the server ends
                with st.container(border=True):
                    _one(name, path)


def look() -> None:
    """Take up what was prepared since somebody last looked; at every turn, so that nobody has to start again."""
    if (folder := own_folder()) is not None and own.changed(folder):
        engine().look_again()


def allowed() -> bool:
    """Whether visitors may prepare subjects: the operator says so, or else serves this machine alone."""
    said = os.environ.get(ALLOWED, "")
    return said == "1" if said else st.get_option("server.address") in LOCAL


@st.cache_data(ttl=60, show_spinner=False)
def _unprepared(folder: Path) -> dict[str, Path]:
    return own.unprepared(folder, set(bundled()))


def _one(name: str, path: Path) -> None:
    """A subject that is not prepared: what that takes and a button, or how far it is, or what is wrong."""
    st.text(own.title(path))
    if name in _running:
        _progress(name)
        return
    looks = st.session_state.get(f"looks.{name}", 0)
    expected = ready(engine().pool.submit(("estimate", path, looks), partial(_estimate, path), Lane.SCENE), 0.1,
                     "Trying a few pictures", slot=f"estimate.{name}")
    if isinstance(expected, str):
        faults = expected.split("\n")
        more = [f"And {len(faults) - SHOWN:,} more: the command `check` says all."] * (len(faults) > SHOWN)
        st.text("\n".join(faults[:SHOWN] + more))
        st.button("Look again", icon=":material/refresh:", key=f"look.{name}",
                  on_click=lambda: st.session_state.update({f"looks.{name}": looks + 1}))
    elif expected is not None:
        st.button(f"Prepare: {expected.brief}", icon=":material/model_training:", key=f"prepare.{name}",
                  help=f"{expected} Real progress, can be cancelled, and goes on from there when it is started again.",
                  on_click=_start(name, path, expected))


def _estimate(path: Path, progress: Progress) -> Estimate | str:
    """What it takes, or the faults that stand in the way."""
    try:
        return own.estimate(path)
    except (ValueError, OSError) as problem:
        return str(problem)


def _start(name: str, path: Path, expected: Estimate) -> Callable[[], None]:
    def press() -> None:
        if name not in _running:
            _running[name] = engine().pool.submit(
                ("prepare", path), lambda progress: own.prepare(path, progress, expected), Lane.LONG, keep=False)
        st.session_state["preparing"] = name

    return press


@st.fragment(run_every=0.5)
def _progress(name: str) -> None:
    """How far it is, and Cancel; then what came of it."""
    ticket = _running.get(name)
    if ticket is None:
        st.rerun()
    if not ticket.wait(0):
        st.progress(min(ticket.share, 1.0), own.plain(ticket.note) or "waiting for a free processor")
        if st.button("Cancel", key=f"cancel.{name}", help="Stops it. Started again, it goes on with the stage that was "
                     "not done."):
            _running.pop(name).release()
            st.session_state.pop("preparing", None)
            st.rerun()
        return
    try:
        ticket.result()
    except Exception as problem:  # whatever stopped it is for the operator, who alone is here, to read
        st.error(own.plain(str(problem)) or type(problem).__name__, icon=":material/error:")
        if st.button("Look again", icon=":material/refresh:", key=f"again.{name}"):
            del _running[name]
            st.session_state[f"looks.{name}"] = st.session_state.get(f"looks.{name}", 0) + 1
            st.rerun()
        return
    _running.pop(name, None)
    engine().look_again()
    _unprepared.clear()
    st.rerun()
