"""Lessons as data: what a file in `lessons/` says, checked, and the numbers that its sentences are filled with."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import cast

from ui.glossary import FILE as GLOSSARY
from ui.state import read_address
from unlearn_core.assets import REPOSITORY, AssetError
from unlearn_core.audit.evidence import ORIGINAL, UNLEARNED
from unlearn_core.audit.gauges import KINDS
from unlearn_core.methods import method
from unlearn_core.serving.choice import Choice
from unlearn_core.serving.judgement import Audit, Readings
from unlearn_core.serving.scenes import Scene, Settled

FOLDER = REPOSITORY / "lessons"
VIEWS = {"images": "playground", "classes": "playground", "own": "playground", "layers": "layers", "attack": "privacy",
         "game": "privacy", "map": "embeddings", "probe": "embeddings", "relearn": "embeddings", "depth": "embeddings"}
"""What a step may look at, and the page on which all of it can be explored."""
PAGES = ("playground", "layers", "compare", "privacy", "embeddings", "landscape", "methods")
DAMPENED = "dampened"
GUESSES = {**{str(name): kind.title for name, kind in KINDS.items()}, DAMPENED: "Share of weights dampened"}
"""What a reader may be asked to guess: shares."""
CHECKS = {"attack": "Threshold attacks", "distance": "Distance of outputs", "probe": "Linear probe",
          "alike": "Layer similarity (CKA)"}
"""Checks of the verdict whose numbers may stand in a sentence."""
MEASURES = {**GUESSES, "loss": "Worst loss of a retained class", **CHECKS, "able": "Tests that can tell",
            "passed": "Tests passed"}
"""What a question may ask for."""
DONE = ("seen", "guessed", "relearned")
"""When a step is done: its picture is there; a guess was made; relearning was watched."""
PLACEHOLDERS = (
    *(f"{name}{whose}" for name in (*KINDS, *CHECKS) for whose in ("", "_before", "_retrained")), DAMPENED, "selected",
    "weights", "ceiling", "worst", "loss", "level", "able", "passed", "names", "network", "method", "classes", "images",
    "seeds")
"""What a sentence may be filled with, beside the knobs of its method and the bounds of its question."""
_FIELD = re.compile(r"\{([^{}]*)\}")


@dataclass(frozen=True)
class Question:
    """What is asked at the end of a lesson, and answered by moving a control.

    Attributes:
        move: the controls that lead to an answer, by their names in the address.
        bounds: highest or lowest value that is asked for, by side (``at_most``, ``at_least``) and measure.
        answer: a choice that keeps them; others may as well.
    """

    move: tuple[str, ...]
    bounds: Mapping[tuple[str, str], float]
    answer: Choice


@dataclass(frozen=True)
class Step:
    """One step of a lesson.

    Attributes:
        title: a few words.
        choice: where the controls stand.
        view: what it looks at, one of `VIEWS`.
        page: where the same choice can be explored.
        say: its sentences; of a question, those that follow a right answer.
        ask: what is asked before the network runs, or the question; may be empty.
        guess: what is to be guessed, one of `GUESSES`; may be empty.
        done: one of `DONE`.
        question: of the last step alone.
    """

    title: str
    choice: Choice
    view: str
    page: str
    say: str
    ask: str
    guess: str
    done: str
    question: Question | None


@dataclass(frozen=True)
class Lesson:
    """A lesson; its last step is its question.

    Attributes:
        name: as in the address.
        title: a few words.
        learn: what one learns, in a sentence.
        steps: all of them.
    """

    name: str
    title: str
    learn: str
    steps: tuple[Step, ...]


# -- reading ----------------------------------------------------------------------------------------------------------


def lessons(folder: Path = FOLDER) -> tuple[list[Lesson], list[str]]:
    """All lessons of a folder in the order of their files' names, and a sentence for each file that is none."""
    found, faults = [], []
    for file in sorted(set(folder.glob("*.toml")) - {GLOSSARY}):
        try:
            found.append(read(file, file.stat().st_mtime_ns))
        except (ValueError, OSError, AssetError) as problem:
            faults.append(str(problem))
    return found, faults


