"""Who is answered, and what a browser may do with the answer: host names, and the headers of every response.

A page of somebody else's that has its own name point to this machine would otherwise be served as if it were ours, and
could read what is here. So a request must name the app by a name that it is served on.
"""

from __future__ import annotations

import base64
import hashlib
import logging
import os
import re
import socket
from functools import cache
from ipaddress import ip_address
from pathlib import Path

import streamlit
from starlette.datastructures import MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ui.server.trouble import line

log = logging.getLogger("lacuna")

HOSTS = "LACUNA_HOSTS"
"""The environment variable that lists further host names, separated by commas."""
STRANGE = PlainTextResponse(
    "This app is not served under that name. Open it by the address that it printed when it was started; whoever runs "
    f"it can allow further names with `make run HOSTS=name,name` (the environment variable {HOSTS}).\n",
    status_code=400)
HOST = re.compile(r"(\[[\da-fA-F:.]+\]|[^\s/?#@:\[\]]+)(?::\d{1,5})?")
INLINE = re.compile(r"<script>(.*?)</script>", re.DOTALL)


@cache
def headers() -> dict[str, str]:
    """What every response says to a browser.

    Streamlit styles its elements from scripts (hence inline styles), runs components from blobs, and has one script in
    its page, which is named by its checksum. Nothing is ever fetched from another host.
    """
    page = (Path(streamlit.__file__).parent / "static" / "index.html").read_text("utf-8")
    inline = " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
                      for text in INLINE.findall(page))
    policy = {
        "default-src": "'self'", "script-src": f"'self' blob: {inline}", "style-src": "'self' 'unsafe-inline'",
        "img-src": "'self' data: blob:", "font-src": "'self' data:", "connect-src": "'self'",
        "worker-src": "'self' blob:", "object-src": "'none'", "frame-src": "'none'", "base-uri": "'self'",
        "form-action": "'self'", "frame-ancestors": "'none'"}
    return {
        "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in policy.items()),
        "X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin"}


def operators_hosts() -> frozenset[str]:
    """The names that whoever runs the app has added."""
    return frozenset(filter(None, (name.strip().lower().rstrip(".") for name in os.environ.get(HOSTS, "").split(","))))


@cache
def own_names() -> frozenset[str]:
    """What this machine calls itself."""
    name = socket.gethostname().lower()
    return frozenset({"localhost", name, f"{name.split('.')[0]}.local", socket.getfqdn().lower()})


def loopback(host: str) -> bool:
    """Whether a host name or address leads to this machine only."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def allowed(host: str, reached: str) -> bool:
    """Whether a request may name us so.

    Args:
        host: of the request's header, with or without a port.
        reached: the address of this machine at which the request has arrived.
    """
    found = HOST.fullmatch(host)
    name = found[1].strip("[]").lower().rstrip(".") if found else ""
    return bool(name) and (loopback(name) or name in own_names() | operators_hosts() | {reached})


class Door:
    """Middleware in front of everything: strange hosts get a sentence, all others their answer with `headers`."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(headers())
            await send(message)

        host = dict(scope["headers"]).get(b"host", b"").decode("latin-1")
        if allowed(host, (scope.get("server") or ("",))[0]):
            try:
                await self.app(scope, receive, answer)
            except Exception as error:
                if scope["type"] == "http":
                    raise
                log.warning("A connection was closed: %s", line(error))  # as after a message that is text
        elif scope["type"] == "http":
            await STRANGE(scope, receive, answer)
        else:
            await receive()
            await send({"type": "websocket.close", "code": 1008, "reason": "not served under that name"})
