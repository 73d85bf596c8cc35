"""The section of the browser: what a visitor waits for, in a real Chromium."""

from __future__ import annotations

import math
import os
import time
from functools import partial
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page
from tools.bench.core import NETWORKS
from tools.bench.table import machine, row

PAGE = """(() => {
  const find = (id, root = document) => root.querySelector(`[data-testid="${id}"]`) ??
    [...root.querySelectorAll("*")].reduce((hit, e) => hit ?? (e.shadowRoot && find(id, e.shadowRoot)), null);
  const bench = (window.bench = { first: {}, gaps: [] });
  const look = () => {
    if (find("pad")?.dataset.value) bench.first.pad ??= performance.now();
    if (find("gauge-forget")?.dataset.exact === "true") bench.first.exact ??= performance.now();
    if (!bench.first.exact || !bench.first.pad) requestAnimationFrame(look);
  };
  requestAnimationFrame(look);
  bench.arm = () => {
    let released = 0;
    bench.done = {};
    addEventListener("pointerup", (event) => (released = event.timeStamp), { capture: true, once: true });
    for (const id of ["gauge-forget", "after"]) {
      const element = find(id);
      new MutationObserver((_, observer) => {
        if (!released || element.dataset.exact !== "true") return;
        bench.done[id] = performance.now() - released;
        observer.disconnect();
      }).observe(element, { attributes: true, attributeFilter: ["data-exact"] });
    }
  };
  bench.drag = () => {
    window.__lacunaMeasure = bench.dragging = true;
    window.__lacunaFrames = [];
    let last = performance.now();
    const tick = (now) => (bench.gaps.push(now - last), (last = now), bench.dragging && requestAnimationFrame(tick));
    requestAnimationFrame((now) => ((last = now), requestAnimationFrame(tick)));
  };
})()"""


