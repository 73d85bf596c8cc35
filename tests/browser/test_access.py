"""Who sees badly, uses a keyboard, or holds a phone: every page in both themes, by axe; and nothing jumps."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

from tests.conftest import REPOSITORY, Visitor

pytestmark = pytest.mark.browser
PAGES = ["", *sorted(file.stem for file in (REPOSITORY / "pages").glob("*.py") if file.stem != "playground")]
JUMPS = """window.jumps = []; new PerformanceObserver((list) => { for (const entry of list.getEntries()) {
    if (!entry.hadRecentInput) window.jumps.push([entry.value, entry.sources.map((s) =>
        `${(s.node?.getAttribute?.('data-testid') || s.node?.className) ?? s.node?.nodeName}: ` +
        `${s.previousRect.top} to ${s.currentRect.top}`)]); }
    }).observe({ type: 'layout-shift', buffered: true });"""
MOST = 0.05  # what is called good


def opened(address: str, visitor: Callable[..., Visitor], name: str, **options: object) -> Page:
    one = visitor(**options)
    one.page.set_viewport_size({"width": 1440, "height": 900})
    one.page.add_init_script(JUMPS)
    one.page.goto(f"{address}/{name}")
    one.page.get_by_text("a press explains").wait_for(timeout=120_000)
    one.page.wait_for_timeout(1500)
    return one.page


def serious(page: Page) -> list[tuple[str, object, str]]:
    """What axe calls serious or worse: the rule, where, and why."""
    return [(each["id"], node["target"], node["failureSummary"]) for each in Axe().run(page).response["violations"]
            for node in each["nodes"] if each["impact"] in ("serious", "critical")]


@pytest.mark.parametrize(("name", "theme"), [
    (name, theme) if theme == "light" or name in ("", "compare") else pytest.param(name, theme, marks=pytest.mark.slow)
    for name in PAGES for theme in ("light", "dark")])
def test_axe_finds_nothing_serious(address: str, visitor: Callable[..., Visitor], name: str, theme: str) -> None:
    page = opened(address, visitor, name, color_scheme=theme)
    if serious(page):
        page.wait_for_timeout(3000)  # a run of the page was just putting its own styles anew
    assert not serious(page)


@pytest.mark.slow  # on a busy machine a page's parts come in another order, and some push others aside
@pytest.mark.parametrize("name", PAGES)
def test_nothing_jumps_while_a_page_is_loaded(address: str, visitor: Callable[..., Visitor], name: str) -> None:
    page = opened(address, visitor, name)
    jumps = page.evaluate("window.jumps")
    assert sum(value for value, _ in jumps) <= MOST, sorted(jumps, reverse=True)[:3]


def test_nothing_jumps_while_the_ring_is_dragged(address: str, visitor: Callable[..., Visitor]) -> None:
    page = opened(address, visitor, "")
    page.get_by_test_id("pad").scroll_into_view_if_needed()
    page.evaluate("window.jumps = []")
    box = page.get_by_test_id("pad").bounding_box()
    assert box
    page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 0.4 * box["height"])
    page.mouse.down()
    for share in (0.3, 0.7, 0.2, 0.6):
        page.mouse.move(box["x"] + share * box["width"], box["y"] + share * box["height"], steps=8)
        page.wait_for_timeout(120)
    assert page.evaluate("window.jumps") == []
    page.mouse.up()


def test_a_phone_shows_class_method_and_verdict_at_once(address: str, visitor: Callable[..., Visitor]) -> None:
    one = visitor(is_mobile=True, has_touch=True)
    page = one.page
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(address)
    page.get_by_text("a press explains").wait_for(timeout=120_000)
    page.wait_for_timeout(800)
    for words in (page.get_by_text("T-shirt").first, page.locator(".st-key-headline h4"),
                  page.get_by_text("SSD").locator("visible=true").first):
        box = words.bounding_box()
        assert box and box["y"] >= 0 and box["y"] + box["height"] <= 844, words
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
