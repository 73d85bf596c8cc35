"""What a subject.toml says, and what is wrong with it."""

from __future__ import annotations

import difflib
import math
import os
import re
import reprlib
import stat
import tomllib
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from io import BufferedReader
from pathlib import Path
from typing import Any

from unlearn_core.nets.train import RECIPES, Recipe

DESCRIPTION = "subject.toml"
SIZES = (8, 512)
"""Fewest and most pixels along a side."""
LARGEST_BY_DEFAULT = 224
SANE = Recipe("adamw", epochs=15, batch_size=64, peak_lr=1e-3, weight_decay=0.05)
"""For networks that the project has no recipe for."""
_MOST_BYTES = 2**16
_MOST_DOTS = 200
"""In a line: what reads TOML takes a time that grows with the square of a dotted key's parts."""
_NAMED = 10
"""So many faults of a kind are told one by one, the others counted."""
_BRIEFLY = reprlib.Repr()
_BRIEFLY.maxstring = _BRIEFLY.maxother = 80


@dataclass(frozen=True)
class Description:
    """A subject.toml without a fault.

    Attributes:
        title: for people.
        about: what the images show, for people.
        architecture: as `models.build` knows it; whether it does is for `weights` to find out.
        size: pixels along a side; None for what the pictures suggest.
        channels: 1 or 3; None for what the pictures suggest.
        mean: of each channel, in [0, 1]; None for that of the training images.
        std: likewise.
        given_recipe: of a [recipe] table, what it leaves open filled in; None if there is no such table.
        layers: names for people by stage.
        licence: what may be done with the images, for people; empty where nothing is said.
        credit: whose they are, likewise.
    """

    title: str
    about: str
    architecture: str
    size: int | None
    channels: int | None
    mean: tuple[float, ...] | None
    std: tuple[float, ...] | None
    given_recipe: Recipe | None
    layers: Mapping[str, str]
    licence: str
    credit: str

    @property
    def recipe(self) -> Recipe:
        """How a network is trained here, where none is given."""
        return self.given_recipe or RECIPES.get(self.architecture, SANE)


def opened(file: Path) -> BufferedReader:
    """Open a regular file to read; a link or a device is never followed, and a pipe never waited for.

    Raises:
        OSError: if it is no regular file or cannot be opened.
    """
    if not stat.S_ISREG(file.lstat().st_mode):
        raise OSError("it is not a regular file")
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    handle = os.open(file, flags)
    if not stat.S_ISREG(os.fstat(handle).st_mode):  # it was replaced in between
        os.close(handle)
        raise OSError("it is not a regular file")
    return os.fdopen(handle, "rb")


def shown(name: str) -> str:
    """A name from the folder as part of a sentence: neither control characters nor halves of characters."""
    plain = "".join(c if unicodedata.category(c) not in ("Cc", "Cs", "Cf", "Zl", "Zp")
                    else c.encode("unicode_escape").decode() for c in name)
    return plain if len(plain) <= 80 else f"{plain[:77]}..."


_SIGNS = str.maketrans("*`~[]<>\\|$@", "∗ˋ∼()‹›/¦＄＠")
_IN_PLACE = ((re.compile(r"(?<![^\W_])_|_(?![^\W_])"), "ˍ"), (re.compile(r":(?=[\w/+-])"), "꞉"),
             (re.compile(r"www\.", re.IGNORECASE), "www․"),
             (re.compile(r"^([#+=>-]|\d+(?=[.)](?:\s|$)))"), "\u2060\\1"))


def plain(text: str) -> str:
    """What a folder calls something, for pages that format their text.

    Every sign that would be a link, emphasis, a tag, a formula or a list is one that looks like it, and lines are one.
    """
    text = " ".join(text.translate(_SIGNS).split())
    for sign, like in _IN_PLACE:
        text = sign.sub(like, text)
    return text


