"""What is shown is what is chosen, or says that it is not: random visits to the real code over a stub engine.

Answers come when the walk says so, several widgets may be in one message, and a message may be late: made on a page
that has changed since.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Hashable
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qsl, urlencode

import pytest
from streamlit.testing.v1 import AppTest

from ui import controls, mirror, present, state, verdict, waiting
from ui.present import Shown, brief
from ui.state import State, read_address
from unlearn_core.audit.verdict import Level, Verdict
from unlearn_core.methods import METHODS, positions
from unlearn_core.methods.base import NotApplicable
from unlearn_core.nets.request import Request
from unlearn_core.serving.choice import Choice
from unlearn_core.subjects.subject import bundled

EVENTS = 10_000
SCENES = ("ssd", "lfssd", "assd")  # methods with a pad
WALKED = (*SCENES, "unsir", "scrub", "retrain", "head_zeroing", "pgu", "neggrad")


class Job:
    """Work that is done when the test says so."""

    def __init__(self) -> None:
        self.done, self.holders, self.error, self.value = False, 0, None, None

    def finish(self, value: object, error: Exception | None = None) -> None:
        self.done, self.value, self.error = True, value, error


class StubTicket:
    share, note = 0.5, "working"

    def __init__(self, engine: StubEngine, key: Hashable) -> None:
        self.engine, self.key, self.held = engine, key, True
        self.job = engine.jobs.setdefault(key, Job())
        self.job.holders += 1

    def wait(self, seconds: float) -> bool:
        return self.job.done

    def release(self) -> None:
        if self.held:
            self.held = False
            self.job.holders -= 1
            if not self.job.holders and not (self.job.done and self.job.error is None):
                self.engine.jobs.pop(self.key, None)  # as the pool: neither dropped work nor failures are kept

    def result(self) -> Any:
        self.release()
        if self.job.error is not None:
            raise self.job.error
        return self.job.value


class StubEngine:
    """Tickets for scenes and outcomes; what was answered is kept until it is evicted."""

    def __init__(self) -> None:
        self.jobs: dict[Hashable, Job] = {}
        self.pool = SimpleNamespace(queued=lambda lane: 0)

    def scene(self, chosen: Choice) -> StubTicket:
        return StubTicket(self, ("scene", chosen.scene))

    def settle(self, scene: SimpleNamespace, chosen: Choice) -> StubTicket:
        assert scene.choice == chosen.scene, "a scene of something else"
        return StubTicket(self, ("settled", chosen))

    @property
    def waiting(self) -> list[Hashable]:
        return [key for key, job in self.jobs.items() if not job.done and key[0] != "audit"]

    def complete(self, key: Hashable, error: Exception | None = None) -> None:
        kind, chosen = key
        index = object() if chosen.method in SCENES else None
        self.jobs[key].finish(
            SimpleNamespace(choice=chosen, index=index, ceiling=10.0) if kind == "scene" else
            SimpleNamespace(choice=chosen, alpha=4.0, lam=1.0, logits=range(300)), error)


def stub(monkeypatch: pytest.MonkeyPatch, engine: StubEngine) -> None:
    """Put the stub in the engine's place; a verdict names what it is on, and the look inside never comes."""
    monkeypatch.setattr(present, "engine", lambda: engine)
    monkeypatch.setattr(verdict, "engine", lambda: engine)
    monkeypatch.setattr(present, "known", lambda engine, chosen: None)
    for module in (present, verdict):
        monkeypatch.setattr(module, "submit",
                            lambda engine, scene, settled: StubTicket(engine, ("audit", settled.choice)))
    monkeypatch.setattr(present, "first_verdict", lambda engine, scene, settled: Verdict(
        Level.ANSWERS, f"Verdict on {settled.choice.key}.", "", (), None))


class Page:
    """Stands in for Streamlit: keeps state and address, and every widget with its value and callback."""

    def __init__(self) -> None:
        self.session_state: dict[str, Any] = {}
        self.query: dict[str, str] = {}
        self.query_params = SimpleNamespace(to_dict=lambda: dict(self.query), from_dict=self.navigate)
        self.widgets: list[tuple[str, list[Any], Callable[[], None]]] = []
        self.buttons: dict[str, Callable[[], None]] = {}

    def navigate(self, query: dict[str, str]) -> None:
        self.query = dict(parse_qsl(urlencode(query), keep_blank_values=True))

    def widget(self, label: str, options: Any, *, key: str, on_change: Callable[..., None], args: Any = (),
               **rest: object) -> None:
        assert self.session_state[key] in options
        self.widgets.append((key, list(options), lambda: on_change(*args)))

    selectbox = select_slider = widget

    def number_input(self, label: str, low: int, high: int, *, key: str, on_change: Callable[[], None],
                     **rest: object) -> None:
        self.widgets.append((key, [low, 1, 7, high], on_change))

    def button(self, label: str, *, on_click: Callable[[], None], disabled: bool = False, **rest: object) -> None:
        if not disabled:
            self.buttons[label] = on_click

    def container(self, **rest: object) -> Page:
        return self

    def expander(self, *rest: object, **options: object) -> Page:
        return self

    def __enter__(self) -> Page:
        return self

    def __exit__(self, *rest: object) -> None:
        return None

    def caption(self, text: str) -> None:
        return None

    def space(self, size: str) -> None:
        return None


