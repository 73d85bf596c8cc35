"""A state file opened on a page is the choice that it was saved from."""

from __future__ import annotations

import pytest

from tests.browser.test_pages import app, settle, verdict
from unlearn_core.serving.choice import choice
from unlearn_core.serving.fields import state_file

CHOSEN = choice("small-vit", (3, 7), "ssd", {"alpha": 4.64, "lambda": 0.3})


def test_a_saved_state_comes_back_and_can_be_undone() -> None:
    test = app(forget="1")
    before = test.session_state["lacuna"].choice()
    test.file_uploader[0].set_value(("mine.toml", state_file(CHOSEN, {"layer": "block1"}).encode(), "application/toml"))
    settle(test.run())
    found = test.session_state["lacuna"]
    assert found.choice() == CHOSEN and found.views == {"layer": "block1"} and not test.exception
    assert test.query_params["forget"] == "3,7" and test.query_params["network"] == "small-vit"
    found.step_back()
    assert found.choice() == before


@pytest.mark.parametrize(("content", "said"), [
    (b"\xff\xfe", "no TOML"), (b"alpha = 1", "in words: network, forget, method"),
    (b'network = "small-resnet"\nforget = "0"\nmethod = "ssd"\npage = 3', "page is no table of words")])
def test_a_file_that_is_none_is_refused_in_a_sentence_and_loses_nothing(content: bytes, said: str) -> None:
    test = app(forget="1")
    before, told = test.session_state["lacuna"].choice(), verdict(test)
    test.file_uploader[0].set_value(("<b>[odd](x).toml", content, "application/toml"))
    settle(test.run())
    assert any(said in box.value and "What was shown stays" in box.value for box in test.warning)
    assert not any("](x)" in box.value or "<b>" in box.value for box in test.warning)
    assert test.session_state["lacuna"].choice() == before and verdict(test) == told and not test.exception


def test_what_does_not_fit_is_noted_as_for_an_address() -> None:
    test = app()
    test.file_uploader[0].set_value(("a.toml", b'network = "nobody"\nforget = "1"\nmethod = "ssd"\nbeta = 2\n', ""))
    settle(test.run())
    assert any("there is no network" in box.value and "beta" in box.value for box in test.warning)
    assert test.query_params["forget"] == "1" and not test.exception
