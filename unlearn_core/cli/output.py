"""What is said: results on standard output, everything else on standard error, and progress as a bar."""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TextIO

from tqdm import tqdm

from unlearn_core.methods import method
from unlearn_core.methods.base import Value
from unlearn_core.progress import Progress
from unlearn_core.serving.choice import VERSION, Choice
from unlearn_core.study.run import Run


@contextmanager
def bar(arguments: argparse.Namespace) -> Iterator[Progress]:
    """A progress bar, if anybody can see it."""
    with tqdm(total=100, bar_format="{percentage:3.0f} %|{bar}| {elapsed}<{remaining} {postfix}", leave=False,
              disable=True if arguments.quiet or arguments.json else None) as shown:
        def progress(share: float, note: str) -> None:
            shown.set_postfix_str(note, refresh=False)
            shown.update(100 * share - shown.n)

        yield progress


def concluded(found: Run) -> dict[str, object]:
    """The verdict on a run, and what each check said, for JSON."""
    verdict = found.audit.verdict
    return {"level": str(verdict.level), "verdict": str(verdict),
            "checks": {mark.title: {"status": mark.status, "said": mark.said} for mark in verdict.marks}}


def described(chosen: Choice) -> dict[str, object]:
    """A choice, for JSON."""
    return {"key": chosen.key, "version": VERSION, "network": chosen.network, "forget": str(chosen.forget),
            "method": chosen.method, "settings": dict(chosen.settings), "seed": chosen.seed}


def short(value: Value) -> str:
    """A setting in few digits."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def print_heading(chosen: Choice) -> None:
    """What was asked for, in one line."""
    print(f"{method(chosen.method).title} on {chosen.subject.title}, forgetting {chosen.words} ({chosen.forget}), "
          f"seed {chosen.seed}: "
          + ", ".join(f"{name}={short(value)}" for name, value in chosen.settings))


def print_table(rows: list[list[str]]) -> None:
    """Rows, their columns aligned."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def print_json(found: object) -> None:
    """An answer in JSON, over several lines."""
    print(json.dumps(_plain(found), indent=1, allow_nan=False))


def say_json(found: object) -> None:
    """One line of JSON, if it can be heard."""
    say(json.dumps(_plain(found), allow_nan=False))


def say(line: str, stream: TextIO | None = None) -> None:
    """Print a line if it can be heard: nobody may be there to read it, or its file be on a full disk."""
    with suppress(OSError):
        print(line, file=stream, flush=True)


def drop_unread() -> None:
    """Forget what standard output would not take; Python would end with an error about it."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _plain(value: object) -> object:
    """JSON knows neither infinity nor NaN: they become null."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
