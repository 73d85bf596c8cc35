"""Streamlit's own files as browsers get them, and connections that send at once."""

from __future__ import annotations

import gzip
import re
import socket

import pytest
from starlette.types import Message, Receive, Scope, Send

from tests.conftest import awaited
from ui.server.shell import NEEDED, page
from ui.server.statics import FILES, Statics
from ui.server.warmup import send_at_once

SCRIPT = next(address for address in FILES if "PlotlyChart" in address)


async def behind(scope: Scope, receive: Receive, send: Send) -> None:
    """What stands behind the middleware."""
    await send({"type": "http.response.start", "status": 418, "headers": []})
    await send({"type": "http.response.body", "body": b"behind"})


def asked(address: str, method: str = "GET", **headers: str) -> tuple[int, dict[bytes, bytes], bytes]:
    """Status, headers and body of an answer."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "http.request"}

    scope = {"type": "http", "method": method, "path": address,
             "headers": [(name.encode(), value.encode()) for name, value in headers.items()]}
    awaited(Statics(behind)(scope, receive, send))
    return sent[0]["status"], dict(sent[0]["headers"]), b"".join(message.get("body", b"") for message in sent[1:])


@pytest.mark.parametrize("address", [SCRIPT, *[name for name in FILES if name.endswith((".css", ".woff2"))][:4]])
def test_a_file_comes_whole_packed_and_to_be_kept(address: str) -> None:
    status, headers, body = asked(address, **{"accept-encoding": "gzip, br"})
    plain = FILES[address].read_bytes()
    assert status == 200 and b"immutable" in headers[b"cache-control"]
    assert int(headers[b"content-length"]) == len(body) <= len(plain)
    assert (gzip.decompress(body) if b"content-encoding" in headers else body) == plain


def test_a_script_is_a_third_of_its_size() -> None:
    _, headers, body = asked(SCRIPT, **{"accept-encoding": "gzip"})
    assert headers[b"content-encoding"] == b"gzip" and len(body) < FILES[SCRIPT].stat().st_size / 3
    assert b"javascript" in headers[b"content-type"]


@pytest.mark.parametrize(("address", "method", "headers"), [
    (SCRIPT, "GET", {}), (SCRIPT, "GET", {"accept-encoding": "gzip", "range": "bytes=0-9"}),
    (SCRIPT, "HEAD", {"accept-encoding": "gzip"}), ("/static/../index.html", "GET", {"accept-encoding": "gzip"}),
    ("/static/js/none.js", "GET", {"accept-encoding": "gzip"}), ("/", "GET", {"accept-encoding": "gzip"})])
def test_all_else_is_left_to_streamlit(address: str, method: str, headers: dict[str, str]) -> None:
    assert asked(address, method, **headers)[::2] == (418, b"behind")


def test_connections_send_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 0)
        send_at_once()
        with socket.create_connection(listening.getsockname()), listening.accept()[0] as taken:
            assert taken.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_scripts_that_every_page_needs_are_named_early_with_all_that_they_import() -> None:
    named = re.findall(r'<link rel="modulepreload" crossorigin href="\.(/static/js/[^"]+)">', page())
    assert len(named) == len(set(named)) and set(named) <= FILES.keys()
    assert all(any(f"/{name}." in script for script in named) for name in NEEDED)
    imported = {name for script in named for name in re.findall(r'from"\./([^"]+\.js)"', FILES[script].read_text())}
    assert {f"/static/js/{name}" for name in imported if not name.startswith("index.")} <= set(named)
