"""The modules of the views: what is served, and what a component imports."""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess

import pytest
from starlette.applications import Starlette
from starlette.types import Message

from tests.conftest import REPOSITORY
from ui.routes import ROUTES
from ui.scripts import MODULES, PRINT, entry, needed

MAINS = ("live/main.js", "layers/main.js", "attack/main.js", "embedding/main.js", "marks.js")


def get(path: str) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of a path as a server hands it on: decoded, not normalised."""
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request"}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": path, "query_string": b"", "headers": []}
    asyncio.run(Starlette(routes=ROUTES)(scope, receive, send))
    headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], headers, b"".join(message["body"] for message in sent[1:])


def test_modules_are_served_by_name_and_version_and_nothing_else_is() -> None:
    for name, text in MODULES.items():
        status, headers, body = get(f"/lacuna/js/{PRINT}/{name}")
        assert (status, body) == (200, text) and headers["content-type"].startswith("text/javascript")
        assert "immutable" in headers["cache-control"]
    old = "0" * len(PRINT)
    for path in (f"{old}/marks.js", f"{PRINT}/", f"{PRINT}/none.js", f"{PRINT}/types.d.ts", f"{PRINT}/live",
                 f"{PRINT}/../css/live.css", f"{PRINT}/live/../marks.js", f"{PRINT}/./marks.js",
                 f"{PRINT}//etc/passwd"):
        status, headers, _ = get(f"/lacuna/js/{path}")
        assert status == 404 and "cache-control" not in headers, path


def test_an_entry_asks_at_once_for_all_that_its_module_imports() -> None:
    assert {name for main in MAINS for name in needed(main)} == set(MODULES), "nothing is served in vain"
    for main in MAINS:
        names = needed(main)
        assert names[0] == main and len(set(names)) == len(names)
        assert all(f'"{name}"' in entry(main) for name in names)
    assert {"live/main.js", "live/pad.js", "wire.js", "words.js"} <= set(needed("live/main.js"))
    # An import in a notation that needed() does not read would be found late.
    for name, text in MODULES.items():
        assert len(re.findall(r"^import\b", text.decode(), re.MULTILINE)) == len(
            re.findall(r'^import\b[^;]*? from "\./|^import\b[^;]*? from "\.\./', text.decode(), re.MULTILINE)), name


def test_modules_stay_small() -> None:
    for name, text in MODULES.items():
        lines = text.decode().splitlines()
        assert len(lines) <= 300 and max(map(len, lines)) <= 120, name


def test_types_hold() -> None:
    if (tsc := shutil.which("tsc")) is None:
        pytest.skip("tsc is not on PATH (npm install --global typescript)")
    checked = subprocess.run([tsc, "--project", REPOSITORY], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout
