"""A running server and a real browser for the tests that need them."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Coroutine, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, TypeVar

import pytest
import torch
from playwright.sync_api import Browser, Page, Route, sync_playwright
from streamlit.testing.v1 import AppTest

from ui.server import runtime
from unlearn_core.serving.engine import Engine

REPOSITORY = Path(__file__).parent.parent
CHROMIUM = shutil.which("chromium")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
         "--disable-sync", "--disable-quic", "--no-first-run"]

Serve = Callable[..., str]
T = TypeVar("T")


def awaited(coroutine: Coroutine[object, object, T]) -> T:
    """Its answer, from a thread of its own: Playwright's loop runs in this one."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, coroutine).result()


def named(widgets: Sequence[Any], name: str) -> Any:
    """The widget of that name among those of a page, however often others have moved it (`ui.mirror`)."""
    return next(each for each in widgets if re.fullmatch(rf"{re.escape(name)}( \d+)?", each.key or ""))


def opened_app(timeout: float = 120) -> AppTest:
    """The app in a tab that has drawn its first picture: all that follows in the second run is there in the first."""
    test = AppTest.from_file(str(REPOSITORY / "app.py"), default_timeout=timeout)
    test.session_state["opened"] = True
    return test


@pytest.fixture(autouse=True)
def own_main() -> Iterator[None]:
    """A page's test leaves the page as `__main__`, and processes that are started later would run it."""
    before = sys.modules["__main__"]
    yield
    sys.modules["__main__"] = before


def start_server(environment: dict[str, str], terminal: int | IO[bytes] = subprocess.PIPE, *options: str,
                 folder: Path = REPOSITORY) -> tuple[subprocess.Popen[bytes], str]:
    """Start a checkout's app as the Makefile does and wait until it answers; returns the process and its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "streamlit", "run", "serve.py", "--server.port", str(port), *options],
        cwd=folder, env={**os.environ, "OMP_WAIT_POLICY": "passive", "OPENBLAS_NUM_THREADS": "1", **environment},
        stdout=terminal, stderr=subprocess.STDOUT)
    address = f"http://localhost:{port}"
    for _ in range(600):
        try:
            urllib.request.urlopen(f"{address}/_stcore/health", timeout=1)
            return process, address
        except OSError:
            if process.poll() is not None:
                break
            time.sleep(0.2)
    process.kill()
    output = process.stdout.read().decode() if process.stdout else ""
    raise RuntimeError(f"the server did not start:\n{output}")


@pytest.fixture(scope="module")
def serve() -> Iterator[Serve]:
    """Start servers, each cold; they stop with the module."""
    running = []

    def start(**environment: str) -> str:
        process, address = start_server(environment)
        running.append(process)
        return address

    yield start
    for process in running:
        process.kill()
        process.wait()


@pytest.fixture(scope="session")
def address() -> Iterator[str]:
    """A running server for all tests that need no cold one."""
    process, found = start_server({})
    yield found
    process.kill()
    process.wait()


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """Debian's Chromium; tests that need it are skipped where there is none, unless it is required."""
    if CHROMIUM is None:
        if os.environ.get("LACUNA_REQUIRE_BROWSER"):
            pytest.fail("chromium is required here but not on PATH")
        pytest.skip("chromium is not on PATH (Debian: apt install chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


Scripted = Callable[..., Page]


@pytest.fixture(scope="module")
def scripted(chromium: Browser) -> Iterator[Scripted]:
    """Make a blank page on which modules of assets/js/ are loaded, all that they export under one name."""
    made = []

    def make(name: str, *modules: str) -> Page:
        page = chromium.new_page()
        made.append(page)
        page.route("http://scripts/**", serve_script)
        page.goto("http://scripts/")
        page.evaluate("""async ([name, modules]) => {
          window[name] = Object.assign({}, ...await Promise.all(modules.map((module) => import(`/${module}`))));
        }""", [name, modules])
        return page

    yield make
    for page in made:
        page.close()


def serve_script(route: Route) -> None:
    """A module of assets/js/, or an empty page at the root."""
    name = route.request.url.partition("scripts/")[2]
    if name:
        route.fulfill(path=REPOSITORY / "assets" / "js" / name, content_type="text/javascript")
    else:
        route.fulfill(body="", content_type="text/html")


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Small tensors are slower on two threads than on one, and much slower on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def engine() -> Engine:
    """The engine of the pages, for all tests that only ask it: what one has had worked out is there for the others."""
    return runtime.engine()


class Visitor:
    """One browser context with one page, and everything that went wrong in its console.

    Waiting for an expression needs `eval`, which the pages' policy forbids: where the policy itself is tried, ask for
    `bypass_csp=False` and wait for selectors.
    """

    def __init__(self, browser: Browser, **options: object) -> None:
        self.context = browser.new_context(**{  # type: ignore[arg-type]
            "viewport": {"width": 1280, "height": 900}, "bypass_csp": True, **options})
        self.page: Page = self.context.new_page()
        self.complaints: list[str] = []
        # On a deep link, Streamlit looks for its own endpoints below the page first and then at the root.
        self.page.on("console", lambda m: self.complaints.append(m.text)
                     if m.type == "error" and "/_stcore/" not in m.location["url"] else None)
        self.page.on("pageerror", lambda e: self.complaints.append(str(e)))

    def open(self, address: str) -> Page:
        """Open an address and wait for the live view's exact numbers."""
        self.page.goto(address)
        self.exact()
        return self.page

    def exact(self) -> None:
        """Wait until the gauges show exact numbers."""
        self.page.wait_for_selector('[data-testid="gauge-forget"][data-exact="true"]', timeout=60_000)

    def gauge(self, name: str) -> float:
        """The shown value of a gauge, on all images: the first answer is from some of them."""
        self.page.wait_for_selector("text=follow in a moment", state="detached", timeout=60_000)
        self.page.wait_for_timeout(300)  # the canvas is drawn after the words
        return float(self.page.get_attribute(f'[data-testid="gauge-{name}"]', "data-value") or "nan")


VISITORS = pytest.StashKey[list[Visitor]]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Where a page's test fails, what its visitors saw at that moment is the first thing to know."""
    report = yield
    if report.when == "call" and report.failed:
        for one in item.stash.get(VISITORS, []):
            with suppress(Exception):  # of a page that is closed there is nothing to tell
                report.sections.append((f"A visitor at {one.page.url}", "\n".join(
                    [*one.complaints, one.page.inner_text("body", timeout=1000)[:3000]])))
    return report


@pytest.fixture
def visitor(chromium: Browser, request: pytest.FixtureRequest) -> Iterator[Callable[..., Visitor]]:
    """Make visitors; their contexts close with the test."""
    made = request.node.stash[VISITORS] = []

    def make(**options: object) -> Visitor:
        made.append(Visitor(chromium, **options))
        return made[-1]

    yield make
    for one in made:
        one.context.close()
