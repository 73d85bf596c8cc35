"""A state file, opened on a page: it is read as the address that it stands for."""

from __future__ import annotations

import streamlit as st

from ui.sliders import short
from ui.state import read_address, state
from unlearn_core.serving.fields import MOST_BYTES, read, written

FAULT = "state file fault"


def open_state() -> None:
    """The way to open one, and what was wrong with the last."""
    with st.popover("Open a state file", type="tertiary", icon=":material/folder_open:",
                    help="A choice that was saved under Evidence sheet, State (TOML)."):
        st.file_uploader("State (TOML)", "toml", key="state file", on_change=_take, max_upload_size=1)
        if fault := st.session_state.get(FAULT):
            st.warning(fault, icon=":material/error:")


def _take() -> None:
    given = st.session_state["state file"]
    st.session_state.pop(FAULT, None)
    if given is None:
        return
    try:
        if given.size > MOST_BYTES:
            raise ValueError("state: a state file expected, got one that is larger than a megabyte")
        values, page = read(given.getvalue(), short(given.name))
    except ValueError as problem:
        st.session_state[FAULT] = f"{problem}. What was shown stays."
        return
    history = state().history
    found = read_address({name: written(value) for name, value in values.items()} | page)
    found.history = history  # so that Back undoes it
    st.session_state["lacuna"] = found
