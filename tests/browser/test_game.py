"""Play the attacker in a browser, by keyboard alone."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.conftest import Visitor

pytestmark = pytest.mark.browser


def test_the_attacker_is_played_by_keyboard_alone(address: str, visitor: Callable[..., Visitor]) -> None:
    one = visitor()
    page = one.page
    page.goto(f"{address}/learn?lesson=attacker&step=5")
    game = page.locator(".lacuna-game")
    images = game.locator(".wall button")
    images.nth(19).wait_for(timeout=60_000)
    game.get_by_role("button", name="1 By eye").focus()
    seen: set[str] = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        label = page.evaluate("""() => { let e = document.activeElement; while (e.shadowRoot) e = e.shadowRoot
            .activeElement; return e.getAttribute('aria-label') || e.textContent; }""")
        if label.startswith("Image") and len(seen) < 10:
            page.keyboard.press("Space")
            seen.add(label)
        if label == "Check":
            page.keyboard.press("Enter")
            break
    assert len(seen) == 10
    said = game.get_by_test_id("said")
    expect(said).to_have_text(re.compile(r"\d+ of 20 right. A coin reaches 10."))
    assert game.locator("[data-truth='trained on']").count() == 10
    before = [image.get_attribute("src") for image in game.locator("img").all()]

    game.get_by_role("button", name="2 By its confidence").press("Enter")
    game.get_by_role("slider").focus()
    for _ in range(7):
        page.keyboard.press("ArrowRight")
    expect(game.locator(".wall button[aria-pressed='true']")).to_have_count(7)
    assert "the 7 surest" in game.locator("output").inner_text()
    score = said.inner_text().removesuffix(" right.")
    assert re.fullmatch(r"\d+ of 20", score) and score in game.locator("tbody tr").nth(2).inner_text()

    assert "…" in game.locator("tbody tr").nth(3).inner_text(), "LiRA shows its cards last"
    game.get_by_role("button", name="3 Against LiRA").press("Enter")
    for name in ("The original", "After SSD", "Retrained without them"):
        game.get_by_role("button", name=name).press("Enter")
        expect(game.locator(".networks [aria-pressed='true']")).to_have_text(name)
        assert re.fullmatch(r"LiRA has \d+ of 20 right.", said.inner_text())
    assert len(re.findall(r"\d+ of 20", game.locator("tbody tr").nth(3).inner_text())) == 3

    game.get_by_role("button", name="Other images").press("Enter")
    page.wait_for_function("""(old) => { const find = (root) => root.querySelector('.lacuna-game') ||
        [...root.querySelectorAll('*')].map((e) => e.shadowRoot && find(e.shadowRoot)).find(Boolean);
        return find(document).querySelector('img').src !== old; }""", arg=before[0])
    expect(game.locator("[data-truth='trained on']")).to_have_count(0)
    assert not one.complaints
