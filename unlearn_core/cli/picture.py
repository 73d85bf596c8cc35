"""`picture`, `tables` and `gallery`: what is handed on of a run beside its evidence sheet."""

from __future__ import annotations

import argparse
from pathlib import Path

from unlearn_core.cli.output import bar, described, print_heading, print_json
from unlearn_core.cli.typed import Declare, add_choice, choice_of, unfinished


def declare(command: Declare) -> None:
    """Add the commands."""
    one = command("picture", make_picture, "unlearn once and write one file of the live picture")
    add_choice(one)
    one.add_argument("--out", type=Path, required=True, metavar="FILE",
                     help="such as picture.html; opens in any browser, without a network")
    many = command("tables", make_tables, "unlearn once and write all its tables")
    add_choice(many)
    many.add_argument("--out", type=Path, required=True, metavar="FILE",
                      help="such as tables.zip; has each as CSV and as Parquet")
    several = command("gallery", make_gallery, "write index.html beside files of the command picture")
    several.add_argument("folder", type=Path, help="with the pictures")


def make_picture(arguments: argparse.Namespace) -> int:
    """One run as one file of the live picture."""
    from unlearn_core.picture.file import produce

    chosen = choice_of(arguments)
    with unfinished(arguments.out, "out") as file, bar(arguments) as progress:
        file.write_text(produce(chosen, progress), "utf-8")
    if arguments.json:
        print_json(described(chosen) | {"file": str(arguments.out), "bytes": arguments.out.stat().st_size})
        return 0
    print_heading(chosen)
    print(f"Written: {arguments.out}, {arguments.out.stat().st_size / 1e6:.1f} MB. Opens without a network.")
    return 0


def make_tables(arguments: argparse.Namespace) -> int:
    """One run as tables: gauges, checks, classes, layers, images."""
    from unlearn_core.sheet import evidence, tables

    chosen = choice_of(arguments)
    with unfinished(arguments.out, "out") as file, bar(arguments) as progress:
        made = tables.tables(evidence.own_engine(), *evidence.outcome(chosen, progress))
        file.write_bytes(tables.archive(made))
    rows = {name: len(frame) for name, frame in made.items()}
    if arguments.json:
        print_json(described(chosen) | {"file": str(arguments.out), "rows": rows})
        return 0
    print_heading(chosen)
    print(f"Written: {arguments.out} with " + ", ".join(f"{name} ({n:,} rows)" for name, n in rows.items()))
    return 0


def make_gallery(arguments: argparse.Namespace) -> int:
    """A page that lists the pictures of a folder."""
    from unlearn_core.picture import gallery

    listed = list(map(str, gallery.write(arguments.folder)))
    if arguments.json:
        print_json({"file": str(arguments.folder / gallery.INDEX), "pictures": listed})
    else:
        print(f"Written: {arguments.folder / gallery.INDEX}, with {len(listed)} picture{'s' * (len(listed) > 1)}.")
    return 0
