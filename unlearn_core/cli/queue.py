"""`queue`: forget one request after another, and audit all of them again after each."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from unlearn_core.audit.accuracy import Change
from unlearn_core.cli.output import bar, print_json, print_table
from unlearn_core.cli.typed import FORGET, Declare, add_quiet, pairs, unfinished, value_of
from unlearn_core.methods import METHODS, method
from unlearn_core.nets.request import Request, read
from unlearn_core.progress import stage
from unlearn_core.study.queue import MOST, Trail, checked_queue
from unlearn_core.study.queued import Shipped, load, rows, run_of
from unlearn_core.subjects.subject import bundled, subject

NAME = "queue"
"""Of the two files."""


def declare(command: Declare) -> None:
    """Add the command."""
    parser = command("queue", forget_in_turn, f"forget up to {MOST} requests one after another")
    parser.add_argument("--network")
    parser.add_argument("--forget", action="append", required=True, metavar="0,3",
                        help="one request; give it again for each further one, in their order: "
                        + FORGET.replace(" (default: 0)", ""))
    parser.add_argument("--methods", nargs="+", required=True, metavar="METHOD", help="names, or: all")
    parser.add_argument("--set", nargs="+", action="extend", default=[], metavar="name=value",
                        help="knobs, of one method alone")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, metavar="FOLDER", help=f"write {NAME}.csv and {NAME}.parquet there")
    add_quiet(parser)


def forget_in_turn(arguments: argparse.Namespace) -> int:
    """Each method on the whole queue: erosion, reversal, and every request after each step."""
    network = arguments.network or next(iter(bundled()))
    own, names = subject(network), list(METHODS) if arguments.methods == ["all"] else arguments.methods
    requests = checked_queue([read(text, own.images.train) for text in arguments.forget], own.images.train,
                             own.images.test)
    given = {name: value_of(text) for name, text in pairs("set", arguments.set).items()}
    if given and len(names) > 1:
        raise ValueError(f"set: knobs of one method alone expected, got {len(names)} methods")
    settings = {name: method(name).settings(given) for name in names}
    if arguments.out:
        arguments.out.mkdir(parents=True, exist_ok=True)
    trails: list[Trail] = []
    with bar(arguments) as progress:
        for i, name in enumerate(names):
            trails.append(run_of(network, requests, name, settings[name], arguments.seed, stage(
                progress, i / len(names), (i + 1) / len(names), method(name).title)))
    shipped = load(network)
    table = [row for trail in trails for row in rows(trail, network, shipped)]
    if arguments.out:
        _write(table, arguments.out)
    ended = {trail.method: trail.ended for trail in trails if trail.ended}
    if arguments.json:
        print_json({"network": network, "queue": list(map(str, requests)), "rows": table, "ended": ended})
    else:
        print(f"{own.title} forgets in turn: " + ", ".join(f"{i}. {request.words(own)}"
                                                           for i, request in enumerate(requests, 1)))
        for trail in trails:
            _print(trail, shipped, requests)
        if arguments.out:
            print(f"Written: {arguments.out / NAME}.csv and {NAME}.parquet, {len(table)} rows.")
    return 1 if ended else 0


def _write(table: list[dict[str, object]], folder: Path) -> None:
    import pandas as pd

    frame = pd.DataFrame(table)
    with unfinished(folder / f"{NAME}.csv", "out") as file:
        frame.to_csv(file, index=False)
    with unfinished(folder / f"{NAME}.parquet", "out") as file:
        frame.to_parquet(file, index=False)


def _print(trail: Trail, shipped: Shipped, requests: Sequence[Request]) -> None:
    """A row for each step: erosion, reversal, then every request so far."""
    print(f"\n{method(trail.method).title}, in points; the rest was named rightly in "
          f"{trail.original.kept.share:.1%} of {trail.original.kept.images:,} images before.")
    lines = [["After", "Erosion", "from retraining", "Reversal", *map(str, requests)]]
    for step, at in enumerate(trail.steps):
        back = trail.reversal(step)
        lines.append([str(step + 1), _said(trail.erosion(step)), _said(shipped.against(trail, step)),
                      f"{_said(back[0])} of {requests[back[1]]}" if back and back[0].value else _said(back and back[0]),
                      *(f"{count.share:.1%}" for count in at.asked), *("" for _ in requests[step + 1:])])
    print_table(lines)
    if trail.ended:
        print(f"It could not go on. {trail.ended}")


def _said(found: Change | None) -> str:
    return "none" if found is None else "{:+.1f} ({:+.1f} to {:+.1f})".format(*(100 * value for value in found))
