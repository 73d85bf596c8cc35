"""Load test: many visitors at once on one server. `make load`, or `python -m tools.load --sessions 30 --minutes 5`.

Sessions speak Streamlit's own protocol: half of them move α or λ every two seconds, half change class, method or
network now and then. Every answer is checked against the key that this visitor's choice must have, so an answer meant
for somebody else is an error. A few real browsers may run beside them.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import os
import random
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean, median

import psutil
import websockets
from playwright.async_api import async_playwright
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.Delta_pb2 import Delta
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState

from tests.conftest import CHROMIUM, FLAGS, REPOSITORY, start_server
from ui.state import State
from unlearn_core.methods import METHODS
from unlearn_core.nets.request import Request
from unlearn_core.subjects.subject import bundled, subject

METHODS_USED = ("ssd", "lfssd", "assd", "head_zeroing", "partial_label_flip")
POPULAR = ("1", "2", "4", "10")  # values that several visitors try
PATIENCE = 120.0  # seconds after which an answer counts as lost
REPORT = REPOSITORY / "build" / "load.json"


@dataclass
class Record:
    """What all sessions saw."""

    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    errors: list[str] = field(default_factory=list)
    answered: set[str] = field(default_factory=set)  # keys that the server has computed for somebody
    bytes: int = 0
    polls: int = 0  # runs that a page asked for itself
    server: int | None = None  # its process, where one session is alone and each event's processor time can be told
    processor: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))


class Session:
    """One visitor: its connection, what it has chosen, and the widgets it was shown."""

    def __init__(self, address: str, record: Record, seed: int) -> None:
        self.address, self.record, self.rng = address, record, random.Random(seed)
        self.visitor = State()  # what the server holds for this session
        self.sliders: dict[str, Delta] = {}
        self.widgets: dict[str, str] = {}  # label -> id, of those outside the fragment
        self.shown = ""  # key of the outcome on the page
        self.own = {self.key}  # of all outcomes this visitor ever asked for
        self.waits: dict[str, float] = {}  # fragments that are to be run again, and after how many seconds
        self.finished = False  # whether the last run has ended
        self.moved = 0.0  # when progress was first shown; 0 if it was not
        self.hurry = False  # whether to change one's mind while a method trains

    @property
    def key(self) -> str:
        """Of the outcome that this visitor must be shown."""
        return self.visitor.choice().key

    async def run(self, until: float, lively: bool, hurry: bool = False) -> None:
        """Visit, then act until it is over; in a hurry without a pause, and whatever comes to mind."""
        self.hurry = hurry
        try:
            async with websockets.connect(self.address.replace("http", "ws") + "/_stcore/stream", open_timeout=60,
                                          subprotocols=[websockets.Subprotocol("streamlit")], max_size=None,
                                          ping_interval=None) as self.socket:
                hello = BackMsg()
                hello.rerun_script.SetInParent()
                await self.timed("first visit", hello)
                await self.timed("all below it", hello)  # a browser asks when the first picture is drawn
                while time.monotonic() < until:
                    await self.look(0 if hurry else 2 if lively else self.rng.uniform(5, 15))
                    lively = self.rng.random() < 0.8 if hurry else lively
                    dampens = "lambda" in self.visitor.settings[self.visitor.method]
                    await (self.move() if lively and dampens else self.change())
        except (OSError, TimeoutError, websockets.WebSocketException) as problem:
            self.record.errors.append(f"{type(problem).__name__}: {problem}")

    async def move(self) -> None:
        """Let go of a slider, at a popular value or anywhere."""
        knobs = self.visitor.settings[self.visitor.method]
        name = self.rng.choice([name for name in ("alpha", "lambda") if name in knobs])
        delta = self.sliders[f"{self.visitor.method}.{name}"]
        options = list(delta.new_element.slider.options)
        wanted = self.rng.choice([o for o in POPULAR if o in options] if self.rng.random() < 0.5 else options)
        knobs[name] = float(wanted)
        message = BackMsg()
        message.rerun_script.fragment_id = delta.fragment_id
        state = message.rerun_script.widget_states.widgets.add(id=delta.new_element.slider.id)
        state.string_array_value.data.append(wanted)
        await self.timed("known point" if self.key in self.record.answered else "fresh point", message)

    async def change(self) -> None:
        """Choose another class, now and then another method or network."""
        what = self.rng.choices(("Classes", "Method", "Network"), (6, 3, 1))[0]
        state = WidgetState(id=self.widgets[what])
        if what == "Classes":
            classes = self.visitor.subject.classes
            self.visitor.forget = Request((self.rng.randrange(len(classes)),))
            state.string_array_value.data.append(classes[self.visitor.forget.chosen[0]])
        elif what == "Method":
            self.visitor.method = self.rng.choice(METHODS_USED)
            state.string_value = f"{METHODS[self.visitor.method].title} · {METHODS[self.visitor.method].family}"
        else:
            self.visitor.network = self.rng.choice(list(bundled("fashion-mnist")))
            state.string_value = subject(self.visitor.network).title
        message = BackMsg()
        message.rerun_script.widget_states.widgets.append(state)
        dampens = METHODS[self.visitor.method].importance is not None
        await self.timed("scene changed" if dampens else "scene changed, other method", message)

    async def timed(self, what: str, message: BackMsg) -> None:
        """Send, and wait for this visitor's own numbers."""
        started, before = time.monotonic(), spent(self.record.server)
        self.own.add(self.key)
        self.shown, self.waits, self.finished, self.moved = "", {}, False, 0.0
        await self.socket.send(message.SerializeToString())
        trains = "other method" in what
        try:
            async with asyncio.timeout(self.rng.uniform(0, 20) if trains and self.hurry else PATIENCE):
                while not await self.received():
                    pass
        except TimeoutError:
            if not (trains and self.hurry):
                raise
            self.record.seconds["changed their mind"].append(time.monotonic() - started)
            return
        ended = time.monotonic()
        self.record.seconds[what].append(ended - started)
        if trains:
            self.record.seconds["the same, progress"].append((self.moved or ended) - started)
        self.record.answered.add(self.key)
        await self.rest()
        self.record.processor[what].append(spent(self.record.server) - before)

    async def look(self, seconds: float) -> None:
        """Look at the page, which may ask for further runs meanwhile, as for the verdict on all images."""
        until = time.monotonic() + seconds
        while self.finished and self.waits and (left := until - time.monotonic()) > 0:
            if min(self.waits.values()) > left:
                break
            await self.again()
            await self.rest()
        await asyncio.sleep(max(0.0, until - time.monotonic()))

    async def received(self) -> bool:
        """Take one message, or ask again where the page waits; True once the numbers are there."""
        if self.finished and self.waits:
            await self.again()
        await self.take()
        return self.shown == self.key

    async def again(self) -> None:
        """Run the next waiting fragment again, as a browser does."""
        fragment = next(iter(self.waits))
        await asyncio.sleep(self.waits[fragment])
        self.waits[fragment] = self.waits.pop(fragment)  # all in turn
        message = BackMsg()
        message.rerun_script.fragment_id, message.rerun_script.is_auto_rerun = fragment, True
        self.finished = False
        self.record.polls += 1
        await self.socket.send(message.SerializeToString())

    async def rest(self) -> None:
        """Read on until the run has ended."""
        while not self.finished:
            await self.take()

    async def take(self) -> None:
        body = await self.socket.recv()
        self.record.bytes += len(body)
        found = ForwardMsg()
        found.ParseFromString(body)
        kind = found.WhichOneof("type")
        if kind == "new_session" and not found.metadata.run.fragment_ids:
            self.waits = {}
        elif kind == "stop_auto_rerun":
            for fragment in found.stop_auto_rerun.fragment_ids:
                self.waits.pop(fragment, None)
        elif kind == "auto_rerun":
            self.waits[found.auto_rerun.fragment_id] = found.auto_rerun.interval
        elif kind == "script_finished":
            self.finished = True
            if found.script_finished == ForwardMsg.FINISHED_EARLY_FOR_RERUN:
                self.finished = False
        elif kind == "delta" and found.delta.WhichOneof("type") == "new_element":
            self.see(found.delta)

    def see(self, delta: Delta) -> None:
        """Note what matters of an element."""
        element = delta.new_element
        kind = element.WhichOneof("type")
        if kind == "slider":
            name, _, _ = element.slider.id.rsplit("-", 1)[1].partition(" ")  # how often others moved it (`ui.mirror`)
            self.sliders[name] = delta
        elif kind in ("selectbox", "multiselect") and not delta.fragment_id:
            widget = getattr(element, kind)
            self.widgets[widget.label] = widget.id
        elif kind == "exception":
            self.record.errors.append(element.exception.message)
        elif kind == "alert" and element.alert.format == element.alert.ERROR:
            self.record.errors.append(element.alert.body)
        elif kind == "progress":
            self.moved = self.moved or time.monotonic()
        elif kind == "bidi_component":
            told = json.loads(element.bidi_component.json or element.bidi_component.mixed.json)
            if "outcome" not in told:  # the marks of the verdict
                return
            self.shown = told["outcome"].rsplit("/", 1)[1]
            if self.shown not in self.own:  # while it waits, a page keeps the visitor's last picture
                self.record.errors.append(f"shown {self.shown}, which this visitor never asked for")


