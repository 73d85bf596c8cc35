"""The pages through Streamlit's own test harness: widgets, sentences, state, address."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from starlette.requests import Request
from streamlit.testing.v1 import AppTest

from tests.conftest import named, opened_app
from ui.server import routes
from ui.server.runtime import engine, publish, published
from ui.state import DEFAULT, read_address, start
from unlearn_core.audit.verdict import Level
from unlearn_core.exhibits import Exhibit
from unlearn_core.measure.task import Task
from unlearn_core.methods import METHODS
from unlearn_core.methods.base import Outcome, Settings
from unlearn_core.nets.request import Request as Forget
from unlearn_core.progress import Progress
from unlearn_core.serving.scenes import Scene, Settled


def app(**address: str) -> AppTest:
    test = opened_app()
    for name, value in address.items():
        test.query_params[name] = value
    return settle(test.run().run())  # what stands below the first picture comes when a browser has drawn that


def settle(test: AppTest) -> AppTest:
    """Run again, as the page's own fragments would, until the exact answer and its verdict are there."""
    while any(b.label == "Cancel" for b in test.button) or any("follow in a moment" in c.value for c in test.caption):
        time.sleep(0.2)
        test.run()
    if not test.select_slider:  # the harness may lose what a fragment drew into the sidebar
        test.run()
    return test


def choose(test: AppTest, **what: object) -> None:
    """Choose network, classes or method. The harness loses the sidebar's own widgets once a fragment has run."""
    for name, value in what.items():
        setattr(test.session_state["lacuna"], name, Forget(value) if name == "forget" else value)  # type: ignore[arg-type]
    settle(test.run())


@pytest.fixture(autouse=True)
def no_exception() -> Iterator[list[AppTest]]:
    seen: list[AppTest] = []
    yield seen
    for test in seen:
        assert not test.exception


def exhibits(test: AppTest) -> tuple[Exhibit, ...]:
    """The pictures of the outcome on the page."""
    chosen = test.session_state["lacuna"].history[-1]
    return engine().settle(engine().scene(chosen).result(), chosen).result().exhibits


def verdict(test: AppTest) -> str:
    settle(test)
    return next(m.value for m in test.markdown if m.value.startswith("#### ")).removeprefix("#### ")


def test_the_default_is_computed(no_exception: list[AppTest]) -> None:
    test = app()
    no_exception.append(test)
    assert verdict(test).startswith("Hidden: the answers are gone, what is inside is not")
    assert not test.warning and not test.error


def test_a_slider_and_a_preset_change_the_verdict_and_undo_takes_it_back(no_exception: list[AppTest]) -> None:
    test = app()
    no_exception.append(test)
    before = verdict(test)
    test.button(key="preset.ssd.catastrophic").click().run()
    assert verdict(test).startswith("Damaged")
    assert test.query_params["alpha"] == "0.3"
    next(b for b in test.button if b.label == "Undo").click().run()
    assert verdict(test) == before and "alpha" not in test.query_params
    named(test.select_slider, "ssd.alpha").set_value(20.0).run()
    assert verdict(test).startswith("Not forgotten") and "ceiling" in test.info[0].value
    next(b for b in test.button if b.label == "Reset").click().run()
    assert verdict(test) == before


def captions(test: AppTest) -> str:
    return " ".join(c.value for c in test.caption)


def test_forgetting_nothing_is_refused_in_a_sentence_and_dims_the_picture(no_exception: list[AppTest]) -> None:
    test = app()
    no_exception.append(test)
    before = verdict(test)
    choose(test, forget=())
    assert "at least one class must be forgotten" in test.warning[0].value
    assert "The last picture, dimmed: SSD on T-shirt, Small ResNet, α 4.64, λ 0.3" in captions(test)
    assert before not in " ".join(m.value for m in test.markdown), "it is no answer to what is chosen"
    choose(test, forget=tuple(range(10)))
    assert "at least one class must be kept" in test.warning[0].value
    choose(test, forget=(0,))
    assert not test.warning and verdict(test) == before


def test_several_classes_say_that_no_reference_is_at_hand(no_exception: list[AppTest]) -> None:
    test = app(forget="0,6")
    no_exception.append(test)
    assert verdict(test).startswith("Unknown: there is no network retrained without T-shirt and Shirt")
    assert any(b.label.startswith("Retrain 3 networks to compare with, about ") for b in test.button)
    assert "nearer" not in captions(test)


@pytest.mark.parametrize("method", ["ssd", "lfssd", "assd"])
@pytest.mark.parametrize("network", ["small-resnet", "small-vit"])
def test_every_method_runs_on_every_network(no_exception: list[AppTest], network: str, method: str) -> None:
    test = app(network=network, method=method, forget="8")
    no_exception.append(test)
    assert verdict(test).endswith(".") and not test.error