@cache
def read(file: Path, changed: int = 0) -> Lesson:
    """The lesson in a file; one that has `changed` is read again.

    Raises:
        ValueError: naming file, step and fault in a sentence.
    """
    where = file.name
    try:
        table = tomllib.loads(file.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as problem:
        raise ValueError(f"{where}: this is not TOML. {problem}.") from problem
    _fields(table, where, {"title": str, "learn": str, "steps": list, "question": dict})
    for field in ("title", "learn"):
        _sentence(table[field], (), f"{where}, {field}")
    steps: list[Step] = []
    address: dict[str, str] = {}
    for i, each in enumerate([*table["steps"], table["question"]], 1):
        place = f"{where}, step {i}" if i <= len(table["steps"]) else f"{where}, question"
        if not isinstance(each, dict):
            raise ValueError(f"{place}: a table expected, got {each!r}.")
        _fields(each, place, {"say": str, "view": str} | (
            {"ask": str, "move": list, "answer": dict} if place.endswith("question") else {"title": str}),
            {"state": dict, "page": str} | ({"at_most": dict, "at_least": dict} if place.endswith("question") else
                                            {"ask": str, "guess": str, "done": str}))
        address = _address(address, each.get("state", {}), place)
        steps.append(_step(each, address, steps[-1] if steps else None, place))
    return Lesson(re.sub(r"^\d+-", "", file.stem), table["title"], table["learn"], tuple(steps))


def _fields(table: Mapping[str, object], where: str, needed: Mapping[str, type],
            allowed: Mapping[str, type] | None = None) -> None:
    kinds = {**needed, **(allowed or {})}
    for name in needed:
        if name not in table:
            raise ValueError(f"{where}: {name} is missing.")
    for name, value in table.items():
        if name not in kinds:
            raise ValueError(f"{where}: {name} is none of {', '.join(kinds)}.")
        if not isinstance(value, kinds[name]) or value in ("", []):
            raise ValueError(f"{where}: {name} must be a {kinds[name].__name__} that is not empty, got {value!r}.")


def _address(before: Mapping[str, str], state: Mapping[str, object], where: str) -> dict[str, str]:
    """A step's state as an address would hold it: what is left out stays as it was, knobs while their method does."""
    chief = ("network", "forget", "method")
    if not before and (absent := [name for name in chief if name not in state]):
        raise ValueError(f"{where}: the state of the first step must name {', '.join(absent)}.")
    given = {name: f"{value:g}" if isinstance(value, float) else str(value) for name, value in state.items()}
    same = all(given.get(name, value) == value for name, value in before.items() if name in chief)
    return {name: value for name, value in before.items() if name in chief or same} | given


def _choice(address: Mapping[str, str], where: str) -> Choice:
    found = read_address(address)
    if found.notes or found.views or found.plain:
        raise ValueError(f"{where}: its state cannot be used. "
                         + (found.notes[0] if found.notes else "It may name network, forget, method, seed and knobs."))
    return found.choice()


def _step(table: Mapping[str, object], address: Mapping[str, str], former: Step | None, where: str) -> Step:
    title, say, ask, view, guess = (str(table.get(name, "")) for name in ("title", "say", "ask", "view", "guess"))
    last, chosen = "move" in table, _choice(address, where)
    _one_of(view, VIEWS, f"{where}, view")
    page, done = str(table.get("page", VIEWS[view])), str(table.get("done", "guessed" if guess else "seen"))
    _one_of(page, PAGES, f"{where}, page")
    _one_of(done, DONE, f"{where}, done")
    if (done == "guessed" and not guess) or (done == "relearned" and view != "relearn"):
        raise ValueError(f"{where}: here it can never be {done}.")
    if not last and bool(guess) != bool(ask):
        raise ValueError(f"{where}: guess and ask go together.")
    if guess:
        _one_of(guess, GUESSES, f"{where}, guess")
        if former is None or former.choice == chosen:
            raise ValueError(f"{where}: a guess needs a step before it that is in another state.")
        if guess == DAMPENED and method(chosen.method).importance is None:
            raise ValueError(f"{where}: {method(chosen.method).title} dampens no weights.")
    question = _question(table, address, where) if last else None
    if question is not None and question.answer == chosen:
        raise ValueError(f"{where}: it starts at its answer.")
    known = {*PLACEHOLDERS, *dict(chosen.settings), *bounds(question)}
    # What is asked is asked while the former step's picture stands.
    asked = known if last or former is None else {*PLACEHOLDERS, *dict(former.choice.settings)}
    for text, fields in ((title, known), (say, known), (ask, asked)):
        _sentence(text, fields, where)
    return Step(title or "Your turn", chosen, view, page, say, ask, guess, done, question)


def _question(table: Mapping[str, object], address: Mapping[str, str], where: str) -> Question:
    move, answer = table["move"], cast("dict[str, object]", table["answer"])
    if not isinstance(move, list) or not answer or not set(answer) <= set(move):
        raise ValueError(f"{where}: its answer must set what move names, and nothing else.")
    limits = {}
    for side in ("at_most", "at_least"):
        for name, value in cast("dict[str, object]", table.get(side, {})).items():
            _one_of(name, MEASURES, f"{where}, {side}")
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise ValueError(f"{where}, {side}: a number expected for {name}, got {value!r}.")
            limits[side, name] = float(value)
    if not limits:
        raise ValueError(f"{where}: at_most or at_least must say what is asked for.")
    return Question(tuple(map(str, move)), limits, _choice(_address(address, answer, where), f"{where}, answer"))


def _one_of(value: str, names: Collection[str], where: str) -> None:
    if value not in names:
        raise ValueError(f"{where}: one of {', '.join(names)} expected, got {value!r}.")


def _sentence(text: str, known: Collection[str], where: str) -> None:
    for field in _FIELD.findall(text):
        if field not in known:
            raise ValueError(f"{where}: nothing is known as {{{field}}} here.")
    if typed := re.search(r"[\d{}]", _FIELD.sub("", text).replace("1/ρ", "")):
        raise ValueError(f"{where}: \"{typed[0]}\" stands in a sentence; numbers are computed, by a name in braces.")


# -- filling ----------------------------------------------------------------------------------------------------------


def measured(scene: Scene, settled: Settled, readings: Readings, audit: Audit | None) -> dict[str, float]:
    """Those of `MEASURES` that this outcome has."""
    found: dict[str, float] = {name: reading.value for name, reading in readings.gauges.items()}
    if settled.answers is not None:
        found[DAMPENED] = float(settled.answers.selected.sum() / scene.sizes.sum())
    if audit is not None:
        told = [check.status() for check in audit.checks]
        found |= {"able": told.count("passes") + told.count("fails"), "passed": told.count("passes")}
        found |= {name: check.judged[UNLEARNED].value for name, title in CHECKS.items() for check in audit.checks
                  if check.title == title and UNLEARNED in check.judged}
        if audit.verdict.loss is not None:
            found["loss"] = audit.verdict.loss.value
    return found


def words(scene: Scene, settled: Settled, readings: Readings, audit: Audit | None) -> dict[str, str]:
    """Those of `PLACEHOLDERS` that this outcome has, and every knob, as they stand in a sentence."""
    chosen, own = settled.choice, settled.choice.subject
    found = {name: f"{value:g}" if isinstance(value, float) else str(value).replace("_", " ")
             for name, value in chosen.settings}
    found |= {name: amount(name, value) for name, value in measured(scene, settled, readings, audit).items()}
    compared = {str(name): (readings.original[name].value, [seed[name].value for seed in readings.band])
                for name in KINDS}
    compared |= {name: (check.judged[ORIGINAL].value, check.judged[ORIGINAL].null.tolist())
                 for name, title in CHECKS.items() for check in (audit.checks if audit is not None else ())
                 if check.title == title and ORIGINAL in check.judged}
    for name, (before, band) in compared.items():
        found[f"{name}_before"] = amount(name, before)
        if band:
            found[f"{name}_retrained"] = " to ".join(dict.fromkeys((amount(name, min(band)), amount(name, max(band)))))
    if settled.answers is not None:
        found["selected"] = f"{int(settled.answers.selected.sum()):,}"
    if scene.ceiling is not None:
        found["ceiling"] = f"{scene.ceiling:.3g}"
    if audit is not None:
        found["level"] = str(audit.verdict.level)
        found |= {} if audit.verdict.loss is None else {"worst": audit.verdict.loss.group}
    return found | {
        "weights": f"{int(scene.sizes.sum()):,}", "names": chosen.words,
        "network": own.title, "method": method(chosen.method).title, "classes": str(len(own.classes)),
        "images": f"{len(own.images.train):,}", "seeds": str(len(readings.band))}


def amount(name: str, value: float) -> str:
    """A measure's value as people read it."""
    if name == "loss":
        return f"{100 * value:.1f} points"
    if name in ("able", "passed"):
        return f"{value:.0f}"
    return f"{value:.3g}" if name in CHECKS else f"{value:.1%}"


def filled(text: str, known: Mapping[str, str]) -> str:
    """A sentence with its numbers; one that is not known yet is an ellipsis."""
    return _FIELD.sub(lambda field: known.get(field[1], "…"), text)


def bounds(question: Question | None) -> dict[str, str]:
    """What `at_most_forget` and the like stand for in a question's sentences."""
    return {} if question is None else {f"{side}_{name}": re.sub(r"\.0(?=%| )", "", amount(name, value))
                                        for (side, name), value in question.bounds.items()}


def kept(question: Question, found: Mapping[str, float]) -> dict[str, bool]:
    """Whether each bound is kept, by a few words on what there is."""
    said = {}
    for (side, name), bound in question.bounds.items():
        value = found.get(name)
        there = "…" if value is None else amount(name, value)
        said[f"{MEASURES[name]}: {there}, asked for {side.replace('_', ' ')} {amount(name, bound)}"] = \
            value is not None and (value <= bound if side == "at_most" else value >= bound)
    return said
