"""The page of requests one after another: it opens with a chart, and builds, runs and shares other queues."""

from __future__ import annotations

import time

import pytest
from streamlit.testing.v1 import AppTest

from tests.conftest import opened_app
from ui.panels import queue
from ui.server.runtime import engine
from unlearn_core.audit.accuracy import Count
from unlearn_core.methods import METHODS
from unlearn_core.nets.request import Request
from unlearn_core.study import queued
from unlearn_core.study.queue import Step, Trail
from unlearn_core.subjects.subject import subject


def page(**address: str) -> AppTest:
    test = opened_app()
    for name, value in address.items():
        test.query_params[name] = value
    test.run()
    test.switch_page("pages/queue.py").run()
    assert not test.exception
    return test


def said(test: AppTest) -> str:
    return " ".join(each.value for kind in (test.markdown, test.caption, test.info, test.warning) for each in kind)


def test_it_opens_with_a_chart_that_was_computed_beforehand() -> None:
    test = page()
    assert "queue" not in test.query_params and "methods" not in test.query_params, "the bare address is the default"
    assert "Accuracy on what is never asked for, after the whole queue" in said(test)
    assert "Retrained: one network each, without the first 1" in said(test) and "How to read this" in said(test)
    assert len(test.get("plotly_chart")) == 1
    assert not any(button.key == "queue.start" for button in test.button)
    order = next(iter(queued.load("small-resnet").orders.values()))
    tables = [frame.value for frame in test.dataframe if "never asked for" in list(frame.value.iloc[:, 0])]
    assert len(tables) == queue.MOST_METHODS and all(len(each) == len(order) + 2 for each in tables)
    trail = next(trail for name in queue.FIRST if (trail := queued.load("small-resnet").trail(order, name)))
    assert tables[0]["after 2"][0].startswith(f"{trail.steps[1].asked[0].share:.0%} (")


def test_presses_build_a_queue_that_the_address_holds_and_a_button_runs() -> None:
    test = page(network="people-resnet", queue="3;5", methods="head_zeroing")
    test.button(key="queue.add.1").click().run()
    test.button(key="queue.out.0").click().run()
    assert test.query_params["queue"] == "5;1" and test.query_params["methods"] == "head_zeroing"
    assert "Not run on this queue yet: Head zeroing." in said(test) and not test.get("plotly_chart")
    test.button(key="queue.start").click().run()
    while any(button.label == "Cancel" for button in test.button):
        time.sleep(0.2)
        test.run()
    assert not test.exception and test.get("plotly_chart") and "No request came back by more than chance" in said(test)
    trail = queued.at_hand(engine(), "people-resnet", (Request((5,)), Request((1,))), "head_zeroing")
    assert trail is not None and [step.asked[0].hits for step in trail.steps] == [0, 0]
    assert "No network was retrained without these requests" in said(test)


@pytest.mark.parametrize(("address", "sentence"), [
    ({"queue": "0;spam"}, "requests separated by semicolons expected"),
    ({"queue": "0;0"}, "Queue: request 2 asks only for images that were asked for before it"),
    ({"queue": "77"}, "numbers in 0..9 expected"), ({"queue": ";"}, "1 to 6 requests expected, got 0"),
    ({"queue": "0;animal:1"}, "one of class"), ({"methods": "ssd,spam"}, "methods: one to three names")])
def test_an_address_that_cannot_be_is_answered_in_a_sentence(address: dict[str, str], sentence: str) -> None:
    test = page(**address)
    assert sentence in said(test)
    assert sentence in said(test.run()), "also after the page has run again, as when the verdict comes"


def test_a_person_can_be_queued_where_the_images_have_any() -> None:
    test = page(network="people-resnet")
    assert test.button(key="queue.out.0").label.startswith("1. ![](lacuna/image/people-resnet/")
    assert test.button(key="queue.out.0").label.endswith(" Ariel")
    test.segmented_control(key="queue.kind").set_value("person").run()
    test.button(key="queue.add.person:7").click().run()
    assert test.query_params["queue"] == "person:0;person:1;person:2;person:7"
    assert not any(button.key and button.key.startswith("queue.order.") for button in test.button)
    assert "Not run on this queue yet" in said(test)


def test_what_a_queue_cost_is_told_in_the_end_and_at_worst_and_chance_comes_back_to_nothing() -> None:
    def step(kept: int, *hits: int) -> Step:
        return Step(tuple(Count(each, 1000) for each in hits), Count(kept, 4000), Count(kept, 4000))

    own, requests = subject("small-resnet"), tuple(Request((label,)) for label in (0, 5, 6))
    before = step(3600, 900, 900, 900)
    up = Trail(requests, "ssd", {}, 0, before, (step(3600, 0), step(2000, 120, 0), step(3400, 40, 0, 0)))
    still = Trail(requests, "neggrad", {}, 0, before, (step(3600, 0), step(3600, 1, 0), step(3640, 2, 0, 0)))
    stuck = Trail(requests, "amnesiac", {}, 0, before, (), "It cannot.")
    assert queue.finding(own, [up, still, stuck]) == (
        "Accuracy on what is never asked for, after the whole queue: NegGrad +1.0 points; SSD −5.0 points (−40.0 "
        "points after request 2). What came back most: T-shirt, +12.0 points under SSD, after request 2.")
    assert queue.finding(own, [still]).endswith("NegGrad +1.0 points. No request came back by more than chance.")
    assert queue.finding(own, [stuck]) == "No method could begin."


def test_what_the_page_offers_is_every_method_but_the_yardstick() -> None:
    assert set(METHODS) - set(queue.OFFERED) == {"retrain"} and set(queue.FIRST) <= set(queue.OFFERED)