def reason(error: BaseException) -> str:
    """Why something went wrong, without the path that the operating system repeats."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error) or type(error).__name__
    return shown(text)


def limited(faults: list[str], what: str) -> list[str]:
    """The first faults of one kind, and how many more there are."""
    more = len(faults) - _NAMED
    return faults[:_NAMED] + ([f"The same kind of fault in {more:,} more {what}."] if more > 0 else [])


def described(folder: Path) -> tuple[Description | None, list[str]]:
    """Read a folder's subject.toml.

    Returns:
        What it says, or None if it has faults; and its faults, a sentence each.
    """
    file = folder / DESCRIPTION
    try:
        with opened(file) as stream:
            raw = stream.read(_MOST_BYTES + 1)
        if len(raw) > _MOST_BYTES:
            return None, [f"{DESCRIPTION}: at most {_MOST_BYTES >> 10} KiB expected."]
        text = raw.decode("utf-8")
        if any(line.count(".") > _MOST_DOTS for line in text.split("\n")):
            return None, [f"{DESCRIPTION}: lines with at most {_MOST_DOTS} dots expected."]
        said = tomllib.loads(text)
    except FileNotFoundError:
        return None, [f"{DESCRIPTION} is missing."]
    except OSError as error:
        return None, [f"{DESCRIPTION} cannot be read: {reason(error)}."]
    except (ValueError, RecursionError) as error:
        return None, [f"{DESCRIPTION} is not TOML: {reason(error)}."]
    faults: list[str] = []
    values = _checked(said, _KEYS, "", faults)
    for name in ("title", "about", "architecture"):
        if name not in said:
            faults.append(f"{DESCRIPTION}: {name} is missing.")
    table = said.get("recipe")
    chosen = _checked(table, _RECIPE, "recipe.", faults) if isinstance(table, dict) else None
    mean, std = values.get("mean"), values.get("std")
    if (mean is None) != (std is None):
        faults.append(f"{DESCRIPTION}: mean and std expected together, got one of them.")
    if faults:
        return None, faults
    default = RECIPES.get(values["architecture"], SANE)
    return Description(
        values["title"], values["about"], values["architecture"], values.get("size"), values.get("channels"),
        mean and tuple(map(float, mean)), std and tuple(map(float, std)),
        None if chosen is None else Recipe(**(asdict(default) | chosen)), values.get("layers", {}),
        values.get("licence", ""), values.get("credit", "")), []


Rule = tuple[Callable[[Any], bool], str]
"""Whether a value will do, and what is expected."""


def _checked(said: Mapping[str, Any], rules: Mapping[str, Rule], prefix: str, faults: list[str]) -> dict[str, Any]:
    """The values that obey their rules; a fault is added for each that does not, and for each unknown key."""
    good, unknown = {}, [name for name in said if name not in rules]
    for name in unknown[:_NAMED]:
        near = difflib.get_close_matches(name.lower()[:80], rules, 1, 0.5)
        meant = f"; was {prefix}{near[0]} meant?" if near else f", only {', '.join(rules)}."
        faults.append(f"{DESCRIPTION}: there is no {prefix}{shown(name)}{meant}")
    if more := unknown[_NAMED:]:
        faults.append(f"{DESCRIPTION}: nor are there {len(more):,} more of its keys.")
    for name in (name for name in said if name in rules):
        if rules[name][0](said[name]):
            good[name] = said[name]
        else:
            faults.append(f"{DESCRIPTION}: {prefix}{name}: {rules[name][1]} expected, got {_briefly(said[name])}.")
    return good


def _briefly(value: object) -> str:
    try:
        return shown(_BRIEFLY.repr(value))
    except ValueError:  # Python writes no number of so many digits
        return "a number of thousands of digits"


def _text(most: int) -> Rule:
    return (lambda value: isinstance(value, str) and value.strip() != "" and len(value) <= most
            and not any(unicodedata.category(c) == "Cc" and c != "\n" for c in value),
            f"a text of 1 to {most:,} characters")


def _whole(low: int, high: int) -> Rule:
    return lambda value: type(value) is int and low <= value <= high, f"a whole number from {low} to {high:,}"


def _real(low: float, high: float, above: bool = False) -> Rule:
    return (lambda value: type(value) in (int, float) and math.isfinite(value) and low <= value <= high
            and not (above and value == low), f"a number {'above' if above else 'from'} {low:g} and at most {high:g}")


def _numbers(low: float, above: bool) -> Rule:
    one, words = _real(low, 1, above)
    return lambda value: isinstance(value, list) and len(value) in (1, 3) and all(map(one, value)), (
        f"a list with {words} for each channel")


def _names(value: object) -> bool:
    return isinstance(value, dict) and all(_text(80)[0](name) for name in value.values())


_KEYS: dict[str, Rule] = {
    "title": _text(80), "about": _text(300), "licence": _text(2000), "credit": _text(2000),
    "architecture": _text(80), "size": _whole(*SIZES),
    "channels": (lambda value: type(value) is int and value in (1, 3), "1 or 3"),
    "mean": _numbers(0, False), "std": _numbers(0, True),
    "recipe": (lambda value: isinstance(value, dict), "a table"),
    "layers": (_names, "a table of stages with their names for people"),
}
_RECIPE: dict[str, Rule] = {
    "optimiser": (lambda value: value in ("sgd", "adamw"), "sgd or adamw"),
    "epochs": _whole(1, 10_000), "batch_size": _whole(2, 100_000), "peak_lr": _real(0, 100, True),
    "weight_decay": _real(0, 100), "shift": _whole(0, SIZES[0] - 1),
    "flip": (lambda value: isinstance(value, bool), "true or false"),
}
assert set(_RECIPE) == {field.name for field in fields(Recipe)}
