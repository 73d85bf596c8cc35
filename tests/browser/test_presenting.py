"""In front of a room: type that the last row reads, the remote control, hidden controls, and browsers that follow."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.conftest import Visitor

pytestmark = pytest.mark.browser
SMALL = """() => { const found = []; const walk = (root) => { for (const e of root.querySelectorAll('*')) {
    if (e.shadowRoot) walk(e.shadowRoot);
    if (![...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim())) continue;
    const box = e.getBoundingClientRect(), style = getComputedStyle(e);
    if (!e.getClientRects().length || box.width < 2 || style.visibility === 'hidden') continue;
    const size = parseFloat(style.fontSize) * e.currentCSSZoom;
    if (size < 16) found.push(`${size} ${e.textContent.trim().slice(0, 40)}`); } };
    walk(document); return found; }"""
PENS = """() => { const set = Object.getOwnPropertyDescriptor(CanvasRenderingContext2D.prototype, 'font');
    window.pens = []; Object.defineProperty(CanvasRenderingContext2D.prototype, 'font', { get: set.get, set(font) {
    if (this.canvas.getRootNode().host) window.pens.push(parseFloat(/([0-9.]+)px/.exec(font)[1]) *
        this.canvas.currentCSSZoom); // tables measure on canvases that nobody sees
    set.set.call(this, font); } }); }"""


@pytest.mark.parametrize("where", ["", "learn?lesson=ssd&step=1&", "privacy?"])
def test_nothing_in_front_of_a_room_is_smaller_than_sixteen_pixels(
        address: str, visitor: Callable[..., Visitor], where: str) -> None:
    one = visitor()
    page = one.page
    page.set_viewport_size({"width": 1280, "height": 720})
    page.add_init_script(f"({PENS})()")
    page.goto(f"{address}/{where or '?'}present=1")
    page.locator("canvas").first.wait_for(timeout=60_000)
    page.wait_for_timeout(1500)
    assert page.evaluate(SMALL) == []
    assert min(page.evaluate("window.pens") or [16]) >= 16
    expect(page.get_by_test_id("stSidebar")).to_be_hidden()
    assert not one.complaints


def test_a_remote_control_turns_pictures_steps_and_leaves(address: str, visitor: Callable[..., Visitor]) -> None:
    one = visitor()
    page = one.page
    page.set_viewport_size({"width": 1280, "height": 720})
    page.goto(f"{address}/learn?lesson=ssd&step=1&present=1")
    page.get_by_text("What α selects", exact=True).wait_for(timeout=60_000)
    page.locator("canvas").first.wait_for(timeout=60_000)
    page.wait_for_timeout(3000)
    top = page.get_by_test_id("stMain")
    page.keyboard.press("PageDown")
    assert 0 < top.evaluate("e => e.scrollTop") < 720
    page.keyboard.press("PageUp")
    assert top.evaluate("e => e.scrollTop") == 0
    for _ in range(30):
        page.keyboard.press("PageDown")
        page.wait_for_timeout(150)
        if "step=1" not in page.url:
            break
    assert "step=1" not in page.url and "present=1" in page.url  # a press more may have gone on to the third
    page.keyboard.press("Escape")
    expect(page.get_by_test_id("stSidebar")).to_be_visible(timeout=20_000)
    expect(page).to_have_url(re.compile(r"^(?!.*present=1).*step=[23]"))


def test_an_address_takes_controls_away(address: str, visitor: Callable[..., Visitor]) -> None:
    one = visitor()
    page = one.open(f"{address}/?hide=alpha,heat,presets,nonsense")
    assert "`nonsense`" not in page.inner_text("body") and page.get_by_text("hide: some of network").count() == 1
    assert page.locator(".st-key-ssd-alpha").is_hidden() and page.locator(".st-key-ssd-lambda").is_visible()
    assert page.locator(".st-key-presets").is_hidden()
    assert page.get_by_test_id("heat").is_hidden() and page.get_by_test_id("before").is_visible()
    assert "hide=alpha%2Cheat%2Cpresets" in page.url


def test_those_who_follow_see_what_the_presenter_shows_and_cannot_move_it(
        address: str, visitor: Callable[..., Visitor]) -> None:
    first, second = visitor(), visitor()
    page = first.open(address)
    page.get_by_text("Present", exact=True).click()
    page.get_by_text("Follow me").click()
    code = page.locator("code", has_text="follow=")
    code.wait_for(timeout=30_000)
    join = code.inner_text().strip()
    other = second.open(join)
    page.get_by_role("button", name="Catastrophic").click()
    expect(other).to_have_url(re.compile("alpha=0.3"), timeout=30_000)
    assert "follow=" in other.url
    other.get_by_role("button", name="Too weak").click()
    other.wait_for_timeout(4000)
    assert "alpha=0.3" in page.url, "who follows moves nothing of the presenter's"
    page.get_by_role("link", name="Attacker").click()
    expect(other).to_have_url(re.compile(r"/privacy\\?.*alpha=0.3"), timeout=40_000)
    page.get_by_text("which of twenty").wait_for(timeout=60_000)
    page.get_by_text("Present", exact=True).click()
    expect(page.get_by_label("Follow me")).to_be_checked(timeout=20_000)
    page.wait_for_timeout(1000)
    page.get_by_text("Follow me").click()
    expect(page.get_by_label("Follow me")).not_to_be_checked(timeout=20_000)
    other.get_by_text("nobody presents").wait_for(timeout=30_000)
    assert "follow=" not in other.url