class Visit:
    """One visitor, and what a browser would do."""

    def __init__(self, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
        self.rng, self.page, self.engine = random.Random(seed), Page(), StubEngine()
        for module in (controls, mirror, present, state, waiting):
            monkeypatch.setattr(module, "st", self.page)
        stub(monkeypatch, self.engine)
        self.visitor = read_address({})
        self.seen: Counter[str] = Counter()
        self.run()
        self.late = self.page.widgets, self.page.buttons, self.shown

    def run(self) -> None:
        """One run of the page, and everything that must hold after it."""
        self.page.widgets, self.page.buttons = [], {}
        self.shown = shown = present.present(self.visitor)
        if shown.state == "current" and waiting.held(verdict.AUDIT) is None:
            waiting.hold(verdict.AUDIT, present.submit(self.engine, *shown.picture))  # as the strip does
        controls.presets(self.visitor)
        controls.knobs(self.visitor, None)
        self.seen[shown.state] += 1
        self.seen["former"] += bool(shown.former)
        self.check(shown)

    def check(self, shown: Shown) -> None:
        visitor, address = self.visitor, read_address(self.page.query)
        for name, settings in visitor.settings.items():
            assert set(settings) == {knob.name for knob in METHODS[name].hyperparameters}, f"{name} has another's knob"
        for key, _, _ in self.page.widgets:
            if (name := key.split()[0]) != "seed":
                owner, knob = name.split(".")
                assert owner == visitor.method and self.page.session_state[key] == visitor.settings[owner][knob]
        if shown.state == "invalid":
            assert shown.wanted is None and len(visitor.forget.chosen) in (0, 10)
        else:
            assert shown.wanted == visitor.choice() == address.choice() and not address.notes
        if shown.state == "current":
            assert shown.picture and not shown.former
            scene, settled = shown.picture
            assert settled.choice.key == address.choice().key and scene.choice == settled.choice.scene
            assert shown.message == f"Verdict on {settled.choice.key}."
        elif shown.picture is not None:
            assert shown.state in ("computing", "invalid"), "after a failure nothing of another choice is shown"
            own = shown.picture[1].choice
            assert own != shown.wanted and shown.former == brief(own) and "Verdict" not in shown.message
            if shown.moving:
                assert shown.wanted and own.scene == shown.wanted.scene
        if shown.state == "computing":
            assert shown.message == f"Computing {brief(visitor.choice())} …"
            assert self.engine.waiting, "somebody must be at work"
        wanted = [] if shown.wanted is None else [("scene", shown.wanted.scene), ("settled", shown.wanted)]
        assert set(self.engine.waiting) <= set(wanted), "work that nobody waits for has stopped"
        audits = {key[1] for key in self.engine.jobs if key[0] == "audit"}
        assert audits <= {shown.wanted}, "so has the look inside what is no longer shown"

    # -- what may happen --------------------------------------------------------------------------------------

    def choose(self) -> None:
        what = self.rng.choice(("method", "method", "forget", "network"))
        if what == "method":
            self.visitor.method = self.rng.choice(WALKED)
        elif what == "forget":
            self.visitor.forget = Request(self.rng.choice(((0,), (0,), (3,), (0, 6), (), tuple(range(10)))))
        else:
            self.visitor.network = self.rng.choice(list(bundled("fashion-mnist")))

    def turn(self, widgets: list[tuple[str, list[Any], Callable[[], None]]]) -> None:
        key, options, callback = self.rng.choice(widgets)
        self.page.session_state[key] = self.rng.choice(options)
        callback()

    def drag(self, shown: Shown) -> None:
        if shown.picture is not None and shown.picture[0].index is not None:
            before = {name: dict(settings) for name, settings in self.visitor.settings.items()}
            scene = shown.picture[0].choice
            self.page.session_state["live"] = {"point": {"alpha": self.rng.choice((0.5, 2, 1e9, float("nan"))),
                                                         "lambda": 0.5, "scene": scene.key}}
            controls.take_point(self.visitor, "live", ("alpha", "lambda"))
            if not 1 <= len(self.visitor.forget.chosen) <= 9 or self.visitor.choice().scene != scene:
                assert self.visitor.settings == before, "a scene that is no longer shown has no say"

    def press(self, buttons: dict[str, Callable[[], None]]) -> None:
        self.rng.choice(list(buttons.values()))()

    def cancel(self) -> None:
        if self.shown.state == "computing":
            last = self.visitor.before
            waiting.give_up(waiting.ANSWER)
            self.visitor.step_back()
            assert self.visitor.choice() == last

    def back(self) -> None:
        if self.shown.state in present.BOXES:
            self.visitor.step_back()

    def answer(self) -> None:
        if self.engine.waiting:
            self.engine.complete(self.rng.choice(self.engine.waiting))

    def fail(self) -> None:
        if self.engine.waiting:
            error = self.rng.choice((NotApplicable("No history."), ValueError("It diverged."), RuntimeError("Killed.")))
            self.engine.complete(self.rng.choice(self.engine.waiting), error)

    def evict(self) -> None:
        if kept := [key for key, job in self.engine.jobs.items() if job.done]:
            del self.engine.jobs[self.rng.choice(kept)]

    def message(self) -> None:
        """Several changes at once, in any order, some made on an earlier page."""
        widgets, buttons, shown = self.late
        happened = [self.choose, lambda: self.turn(self.page.widgets), lambda: self.turn(widgets),
                    lambda: self.drag(self.shown), lambda: self.drag(shown), lambda: self.press(buttons)]
        for event in self.rng.sample(happened, self.rng.randint(2, 4)):
            event()

    def step(self) -> None:
        events: dict[Callable[[], None], int] = {
            self.choose: 5, lambda: self.turn(self.page.widgets): 5, lambda: self.drag(self.shown): 3,
            lambda: self.press(self.page.buttons): 3, self.cancel: 3, self.back: 1, self.answer: 14, self.fail: 2,
            self.evict: 1, self.message: 4}
        if self.rng.random() < 0.2:
            self.late = self.page.widgets, self.page.buttons, self.shown
        self.rng.choices(list(events), list(events.values()))[0]()
        self.run()


def test_what_is_shown_is_what_is_chosen_or_says_that_it_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: Counter[str] = Counter()
    for seed in range(10):
        visit = Visit(seed, monkeypatch)
        for number in range(EVENTS // 10):
            try:
                visit.step()
            except AssertionError as problem:
                raise AssertionError(f"visit {seed}, event {number}: {problem}") from problem
        seen += visit.seen
    assert min(seen[name] for name in ("current", "computing", "invalid", "refused", "failed", "former")) > 100, seen


ENGINE = StubEngine()


def script() -> None:
    """A page with the real widgets and headline over the stub engine."""
    import streamlit as st

    from ui import controls, present
    from ui.mirror import showing, taken
    from ui.state import state

    visitor = state()
    st.selectbox("Method", ["ssd", "unsir", "scrub", "head_zeroing"], key=showing("method", visitor.method),
                 on_change=lambda: setattr(visitor, "method", taken("method")))
    shown = present.present(visitor)
    controls.presets(visitor)
    present.headline(shown, visitor)
    present.whose(shown)
    controls.knobs(visitor, None)


def test_a_walk_through_streamlits_own_widgets(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(0)
    stub(monkeypatch, ENGINE)
    test, seen = AppTest.from_function(script, default_timeout=30).run(), Counter[str]()
    for _ in range(300):
        happened = rng.choices(("method", "knob", "both", "button", "answer", "fail"), (2, 2, 2, 3, 6, 1))[0]
        if happened in ("answer", "fail") and ENGINE.waiting:
            ENGINE.complete(ENGINE.waiting[0], ValueError("It diverged.") if happened == "fail" else None)
        if happened in ("knob", "both") and (sliders := [s for s in test.select_slider if not s.disabled]):
            slider = rng.choice(sliders)
            owner, name = slider.key.split()[0].split(".")
            knob = next(knob for knob in METHODS[owner].hyperparameters if knob.name == name)
            slider.set_value(rng.choice(positions(knob)))
        if happened in ("method", "both"):
            test.selectbox[0].set_value(rng.choice(("ssd", "unsir", "scrub", "head_zeroing")))
        if happened == "button" and (buttons := [b for b in test.button if not b.disabled]):
            late = test._tree.get_widget_states()  # what the browser says before it has heard of what the press moved
            rng.choice(buttons).click()
            moved = test.run().session_state["lacuna"].choice()
            test._run(late)
            assert test.session_state["lacuna"].choice() == moved
        test.run()
        assert not test.exception
        visitor: State = test.session_state["lacuna"]
        for name, settings in visitor.settings.items():
            assert set(settings) == {knob.name for knob in METHODS[name].hyperparameters}
        chosen, words = visitor.choice(), " ".join(m.value for m in test.markdown)
        captions = " ".join(c.value for c in test.caption)
        assert read_address(dict(test.query_params)).choice() == chosen
        assert test.selectbox[0].value == chosen.method
        for slider in test.select_slider:
            owner, knob = slider.key.split()[0].split(".")
            assert owner == chosen.method and slider.value == visitor.settings[owner][knob]
        if "Verdict" in words:
            assert f"Verdict on {chosen.key}." in words and "The picture: " in captions
            seen["current"] += 1
        elif "Computing" in words:
            assert f"Computing {brief(chosen)} …" in words and "The picture: " not in captions
            seen["computing"] += 1
        else:
            assert test.error and "picture" not in captions
            seen["failed"] += 1
    assert min(seen[name] for name in ("current", "computing", "failed")) > 3, seen

