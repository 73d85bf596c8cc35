"""Could an attacker tell: the report, its figures, the page, and that the audit tells retrained from original."""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
import streamlit as st
from playwright.sync_api import expect
from streamlit.testing.v1 import AppTest

from tests.conftest import Scripted, Visitor, named, opened_app
from ui.server.runtime import engine
from unlearn_core.audit.distinguish import Placement
from unlearn_core.audit.membership import STATISTICS
from unlearn_core.audit.report import TITLES, Report, report, standing
from unlearn_core.audit.roc import roc
from unlearn_core.audit.verdict import Level
from unlearn_core.figures.privacy import BINS, LOWEST, Curve, Strip, butterfly, dots, risks, roc_curves, strips
from unlearn_core.figures.style import ORIGINAL, RETRAINED_ON_DARK, UNLEARNED
from unlearn_core.nets.request import Request
from unlearn_core.subjects.subject import Subject, subject

LABELS = np.tile(np.repeat(np.arange(4), 100), 2)
MEMBER = np.repeat([True, False], 400)
LEVELS = re.compile("|".join(Level), re.IGNORECASE)


def network(seed: int, knows: tuple[int, ...], overfits: float = 0.0) -> np.ndarray:
    """(800, 4) logits of a network that was trained on some of four classes."""
    generator = np.random.default_rng(seed)
    logits = 0.3 * generator.normal(size=(800, 4))
    common = np.random.default_rng(99).normal(size=(800, 4))  # what is hard about an image is hard to all
    logits += common
    known = np.isin(LABELS, knows)
    logits[known, LABELS[known]] += 5 + overfits * MEMBER[known]
    logits[:, [c for c in range(4) if c not in knows]] -= 4
    return logits.astype(np.float32)


@cache
def synthetic(what: str) -> Report:
    retrained = np.stack([network(seed, (1, 2, 3)) for seed in range(1, 7)])
    unlearned = network(0, (1, 2, 3)) if what == "like retrained" else network(0, (0, 1, 2, 3), 3.0)
    return report(unlearned, network(0, (0, 1, 2, 3), 3.0), retrained if what != "alone" else None, LABELS, MEMBER,
                  np.isin(LABELS, (0,)))


def test_a_model_like_the_retrained_passes() -> None:
    found = synthetic("like retrained")
    assert found.told is not None and found.told.distance.placement.place != "apart" and found.seeds == 6
    assert found.told.original_distance.placement.place == found.told.original_score.placement.place == "apart"
    for name in found.distinct:
        placement = found.attacks[name].placement
        assert placement is not None and standing(placement) in ("within", "just above", "just below")
    assert found.informative and not LEVELS.search(found.headline), "the conclusion is the verdict's"


def test_the_original_fails() -> None:
    found = synthetic("original")
    assert found.told is not None and found.told.distance.placement.place == "apart"
    assert not LEVELS.search(found.headline)
    attack = found.attacks["margin"]
    assert attack.placement is not None and standing(attack.placement) == "above"
    assert attack.unlearned.auc == attack.original.auc > 0.9
    assert f"has {found.attacks[found.strongest].unlearned.auc:.2f}" in found.headline


def test_without_retrained_networks_the_attacks_remain() -> None:
    found = synthetic("alone")
    assert found.told is None and found.informative is None and found.seeds == 0
    assert found.headline.endswith("where guessing has 0.50.")
    assert all(a.null is None and a.placement is None for a in found.attacks.values())
    few = report(network(0, (1,)), network(1, (0, 1)), np.stack([network(2, (1,))] * 2), LABELS, MEMBER, LABELS == 0)
    assert few.told is None and few.seeds == 0


def test_loss_confidence_and_margin_are_one_attack() -> None:
    found = synthetic("like retrained")
    assert set(TITLES) - {"lira", "u_lira"} == set(STATISTICS) == set(found.attacks)
    assert found.attacks["loss"].unlearned.auc == found.attacks["confidence"].unlearned.auc == pytest.approx(
        found.attacks["margin"].unlearned.auc)
    assert found.strongest in found.distinct == ("margin", "entropy", "modified_entropy")
    assert found.attacks[found.strongest].unlearned.auc == max(
        found.attacks[name].unlearned.auc for name in found.distinct), "chosen and reported by one number"


