"""What visitors may do to the server, all at once: `make attack`, or `python -m tools.attack [SECTION ...]`.

leave: visitors who close their tabs. addresses: what no link says. messages: what no browser sends. events: ten
visitors whose moves interleave, each of whom must see their own answers and nobody else's. Nothing may be raised on the
server's terminal, and afterwards a visitor must be served as before.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import random
import re
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from statistics import median
from typing import IO
from urllib.parse import urlencode

import psutil
import websockets
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

from tests.conftest import REPOSITORY, start_server
from tools.load import Record, Session
from ui.state import VIEWS, read_address

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
        message.rerun_script.query_string, message.rerun_script.page_script_hash = query, shown(found)
        found += await answered(socket, message)
    return found


def shown(messages: list[ForwardMsg]) -> str:
    """The hash of the page that was run last; without it the server would run the first page."""
    return next(one.navigation.page_script_hash for one in reversed(messages) if one.WhichOneof("type") == "navigation")


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
    """The fragment that was told last to be run again and again; empty if there is none since the page was last run."""
    started = max((place for place, one in enumerate(messages) if one.WhichOneof("type") == "new_session"
                   and not one.metadata.run.fragment_ids), default=0)
    found: dict[str, None] = {}
    for one in messages[started:]:
        kind = one.WhichOneof("type")
        if kind == "auto_rerun":
            found[one.auto_rerun.fragment_id] = None
        elif kind == "stop_auto_rerun":
            for fragment in one.stop_auto_rerun.fragment_ids:
                found.pop(fragment, None)
    return next(reversed(found), "")


CODE = re.compile(r"`[^`]*`")
STRANGER = "zq7"
"""In all that a stranger writes into an address: outside of code it would be a link or emphasis."""


def problems(messages: list[ForwardMsg]) -> list[str]:
    """Uncaught errors, absolute paths, and what a page made more of a stranger's words than words."""
    found = []
    for message in messages:
        element = message.delta.new_element
        if element.WhichOneof("type") == "exception":
            found.append(f"{element.exception.type}: {element.exception.message}")
        for words in (element.alert.body, element.markdown.body, element.exception.message):
            if str(REPOSITORY) in words:
                found.append(f"an absolute path: {words[:200]}")
            if STRANGER in CODE.sub("", words):
                found.append(f"a stranger's words: {words[:200]}")
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
    rounds = [(f"forget={turn % 7}", PAGES[turn % len(PAGES)]) for turn in range(30)]

    async def all_rounds(many: int) -> None:
        for query, page in rounds:
            sockets = [await connection(server) for _ in range(many)]
            await asyncio.gather(*(visit(one, query, page) for one in sockets))
            await asyncio.gather(*(one.close() for one in sockets))

    await all_rounds(1)  # what all visitors share is at hand from now on
    time.sleep(90)
    levels = {"before": server.level()}
    await all_rounds(10)
    levels["after 300 sessions"] = server.level()
    for seconds in (30, 60, 90):
        time.sleep(30)
        levels[f"{seconds} s later"] = server.level()
    return {"processor while ten train": working, "idle again after (s)": stopped, "levels": levels}


# -- addresses ----------------------------------------------------------------------------------------------------

NAMES = ("v", "network", "forget", "method", "plain", "seed", "pair", *VIEWS, "alpha", "lambda", "lr", "epochs",
         STRANGER, f"[{STRANGER}](http://{STRANGER}.com)", "", "constructor", "__class__", "<b>", "αβγ")
VALUES = (f"www.{STRANGER}.com", f"http://{STRANGER}.com", f"_{STRANGER}_", f"**{STRANGER}**", f"`{STRANGER}",
          f"[{STRANGER}](//{STRANGER}.com)", f"<script>{STRANGER}</script>", f":red[{STRANGER}]", f"$${STRANGER}$$",
          f"![]({STRANGER})", f":material/{STRANGER}:", f"{STRANGER}@{STRANGER}.com", "", " ", "0", "1", "-1", "7",
          "10", "0,3", "image:17,40", "image:99999999", "person:2", "person:", "nan", "inf", "-inf", "1e999", "1e-999",
          "0x10", "٣", "9" * 5000, "0," * 3000, "\0", "../../etc/passwd", "%00", "ssd", "retrain", "small-vit",
          "people-resnet", "small-resnet", "block3", "4", "0.1", "true", "None", "ssd,unsir", "," * 50, "\u202e",
          "🙂" * 99)


def address(rng: random.Random) -> dict[str, str]:
    """What no link of the app says."""
    return {rng.choice(NAMES): rng.choice(VALUES) if rng.random() < 0.8 else
            "".join(chr(rng.choice((rng.randrange(32, 127), rng.randrange(0x2fff)))) for _ in range(rng.randrange(40)))
            for _ in range(rng.randrange(1, 7))}


