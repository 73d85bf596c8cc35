"""What is to be forgotten, as widgets: the kinds in the sidebar, and one press from a request to its neighbours."""

from __future__ import annotations

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from tests.browser.test_pages import app, settle, verdict
from ui.server.runtime import engine
from unlearn_core.nets.request import Request
from unlearn_core.serving.picking import WAYS, Way, pick


def press(test: AppTest, label: str) -> AppTest:
    next(button for button in test.button if button.label == label).click()
    return settle(test.run())


def test_person_picture_and_class_are_one_press_apart() -> None:
    test = app(network="people-resnet", forget="person:13", method="head_zeroing")
    assert "can forget nothing else" in test.info[0].value, "head zeroing shuts off classes"
    press(test, "All of happy")
    assert test.session_state["lacuna"].forget == Request((0,)) and not verdict(test).startswith("Unknown")
    press(test, "The person Noor")
    assert test.query_params["forget"] == "person:13"
    test.session_state["lacuna"].method = "ssd"
    settle(test.run())
    assert verdict(test) == "Not forgotten: Noor is still recognised 100% of the time."
    press(test, "This one picture")
    [row] = engine().base("people-resnet").subject.images.train.groups["person"].numbers.eq(13).nonzero()[:1].flatten()
    assert test.query_params["forget"] == f"image:{int(row)}"
    assert verdict(test).startswith("Unknown: there is no network retrained without this image to compare with.")
    assert not test.exception


def test_a_poison_is_asked_for_in_plain_words_and_shown_with_its_two_numbers() -> None:
    test = app(network="people-poisoned", forget="poisoned:0")
    kind = test.segmented_control[0]
    assert kind.value == "poisoned" and "Poisoned" in kind.options
    assert "Forget poisoned images: the first 7 of 52 into which somebody painted a mark. All are labelled happy." in {
        c.value for c in test.caption}
    assert any("on 1,440 unseen images without the mark" in c.value and "200 unseen images with the mark" in c.value
               for c in test.caption)
    assert any("Does the mark still work?" in m.value for m in test.markdown) and not test.exception
    press(test, "All of happy")
    assert not any("Does the mark still work?" in m.value for m in test.markdown)
    assert test.session_state["lacuna"].forget == Request((0,)) and not test.exception


def test_from_the_clothes_a_person_is_one_press_away() -> None:
    test = press(app(), "A person")
    assert (test.query_params["network"], test.query_params["forget"]) == ("people-resnet", "person:0")
    assert test.segmented_control[0].value == "person" and not test.exception


def test_single_images_are_picked_by_a_rule_and_their_number() -> None:
    test = app()
    test.segmented_control[0].set_value("image")
    settle(test.run())
    first = test.session_state["lacuna"].forget
    assert first == pick(engine().base("small-resnet"), "at random", 10)
    test.selectbox(key="way").set_value("the hardest")
    settle(test.run())
    test.number_input(key="how many").set_value(3)
    settle(test.run())
    hard = test.session_state["lacuna"].forget
    assert hard == pick(engine().base("small-resnet"), "the hardest", 3) and str(hard) == test.query_params["forget"]
    assert verdict(test).startswith("Unknown: there is no network retrained without these 3 images")
    assert {p.name for p in test.button if p.label in ("Sweet spot", "Too weak")} == set(), "nothing was tried on these"
    test.segmented_control[0].set_value("class")
    settle(test.run())
    assert test.session_state["lacuna"].forget == Request((0,)) and not test.exception


@pytest.mark.parametrize("way", WAYS)
def test_a_pick_is_of_the_images_on_show_and_what_it_says(way: Way) -> None:
    base = engine().base("small-resnet")
    found, again = pick(base, way, 20), pick(base, way, 20)
    shown = base.subject.evaluation
    assert found == again and len(found.chosen) == 20 and found.kind == "image"
    at = [int(np.flatnonzero(shown.member & (shown.row == row))[0]) for row in found.chosen]
    sure = base.before.probabilities[np.arange(len(shown.row)), shown.labels]
    rest = np.setdiff1d(np.flatnonzero(shown.member), at)
    if way != "at random":
        assert (sure[at].max() <= sure[rest].min()) if way == "the hardest" else (sure[at].min() >= sure[rest].max())
    assert len(pick(base, way, 10_000).chosen) == 500, "half of what is on show at most"
