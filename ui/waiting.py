"""Waiting for the pool: at once if known, quietly if quick, with real progress and Cancel if long."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import streamlit as st

from unlearn_core.pool import Ticket

T = TypeVar("T")


def ready(ticket: Ticket[T], patience: float, what: str, on_cancel: Callable[[], None] | None = None) -> T | None:
    """The ticket's result if it comes within `patience` seconds; else None, and a progress bar with Cancel.

    The session holds one ticket at a time: asking for something else gives up the last, so that work which
    nobody waits for any more stops. Without `on_cancel`, a button that starts it again stands in for cancelled work.

    Raises:
        Exception: whatever the work raised.
    """
    if st.session_state.get("cancelled") == ticket.key and not ticket.wait(0):
        ticket.release()
        if st.button("Start again", icon=":material/restart_alt:", help=f"{what} was cancelled."):
            del st.session_state["cancelled"]
            st.rerun()
        return None
    held: Ticket[T] | None = st.session_state.get("ticket")
    if held is not None and held.key == ticket.key:
        ticket.release()
        ticket = held  # a failure that happened behind the progress bar is told once, not tried for ever
    elif not ticket.wait(0):
        give_up()
        st.session_state["ticket"] = ticket
    if ticket.wait(patience):
        if st.session_state.get("ticket") is ticket:
            del st.session_state["ticket"]
        return ticket.result()
    with st.container(border=True):
        _progress(ticket, what, on_cancel)
    return None


@st.fragment(run_every=0.3)
def _progress(ticket: Ticket[object], what: str, on_cancel: Callable[[], None] | None) -> None:
    # A fragment of its own, run again and again: a run that blocked until the end would not hear Cancel.
    if ticket.wait(0):
        st.rerun()
    st.progress(min(ticket.share, 1.0), f"{what}: {ticket.note or 'waiting for a free processor'}")
    if st.button("Cancel", help="Stops the work and returns to the last picture."):
        give_up()
        if on_cancel is None:
            st.session_state["cancelled"] = ticket.key
        else:
            on_cancel()
        st.rerun()


def give_up() -> None:
    """Stop waiting for whatever this session waits for."""
    if (held := st.session_state.pop("ticket", None)) is not None:
        held.release()
