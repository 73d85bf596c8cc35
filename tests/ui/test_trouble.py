"""What nobody has caught: a sentence on the page, a line in the log, no folder of the machine's."""

from __future__ import annotations

import logging

import pytest
from streamlit.testing.v1 import AppTest

from tests.conftest import REPOSITORY
from ui.server import trouble
from unlearn_core.assets import AssetError


def test_an_error_is_one_line_that_says_where_it_came_from(caplog: pytest.LogCaptureFixture) -> None:
    trouble.shorten_the_log()
    try:
        raise RuntimeError("one\ntwo")
    except RuntimeError as error:
        logging.getLogger("streamlit.error_util").error("Uncaught app execution", exc_info=error)
    (record,) = caplog.records
    said = logging.Formatter().format(record)
    assert said.startswith("Uncaught app execution: RuntimeError: one two (tests/ui/test_trouble.py:")
    assert "\n" not in said and str(REPOSITORY) not in said


def page(kind: str) -> None:
    """A page on which something is raised that is told as the server tells it."""
    from ui.server.trouble import told
    from unlearn_core.assets import AssetError

    told(AssetError("assets/one.npz is missing.") if kind == "asset" else KeyError("secret"))


@pytest.mark.parametrize("kind, said", [("asset", "assets/one.npz is missing."), ("other", trouble.UNKNOWN)])
def test_the_page_says_a_sentence(kind: str, said: str) -> None:
    assert [error.value for error in AppTest.from_function(page, args=(kind,)).run().error] == [said]


def test_a_broken_file_is_told_as_it_is() -> None:
    assert trouble.line(AssetError("assets/one.npz is missing.")) == "assets/one.npz is missing."
