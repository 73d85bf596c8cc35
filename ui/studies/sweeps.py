"""A sweep from a page: in a process of its own, so that nobody's slider waits for it, and one at a time for all.

Where it runs and writes is the operator's to say, not the visitor's, because a Dask scheduler is trusted with code:
LACUNA_SCHEDULER is the address of a running one (else this machine), LACUNA_SWEEPS the folder of the results.
A sweep ends with its server, unless that is killed: then the next server of the folder shows it and can stop it.
"""

from __future__ import annotations

import atexit
import fcntl
import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

from ui.server.permission import STUDIES_ARE_THE_OPERATORS, visitors_may
from ui.server.runtime import engine
from ui.state import State
from ui.tables import data_table
from unlearn_core.assets import REPOSITORY
from unlearn_core.audit.gauges import KINDS
from unlearn_core.methods import method, positions
from unlearn_core.methods.base import Hyperparameter, Value
from unlearn_core.nets.request import CLASS, IMAGE, Request
from unlearn_core.serving import landscape
from unlearn_core.serving.choice import VERSION
from unlearn_core.study import comparison, results
from unlearn_core.study.results import SweepError
from unlearn_core.study.space import Range, Space
from unlearn_core.subjects.subject import Subject, subject

FOLDER = Path(os.environ.get("LACUNA_SWEEPS", REPOSITORY / "build" / "sweeps"))
SCHEDULER = os.environ.get("LACUNA_SCHEDULER", "")
WORKERS = 2
MOST = 2000
"""Runs of one sweep from a page; the command line has no such limit."""
NOTE = "last.json"
"""Names the last sweep of the folder. Its process holds this file locked as long as it lives."""


# -- the process ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Started:
    """The last sweep of the folder, running or ended, whichever server started it."""

    folder: Path
    about: str
    pid: int
    running: bool

    @property
    def lines(self) -> list[dict[str, Any]]:
        """What it has said so far, less what is being written or was cut by a full disk."""
        found = []
        for line in _text(self.folder / ".progress").splitlines():
            with suppress(ValueError):
                found.append(json.loads(line))
        return [line for line in found if isinstance(line, dict)]

    @property
    def reason(self) -> str:
        """Why it ended before it was done; empty if it did not, or was stopped."""
        last = (_text(self.folder / ".problems").strip().splitlines() or [""])[-1]
        if self.running or last == "Interrupted." or any("total" in line for line in self.lines):
            return ""
        return last or "The sweep was killed; it goes on from what had finished."


def _text(file: Path) -> str:
    try:
        return file.read_text("utf-8", "replace")
    except OSError:
        return ""


def last() -> Started | None:
    """The last sweep that some server has started here."""
    try:
        with (FOLDER / NOTE).open() as note:
            try:
                fcntl.flock(note, fcntl.LOCK_SH | fcntl.LOCK_NB)
                running = False
            except BlockingIOError:
                running = True
            said = json.load(note)
        found = Started(FOLDER / str(said["folder"]), str(said["about"]), int(said["pid"]), running)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return found if found.pid > 1 else None


_child: subprocess.Popen[bytes] | None = None


