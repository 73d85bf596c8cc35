"""Tests of unlearn_core.audit: known values, and sentences that follow from the numbers."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import softmax
from scipy.stats import binomtest

from unlearn_core.audit.accuracy import per_class, wilson
from unlearn_core.audit.gauges import KINDS, read_gauges
from unlearn_core.audit.membership import entropy, entropy_attack
from unlearn_core.nets.evaluate import Outputs

# --- accuracies -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hits", "n"), [(0, 1), (1, 1), (0, 100), (5, 100), (50, 100), (100, 100), (999, 1000)]
)
def test_wilson_agrees_with_scipy(hits: int, n: int) -> None:
    expected = binomtest(hits, n).proportion_ci(method="wilson", confidence_level=0.95)
    assert wilson(hits, n, z=1.959963984540054) == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert wilson(hits, n) == pytest.approx((expected.low, expected.high), abs=1e-4)


@given(n=st.integers(1, 5000), share=st.floats(0, 1))
def test_wilson_holds_the_share_and_mirrors(n: int, share: float) -> None:
    hits = round(share * n)
    low, high = wilson(hits, n)
    assert 0 <= low <= hits / n + 1e-12 and hits / n - 1e-12 <= high <= 1
    assert low < high
    assert wilson(n - hits, n) == pytest.approx((1 - high, 1 - low), abs=1e-12)
    wide = wilson(hits, n, z=3)
    assert wide[0] <= low + 1e-12 and high <= wide[1] + 1e-12
    ten_times = wilson(10 * hits, 10 * n)
    assert ten_times[1] - ten_times[0] < high - low


@pytest.mark.parametrize(("hits", "n"), [(0, 0), (-1, 5), (6, 5), (0, -1)])
def test_wilson_refuses_impossible_counts(hits: int, n: int) -> None:
    with pytest.raises(ValueError, match=rf"^hits: a count in 0..n of n > 0 expected, got {hits} of {n}$"):
        wilson(hits, n)


def test_per_class() -> None:
    labels = np.array([0, 0, 0, 0, 1, 1, 3])
    predicted = np.array([0, 0, 0, 1, 1, 0, 2])
    np.testing.assert_array_equal(per_class(predicted, labels, 4), [0.75, 0.5, np.nan, 0.0])


# --- entropy and the attack -----------------------------------------------------------------------


def test_entropy_of_known_distributions() -> None:
    p = softmax(np.array([[1, 2, 3], [0, 0, 0], [2, -1, 0], [0.5, 0.5, -2]]), axis=1)
    assert entropy(p).tolist() == pytest.approx(
        [0.8323955818, 1.0986122887, 0.5242666167, 0.831930851], abs=1e-9
    )
    assert entropy(np.eye(3)).tolist() == [0, 0, 0]
    assert entropy(np.full((1, 10), 0.1, np.float32)).tolist() == pytest.approx([math.log(10)])


@given(st.lists(st.floats(-30, 30), min_size=2, max_size=8))
def test_entropy_lies_between_zero_and_log_of_classes(logits: list[float]) -> None:
    (value,) = entropy(softmax(np.array([logits]), axis=1))
    assert -1e-12 <= value <= math.log(len(logits)) + 1e-12


def test_entropy_attack_agrees_with_the_official_code() -> None:
    """The numbers of docs/methods.md, "The entropy attack"."""
    members, non_members = (
        0.05 * (1 + np.sin(np.arange(30))) + 0.02,
        0.4 + 0.3 * np.sin(1.3 * np.arange(20)),
    )
    attack = entropy_attack(members, non_members, 0.1 + 0.04 * np.arange(10))
    assert attack.threshold == pytest.approx(0.2294187057, abs=1e-4)
    assert attack.score == pytest.approx(0.4, abs=1e-12)
    assert attack.called_member.tolist() == [True] * 4 + [False] * 6  # the certain ones


def test_entropy_attack_weighs_both_sides_alike() -> None:
    """However many members there are, a target that looks like a non-member is called one."""
    attack = entropy_attack(np.linspace(0, 0.2, 1000), np.linspace(1, 1.2, 10), np.array([0.1, 1.1]))
    assert attack.called_member.tolist() == [True, False]
    assert attack.threshold == pytest.approx(0.6, abs=0.15)


def test_entropy_attack_on_entropies_without_information() -> None:
    attack = entropy_attack(np.full(5, 0.5), np.full(5, 0.5), np.full(3, 0.5))
    assert attack.called_member.shape == (3,)


@pytest.mark.parametrize("empty", ["members", "non_members", "targets"])
def test_entropy_attack_needs_all_three_sets(empty: str) -> None:
    sets = {
        name: np.array([]) if name == empty else np.array([0.1, 0.2])
        for name in ("members", "non_members", "targets")
    }
    with pytest.raises(ValueError, match=rf"^{empty}: at least one entropy expected, got none$"):
        entropy_attack(**sets)


# --- gauges ---------------------------------------------------------------------------------------


def test_gauges_read_the_right_images() -> None:
    """Each gauge has its own group of images with its own share of hits; class 0 is forgotten."""
    groups = [  # label, member, images, of which right, certainty of the output
        (0, True, 10, 3, 3.0),  # forget gauge: 3 of 10; nearer to the members: all called members
        (0, False, 200, 180, 3.5),  # in no gauge; the attack would call no one a member with these
        (1, True, 20, 20, 8.0),  # members of the attack
        (1, False, 20, 15, 0.2),  # retain gauge: 15 of 20; non-members of the attack
    ]
    logits, labels, member = [], [], []
    for label, trained_on, n, right, certainty in groups:
        for i in range(n):
            said = label if i < right else 2
            row = np.zeros(3)
            row[said] = certainty + 0.01
            logits.append(row)
            labels.append(label)
            member.append(trained_on)
    outputs = Outputs(np.array(logits, np.float32), np.zeros((250, 1), np.float32))
    readings = read_gauges(outputs, np.array(labels), np.array(member), np.array(labels) == 0)
    assert list(readings) == list(KINDS)
    assert {name: reading.value for name, reading in readings.items()} == {
        "forget": 0.3,
        "retain": 0.75,
        "membership": 1.0,
    }
    assert readings["forget"].interval == wilson(3, 10)
    assert readings["retain"].interval == wilson(15, 20)
    assert readings["membership"].interval == wilson(10, 10)
