"""The session's state and its address: what is chosen, how it is written in the URL, undo."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import streamlit as st

from ui.mirror import showing, taken
from ui.sliders import read_value, short
from unlearn_core.assets import AssetError
from unlearn_core.methods import METHODS, method
from unlearn_core.methods.base import Settings, Value
from unlearn_core.nets.request import CLASS, MOST_IMAGES, Request, parsed
from unlearn_core.serving import fields
from unlearn_core.serving.choice import SEEDS, Choice, choice
from unlearn_core.subjects import openings
from unlearn_core.subjects.subject import Subject, subject, subjects

PAIR = ("ssd", "retrain")
VIEWS = ("layer", "map", "filter", "statistic", "x", "y", "measure", "tensor", "lesson", "step", "present",
         "hide", "follow", "queue", "methods")
"""Names of `State.views`: no hyper-parameter may have one of them."""


def start(network: str, forget: Request, name: str) -> dict[str, Value]:
    """The knobs that a request opens with; the general defaults if the bundled openings cannot be read."""
    try:
        return openings.start(network, forget, name)
    except (AssetError, OSError):
        return method(name).settings()


FIRST = next(iter(subjects()))
DEFAULT = choice(FIRST, (0,), "ssd", start(FIRST, Request((0,)), "ssd"))


@dataclass
class State:
    """What one visitor has chosen.

    Attributes:
        network: name of a subject.
        forget: what to forget; may be momentarily invalid while being edited.
        method: name of a method.
        history: settled choices, newest last, for undo.
        notes: what was ignored or corrected in the address.
        noted: the choice for which the notes are told.
        plain: whether plain widgets take the canvas's place.
        seed: owns the randomness of methods that have any.
        pair: the two methods that are compared in full.
        views: what a page shows beyond the choice, where it is not the default; may be invalid until a page asks.
    """

    network: str = DEFAULT.network
    forget: Request = DEFAULT.forget
    method: str = DEFAULT.method
    history: list[Choice] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    noted: Choice | None = None
    plain: bool = False
    seed: int = 0
    pair: tuple[str, str] = PAIR
    views: dict[str, str] = field(default_factory=dict)
    _settings: dict[str, dict[str, Value]] = field(default_factory=dict)
    _request: tuple[str, Request] | None = None

    @property
    def subject(self) -> Subject:
        """The subject that is named."""
        return subject(self.network)

    @property
    def settings(self) -> dict[str, dict[str, Value]]:
        """All knobs by method, so that switching methods and back loses nothing.

        Where the network or the request has changed, knobs that stood at their opening follow to the new one; those
        of a method that the visitor has touched stay.
        """
        wanted = self.network, self.forget
        if self._request is None or (wanted != self._request and self.forget.chosen):
            before, self._request = self._request, wanted
            for name in METHODS:
                if before is None or self._settings[name] == start(*before, name):
                    self._settings[name] = start(*wanted, name)
        return self._settings

    def take_network(self, name: str) -> None:
        """Turn to another subject; where its images are others, its first class is asked to be forgotten."""
        before, after = self.subject, subject(name)
        if before.classes != after.classes or (
                self.forget.kind != CLASS and before.images is not after.images):
            self.forget = DEFAULT.forget
        self.network = name

    def choice(self) -> Choice:
        """The checked choice.

        Raises:
            ValueError: as `serving.choice.choice`; a sentence for the page.
        """
        return choice(self.network, self.forget, self.method, self.settings[self.method], self.seed)

    def put(self, method_name: str, given: Settings) -> None:
        """Set knobs of a method. There is no other way to set one.

        Raises:
            ValueError: for a knob that is not this method's, or a value that it does not allow; nothing is set then.
        """
        known = {knob.name: knob for knob in method(method_name).hyperparameters}
        if unknown := sorted(set(given) - set(known)):
            raise ValueError(f"{method_name}: hyper-parameters {', '.join(known)} expected, got {', '.join(unknown)}")
        self.settings[method_name] |= {name: known[name].checked(value) for name, value in given.items()}

    def adopt(self, chosen: Choice) -> None:
        """Become that choice."""
        self.network, self.forget, self.method = chosen.network, chosen.forget, chosen.method
        self.put(chosen.method, dict(chosen.settings))
        if method(chosen.method).seeded:
            self.seed = chosen.seed

    @property
    def before(self) -> Choice:
        """The last settled choice that is another than the present one; the default if there is none."""
        try:
            now = self.choice()
        except ValueError:
            now = None
        return next((each for each in reversed(self.history) if each != now), DEFAULT)

    def step_back(self) -> None:
        """Become the choice before this one, and forget what was settled after it."""
        chosen = self.before
        while self.history and self.history[-1] != chosen:
            self.history.pop()
        self.adopt(chosen)

    def note(self, sentence: str) -> None:
        """Keep what the address got wrong, until something else is chosen."""
        self.notes.append(sentence)
        self.noted = self.choice()


def state() -> State:
    """The visitor's state; read from the address when the session begins."""
    if "lacuna" not in st.session_state:
        st.session_state["lacuna"] = read_address(st.query_params.to_dict())
    found: State = st.session_state["lacuna"]
    return found


