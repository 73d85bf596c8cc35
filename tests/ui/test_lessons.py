"""Lessons: every bundled file, what a broken one says, and the page that walks through them."""

from __future__ import annotations

import re
import time
from functools import cache
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from tests.conftest import REPOSITORY, named, opened_app
from ui.lessons import (
    DONE,
    FOLDER,
    GUESSES,
    MEASURES,
    PLACEHOLDERS,
    VIEWS,
    Lesson,
    Step,
    bounds,
    filled,
    kept,
    lessons,
    measured,
    read,
    words,
)
from ui.server.runtime import engine
from unlearn_core.audit.verdict import Level
from unlearn_core.methods import method
from unlearn_core.nets.request import Request
from unlearn_core.progress import silent
from unlearn_core.serving.choice import Choice
from unlearn_core.serving.judgement import audit

KNOWN, FAULTS = lessons()


@cache
def answer(chosen: Choice) -> tuple[dict[str, float], dict[str, str]]:
    """What a choice measures, and what its sentences are filled with."""
    scene = engine().prepare(chosen, silent)
    settled = engine().compute(scene, chosen, silent)
    found = audit(engine(), scene, settled)
    return measured(scene, settled, found.readings, found), words(scene, settled, found.readings, found)


def quick(chosen: Choice) -> bool:
    return not method(chosen.method).seeded


def each_step(only_quick: bool) -> list[object]:
    return [pytest.param(lesson, i, id=f"{lesson.name}-{i + 1}") for lesson in KNOWN
            for i, step in enumerate(lesson.steps) if quick(step.choice) == only_quick]


def each_question(only_quick: bool) -> list[object]:
    return [pytest.param(lesson.steps[-1], id=lesson.name) for lesson in KNOWN
            if (quick(lesson.steps[-1].choice) and quick(asked(lesson.steps[-1]))) == only_quick]


def asked(step: Step) -> Choice:
    assert step.question is not None
    return step.question.answer


def test_every_bundled_lesson_can_be_read() -> None:
    assert not FAULTS
    assert [lesson.name for lesson in KNOWN] == ["forgetting", "ssd", "hiding", "unsir", "attacker", "same-alpha",
                                                 "limits"]
    for lesson in KNOWN:
        assert lesson.steps[-1].question is not None and len(lesson.steps) > 2
        assert not lesson.steps[0].guess


def test_no_lesson_names_a_level_as_its_own_conclusion() -> None:
    for file in FOLDER.glob("*.toml"):
        if file.stem == "glossary":
            continue  # which says what the levels mean
        text = file.read_text("utf-8")
        assert not [level for level in Level if str(level) in text], file.name


def sentences_are_filled(lesson: Lesson, i: int) -> None:
    step = lesson.steps[i]
    values = answer(step.choice)[1] | bounds(step.question)
    texts = [step.title, filled(step.say, values)]
    if step.question is not None:
        texts.append(filled(step.ask, values))
    elif step.ask:
        texts.append(filled(step.ask, answer(lesson.steps[i - 1].choice)[1]))
    for text in texts:
        assert "…" not in text and "{" not in text and "nan" not in text, text


def question_is_fulfilled(step: Step) -> None:
    assert step.question is not None
    assert all(kept(step.question, answer(step.question.answer)[0]).values()), answer(step.question.answer)[0]
    assert not all(kept(step.question, answer(step.choice)[0]).values()), "it is answered before anything moves"


@pytest.mark.parametrize(("lesson", "i"), each_step(True))
def test_every_sentence_of_a_quick_step_is_filled(lesson: Lesson, i: int) -> None:
    sentences_are_filled(lesson, i)


@pytest.mark.slow
@pytest.mark.parametrize(("lesson", "i"), each_step(False))
def test_every_sentence_of_a_step_that_trains_is_filled(lesson: Lesson, i: int) -> None:
    sentences_are_filled(lesson, i)


@pytest.mark.parametrize("step", each_question(True))
def test_a_question_is_fulfilled_by_its_answer_and_not_before(step: Step) -> None:
    question_is_fulfilled(step)


@pytest.mark.slow
@pytest.mark.parametrize("step", each_question(False))
def test_a_question_that_trains_is_fulfilled_by_its_answer_and_not_before(step: Step) -> None:
    question_is_fulfilled(step)


def test_every_placeholder_is_given_by_some_outcome() -> None:
    dampening = answer(next(lesson for lesson in KNOWN if lesson.name == "ssd").steps[0].choice)[1]
    assert set(PLACEHOLDERS) <= set(dampening)


def test_the_guide_for_teachers_is_true(tmp_path: Path) -> None:
    guide = (REPOSITORY / "docs" / "teaching.md").read_text("utf-8")
    (example,) = re.findall(r"```toml\n(.*?)```", guide, re.DOTALL)
    lesson = read(written(tmp_path, example))
    for i in range(len(lesson.steps)):
        sentences_are_filled(lesson, i)
    question_is_fulfilled(lesson.steps[-1])
    assert all(f"`{name}`" in guide for name in (*VIEWS, *GUESSES, *MEASURES, *DONE))
    assert all(f"{{{name}}}" in guide or name.endswith(("_before", "_retrained")) for name in PLACEHOLDERS)
    for name, step in re.findall(r"lesson=([a-z-]+)&step=(\d+)", guide):
        assert int(step) <= len(next(lesson for lesson in KNOWN if lesson.name == name).steps)
    assert all(f"| {lesson.title} |" in guide for lesson in KNOWN)


