"""A choice as one table of names and values: an address of the app and a state file write the same one.

A state file is that table as TOML. It may have a second table, `[page]`, of what a page shows beyond the choice; who
only runs the choice passes over it.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlencode

from unlearn_core.methods.base import Value
from unlearn_core.nets.request import parsed
from unlearn_core.serving.choice import Choice, choice
from unlearn_core.subjects import openings

VERSION = "1"
"""Of the table; an address or file of another one is not read as if it were of this."""
NEEDED = ("network", "forget", "method")
PAGE = "page"
MOST_BYTES = 2**20
"""Of a state file."""


def table(chosen: Choice) -> dict[str, Value]:
    """Everything that makes the choice; a seed of 0 is left out."""
    named: dict[str, Value] = {"v": VERSION, "network": chosen.network, "forget": str(chosen.forget),
                               "method": chosen.method}
    return named | ({"seed": chosen.seed} if chosen.seed else {}) | dict(chosen.settings)


def written(value: Value) -> str:
    """A value within an address: as short as it can be while it is read back as the same."""
    short = f"{value:g}" if isinstance(value, float) else str(value)
    return short if not isinstance(value, float) or float(short) == value else repr(value)


def permalink(chosen: Choice) -> str:
    """The address of the choice in the app, below wherever the app is."""
    return "/?" + urlencode({name: written(value) for name, value in table(chosen).items()}, safe=",")


def state_file(chosen: Choice, page: Mapping[str, str] | None = None) -> str:
    """The choice as TOML, its address in a comment, and what a page shows beyond it."""
    lines = ["# A state of Lacuna: python -m unlearn_core run --state FILE", f"# In the app: {permalink(chosen)}",
             *_lines(table(chosen)), *(["", f"[{PAGE}]", *_lines(page)] if page else [])]
    return "\n".join(lines) + "\n"


def _lines(values: Mapping[str, Value]) -> list[str]:
    # A JSON string is a TOML string too, as long as no character is written as a pair of surrogates.
    return [f"{name} = {json.dumps(value, ensure_ascii=False)}" for name, value in values.items()]


def read(content: bytes, name: str) -> tuple[dict[str, Value], dict[str, str]]:
    """The table of a state file, and what a page shows beyond it. Whether the values fit each other is not looked at.

    Args:
        content: of the file.
        name: of the file, for the sentences.

    Raises:
        ValueError: for a file that is none, in a sentence.
    """
    expected = f"state: a state file expected, got {name}"
    try:
        given = tomllib.loads(content.decode("utf-8"))
    except ValueError as problem:  # no UTF-8, or no TOML
        raise ValueError(f"{expected}, which is no TOML ({problem})") from None
    page = given.pop(PAGE, {})
    if not (isinstance(page, dict) and all(isinstance(value, str) for value in page.values())):
        raise ValueError(f"{expected}, in which {PAGE} is no table of words")
    for key, value in given.items():
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise ValueError(f"{expected}, in which {key} is neither a number nor a word")
        if key == "seed" and not isinstance(value, int):
            raise ValueError(f"{expected}, in which seed is no whole number")
    if missing := [key for key in NEEDED if not isinstance(given.get(key), str)]:
        raise ValueError(f"{expected}, which does not say in words: {', '.join(missing)}")
    if str(given.get("v", VERSION)) != VERSION:
        raise ValueError(f"{expected}, which was written by another version")
    return given, page


def load_state(file: Path) -> Choice:
    """The choice of a state file; knobs that it leaves out are as the request opens.

    Raises:
        ValueError: for a file that is none, in a sentence.
        OSError: if it cannot be read.
    """
    if not file.is_file():
        raise ValueError(f"state: a state file expected, got {file}, which is no file")
    if file.stat().st_size > MOST_BYTES:
        raise ValueError(f"state: a state file expected, got {file}, which is larger than a megabyte")
    given, _ = read(file.read_bytes(), str(file))
    given.pop("v", None)
    network, forget, method = (str(given.pop(name)) for name in NEEDED)
    seed, request = int(given.pop("seed", 0)), parsed(forget)
    checked = choice(network, request, method, given, seed)
    return choice(network, request, method, openings.start(network, checked.forget, method) | given, seed)
