"""Waiting for the pool: at once if known, quietly if quick, with real progress and Cancel if long."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import streamlit as st
from streamlit.delta_generator import DeltaGenerator
from streamlit.runtime.scriptrunner import get_script_run_ctx

from ui.server import leavers
from unlearn_core.serving.pool import Ticket

T = TypeVar("T")
ANSWER = "answer"
"""The slot of the answer to what is chosen: pages share it. All others belong to one page."""


def held(slot: str) -> Ticket[Any] | None:
    """What this session waits for in a slot."""
    return _tickets().get(slot)


def hold(slot: str, ticket: Ticket[Any]) -> None:
    """Wait for this in a slot, and for nothing else there: work that nobody waits for any more stops."""
    give_up(slot)
    _tickets()[slot] = ticket


def give_up(*slots: str) -> None:
    """Stop waiting in these slots."""
    for slot in slots:
        if (ticket := _tickets().pop(slot, None)) is not None:
            ticket.release()


def keep_only(*slots: str) -> None:
    """Stop waiting in all other slots."""
    give_up(*set(_tickets()) - set(slots))


def arrive(page: str) -> None:
    """Give up what only the page before waited for."""
    if st.session_state.get("page") != page:
        st.session_state["page"] = page
        keep_only(ANSWER)


def reached(ticket: Ticket[T], patience: float, slot: str) -> T | None:
    """The ticket's result if it comes within `patience` seconds; else None, and the slot holds it.

    Raises:
        Exception: whatever the work raised.
    """
    before = held(slot)
    if before is not None and before.key == ticket.key:
        ticket.release()
        ticket = before  # a failure that happened behind the progress bar is told, not tried again
    elif not ticket.wait(0):
        hold(slot, ticket)
    if not ticket.wait(patience):
        return None
    if held(slot) is ticket:
        del _tickets()[slot]
    return ticket.result()


def ready(ticket: Ticket[T], patience: float, what: str, on_cancel: Callable[[], None] | None = None,
          slot: str = "work") -> T | None:
    """The ticket's result if it comes within `patience` seconds; else None, and a progress bar with Cancel.

    A slot holds one ticket at a time: asking for something else there gives up the last. Without `on_cancel`, a button
    that starts it again stands in for cancelled work.

    Raises:
        Exception: whatever the work raised.
    """
    cancelled = f"cancelled.{slot}"
    if st.session_state.get(cancelled) == ticket.key and not ticket.wait(0):
        ticket.release()
        if st.button("Start again", icon=":material/restart_alt:", key=f"again.{slot}", help=f"{what} was cancelled."):
            del st.session_state[cancelled]
            st.rerun()
        return None
    key, found = ticket.key, reached(ticket, patience, slot)
    if found is None:
        progress(slot, what, on_cancel or (lambda: st.session_state.update({cancelled: key})))
    return found


def folded(title: str, icon: str, slot: str, what: str,
           ask: Callable[[], Ticket[T]]) -> tuple[DeltaGenerator, T | None]:
    """A folded panel, and what it shows once it is opened: nothing is asked for before."""
    box = st.expander(title, icon=icon, on_change="rerun", key=slot)
    if not box.open:
        return box, None
    with box:
        return box, ready(ask(), 1.5, what, slot=slot)


@st.fragment(run_every=0.3)
def progress(slot: str, what: str, on_cancel: Callable[[], None], below: Callable[[], None] = lambda: None) -> None:
    """How far the work in a slot is, and Cancel, in one row; under it what is drawn `below` of what is there so far.

    The page is run again when it is done.
    """
    # A fragment of its own, run again and again: a run that blocked until the end would not hear Cancel.
    ticket = held(slot)
    if ticket is None or ticket.wait(0):
        st.rerun()
    with st.container(horizontal=True, vertical_alignment="center"):
        st.progress(min(ticket.share, 1.0), f"{what}: {ticket.note or 'waiting for a free processor'}")
        if st.button("Cancel", key=f"cancel.{slot}", help="Stops the work and returns to the last picture."):
            give_up(slot)
            on_cancel()
            st.rerun()
    below()


def _tickets() -> dict[str, Ticket[Any]]:
    found: dict[str, Ticket[Any]] = st.session_state.setdefault("tickets", {})
    if (here := get_script_run_ctx()) is not None:
        leavers.waits(here.session_id, found)
    return found