@pytest.mark.parametrize("method", ["head_zeroing", "pgu", "partial_amnesiac"])
def test_methods_without_a_landscape_show_their_own_pictures(no_exception: list[AppTest], method: str) -> None:
    test = app(method=method, forget="1", plain="1")
    no_exception.append(test)
    assert verdict(test).endswith(".") and not test.error and len(test.metric) == 3
    layers = next(d.value for d in test.dataframe if "relative change" in d.value.columns)
    assert layers["relative change"].max() > 0 and "selected" not in layers.columns
    own = {exhibit.title for exhibit in exhibits(test)}
    assert own <= {m.value.removeprefix("#### ") for m in test.markdown} and (own or method == "head_zeroing")


def test_a_method_that_cannot_serve_says_why_and_shows_no_other_ones_picture(no_exception: list[AppTest]) -> None:
    test = app(network="small-vit")
    no_exception.append(test)
    before = verdict(test)
    choose(test, method="amnesiac")
    assert "cannot be used here" in test.info[0].value and "history" in test.info[0].value
    assert test.query_params["method"] == "amnesiac" and not test.error
    assert "picture" not in captions(test) and not test.get("plotly_chart")
    next(b for b in test.button if b.label == "Back to SSD on T-shirt").click().run()
    assert not test.info and verdict(test) == before and "method" not in test.query_params


def test_a_run_that_diverges_says_so_and_is_tried_again_only_when_asked(no_exception: list[AppTest],
                                                                        monkeypatch: pytest.MonkeyPatch) -> None:
    runs = []

    def diverging(task: Task, settings: Settings, progress: Progress) -> Outcome:
        runs.append(settings)
        outcome = METHODS["head_zeroing"].work(task, METHODS["head_zeroing"].settings(), progress)
        return replace(outcome, parameters={name: value / 0 for name, value in outcome.parameters.items()})

    monkeypatch.setitem(METHODS, "neggrad", replace(METHODS["neggrad"], work=diverging))
    test = app()
    no_exception.append(test)
    before = verdict(test)
    choose(test, method="neggrad")
    assert "diverged" in test.error[0].value and "Lower the learning rate" in test.error[0].value
    assert test.query_params["method"] == "neggrad" and not test.get("plotly_chart")
    assert "diverged" in test.run().error[0].value and len(runs) == 1
    settle(next(b for b in test.button if b.label == "Try again").click().run())
    assert "diverged" in test.error[0].value and len(runs) == 2
    next(b for b in test.button if b.label == "Back to SSD on T-shirt").click().run()
    assert verdict(test) == before and not test.error


def test_the_seed_is_a_part_of_the_address(no_exception: list[AppTest]) -> None:
    test = app(method="neggrad", seed="3")
    no_exception.append(test)
    assert test.query_params["seed"] == "3"
    assert "Seed 3." in " ".join(c.value for c in test.caption)
    choose(test, method="ssd")
    assert "seed" not in test.query_params, "it has no randomness"
    odd = app(method="neggrad", seed="-1")
    no_exception.append(odd)
    assert "seed" in odd.warning[0].value, "also after the runs that waited for the answer"
    choose(odd, forget=(1,))
    assert not odd.warning


@pytest.mark.parametrize("hostile, said", [
    ({"alpha": "nan"}, "alpha: a number in [0.1, 100] expected"),
    ({"alpha": "1e99"}, "is outside [0.1, 100]; 100 is shown"),
    ({"alpha": "-3"}, "is outside [0.1, 100]; 0.1 is shown"),
    ({"lambda": "inf"}, "lambda:"),
    ({"forget": "0,1,2,3,4,5,6,7,8,9"}, "one to 9 class numbers"),
    ({"forget": ""}, "one to 9 class numbers"),
    ({"network": "../../etc/passwd"}, "there is no network"),
    ({"unit": "whole"}, "unit: one of per_sample, batch_mean expected"),
    ({"spam": "x" * 5000}, "not a part of this address"),
    ({"network": " www.zq7.com"}, "no network ` www.zq7.com`"),  # as code: plain text would become a link
    ({"method": "neggrad", "seed": "9" * 5000}, "seed: a whole number in 0..999 expected"),
])
def test_a_hostile_address_is_answered_in_a_sentence(hostile: dict[str, str], said: str) -> None:
    answer = read_address(hostile)
    assert any(said in note for note in answer.notes)
    assert answer.choice  # what is shown instead is valid


def test_a_landscape_from_an_absurd_point_on_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routes, "published", lambda kind, key: object())
    asked = Request({"type": "http", "path_params": {"key": "x"}, "query_string": b"from=" + b"9" * 5000})
    with ThreadPoolExecutor(1) as thread:  # the browser tests leave a loop running in this one
        assert thread.submit(asyncio.run, routes.points(asked)).result().status_code == 404


