"""All methods on one request: the comparison to show, what it found, and its plot."""

from __future__ import annotations

from collections import Counter

import numpy as np
import streamlit as st

from ui.opening import first_chart
from ui.server.runtime import engine
from ui.state import State
from ui.waiting import ready
from unlearn_core.audit.verdict import Level
from unlearn_core.figures.tradeoff import Spot, pareto, tradeoff
from unlearn_core.methods import METHODS
from unlearn_core.study import comparison
from unlearn_core.study.comparison import Comparison, Entry

SEEDS = 3
LEVELS = list(map(str, Level))


def title(name: str) -> str:
    """A method's or the original's name for people."""
    return METHODS[name].title if name in METHODS else "Original"


def comparison_now(visitor: State) -> Comparison | None:
    """The comparison to show: recomputed or completed if that was asked for, else shipped; None while there is none."""
    key = (visitor.network, visitor.forget)
    if st.session_state.get("recompute") == key:
        ticket = comparison.submit(engine(), visitor.network, visitor.forget, SEEDS)
        found = ready(ticket, 0.5, "Running every method", lambda: st.session_state.pop("recompute", None))
        if found is not None:
            return found
    known = comparison.at_hand(engine(), visitor.network, visitor.forget, SEEDS)
    if known is not None and known.missing and st.session_state.get("complete") == key:
        ticket = comparison.submit_missing(engine(), known, SEEDS)
        found = ready(ticket, 0.5, "Running what is missing", lambda: st.session_state.pop("complete", None))
        return found or known
    return known


def spots(found: Comparison) -> list[Spot]:
    """Where each method stands, in points from the mean of the retrained networks."""
    wanted = {name: float(found.entries["retrain"].values(name).mean()) for name in ("forget_train", "retain_test")}

    def gap(entry: Entry, name: str) -> tuple[float, float]:
        values = 100 * (entry.values(name) - wanted[name])
        return float(values.mean()), float(np.ptp(values) / 2)

    made = []
    for name, entry in found.entries.items():
        if len(entry.measures) and name != "retrain":
            (forget, forget_spread), (retain, retain_spread) = gap(entry, "forget_train"), gap(entry, "retain_test")
            made.append(Spot(name, title(name), forget, retain, forget_spread, retain_spread,
                             float(entry.values("seconds").mean()),
                             METHODS[name].family if name in METHODS else "original"))
    return made


def standing(entry: Entry) -> int:
    """Where its verdict stands: the higher, the better; below all others if it is not known."""
    return LEVELS.index(entry.level) if entry.level in LEVELS else -1


def drawn(found: Comparison, points: list[Spot], ink: str) -> None:
    """Every method on one plot, retrained networks in the middle."""
    st.caption("How to read this: a mark is a method, the target in the middle is what retrained networks do. To the "
               "right it still knows what was to be forgotten, below it has hurt the rest; the brighter, the longer it "
               "took. The dashed line joins the methods that no other beats on both.")
    reference = found.entries["retrain"]
    seeds = [100 * (reference.values(name) - reference.values(name).mean()) for name in ("forget_train", "retain_test")]
    target = tuple((float(values.min()), float(values.max())) for values in seeds)
    methods = [point for point in points if point.name in METHODS]
    front = pareto(np.array([[p.forget_gap, p.retain_gap] for p in methods]))
    original = [point for point in points if point.name not in METHODS]
    first_chart(tradeoff([*methods, *original], np.array([*front, *(False for _ in original)]), target, ink),
                "tradeoff", (69, 120, 65, 63), alt="Trade-off between forgetting and keeping, all methods")


def finding(found: Comparison, points: list[Spot], retrain_seconds: float) -> str:
    """What the verdicts are, and which method of the best of them is nearest in accuracy."""
    runs = [point for point in points if point.name in METHODS]
    levels = Counter(found.entries[point.name].level or "not judged" for point in runs)
    counted = ", ".join(f"{number} “{level}”" for level, number in sorted(
        levels.items(), key=lambda item: LEVELS.index(item[0]) if item[0] in LEVELS else -1, reverse=True))
    top = max(standing(found.entries[point.name]) for point in runs)
    best = min((point for point in runs if standing(found.entries[point.name]) == top),
               key=lambda point: abs(point.forget_gap) + abs(point.retain_gap))
    return (f"Verdicts on {len(runs)} methods at their general defaults: {counted}. Of the best of these, nearest to "
            f"the retrained networks in accuracy is {best.title}: {best.forget_gap:+.1f} points in forget and "
            f"{best.retain_gap:+.1f} in retain accuracy, {retrain_seconds / best.seconds:,.0f} times faster than they.")
