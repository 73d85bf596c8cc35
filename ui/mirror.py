"""Widgets that show a part of the visitor's state which others move too: presets, canvases, lessons, undo.

A browser sends what all its widgets show with every message, also before it has heard that one of them was moved. Such
a message must not move it back, so whatever is moved by others becomes a widget of its own, and what is said of the
former one counts for nothing.
"""

from __future__ import annotations

from typing import Any

import streamlit as st

SHOWN = "shown by widgets"
"""Slot of the session: by widget, its value and how often others moved it."""


def showing(name: str, value: object) -> str:
    """The key under which the widget of that name shows a value."""
    shown: dict[str, tuple[object, int]] = st.session_state.setdefault(SHOWN, {})
    before, moves = shown.get(name, (value, 0))
    shown[name] = value, moves + (before != value)
    st.session_state[_key(name)] = value
    return _key(name)


def taken(name: str) -> Any:
    """To what a person has just set the widget of that name."""
    value, (_, moves) = st.session_state[_key(name)], st.session_state[SHOWN][name]
    st.session_state[SHOWN][name] = value, moves
    return value


def _key(name: str) -> str:
    moves = st.session_state[SHOWN][name][1]
    return f"{name} {moves}" if moves else name
