"""The live picture in a notebook: the kernel answers a release, and the browser shows it as exact."""

from __future__ import annotations

import base64
import json

import pytest
from playwright.sync_api import Browser

from unlearn_core.picture.widget import LivePicture
from unlearn_core.serving.choice import choice

SSD = choice("small-resnet", (0,), "ssd", {"alpha": 4.64, "lambda": 0.3})
# What anywidget's own frontend does: traits by name, and events when the kernel has changed one.
NOTEBOOK = """async ([script, style, traits]) => {
    document.head.append(Object.assign(document.createElement("style"), { textContent: style }));
    const unpacked = (held) => ({ ...held, files: Object.fromEntries(Object.entries(held.files).map(([path, text]) =>
        [path, new DataView(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer)])) });
    let held = unpacked(traits);
    const heard = {};
    window.sent = [];
    const model = { get: (name) => held[name], set: (name, value) => { held[name] = value; },
        save_changes: () => window.sent.push(held.point), on: (name, call) => { heard[name] = call; }, off: () => {} };
    window.answer = (now) => { held = unpacked(now); heard["change:told"](); };
    const module = await import(URL.createObjectURL(new Blob([script], { type: "text/javascript" })));
    const el = document.body.appendChild(document.createElement("div"));
    window.end = module.default.render({ model, el });
}"""


def traits(live: LivePicture) -> dict[str, object]:
    """As they travel."""
    return {"told": json.loads(json.dumps(live.told)), "verdict": live.verdict, "point": live.point,
            "pictures": live.pictures,
            "files": {path: base64.b64encode(blob).decode() for path, blob in live.files.items()}}


@pytest.mark.browser
def test_a_release_is_answered_by_the_kernel(chromium: Browser) -> None:
    live, page = LivePicture(SSD), chromium.new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda message: message.type == "error" and complaints.append(message.text))
    page.evaluate(NOTEBOOK, [live._esm, live._css, traits(live)])
    page.wait_for_selector('[data-testid="gauge-forget"][data-exact="true"]')
    page.wait_for_selector('[data-testid="after"][data-exact="true"]')
    assert page.get_by_role("status").first.inner_text() == live.verdict

    slider = page.locator('[data-testid="alpha"]')
    for _ in range(12):
        slider.press("ArrowRight")
    page.wait_for_selector('[data-testid="gauge-forget"][data-exact="false"]')
    assert page.locator("p.former").count() == 1, "what is said is not said of this point"
    point = page.evaluate("window.sent.at(-1)")
    before = live.verdict
    live.point = point
    assert dict(live.chosen.settings)["alpha"] == point["alpha"] > 6 and live.verdict != before
    page.evaluate("(now) => window.answer(now)", traits(live))
    page.wait_for_selector('[data-testid="gauge-forget"][data-exact="true"]')
    page.wait_for_selector('[data-testid="after"][data-exact="true"]')
    assert page.locator("p.former").count() == 0 and page.get_by_role("status").first.inner_text() == live.verdict
    shown = float(page.get_attribute('[data-testid="gauge-forget"]', "data-value") or "nan")
    assert shown == live.told["gauges"][0]["settled"]
    page.evaluate("window.end()")
    assert not complaints
    page.close()


def test_a_point_that_cannot_be_is_refused_and_nothing_is_lost() -> None:
    live = LivePicture(choice("small-resnet", (0,), "head_zeroing", {}))
    told = live.told
    assert told["alpha"] is None and live.verdict.startswith("Hidden")
    with pytest.raises(ValueError, match="alpha"):
        live.point = {"alpha": 3.0}
    assert live.told is told and live.chosen.method == "head_zeroing"