async def browse(address: str, record: Record, until: float, number: int) -> None:
    """A real browser: an arrow key on the α slider every two seconds."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = await browser.new_page(bypass_csp=True)  # to wait for an expression needs eval
        page.on("pageerror", lambda error: record.errors.append(f"browser: {error}"))
        exact = '[data-testid="gauge-forget"][data-exact="true"]'
        try:
            await page.goto(f"{address}/?forget={number}", timeout=60_000)
            await page.wait_for_selector(exact, timeout=60_000)
            slider = page.locator('[data-testid="alpha"]')
            while time.monotonic() < until:
                await asyncio.sleep(2)
                started = time.monotonic()
                await slider.focus()
                before = page.url
                await page.keyboard.press(random.Random(started).choice(["ArrowLeft", "ArrowRight"]))
                await page.wait_for_function("before => location.href !== before", arg=before, timeout=60_000)
                await page.wait_for_selector(exact, timeout=60_000)
                record.seconds["real browser, one key"].append(time.monotonic() - started)
        except Exception as problem:
            record.errors.append(f"browser: {problem}")
        await browser.close()


def memory(pid: int) -> float:
    """Resident megabytes of a process."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))


def spent(pid: int | None) -> float:
    """Processor seconds of a process and of those that it has started; NaN where it is not known."""
    if pid is None:
        return math.nan
    server = psutil.Process(pid)
    return sum(sum(one.cpu_times()[:2]) for one in (server, *server.children(recursive=True)))


