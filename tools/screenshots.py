"""Make the README's pictures from the running app: `make screenshots`."""

from __future__ import annotations

from playwright.sync_api import sync_playwright

from tests.conftest import CHROMIUM, FLAGS, REPOSITORY, Visitor, start_server

PAGES = {"compare": ".js-plotly-plot .main-svg", "layers": "[data-testid=layers]",
         "privacy?statistic=lira&forget=6": "[data-testid=attack]",
         "embeddings?forget=1": "[data-testid=map-unlearned]"}
"""The other pages that are shown, and what must be drawn."""

PERSON = "?network=people-resnet&forget=person:0&alpha=2&lambda=0.3"

if __name__ == "__main__":
    process, address = start_server({})
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
            one = Visitor(browser)
            one.open(address)
            one.page.wait_for_selector("text=images at hand")  # the first verdict is not the last
            one.page.wait_for_timeout(1500)
            one.page.screenshot(path=REPOSITORY / "assets" / "screenshot.png")
            one.page.goto(f"{address}/{PERSON}")
            one.page.wait_for_selector("text=images at hand")
            one.page.wait_for_timeout(4000)
            one.page.screenshot(path=REPOSITORY / "assets" / "person.png")
            for path, drawn in PAGES.items():
                one.page.goto(f"{address}/{path}")
                one.page.wait_for_selector(drawn)
                one.page.wait_for_timeout(4000)
                one.page.screenshot(path=REPOSITORY / "assets" / f"{path.partition('?')[0]}.png")
            browser.close()
    finally:
        process.kill()
