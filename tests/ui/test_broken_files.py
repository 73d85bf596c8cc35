"""Whatever file of an opened panel is broken: the panel names it in a sentence, and nothing is raised."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from tests.browser.test_broken_assets import FAULTS, broken
from unlearn_core import assets
from unlearn_core.study import standings
from unlearn_core.subjects.subject import subjects

RANKS = """
import streamlit as st
from ui.panels.many_requests import many_requests
from unlearn_core.subjects.subject import subject
st.session_state["many requests"] = True
many_requests(subject("people-resnet"))
"""
SHARDS = """
import streamlit as st
from ui.panels.sharded import sharded
from ui.state import read_address
st.session_state["sharded"] = True
sharded(st.session_state.setdefault("visitor", read_address({"network": "people-resnet"})), "#1B1D21")
"""
PANELS = {"results/results.parquet": RANKS, "results/retrained.json": RANKS,
          "sharded/people-resnet.safetensors": SHARDS}


@pytest.fixture
def forgetful() -> Iterator[None]:
    """What was read of the files that are whole is read again, before and after."""
    kept = standings.load, standings.retrained, subjects
    for each in kept:
        each.cache_clear()
    yield
    for each in kept:
        each.cache_clear()


@pytest.mark.usefixtures("forgetful")
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", PANELS)
def test_an_opened_panel_names_its_broken_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str,
                                               fault: str) -> None:
    monkeypatch.setattr(assets, "ROOT", broken(tmp_path, name, fault))
    test = AppTest.from_string(PANELS[name], default_timeout=120).run()
    assert not test.exception and f"assets/{name}" in test.error[0].value and str(tmp_path) not in test.error[0].value


@pytest.mark.usefixtures("forgetful")
@pytest.mark.parametrize("page", [RANKS, SHARDS])
def test_the_same_panel_of_whole_files_complains_of_nothing(page: str) -> None:
    test = AppTest.from_string(page, default_timeout=120).run()
    assert not test.exception and not test.error