def browser(repeats: int) -> None:
    """What a visitor waits for, in a real Chromium."""
    from playwright.sync_api import sync_playwright

    from tests.conftest import CHROMIUM, FLAGS, start_server

    if CHROMIUM is None:
        print("  chromium is not on PATH: skipped")
        return
    few, cold = max(1, repeats // 5), []
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        machine["chromium"] = f"{chromium.version}, headless, software rendering (--disable-gpu)"
        for _ in range(few):
            start = time.time()
            server, address = start_server({})
            try:
                seen = visit(new_page(chromium), address)
                cold.append((seen["origin"] + max(seen["pad"], seen["exact"])) / 1e3 - start)
                if len(cold) == few:
                    row("cold server start → pad drawn, gauges exact", cold, "s", target=8, remark="browser running")
                    at_rest(server.pid)
                    warm_server(chromium, address, repeats)
            finally:
                server.kill()
                server.wait()
        chromium.close()


def warm_server(chromium: Browser, address: str, repeats: int) -> None:
    """All that is measured on one server that is warm."""
    pages = [new_page(chromium) for _ in range(repeats)]
    for what, visits in (("new visitor, empty cache", [visit(page, address) for page in pages]),
                         ("further tab, same browser", [visit(pages[0].context.new_page(), address) for _ in pages])):
        row(f"warm server, {what}: pad drawn", [v["pad"] / 1e3 for v in visits], "s")
        row(f"warm server, {what}: gauges exact", [v["exact"] / 1e3 for v in visits], "s", target=2)
    for page in pages:
        page.context.close()
    compared = [comparison(new_page(chromium), address) for _ in range(max(1, repeats // 3))]
    row("warm server, Compare page: all charts and the table", compared, "s", target=2)
    drags(new_page(chromium), address, max(1, repeats // 5))
    for network, known, fresh in (("small-resnet", 100, 300), ("small-vit", 100, 600)):
        if network in NETWORKS:
            releases(new_page(chromium), address, network, {"fresh": fresh, "known": known}, repeats)


def at_rest(pid: int) -> None:
    """Wait until a process has used next to no processor time for two seconds."""
    used, before = -1.0, -9.0
    while used - before > 0.1:
        time.sleep(2)
        parts = Path(f"/proc/{pid}/stat").read_text("ascii").rsplit(")", 1)[1].split()
        used, before = sum(map(int, parts[11:13])) / os.sysconf("SC_CLK_TCK"), used


def new_page(chromium: Browser) -> Page:
    """A page of a browser that was never here."""
    page: Page = chromium.new_context(viewport={"width": 1280, "height": 900}).new_page()
    return page


def visit(page: Page, address: str) -> dict[str, float]:
    """Milliseconds from the start of the navigation, taken inside the page, and when that start was."""
    page.add_init_script(PAGE)
    page.goto(address, wait_until="commit")
    page.wait_for_function("bench.first.exact && bench.first.pad", timeout=120_000)
    found: dict[str, float] = page.evaluate("({ ...bench.first, origin: performance.timeOrigin })")
    return found


def comparison(page: Page, address: str) -> float:
    """Seconds until the Compare page has drawn its trade-off, its table and its last chart."""
    start = time.perf_counter()
    page.goto(f"{address}/compare", wait_until="commit")
    page.wait_for_function("document.querySelectorAll('.js-plotly-plot .main-svg').length >= 12 && "
                           "document.querySelector('[data-testid=stDataFrame] canvas')", timeout=60_000)
    took = time.perf_counter() - start
    page.context.close()
    return took


def on_pad(page: Page, u: float, v: float) -> tuple[float, float]:
    """Page coordinates of a place on the pad."""
    box = page.locator('[data-testid="pad"]').bounding_box()
    assert box
    return box["x"] + u * box["width"], box["y"] + v * box["height"]


def drags(page: Page, address: str, repeats: int) -> None:
    """Frames while the ring on the pad is dragged by 150 mouse moves."""
    visit(page, address)
    frames: list[float] = []
    gaps: list[float] = []
    for _ in range(repeats):
        page.wait_for_timeout(1500)
        path = [on_pad(page, 0.5 + 0.4 * math.sin(k / 12), 0.42 + 0.3 * math.sin(k / 7)) for k in range(150)]
        page.mouse.move(*path[0])
        page.mouse.down()
        page.evaluate("bench.drag()")
        for place in path:
            page.mouse.move(*place)
        page.evaluate("bench.dragging = false")
        page.mouse.up()
        frames += page.evaluate("window.__lacunaFrames")
        gaps += page.evaluate("bench.gaps.splice(0)")
    page.context.close()
    for share in (50, 95):
        row(f"drag: script of a frame, p{share}", [f / 1e3 for f in frames], target=16 if share == 95 else None,
            summary=partial(np.percentile, q=share), remark=f"{repeats} drags of 150 moves, 2,000 points; our drawing")
        row(f"drag: frame to frame, p{share}", [g / 1e3 for g in gaps], summary=partial(np.percentile, q=share),
            remark="requestAnimationFrame, with software rasterising; 60 Hz is 16.7 ms")


def releases(page: Page, address: str, network: str, targets: dict[str, int], repeats: int) -> None:
    """From the release of the pad to exact gauges, at fresh points, then at the same points again."""
    visit(page, f"{address}/?network={network}")
    # Where weights are selected (alpha from 0.3 to 8); an additive recurrence keeps neighbours in time apart.
    places = [(0.22 + 0.38 * (0.755 * k % 1), 0.12 + 0.65 * (0.57 * k % 1)) for k in range(repeats + 1)]
    for kind, target in targets.items():
        found = []
        for place in places:
            page.wait_for_timeout(1500)  # the page has come to rest
            page.evaluate("bench.arm()")
            page.mouse.click(*on_pad(page, *place))  # the verdict above the pad may have moved it by a line
            page.wait_for_function("bench.done['gauge-forget'] && bench.done.after", timeout=60_000)
            found.append(page.evaluate("bench.done"))
        del found[0]  # the page's first release also meets code that was never run
        row(f"{network}: release → exact gauges, {kind} point", [f["gauge-forget"] / 1e3 for f in found],
            target=target, remark=f"exact map after {median(f['after'] for f in found):.0f} ms")
    page.context.close()
