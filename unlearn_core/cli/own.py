"""`check` and `prepare`: a subject of one's own."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from unlearn_core.cli.output import bar, print_json, say
from unlearn_core.cli.typed import Declare, add_quiet
from unlearn_core.subjects import own


def declare(command: Declare) -> None:
    """Add the commands."""
    for name, function, about in (
            ("check", check_folder, "say everything that is wrong with a subject of your own"),
            ("prepare", prepare_folder, "make a subject of your own ready; start again to resume")):
        parser = command(name, function, about)
        parser.add_argument("folder", type=Path, help="with a subject.toml (see docs/your-own.md)")
        add_quiet(parser)


def check_folder(arguments: argparse.Namespace) -> int:
    """Everything that is wrong with a subject of one's own, a sentence a fault."""
    with bar(arguments) as progress:
        faults = own.check(arguments.folder, progress)
    if arguments.json:
        print_json({"faults": faults})
    else:
        print("\n".join(faults) or "Nothing is wrong; it can be prepared.")
    return 1 if faults else 0


def prepare_folder(arguments: argparse.Namespace) -> int:
    """Decode the pictures of a subject of one's own and train its network, after saying how long that takes."""
    expected = own.estimate(arguments.folder)
    if not (arguments.json or arguments.quiet):
        say(str(expected), sys.stderr)
    with bar(arguments) as progress:
        accuracy = own.prepare(arguments.folder, progress, expected)
    if arguments.json:
        print_json({"pictures": expected.pictures, "accuracy": accuracy})
    else:
        print(f"Ready: the network names {accuracy:.1%} of the test pictures rightly.")
    return 0
