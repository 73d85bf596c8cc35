"""`list`: what there is to choose from."""

from __future__ import annotations

import argparse

from unlearn_core.cli.output import print_json, print_table, short
from unlearn_core.cli.typed import Declare
from unlearn_core.methods import METHODS
from unlearn_core.methods.base import Hyperparameter
from unlearn_core.serving.choice import VERSION
from unlearn_core.subjects.subject import subjects


def declare(command: Declare) -> None:
    """Add the command."""
    command("list", list_all, "networks, methods and their hyper-parameters")


def list_all(arguments: argparse.Namespace) -> int:
    """Networks, classes, methods and knobs."""
    if arguments.json:
        print_json({
            "version": VERSION, "networks": {name: found.title for name, found in subjects().items()},
            "classes": {name: found.classes for name, found in subjects().items()},
            "methods": {name: {"title": found.title, "family": found.family, "about": found.about,
                               "paper": found.paper, "needs": sorted(found.needs), "seeded": found.seeded,
                               "hyperparameters": {knob.name: _declared(knob) for knob in found.hyperparameters}}
                        for name, found in METHODS.items()}})
        return 0
    print("Networks: " + ", ".join(f"{name} ({found.title})" for name, found in subjects().items()))
    sets: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for network, own in subjects().items():
        sets.setdefault(("class", own.classes), []).append(network)
        for kind, groups in own.groups.items():
            sets.setdefault((kind, groups.names), []).append(network)
    for (kind, names), networks in sets.items():
        print(f"Each {kind} of {', '.join(networks)}: " + ", ".join(f"{i} {name}" for i, name in enumerate(names)))
    for name, found in METHODS.items():
        print(f"\n{name}: {found.title}, {found.family}. {found.about}")
        print_table([["", knob.name, f"{short(knob.default)}{knob.unit}", _allowed(knob), knob.source]
                      for knob in found.hyperparameters])
    return 0


def _declared(knob: Hyperparameter) -> dict[str, object]:
    declared: dict[str, object] = {"default": knob.default, "scale": knob.scale, "unit": knob.unit,
                                   "meaning": knob.meaning, "source": knob.source}
    if knob.scale == "choice":
        return declared | {"choices": knob.choices}
    return declared | {"low": knob.low, "high": knob.high}


def _allowed(knob: Hyperparameter) -> str:
    if knob.scale == "choice":
        return " | ".join(map(str, knob.choices))
    return f"{knob.low:g} to {knob.high:g}{' (log)' if knob.scale == 'log' else ''}"