def test_errors_at_a_threshold_are_those_of_the_roc() -> None:
    attack = synthetic("original").attacks["margin"]
    best = attack.at(attack.unlearned.best_threshold)
    assert best.balanced_accuracy == pytest.approx(attack.unlearned.balanced_accuracy)
    nobody = attack.at(np.inf)
    assert (nobody.fpr, nobody.fnr, nobody.balanced_accuracy) == (0, 1, 0.5)


def test_standing() -> None:
    null = np.array([0.49, 0.5, 0.51])
    for value, expected in ((0.5, "within"), (0.52, "just above"), (0.48, "just below"), (0.9, "above"),
                            (0.1, "below")):
        assert standing(Placement(value, null, (0.45, 0.55))) == expected


# ------------------------------------------------------------------------------------------------------- figures


def test_every_image_is_a_dot_in_its_bin() -> None:
    place, height = dots(np.array([0.0, 0.001, 1.0, 0.5]), (0.0, 1.0))
    assert list(place) == [2, 1, 1, 1]
    assert list(height) == pytest.approx([0.5 / BINS, 0.5 / BINS, 1 - 0.5 / BINS, (BINS / 2 + 0.5) / BINS])


def test_the_butterfly_fills_what_is_called_a_member() -> None:
    figure = butterfly(np.array([0.2, 0.8]), np.array([0.1, 0.3, 0.9]), 0.8, (0.0, 1.0), "confidence",
                       RETRAINED_ON_DARK)
    json.loads(figure.to_json())
    seen, unseen = figure.data
    assert all(x < 0 for x in seen.x) and all(x > 0 for x in unseen.x)
    assert list(seen.marker.symbol) == ["circle-open", "circle"]
    assert list(unseen.marker.symbol) == ["diamond-open", "diamond-open", "diamond"]
    assert [a.text for a in figure.layout.annotations] == [
        "<b>training images</b>: 50% called members", "<b>never seen</b>: 33% called members"]
    assert figure.layout.font.size == 15 and figure.layout.font.color == RETRAINED_ON_DARK
    assert figure.layout.shapes[0].y0 == 0.8 and figure.layout.shapes[0].line.color == RETRAINED_ON_DARK


def test_the_roc_is_drawn_as_given_on_fixed_logarithmic_axes() -> None:
    grid = np.array([0.0, 0.001, 0.01, 0.1, 1.0])
    rates = np.array([0.0, 0.0, 0.0, 0.2, 1.0])
    figure = roc_curves(Curve(grid, rates, np.stack([rates, rates]), rates, None), RETRAINED_ON_DARK)
    lines = {trace.name: trace for trace in figure.data}
    assert "retrained" not in lines
    assert list(lines["unlearned"].x) == [0.01, 0.1, 1] and list(lines["unlearned"].y)[1:] == [0.2, 1]
    assert 0 < lines["unlearned"].y[0] < LOWEST, "zero lies below the axis"
    assert (lines["unlearned"].line.color, lines["original"].line.color) == (UNLEARNED, ORIGINAL)
    assert figure.layout.xaxis.type == figure.layout.yaxis.type == "log"
    assert figure.layout.xaxis.range == figure.layout.yaxis.range == (-2, 0.02)
    both = roc_curves(Curve(grid, rates, np.stack([rates, rates]), rates, np.stack([rates, rates])), RETRAINED_ON_DARK)
    assert next(t for t in both.data if t.name == "retrained").line.color == RETRAINED_ON_DARK


def test_risks_mark_what_rose_on_symmetric_axes() -> None:
    before, after = np.array([0.0, -1.0, 5.0]), np.array([0.5, 20.0, 4.0])
    figure = risks(before, after, np.array([False, True, False]), ["a", "b", "c"], RETRAINED_ON_DARK)
    json.loads(figure.to_json())
    diagonal, rest, risen = figure.data
    assert list(rest.text) == ["a", "c"] and list(risen.text) == ["b"]
    assert list(risen.y) == [np.arcsinh(20)] and list(risen.customdata[0]) == [-1, 20]
    assert figure.layout.xaxis.range == figure.layout.yaxis.range and diagonal.y[1] > np.arcsinh(20)
    assert {rest.marker.color, risen.marker.color} == {UNLEARNED} and figure.layout.font.color == RETRAINED_ON_DARK