def view(visitor: State, name: str, options: Sequence[str], label: str, elsewhere: Collection[str] = (),
         **widget: object) -> str:
    """A select box for what a page shows beyond the choice, kept in the address; the first option is the default.

    Another option than these is told and left out; one from `elsewhere` without a word: it is of another network or
    method, which was shown before.
    """
    given = visitor.views.get(name, options[0])
    if given not in options:
        del visitor.views[name]
        if given not in elsewhere:
            visitor.note(f"{name}: one of {', '.join(options)} expected, got {short(given)}; {options[0]} is shown.")
            st.warning(visitor.notes[-1], icon=":material/link_off:")

    def take() -> None:
        visitor.views[name] = taken(f"view.{name}")

    found: str = st.selectbox(label, options, key=showing(f"view.{name}", visitor.views.get(name, options[0])),
                              on_change=take, **widget)
    if found == options[0]:
        visitor.views.pop(name, None)
    return found


@dataclass(frozen=True)
class Field:
    """One part of the address: an attribute of `State` of that name, whose default is what the bare address means.

    Attributes:
        parse: its value from a text, beside what was read before it; a ValueError is the complaint.
        text: and back.
    """

    parse: Callable[[str, State], object]
    text: Callable[[Any], str] = str


def _plain(text: str, _: State) -> bool:
    return text == "1"


def _network(text: str, _: State) -> str:
    if text not in subjects():
        raise ValueError(f"there is no network {short(text)}; the default is shown.")
    return text


def _forget(text: str, found: State) -> Request:
    try:
        return choice(found.network, parsed(text), DEFAULT.method, {}).forget
    except ValueError:
        last = len(found.subject.classes) - 1
        kinds = [f"or {kind}: and numbers of such groups, " for kind in found.subject.groups]
        raise ValueError(
            f"one to {last} class numbers in 0..{last}, separated by commas, {''.join(kinds)}or image: and at most "
            f"{MOST_IMAGES} numbers of training images, expected, got {short(text)}; the default is shown.") from None


def _method(text: str, _: State) -> str:
    if text not in METHODS:
        raise ValueError(f"there is no method {short(text)}; the default is shown.")
    return text


def _pair(text: str, _: State) -> tuple[str, str]:
    first, _, second = text.partition(",")
    if first not in METHODS or second not in METHODS:
        raise ValueError(f"two methods, separated by a comma, expected, got {short(text)}; {' and '.join(PAIR)} are "
                         "shown.")
    return first, second


def _seed(text: str, _: State) -> int:
    if not (text.isdecimal() and len(text) < 10 and int(text) in SEEDS):  # Python refuses to read 5,000 digits
        raise ValueError(f"a whole number in 0..{SEEDS.stop - 1} expected, got {short(text)}; 0 is used.")
    return int(text)


FIELDS = {"plain": Field(_plain, lambda _: "1"), "network": Field(_network), "forget": Field(_forget),
          "method": Field(_method), "pair": Field(_pair, ",".join), "seed": Field(_seed)}
"""What is read from the address and written into it, beside views and knobs, in this order."""


def write_address(chosen: Choice, visitor: State) -> None:
    """Put the choice and the views into the address, of the knobs those that are not as the request opens.

    So the bare address is the default page.
    """
    wanted = {"v": fields.VERSION} if chosen != DEFAULT else {}
    for name, part in FIELDS.items():
        value = getattr(chosen if hasattr(chosen, name) else visitor, name)
        if value != getattr(State, name):
            wanted[name] = part.text(value)
    opens = start(chosen.network, chosen.forget, chosen.method)
    wanted |= visitor.views
    wanted |= {k: f"{v:g}" if isinstance(v, float) else str(v) for k, v in chosen.settings if v != opens[k]}
    if st.query_params.to_dict() != wanted:
        st.query_params.from_dict(wanted)


def read_address(params: Mapping[str, str]) -> State:
    """The state an address stands for. What it cannot stand for is ignored or clamped, and noted."""
    found = State(views={name: params[name] for name in VIEWS if name in params})
    if params.get("v", fields.VERSION) != fields.VERSION:
        found.notes.append(f"v: this address was made by another version ({short(params['v'])}).")
    for name, part in FIELDS.items():
        if name in params:
            try:
                setattr(found, name, part.parse(params[name], found))
            except ValueError as complaint:
                found.notes.append(f"{name}: {complaint}")
    knobs = {knob.name: knob for knob in method(found.method).hyperparameters}
    for name, knob in knobs.items():
        if name in params:
            value, note = read_value(knob, params[name], found.settings[found.method][name])
            found.put(found.method, {name: value})
            found.notes += [note] if note else []
    for name in sorted(set(params) - {"v", *FIELDS, *VIEWS, *knobs}):
        found.notes.append(f"{short(name)}: not a part of this address; ignored.")
    found.noted = found.choice()
    return found


def tell_notes(visitor: State) -> None:
    """Say in one box what of the address was ignored or corrected, until something else is chosen."""
    try:
        if visitor.noted != visitor.choice():
            visitor.notes = []
    except ValueError:
        visitor.notes = []
    if visitor.notes:
        st.warning("Not everything in this address could be used:\n" + "".join(f"\n- {n}" for n in visitor.notes),
                   icon=":material/link_off:")
