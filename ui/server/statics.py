"""Streamlit's scripts, styles and letters, compressed once and kept in memory.

Streamlit reads each from the disk for each visitor and sends it as it is: nine megabytes for a first page of ours,
most of it before anything is drawn.
"""

from __future__ import annotations

import gzip
from functools import cache
from mimetypes import guess_type
from pathlib import Path

import streamlit
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

ROOT = Path(streamlit.__file__).parent / "static"
FILES = {f"/{file.relative_to(ROOT).as_posix()}": file for file in (ROOT / "static").rglob("*") if file.is_file()}
"""By addresses, each of which names its content."""
PACKED_AT_MOST = 0.9  # of the plain size: letters and pictures are packed already


@cache
def packed(address: str) -> Response:
    """A file as browsers get it."""
    plain = FILES[address].read_bytes()
    small = gzip.compress(plain, 6, mtime=0)
    headers = {"Cache-Control": "public, max-age=31536000, immutable", "Vary": "Accept-Encoding"}
    if len(small) < PACKED_AT_MOST * len(plain):
        headers["Content-Encoding"] = "gzip"
        plain = small
    return Response(plain, headers=headers, media_type=guess_type(address)[0])


class Statics:
    """Middleware before Streamlit: answers what it has, for a browser that can unpack it."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer = self.app
        if scope["type"] == "http" and scope["method"] == "GET" and scope["path"] in FILES:
            headers = Request(scope).headers
            if "gzip" in headers.get("accept-encoding", "") and "range" not in headers:
                answer = await run_in_threadpool(packed, scope["path"])
        await answer(scope, receive, send)
