"""Tables of verdicts in words, for `docs/verdict.md`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from unlearn_core.audit.evidence import ORIGINAL
from unlearn_core.audit.verdict import Level
from unlearn_core.methods import METHODS, method
from unlearn_core.study.verdicts import DEFAULT, HELD_OUT, OPENING, REFERENCES, Row
from unlearn_core.subjects.subject import subject

KNOWN = tuple(level for level in Level if level is not Level.UNKNOWN)


def table(title: str, groups: Mapping[str, Sequence[Row]], columns: Sequence[Level] = KNOWN) -> list[str]:
    """How many rows of each group are of each level."""
    lines = ["| " + " | ".join([title, *columns, "no outcome", "of"]) + " |", "|:--|" + "--:|" * (len(columns) + 2)]
    for name, found in groups.items():
        counts = Counter(row.level for row in found)
        cells = [str(counts[level] or "·") for level in (*columns, "")]
        lines.append("| " + " | ".join([name, *cells, str(len(found))]) + " |")
    return lines


def grouped(chosen: Sequence[Row], *names: str) -> dict[str, list[Row]]:
    """Rows by what some of their fields say."""
    found: dict[str, list[Row]] = {}
    for row in chosen:
        found.setdefault(", ".join(_said(row, name) for name in names), []).append(row)
    return found


def _said(row: Row, name: str) -> str:
    value = str(getattr(row, name))
    return method(value).title if name == "what" and value in METHODS else value or "no outcome"


def of_groups(rows: Sequence[Row], network: str, kind: str) -> list[str]:
    """The section on all groups of one kind."""
    if not rows:
        return []
    own, names = subject(network), subject(network).groups[kind].names
    seeds = len({row.settings for row in rows if row.what == HELD_OUT})
    wrong = [row for row in rows if (row.what == ORIGINAL and row.level != Level.NOT_FORGOTTEN)
             or (row.what == HELD_OUT and row.level not in (Level.NOT_TOLD, Level.ANSWERS, Level.UNKNOWN))]
    references = [row for row in rows if row.what in REFERENCES]
    silent = sum(row.what == HELD_OUT and row.level in (Level.ANSWERS, Level.UNKNOWN) for row in rows)
    halves = {"even": [row for row in references if row.forget % 2 == 0],
              "odd": [row for row in references if row.forget % 2]} if len(names) > 1 else {"": references}
    lines = [f"## {own.title}: every {kind}" if len(names) > 1 else f"## {own.title}: {names[0]}", "",
             f"{seeds} retrained networks each. Levels and thresholds are those set on the classes of odd number" + (
                 "; how much retrained networks differ was taken from all of them, the held-out one too."
                 if len(names) > 1 else "."), ""]
    for half, found in halves.items():
        lines += [*table(f"Of {half} number" if half else "Networks", grouped(found, "what"), tuple(Level)), ""]
    lines += ["Every cell is right." if not wrong else f"{len(wrong)} of {len(references)} are wrong:", "",
              *(f"- {names[row.forget]}, {row.what} {row.settings}: {row.verdict}".replace(" :", ":") for row in wrong),
              *([""] if wrong else [])]
    if silent:
        lines += [f"{silent} held-out networks get no verdict, or none on their inside: with one held out, {seeds - 1} "
                  "others are left, and what they say of a third is too little.", ""]
    outcomes = {how: grouped([row for row in rows if row.what not in REFERENCES and row.settings == how], "what")
                for how in (DEFAULT, OPENING)}
    if len(names) > 1:
        return [*lines, *(line for how, found in outcomes.items()
                          for line in (*table(f"Method, {how}", found, tuple(Level)), ""))]
    return [*lines, f"| Method | {' | '.join(outcomes)} |", "|:--|:--|:--|", *(
        f"| {title} | " + " | ".join(found[title][0].level or "no outcome" for found in outcomes.values()) + " |"
        for title in outcomes[DEFAULT]), ""]
