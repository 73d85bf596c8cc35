"""The sidebar's shelf of one's own subjects: whoever pressed for one is turned to it once it is ready."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from tests.browser.test_own_subject import folder
from unlearn_core.subjects import own
from unlearn_core.subjects.subject import FOLDER, subjects

SHELF = """
import streamlit as st
from ui.own import shelf
from ui.state import state
shelf(state())
st.text(state().network)
"""


@pytest.fixture
def bars(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with one subject that waits to be prepared."""
    monkeypatch.setenv(FOLDER, str(folder(tmp_path, 1)))
    monkeypatch.setenv("LACUNA_PREPARE", "1")
    subjects.cache_clear()
    yield tmp_path / "bars"
    monkeypatch.undo()
    subjects.cache_clear()


def test_any_turn_of_the_page_takes_up_what_is_ready(bars: Path) -> None:
    """Not the progress bar alone: between two of its looks another part of the page may draw the page anew, and then
    the subject is no longer among those that wait."""
    test = AppTest.from_string(SHELF, default_timeout=60).run()
    before = test.text[-1].value
    test.session_state["preparing"] = "bars"
    assert test.run().text[-1].value == before != "bars"
    own.prepare(bars)
    assert test.run().text[-1].value == "bars" and not test.exception
    assert "preparing" not in test.session_state
