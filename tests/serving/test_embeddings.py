"""The Embeddings page: through Streamlit's harness, and its linked panels in a browser."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Page
from streamlit.testing.v1 import AppTest

import ui.panels.remains
from tests.conftest import Scripted, Visitor, named, opened_app
from unlearn_core.maps.projection import Float32
from unlearn_core.progress import Progress
from unlearn_core.serving import embedding

Opened = Callable[..., AppTest]


def settle(test: AppTest) -> AppTest:
    """Run again, as the progress bar's fragment would, until everything is there."""
    while any(button.label == "Cancel" for button in test.button):
        time.sleep(0.2)
        test.run()
    return test


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Iterator[Opened]:
    """Open the page at an address, without the section below it, which has tests of its own."""
    monkeypatch.setattr(ui.panels.remains, "remains", lambda *given: None)
    made: list[AppTest] = []

    def open_at(**address: str) -> AppTest:
        test = opened_app()
        for name, value in address.items():
            test.query_params[name] = value
        made.append(settle(test.run()))
        return settle(test.switch_page("pages/embeddings.py").run())

    yield open_at
    for test in made:
        assert not test.exception


def headings(test: AppTest) -> list[str]:
    """The page's own: the verdict stands before them."""
    return [m.value.removeprefix("#### ") for m in test.markdown if m.value.startswith("#### ")][1:]


def said(test: AppTest) -> str:
    return " ".join(caption.value for caption in test.caption)


def test_the_default_answers_in_one_sentence_and_shows_the_forget_set(opened: Opened) -> None:
    test = opened()
    found = headings(test)
    assert found[0].startswith("The forget set ") and "retrained" in found[0]
    assert found[1].startswith("Forget set: 200 images, the unlearned network gets")
    assert "placed among their 10 nearest features" in said(test) and "Procrustes" in said(test)
    assert list(test.dataframe[0].value.columns) == ["", "Original", "Retrained", "Unlearned"]
    assert not test.warning and not test.error


def test_layer_map_and_filter_are_kept_in_the_address(opened: Opened) -> None:
    test = opened(layer="block1", map="pca", filter="overly")
    assert headings(test)[1].startswith("Overly forgotten: ") and "of its variance" in said(test)
    assert named(test.selectbox, "view.layer").value == "block1"
    named(test.selectbox, "view.layer").set_value("block3").run()
    settle(test.run())
    assert {name: test.query_params.get(name) for name in ("layer", "map", "filter")} == {
        "layer": None, "map": "pca", "filter": "overly"}


@pytest.mark.parametrize("hostile", ["<script>", "norm.weight", "9" * 200])
def test_a_hostile_address_is_answered_in_sentences(opened: Opened, hostile: str) -> None:
    test = opened(layer=hostile, map=hostile, filter=hostile)
    warned = " ".join(w.value for w in test.warning)
    assert all(f"{name}: one of" in warned for name in ("layer", "map", "filter")) and "<script>" not in warned
    assert headings(test)[0].startswith("The forget set ")


def test_another_network_is_shown_at_its_last_layer_without_a_complaint(opened: Opened) -> None:
    test = opened(layer="block1")
    test.session_state["lacuna"].network = "small-vit"
    settle(test.run())
    assert named(test.selectbox, "view.layer").value == "norm" and not test.warning


def test_several_classes_have_two_panels_and_say_so(opened: Opened) -> None:
    test = opened(forget="0,6", plain="1")
    assert headings(test)[0].startswith("The forget set's neighbourhoods: ")
    assert [m.value for m in test.markdown if m.value in ("**Original**", "**Retrained**", "**Unlearned**")] == [
        "**Original**", "**Unlearned**"]
    assert len(test.get("plotly_chart")) == 2 and "Procrustes" not in said(test)


def test_selected_images_come_as_a_wall_and_nonsense_selects_none(opened: Opened) -> None:
    test = opened()
    for rows, heading in (([3, 1500], "Selected: 2 images"), ([-1, 99999, "x", None], "Forget set: 200 images"),
                          ("all", "Forget set: 200 images"), (list(range(60)), "Selected: 60 images")):
        test.session_state["embedding"] = {"selected": {"rows": rows}}
        assert headings(test.run())[1].startswith(heading)
    assert "24 of 60, evenly taken" in said(test)


