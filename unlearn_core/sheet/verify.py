"""A sheet, run again: what differs is named by its place."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

from unlearn_core.assets import sha256
from unlearn_core.methods.base import Diverged, NotApplicable
from unlearn_core.nets.request import read as read_request
from unlearn_core.progress import Progress, silent
from unlearn_core.serving.choice import Choice, choice
from unlearn_core.sheet import folder, words
from unlearn_core.sheet.evidence import RELEARN_TIME, SCHEMA, Evidence, image_hashes, own_engine, produce
from unlearn_core.sheet.render import DATA
from unlearn_core.subjects.subject import subject

MOST_BYTES = 2**21
FILLED = ("reading.status", *(f"request.{name}" for name in words.REQUEST_FIELDS), "artefacts.known_copies",
          *(f"outside.{name}" for name in words.OUTSIDE_FIELDS),
          *(f"decision.{name}" for name in words.DECISION_FIELDS))
"""Places that people fill in."""
LOCAL = ("procedure.seconds", "procedure.made_on", "procedure.machine",
         *(f"procedure.versions.{name}" for name in ("python", "torch", "numpy")))
"""Places that differ from machine to machine and day to day."""
_KEYED = ("request.forget_manifest_hmac", "request.hashes")


@dataclass(frozen=True)
class Found:
    """What came of running a sheet again.

    Attributes:
        differences: a sentence each; none if it is the same.
        remarks: what could not be compared, or is worth knowing.
        compared: how many places were.
    """

    differences: tuple[str, ...]
    remarks: tuple[str, ...]
    compared: int


def load(file: Path) -> Evidence:
    """A sheet's data.

    Raises:
        ValueError: for a file that is none; the sentence says where.
        OSError: if it cannot be read.
    """
    expected = f"file: the {DATA} of a sheet expected, got {file}"
    if not file.is_file():
        raise ValueError(f"{expected}, which is no file")
    if file.stat().st_size > MOST_BYTES:
        raise ValueError(f"{expected}, which is larger than {MOST_BYTES // 2**20} MB")
    try:
        found = json.loads(file.read_bytes().decode("utf-8"), parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise ValueError(f"{expected}, which is no JSON") from None
    if not isinstance(found, dict) or found.get("schema") != SCHEMA:
        raise ValueError(f"{expected}, which does not call itself {SCHEMA}")
    if (fault := best_match(_validator().iter_errors(found))) is not None:
        place = fault.json_path.removeprefix("$.").removeprefix("$") or "its top"
        raise ValueError(f"{expected}, in which {place} is not as it should be: {fault.message[:200]}")
    return found


def _refuse(name: str) -> float:
    raise ValueError(f"{name} is no number")


@cache
def _validator() -> Draft202012Validator:
    return Draft202012Validator(json.loads((Path(__file__).parent / "evidence.schema.json").read_text("utf-8")))


def verify(file: Path, key: bytes | None = None, progress: Progress = silent) -> Found:
    """Run a sheet again and compare, and the files beside it too.

    Args:
        file: the data of a sheet.
        key: of the image hashes; None: they are not compared.
        progress: told all the time; may cancel.

    Raises:
        ValueError: for a file that is no sheet, or one of something that cannot be run here.
    """
    sheet = load(file)
    chosen = _choice(sheet)
    if chosen.key != (told := sheet["procedure"]["key"]):
        return Found((f"procedure.key: the sheet says {told}, what it names has {chosen.key} here. Network, images, "
                      "request, method, a setting, the seed or the version of the numbers is another than when the "
                      "sheet was made; nothing else was compared.",), (), 1)
    relearned = any(row["measure"] == RELEARN_TIME and row["this_model"] is not None
                    for row in sheet["evidence"]["checks"])
    hashed = key is not None and sheet["request"]["forget_manifest_hmac"] is not None
    try:
        made, _ = produce(chosen, key if hashed else None, progress, relearned,
                          sheet["evidence"]["reference"] == "retrained for this request")
    except (NotApplicable, Diverged) as reason:
        return Found((f"procedure: run again there is no network. {reason}",), (), 1)
    if sheet["evidence"]["n_retrained"] != made["evidence"]["n_retrained"]:
        return Found((f"evidence.n_retrained: the sheet was made beside {sheet['evidence']['n_retrained']} retrained "
                      f"networks, here are {made['evidence']['n_retrained']}; nothing else was compared.",), (), 1)
    apart = {*FILLED, *LOCAL, *(() if hashed else _KEYED)}
    told_all, made_all = (dict(_leaves(tree)) for tree in (sheet, made))
    places = [place for place in dict.fromkeys([*told_all, *made_all]) if place not in apart]
    differences = [_said(place, told_all, made_all) for place in places
                   if place not in told_all or place not in made_all or told_all[place] != made_all[place]]
    remarks = [f"{place}: made with {told_all[place]}, run again with {made_all.get(place, 'another')}."
               for place in LOCAL if "versions" in place and told_all.get(place) != made_all.get(place)]
    if not hashed:
        remarks.append("The hashes of the images were not compared: " + (
            "the sheet has none." if sheet["request"]["forget_manifest_hmac"] is None else "there was no key."))
    if file.name == DATA:
        differences += _beside(file.parent, sheet, chosen, key if hashed else None)
    return Found(tuple(differences), tuple(remarks), len(places))


def _choice(sheet: Evidence) -> Choice:
    done, network = sheet["procedure"], sheet["artefacts"]["network"]
    return choice(network, read_request(sheet["request"]["forget"], subject(network).images.train), done["method"],
                  done["settings"], done["seed"] or 0)


def _leaves(tree: object, place: str = "") -> Iterator[tuple[str, object]]:
    """Every value of the data by its place; rows by their names."""
    if isinstance(tree, dict):
        for name, branch in tree.items():
            yield from _leaves(branch, f"{place}.{name}" if place else name)
    elif isinstance(tree, list):
        yield f"{place}.length", len(tree)
        for i, branch in enumerate(tree):
            row = branch if isinstance(branch, dict) else {}
            yield from _leaves(branch, f"{place}[{row.get('measure') or row.get('name') or i}]")
    else:
        yield place, tree


def _said(place: str, told: dict[str, object], made: dict[str, object]) -> str:
    was, now = told.get(place), made.get(place)
    sentence = f"{place}: the sheet says {_short(was)}, run again it is {_short(now)}"
    stem, _, name = place.rpartition(".")
    ends = [made.get(f"{stem}.ci95[{i}]") for i in (0, 1)]
    low, high = (end if isinstance(end, float) else None for end in ends)
    if name == "this_model" and isinstance(was, int | float) and low is not None and high is not None:
        sentence += f" ({'within' if low <= was <= high else 'outside'} its 95 % interval)"
    if place.endswith("_sha256") and place.startswith("artefacts.after"):
        sentence += "; another processor, or another version of PyTorch, rounds differently in the last bits"
    return sentence + "."


def _short(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else f"{text[:80]}…"


def _beside(place: Path, sheet: Evidence, chosen: Choice, key: bytes | None) -> Iterator[str]:
    """Files of the sheet's own folder that do not belong to its data."""
    blank: dict[str, Any] = json.loads(json.dumps(sheet))
    for name in FILLED:
        block, _, field = name.partition(".")
        blank[block][field] = "draft" if name == "reading.status" else None
    filled, empty = folder.texts(sheet), folder.texts(blank)
    for name in filled:
        if name != DATA and (text := _text(place / name)) is not None and text not in (filled[name], empty[name]):
            yield f"{name}: not the file that {DATA} makes."
    weights = place / folder.WEIGHTS
    if weights.is_file() and sha256(weights) != sheet["artefacts"]["after"]["file_sha256"]:
        yield f"{folder.WEIGHTS}: not the file whose SHA-256 is artefacts.after.file_sha256."
    if key is not None and (text := _text(place / folder.HASHES)) is not None:
        scene = own_engine().prepare(chosen, silent)
        if text.split() != image_hashes(scene, key):
            yield f"{folder.HASHES}: not the hashes of the images to be forgotten under this key."


def _text(file: Path) -> str | None:
    return file.read_bytes().decode("utf-8", "replace") if file.is_file() and file.stat().st_size <= 2**28 else None
