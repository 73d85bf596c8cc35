"""Tests of what remains of a class: references, distances, figures, and the section on the page."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from streamlit.testing.v1 import AppTest

from tests.toys import learnt
from ui.server.runtime import engine
from unlearn_core import assets
from unlearn_core.audit.distances import activation_distance, mean_jensen_shannon, zrf
from unlearn_core.audit.distinguish import LEVEL, further
from unlearn_core.audit.gauges import Reading
from unlearn_core.audit.probe import Probe
from unlearn_core.audit.relearn import Relearning, RelearnRecipe
from unlearn_core.figures.remains import Alike, Course, Dot, Row, layer_similarity, probes, relearning
from unlearn_core.figures.style import RETRAINED_ON_DARK
from unlearn_core.figures.style import UNLEARNED as ORANGE
from unlearn_core.nets import models
from unlearn_core.nets.evaluate import EvaluationSet, softmax
from unlearn_core.nets.request import Request
from unlearn_core.serving import remains as core
from unlearn_core.serving.choice import choice
from unlearn_core.serving.remains import Finding, Reference, measure_reference, output_distances
from unlearn_core.subjects.subject import bundled

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


def test_one_more_of_the_same_lies_in_the_interval_99_times_in_100() -> None:
    draws = noise(4000, 6, seed=3).astype(np.float64)
    for wrong in (None, "low", "high"):
        ends = [further(row[:5], wrong) for row in draws]  # type: ignore[arg-type]
        inside = [low <= row[5] <= high for row, (low, high) in zip(draws, ends, strict=True)]
        assert np.mean(inside) == pytest.approx(LEVEL, abs=0.006)


SEEDS = np.stack([answers(seed, False) for seed in range(1, 5)])


# --- the shipped references ----------------------------------------------------------------------------


def test_references_are_complete_and_head_zeroing_is_the_original_but_for_its_head() -> None:
    for network in bundled("fashion-mnist"):
        for label in range(10):
            reference = core.load(network, Request((label,)))
            assert reference is not None and reference.layers[-1] == "head"
            for values in reference.similarity.values():
                np.testing.assert_array_equal(values, values.transpose(1, 0, 2))
                assert (values[0, 1, :-1] > 0.9999).all()
            assert reference.original.relearning == reference.head_zeroing.relearning, "fresh rows, same features"
            pairs = len(reference.retrained) * (len(reference.retrained) - 1) // 2
            among = reference.among_retrained("forget")
            assert among.shape == (pairs, len(reference.layers)) and (among[:, -2] < 0.999).all()
            np.testing.assert_array_equal(among[0], reference.similarity["forget"][2, 3])
    assert core.load("small-resnet", Request((0, 6))) is None


# --- measuring them ------------------------------------------------------------------------------------

QUICK = RelearnRecipe(lr=0.01, batch_size=25, epochs=0.5, checked=40, fresh_rows=True)


def measured() -> Reference:
    task = learnt()
    evaluation = EvaluationSet(task.train, np.arange(250) % 2 == 0, np.arange(250))
    retrained = [models.fresh(task.model, torch.Generator().manual_seed(seed)).eval() for seed in (1, 2)]
    return measure_reference(task.model, retrained, task.train, evaluation, task.request, QUICK)


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
        again = core.load("toy", Request((1,)))
        assert again is not None and (again.original, again.head_zeroing, again.retrained, again.layers) == (
            found.original, found.head_zeroing, found.retrained, found.layers)
        np.testing.assert_allclose(again.similarity["forget"], found.similarity["forget"], atol=1e-4)
        assert core.load("toy", Request((2,))) is None
    finally:
        assets.manifest.cache_clear()


def test_output_distances_are_means_over_seeds_and_each_seeds_own_are_to_the_others() -> None:
    blank, mine = noise(120, 3, seed=7), answers(0, True)
    rows = {one.title: one for one in output_distances({"unlearned": mine}, SEEDS, blank, LABELS, MEMBER, LABELS == 0)}
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
    alone = output_distances({"unlearned": mine}, None, blank, LABELS, MEMBER, LABELS == 0)
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
from ui.present import headline, present
from ui.panels.remains import remains
from ui.state import state
visitor = state()
shown = present(visitor)
headline(shown, visitor)
if shown.state == "current":
    remains(*shown.picture, shown.audit)
"""


def section(**address: str) -> AppTest:
    test = AppTest.from_string(SECTION, default_timeout=120)
    for name, value in address.items():
        test.query_params[name] = value
    return done(test.run())


def done(test: AppTest) -> AppTest:
    while any(button.label == "Cancel" for button in test.button) or any(
            "follow in a moment" in caption.value for caption in test.caption):
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
    assert "Head zeroing, which changes the last layer alone, passes only forget accuracy" in said
    assert "**Threshold attacks** | :gray-badge" in said and "it cannot see even the untouched original" in said
    assert "not tried" in said and "The outcome is back" not in said
    assert "5 retrained networks" in " ".join(c.value for c in test.caption)
    assert sum(c.value.startswith("How to read this: ") for c in test.caption) == 5
    assert "∞" in test.dataframe[0].value["unlearned"].tolist()
    button(test, "Relearn this outcome").click().run()
    said = words(done(test))
    assert "The outcome is back after 7 steps (1,792 images). The original is back after 7 steps" in said
    assert "Anamnesis index: 0.14 to 0.16" in said and "not tried" not in said
    assert "| fails: 7" in said or "fails: 7]" in said, "what it took to relearn is a check of the verdict now"
    assert all(chart.proto.alt for chart in test.get("plotly_chart"))


def test_what_is_relearnt_is_the_outcome(monkeypatch: pytest.MonkeyPatch) -> None:
    shared = engine()
    chosen = choice("small-resnet", (7,), "head_zeroing", {})
    scene = shared.scene(chosen).result()
    settled = shared.settle(scene, chosen).result()
    given: list[Any] = []
    monkeypatch.setattr(core, "relearn", lambda *arguments: given.extend(arguments))
    core.submit_relearning(shared, scene, settled).result()
    assert given[1] is settled.weights and given[3] == Request((7,)) and given[5] is core.RELEARN["small-resnet"]


def test_an_expression_is_shown_beside_the_networks_that_are_at_hand() -> None:
    """Its reference is not shipped, but the networks are: they are looked into here."""
    test = section(network="people-resnet", method="head_zeroing", forget="0")
    said = " ".join(c.value for c in test.caption)
    assert "and 3 retrained networks." in said and "no retrained networks" not in said and not test.exception
    assert "on retrained networks" in words(test) and "Nothing" not in words(test)


def test_several_classes_are_shown_beside_the_original_alone() -> None:
    test = section(method="head_zeroing", forget="1,8")
    said = words(test)
    assert "#### A fresh head finds what was to be forgotten as well as in the original" in said
    assert "Do the checks work?" not in said
    assert "no retrained networks are at hand" in " ".join(c.value for c in test.caption)
    assert all(title.startswith("ZRF") for title in test.dataframe[0].value["distance"])
