"""The running app in a real browser."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY, Serve, Visitor
from ui.state import DEFAULT

pytestmark = pytest.mark.browser
OPACITIES = """() => { const all = (root, found) => { for (const e of root.querySelectorAll('*')) {
    if (e.matches('.page.former, .st-key-former')) found.push(getComputedStyle(e).opacity);
    if (e.shadowRoot) all(e.shadowRoot, found); } return found; };
    return all(document, []); }"""


def drag_pad(one: Visitor, to: tuple[float, float], release: bool = True) -> None:
    box = one.page.locator('[data-testid="pad"]').bounding_box()
    assert box
    one.page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 0.4 * box["height"])
    one.page.mouse.down()
    one.page.mouse.move(box["x"] + to[0] * box["width"], box["y"] + to[1] * box["height"], steps=6)
    one.page.wait_for_timeout(100)
    if release:
        one.page.mouse.up()


def test_a_deep_link_to_every_page_on_a_cold_server(serve: Serve, visitor: Callable[..., Visitor]) -> None:
    address = serve()
    one = visitor()
    one.page.goto(f"{address}/methods?forget=3")
    one.page.wait_for_selector("text=A network is asked to forget", timeout=60_000)
    assert one.page.locator('text="Attacker"').count() == 1, "the app's own navigation"
    one.page.locator("section").get_by_text("Dress").first.wait_for()  # the address was read
    one.open(f"{address}/?alpha=2")
    assert one.page.get_attribute('[data-testid="alpha"]', "aria-valuetext") == "α 2.0"
    assert not one.complaints


def test_the_default_page_is_finished_and_interesting(address: str, visitor: Callable[..., Visitor]) -> None:
    one = visitor()
    page = one.open(address)
    assert one.gauge("forget") < 0.1 < 0.85 < one.gauge("retain"), "forgotten, and the rest is kept"
    assert page.locator("text=Forgotten").count() >= 1
    assert page.locator('[data-testid="stException"], [data-testid="stAlertContentError"]').count() == 0
    assert not one.complaints


def test_the_scripts_of_charts_are_asked_for_once_the_answer_is_drawn(
        address: str, visitor: Callable[..., Visitor]) -> None:
    one = visitor()
    one.page.add_init_script("""(() => { const find = (root) => root.querySelector('[data-testid="gauge-forget"]')
            ?? [...root.querySelectorAll("*")].reduce((hit, e) => hit ?? (e.shadowRoot && find(e.shadowRoot)), null);
        const look = () => { if (find(document)?.dataset.exact === "true") window.answered = performance.now();
            else requestAnimationFrame(look); };
        requestAnimationFrame(look); })()""")
    page = one.open(address)
    page.wait_for_selector(".js-plotly-plot .main-svg")
    answered, asked = page.evaluate("""[window.answered, performance.getEntriesByType("resource")
        .filter(({ name }) => name.includes("PlotlyChart") && name.endsWith(".js")).map((e) => e.startTime)]""")
    assert len(asked) == 1 and 0 < answered < asked[0]
    assert page.get_by_text("Which layers changed?").count() == 1
    assert not one.complaints


def test_dragging_moves_the_gauges_before_release_and_settles_after(
        address: str, visitor: Callable[..., Visitor]) -> None:
    one = visitor()
    page = one.open(address)
    page.evaluate("""() => { const find = root => root.querySelector('[data-testid="pad"]') ||
        [...root.querySelectorAll('*')].map(e => e.shadowRoot && find(e.shadowRoot)).find(Boolean);
        find(document).marked = true; window.findPad = () => find(document) }""")
    forget, retain = one.gauge("forget"), one.gauge("retain")
    drag_pad(one, (0.25, 0.6), release=False)
    assert page.get_attribute('[data-testid="gauge-retain"]', "data-exact") == "false"
    assert one.gauge("retain") < retain - 0.2, "a low threshold hurts, and the drag alone shows it"
    assert "alpha" not in page.url, "the server was not asked"
    page.mouse.up()
    one.exact()
    page.wait_for_url("**alpha=*")
    assert one.gauge("retain") < retain - 0.2
    assert page.evaluate("() => window.findPad().marked"), "the live view was never rebuilt"
    page.get_by_role("button", name="Undo").click()
    page.wait_for_url(lambda url: "alpha" not in url)
    page.wait_for_selector(f'[data-testid="gauge-retain"][data-exact="true"][data-value="{retain}"]')
    assert one.gauge("forget") == forget
    assert not one.complaints


def test_the_keyboard_alone_moves_a_slider(address: str, visitor: Callable[..., Visitor]) -> None:
    one = visitor()
    page = one.open(address)
    page.locator('[data-testid="alpha"]').focus()
    for _ in range(20):
        page.keyboard.press("ArrowRight")
    page.wait_for_url("**alpha=*")
    one.exact()
    assert float(page.url.split("alpha=")[1].split("&")[0]) > 8
    assert one.gauge("forget") > 0.8, "too weak"


def test_the_address_reproduces_the_page(address: str, visitor: Callable[..., Visitor]) -> None:
    first = visitor()
    first.open(f"{address}/?v=1&network=small-vit&forget=1&method=lfssd&alpha=3&lambda=0.5")
    second = visitor()
    second.open(first.page.url)
    names = ("forget", "retain", "membership")
    assert [first.gauge(n) for n in names] == [second.gauge(n) for n in names]
    assert second.page.get_attribute('[data-testid="lambda"]', "aria-valuetext") == "λ 0.50"
    assert not first.complaints + second.complaints


def test_two_visitors_never_see_each_others_state(address: str, visitor: Callable[..., Visitor]) -> None:
    one, two = visitor(), visitor()
    one.open(f"{address}/?forget=1&alpha=8")
    two.open(f"{address}/?forget=5&alpha=0.5")
    before = two.gauge("retain")
    drag_pad(one, (0.3, 0.5))
    one.page.wait_for_timeout(500)
    one.exact()
    assert two.gauge("retain") == before
    two.page.reload()
    two.exact()
    assert two.gauge("retain") == before and "forget=5" in two.page.url
    assert "forget=1" in one.page.url


@pytest.mark.parametrize("query, said", [
    ("alpha=nan&lambda=inf&spam=" + "x" * 5000, "alpha: a number in [0.1, 100] expected"),
    ("method=%3Cscript%3Ealert(1)%3C/script%3E", "there is no method"),
])
def test_hostile_addresses_get_a_sentence(address: str, visitor: Callable[..., Visitor], query: str, said: str) -> None:
    one = visitor()
    page = one.open(f"{address}/?{query}")
    assert said in page.locator('[data-testid="stAlert"]').first.inner_text()
    assert page.locator('[data-testid="stException"]').count() == 0
    assert not one.complaints


def test_the_plain_view_says_the_same(address: str, visitor: Callable[..., Visitor]) -> None:
    one = visitor()
    page = one.open(f"{address}/?forget=2&alpha=3")
    forget = one.gauge("forget")
    page.get_by_text("Plain view").click()
    page.wait_for_selector('[data-testid="stMetricValue"]')
    assert page.locator('[data-testid="stMetricValue"]').first.inner_text() == f"{100 * forget:.1f}%"
    assert not one.complaints


@pytest.mark.parametrize("how, broken", [("swapped", "networks/small-resnet.safetensors"),
                                         ("truncated", "maps/small-resnet.npz"), ("truncated", "manifest.json")])
def test_a_broken_asset_is_named_and_the_app_still_starts(
        serve: Serve, visitor: Callable[..., Visitor], tmp_path: Path, how: str, broken: str) -> None:
    shutil.copytree(REPOSITORY / "assets", tmp_path / "assets", copy_function=os.link)
    file, other = tmp_path / "assets" / broken, tmp_path / "assets" / "networks/small-vit.safetensors"
    content = other.read_bytes() if how == "swapped" else file.read_bytes()[:1000]
    file.unlink()
    file.write_bytes(content)
    one = visitor()
    one.page.goto(serve(LACUNA_ASSETS=str(tmp_path / "assets")))
    one.page.get_by_test_id("stAlert").filter(has_text=broken).first.wait_for(timeout=60_000)
    assert one.page.locator('[data-testid="stException"]').count() == 0


def test_long_work_shows_progress_keeps_the_picture_and_can_be_cancelled(
        address: str, visitor: Callable[..., Visitor]) -> None:
    one = visitor()
    page = one.open(f"{address}/?forget=4&alpha=3")
    before = one.gauge("retain")
    page.get_by_role("button", name="Official").click()
    page.wait_for_selector("text=/batch \\d+ of/")
    assert one.gauge("retain") == before, "the last picture stays"
    page.get_by_role("button", name="Cancel").click()
    page.wait_for_selector("text=/batch \\d+ of/", state="detached", timeout=5000)
    page.wait_for_url("**alpha=3**")
    assert one.gauge("retain") == before and "unit" not in page.url
    assert page.locator('[data-testid="stException"]').count() == 0 and not one.complaints


def test_a_method_without_sliders_on_the_canvas_and_back(address: str, visitor: Callable[..., Visitor]) -> None:
    one = visitor()
    page = one.open(f"{address}/?method=head_zeroing")
    assert one.gauge("forget") == 0 and not page.locator('[data-testid="pad"]').is_visible()
    page.wait_for_selector('[data-testid="heat"][aria-label*="head"]')  # it is described once its data have come
    page.get_by_role("combobox", name="Method").click()
    page.get_by_role("option", name="SSD · dampening").last.click()
    page.wait_for_selector('[data-testid="pad"]', state="visible")
    one.exact()
    alpha = float(dict(DEFAULT.settings)["alpha"])
    assert page.get_attribute('[data-testid="alpha"]', "aria-valuetext") == f"α {alpha:#.2g}"
    assert not one.complaints


def test_while_another_method_trains_the_last_picture_is_dimmed_and_says_whose_it_is(
        address: str, visitor: Callable[..., Visitor]) -> None:
    one = visitor()
    page = one.open(address)
    before, pad = one.gauge("forget"), page.locator('[data-testid="pad"]')
    at = pad.bounding_box()
    page.get_by_role("combobox", name="Method").click()
    page.keyboard.type("Retrain")
    page.keyboard.press("Enter")
    page.wait_for_selector("text=/epoch \\d+ of 18/", timeout=60_000)
    page.get_by_role("heading", name="Computing Retrain on T-shirt").wait_for()
    page.wait_for_selector("text=The last picture, dimmed: SSD on T-shirt, Small ResNet, α 4.64, λ 0.3")
    page.wait_for_selector(".page.former")
    assert page.evaluate(OPACITIES) == ["0.45", "0.45"], "the live view and what stands below it"
    assert one.gauge("forget") == before and page.locator("text=of SSD on T-shirt").count() == 2
    assert page.locator("text=/^exact$/").count() == 0 and page.locator('[data-exact="true"]').count() == 0
    assert page.locator("text=Forgotten at no").count() == 0, "its verdict is gone"
    assert "method=retrain" in page.url
    now = pad.bounding_box()
    assert at and now and abs(now["y"] - at["y"]) < 4, "nothing jumps"
    drag_pad(one, (0.25, 0.6))
    assert page.get_attribute('[data-testid="alpha"]', "aria-valuetext") == "α 4.6", "it is no control any more"
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Cancel").wait_for(state="detached")
    one.exact()
    assert one.gauge("forget") == before and "method" not in page.url and "alpha" not in page.url
    assert page.get_by_role("combobox", name="Method").input_value() == "SSD · dampening"
    page.wait_for_selector("text=The picture: SSD on T-shirt")
    assert page.locator(".page.former, [class*=st-key-former]").count() == 0
    assert not one.complaints


def test_a_method_that_cannot_serve_leaves_no_other_ones_picture(
        address: str, visitor: Callable[..., Visitor]) -> None:
    one = visitor()
    page = one.open(f"{address}/?network=small-vit")
    page.get_by_role("combobox", name="Method").click()
    page.keyboard.type("Amnesiac")
    page.keyboard.press("Enter")
    page.wait_for_selector("text=cannot be used here")
    page.locator('[data-testid="pad"]').wait_for(state="detached")
    assert "method=amnesiac" in page.url
    page.get_by_role("button", name="Back to SSD on T-shirt").click()
    one.exact()
    assert "method" not in page.url and not one.complaints


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_compare_page_draws_everything(address: str, visitor: Callable[..., Visitor], scheme: str) -> None:
    one = visitor(color_scheme=scheme)
    page = one.page
    page.goto(f"{address}/compare?forget=6&pair=unsir,pgu")
    page.wait_for_function("document.querySelectorAll('.js-plotly-plot').length >= 8", timeout=60_000)
    page.wait_for_selector("text=Verdicts on")
    page.wait_for_selector('[data-testid="stDataFrame"]')  # it comes after the charts when the machine is busy
    page.get_by_role("combobox", name="Right").click()
    page.keyboard.type("Head zeroing")  # the list draws only the options in sight
    page.keyboard.press("Enter")
    page.wait_for_url("**pair=unsir*head_zeroing**")
    assert page.locator('[data-testid="stException"]').count() == 0 and not one.complaints


def test_a_comparison_can_be_recomputed_and_cancelled(address: str, visitor: Callable[..., Visitor]) -> None:
    one = visitor()
    page = one.page
    page.goto(f"{address}/compare?forget=3")
    page.wait_for_selector("text=images at hand", timeout=60_000)  # with the verdict the page runs once more
    page.get_by_role("button", name="Recompute now").click(timeout=60_000)
    page.wait_for_selector("text=Running every method", timeout=30_000)
    page.wait_for_selector("text=Precomputed for")  # the last picture stays
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Cancel").wait_for(state="detached")
    page.wait_for_selector("text=Verdicts on")
    assert not one.complaints


SHOW = '[data-testid="show"]'


def test_just_show_me_glides_and_any_key_stops_it(address: str, visitor: Callable[..., Visitor]) -> None:
    one = visitor()
    page = one.open(address)
    page.click(SHOW)
    page.wait_for_function("""() => { const find = (root) => root.querySelector('[data-testid="show"]') ||
        [...root.querySelectorAll('*')].map((e) => e.shadowRoot && find(e.shadowRoot)).find(Boolean);
        return find(document).textContent.includes('sweet spot'); }""", timeout=20_000)
    seen = {page.get_attribute('[data-testid="pad"]', "data-value") for _ in range(4) if not page.wait_for_timeout(700)}
    assert len(seen) > 1, "it moves by itself"
    assert "interpolated" in page.inner_text('[data-testid="status"]') and "alpha" not in page.url
    page.keyboard.press("x")
    page.wait_for_function("""() => { const find = (root) => root.querySelector('[data-testid="show"]') ||
        [...root.querySelectorAll('*')].map((e) => e.shadowRoot && find(e.shadowRoot)).find(Boolean);
        return find(document).textContent.includes('Just show me'); }""")
    one.exact()
    rest = page.get_attribute('[data-testid="pad"]', "data-value")
    page.wait_for_timeout(800)
    assert page.get_attribute('[data-testid="pad"]', "data-value") == rest and not one.complaints


def test_just_show_me_jumps_where_motion_is_not_wanted_and_ends_in_ruin(
        address: str, visitor: Callable[..., Visitor]) -> None:
    one = visitor(reduced_motion="reduce")
    page = one.open(address)
    page.click(SHOW)
    seen = set()
    for _ in range(200):
        seen.add(page.get_attribute('[data-testid="pad"]', "data-value"))
        page.wait_for_timeout(60)
        if "alpha=0.3" in page.url:
            break
    assert seen <= {"7,1", "4.64,0.3", "0.3,0.1"} and len(seen) == 3
    page.get_by_text("Damaged").first.wait_for(timeout=60_000)
