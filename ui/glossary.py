"""The terms of the field, each in three depths, and the way from a term in a text to the lesson's step about it."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path

from unlearn_core.assets import REPOSITORY

FILE = REPOSITORY / "lessons" / "glossary.toml"
DEPTHS = ("plain", "student", "paper")
_LINK = re.compile(r"\[[^\]]*\]\([^)]*\)")


@dataclass(frozen=True)
class Term:
    """A term.

    Attributes:
        title: as a heading.
        also: the words in a text that lead to it.
        plain: a sentence for who hovers over it.
        student: for who reads on.
        paper: as the field writes it.
        source: where that is from.
        lesson: the lesson that shows it, by name, or a page that does.
        step: the step of it; 0 of a page.
    """

    title: str
    also: tuple[str, ...]
    plain: str
    student: str
    paper: str
    source: str
    lesson: str
    step: int

    @property
    def address(self) -> str:
        """Of its step or page, below the app's own address."""
        return f"learn?lesson={self.lesson}&step={self.step}" if self.step else self.lesson


@cache
def glossary(file: Path = FILE) -> dict[str, Term]:
    """All terms by name.

    Raises:
        ValueError: naming term and fault in a sentence.
    """
    try:
        found = tomllib.loads(file.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as problem:
        raise ValueError(f"{file.name}: the glossary cannot be read. {problem}.") from problem
    wanted = [field.name for field in fields(Term)]
    terms = {}
    for name, table in found.items():
        if not isinstance(table, dict) or sorted(table) != sorted(wanted):
            raise ValueError(f"{file.name}, {name}: exactly {', '.join(wanted)} expected.")
        if empty := [field for field in wanted if table[field] in ("", [])]:
            raise ValueError(f"{file.name}, {name}: {', '.join(empty)} must not be empty.")
        terms[name] = Term(**{**table, "also": tuple(table["also"])})
    return terms


def tip(name: str) -> str:
    """What `help=` says of a term: its sentence, and the way to its step.

    Raises:
        KeyError: if there is no such term.
    """
    term = glossary()[name]
    return f"{term.plain} [See it{' in a lesson' if term.step else ''}]({term.address})"


def marked(text: str, without: Collection[str] = ()) -> str:
    """A text in Markdown whose terms show their sentence when hovered over and lead to their step: each at its first
    mention, but for those that are to be left out, by name.
    """
    names = {word: name for name, term in glossary().items() if name not in without for word in term.also}
    seen: set[str] = set()

    def link(found: re.Match[str]) -> str:
        name = names[found[0]]
        if name in seen:
            return found[0]
        seen.add(name)
        term = glossary()[name]
        return f'[{found[0]}]({term.address} "{term.plain}")'

    words = "|".join(re.escape(word) for word in sorted(names, key=len, reverse=True))
    parts, at = [], 0
    for known in [*_LINK.finditer(text), None]:  # what is a link already stays
        end = known.start() if known else len(text)
        parts.append(re.sub(rf"(?<![\w/])(?:{words})(?![\w/])", link, text[at:end]) if names else text[at:end])
        if known:
            parts.append(known[0])
            at = known.end()
    return "".join(parts)
