"""What nobody has caught: a sentence on the page, a line in the log, no folder of the machine's."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest
from streamlit.testing.v1 import AppTest

from tests.conftest import REPOSITORY
from ui.server import trouble
from unlearn_core.assets import AssetError


@pytest.fixture
def shortened() -> Iterator[None]:
    usual = logging.getLogRecordFactory()
    trouble.shorten_the_log()
    yield
    logging.setLogRecordFactory(usual)


@pytest.mark.usefixtures("shortened")
def test_an_error_is_one_line_that_says_where_it_came_from(caplog: pytest.LogCaptureFixture) -> None:
    try:
        json.loads("{")
    except ValueError:
        logging.getLogger("streamlit.of_whatever_name").exception("Uncaught %s", "here")
        logging.getLogger("another").exception("Uncaught")
    first, other = (logging.Formatter().format(record) for record in caplog.records)
    assert first.startswith("Uncaught here: JSONDecodeError: Expecting property name")
    assert "decoder.py:" in first and "\n" not in first and "/json" not in first and str(REPOSITORY) not in first
    assert "Traceback" in other


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