def test_strips_place_values_on_their_whole_domain() -> None:
    figure = strips({"a": Strip(1.0, 2.0, np.array([0.5, 1.5]), (0.0, np.inf), (0.0, 2.0))}, RETRAINED_ON_DARK)
    json.loads(figure.to_json())
    marks = {trace.name: list(trace.x) for trace in figure.data}
    assert marks == {"retrained": [0.25, 0.75], "original": [1.0], "unlearned": [0.5]}
    assert (figure.layout.shapes[1].x0, figure.layout.shapes[1].x1) == (0, 1), "an infinite end is the axis's end"
    assert "unlearned <b>1.00</b>, original 2.00, retrained 0.50 to 1.50" in [a.text for a in figure.layout.annotations]


# ------------------------------------------------------------------------------------------- the audit audited


def test_a_held_out_retrained_network_passes_and_the_original_does_not() -> None:
    seeds = subject("small-resnet").retrained_logits(Request((1,)))
    assert seeds is not None
    before, evaluation = engine().base("small-resnet").before.logits, subject("small-resnet").evaluation

    def judged(logits: np.ndarray, others: np.ndarray) -> Report:
        return report(logits, before, others, evaluation.labels, evaluation.member,
                      evaluation.labels == 1)

    held = judged(seeds[1], np.delete(seeds, 1, 0))
    assert held.told is not None and held.told.distance.placement.place != "apart"
    for out in range(len(seeds)):  # others may be at the edge by luck, never told apart
        found = judged(seeds[out], np.delete(seeds, out, 0))
        assert found.told is not None and "apart" not in {
            found.told.distance.placement.place, found.told.score.placement.place}
    original = judged(before, seeds)
    assert original.told is not None
    assert original.told.distance.placement.place == original.told.score.placement.place == "apart"


# ---------------------------------------------------------------------------------------------------------- page


def page(**address: str) -> AppTest:
    test = opened_app(60)
    for name, value in address.items():
        test.query_params[name] = value
    test.switch_page("pages/privacy.py").run()
    while any(b.label == "Cancel" for b in test.button):
        time.sleep(0.2)
        test.run()
    assert not test.exception and not test.error
    return test


def said(test: AppTest) -> str:
    return "\n".join(m.value for m in test.markdown)


def headline(test: AppTest) -> str:
    _outcome, page = [m.value.removeprefix("#### ") for m in test.markdown if m.value.startswith("#### ")][:2]
    return page


def test_the_page_judges_the_default_with_lira_among_the_attacks() -> None:
    test = page(statistic="lira")
    assert headline(test).startswith("The membership attack with the highest AUC (")
    assert "on retrained networks" in headline(test) and "worst-case privacy score" in headline(test)
    assert len(test.get("plotly_chart")) == 4, "ROC, risk of the retained, comparison with retraining, needle"
    assert "Nearer to each of 5 retrained networks than to the original" in said(test) and "(KLoM)" in said(test)
    table = test.dataframe[0].value
    assert list(table["statistic"]) == ["margin, loss, confidence", "entropy", "modified entropy", "LiRA, per image"]
    assert "not 0.1 %" in said(test) and "on the 64 shadow models themselves" in said(test)
    assert "Of 900 retained training images LiRA finds" in said(test)
    assert "at the LiRA" not in said(test) and "#### ROC: LiRA, per image" in said(test)
    named(test.selectbox, "view.statistic").set_value("u_lira").run()
    assert any("shadow models that forgot as well" in i.value for i in test.info) and not test.exception


def test_the_plain_view_has_a_slider_and_aims() -> None:
    test = page(plain="1")
    assert len(test.get("plotly_chart")) == 5
    best = test.slider(key="threshold").value
    top = next(m.value for m in test.markdown if "Balanced accuracy" in m.value)
    test.slider(key="threshold").set_value(-20.0).run()
    assert "0.0% are missed (FNR). Balanced accuracy **50.0%**" in said(test)
    next(b for b in test.button if b.label == "Best guess").click().run()
    assert test.slider(key="threshold").value == best and top in said(test)
    named(test.selectbox, "view.statistic").set_value("entropy").run()
    assert test.slider(key="threshold").max < 0.1 and not test.exception
    next(b for b in test.button if b.label == "Worst case").click().run()
    assert TITLES[named(test.selectbox, "view.statistic").value] in headline(test)