async def crowd(address: str, pid: int | None, sessions: int, seconds: float,
                browsers: int) -> tuple[Record, list[float]]:
    """All visitors at once; also the server's memory every five seconds, if its process is known."""
    record, sizes = Record(server=pid if sessions == 1 and not browsers else None), []
    until = time.monotonic() + seconds

    async def weigh() -> None:
        while time.monotonic() < until:
            sizes.append(memory(pid) if pid else math.nan)
            await asyncio.sleep(5)

    async def late(number: int) -> None:
        await asyncio.sleep(number * 0.2)  # nobody opens thirty pages in the same instant
        await Session(address, record, number).run(until, lively=number % 2 == 0)

    await asyncio.gather(weigh(), *(late(n) for n in range(sessions)),
                         *(browse(address, record, until, n) for n in range(browsers)))
    return record, sizes


def p95(values: list[float]) -> float:
    """The value that one in twenty exceeds."""
    return sorted(values)[min(len(values) - 1, int(0.95 * len(values)))]


def tell(sessions: int, record: Record, sizes: list[float], seconds: float) -> dict[str, object]:
    """Print one run as a table, and return it."""
    print(f"\n{sessions} sessions, {seconds / 60:.1f} minutes, {sum(map(len, record.seconds.values())):,} events, "
          f"{record.polls:,} further runs that pages asked for, {record.bytes / 1e6:.0f} MB sent")
    print(f"{'event to numbers':24}{'n':>7}{'median':>10}{'p95':>10}{'worst':>10}")
    for what, values in sorted(record.seconds.items()):
        print(f"{what:24}{len(values):7}" + "".join(f"{1000 * v:7.0f} ms" for v in
                                                    (median(values), p95(values), max(values))))
    if record.server:
        print("processor time of the server for one event, mean: " + ", ".join(
            f"{what} {1000 * mean(values):.0f} ms" for what, values in sorted(record.processor.items())))
    first_minute = sizes[min(12, len(sizes) - 1)]
    growth = sizes[-1] / first_minute - 1
    print(f"memory {sizes[0]:.0f} MB at the start, {first_minute:.0f} after a minute, {sizes[-1]:.0f} at the end "
          f"({growth:+.1%} after the first minute); errors: {len(record.errors)}")
    for error in record.errors[:10]:
        print(f"  {error}")
    return {"sessions": sessions, "seconds": dict(record.seconds), "memory_mb": sizes, "errors": record.errors}


def main() -> None:
    """Run the crowd once, or with growing numbers of sessions until p95 of a fresh point passes a second."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sessions", type=int, nargs="+", default=[30], help="several numbers: one run each")
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--browsers", type=int, default=2)
    parser.add_argument("--address", help="of a server that runs already, such as a proxy; its memory is not measured")
    arguments = parser.parse_args()
    runs = []
    for sessions in arguments.sessions:
        process, address = (None, arguments.address) if arguments.address else start_server({})
        try:
            time.sleep(0 if arguments.address else 5)  # the evaluator loads in the background
            before = spent(process and process.pid)
            record, sizes = asyncio.run(crowd(address, process.pid if process else None, sessions,
                                              60 * arguments.minutes, arguments.browsers))
            used = spent(process and process.pid) - before
        finally:
            if process:
                process.kill()
        runs.append(tell(sessions, record, sizes, 60 * arguments.minutes))
        print(f"processor time of the server {used:.0f} s; load averages of the machine at the end "
              + ", ".join(f"{load:.0f}" for load in os.getloadavg()))
    REPORT.parent.mkdir(exist_ok=True)
    REPORT.write_text(json.dumps(runs))


if __name__ == "__main__":
    main()
