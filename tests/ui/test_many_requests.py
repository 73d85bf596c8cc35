"""The table over many requests on its page: ranks that are shared, and a sentence where there are no rows."""

from __future__ import annotations

import pytest
from streamlit.testing.v1 import AppTest

from tests.study.test_standings import WANTED, rows
from unlearn_core.assets import AssetError
from unlearn_core.study import standings

PAGE = """
import streamlit as st
from ui.panels.many_requests import many_requests
from unlearn_core.subjects.subject import subject
st.session_state["many requests"] = True
many_requests(subject("{network}"))
"""


def shown(network: str, monkeypatch: pytest.MonkeyPatch) -> AppTest:
    monkeypatch.setattr(standings, "load", rows)
    monkeypatch.setattr(standings, "retrained", lambda: WANTED)
    test = AppTest.from_string(PAGE.replace("{network}", network), default_timeout=60).run()
    assert not test.exception
    return test


def test_methods_that_cannot_be_told_apart_share_a_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    test = shown("people-resnet", monkeypatch)
    assert test.markdown[0].value == (
        "**Forget one person**: 3 methods on 8 requests. SSD stands alone at rank 1. 0 of the 88 ranked runs could "
        "not be told from retraining. To be first is not praise: of the 8 runs of methods that may be "
        "first, 8 are *Told from retraining*.")
    table = test.dataframe[0].value
    assert list(table["rank"]) == ["1", "2 to 3", "2 to 3"] and list(table["runs"]) == [8, 40, 40]


def test_a_broken_file_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise AssetError("results/results.parquet is damaged.")

    monkeypatch.setattr(standings, "load", broken)
    test = AppTest.from_string(PAGE.replace("{network}", "people-resnet"), default_timeout=60).run()
    assert test.error[0].value == "results/results.parquet is damaged." and not test.exception


def test_without_rows_the_command_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    said = shown("small-vit", monkeypatch).info[0].value
    assert "sweep --networks small-vit --methods all --forget each --seeds 5 --out results" in said
