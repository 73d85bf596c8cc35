"""The live picture as one file: opened from the disk with the network off, it moves, says what it is, and no more."""

from __future__ import annotations

import json
import re
from html import escape
from pathlib import Path

import pytest

from tests.conftest import Visitor
from unlearn_core.picture import file
from unlearn_core.picture.file import MOST_BYTES, produce
from unlearn_core.progress import silent
from unlearn_core.serving.choice import choice
from unlearn_core.sheet import words
from unlearn_core.sheet.evidence import outcome, own_engine


@pytest.fixture(scope="module")
def live() -> str:
    """A picture with a landscape: SSD on the first class, where it is bundled."""
    return produce(choice("small-resnet", (0,), "ssd", {"alpha": 4.64, "lambda": 0.3}), silent)


def held(text: str, name: str) -> dict[str, object]:
    found = re.search(rf'<script type="application/json" id="{name}">(.*?)</script>', text, re.DOTALL)
    assert found is not None
    made: dict[str, object] = json.loads(found[1])
    return made


def test_the_file_is_small_holds_what_it_needs_and_may_load_nothing(live: str) -> None:
    assert len(live.encode()) < MOST_BYTES
    what, told, files = held(live, "about"), held(live, "told"), held(live, "files")
    assert set(files) == {told["scene"], told["points"], told["outcome"]} and len(held(live, "pictures")) == 2000
    assert "connect-src data:\">" in live and "default-src 'none'" in live
    assert not re.search(r'(?:src|href)="(?!data:)', live.split("<script")[0])
    chosen = choice("small-resnet", (0,), "ssd", {"alpha": 4.64, "lambda": 0.3})
    assert what["key"] == chosen.key and what["permalink"] == file.permalink(chosen)
    shown = re.sub(r"<script.*?</script>|<style.*?</style>", "", live, flags=re.DOTALL)
    for said in ("verdict", "meaning", "words", "key", "computed_on", "network"):
        assert str(what[said]) in shown, said
    assert not re.search(rf"\b({'|'.join(words.FORBIDDEN)})\b", shown, re.IGNORECASE)


def test_images_for_which_there_is_no_room_are_left_out_and_the_file_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = own_engine()
    scene, settled, audit = outcome(choice("small-resnet", (0,), "head_zeroing", {}))
    monkeypatch.setattr(file, "MOST_BYTES", 400_000)
    made = file.picture(engine, scene, settled, audit)
    pictures = [int(number) for number in held(made, "pictures")]
    assert 200 < len(pictures) < 1000 and len(made.encode()) < 400_000
    rows = scene.seen.evaluation.pictures
    assert set(rows[scene.seen.forgotten].tolist()) <= set(pictures), "those to be forgotten come first"
    assert f"{len(pictures):,} of 2,000 are in this file" in made
    monkeypatch.setattr(file, "MOST_BYTES", 150_000)
    with pytest.raises(ValueError, match="positions of 2,000 images alone are more"):
        file.picture(engine, scene, settled, audit)


@pytest.mark.browser
def test_from_the_disk_without_a_network_it_is_dragged_and_comes_back(
        live: str, tmp_path: Path, visitor: object) -> None:
    (tmp_path / "picture.html").write_text(live, "utf-8")
    one: Visitor = visitor(offline=True)  # type: ignore[operator]
    page = one.page
    page.goto((tmp_path / "picture.html").as_uri())
    one.exact()
    value = {name: page.get_attribute(f'[data-testid="gauge-{name}"]', "data-value")
             for name in ("forget", "retain", "membership")}
    told = held(live, "told")["gauges"]
    assert [float(v or "nan") for v in value.values()] == [gauge["settled"] for gauge in told]  # type: ignore[attr-defined]
    page.wait_for_function("document.querySelector('[data-testid=after]').dataset.exact === 'true'")

    box = page.locator('[data-testid="pad"]').bounding_box()
    assert box is not None
    heat = page.get_attribute('[data-testid="heat"]', "data-value")
    page.mouse.move(box["x"] + 0.8 * box["width"], box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + 40, steps=3)
    page.mouse.up()
    page.wait_for_selector('[data-testid="gauge-forget"][data-exact="false"]')
    assert page.get_attribute("body", "class") == "away", "the verdict is not said of this point"
    assert page.inner_text('[data-testid="status"]') == "≈ interpolated between evaluated points"
    assert page.inner_text('[data-testid="gauge-forget"] output').startswith("≈")
    assert page.get_attribute('[data-testid="gauge-retain"]', "data-value") != value["retain"]
    assert page.get_attribute('[data-testid="heat"]', "data-value") != heat
    page.locator('[data-testid="alpha"]').focus()
    was = page.inner_text('[data-testid="alpha-number"]')
    page.keyboard.press("ArrowRight")
    page.wait_for_function("was => document.querySelector('[data-testid=alpha-number]').innerText !== was", arg=was)

    page.get_by_role("button", name="Back to the evaluated point").click()
    one.exact()
    assert page.get_attribute('[data-testid="gauge-retain"]', "data-value") == value["retain"]
    assert page.get_attribute("body", "class") == ""
    spot = page.locator('[data-testid="before"]')
    size = spot.bounding_box()
    assert size is not None
    for share in [x / 20 for x in range(20)]:  # along the middle, until the pointer is near an image
        spot.hover(position={"x": share * size["width"], "y": 0.5 * size["height"]})
        if page.locator('[data-testid="card"]').is_visible():
            break
    picture = page.locator('[data-testid="card"] img')
    assert (picture.get_attribute("src") or "").startswith("data:image/png;base64,")
    assert picture.evaluate("(image) => image.complete && image.naturalWidth") == 28
    assert not one.complaints


@pytest.mark.browser
def test_in_the_frame_of_a_notebook_it_is_the_same(live: str, visitor: object) -> None:
    one: Visitor = visitor(offline=True)  # type: ignore[operator]
    one.page.set_content(f'<iframe srcdoc="{escape(live)}" width="1200" height="1150"></iframe>')
    frame = one.page.frame_locator("iframe")
    frame.locator('[data-testid="gauge-forget"][data-exact="true"]').wait_for()
    frame.locator('[data-testid="after"][data-exact="true"]').wait_for()
    frame.locator('[data-testid="alpha"]').press("ArrowLeft")
    frame.locator('[data-testid="gauge-forget"][data-exact="false"]').wait_for()
    assert frame.locator('[data-testid="status"]').inner_text().startswith("≈") and not one.complaints


@pytest.mark.browser
def test_a_method_without_a_dial_has_nothing_to_drag(tmp_path: Path, visitor: object) -> None:
    (tmp_path / "still.html").write_text(produce(choice("small-resnet", (0,), "head_zeroing", {}), silent), "utf-8")
    one: Visitor = visitor(offline=True, color_scheme="dark")  # type: ignore[operator]
    one.page.goto((tmp_path / "still.html").as_uri())
    one.exact()
    assert not one.page.locator('[data-testid="pad"]').is_visible()
    assert not one.page.get_by_role("button").count() and not one.complaints
    assert one.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(18, 20, 23)"
