"""SISA on its page: what a request costs, and forgetting by a press."""

from __future__ import annotations

import time

import pytest
from streamlit.testing.v1 import AppTest

from tests.conftest import named
from unlearn_core.assets import AssetError
from unlearn_core.subjects.subject import Subject

PAGE = """
import streamlit as st
from ui.panels.sharded import sharded
from ui.state import read_address
st.session_state["sharded"] = True
sharded(st.session_state.setdefault("visitor", read_address({address})), "#1B1D21")
"""


def page(**address: str) -> AppTest:
    return AppTest.from_string(PAGE.format(address=address), default_timeout=120).run()


def test_a_picture_is_forgotten_by_a_press() -> None:
    test = page(network="people-resnet", forget="image:17")
    assert not test.exception
    assert test.markdown[0].value.startswith("**1 image to be forgotten: 1 of 5 shards goes back, ")
    named(test.button, "ask.sharded").click().run()
    for _ in range(300):
        if test.dataframe:
            break
        time.sleep(0.2)
        test.run()
    table = test.dataframe[0].value
    assert list(table[""]) == ["One network, trained on everything", "All shards, as they were", "All shards, after"]
    assert "processor seconds. The price is paid from the start" in test.caption[-1].value and not test.exception


def test_a_class_goes_back_to_the_beginning_everywhere() -> None:
    test = page(network="small-resnet", forget="3")
    assert "2,000 images to be forgotten: 5 of 5 shards go back" in test.markdown[0].value and not test.exception


def test_a_network_that_has_no_shards_says_so() -> None:
    test = page(network="people-poisoned")
    assert test.info[0].value == "No networks trained in shards are bundled of this one." and not test.caption


def test_a_broken_file_is_named_and_nothing_else_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: Subject) -> None:
        raise AssetError("assets/sharded/small-resnet.safetensors is missing.")

    monkeypatch.setattr(Subject, "sharded", broken)
    test = page(network="small-resnet")
    assert test.error[0].value == "assets/sharded/small-resnet.safetensors is missing." and not test.exception
