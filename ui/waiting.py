"""Waiting for the pool: at once if known, quietly if quick, with real progress and Cancel if long."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import streamlit as st

from unlearn_core.pool import Ticket

T = TypeVar("T")


def wait(ticket: Ticket[T], what: str, on_cancel: Callable[[], None]) -> T:
    """The ticket's result. If this run is superseded, interest is given up and unshared work stops.

    Raises:
        Exception: whatever the work raised.
    """
    try:
        if not ticket.wait(0.4):
            slot = st.empty()
            with slot.container(border=True):
                bar = st.progress(0.0, f"{what}: waiting for a free processor")
                st.button("Cancel", key=f"cancel {what}", on_click=on_cancel,
                          help="Stops the work and returns to the last picture.")
            while not ticket.wait(0.15):
                # Streamlit interrupts here when the visitor moves on: that is what makes Cancel real.
                bar.progress(min(ticket.share, 1.0), f"{what}: {ticket.note}")
            slot.empty()
        return ticket.result()
    finally:
        ticket.release()
