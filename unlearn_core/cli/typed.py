"""What was typed: the options that several commands share, and how their values are read."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from contextlib import suppress

from unlearn_core.methods.base import Value
from unlearn_core.nets.request import read
from unlearn_core.serving.choice import Choice, choice
from unlearn_core.subjects import openings
from unlearn_core.subjects.subject import bundled, subject

Declare = Callable[[str, Callable[[argparse.Namespace], int], str], argparse.ArgumentParser]
"""Adds a command: its name, the function that answers with the exit code, and what it is for."""

FORGET = "class numbers, or a kind and numbers: 0,3 person:2 image:17,40 (default: 0)"


def add_quiet(parser: argparse.ArgumentParser, about: str = "no progress bar") -> None:
    """The option that keeps progress to itself."""
    parser.add_argument("--quiet", action="store_true", help=about)


def add_choice(parser: argparse.ArgumentParser) -> None:
    """Everything that `choice_of` reads: what runs on what, to forget what."""
    parser.add_argument("method")
    parser.add_argument("--network", default=next(iter(bundled())))
    parser.add_argument("--forget", default="0", metavar="0,3", help=FORGET)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--opening", action="store_true", help="start from what the app opens this request with "
                        "(if it has an opening) instead of the general defaults; --set overrides either")
    parser.add_argument("--set", nargs="+", action="extend", default=[], metavar="name=value")
    add_quiet(parser)


def choice_of(arguments: argparse.Namespace) -> Choice:
    """The choice that `add_choice`'s arguments make."""
    settings = {name: value_of(text) for name, text in pairs("set", arguments.set).items()}
    forget = read(arguments.forget, subject(arguments.network).images.train)
    if arguments.opening:
        checked = choice(arguments.network, forget, arguments.method, settings)
        settings = openings.start(checked.network, checked.forget, checked.method) | settings
    return choice(arguments.network, forget, arguments.method, settings, arguments.seed)


def pairs(option: str, given: Sequence[str]) -> dict[str, str]:
    """Values by name, of words such as alpha=4; refused in a sentence that begins with the option."""
    found: dict[str, str] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            raise ValueError(f"{option}: name=value expected, got {text!r}")
        if name in found:
            raise ValueError(f"{option}: each name once expected, got {name} twice")
        found[name] = value
    return found


def value_of(text: str) -> Value:
    """A number if it is one, else the word; the knob's declaration says whether it is allowed."""
    for kind in (int, float):
        with suppress(ValueError):
            return kind(text)
    return text