def start(space: Space, folder: Path, about: str) -> None:
    """Start a sweep unless one is running.

    Raises:
        OSError: if the folder cannot be made or written to.
    """
    global _child
    command = ["nice", "-n", "10", sys.executable, "-m", "unlearn_core", "sweep", "--json", "--out", str(folder),
               "--methods", *space.methods, "--networks", *space.networks, "--seeds", str(space.seeds),
               "--forget", *map(str, space.forget),
               "--workers", str(WORKERS), "--scheduler", SCHEDULER,
               *(f"--grid={name}={','.join(map(str, values))}" for name, values in space.grid.items())]
    folder.mkdir(parents=True, exist_ok=True)
    with (FOLDER / NOTE).open("a+") as note:
        try:
            fcntl.flock(note, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        with (folder / ".progress").open("wb") as log, (folder / ".problems").open("wb") as problems:
            _child = subprocess.Popen(
                command, cwd=REPOSITORY, stdout=log, stderr=problems, stdin=subprocess.DEVNULL,
                env={**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}, pass_fds=[note.fileno()])
        try:
            note.truncate(0)
            json.dump({"folder": folder.name, "about": about, "pid": _child.pid}, note)
            note.flush()
        except OSError:  # a full disk: what nobody could see or stop must not run
            _child.terminate()
            raise


def stop() -> None:
    """Interrupt the sweep and wait until it has ended; what has finished is kept."""
    end = time.monotonic() + 30
    if (current := last()) is not None and current.running:
        with suppress(ProcessLookupError):
            os.kill(current.pid, signal.SIGTERM)
        while (current := last()) is not None and current.running and time.monotonic() < end:
            time.sleep(0.1)


@atexit.register
def _leave() -> None:
    """The sweep that this server has started ends with it."""
    if _child is not None and _child.poll() is None:
        _child.terminate()


def shown(text: str) -> str:
    """A message of the sweep for visitors: where on the operator's disk the files are is not theirs to know."""
    for folder in (FOLDER, REPOSITORY, tempfile.gettempdir()):
        text = text.replace(f"{folder}/", "").replace(str(folder), "its folder")
    return text


# -- the form -------------------------------------------------------------------------------------------------


def sweeps(visitor: State) -> None:
    """Choose a grid for the method of the sidebar, run it, and see which setting comes nearest to retraining."""
    found = method(visitor.method)
    try:
        space = _space(visitor)
        total = len(space)
    except ValueError as problem:
        st.warning(f"{problem}.", icon=":material/grid_off:")
        return
    key = hashlib.sha256(repr((VERSION, space.methods, space.networks, space.forget, space.seeds,
                               sorted(space.grid.items()))).encode()).hexdigest()[:16]
    folder = FOLDER / key
    own = subject(visitor.network)
    about = (f"{found.title} on {own.title}, forgetting {'; '.join(request.words(own) for request in space.forget)}"
             f"{', one at a time' if len(space.forget) > 1 else ''}")
    told: list[str] = []
    try:
        table = results.load(folder, told.append)
    except SweepError as problem:
        st.error(f"{shown(str(problem))}.", icon=":material/error:")
        return
    for said in told:
        st.warning(shown(said), icon=":material/broken_image:")
    answered = int((table["status"] != "failed").sum())
    _control(space, total, answered, folder, about, table)
    if len(table):
        _show(table, space, folder, key)


def _space(visitor: State) -> Space:
    """The widgets of the form.

    Raises:
        ValueError: if they describe no sweep.
    """
    found = method(visitor.method)
    knobs = [knob.name for knob in found.hyperparameters]
    labels = {knob.name: f"{knob.label} ({knob.name})" for knob in found.hyperparameters}
    grid: dict[str, tuple[Value, ...]] = {name: (visitor.settings[found.name][name],) for name in knobs}
    taken: list[str] = []
    for place, column in zip(("First", "Second"), st.columns(2), strict=True):
        with column:
            free = [name for name in knobs if name not in taken]
            if not free:
                continue
            offered = free if place == "First" else ["", *free]
            name = st.selectbox(f"{place} knob", offered, index=0 if place == "First" else min(1, len(offered) - 1),
                                format_func=lambda n: labels[n] if n else "none", key=f"sweep.{found.name}.{place}")
            if name:
                taken.append(name)
                grid[name] = _values(found.name, next(k for k in found.hyperparameters if k.name == name))
    left, right = st.columns([3, 1])
    with left:
        own = subject(visitor.network)
        offered = {str(one): one for one in (visitor.forget, *_single(own))}
        forget = st.multiselect("What is forgotten, one at a time", list(offered),
                                [str(one) for one in _asked(visitor.forget)],
                                format_func=lambda text: offered[text].words(own), key="sweep.forget")
    with right:
        seeds = st.number_input("Seeds", 1, 10, 1, key="sweep.seeds", disabled=not found.seeded,
                                help="Runs of each setting." if found.seeded else "Nothing in this method is random.")
    if not forget:
        raise ValueError("forget: at least one request expected, got none")
    space = Space((found.name,), (visitor.network,), tuple(offered[text] for text in offered if text in forget),
                  int(seeds), grid)
    if len(space) > MOST:
        raise ValueError(f"runs: at most {MOST:,} from this page expected, got {len(space):,}; "
                         "`python -m unlearn_core sweep` has no such limit")
    return space


def _single(own: Subject) -> list[Request]:
    """Each class and each other group of a subject's images alone."""
    kinds = {CLASS: own.classes} | {kind: groups.names for kind, groups in own.groups.items()}
    return [Request((number,), kind) for kind, names in kinds.items() for number in range(len(names))]


def _asked(forget: Request) -> list[Request]:
    """What the sidebar asks for: groups one at a time, single images together."""
    return [forget] if forget.kind == IMAGE else [Request((number,), forget.kind) for number in forget.chosen]


def _values(name: str, knob: Hyperparameter) -> tuple[Value, ...]:
    """The values of a knob: all of some choices, or a range and how many points."""
    if knob.scale == "choice":
        return tuple(st.multiselect(f"Values of {knob.label}", knob.choices, list(knob.choices),
                                    key=f"sweep.{name}.{knob.name}.choices", help=knob.meaning))
    ticks = positions(knob)
    wide, narrow = st.columns([3, 1])
    with wide:
        low, high = st.select_slider(f"Range of {knob.label}", ticks, (ticks[0], ticks[-1]), help=knob.meaning,
                                     format_func=lambda v: f"{v:g}{knob.unit}", key=f"sweep.{name}.{knob.name}.range")
    with narrow:
        points = st.number_input("Points", 2, 100, 5, key=f"sweep.{name}.{knob.name}.points")
    return Range(low, high, int(points)).values(knob)


# -- running and results --------------------------------------------------------------------------------------


def _control(space: Space, total: int, answered: int, folder: Path, about: str, table: pd.DataFrame) -> None:
    current = last()
    if current is not None and current.running:
        if current.folder != folder:
            st.info(f"Another sweep is running ({current.about}); one runs at a time. Yours can start when it is done.",
                    icon=":material/hourglass_top:")
        _progress()
        return
    if current is not None and current.folder == folder and answered < total and current.reason:
        st.error(shown(current.reason), icon=":material/error:")
    where = f"the cluster at {SCHEDULER}" if SCHEDULER else f"{WORKERS} processes of this machine"
    with st.container(horizontal=True, vertical_alignment="center"):
        label = "Start" if not answered else "Go on" if answered < total else "All runs are there"
        if visitors_may() and st.button(label, icon=":material/play_arrow:", type="primary",
                                        disabled=answered >= total, key="sweep.start"):
            try:
                start(space, folder, about)
            except OSError as problem:
                st.error(f"folder: one that can be written to expected, got another ({problem.strerror}); whoever runs "
                         "the app can name one in LACUNA_SWEEPS.", icon=":material/error:")
            else:
                st.rerun()
        st.caption(f"{total:,} runs, {answered:,} of them finished, on {where}"
                   f"{_duration(space, total - answered, table)}. A sweep goes on when you leave; what has finished "
                   f"is never lost.{'' if visitors_may() else f' {STUDIES_ARE_THE_OPERATORS}'}")


def _duration(space: Space, missing: int, table: pd.DataFrame) -> str:
    """How long the rest will take on this machine, if anything is known of it."""
    seconds = table["elapsed"].median() if len(table) else float("nan")
    if seconds != seconds and (shipped := comparison.load(space.networks[0], space.forget[0])):
        entry = shipped.entries.get(space.methods[0])  # none of a method that is newer than what is shipped
        seconds = entry.values("seconds").mean() if entry and len(entry.measures) else float("nan")
    if SCHEDULER or not missing or seconds != seconds:
        return ""
    left = missing * seconds / WORKERS
    return f", about {left / 60:.0f} minutes" if left > 90 else f", about {max(left, 1):.0f} s and a few to begin"


@st.fragment(run_every=1.0)
def _progress() -> None:
    current = last()
    if current is None or not current.running:
        st.rerun()
    lines = current.lines
    reported = next((line for line in reversed(lines) if "share" in line), {"share": 0.0, "note": "starting workers"})
    st.progress(min(float(reported["share"]), 1.0), str(reported["note"]))
    for line in lines:
        if "said" in line:
            st.warning(shown(line["said"]), icon=":material/info:")
    if visitors_may() and st.button("Stop the sweep", key="sweep.stop", icon=":material/stop:",
                                    help="What has finished is kept, and the same sweep goes on from there."):
        stop()
        st.rerun()


def summary(table: pd.DataFrame, space: Space) -> pd.DataFrame:
    """One row per setting, nearest to retraining first: means over requests and seeds, gaps in points.

    The knobs that were varied come first. Without retrained networks the gaps are missing.
    """
    settings = pd.DataFrame([json.loads(text) for text in table["settings"]])
    settings = settings.loc[:, settings.nunique() > 1] if len(settings.drop_duplicates()) > 1 else settings.iloc[:, :1]
    reference = {}
    for request in space.forget:
        if (retrained := landscape.reference(engine(), space.networks[0], request)) is not None:
            reference[str(request)] = dict(zip(KINDS, retrained.mean(0), strict=True))
    gaps = {name: 100 * (table[name] - table["forget"].map(lambda c, n=gauge: reference.get(c, {}).get(n)))
            for name, gauge in (("forget_train", "forget"), ("retain_test", "retain"))}
    rows = settings.assign(
        gap=gaps["forget_train"].abs() + gaps["retain_test"].abs(), forget=gaps["forget_train"],
        retain=gaps["retain_test"], membership=100 * table["membership"], seconds=table["seconds"])
    groups = rows.groupby(list(settings.columns), sort=False)
    means = groups.mean().assign(runs=groups.size(), spread=(groups["gap"].max() - groups["gap"].min()) / 2)
    return means.sort_values("gap").reset_index()


def _show(table: pd.DataFrame, space: Space, folder: Path, key: str) -> None:
    done = table[table["status"] == "done"].reset_index(drop=True)
    for reason, number in table["error"][table["status"] != "done"].value_counts()[:3].items():
        st.warning(f"{number:,} runs gave no network: {reason}", icon=":material/block:")
    if done.empty:
        return
    found = summary(done, space)
    best = found.iloc[0]
    labels = {knob.name: knob.label for knob in method(space.methods[0]).hyperparameters}
    knobs = [name for name in labels if name in found.columns]
    said = ", ".join(f"{labels[name]} = " + (f"{best[name]:g}" if isinstance(best[name], float) else str(best[name]))
                     for name in knobs)
    if best["gap"] == best["gap"]:
        st.markdown(f"#### Nearest to retraining of {len(found):,} settings: {said}; {best['forget']:+.1f} points in "
                    f"forget and {best['retain']:+.1f} in retain accuracy")
    st.caption("How to read this: a row is a setting, nearest to retraining first. Gaps are in points from the mean of "
               "the retrained networks, averaged over requests and seeds; ± is half of their range. The best of many "
               "is chosen on the images it is judged on, and so looks a little better than it is.")
    number = st.column_config.NumberColumn
    data_table(found[[*knobs, "gap", "spread", "forget", "retain", "membership", "seconds", "runs"]],
                 hide_index=True, height=min(35 * (len(found) + 1) + 3, 420), column_config=labels | {
                     "gap": number("Gap ↓", format="%.2f", help="|forget gap| + |retain gap|, points."),
                     "spread": number("±", format="%.2f"), "forget": number("Forget gap →", format="%+.2f"),
                     "retain": number("Retain gap →", format="%+.2f"),
                     "membership": number("Membership", format="%.1f %%"),
                     "seconds": number("Time", format="%.2f s", help="Processor seconds."), "runs": "Runs"})
    with st.container(horizontal=True):
        st.download_button("All runs as Parquet", lambda: table.to_parquet(index=False), f"lacuna-sweep-{key}.parquet",
                           "application/vnd.apache.parquet", on_click="ignore", icon=":material/download:")
        st.download_button("All runs as CSV", lambda: table.to_csv(index=False), f"lacuna-sweep-{key}.csv", "text/csv",
                           on_click="ignore", icon=":material/download:")
