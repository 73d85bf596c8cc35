"""`check`, `prepare` and `convert`: a subject of one's own."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from unlearn_core.cli.output import bar, print_json, say
from unlearn_core.cli.typed import Declare, add_quiet
from unlearn_core.nets.registered import register
from unlearn_core.subjects import own


def declare(command: Declare) -> None:
    """Add the commands."""
    for name, function, about in (
            ("check", check_folder, "say everything that is wrong with a subject of your own"),
            ("prepare", prepare_folder, "make a subject of your own ready; start again to resume")):
        parser = command(name, function, about)
        parser.add_argument("folder", type=Path, help="with a subject.toml (see docs/your-own.md)")
        add_quiet(parser)
        parser.add_argument("--architecture", nargs="+", default=[], metavar="pkg.mod:build", help="functions of yours "
                            "that make a network, which a subject.toml may then call for by name (docs/your-own.md)")
        if name == "prepare":
            parser.add_argument("--references", nargs="+", default=[], metavar="REQUEST", help="retrain networks "
                                "without these to compare with: the name of a class, person:Anna, or numbers as for "
                                "--forget")
            parser.add_argument("--seeds", type=int, default=own.SEEDS, help="networks for each (default: "
                                "%(default)s; some checks of the verdict need 3)")
    other = command("convert", convert_file, "write the weights of a .pt file as safetensors; nothing in it runs")
    other.add_argument("file", type=Path, help="made by torch.save of a network's state_dict()")
    other.add_argument("--out", type=Path, metavar="FILE", help="(default: model.safetensors beside it)")


def check_folder(arguments: argparse.Namespace) -> int:
    """Everything that is wrong with a subject of one's own, a sentence a fault."""
    register(arguments.architecture)
    with bar(arguments) as progress:
        faults = own.check(arguments.folder, progress)
    if arguments.json:
        print_json({"faults": faults})
    else:
        print("\n".join(faults) or "Nothing is wrong; it can be prepared.")
    return 1 if faults else 0


def prepare_folder(arguments: argparse.Namespace) -> int:
    """Decode the pictures of a subject of one's own and train its networks, after saying how long that takes."""
    register(arguments.architecture)
    expected = own.estimate(arguments.folder, arguments.references, arguments.seeds)
    if not (arguments.json or arguments.quiet):
        say(str(expected), sys.stderr)
    with bar(arguments) as progress:
        accuracy = own.prepare(arguments.folder, progress, expected, arguments.references, arguments.seeds)
    if arguments.json:
        print_json({"pictures": expected.pictures, "accuracy": accuracy})
    else:
        print(f"Ready: the network names {accuracy:.1%} of the test pictures rightly.")
    return 0


def convert_file(arguments: argparse.Namespace) -> int:
    """The weights of a .pt file as safetensors."""
    target = arguments.out or arguments.file.with_name("model.safetensors")
    weights = own.convert(arguments.file, target)
    if arguments.json:
        print_json({"weights": weights, "file": str(target)})
    else:
        print(f"{weights:,} tensors are in {target}.")
    return 0
