"""Work that was cancelled on a page stays cancelled until somebody asks for it again."""

from __future__ import annotations

import threading
import time

from streamlit.testing.v1 import AppTest

from unlearn_core.pool import Lane, Pool, Ticket
from unlearn_core.progress import Progress

POOL = Pool(2**20, lambda value: 1)
GATE, STARTS = threading.Event(), list[float]()


def asked() -> Ticket[str]:
    """Work that waits at a gate."""
    def work(progress: Progress) -> str:
        STARTS.append(time.monotonic())
        while not GATE.wait(0.01):
            progress(0.5, "at the gate")
        return "through"

    return POOL.submit("work", work, Lane.LONG)


def script() -> None:
    """A page with nothing but this work."""
    import streamlit as st

    from tests.test_waiting import asked
    from ui.waiting import ready

    if (found := ready(asked(), 0.2, "Waiting")) is not None:
        st.markdown(found)


def test_cancelled_work_stays_cancelled_until_asked_for_again() -> None:
    page = AppTest.from_function(script).run()
    assert [button.label for button in page.button] == ["Cancel"] and len(STARTS) == 1
    page.button[0].click().run()
    for _ in range(2):  # any later run leaves it so
        assert [button.label for button in page.run().button] == ["Start again"]
    time.sleep(0.1)
    assert POOL.known("work") is None
    begun = len(STARTS)
    page.button[0].click().run()
    assert [button.label for button in page.button] == ["Cancel"] and len(STARTS) == begun + 1
    GATE.set()
    time.sleep(0.2)
    assert page.run().markdown[-1].value == "through" and not page.button
