"""What visitors may do to the server, all at once: `make attack`, or `python -m tools.attack [SECTION ...]`.

leave: visitors who close their tabs. addresses: what no link says. messages: what no browser sends. events: ten
visitors whose moves interleave, each of whom must see their own answers and nobody else's. Nothing may be raised on the
server's terminal, and afterwards a visitor must be served as before.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
from collections.abc import Awaitable, Callable
from typing import IO

import psutil
import websockets
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

from tests.conftest import REPOSITORY, start_server

REPORT = REPOSITORY / "build" / "attack.json"
PAGES = ("", *sorted(file.stem for file in (REPOSITORY / "pages").glob("*.py") if file.stem != "playground"))


class Server:
    """The app as `make run` starts it, and all that it says on its terminal."""

    def __init__(self, **environment: str) -> None:
        self.terminal: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the last of it
        process, self.address = start_server(environment, self.terminal)
        self.process, self.seen = psutil.Process(process.pid), process
        self.stream = self.address.replace("http", "ws") + "/_stcore/stream"

    @property
    def said(self) -> str:
        """The terminal so far."""
        self.terminal.seek(0)
        return self.terminal.read().decode()

    def level(self) -> dict[str, float]:
        """Descriptors, threads and megabytes."""
        return {"descriptors": self.process.num_fds(), "threads": self.process.num_threads(),
                "megabytes": round(self.process.memory_info().rss / 2**20)}

    def busy(self, seconds: float) -> float:
        """Processor seconds used a second, meanwhile."""
        before = self.process.cpu_times()
        time.sleep(seconds)
        after = self.process.cpu_times()
        return (after.user + after.system - before.user - before.system) / seconds


def connection(server: Server) -> websockets.connect:
    """A tab's connection, not yet open."""
    return websockets.connect(server.stream, subprotocols=[websockets.Subprotocol("streamlit")], max_size=None,
                              open_timeout=60, ping_interval=None)


async def visit(socket: websockets.ClientConnection, query: str = "", page: str = "",
                seconds: float = 0) -> list[ForwardMsg]:
    """Open a page and read until its script has ended: all that was sent.

    For so many seconds more, run what the page asks to be run again, as a browser would.
    """
    message = BackMsg()
    message.rerun_script.query_string, message.rerun_script.page_name = query, page
    found = await answered(socket, message)
    until = time.monotonic() + seconds
    while time.monotonic() < until and (again := waiting(found)):
        await asyncio.sleep(0.3)
        message = BackMsg()
        message.rerun_script.fragment_id, message.rerun_script.is_auto_rerun = again, True
        found += await answered(socket, message)
    return found


async def answered(socket: websockets.ClientConnection, message: BackMsg) -> list[ForwardMsg]:
    """Send, and read until a run has ended."""
    await socket.send(message.SerializeToString())
    found = []
    async with asyncio.timeout(180):
        while True:
            found.append(ForwardMsg())
            found[-1].ParseFromString(await socket.recv())
            if found[-1].WhichOneof("type") == "script_finished" and \
                    found[-1].script_finished != ForwardMsg.FINISHED_EARLY_FOR_RERUN:
                return found


def waiting(messages: list[ForwardMsg]) -> str:
    """The fragment that is to be run again and again; empty if the last run has asked for none."""
    started = max((place for place, one in enumerate(messages) if one.WhichOneof("type") == "new_session"), default=0)
    found = ""
    for one in messages[started:]:
        kind = one.WhichOneof("type")
        found = one.auto_rerun.fragment_id if kind == "auto_rerun" else "" if kind == "stop_auto_rerun" else found
    return found


def problems(messages: list[ForwardMsg]) -> list[str]:
    """Uncaught errors, and what of a stranger's words a page took for more than words."""
    found = []
    for message in messages:
        element = message.delta.new_element
        if element.WhichOneof("type") == "exception":
            found.append(f"{element.exception.type}: {element.exception.message}")
        for words in (element.alert.body, element.markdown.body):
            if str(REPOSITORY) in words:
                found.append(f"an absolute path: {words[:200]}")
    return found


# -- leaving ------------------------------------------------------------------------------------------------------


async def leave(server: Server) -> dict[str, object]:
    """Ten tabs that train and are closed; then three hundred visits."""
    sockets = [await connection(server) for _ in range(10)]
    await asyncio.gather(*(visit(one, f"method=retrain&forget={label}") for label, one in enumerate(sockets)))
    working = server.busy(3)
    await asyncio.gather(*(one.close() for one in sockets))
    closed, still = time.monotonic(), working
    while still > 0.03 and time.monotonic() < closed + 60:
        still = server.busy(1)
    stopped = time.monotonic() - closed
    before = server.level()
    for start in range(0, 300, 10):
        sockets = [await connection(server) for _ in range(10)]
        await asyncio.gather(*(visit(one, f"forget={start % 7}", PAGES[start // 10 % len(PAGES)]) for one in sockets))
        await asyncio.gather(*(one.close() for one in sockets))
    levels = {"before": before, "after 300 sessions": server.level()}
    for seconds in (30, 60, 90):
        time.sleep(30)
        levels[f"{seconds} s later"] = server.level()
    return {"processor while ten train": working, "idle again after (s)": stopped, "levels": levels}


# -- running ------------------------------------------------------------------------------------------------------

SECTIONS: dict[str, Callable[[Server], Awaitable[dict[str, object]]]] = {"leave": leave}


def main() -> None:
    """Run the chosen sections, each on a server of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=f"{', '.join(SECTIONS)}; default: all")
    given = parser.parse_args()
    if unknown := set(given.sections) - set(SECTIONS):
        parser.error(f"sections are {', '.join(SECTIONS)}, got {', '.join(sorted(unknown))}")
    found: dict[str, object] = {}
    for name in given.sections or SECTIONS:
        server = Server()
        try:
            found[name] = result = asyncio.run(SECTIONS[name](server))
        finally:
            server.seen.terminate()
            server.seen.wait()
        result["tracebacks on the terminal"] = server.said.count("Traceback")
        result["last words"] = server.said[-600:]
        print(name, json.dumps(result, indent=1), flush=True)
    REPORT.parent.mkdir(exist_ok=True)
    REPORT.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
