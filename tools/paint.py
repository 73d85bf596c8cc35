"""First paint: each page beside an empty Streamlit page, in turns, in a browser that was never here: `make paint`.

Both servers run side by side with the same versions. Ratios are medians of pairs that were taken one after the other,
so that whatever else the machine does weighs on both. Where the time goes is told by what the browser has loaded and
run until then.
"""

from __future__ import annotations

import argparse
import json
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from statistics import median

from playwright.sync_api import Browser, Page, sync_playwright

from tests.conftest import CHROMIUM, FLAGS, REPOSITORY, start_server

REPORT = REPOSITORY / "build" / "paint.json"
CHART = "document.querySelector('.lacuna-sketch')?.complete || document.querySelector('.js-plotly-plot .main-svg')"
EMPTY = 'import streamlit as st\nst.title("Empty")\n'
DRAWN = {  # when a page's own picture is there
    "": "find('gauge-forget')?.dataset.exact === 'true' && find('pad')?.dataset.value",
    "layers": "document.querySelector('.st-key-layers, canvas')",
    "compare": CHART,
    "privacy": "find('canvas')",
    "embeddings": "find('canvas')",
    "landscape": CHART,
    "methods": "document.querySelector('[data-testid=stExpander]')",
    "learn": "document.querySelector('[data-testid=stAppViewContainer] [data-testid=stButton]')",
    "queue": CHART,
}
EMPTY_DRAWN = "document.querySelector('h1')?.textContent === 'Empty'"
WATCH = """(() => {
  const every = (root) => [...root.querySelectorAll("*")]
    .flatMap((e) => [e, ...(e.shadowRoot ? every(e.shadowRoot) : [])]);
  const find = (id) => every(document)
    .find((e) => id === "canvas" ? e.localName === id && e.width !== 300 : e.dataset?.testid === id);
  const marks = (window.marks = {});
  const NativeSocket = window.WebSocket;
  window.WebSocket = class extends NativeSocket {
    constructor(...given) {
      super(...given);
      this.addEventListener("open", () => (marks.connected ??= performance.now()));
      this.addEventListener("message", () => (marks.first_message ??= performance.now()));
    }
  };
  const look = () => {
    if (document.querySelector("[data-testid=stApp]")) marks.shell ??= performance.now();
    if (document.querySelector(".js-plotly-plot")) marks.plotly ??= performance.now();
    if (DRAWN) marks.drawn ??= performance.now();
    else requestAnimationFrame(look);
  };
  requestAnimationFrame(look);
})()"""


def seen(chromium: Browser, address: str, drawn: str) -> dict[str, float]:
    """Milliseconds from the start of the navigation to each stage, what was loaded by then, and processor time."""
    context = chromium.new_context(viewport={"width": 1280, "height": 900}, bypass_csp=True)  # waiting needs eval
    page: Page = context.new_page()
    page.add_init_script(WATCH.replace("DRAWN", drawn))
    measured = context.new_cdp_session(page)
    measured.send("Performance.enable", {"timeDomain": "threadTicks"})
    page.goto(address, wait_until="commit")
    page.wait_for_function("marks.drawn", timeout=120_000)
    found: dict[str, float] = page.evaluate("""() => {
      const loaded = performance.getEntriesByType("resource").filter((e) => e.responseEnd < marks.drawn);
      return { ...marks, requests: loaded.length,
               kilobytes: loaded.reduce((sum, e) => sum + e.transferSize, 0) / 1000 };
    }""")
    found |= {one["name"]: 1000 * one["value"] for one in measured.send("Performance.getMetrics")["metrics"]
              if one["name"] in ("ScriptDuration", "LayoutDuration", "RecalcStyleDuration", "TaskDuration")}
    context.close()
    return found


def start_empty(folder: Path) -> tuple[subprocess.Popen[bytes], str]:
    """A Streamlit app of one title, with this project's versions and settings."""
    (folder / "empty.py").write_text(EMPTY)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "streamlit", "run", "empty.py", "--server.port", str(port), "--server.headless", "true",
         "--server.address", "localhost", "--browser.gatherUsageStats", "false", "--client.toolbarMode", "viewer"],
        cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for _ in range(300):
        try:
            urllib.request.urlopen(f"http://localhost:{port}/_stcore/health", timeout=1)
            break
        except OSError:
            time.sleep(0.2)
    return process, f"http://localhost:{port}"


def main() -> None:
    """Measure the chosen pages and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pages", nargs="*", metavar="PAGE", help="names as in the address; default: all")
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--output", type=Path, default=REPORT)
    given = parser.parse_args()
    pages = [page.replace("playground", "") for page in given.pages] or list(DRAWN)
    found: dict[str, list[dict[str, dict[str, float]]]] = {page: [] for page in pages}
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        empty, floor = start_empty(Path(folder))
        server, address = start_server({}, subprocess.DEVNULL)
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        try:
            for page in pages:  # what all visitors share is at hand from now on
                seen(chromium, f"{address}/{page}", DRAWN[page])
            for _ in range(given.pairs):
                for page in pages:
                    found[page].append({"empty": seen(chromium, floor, EMPTY_DRAWN),
                                        "page": seen(chromium, f"{address}/{page}", DRAWN[page])})
        finally:
            for process in (empty, server):
                process.kill()
                process.wait()
            chromium.close()
    print(f"{'page':12}{'pairs':>6}{'empty ms':>10}{'drawn ms':>10}{'ratio':>7}   medians until then")
    for page, pairs in found.items():
        ratio = median(pair["page"]["drawn"] / pair["empty"]["drawn"] for pair in pairs)
        stages = {name: median(pair["page"].get(name, float("nan")) for pair in pairs) for name in pairs[0]["page"]}
        print(f"{page or 'playground':12}{len(pairs):6}{median(p['empty']['drawn'] for p in pairs):10.0f}"
              f"{stages['drawn']:10.0f}{ratio:7.2f}   "
              + ", ".join(f"{name} {value:.0f}" for name, value in stages.items() if name != "drawn"))
        floors = {name: median(pair["empty"].get(name, float("nan")) for pair in pairs) for name in pairs[0]["empty"]}
        print(f"{'  empty':12}{'':33}   " + ", ".join(f"{n} {v:.0f}" for n, v in floors.items() if n != "drawn"))
    given.output.parent.mkdir(exist_ok=True)
    given.output.write_text(json.dumps(found))


if __name__ == "__main__":
    main()