def test_walls_show_the_images_that_they_speak_of() -> None:
    walls = [w.proto.body for w in page().get("html") if "<figure" in w.proto.body]
    train = subject("small-resnet").images.train
    for wall, forgotten in zip(walls, (False, True), strict=True):  # whose risk rose; what is answered otherwise
        numbers = [int(number) for number in re.findall(r"/(\d+)\.png", wall)]
        assert len(numbers) == 12 and all(number % 2 == 0 for number in numbers), "training images"
        assert ((train.labels[[number // 2 for number in numbers]] == 0) == forgotten).all()


def test_a_still_method_is_judged_too() -> None:
    test = page(method="head_zeroing", forget="1", plain="1")
    assert "; its outputs lie " in headline(test)
    assert test.slider(key="threshold").max < -9000, "the axis follows its values"
    named(test.selectbox, "view.statistic").set_value("confidence").run()
    assert not test.exception and "Balanced accuracy **50.0%**" in said(test), "all are 0 to the last digit"


def test_several_classes_say_what_is_missing_and_show_the_rest() -> None:
    test = page(forget="0,6", method="head_zeroing")
    assert headline(test).endswith("where guessing has 0.50.")
    assert "this cannot be said" in test.info[0].value and len(test.get("plotly_chart")) == 2
    assert "retrained" not in test.dataframe[0].value.columns and "Of 800 retained training images" in said(test)


def test_a_network_without_shadow_models_says_so_and_a_hostile_statistic_changes_nothing() -> None:
    test = page(network="small-vit", method="head_zeroing", statistic="lira")
    assert any("No shadow models of this network are at hand" in i.value for i in test.info)
    assert not any(b.label == "Let the shadow models forget too" for b in test.button)
    bad = page(statistic="<script>alert(1)</script>", method="head_zeroing")
    assert any("statistic: one of margin, loss" in w.value and "<" not in w.value for w in bad.warning)
    assert named(bad.selectbox, "view.statistic").value == "margin"


def test_u_lira_runs_on_request_and_joins_the_attacks(monkeypatch: pytest.MonkeyPatch) -> None:
    few = subject("small-resnet").shadow_networks()[:20]
    monkeypatch.setattr(Subject, "shadow_networks", lambda self: few)
    test = page(method="head_zeroing", statistic="u_lira", forget="2")
    next(b for b in test.button if b.label == "Let the shadow models forget too").click().run()
    while any(b.label == "Cancel" for b in test.button):
        time.sleep(0.2)
        test.run()
    assert not test.exception and "U-LiRA, per image" in list(test.dataframe[0].value["statistic"])
    assert "on the 20 shadow models themselves" in said(test)
    assert not any(b.label == "Let the shadow models forget too" for b in test.button)


def test_u_lira_says_why_a_method_that_needs_the_training_history_cannot_serve() -> None:
    test = page(method="amnesiac", repair_epochs="0")
    next(b for b in test.button if b.label == "Let the shadow models forget too").click().run()
    while any(b.label == "Cancel" for b in test.button):
        time.sleep(0.2)
        test.run()
    assert any("U-LiRA cannot judge Amnesiac" in i.value for i in test.info) and not test.exception
    assert len(test.get("plotly_chart")) == 4


def test_what_cannot_be_computed_becomes_a_sentence() -> None:
    test = page(method="amnesiac", network="small-vit")
    assert "cannot be used here" in test.info[0].value and not test.get("plotly_chart")
    test.session_state["lacuna"].forget = Request(())
    test.run()
    assert "at least one class must be forgotten" in test.warning[0].value and not test.exception


def test_the_ink_is_light_on_a_dark_page(monkeypatch: pytest.MonkeyPatch) -> None:
    class Dark:
        type = "dark"

    monkeypatch.setattr(type(st.context), "theme", Dark())
    charts = page().get("plotly_chart")
    assert [json.loads(c.proto.spec)["layout"]["font"]["color"] for c in charts] == [RETRAINED_ON_DARK] * 4


# ------------------------------------------------------------------------------------------------- in a browser

@pytest.mark.browser
def test_the_attackers_maths_in_the_browser_is_that_of_the_package(scripted: Scripted) -> None:
    rng = np.random.default_rng(0)
    tab = scripted("attack", "attack/errors.js")
    for shift, digits in ((1.0, 6), (0.5, 0), (-9.0, 3)):  # ties; worse than guessing
        members, others = np.round(rng.normal(shift, 1, 37), digits), np.round(rng.normal(0, 1, 120), digits)
        curve = roc(members, others)
        thresholds = [*np.linspace(-3, 3, 20), *members[:3], *others[:3]]
        found = tab.evaluate("""([members, others, thresholds]) => {
          const groups = { members: attack.ascending(members), others: attack.ascending(others) };
          return { errors: thresholds.map((t) => attack.errorsAt(groups, t)), best: attack.bestThreshold(groups),
            low: [0.01, 0.1, 0.3].map((rate) => attack.thresholdAtRate(groups, rate).tpr),
            stack: attack.stacked(others, [-3, 3], 70),
            sides: Object.values(attack.sides(members, others, thresholds[9])).map((side) => side.length) };
        }""", [members.tolist(), others.tolist(), thresholds])
        for t, errors in zip(thresholds, found["errors"], strict=True):
            assert errors["fpr"] == pytest.approx((others >= t).mean())
            assert errors["fnr"] == pytest.approx((members < t).mean())
            assert errors["balanced"] == pytest.approx(1 - (errors["fpr"] + errors["fnr"]) / 2)
        assert found["best"]["balanced"] == pytest.approx(curve.balanced_accuracy)
        best = math.inf if found["best"]["threshold"] is None else found["best"]["threshold"]
        assert best == pytest.approx(curve.best_threshold)
        assert found["low"] == pytest.approx(curve.at([0.01, 0.1, 0.3]))
        place, height = dots(others, (-3.0, 3.0))
        assert found["stack"]["place"] == place.tolist()
        assert (np.array(found["stack"]["bin"]) + 0.5) * 6 / BINS - 3 == pytest.approx(height)
        t = thresholds[9]
        assert found["sides"] == [(members >= t).sum(), (others < t).sum(), (members < t).sum(), (others >= t).sum()]


@pytest.mark.browser
def test_dragging_the_threshold_asks_the_server_for_nothing(address: str, visitor: Callable[..., Visitor]) -> None:
    one = visitor()
    sent: list[object] = []

    def note(frame: object) -> None:
        sent.append(frame)

    one.page.on("websocket", lambda socket: socket.on("framesent", note))
    one.page.goto(f"{address}/privacy?statistic=lira&forget=6")
    canvas = one.page.wait_for_selector('[data-testid="attack"][data-value]', timeout=60_000)
    one.page.wait_for_selector("text=What it does not prove", timeout=60_000)
    one.page.wait_for_selector("text=images at hand", timeout=60_000)  # till then the verdict is asked for
    assert canvas is not None

    def shown() -> list[str]:
        return [one.page.inner_text(f'[data-testid="{name}"]') for name in ("balanced", "fpr", "fnr")]

    first = shown()
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    assert box is not None
    one.page.evaluate("window.__lacunaMeasure = true")
    one.page.wait_for_timeout(1500)  # what the page sends of its own accord
    sent.clear()
    one.page.mouse.move(box["x"] + 400, box["y"] + 320)
    one.page.mouse.down()
    for y in range(320, 240, -4):
        one.page.mouse.move(box["x"] + 400, box["y"] + y)
    one.page.mouse.up()
    expect(one.page.get_by_test_id("fpr")).not_to_have_text(first[1])
    assert not sent
    frames = one.page.evaluate("window.__lacunaFrames")
    assert len(frames) >= 3 and np.median(frames) < 100
    canvas.focus()
    before = float(held := canvas.get_attribute("data-value") or "nan")
    one.page.keyboard.press("ArrowUp")
    expect(one.page.get_by_test_id("attack")).not_to_have_attribute("data-value", held)
    assert float(canvas.get_attribute("data-value") or "nan") > before and not sent
    one.page.click('[data-testid="best"]')
    expect(one.page.get_by_test_id("fpr")).to_have_text(first[1])
    assert shown() == first and not sent
    one.page.click('[data-testid="wall-found"] img')
    expect(one.page.get_by_test_id("card")).to_contain_text("training image")
    one.page.keyboard.press("Escape")
    one.page.wait_for_selector('[data-testid="card"]', state="hidden")
    one.page.click('[data-testid="worst"]')
    one.page.wait_for_function("() => !location.search.includes('lira')")
    assert not one.complaints
