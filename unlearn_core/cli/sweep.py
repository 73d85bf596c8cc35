"""`sweep`: every combination, here or on a Dask cluster."""

from __future__ import annotations

import argparse
import math
import sys
import time
from contextlib import suppress
from pathlib import Path

from tqdm import tqdm

from unlearn_core.cli.output import bar, drop_unread, say, say_json
from unlearn_core.cli.typed import FORGET, Declare, add_quiet, pairs, value_of
from unlearn_core.methods import METHODS
from unlearn_core.methods.base import Value
from unlearn_core.nets.request import read
from unlearn_core.progress import Progress
from unlearn_core.study.cluster import connect
from unlearn_core.study.results import WHOLE, load
from unlearn_core.study.space import Range, Space
from unlearn_core.study.sweep import Tally, sweep
from unlearn_core.subjects.subject import bundled, subject

LOG_SECONDS = 10.0
"""Between two lines of progress where there is no terminal to draw a bar on."""


def declare(command: Declare) -> None:
    """Add the command."""
    many = command("sweep", sweep_many, "run every combination, here or on a Dask cluster; start again to resume")
    many.add_argument("--methods", nargs="+", required=True, metavar="METHOD", help="names, or: all")
    many.add_argument("--networks", nargs="+", default=[next(iter(bundled()))], metavar="NETWORK")
    many.add_argument("--forget", nargs="+", default=["0"], metavar="0,3",
                      help=f"requests, each {FORGET}; or: each, for every class alone")
    many.add_argument("--seeds", type=int, default=1, help="runs of each setting of a method that has any randomness")
    many.add_argument("--grid", nargs="+", action="extend", default=[], metavar="name=values",
                      help="values as 1,2,3 or low:high:points, spread as the slider is")
    many.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="of the results")
    many.add_argument("--scheduler", default="", metavar="ADDRESS",
                      help="of a running Dask scheduler, such as tcp://10.0.0.1:8786 (default: this machine)")
    many.add_argument("--workers", type=int, default=2, help="processes on this machine (default: 2)")
    add_quiet(many, "no progress")


def sweep_many(arguments: argparse.Namespace) -> int:
    """Every combination; with --json one object a line: progress, remarks, and at the end the tally.

    Whether anybody can read that, and whether there is room for it, changes neither the runs nor the exit code.
    """
    first, forget = subject(arguments.networks[0]), arguments.forget
    if forget == ["each"]:
        forget = [str(label) for label in range(len(first.classes))]
    space = Space(tuple(METHODS) if arguments.methods == ["all"] else tuple(arguments.methods),
                  tuple(arguments.networks), tuple(read(text, first.images.train) for text in forget),
                  arguments.seeds,
                  {name: _values(text) for name, text in pairs("grid", arguments.grid).items()})

    def tell(said: str) -> None:
        if arguments.json:
            say_json({"said": said})
        else:
            with suppress(OSError):
                tqdm.write(said, file=sys.stderr)

    try:
        with connect(arguments.scheduler, arguments.workers) as client, bar(arguments) as progress:
            if arguments.json:
                progress = _lines()
            elif not (arguments.quiet or sys.stderr.isatty()):
                progress = _log()
            tally = sweep(space, arguments.out, client, progress, tell)
        _conclude(arguments, tally)
    except KeyboardInterrupt:
        tell(f"What has finished is in {arguments.out}; the same sweep goes on from there.")
        raise
    finally:
        drop_unread()
    return 1 if tally.failed else 0


def _values(text: str) -> Range | tuple[Value, ...]:
    if ":" not in text:
        return tuple(map(value_of, text.split(",")))
    try:
        low, high, points = text.split(":")
        return Range(float(low), float(high), int(points))
    except ValueError:
        raise ValueError(f"grid: values as 1,2,3 or low:high:points expected, got {text!r}") from None


def _lines() -> Progress:
    """Progress as one JSON object a line, when there is any."""
    said = ""

    def progress(share: float, note: str) -> None:
        nonlocal said
        if note != said:
            said = note
            say_json({"share": share, "note": note})

    return progress


def _log() -> Progress:
    """Progress as a line now and then, for a file that is read later."""
    last = -math.inf

    def progress(share: float, note: str) -> None:
        nonlocal last
        if time.monotonic() >= last + LOG_SECONDS:
            last = time.monotonic()
            say(f"{share:4.0%}, {note}", sys.stderr)

    return progress


def _conclude(arguments: argparse.Namespace, tally: Tally) -> None:
    if arguments.json:
        say_json({"total": tally.total, "kept": tally.kept, "ended": dict(tally.ended),
                  "folder": str(arguments.out)})
        return
    ended = "".join(f", {number:,} {status}" for status, number in tally.ended.items())
    say(f"{tally.total:,} runs: {tally.kept:,} were there before{ended}. Results: {arguments.out / WHOLE}")
    if tally.failed:
        found = load(arguments.out)
        for reason, number in found["error"][found["status"] == "failed"].value_counts()[:5].items():
            say(f"Failed {number:,} times: {reason}", sys.stderr)
        say("The same command tries the failed runs again.", sys.stderr)