# -- a broken file ----------------------------------------------------------------------------------------------------

LESSON = """
title = "A title"
learn = "Something."
[[steps]]
title = "One"
state = { network = "small-resnet", forget = 0, method = "ssd", alpha = 4 }
view = "layers"
say = "It is {forget}."
[[steps]]
title = "Two"
state = { alpha = 2 }
view = "classes"
guess = "retain"
ask = "Where, after {retain}?"
say = "There: {retain}."
[question]
ask = "At most {at_most_forget}?"
view = "layers"
move = ["alpha"]
at_most = { forget = 0.05 }
answer = { alpha = 4 }
say = "Yes."
"""


def written(folder: Path, text: str) -> Path:
    file = folder / "3-own.toml"
    file.write_text(text, "utf-8")
    return file


def test_a_step_changes_what_it_names_and_inherits_the_rest(tmp_path: Path) -> None:
    lesson = read(written(tmp_path, LESSON))
    assert lesson.name == "own"
    first, second, question = lesson.steps
    assert dict(second.choice.settings) == {**dict(first.choice.settings), "alpha": 2.0}
    assert (first.done, second.done, first.page, second.page) == ("seen", "guessed", "layers", "playground")
    assert question.question is not None and question.question.answer == first.choice
    assert filled(question.ask, bounds(question.question)) == "At most 5%?"


@pytest.mark.parametrize(("old", "new", "said"), [
    ("{forget}.", "{oblivion}.", "step 1: nothing is known as {oblivion} here"),
    ("It is {forget}.", "It is 93 %.", "step 1: \"9\" stands in a sentence"),
    ("alpha = 4 }\nview", "alpha = 400 }\nview", "step 1: its state cannot be used. alpha: `400` is outside"),
    ("alpha = 4 }\nview", "alpha = 4.01 }\nview", "lies between two slider positions"),
    ("forget = 0", "forget = 77", "step 1: its state cannot be used. forget:"),
    ("\"small-resnet\"", "\"none\"", "there is no network"),
    ("network = \"small-resnet\", ", "", "the state of the first step must name network"),
    ("alpha = 2 }", "beta = 2 }", "step 2: its state cannot be used. `beta`: not a part"),
    ("guess = \"retain\"", "guess = \"mood\"", "step 2, guess: one of forget, retain"),
    ("guess = \"retain\"", "", "step 2: guess and ask go together"),
    ("state = { alpha = 2 }\n", "", "step 2: a guess needs a step before it"),
    ("view = \"classes\"", "view = \"moon\"", "step 2, view: one of"),
    ("view = \"classes\"", "view = \"classes\"\ndone = \"relearned\"", "step 2: here it can never be relearned"),
    ("view = \"classes\"", "view = \"classes\"\ncolour = \"red\"", "step 2: colour is none of"),
    ("title = \"Two\"", "title = 2", "step 2: title must be a str"),
    ("answer = { alpha = 4 }", "answer = { lambda = 4 }", "question: its answer must set what move names"),
    ("answer = { alpha = 4 }", "answer = { alpha = 2 }", "question: it starts at its answer"),
    ("at_most = { forget = 0.05 }", "at_most = { joy = 1 }", "question, at_most: one of"),
    ("at_most = { forget = 0.05 }\n", "", "question: at_most or at_least must say"),
    ("{at_most_forget}", "{at_most_retain}", "question: nothing is known as {at_most_retain}"),
    ("[question]", "[quiz]", "question is missing"),
    ("title = \"A title\"", "title = ", "this is not TOML"),
])
def test_a_fault_is_told_in_one_sentence(tmp_path: Path, old: str, new: str, said: str) -> None:
    text = LESSON.replace(old, new, 1)
    assert text != LESSON
    written(tmp_path, text)
    found, faults = lessons(tmp_path)
    assert not found and len(faults) == 1
    assert faults[0].startswith("3-own.toml") and said in faults[0]


# -- the page ---------------------------------------------------------------------------------------------------------


def learn(**address: str) -> AppTest:
    """The page, opened by an address: the harness can start on the first page only, so that leaves no trace here."""
    test = opened_app()
    for name, value in address.items():
        test.query_params[name] = value
    test.run().session_state["lacuna"].history.clear()
    return settle(test.switch_page("pages/learn.py").run())


def settle(test: AppTest) -> AppTest:
    while any(b.label == "Cancel" for b in test.button) or any("follow in a moment" in c.value for c in test.caption):
        time.sleep(0.2)
        test.run()
    assert not test.exception
    return test


def text(test: AppTest) -> str:
    return "\n".join(m.value for m in (*test.markdown, *test.caption))


