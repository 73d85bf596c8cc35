"""The server against what visitors, and whoever stops it, may do: names, headers, closed tabs, signals."""

from __future__ import annotations

import asyncio
import http.client
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
import websockets

from tests.conftest import Visitor, awaited, start_server
from tools.attack import Server, connection, visit
from ui.server import door

PATHS = ("/", "/privacy", "/_stcore/health", "/_stcore/host-config", "/lacuna/scene/0", "/nowhere/at/all",
         "/static/js/none.js", "/media/none.png")


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    found = Server()
    yield found
    found.seen.kill()
    found.seen.wait()


def get(server: Server, path: str, host: str = "localhost") -> http.client.HTTPResponse:
    asked = http.client.HTTPConnection("localhost", int(server.address.rsplit(":", 1)[1]), timeout=30)
    asked.request("GET", path, headers={"Host": host})
    return asked.getresponse()


@pytest.mark.parametrize("path", PATHS)
def test_every_response_says_what_a_browser_may_do_with_it(server: Server, path: str) -> None:
    said = get(server, path).headers
    assert said["X-Content-Type-Options"] == "nosniff" and said["X-Frame-Options"] == "DENY"
    assert said["Referrer-Policy"] == "same-origin"
    policy = dict(part.split(" ", 1) for part in said["Content-Security-Policy"].split("; "))
    assert policy["frame-ancestors"] == policy["object-src"] == policy["frame-src"] == "'none'"
    assert policy["connect-src"] == policy["default-src"] == "'self'"
    assert not any(word in " ".join(policy.values()) for word in ("http", "*", "unsafe-eval"))
    assert "unsafe-inline" not in policy["script-src"]


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "evil.example:8501", "", "localhost/x",
                                  "a@localhost", "localhost:x", "localhost?", "[::1", "169.254.1.1", "ä"])
def test_a_strange_host_gets_a_sentence(server: Server, host: str) -> None:
    answer = get(server, "/", host)
    assert answer.status == 400
    if "x-content-type-options" in answer.headers:  # the rest is refused before it reaches the app
        assert "This app is not served under that name" in answer.read().decode()


def test_a_strange_host_gets_no_connection(server: Server) -> None:
    async def connect(host: str) -> None:
        async with websockets.connect(server.stream, subprotocols=[websockets.Subprotocol("streamlit")],
                                      additional_headers={"Host": host}) as socket:
            await visit(socket)

    with pytest.raises(websockets.InvalidStatus):
        awaited(connect("evil.example"))


@pytest.mark.parametrize("host, reached, may", [
    ("localhost:8501", "127.0.0.1", True), ("LOCALHOST.", "127.0.0.1", True), ("127.0.0.9", "127.0.0.1", True),
    ("[::1]:8501", "::1", True), ("192.168.7.5:8501", "192.168.7.5", True), ("192.168.7.6", "192.168.7.5", False),
    ("lacuna.school.example", "10.0.0.1", True), ("other.example", "10.0.0.1", False), ("localhost:999999", "", False)])
def test_the_app_answers_to_its_addresses_and_to_the_names_that_the_operator_adds(
        monkeypatch: pytest.MonkeyPatch, host: str, reached: str, may: bool) -> None:
    monkeypatch.setenv(door.HOSTS, "Lacuna.School.example, second.example")
    assert door.allowed(host, reached) == may


def used(process: psutil.Process) -> float:
    """Processor seconds so far."""
    times = process.cpu_times()
    return times.user + times.system


def test_nothing_computes_for_tabs_that_are_closed(server: Server) -> None:
    async def come_and_go() -> None:
        sockets = [await connection(server) for _ in range(10)]
        await asyncio.gather(*(visit(one, f"method=retrain&forget={label}") for label, one in enumerate(sockets)))
        before = used(server.process)
        while used(server.process) < before + 1:  # they train
            await asyncio.sleep(0.2)
        await asyncio.gather(*(one.close() for one in sockets))

    awaited(come_and_go())
    time.sleep(5)
    at = used(server.process)
    time.sleep(4)
    assert used(server.process) - at < 0.4, "it goes on computing"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_to_be_stopped_while_it_computes_leaves_no_traceback(tmp_path: Path, number: signal.Signals) -> None:
    with (tmp_path / "terminal").open("w+b") as terminal:
        process, address = start_server({}, terminal)
        children = psutil.Process(process.pid).children(recursive=True)

        async def train() -> None:
            stream = address.replace("http", "ws") + "/_stcore/stream"
            async with websockets.connect(stream, subprotocols=[websockets.Subprotocol("streamlit")]) as socket:
                await visit(socket, "method=retrain")
                process.send_signal(number)
                await asyncio.to_thread(process.wait, 60)

        awaited(train())
        _, alive = psutil.wait_procs(children, timeout=60)  # one may still be starting
        terminal.seek(0)
        said = terminal.read().decode()
    assert "Traceback" not in said and "Error" not in said, said
    assert not alive, "the evaluator ends with its server"


def test_a_killed_server_leaves_no_process_and_no_traceback(tmp_path: Path) -> None:
    with (tmp_path / "terminal").open("w+b") as terminal:
        process, _ = start_server({}, terminal)
        children = psutil.Process(process.pid).children(recursive=True)
        process.kill()
        process.wait()
        _, alive = psutil.wait_procs(children, timeout=60)
        terminal.seek(0)
        assert not alive and "Traceback" not in terminal.read().decode()


@pytest.mark.browser
def test_pages_need_nothing_that_the_policy_forbids(server: Server, visitor: Callable[..., Visitor]) -> None:
    one = visitor(bypass_csp=False)
    for page in ("", "?plain=1", "compare", "embeddings"):  # canvases, charts, tables, pictures
        one.page.goto(f"{server.address}/{page}")
        one.page.wait_for_selector("text=From all", timeout=120_000)
        one.page.wait_for_timeout(1000)
    assert not [said for said in one.complaints if "Content Security Policy" in said or "violates" in said]
    assert one.page.evaluate("""fetch("https://example.org").then(() => "sent", () => "refused")""") == "refused"


@pytest.mark.browser
def test_a_strangers_words_in_an_address_are_no_link(server: Server, visitor: Callable[..., Visitor]) -> None:
    page = visitor().page
    page.goto(f"{server.address}/?network=%20www.zq7.com&method=_zq7_&alpha=**zq7**&%5Bzq7%5D(http%3A%2F%2Fzq7.com)=1")
    box = page.locator('[data-testid="stAlertContentWarning"]').first
    box.wait_for(timeout=60_000)
    assert box.inner_text().count("zq7") >= 4 and not box.locator("a, em, strong").count()
