"""Tests of unlearn_core.audit: known values, and sentences that follow from the numbers."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import softmax
from scipy.stats import binomtest

from unlearn_core.audit.accuracy import per_class, wilson
from unlearn_core.audit.gauges import KINDS, GaugeName, Reading, read_gauges, verdict
from unlearn_core.audit.membership import entropy, entropy_attack
from unlearn_core.evaluate import Outputs
from unlearn_core.scenario import Scenario

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
    readings = read_gauges(outputs, np.array(labels), np.array(member), Scenario((0,)))
    assert list(readings) == list(KINDS)
    assert {name: reading.value for name, reading in readings.items()} == {
        "forget": 0.3,
        "retain": 0.75,
        "membership": 1.0,
    }
    assert readings["forget"].interval == wilson(3, 10)
    assert readings["retain"].interval == wilson(15, 20)
    assert readings["membership"].interval == wilson(10, 10)


Readings = dict[GaugeName, Reading]


def readings(forget: float, retain: float, membership: float, n: int = 1000) -> Readings:
    values = {"forget": forget, "retain": retain, "membership": membership}
    return {name: Reading(value, wilson(round(value * n), n)) for name, value in values.items()}  # type: ignore[misc]


ORIGINAL = readings(0.99, 0.90, 0.95)
RETRAINED = [readings(0.0, 0.89, 0.10), readings(0.0, 0.91, 0.20)]


@pytest.mark.parametrize(
    ("unlearned", "start", "rest"),
    [
        ((0.98, 0.90, 0.90), "Not forgotten", "98%"),
        ((0.98, 0.50, 0.90), "Not forgotten", "98%"),
        ((0.40, 0.90, 0.50), "Partly forgotten", "40%"),
        ((0.04, 0.90, 0.50), "Nearly forgotten", "4%"),
        ((0.00, 0.50, 0.10), "Damaged", "40 points.*50% left"),
        ((0.40, 0.50, 0.10), "Damaged", "40 points.*50% left"),
        ((0.00, 0.90, 0.15), "Forgotten at no measurable cost", "cannot tell"),
        ((0.00, 0.85, 0.15), "Forgotten at a cost of 5.0 points", "cannot tell"),
        ((0.00, 0.90, 0.60), "Forgotten at no measurable cost", "calls more.*60%"),
        ((0.00, 0.90, 0.01), "Forgotten at no measurable cost", "calls (fewer|less).*1%"),
    ],
)
def test_verdict_follows_from_the_numbers(
    unlearned: tuple[float, float, float], start: str, rest: str
) -> None:
    said = verdict(readings(*unlearned), ORIGINAL, RETRAINED)
    assert said.startswith(start) and re.search(rest, said) and said.endswith(".")


def test_the_original_and_a_retrained_network_are_judged_as_what_they_are() -> None:
    assert verdict(ORIGINAL, ORIGINAL, RETRAINED).startswith("Not forgotten")
    for seed in RETRAINED:
        assert verdict(seed, ORIGINAL, RETRAINED).startswith("Forgotten at no measurable cost")


def test_a_reading_matches_if_its_interval_meets_the_band() -> None:
    """30 % of ten images may well be 20 % of all; 30 % of a thousand may not."""
    few, many = readings(0, 0.9, 0.3, n=10), readings(0, 0.9, 0.3, n=1000)
    assert "cannot tell" in verdict(few, ORIGINAL, RETRAINED)
    assert "calls more" in verdict(many, ORIGINAL, RETRAINED)


def test_without_a_reference_nothing_is_claimed() -> None:
    said = verdict(readings(0.02, 0.876, 0.5), ORIGINAL, [])
    assert said.startswith("Forget accuracy 2% and retain accuracy 87.6%; no retrained reference")


@given(*[st.integers(0, 200)] * 3)
def test_every_outcome_gets_a_sentence(forget: int, retain: int, membership: int) -> None:
    said = verdict(readings(forget / 200, retain / 200, membership / 200, 200), ORIGINAL, RETRAINED)
    assert said.endswith(".") and "nan" not in said
    if forget > 190:
        assert said.startswith(("Not forgotten", "Damaged"))
    if forget > 20:
        assert not said.startswith("Forgotten")