def press(test: AppTest, label: str) -> AppTest:
    return settle(next(b for b in test.button if b.label == label).click().run())


def test_the_page_opens_on_the_first_step_and_moves_the_controls() -> None:
    test = learn()
    assert "A network that knows" in text(test) and "Step 1 of" in text(test)
    assert named(test.select_slider, "ssd.alpha").value == 100.0
    assert test.query_params["lesson"] == "forgetting" and test.query_params["step"] == "1"
    assert re.search(r"\d+\.\d% of its T-shirt images", text(test))
    assert next(b for b in test.button if b.label == "Back").disabled
    press(test, "Next")
    assert "The only honest yardstick" in text(test) and test.query_params["step"] == "2"


def test_a_guess_comes_before_the_run_and_its_gap_after_it() -> None:
    test = learn(lesson="forgetting", step="3")
    assert named(test.select_slider, "ssd.alpha").value == 100.0, "what is to be guessed is not shown"
    assert "how many will be then" in text(test) and "You guessed" not in text(test)
    test.slider(key="guess ('forgetting', 3)").set_value(90)
    press(test, "Run it")
    assert named(test.select_slider, "ssd.alpha").value == 2.0
    assert re.search(r"You guessed 90%, it is 74\.\d%:\*\* 1\d points too high", text(test))
    press(test, "Next")
    press(test, "Back")
    assert "You guessed 90%" in text(test), "it is kept for this visit"


def test_moving_on_keeps_the_words_and_offers_the_way_back() -> None:
    test = learn(lesson="ssd", step="2")
    before = next(m.value for m in test.markdown if m.value.startswith("The images to be forgotten"))
    assert "is 10 here" in before
    settle(named(test.select_slider, "ssd.alpha").set_value(3.0).run())
    assert before in text(test) and any("controls have moved on" in c.value for c in test.caption)
    press(test, "Back to this step's setting")
    assert named(test.select_slider, "ssd.alpha").value == 10.0


def test_a_question_is_answered_by_moving_the_control() -> None:
    test = learn(lesson="ssd", step="6")
    assert "at most 5% of the T-shirt images" in text(test) and not test.success
    settle(named(test.select_slider, "ssd.alpha").set_value(2.0).run())
    assert not test.success, "it forgets, but it costs too much"
    settle(named(test.select_slider, "ssd.alpha").set_value(4.0).run())
    assert test.success[0].value.startswith("Yes: 0.0% are recognised")


@pytest.mark.parametrize(("address", "said"), [
    ({"lesson": "alchemy"}, "lesson: one of forgetting, ssd"),
    ({"lesson": "ssd", "step": "99"}, "step: a whole number in 1..6 expected"),
    ({"lesson": "ssd", "step": "two"}, "step: a whole number in 1..6 expected"),
    ({"lesson": "ssd", "step": "9" * 5000}, "step: a whole number in 1..6 expected"),
])
def test_an_address_that_leads_nowhere_is_told(address: dict[str, str], said: str) -> None:
    test = learn(**address)
    assert said in test.warning[0].value and "Step 1 of" in text(test)


def test_an_address_with_a_choice_of_its_own_shows_that() -> None:
    test = learn(lesson="ssd", step="2", alpha="3")
    assert named(test.select_slider, "ssd.alpha").value == 3.0
    assert any("controls have moved on. What this step says is of SSD" in c.value for c in test.caption)
    assert "…" not in "".join(m.value for m in test.markdown), "no sentence with holes in place of its numbers"
    press(test, "Back to this step's setting")
    assert " is 10 here" in text(test)


@pytest.mark.parametrize("lesson", [pytest.param(lesson, id=lesson.name) for lesson in KNOWN])
def test_every_quick_step_is_shown(lesson: Lesson) -> None:
    test = learn()
    for number, step in enumerate(lesson.steps, 1):
        if quick(step.choice) and dict(step.choice.settings).get("unit") != "batch_mean":
            test.session_state["lacuna"].views.update(lesson=lesson.name, step=str(number))
            settle(test.run())
            assert f"Step {number} of {len(lesson.steps)}" in text(test) and not test.error and not test.warning


def test_classes_without_a_reference_are_shown_without_a_band() -> None:
    test = learn(lesson="ssd", step="2")
    test.session_state["lacuna"].forget = Request((0, 6))
    settle(test.run())
    assert "Unknown" in text(test) and not test.error


def test_terms_in_a_sentence_lead_to_their_step_and_the_glossary_holds_them_all() -> None:
    test = learn(lesson="ssd", step="2")
    assert "[1/ρ](learn?lesson=ssd&step=2 \"The largest importance ratio" in text(test)
    assert "Layer similarity" not in text(test)
    test.session_state["glossary"] = True
    settle(test.run())
    assert "**Layer similarity (CKA).** How alike" in text(test)
    test.text_input(key="sought").set_value("noise").run()
    assert "**UNSIR.**" in text(test) and "Layer similarity" not in text(test)
    settle(test.button(key="term.unsir").click().run())
    assert test.query_params["lesson"] == "unsir" and "First, noise" in text(test)
