"""What was typed: the options that several commands share, and how their values are read."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from unlearn_core.files import replacing
from unlearn_core.methods import METHODS
from unlearn_core.methods.base import Settings, Value
from unlearn_core.nets.request import read
from unlearn_core.serving import fields
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
    parser.add_argument("method", nargs="?")
    parser.add_argument("--state", type=Path, metavar="FILE", help="a state file, as the app hands out, in place of "
                        "method, network, request and seed; --set overrides it")
    parser.add_argument("--network")
    parser.add_argument("--forget", metavar="0,3", help=FORGET)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--opening", action="store_true", help="start from what the app opens this request with "
                        "(if it has an opening) instead of the general defaults; --set overrides either")
    parser.add_argument("--set", nargs="+", action="extend", default=[], metavar="name=value")
    add_quiet(parser)


def choice_of(arguments: argparse.Namespace) -> Choice:
    """The choice that `add_choice`'s arguments make."""
    settings = {name: value_of(text) for name, text in pairs("set", arguments.set).items()}
    if arguments.state is not None:
        return _changed(arguments, settings)
    if arguments.method is None:
        raise ValueError(f"method: one of {', '.join(METHODS)}, or --state with a file, expected, got none")
    network = arguments.network or next(iter(bundled()))
    forget, seed = read(arguments.forget or "0", subject(network).images.train), arguments.seed or 0
    if arguments.opening:
        checked = choice(network, forget, arguments.method, settings)
        settings = openings.start(checked.network, checked.forget, checked.method) | settings
    return choice(network, forget, arguments.method, settings, seed)


def _changed(arguments: argparse.Namespace, settings: Settings) -> Choice:
    """The choice of the state file that was named, with some knobs set otherwise."""
    twice = [name for name in ("method", "network", "forget", "seed") if getattr(arguments, name) is not None]
    if twice or arguments.opening:
        raise ValueError(f"state: what stands in the file is not given again, got {', '.join(twice) or 'opening'} too")
    found = fields.load_state(arguments.state)
    arguments.method = found.method  # a refusal is told by its name
    return choice(found.network, found.forget, found.method, {**dict(found.settings), **settings}, found.seed)


@contextmanager
def unfinished(file: Path, option: str) -> Iterator[Path]:
    """A file to write, which gets that name when all went well; made at once, so that no work is done in vain.

    Raises:
        ValueError: if nothing can be written there, in a sentence that begins with the option.
    """
    named, wanted = file.resolve(), f"{option}: a file in an existing folder, both open to writing, expected, got"
    if named.exists() and not (named.is_file() and os.access(named, os.W_OK)):  # a device must not be replaced either
        raise ValueError(f"{wanted} {file}")
    with replacing(named) as temporary:
        try:
            temporary.touch()
        except OSError as error:
            raise ValueError(f"{wanted} {file} ({(error.strerror or str(error)).lower()})") from error
        yield temporary


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
