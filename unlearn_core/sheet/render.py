"""From evidence to a page and a model card. Both follow from the data alone, so that either can be made again."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from unlearn_core.audit.evidence import ATTACK_SUCCESS, FORGET_ACCURACY
from unlearn_core.audit.verdict import Level
from unlearn_core.sheet import drawing, words
from unlearn_core.sheet.evidence import Evidence

MOST_CLASSES = 12
"""Rows of the table of classes on the page; the data have them all."""
PAGE, DATA, CARD = "sheet.html", "evidence.json", "README.md"


def data(evidence: Evidence) -> str:
    """The evidence as JSON."""
    return json.dumps(evidence, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def page(evidence: Evidence) -> str:
    """One page of HTML that needs no network and no script, made to be printed on A4."""
    return _templates().get_template("page.html.jinja").render(evidence | _shown(evidence))


def card(evidence: Evidence) -> str:
    """A model card, with the fields of Hugging Face's `model-index`."""
    return _templates().get_template("card.md.jinja").render(evidence | _shown(evidence))


def _shown(evidence: Evidence) -> dict[str, Any]:
    """What the templates need beyond the data."""
    classes = sorted(evidence["touched"]["classes"], key=lambda row: (not row["forgotten"], _change(row)))
    checks = evidence["evidence"]["checks"]
    able = [row for row in checks if row["status"] in ("passes", "fails")]
    return {
        "e": evidence["evidence"], "fields": {
            "request": words.REQUEST_FIELDS, "outside": words.OUTSIDE_FIELDS, "decision": words.DECISION_FIELDS},
        "classes": classes[:MOST_CLASSES], "left_out": len(classes[MOST_CLASSES:]), "able": len(able),
        "passing": sum(row["status"] == "passes" for row in able),
        "compare": words.COMPARE, "first_limits": words.FIRST_LIMITS,
        "best": evidence["reading"]["level"] == Level.NOT_TOLD, "legend": drawing.LEGEND, "floor": _floor(classes)}


def _floor(classes: Sequence[Mapping[str, Any]]) -> float:
    """Where the scale of the classes begins: the lowest share of what was to be kept, down to a full ten points."""
    shares = [row[name] for row in classes if not row["forgotten"] for name in ("original", "this_model")]
    return max(math.floor(10 * min((share for share in shares if share is not None), default=0.0) - 0.2) / 10, 0.0)


def _change(row: Mapping[str, Any]) -> float:
    return float((row["this_model"] or 0.0) - (row["original"] or 0.0))


def _percent(value: float | None) -> str:
    return "none" if value is None else f"{value:.1%}".replace("%", "\u202f%")


def _points(row: Mapping[str, Any]) -> str:
    return f"{round(100 * _change(row), 1) + 0:+.1f}".replace("-", "−")


def _number(row: Mapping[str, Any], name: str) -> str:
    """A number of a check: a share for recognition, else three digits."""
    value = row[name]
    if value is None:
        return "none"
    if row["measure"] in (ATTACK_SUCCESS, FORGET_ACCURACY):
        return _percent(value)
    digits = ",.0f" if abs(value) >= 1000 else ".3g" if abs(value) >= 10 else "#.3g"
    return f"{value:{digits}}".replace("-", "−")


def _range(row: Mapping[str, Any]) -> str:
    if row["retrained_low"] is None:
        return "none"
    low, high = _number(row, "retrained_low"), _number(row, "retrained_high")
    return low if low == high else f"{low} to {high}"


def _shares(row: Mapping[str, Any]) -> str:
    """The retrained networks' share, or where theirs lie."""
    if row["retrained_low"] is None:
        return "none"
    low, high = _percent(row["retrained_low"]), _percent(row["retrained_high"])
    return low if low == high else f"{low[:-2]} to {high}"


def _beside(row: Mapping[str, Any]) -> str:
    """Where a share lies beside the retrained networks', as far as its interval can say."""
    if row["retrained_low"] is None:
        return ""
    low, high = row["ci95"]
    return "this is higher" if low > row["retrained_high"] else "this is lower" if high < row["retrained_low"] else \
        "this is like them"


def _null(row: Mapping[str, Any]) -> str:
    band = row["null_band"]
    if band is None:
        return "none"
    low, high = (_number({**row, "end": end}, "end") for end in band)
    if band[0] is None:
        return f"up to {high}"
    return f"from {low}" if band[1] is None else f"{low} to {high}"


def _interval(ends: list[float] | None) -> str:
    if ends is None:
        return ""
    return f"{100 * ends[0]:.1f} to {_percent(ends[1])}"


def _cell(text: str) -> str:
    """A name within a row of a Markdown table."""
    return " ".join(text.replace("|", "/").split())


@cache
def _templates() -> Environment:
    made = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined,
                       trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True)
    made.filters |= {"percent": _percent, "points": _points, "number": _number, "range": _range, "null": _null,
                     "interval": _interval, "cell": _cell, "count": "{:,}".format, "share": drawing.share,
                     "check": drawing.check, "yaml": lambda value: Markup(json.dumps(value, ensure_ascii=False)),
                     "mark": drawing.sample, "shares": _shares, "beside": _beside,
                     "one": lambda value: f"{round(value, 1) + 0:.1f}".replace("-", "−")}
    return made
