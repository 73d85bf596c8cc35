"""Figures taken along from a page: what they show, how to read it and where it is from is in the file."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest
from PIL import Image

from tests.conftest import Visitor
from unlearn_core.serving.choice import choice
from unlearn_core.serving.fields import permalink
from unlearn_core.subjects import openings

pytestmark = pytest.mark.browser
SVG = "{http://www.w3.org/2000/svg}"


def test_a_figure_is_saved_with_caption_source_and_key(
        address: str, visitor: Callable[..., Visitor], tmp_path: Path) -> None:
    one = visitor(accept_downloads=True)
    page = one.open(f"{address}/?v=1&alpha=10")
    one.gauge("forget")
    page.wait_for_selector(".js-plotly-plot .main-svg")
    verdict = page.locator("h4").first.inner_text()
    page.get_by_role("button", name="Evidence sheet").click()
    files = {}
    for kind in ("SVG", "PNG"):
        button = page.get_by_role("button", name=f"Who else was hurt? as {kind}")
        with page.expect_download() as download:
            button.click()
        files[kind] = tmp_path / download.value.suggested_filename
        download.value.save_as(files[kind])
    opens = openings.start("small-resnet", choice("small-resnet", (0,), "ssd", {}).forget, "ssd")
    chosen = choice("small-resnet", (0,), "ssd", opens | {"alpha": 10})
    drawn = ElementTree.parse(files["SVG"]).getroot()
    said = drawn.findtext(f"{SVG}desc") or ""
    assert drawn.findtext(f"{SVG}title") == "Who else was hurt?" and said.startswith("How to read this: bars to the")
    assert "most affected retained class is" in said, "in words, for who cannot see it"
    assert f"On the page “{page.title()}” of Lacuna, beside this choice: SSD on Small ResNet" in said
    assert verdict in said and chosen.key in said and permalink(chosen) in said
    seen = "".join(text.text or "" for text in drawn.findall(f"{SVG}text"))  # not only for machines
    assert seen.replace(" ", "") == ("Who else was hurt?" + said).replace(" ", "").replace("\n", "")
    labels = {"".join(text.itertext()) for text in drawn.iter(f"{SVG}text")}
    assert {"Trouser", "retrained", "change in test accuracy (points)"} <= labels
    width, height = (float(drawn.get(side, "nan")) for side in ("width", "height"))
    with Image.open(files["PNG"]) as picture:
        assert picture.size == (int(2 * width), int(2 * height)) and len(picture.convert("RGB").getcolors(1 << 20)) > 9
    assert chosen.key in files["SVG"].name and not one.complaints


def test_a_canvas_is_saved_with_its_pixels_and_its_words(
        address: str, visitor: Callable[..., Visitor], tmp_path: Path) -> None:
    one = visitor(accept_downloads=True)
    page = one.open(address)
    page.wait_for_selector(".js-plotly-plot .main-svg")
    page.get_by_role("button", name="Evidence sheet").click()
    offered = page.locator(".lacuna-figures li > span:first-child")
    page.get_by_role("button", name="Which weights change? as SVG").wait_for()
    assert {"How hard should it forget?", "Which weights change?", "Before", "After"} <= set(offered.all_inner_texts())
    assert "Did it forget, and at what cost?" not in offered.all_inner_texts(), "tracks are no figures"
    with page.expect_download() as download:
        page.get_by_role("button", name="Which weights change? as SVG").click()
    download.value.save_as(tmp_path / "heat.svg")
    drawn = ElementTree.parse(tmp_path / "heat.svg").getroot()
    image = drawn.find(f"{SVG}image")
    assert image is not None
    with Image.open(io.BytesIO(base64.b64decode((image.get("href") or "").split(",", 1)[1]))) as pixels:
        assert len(pixels.convert("RGB").getcolors(1 << 20)) > 9
    said = drawn.findtext(f"{SVG}desc") or ""
    assert drawn.findtext(f"{SVG}title") == "Which weights change?" and said.startswith("A row is a layer")
    assert "beside this choice: SSD on Small ResNet" in said and not one.complaints
