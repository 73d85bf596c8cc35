"""Visitors who leave: what they waited for is given up, and what Streamlit keeps of them is let go in time."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from streamlit.runtime import get_instance

from unlearn_core.serving.pool import Ticket

GRACE = 2.5
"""Seconds in which a tab that has lost its connection may come back and find its work going on."""


@dataclass
class _Visit:
    tickets: dict[str, Ticket[Any]]
    left: float | None = None


_visits: dict[str, _Visit] = {}
_lock = threading.Lock()


def waits(session: str, tickets: dict[str, Ticket[Any]]) -> None:
    """Say what a session waits for, by slot: this very dictionary is emptied when its tab is closed."""
    with _lock:
        _visits[session] = _Visit(tickets)


def give_up_for_leavers(active: Callable[[str], bool], now: float) -> None:
    """Give up what those sessions waited for that have had no tab for `GRACE` seconds."""
    with _lock:
        for session, visit in list(_visits.items()):
            if active(session):
                visit.left = None
            elif visit.left is None:
                visit.left = now
            elif now - visit.left >= GRACE:
                del _visits[session]
                for slot in list(visit.tickets):
                    visit.tickets.pop(slot).release()


async def see_off() -> None:
    """Look once a second who has left.

    Streamlit keeps a session without a tab for `server.disconnectedSessionTTL` seconds, in case the tab comes back, but
    looks only when another one leaves whether that time is over. Each such session holds three file descriptors.
    """
    runtime = get_instance()
    while True:
        await asyncio.sleep(1.0)
        give_up_for_leavers(runtime.is_active_session, time.monotonic())
        runtime._session_mgr._session_storage._cache.expire()
