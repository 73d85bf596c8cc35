"""The measurement of how a subject's cost grows: its folders are right, and its lines are those through the points."""

from __future__ import annotations

from pathlib import Path

from tools.growth_own import COSTS, STEPS, Case, growth, make
from unlearn_core.subjects import own


def test_what_is_made_up_can_be_prepared(tmp_path: Path) -> None:
    make(tmp_path / "made", Case(12, 3, 8))
    assert own.check(tmp_path / "made") == []
    assert len(list((tmp_path / "made").rglob("*.png"))) == 12


def test_growth_is_the_line_through_the_costs() -> None:
    found = [{name: 0.5 + size / 500 for name in (*COSTS, *(f"memory {step}" for step in STEPS))}
             for size in (1_000, 3_000, 5_000)]
    first, *_, last = growth([1_000, 3_000, 5_000], found).splitlines()
    assert first == "| `check` | 0.5 s | 2 s | 0% |" and last == "| memory play | 0.5 MB | 2 MB | 0% |"