def test_a_refit_shows_progress_can_be_cancelled_and_takes_the_maps_place(
        opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    go, fits = threading.Event(), []

    def fit(features: Float32, seed: int, progress: Progress) -> Float32:
        fits.append(len(features))
        while not go.wait(0.05):
            progress(0.4, "epoch 80 of 200")
        return np.random.default_rng(seed).random((len(features), 2), np.float32)

    monkeypatch.setattr(embedding, "fit_together", fit)
    test = opened(forget="5")

    def press(label: str) -> None:
        next(button for button in test.button if button.label == label).click().run()

    press("Refit together")
    time.sleep(0.3)
    told = [progress.proto.text for progress in test.run().get("progress")]
    assert told == ["Fitting one UMAP to all networks: epoch 80 of 200"] and "placed among" in said(test)  # it stays
    press("Cancel")
    test.run()
    assert [button.label for button in test.button if button.label in ("Cancel", "Refit together")] == [
        "Refit together"]
    go.set()
    press("Refit together")
    settle(test.run())
    assert fits == [6000, 6000] and "fitted just now to the features of all 3 networks" in said(test)
    press("Undo refit")
    assert "placed among" in said(test)


# -- in a browser -----------------------------------------------------------------------------------------------

def ready(page: Page) -> dict[str, Any]:
    page.wait_for_selector('[data-testid="map-unlearned"][data-shown]', timeout=60_000)
    box = page.locator('[data-testid="map-original"]').bounding_box()
    assert box is not None
    return box


@pytest.mark.browser
def test_panels_are_linked_a_click_opens_a_card_and_a_lasso_selects(
        address: str, visitor: Callable[..., Visitor]) -> None:
    one = visitor(reduced_motion="reduce")
    page = one.page
    page.goto(f"{address}/embeddings?filter=forget")
    box = ready(page)

    def marked() -> list[str | None]:
        page.wait_for_timeout(100)
        return [page.get_attribute(f'[data-testid="map-{role}"]', "data-marked")
                for role in ("original", "retrained", "unlearned")]

    page.focus('[data-testid="map-retrained"]')
    page.keyboard.press("ArrowRight")
    assert len(set(marked())) == 1 and "-1" not in marked()
    page.keyboard.press("Enter")
    page.wait_for_selector('[data-testid="card"]:not([hidden])')
    card = page.inner_text('[data-testid="card"]')
    assert all(voice in card for voice in ("T-shirt", "Before", "Retrained", "After"))
    page.keyboard.press("Escape")
    page.wait_for_selector('[data-testid="card"]', state="hidden")

    page.click('[data-testid="zoom"]')
    page.wait_for_selector("text=follow in a moment", state="detached", timeout=60_000)  # the words above may move it
    page.locator('[data-testid="map-original"]').evaluate("map => map.scrollIntoView({ block: 'center' })")
    box = page.locator('[data-testid="map-original"]').bounding_box()
    assert box
    page.mouse.move(box["x"] + 3, box["y"] + 3)
    page.mouse.down()
    for x, y in ((0.5, 0.01), (0.5, 0.99), (0.01, 0.99)):
        page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"], steps=4)
    page.mouse.up()
    page.wait_for_selector("text=/Selected: \\d+ images?, the unlearned network gets/")
    shown = {page.get_attribute(f'[data-testid="map-{role}"]', "data-shown")
             for role in ("original", "retrained", "unlearned")}
    assert len(shown) == 1 and 0 < int(shown.pop() or 0) < 200
    page.click('[data-testid="clear"]')
    page.wait_for_selector("text=/Forget set: 200 images/")

    page.fill('[data-testid="way"]', "0")
    page.wait_for_selector("text=as the original")
    page.click('[data-testid="play"]')
    page.wait_for_selector("text=/^\\d+ of 200 right$/ >> nth=2", timeout=10_000)
    assert not one.complaints


@pytest.mark.browser
def test_the_lasso_and_the_zoom_agree_with_plain_geometry(scripted: Scripted) -> None:
    page = scripted("map", "embedding/geometry.js")
    corner = "[[0, 0], [4, 0], [4, 1], [1, 1], [1, 4], [0, 4]]"  # an L
    inside = page.evaluate(f"[[0.5, 3], [3, 0.5], [2, 2], [-1, 0.5], [5, 0.5]].map((p) => map.within({corner}, ...p))")
    assert inside == [True, True, False, False, False]
    part = page.evaluate("map.partAround([[0.2, 0.6, 0.4, 0.7, 0.9, 0.9]], [0, 1])")
    assert part["size"] == pytest.approx(0.22, abs=1e-6)
    assert (part["left"], part["low"]) == (pytest.approx(0.19, abs=1e-6), pytest.approx(0.54, abs=1e-6))
