"""Tests of what remains of a class: references, self-test, figures, and the section on the page."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from streamlit.testing.v1 import AppTest

from tests.test_baselines import learnt
from ui.runtime import engine
from unlearn_core import assets, models, zoo
from unlearn_core.audit import remains as core
from unlearn_core.audit.distances import activation_distance, jensen_shannon, mean_jensen_shannon, zrf
from unlearn_core.audit.distinguish import Placement, distinguish, further
from unlearn_core.audit.gauges import Reading
from unlearn_core.audit.probe import Probe
from unlearn_core.audit.relearn import Relearning, RelearnRecipe
from unlearn_core.audit.remains import Finding, Reference, measure_reference, output_distances
from unlearn_core.audit.self_test import (
    CHECKS,
    HEAD_ZEROING,
    ORIGINAL,
    UNLEARNED,
    Check,
    Model,
    passes,
    self_test,
    verdict,
)
from unlearn_core.engine import choice
from unlearn_core.evaluate import EvaluationSet, evaluation_set, outputs, softmax
from unlearn_core.figures.remains import Alike, Course, Dot, Row, layer_similarity, probes, relearning
from unlearn_core.figures.style import RETRAINED_ON_DARK
from unlearn_core.figures.style import UNLEARNED as ORANGE
from unlearn_core.scenario import Scenario

Array = npt.NDArray[Any]
LABELS = np.tile(np.arange(3), 40)
MEMBER = np.arange(120) < 60


def noise(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def answers(seed: int, knows: bool) -> Array:
    """(120, 3) logits of a model that knows classes 1 and 2, and class 0 or not."""
    logits = noise(120, 3, seed=seed)
    logits[np.arange(120), LABELS] += 6.0
    if not knows:
        logits[:, 0] -= 20.0
    return logits


def finding(auc: float, steps: int, reached: bool = True) -> Finding:
    reading = Reading(auc, (auc, auc))
    course = Relearning((*(0.0,) * steps, 0.95 if reached else 0.1), tuple(range(steps + 1)), 0.9, 10)
    return Finding(Probe(reading, reading, reading, 60, 60), course)


def toy(original_auc: float = 0.99, similar: float = 0.4) -> Reference:
    alike = np.full((6, 6, 3), 0.9)
    alike[2:, 2:, :] += 0.01 * noise(4, 4, 1) * noise(1, 1, 1)
    alike = (alike + alike.transpose(1, 0, 2)) / 2
    alike[:2, 2:, 1] = alike[2:, :2, 1] = similar
    seeds = tuple(finding(auc, steps) for auc, steps in ((0.90, 60), (0.91, 66), (0.92, 70), (0.905, 63)))
    return Reference(finding(original_auc, 8), finding(original_auc, 8), seeds, ("a", "b", "head"),
                     {"forget": alike, "retain": alike})


SEEDS = np.stack([answers(seed, False) for seed in range(1, 5)])


def toy_test(reference: Reference | None = None, unlearned: Model | None = None, original: Array | None = None
             ) -> dict[str, Check]:
    shut = answers(0, True)
    shut[:, 0] = -1e4
    checks = self_test(answers(0, True) if original is None else original, shut, SEEDS, LABELS, MEMBER, (0,),
                       reference or toy(), unlearned)
    assert tuple(check.title for check in checks) == CHECKS
    return {check.title: check for check in checks}


# --- self-test on models of which the truth is known ---------------------------------------------------


def test_retrained_networks_pass_and_the_original_and_head_zeroing_fail() -> None:
    checks = toy_test()
    for name in ("Forget accuracy", "Distance of outputs", "Jensen–Shannon divergence", "Linear probe", "Relearn time",
                 "Layer similarity (CKA)"):
        assert checks[name].worth == "works" and checks[name].passing >= 3 and len(checks[name].held_out) == 4
        assert not passes(checks[name].judged[ORIGINAL])
        assert all(len(seed.null) == 3 for seed in checks[name].held_out)
    assert passes(checks["Forget accuracy"].judged[HEAD_ZEROING])
    for name in ("Linear probe", "Relearn time", "Layer similarity (CKA)"):
        assert not passes(checks[name].judged[HEAD_ZEROING])
    assert UNLEARNED not in checks["Linear probe"].judged


def test_a_check_that_lets_the_original_pass_is_uninformative() -> None:
    checks = toy_test(toy(original_auc=0.91, similar=0.9))
    for name in ("Linear probe", "Layer similarity (CKA)"):
        assert checks[name].worth == "uninformative"
        assert checks[name].verdict == f"{name}: cannot see even the untouched original here; passing proves nothing."
    assert checks["Relearn time"].worth == "works" and "4 of 4 held-out" in checks["Relearn time"].verdict
    blind = toy_test(original=answers(10, False))
    assert {blind[n].worth for n in ("Forget accuracy", "Distance of outputs", "Jensen–Shannon divergence")} == {
        "uninformative"}


def test_a_check_that_fails_two_held_out_seeds_is_too_strict() -> None:
    def placed(value: float) -> Placement:
        return Placement(value, np.array([0.9, 1.0, 1.1]), (0.5, 1.5))

    check = Check("Linear probe", "", (placed(2), placed(3), placed(1), placed(1)), {ORIGINAL: placed(9)})
    assert check.worth == "strict" and check.passing == 2 and "only 2 of 4" in check.verdict
    assert replace(check, held_out=check.held_out[1:]).worth == "works"
    assert replace(check, held_out=()).verdict.endswith("too few retrained networks to hold one out.")
    assert replace(check, judged={ORIGINAL: placed(1)}).worth == "uninformative"


def test_an_outcome_is_judged_with_them_and_what_is_not_known_is_left_out() -> None:
    reference = toy()
    like_a_seed = Model(answers(9, False), 0.908, None, 0.4)
    checks = toy_test(reference, like_a_seed)
    assert UNLEARNED not in checks["Relearn time"].judged
    assert all(passes(checks[name].judged[UNLEARNED]) for name in CHECKS if name != "Relearn time")
    assert verdict(list(checks.values())).startswith("Gone, as far as can be seen: it passes all ")
    hidden = Model(answers(9, False), 0.99, 8, 0.9)
    said = verdict(list(toy_test(reference, hidden).values()))
    assert said.startswith("Hidden rather than gone: the class is no longer named, yet linear probe, relearn time and "
                           "layer similarity (CKA) still find it; it fails 3 of ")
    kept = Model(answers(0, True), 0.99, 8, 0.9)
    assert verdict(list(toy_test(reference, kept).values())).startswith("Not gone: 100% of what was to be forgotten is")
    outside = Model(noise(120, 3) + np.array([-90, 30, 0], np.float32), 0.9, None, 0.4)
    judged = list(toy_test(reference, outside).values())
    assert verdict(judged).startswith("Nothing is found inside, but")
    assert verdict(judged, 0.05).startswith("Nothing is found inside, but")
    assert verdict(judged, 0.6).startswith("Damaged: the other classes lost 60 points against retraining, so what is")
    nothing = [replace(check, judged=dict.fromkeys(check.judged, check.held_out[0])) for check in checks.values()]
    assert verdict(nothing).startswith("Not known: ")


def test_distances_are_placed_as_on_the_privacy_page() -> None:
    check = toy_test()["Distance of outputs"]
    seen = MEMBER & (LABELS == 0)
    told = distinguish(softmax(answers(0, True)[seen]), softmax(SEEDS[:, seen])).placement
    assert check.judged[ORIGINAL].value == told.value
    assert check.judged[ORIGINAL].expected == pytest.approx(told.expected)


def test_pairs_are_each_seeds_mean_over_the_others() -> None:
    check = toy_test()["Jensen–Shannon divergence"]
    seen = MEMBER & (LABELS == 0)
    shares = [softmax(seed[seen]) for seed in SEEDS]
    null = [np.mean([jensen_shannon(a, b).mean() for b in shares if b is not a]) for a in shares]
    np.testing.assert_allclose(check.judged[ORIGINAL].null, null)
    assert check.held_out[1].value == pytest.approx(null[1]) and len(check.held_out[1].null) == 3


def test_three_seeds_are_too_few_to_hold_one_out_of_pairs() -> None:
    reference = toy()
    fewer = replace(reference, retrained=reference.retrained[:3],
                    similarity={part: values[:5, :5] for part, values in reference.similarity.items()})
    checks = {check.title: check for check in self_test(answers(0, True), answers(0, True), SEEDS[:3], LABELS, MEMBER,
                                                        (0,), fewer)}
    assert len(checks["Linear probe"].held_out) == 3 and not checks["Distance of outputs"].held_out
    with pytest.raises(ValueError, match=r"^retrained: the reference's 4 seeds and at least 3 expected, got 3$"):
        self_test(answers(0, True), answers(0, True), SEEDS[:3], LABELS, MEMBER, (0,), reference)


@given(st.lists(st.floats(-5, 5), min_size=3, max_size=8), st.floats(-3, 3), st.floats(0.1, 10))
def test_a_prediction_interval_moves_and_stretches_with_its_values(values: list[float], shift: float, scale: float
                                                                   ) -> None:
    null = np.array(values)
    low, high = further(null)
    assert low <= null.mean() <= high
    one_sided = further(null, "high")[1]
    assert further(null, "high")[0] == -math.inf and null.mean() <= one_sided <= high
    assert further(null, "low") == (pytest.approx(2 * null.mean() - one_sided), math.inf)
    assert further(null, least=20.0)[1] > high
    np.testing.assert_allclose(further(scale * null + shift), (scale * low + shift, scale * high + shift), atol=1e-9)
    wider = (high - low) * (len(null) - 1) / (len(null) - 2)
    np.testing.assert_allclose(np.diff(further(null, of_pairs=True)), wider, atol=1e-9)


def test_one_more_of_the_same_lies_in_the_interval_95_times_in_100() -> None:
    draws = noise(4000, 6, seed=3).astype(np.float64)
    for wrong in (None, "low", "high"):
        ends = [further(row[:5], wrong) for row in draws]  # type: ignore[arg-type]
        inside = [low <= row[5] <= high for row, (low, high) in zip(draws, ends, strict=True)]
        assert np.mean(inside) == pytest.approx(0.95, abs=0.012)


def test_one_lucky_image_is_no_remembering_and_seeds_stopped_at_a_limit_have_a_spread() -> None:
    """Where every seed recognises none, or all were stopped, their own spread is 0."""
    def outcome(recognised: int, steps: int) -> Model:
        logits = answers(9, False)
        seen = np.flatnonzero(MEMBER & (LABELS == 0))
        logits[seen[:recognised], 0] += 40
        return Model(logits, 0.908, steps, 0.4)

    seeds = tuple(finding(0.9 + 0.005 * i, 79, reached=False) for i in range(4))
    capped = replace(toy(), retrained=seeds)
    for recognised, steps, gone in ((1, 78, True), (5, 78, False), (1, 30, False)):
        checks = toy_test(capped, outcome(recognised, steps))
        judged = checks["Forget accuracy"].judged[UNLEARNED], checks["Relearn time"].judged[UNLEARNED]
        assert all(map(passes, judged)) == gone, (recognised, steps)


# --- the shipped references ----------------------------------------------------------------------------


@cache
def evaluated(network: str) -> tuple[EvaluationSet, Array]:
    evaluation = evaluation_set(*zoo.image_sets())
    return evaluation, outputs(zoo.original(network), evaluation.images.pixels()).logits


@pytest.mark.parametrize(("network", "label"), [("small-resnet", 0), ("small-resnet", 2), ("small-resnet", 5),
                                                ("small-resnet", 7), ("small-vit", 5)])
def test_the_shipped_self_test_tells_what_it_should(network: str, label: int) -> None:
    reference = core.load(network, (label,))
    logits = zoo.retrained_logits(network, Scenario((label,)))
    assert reference is not None and logits is not None and len(reference.retrained) == len(logits)
    evaluation, original = evaluated(network)
    shut = original.copy()
    shut[:, label] = -1e4
    checks = {check.title: check for check in self_test(original, shut, logits, evaluation.labels, evaluation.member,
                                                        (label,), reference)}
    for check in checks.values():
        assert check.worth != "strict" and check.passing >= len(check.held_out) - 1
    for name in ("Forget accuracy", "Distance of outputs", "Jensen–Shannon divergence", "Relearn time",
                 "Layer similarity (CKA)"):
        assert checks[name].worth == "works", name
    assert checks["Threshold attacks"].worth == "uninformative"
    assert checks["Linear probe"].worth == "works"
    assert passes(checks["Forget accuracy"].judged[HEAD_ZEROING])
    assert not passes(checks["Relearn time"].judged[HEAD_ZEROING])
    assert not passes(checks["Layer similarity (CKA)"].judged[HEAD_ZEROING])


def test_references_are_complete_and_head_zeroing_is_the_original_but_for_its_head() -> None:
    for network in zoo.TITLES:
        for label in range(10):
            reference = core.load(network, (label,))
            assert reference is not None and reference.layers[-1] == "head"
            for values in reference.similarity.values():
                np.testing.assert_array_equal(values, values.transpose(1, 0, 2))
                assert (values[0, 1, :-1] > 0.9999).all()
            assert reference.original.relearning == reference.head_zeroing.relearning, "fresh rows, same features"
            pairs = len(reference.retrained) * (len(reference.retrained) - 1) // 2
            among = reference.among_retrained("forget")
            assert among.shape == (pairs, len(reference.layers)) and (among[:, -2] < 0.999).all()
            np.testing.assert_array_equal(among[0], reference.similarity["forget"][2, 3])
    assert core.load("small-resnet", (0, 6)) is None


# --- measuring them ------------------------------------------------------------------------------------

QUICK = RelearnRecipe(lr=0.01, batch_size=25, epochs=0.5, checked=40, fresh_rows=True)


def measured() -> Reference:
    task = learnt()
    evaluation = EvaluationSet(task.train, np.arange(250) % 2 == 0, np.arange(250))
    retrained = [models.fresh(task.model, torch.Generator().manual_seed(seed)).eval() for seed in (1, 2)]
    return measure_reference(task.model, retrained, task.train, evaluation, task.scenario, QUICK)


def test_a_reference_looks_inside_every_network_and_survives_its_file(tmp_path: Path,
                                                                      monkeypatch: pytest.MonkeyPatch) -> None:
    found = measured()
    assert len(found.retrained) == 2 and found.similarity["forget"].shape == (4, 4, len(found.layers))
    assert found.original.probe == found.head_zeroing.probe != found.retrained[0].probe
    assert found.original.relearning == found.head_zeroing.relearning
    np.testing.assert_allclose(found.similarity["retain"][range(4), range(4)], 1)
    assert (found.similarity["forget"][0, 2:, :-1] < 0.99).any(1).all()
    monkeypatch.setattr(assets, "ROOT", tmp_path)
    (tmp_path / "remains").mkdir()
    core.save(found, tmp_path / "remains/toy-1.json")
    assets.write_manifest({}, {"remains/toy-1.json": ""})
    try:
        again = core.load("toy", (1,))
        assert again is not None and (again.original, again.head_zeroing, again.retrained, again.layers) == (
            found.original, found.head_zeroing, found.retrained, found.layers)
        np.testing.assert_allclose(again.similarity["forget"], found.similarity["forget"], atol=1e-4)
        assert core.load("toy", (2,)) is None
    finally:
        assets.manifest.cache_clear()
        assets.path.cache_clear()


def test_output_distances_are_means_over_seeds_and_each_seeds_own_are_to_the_others() -> None:
    blank, mine = noise(120, 3, seed=7), answers(0, True)
    rows = {one.title: one for one in output_distances({"unlearned": mine}, SEEDS, blank, LABELS, MEMBER, (0,))}
    seen = MEMBER & (LABELS == 0)
    shares, own = [softmax(seed[seen]) for seed in SEEDS], softmax(mine[seen])
    for title, by_hand in (
            ("Jensen–Shannon divergence (nats)", lambda p, q: mean_jensen_shannon(p, q)),
            ("Jensen–Shannon, reference code's form", lambda p, q: mean_jensen_shannon(p, q, "official")),
            ("Activation distance", lambda p, q: activation_distance(p, q)),
            ("Activation distance, reference code's form", lambda p, q: activation_distance(p, q, "official"))):
        assert rows[title].values["unlearned"] == pytest.approx(np.mean([by_hand(own, q) for q in shares]))
        assert rows[title].retrained[2] == pytest.approx(np.mean([by_hand(shares[2], shares[i]) for i in (0, 1, 3)]))
    assert rows["ZRF, against an untrained network"].values["unlearned"] == zrf(own, softmax(blank[seen]))
    assert rows["Agreement in the predicted class"].values["unlearned"] < 0.1
    assert rows["Agreement in the predicted class"].better == rows["Tug-of-war"].better == "up"
    alone = output_distances({"unlearned": mine}, None, blank, LABELS, MEMBER, (0,))
    assert all(not len(one.retrained) for one in alone)
    assert [math.isnan(one.values["unlearned"]) for one in alone] == [not one.title.startswith("ZRF") for one in alone]


# --- figures -------------------------------------------------------------------------------------------


def test_relearning_curves_end_where_they_end() -> None:
    figure = relearning({"original": Course((0.0, 0.9), True), "unlearned": Course((0.0, 0.2, 0.3), False)},
                        [Course((0.0, 0.1), False), Course((0.0, 0.5, 0.95), True)], 0.9, RETRAINED_ON_DARK)
    lines = [trace for trace in figure.data if trace.mode == "lines"]
    ends = [trace for trace in figure.data if trace.mode == "markers"]
    assert [line.name for line in lines] == ["retrained", "retrained", "original", "unlearned"]
    assert [line.showlegend for line in lines] == [True, False, True, True]
    assert [end.marker.symbol for end in ends] == ["triangle-right-open", "line-ns-open", "square",
                                                   "triangle-right-open"]
    assert lines[-1].line.color == ORANGE and lines[0].line.color == RETRAINED_ON_DARK


def test_layer_similarity_is_dashed_with_crosses_for_what_is_forgotten() -> None:
    parts = {"forget": Alike(np.array([1.0, np.nan]), np.array([[0.2, 0.3], [0.4, 0.5]])),
             "retain": Alike(np.array([1.0, 0.9]), None)}
    figure = layer_similarity(("stem", "head"), parts)
    band, forget, retain = figure.data
    assert band.fill == "toself" and list(band.x) == ["stem", "head", "head", "stem"]
    assert list(band.y) == [0.4, 0.5, 0.3, 0.2]
    assert (forget.line.dash, forget.marker.symbol) == ("dash", "x")
    assert (retain.line.dash, retain.marker.symbol) == ("solid", "circle")
    nothing = Alike(np.array([np.nan, np.nan]), None)
    layer_similarity(("stem", "head"), {"forget": nothing, "retain": nothing})


def test_probes_have_a_panel_a_number_and_a_shade_only_with_seeds() -> None:
    dot = Dot(0.9, (0.8, 0.95))
    models = dict.fromkeys(("unlearned", "original", "head zeroing"), dot)
    figure = probes([Row("accuracy", models, [dot, dot], (0.7, 1.3)), Row("AUC", models, [], None)])
    assert len(figure.data) == 8 and len(figure.layout.shapes) == 1 and figure.layout.shapes[0].x1 == 1
    assert figure.data[0].marker.color == ORANGE and figure.data[0].error_x.arrayminus[0] == pytest.approx(0.1)


# --- on the page ---------------------------------------------------------------------------------------

SECTION = """
import streamlit as st
from ui.present import present
from ui.remains import remains
from ui.state import state
visitor = state()
shown = present(visitor)
if shown.state == "current":
    remains(*shown.picture)
