"""Tests of audit.promise: the region by hand, as a property, and the words beside it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unlearn_core.audit.promise import NOTHING, RATE, Promise, promise_of
from unlearn_core.audit.roc import roc
from unlearn_core.figures.privacy import Curve, roc_curves

EPSILONS, DELTAS = st.floats(0, 12), st.floats(0, 0.3)


def test_the_region_by_hand() -> None:
    """e^epsilon = 3, delta = 0.1: TPR <= 3 FPR + 0.1 to (0.225, 0.775), then 1 - TPR >= (0.9 - FPR) / 3; mirrored."""
    lowest, highest = Promise(math.log(3), 0.1).region(np.array([0.0, 0.1, 0.225, 0.6, 0.9, 1.0]))
    assert highest == pytest.approx([0.1, 0.4, 0.775, 0.9, 1.0, 1.0])
    assert lowest == pytest.approx([0.0, 0.0, 0.125 / 3, 0.5 / 3, 0.6, 0.9])


def test_promises_at_the_ends() -> None:
    grid = np.linspace(0, 1, 11)
    assert Promise(0.0, 0.0).region(grid) == pytest.approx(np.stack([grid, grid])), "guessing, and nothing else"
    assert Promise(0.0, 0.0).auc == pytest.approx(0.5) and not Promise(0.0, 0.0).empty
    for much in (Promise(10000.0, 1e-5), Promise(0.0, 1.0)):
        lowest, highest = much.region(grid[1:-1])
        assert lowest == pytest.approx(0, abs=1e-9) and (highest == 1).all()
        assert much.empty and much.auc == pytest.approx(1, abs=1e-4)
    assert Promise(math.log(98), 0.0).found == pytest.approx(0.98) and not Promise(math.log(98), 0.0).empty
    assert Promise(5.0, 0.0).found > NOTHING and Promise(5.0, 0.0).empty


@given(EPSILONS, DELTAS)
def test_every_point_keeps_all_four_inequalities_and_the_area_is_that_of_the_edge(epsilon: float, delta: float) -> None:
    promise, fpr, factor = Promise(epsilon, delta), np.linspace(0, 1, 4001), math.exp(epsilon)
    for tpr in promise.region(fpr):
        for one, other in ((tpr, fpr), (fpr, tpr), (1 - tpr, 1 - fpr), (1 - fpr, 1 - tpr)):
            assert (one <= factor * other + delta + 1e-9 * factor).all()
    assert np.trapezoid(promise.region(fpr)[1], fpr) == pytest.approx(promise.auc, abs=1e-3)


@given(st.floats(0, 6), st.floats(-3, 3))
def test_two_normal_laws_lie_within_the_region_of_what_they_keep(mu: float, threshold: float) -> None:
    """A statistic of N(mu, 1) for members and N(0, 1) for others is (epsilon, delta) for Balle and Wang's delta."""
    from scipy.stats import norm

    from unlearn_core.methods.noisy_fine_tuning import delta_of

    epsilon = 1.0
    promise = Promise(epsilon, delta_of(max(mu, 1e-3), epsilon))
    fpr, tpr = norm.sf(threshold), norm.sf(threshold - mu)
    lowest, highest = promise.region(np.array([fpr]))
    assert lowest[0] - 1e-9 <= tpr <= highest[0] + 1e-9


def test_only_a_run_that_noted_a_promise_made_one() -> None:
    assert promise_of({"steps": 3.0}) is None
    assert promise_of({"promised_epsilon": 2.0, "promised_delta": 1e-5, "steps": 3.0}) == Promise(2.0, 1e-5)


def test_the_region_is_drawn_where_there_is_one() -> None:
    grid = np.array([0.01, 0.1, 1.0])
    plain = roc_curves(Curve(grid, grid, np.stack([grid, grid]), grid, None))
    assert "promised" not in [trace.name for trace in plain.data]
    drawn = roc_curves(Curve(grid, grid, np.stack([grid, grid]), grid, None, Promise(math.log(3), 0.1).region(grid)))
    (region,) = (trace for trace in drawn.data if trace.name == "promised")
    assert list(region.x) == [0.01, 0.1, 1, 1, 0.1, 0.01]
    assert list(region.y) == pytest.approx([0.13, 0.4, 1.0, 0.9, 0.001, 0.001]), "its edge, and back below"


def test_words_say_the_gap_and_when_a_promise_is_empty() -> None:
    others = np.arange(200.0)
    attack = roc(np.concatenate([others[:198], [500.0, 501.0]]), others)
    promise = Promise(1.0, 1e-5)
    assert str(promise) == "ε = 1, δ = 1e-05"
    said = promise.beside(attack)
    assert "no attack may find more than 2.7% of the members at 1% false alarms; this one finds 1.0%." in said
    assert "None may reach an AUC above 0.73; this one has 0.50." in said
    few = roc(np.array([1.0, 2.0]), np.array([0.0, 3.0]))
    assert "this one finds" not in promise.beside(few), "two images resolve no such rate"
    empty = Promise(10000.0, 1e-5).beside(attack)
    assert "This promise is empty: it allows an attack to find 100.0% of the members at 1% false alarms" in empty
    assert RATE == 0.01
