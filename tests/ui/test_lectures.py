"""Lectures: who may change what is shown, who may look, and when it is over."""

from __future__ import annotations

from ui.server.lectures import KEPT, MOST, Lectures


def test_what_the_presenter_tells_is_seen_and_numbered() -> None:
    lectures = Lectures()
    code, secret = lectures.begin("playground", {"alpha": "4"})
    first = lectures.shown(code)
    assert first is not None and (first.page, first.address["alpha"], first.number) == ("playground", "4", 0)
    assert lectures.tell(code, secret, "playground", {"alpha": "4"})
    assert lectures.shown(code) == first, "nothing changed, so nobody has to move"
    assert lectures.tell(code, secret, "privacy", {"alpha": "4"})
    second = lectures.shown(code)
    assert second is not None and (second.page, second.number) == ("privacy", 1)


def test_only_the_secret_changes_or_ends_a_lecture() -> None:
    lectures = Lectures()
    code, secret = lectures.begin("playground", {})
    other, another = lectures.begin("learn", {})
    assert not lectures.tell(code, another, "learn", {}) and not lectures.tell("none", secret, "learn", {})
    lectures.end(code, another)
    shown = lectures.shown(code)
    assert shown is not None and shown.page == "playground"
    lectures.end(code, secret)
    assert lectures.shown(code) is None and lectures.shown(other) is not None
    assert not lectures.tell(code, secret, "learn", {}), "what is over stays over"


def test_a_lecture_that_nobody_tells_of_ends_and_the_oldest_makes_room() -> None:
    now = [0.0]
    lectures = Lectures(lambda: now[0])
    first, secret = lectures.begin("playground", {})
    now[0] = KEPT - 1
    second, _ = lectures.begin("playground", {})
    now[0] = KEPT
    assert lectures.tell(first, secret, "playground", {})
    now[0] = KEPT + 5
    assert lectures.shown(first) is not None and lectures.shown(second) is not None
    for _ in range(MOST - 1):
        now[0] += 1
        lectures.begin("playground", {})
    assert lectures.shown(first) is not None and lectures.shown(second) is None
    now[0] = 9 * KEPT
    assert lectures.shown(first) is None
