"""Make the README's pictures from the running app: `make screenshots`."""

from __future__ import annotations

from playwright.sync_api import sync_playwright

from tests.conftest import CHROMIUM, FLAGS, REPOSITORY, Visitor, start_server

if __name__ == "__main__":
    process, address = start_server({})
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
            one = Visitor(browser)
            one.open(address)
            one.page.wait_for_timeout(1500)
            one.page.screenshot(path=REPOSITORY / "assets" / "screenshot.png")
            one.page.goto(f"{address}/compare")
            one.page.wait_for_selector(".js-plotly-plot .main-svg")
            one.page.wait_for_timeout(3000)
            one.page.screenshot(path=REPOSITORY / "assets" / "compare.png")
            browser.close()
    finally:
        process.kill()