def test_a_scene_and_an_outcome_of_one_key_are_both_published() -> None:
    """As of a method without any knob."""
    scene = engine().scene(DEFAULT).result()
    outcome = replace(engine().settle(scene, DEFAULT).result(), choice=scene.choice)
    publish(scene, outcome)
    assert published(Scene, scene.choice.key) is scene and published(Settled, scene.choice.key) is outcome
    assert published(Settled, "0") is None


def compare_page(**address: str) -> AppTest:
    test = opened_app()
    for name, value in address.items():
        test.query_params[name] = value
    test.run()
    return test.switch_page("pages/compare.py").run()


@pytest.mark.parametrize("network", ["small-resnet", "small-vit"])
def test_the_compare_page_shows_every_method(no_exception: list[AppTest], network: str) -> None:
    test = compare_page(network=network, forget="6", pair="unsir,pgu")
    no_exception.append(test)
    verdict(test)
    finding = [m.value for m in test.markdown if m.value.startswith("#### ")][1]
    assert finding.startswith(f"#### Verdicts on {22 if network == 'small-resnet' else 20} methods")
    table = test.dataframe[0].value
    assert len(table) == len(METHODS) + 1 and set(METHODS[n].title for n in METHODS) <= set(table["method"])
    missing = table[table["seeds"] == 0]
    ranks = [list(map(str, Level)).index(level) for level in table["verdict"][1:] if level != "–"]
    assert ranks == sorted(ranks, reverse=True) and table["verdict"][0] == "Not forgotten", "the original comes first"
    assert all(remark.startswith("Not applicable. ") for remark in missing["remark"])
    assert bool(len(missing)) == (network == "small-vit"), "no history was recorded for the transformer"
    assert [s.value for s in test.selectbox if s.key in ("pair0", "pair1")] == ["unsir", "pgu"]
    named(test.selectbox, "pair0").set_value("ssd").run()
    assert test.query_params["pair"] == "ssd,pgu"
    assert len(test.get("plotly_chart")) == 8  # trade-off, gauges and map twice, layers, two matrices


def test_a_method_that_was_just_added_stands_in_the_table_and_is_run_on_request(
        no_exception: list[AppTest], monkeypatch: pytest.MonkeyPatch) -> None:
    def work(task: Task, settings: Settings, progress: Progress) -> Outcome:
        return METHODS["head_zeroing"].work(task, settings, progress)

    monkeypatch.setitem(METHODS, "fake", replace(METHODS["head_zeroing"], name="fake", title="Fake", work=work))
    test = compare_page(forget="6", pair="fake,ssd")
    no_exception.append(test)
    row = test.dataframe[0].value.set_index("method").loc["Fake"]
    assert row["remark"] == "Not run yet." and row["seeds"] == 0
    assert any("Fake has not been run yet" in said.value for said in test.info)
    next(b for b in test.button if b.label == "Run what is missing").click().run()
    settle(test)
    for visit in (test, compare_page(forget="6")):  # whoever comes later finds it done
        table = visit.dataframe[0].value.set_index("method")
        assert table.loc["Fake"]["seeds"] == 1 and not table.loc["Fake"]["remark"].startswith("Not run")
        assert not any(b.label == "Run what is missing" for b in visit.button)


def test_several_classes_can_be_compared_on_request_only(no_exception: list[AppTest]) -> None:
    test = compare_page(forget="0,6")
    no_exception.append(test)
    assert "shipped for single classes" in test.info[0].value
    assert any(b.label == "Run every method" for b in test.button)
    bad = app(pair="ssd,magic")
    no_exception.append(bad)
    assert "pair" in bad.warning[0].value


def test_switching_methods_keeps_each_ones_settings(no_exception: list[AppTest]) -> None:
    test = app(alpha="2")
    no_exception.append(test)
    choose(test, method="lfssd")
    assert named(test.select_slider, "lfssd.alpha").value == start("small-resnet", Forget((0,)), "lfssd")["alpha"]
    choose(test, method="ssd")
    assert named(test.select_slider, "ssd.alpha").value == 2.0


def test_the_canvas_and_the_plain_widgets_move_the_same_value(no_exception: list[AppTest]) -> None:
    test = app(plain="1")
    no_exception.append(test)
    test.toggle(key="plain").set_value(True).run()
    assert len(test.metric) == 3
    shown = [m.value for m in test.metric]
    named(test.select_slider, "ssd.alpha").set_value(1.0).run()
    assert [m.value for m in test.metric] != shown


def test_the_methods_page_lists_every_declared_knob(no_exception: list[AppTest]) -> None:
    test = app()
    test.switch_page("pages/methods.py").run()
    no_exception.append(test)
    assert sum(len(d.value) for d in test.dataframe) > 10
    assert any("does not prove" in m.value for m in test.markdown)


def test_charts_say_what_they_show_in_words(no_exception: list[AppTest]) -> None:
    test = app()
    no_exception.append(test)
    chart = test.get("plotly_chart")[0].proto
    assert "most affected retained class" in chart.alt
    assert len(json.loads(chart.spec)["data"][0]["y"]) == 10
