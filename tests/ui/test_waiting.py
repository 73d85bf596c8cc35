"""Work that was cancelled on a page stays cancelled until somebody asks for it again."""

from __future__ import annotations

import threading
import time

from streamlit.testing.v1 import AppTest

from ui.server import leavers
from unlearn_core.progress import Progress
from unlearn_core.serving.pool import Lane, Pool, Ticket

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

    from tests.ui.test_waiting import asked
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


def endless(name: str) -> Ticket[None]:
    """Work that ends only when nobody waits for it any more."""
    def work(progress: Progress) -> None:
        while True:
            progress(0.5, name)
            time.sleep(0.01)

    return POOL.submit(name, work, Lane.LONG if name == "answer" else Lane.RELEASE)


def two_waits() -> None:
    """A page that waits for two things, and another that waits for nothing."""
    import streamlit as st

    from tests.ui.test_waiting import endless
    from ui.waiting import arrive, ready

    arrive(st.session_state.setdefault("where", "first"))
    if st.session_state["where"] == "first":
        ready(endless("answer"), 0.2, "Answering", slot="answer")
        ready(endless("other"), 0.2, "Other work", slot="other")


def test_two_slots_do_not_give_each_other_up_and_leaving_the_page_gives_up_its_own() -> None:
    page = AppTest.from_function(two_waits).run()
    for _ in range(2):
        held = dict(page.session_state["tickets"])
        assert set(held) == {"answer", "other"} and not any(ticket.wait(0) for ticket in held.values())
        assert len(page.button) == 2
        page.run()
    page.session_state["where"] = "second"
    page.run()
    assert set(page.session_state["tickets"]) == {"answer"}, "all pages share it"
    assert held["other"].wait(5) and not held["answer"].wait(0), "work that nobody waits for has stopped"
    held["answer"].release()
    assert held["answer"].wait(5)


def test_who_leaves_gives_up_and_who_comes_back_in_time_does_not() -> None:
    page = AppTest.from_function(two_waits).run()
    held = dict(page.session_state["tickets"])
    (session,) = [name for name, visit in leavers._visits.items() if visit.tickets == held]

    def look(now: float, active: bool) -> None:
        leavers.give_up_for_leavers(lambda one: active if one == session else True, now)

    look(0.0, active=False)
    look(leavers.GRACE - 0.1, active=False)
    look(leavers.GRACE, active=True)  # a tab that lost its connection for a moment
    look(leavers.GRACE + 0.1, active=False)
    assert not any(ticket.wait(0) for ticket in held.values())
    look(2 * leavers.GRACE + 0.2, active=False)
    assert all(ticket.wait(5) for ticket in held.values()), "its work has stopped"
    assert session not in leavers._visits and not page.session_state["tickets"]
    page.run()
    assert set(page.session_state["tickets"]) == {"answer", "other"}, "whoever comes back after all starts again"
    for ticket in page.session_state["tickets"].values():
        ticket.release()