"""


def section(**address: str) -> AppTest:
    test = AppTest.from_string(SECTION, default_timeout=120)
    for name, value in address.items():
        test.query_params[name] = value
    return done(test.run())


def done(test: AppTest) -> AppTest:
    while any(button.label == "Cancel" for button in test.button):
        time.sleep(0.2)
        test.run()
    assert not test.exception and not test.error
    return test


def words(test: AppTest) -> str:
    return "\n".join(m.value for m in test.markdown)


def button(test: AppTest, label: str) -> Any:
    return next(b for b in test.button if b.label == label)


def test_head_zeroing_is_found_out() -> None:
    test = section(method="head_zeroing", forget="8")
    said = words(test)
    assert "#### Hidden rather than gone: the class is no longer named, yet layer similarity (CKA) still finds" in said
    assert "checks that see the original. Not tried yet: relearn time." in said
    assert "Head zeroing, which forgets nothing, passes only forget accuracy and distance of outputs." in said
    assert "**Threshold attacks** | :gray-badge" in said and "it cannot see even the untouched original" in said
    assert "not run yet" in said and "The outcome is back" not in said
    assert "5 retrained networks" in " ".join(c.value for c in test.caption)
    assert sum(c.value.startswith("How to read this: ") for c in test.caption) == 5
    assert "∞" in test.dataframe[0].value["unlearned"].tolist()
    button(test, "Relearn this outcome").click().run()
    said = words(done(test))
    assert "The outcome is back after 7 steps (1,792 images). The original is back after 7 steps" in said
    assert "Anamnesis index: 0.14 to 0.16" in said and "not run yet" not in said
    assert "yet relearn time and layer similarity (CKA) still find it" in said
    assert all(chart.proto.alt for chart in test.get("plotly_chart"))


def test_what_is_relearnt_is_the_outcome(monkeypatch: pytest.MonkeyPatch) -> None:
    shared = engine()
    chosen = choice("small-resnet", (7,), "head_zeroing", {})
    scene = shared.scene(chosen).result()
    settled = shared.settle(scene, chosen).result()
    given: list[Any] = []
    monkeypatch.setattr(core, "relearn", lambda *arguments: given.extend(arguments))
    core.request_relearning(shared, scene, settled).result()
    assert given[1] is settled.weights and given[3] == Scenario((7,)) and given[5] is core.RELEARN["small-resnet"]


def test_several_classes_are_shown_beside_the_original_alone() -> None:
    test = section(method="head_zeroing", forget="1,8")
    said = words(test)
    assert "#### A fresh head finds the classes as well as in the original" in said
    assert "Do the checks work?" not in said
    assert "no retrained networks are bundled" in " ".join(c.value for c in test.caption)
    assert all(title.startswith("ZRF") for title in test.dataframe[0].value["distance"])
