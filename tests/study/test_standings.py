"""Ranks with their uncertainty: wins by hand, a test that finds what is there and is quiet where nothing is."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from unlearn_core.bundle import results as table
from unlearn_core.nets.request import Request
from unlearn_core.study import standings
from unlearn_core.study.standings import surely, wins
from unlearn_core.subjects.subject import subject

WANTED = {"people-resnet": {f"person:{i}": {"forget": [0.5, 0.7], "retain": [0.9], "membership": [0.5]}
                            for i in range(8)}}


def row(method: str, request: int, seed: int, level: str | None, forget: float, retain: float = 0.9,
        status: str = "done") -> dict[str, object]:
    return {"network": "people-resnet", "forget": f"person:{request}", "method": method, "seed": seed, "status": status,
            "level": level, "forget_train": forget, "retain_test": retain, "backward_images": 100, "seconds": 1.0,
            "error": "cannot" if status == "not applicable" else None}


def rows() -> pd.DataFrame:
    """Eight requests: SSD best by verdict, fine-tuning and NegGrad alike, NegGrad once diverged."""
    made = []
    for i in range(8):
        made += [row("ssd", i, 0, "Told from retraining", 0.9), row("unsir", i, 0, None, np.nan, np.nan,
                                                                    "not applicable")]
        made += [row(name, i, seed, "Damaged", 0.6 + 0.01 * seed * (-1)**(i + seed + (name == "neggrad")))
                 for name in ("fine_tune", "neggrad") for seed in range(5)]
    made[-1] |= {"status": "diverged", "level": None, "forget_train": np.nan, "retain_test": np.nan}
    return pd.DataFrame(made)


def test_wins_by_hand() -> None:
    a, b, c = np.array([3.0, 1.0]), np.array([2.0]), np.array([2.0, 2.0, 0.0])
    # a beats b in one of two runs and c in four of six; b is beaten by half of a and ties with two thirds of c.
    assert wins([a, b, c]) == pytest.approx([(1 / 2 + 4 / 6) / 2, (1 / 2 + 2 / 3) / 2, (2 / 6 + 1 / 3) / 2])
    assert wins([a]) == pytest.approx([0.0]) and sum(wins([a, b, c])) == pytest.approx(1.5)


def test_a_method_that_always_wins_is_told_apart_from_six_requests_on() -> None:
    rng = np.random.default_rng(0)
    for n, told in ((5, False), (6, True), (20, True)):
        shares = np.stack([np.full(n, 0.9), *rng.uniform(0.3, 0.5, (3, n))], 1)
        assert surely(shares, rng)[0, 1:].tolist() == [told] * 3 and not surely(shares, rng)[1:, 0].any()


def test_where_nothing_differs_at_most_one_table_in_twenty_says_otherwise() -> None:
    rng = np.random.default_rng(1)
    wrong = sum(surely(rng.normal(size=(8, 5)), rng).any() for _ in range(300))
    assert wrong <= 300 * 0.05 + 3 * (300 * 0.05 * 0.95)**0.5


def test_the_verdict_counts_before_the_gap_and_those_alike_share_a_rank() -> None:
    found = standings.standings(rows(), WANTED, np.random.default_rng(0))
    assert [(one.method, one.best, one.worst) for one in found] == [
        ("ssd", 1, 1), ("fine_tune", 2, 3), ("neggrad", 2, 3)]
    first, second, third = found
    assert first.wins == 1 and first.levels == {"Told from retraining": 8} and (first.requests, first.runs) == (8, 8)
    assert first.forget == pytest.approx(30) and first.forget_spread == 0  # 0.9 against a mean of 0.6
    assert second.runs == 40 and second.levels == {"Damaged": 40} and third.levels == {"Damaged": 39}
    assert standings.best_verdicts(found) == (
        "0 of the 88 ranked runs could not be told from retraining. To be first is not praise: of the 8 runs of "
        "methods that may be first, 8 are *Told from retraining*.")
    seeds = 100 * np.std([0.6, 0.59, 0.62, 0.57, 0.64], ddof=1)
    assert second.forget_spread == pytest.approx(seeds) and second.retain == pytest.approx(0)


def test_only_requests_on_which_every_method_ran_are_ranked() -> None:
    part = rows()
    part = part[(part["method"] != "neggrad") | ~part["forget"].isin(["person:6", "person:7"])]
    found = standings.standings(part, WANTED, np.random.default_rng(0))
    assert {one.requests for one in found} == {6} and {one.runs for one in found} == {6, 30}
    none = standings.standings(part[part["method"] == "unsir"], WANTED, np.random.default_rng(0))
    assert none == []


def test_the_document_says_what_was_run_and_what_was_not() -> None:
    said = table.document(rows(), WANTED)
    planned = len(table.Plan([("people-resnet", Request((i,), "person")) for i in range(8)], table.EVERY))
    assert "0 of the 88 ranked runs could not be told from retraining." in said
    assert f"96 of {planned} runs on 8 of 24 requests" in said and "| 2 to 3 | Fine-tune | " in said
    assert "39 Damaged, 1 diverged | " in said and "- UNSIR cannot: cannot" in said
    assert "person: 16 of 24 requests" in said and "class: 10 of 10 requests" in said


def test_the_requests_are_those_with_bundled_retrained_networks() -> None:
    assert table.requests("small-resnet") == [Request((label,)) for label in range(10)]
    people = table.requests("people-resnet")
    assert [one.kind for one in people[:6]] == ["class"] * 6 and people[6:30] == [
        Request((number,), "person") for number in range(24)]
    assert all(subject("people-resnet").retrained_logits(one) is not None for one in people)


def test_a_plan_has_each_run_once_request_by_request() -> None:
    plan = table.Plan([("people-resnet", Request((0,), "person")), ("small-resnet", Request((3,)))],
                      ("ssd", "neggrad"))
    made = [(chosen.network, chosen.method, chosen.seed) for chosen in plan]
    assert len(made) == len(plan) == 12 and plan.networks == ("people-resnet", "small-resnet")
    assert made[:2] == [("people-resnet", "ssd", 0), ("people-resnet", "neggrad", 0)]
    assert [seed for _, name, seed in made if name == "neggrad"] == [0, 1, 2, 3, 4] * 2


def test_what_is_shipped_is_what_the_document_says() -> None:
    found = standings.load()
    if found is None:
        pytest.skip("no rows are shipped")
    assert table.DOCUMENT.read_text("utf-8") == table.document(found, standings.retrained())
    assert not found["key"].duplicated().any() and set(json.loads(found["settings"].iloc[0])) >= set()
