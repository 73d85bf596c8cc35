"""Where a visitor stands in the lessons: the step in the address, the controls that it moves, guesses of this visit."""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st

from ui.lessons import Lesson, Step
from ui.state import DEFAULT, State
from unlearn_core.serving.choice import Choice

Place = tuple[str, int]
"""A lesson by name, and the ordinal of its step."""


def arrived(visitor: State, known: Mapping[str, Lesson]) -> Place:
    """Where the address stands; the controls are moved there if they have not been yet."""
    at, wrong = _place(visitor, known)
    first = "at step" not in st.session_state
    if not first and st.session_state["at step"] == at and not wrong:
        return at
    # An address may name a choice beside the step: that is shown then. Whoever comes from another page is moved.
    enter(visitor, known, at, bool(first and not visitor.history and chosen(visitor) not in (None, DEFAULT)))
    if wrong:
        visitor.note(wrong)
    st.rerun()  # what stands above this page was drawn before


def _place(visitor: State, known: Mapping[str, Lesson]) -> tuple[Place, str]:
    name, step = visitor.views.get("lesson", next(iter(known))), visitor.views.get("step", "1")
    if name not in known:
        return (next(iter(known)), 1), f"lesson: one of {', '.join(known)} expected; the first is shown."
    last = len(known[name].steps)
    if not (step.isdecimal() and len(step) < 4 and 1 <= int(step) <= last):
        return (name, 1), f"step: a whole number in 1..{last} expected; the first is shown."
    return (name, int(step)), ""


def enter(visitor: State, known: Mapping[str, Lesson], to: Place, stay: bool = False) -> None:
    """Turn to a step and move the controls, unless they `stay`; where a guess is awaited, to the step before it."""
    visitor.views |= {"lesson": to[0], "step": str(to[1])}
    st.session_state["at step"] = to
    steps = known[to[0]].steps
    if not stay:
        awaited = steps[to[1] - 1].guess and guess(to) is None
        visitor.adopt(steps[to[1] - (2 if awaited else 1)].choice)


def neighbour(known: Mapping[str, Lesson], at: Place, by: int) -> Place | None:
    """The step so many places on, through all lessons; None beyond their ends."""
    places = [(lesson.name, i) for lesson in known.values() for i in range(1, len(lesson.steps) + 1)]
    there = places.index(at) + by
    return places[there] if 0 <= there < len(places) else None


def guess(at: Place) -> float | None:
    """What was guessed at a step, as a share."""
    found: float | None = _guesses().get(at)
    return found


def reveal(visitor: State, step: Step, at: Place) -> None:
    """Take the guess from its slider and move the controls."""
    _guesses()[at] = st.session_state[f"guess {at}"] / 100
    visitor.adopt(step.choice)


def chosen(visitor: State) -> Choice | None:
    """The choice, unless it is invalid just now."""
    try:
        return visitor.choice()
    except ValueError:
        return None


def _guesses() -> dict[Place, float]:
    found: dict[Place, float] = st.session_state.setdefault("guesses", {})
    return found