async def addresses(server: Server) -> dict[str, object]:
    """Ten thousand through the reader of addresses, and some hundreds of them through the pages."""
    rng, found, shown = random.Random(0), Counter[str](), 0
    for turn in range(10_000):
        asked = address(rng)
        state = read_address(asked)
        state.choice()
        found.update("a stranger's words" for note in state.notes if STRANGER in CODE.sub("", note))
        if turn % 40 == 0:
            page = PAGES[shown % len(PAGES)]
            async with connection(server) as socket:
                seen = problems(await visit(socket, urlencode(asked), page, 1))
            found.update(f"/{page}: {problem}" for problem in seen)
            shown += 1
    return {"read": 10_000, "shown on pages": shown, "problems": dict(found)}


# -- messages -----------------------------------------------------------------------------------------------------


def widgets(messages: list[ForwardMsg]) -> list[str]:
    """The names of all widgets on a page."""
    found = []
    for message in messages:
        element = message.delta.new_element
        if kind := element.WhichOneof("type"):
            found.append(getattr(getattr(element, kind), "id", ""))
    return [name for name in found if name]


def nonsense(rng: random.Random, known: list[str]) -> bytes | str:
    """A message that no browser would send."""
    if rng.random() < 0.1:
        return rng.randbytes(rng.randrange(200))
    if rng.random() < 0.02:
        return "text instead of bytes"
    message = BackMsg()
    if rng.random() < 0.1:
        kind = rng.choice(["clear_cache", "stop_script", "load_git_info", "set_run_on_save", "app_heartbeat",
                           "debug_disconnect_websocket", "debug_shutdown_runtime"])
        setattr(message, kind, rng.random() < 0.5)
        return message.SerializeToString()
    run = message.rerun_script
    run.query_string = rng.choice(["", urlencode(address(rng)), "&&==", "a" * 5000])
    run.page_script_hash = rng.choice(["", "", "0", STRANGER])
    run.page_name = rng.choice(["", *PAGES, "../app", STRANGER, "\0"])
    run.fragment_id = rng.choice(["", "", "0", STRANGER])
    run.is_auto_rerun = rng.random() < 0.2
    for _ in range(rng.randrange(6)):
        state = run.widget_states.widgets.add(id=rng.choice([*known, STRANGER, ""]))
        value: object = rng.choice([math.nan, math.inf, -1.0, 1e308, 0, -2**62, 2**62, True, "", STRANGER, "x" * 9999,
                                    "[1, {", "null", '{"point": {"alpha": "NaN", "scene": 7}}', '{"picked": -1}',
                                    '{"picked": 1e99}', '{"selected": {"rows": [-5, "a", null]}}', '{"point": 3}'])
        if isinstance(value, bool):
            setattr(state, rng.choice(["bool_value", "trigger_value"]), value)
        elif isinstance(value, int):
            state.int_value = value
        elif isinstance(value, float) and rng.random() < 0.5:
            state.double_array_value.data.extend([value] * rng.randrange(4))
        elif isinstance(value, float):
            state.double_value = value
        elif rng.random() < 0.3:
            state.string_array_value.data.extend([str(value)] * rng.randrange(4))
        else:
            setattr(state, rng.choice(["string_value", "json_value"]), str(value))
    return message.SerializeToString()


async def messages(server: Server) -> dict[str, object]:
    """Two thousand messages, fifty a connection, of which the server may end as many as it likes."""
    rng, sent, ended = random.Random(0), 0, 0
    while sent < 2000:
        page = PAGES[sent // 50 % len(PAGES)]
        try:
            async with connection(server) as socket:
                known = widgets(await visit(socket, "", page))
                for _ in range(50):
                    await socket.send(nonsense(rng, known))
                    sent += 1
                    if rng.random() < 0.2:
                        await asyncio.sleep(0.3)
        except websockets.ConnectionClosed:
            ended += 1
    async with connection(server) as socket:
        return {"sent": sent, "connections ended by the server": ended, "problems": problems(await visit(socket))}


# -- events -------------------------------------------------------------------------------------------------------


async def events(server: Server) -> dict[str, object]:
    """Ten visitors who never pause and change their mind while a method trains: ten thousand events, or an hour."""
    record, until = Record(), time.monotonic() + 3600
    sessions = [asyncio.create_task(Session(server.address, record, seed).run(until, lively=True, hurry=True))
                for seed in range(10)]

    def done() -> int:
        return sum(len(took) for what, took in record.seconds.items() if what != "the same, progress")

    while done() < 10_000 and time.monotonic() < until and not all(one.done() for one in sessions):
        await asyncio.sleep(1)
    for one in sessions:
        one.cancel()
    ended = await asyncio.gather(*sessions, return_exceptions=True)
    record.errors += [repr(one) for one in ended if isinstance(one, Exception)]  # which a cancelled one is not
    return {"events": done(), "median (s)": {what: median(v) for what, v in record.seconds.items()},
            "errors": record.errors[:20]}


# -- running ------------------------------------------------------------------------------------------------------

SECTIONS: dict[str, Callable[[Server], Awaitable[dict[str, object]]]] = {
    "leave": leave, "addresses": addresses, "messages": messages, "events": events}


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
        result["lines on the terminal"] = len(server.said.splitlines())
        result["errors by kind"] = dict(Counter(re.findall(r"(\w*(?:Error|Exception)): ", server.said)))
        print(name, json.dumps(result, indent=1), flush=True)
    REPORT.parent.mkdir(exist_ok=True)
    REPORT.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
