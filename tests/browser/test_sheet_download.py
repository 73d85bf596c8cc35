"""The evidence sheet of the present choice, downloaded as a visitor does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Visitor
from unlearn_core.picture import gallery
from unlearn_core.sheet import verify

pytestmark = pytest.mark.browser


def test_the_sheet_the_data_and_the_weights_are_those_of_the_verdict_on_the_page(
        address: str, visitor: Callable[..., Visitor], tmp_path: Path) -> None:
    one = visitor(accept_downloads=True)
    page = one.open(f"{address}/?v=1&alpha=10")
    one.gauge("forget")
    said = page.locator("h4").first.inner_text()
    page.get_by_role("button", name="Evidence sheet").click()
    for name in ("Sheet to print (HTML)", "Its data (JSON)", "Weights (safetensors)"):
        with page.expect_download() as download:
            page.get_by_role("button", name=name).click()
        given = download.value.suggested_filename
        assert given.startswith("lacuna-")
        download.value.save_as(tmp_path / f"sheet{Path(given).suffix}")
    found = verify.load(tmp_path / "sheet.json")
    assert found["reading"]["finding"] == said and found["procedure"]["settings"]["alpha"] == 10
    assert found["artefacts"]["after"]["file_sha256"] == verify.sha256(tmp_path / "sheet.safetensors")
    with page.expect_download() as download:
        page.get_by_role("button", name="Live picture, one file (HTML)").click()
    download.value.save_as(tmp_path / "picture.html")
    what = gallery.about(tmp_path / "picture.html")
    assert what is not None and what["verdict"] == said and what["settings"]["alpha"] == 10
    page.goto((tmp_path / "sheet.html").as_uri())
    assert said in page.inner_text("main") and found["artefacts"]["after"]["file_sha256"] in page.inner_text("main")
    assert not one.complaints
