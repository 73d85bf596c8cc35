"""Which method, and at what price? Every method on one request, judged against retraining."""

from __future__ import annotations

from collections import Counter
from typing import get_args

import numpy as np
import pandas as pd
import streamlit as st

from ui import pictures
from ui.present import headline, present
from ui.server.runtime import engine
from ui.state import State, state, tell_notes
from ui.waiting import ready
from unlearn_core.assets import AssetError
from unlearn_core.audit.gauges import KINDS
from unlearn_core.audit.measures import MEASURES
from unlearn_core.audit.verdict import Level
from unlearn_core.figures.bullets import Bullet, bullets
from unlearn_core.figures.embedding import embedding
from unlearn_core.figures.interference import interference
from unlearn_core.figures.layer_change import layer_change
from unlearn_core.figures.style import RETRAINED, RETRAINED_ON_DARK
from unlearn_core.figures.tradeoff import Spot, pareto, tradeoff
from unlearn_core.methods import METHODS
from unlearn_core.methods.base import Need
from unlearn_core.nets.request import Request
from unlearn_core.study import comparison
from unlearn_core.study.comparison import Comparison, Entry
from unlearn_core.subjects.subject import subject

SEEDS = 3
LEVELS = list(map(str, Level))
ARROWS = {"match": "→", "up": "↑", "down": "↓"}
NEEDS = get_args(Need)
FORMATS = {"share": "percent", "s": "%.2f s", "bytes": "bytes", "": "%.3f"}
GAUGES = {"forget": "forget_train", "retain": "retain_test", "membership": "membership"}


def title(name: str) -> str:
    """A method's or the original's name for people."""
    return METHODS[name].title if name in METHODS else "Original"


def comparison_now(chosen: State) -> Comparison | None:
    """The comparison to show: recomputed or completed if that was asked for, else shipped; None while there is none."""
    key = (chosen.network, chosen.forget)
    if st.session_state.get("recompute") == key:
        ticket = comparison.submit(engine(), chosen.network, chosen.forget, SEEDS)
        found = ready(ticket, 0.5, "Running every method", lambda: st.session_state.pop("recompute", None))
        if found is not None:
            return found
    known = comparison.at_hand(engine(), chosen.network, chosen.forget, SEEDS)
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


def table(found: Comparison) -> pd.DataFrame:
    """One row per model: means over seeds, half of the range beside them, and what the method needs."""
    rows = []
    entries = {**found.entries, **{name: Entry(name) for name in found.missing}}
    wanted = {name: found.entries["retrain"].values(name).mean() for name in ("forget_train", "retain_test")}

    def rank(entry: Entry) -> tuple[float, ...]:
        gap = sum(abs(entry.values(name).mean() - mean) for name, mean in wanted.items()) if len(
            entry.measures) else np.inf
        return entry.name in METHODS, -standing(entry), gap

    for entry in sorted(entries.values(), key=rank):
        name = entry.name
        row: dict[str, object] = {"method": title(name), "verdict": entry.level or "–",
                                  "family": METHODS[name].family if name in METHODS else "before forgetting",
                                  "seeds": len(entry.measures)}
        for key, kind in MEASURES.items():
            values = entry.values(key)
            row[f"{kind.title} {ARROWS[kind.better]}"] = values.mean() if len(values) else None
            if kind.unit in ("share", ""):
                row[f"± {kind.title}"] = np.ptp(values) / 2 if len(values) else None
        row |= {need: name in METHODS and need in METHODS[name].needs for need in NEEDS}
        rows.append(row | {"remark": "Not run yet." if name in found.missing else f"Not applicable. {entry.obstacle}"
                           if entry.obstacle else " ".join(entry.warnings)})
    return pd.DataFrame(rows)


def table_columns() -> dict[str, object]:
    """How each column of the table is written, and what it means."""
    columns: dict[str, object] = {
        "method": st.column_config.TextColumn(pinned=True, width=210),
        "verdict": st.column_config.TextColumn(width=170, help="Of the first seed. The table is ranked by it, then by "
                                               "the gap in accuracy to the retrained networks.")}
    for kind in MEASURES.values():
        columns[f"{kind.title} {ARROWS[kind.better]}"] = st.column_config.NumberColumn(
            format=FORMATS[kind.unit], help=f"{kind.about.capitalize()}. Mean over seeds.")
        if kind.unit in ("share", ""):
            columns[f"± {kind.title}"] = st.column_config.NumberColumn(
                format=FORMATS[kind.unit], help="Half of the range over the seeds; one run where nothing is random.")
    return columns | {need: st.column_config.CheckboxColumn(help=f"Needs {need} when forgetting.") for need in NEEDS}


def standing(entry: Entry) -> int:
    """Where its verdict stands: the higher, the better; below all others if it is not known."""
    return LEVELS.index(entry.level) if entry.level in LEVELS else -1


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


def in_full(found: Comparison, name: str, side: int, ink: str) -> None:
    """One method's gauges, map and images."""
    entry = found.entries.get(name)
    if entry is None:
        st.info(f"{title(name)} has not been run yet: it is newer than the shipped comparison.", icon=":material/info:")
        return
    if entry.obstacle:
        st.info(f"Not applicable. {entry.obstacle}", icon=":material/block:")
        return
    original, own = found.entries["original"], subject(found.network)
    seen = engine().seen(found.network, found.forget)
    shown = {KINDS[gauge].title: Bullet(float(entry.values(measure).mean()), float(original.values(measure)[0]),
                                        found.entries["retrain"].values(measure))
             for gauge, measure in GAUGES.items()}
    st.plotly_chart(bullets(shown, ink), key=f"gauges{side}", config={"displayModeBar": False},
                    alt=f"Gauges after {title(name)}: " + ", ".join(f"{k} {b.value:.1%}" for k, b in shown.items()))
    st.plotly_chart(embedding(entry.xy.astype(np.float32) / 255, entry.predicted.astype(np.int64),
                              seen.evaluation.labels, seen.forgotten, own.classes), key=f"map{side}",
                    alt=f"Map of the evaluation images after {title(name)}", config={"displayModeBar": False})
    if name == "retrain":
        st.caption("A network trained afresh has a feature space of its own: where its images fall on the original's "
                   "map means little.")
    first, numbers = np.flatnonzero(seen.forgotten & seen.evaluation.member)[:100], seen.evaluation.pictures
    pictures.wall(own, {int(numbers[i]): f"{own.classes[entry.predicted[i]]} {entry.confidence[i] / 255:.0%}"
                        for i in first[::max(len(first) // 8, 1)]}, 72)


def side_by_side(found: Comparison, chosen: State, ink: str) -> None:
    """Two methods in full."""
    st.markdown("#### Two methods in full")
    st.caption("How to read this: gauges are means over seeds, grey is the original, the dark band the retrained "
               "networks. Below, the first seed: the same images on one map, coloured by the predicted class, ✖ to be "
               "forgotten, and images of the forget set with prediction and confidence.")
    for side, column in enumerate(st.columns(2)):
        with column:
            key = f"pair{side}"
            st.session_state[key] = chosen.pair[side]
            st.selectbox(("Left", "Right")[side], list(METHODS), format_func=title, key=key,
                         on_change=lambda: setattr(chosen, "pair", (st.session_state["pair0"],
                                                                    st.session_state["pair1"])))
            in_full(found, chosen.pair[side], side, ink)
    drawn = {title(name): found.entries[name].change for name in chosen.pair
             if name in found.entries and not found.entries[name].obstacle}
    if drawn:
        st.markdown("#### Which layers did each change?")
        st.caption("How to read this: a row is a layer, input first; further right, its weights moved further "
                   "relative to their size (‖ΔW‖ / ‖W‖, logarithmic).")
        base = engine().base(found.network)
        names = tuple(name for name, _ in base.model.named_parameters())
        st.plotly_chart(layer_change(names, drawn, ink=ink), key="layers", config={"displayModeBar": False},
                        alt="Relative weight change per layer of both methods")


def matrix(network: str, name: str) -> np.ndarray:
    """(classes, classes) change of test accuracy in points: row forgotten, column measured; NaN where unknown."""
    classes = len(subject(network).classes)
    values = np.full((classes, classes), np.nan)
    for label in range(classes):
        found = comparison.load(network, Request((label,)))
        if found is not None and name in found.entries and len(found.entries[name].accuracy):
            values[label] = 100 * (found.entries[name].accuracy.mean(0) - found.entries["original"].accuracy[0])
    return values


visitor = state()
tell_notes(visitor)
now = present(visitor, "work")
headline(now, visitor)
if now.wanted is None:
    st.stop()
try:
    shown = comparison_now(visitor)
except (AssetError, ValueError, RuntimeError) as problem:
    st.error(str(problem), icon=":material/error:")
    st.stop()
if shown is None:
    if st.session_state.get("recompute") is None:
        st.info("Comparisons are shipped for single classes of the bundled networks. For this request every "
                "method can be run now, retraining included, which takes several minutes.", icon=":material/info:")
        if st.button("Run every method", icon=":material/play_arrow:"):
            st.session_state["recompute"] = (visitor.network, visitor.forget)
            st.rerun()
    st.stop()

ink = RETRAINED_ON_DARK if st.context.theme.type == "dark" else RETRAINED
own, reference = subject(shown.network), shown.entries["retrain"]
seeds_run = max(len(entry.measures) for name, entry in shown.entries.items() if name != "retrain")
points = spots(shown)
st.markdown(f"#### {finding(shown, points, float(reference.values('seconds').mean()))}")
with st.container(horizontal=True, vertical_alignment="center"):
    st.caption(
        f"{'Precomputed' if shown.precomputed else 'Computed now'} for {own.title} forgetting "
        f"{shown.forget.words(own.images.train)}: every method at its general defaults, the same for "
        f"all classes ({seeds_run} seeds of each that has any randomness), on {len(reference.predicted):,} fixed "
        "images; time in processor seconds; the playground opens each class on a setting of its own. Reference: "
        f"{len(reference.measures)} retrained networks.")
    if st.button("Recompute now", icon=":material/refresh:", help="Runs every method again on this machine; true "
                 "retraining stays the bundled one. Takes a minute or two and can be cancelled."):
        st.session_state["recompute"] = (visitor.network, visitor.forget)
        st.rerun()

if shown.missing:
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(f"Not run yet: {', '.join(map(title, shown.missing))}, newer than the shipped comparison.")
        if st.button("Run what is missing", icon=":material/play_arrow:", help="Runs only the methods that have no "
                     "numbers yet, and keeps them for everybody. Can be cancelled."):
            st.session_state["complete"] = (visitor.network, visitor.forget)
            st.rerun()

st.caption("How to read this: a mark is a method, the target in the middle is what retrained networks do. To the right "
           "it still knows the forgotten class, below it has hurt the others; the brighter, the longer it took. The "
           "dashed line joins the methods that no other beats on both.")
seeds = [100 * (reference.values(name) - reference.values(name).mean()) for name in ("forget_train", "retain_test")]
target = tuple((float(values.min()), float(values.max())) for values in seeds)
methods = [point for point in points if point.name in METHODS]
front = pareto(np.array([[p.forget_gap, p.retain_gap] for p in methods]))
original = [point for point in points if point.name not in METHODS]
st.plotly_chart(tradeoff([*methods, *original], np.array([*front, *(False for _ in original)]), target, ink),
                key="tradeoff", alt="Trade-off between forgetting and keeping, all methods",
                config={"displayModeBar": False})

st.markdown("#### All numbers")
st.caption("How to read this: the best verdict first; click a column to sort otherwise. → the nearer to the row of "
           "true retraining the better, ↑ higher is better, ↓ lower is better; ± is half of the range over the seeds.")
numbers = table(shown)
st.dataframe(numbers, hide_index=True, column_config=table_columns(), height=35 * (len(numbers) + 1) + 3)
st.download_button("Table as CSV", lambda: numbers.to_csv(index=False), "lacuna-compare.csv", "text/csv",
                   on_click="ignore", icon=":material/download:")

side_by_side(shown, visitor, ink)

st.markdown("#### Who pays? Forgetting one class, what happens to each other")
st.caption("How to read this: a row is the class that was forgotten, a column the class that was measured; the number "
           "is the change in test accuracy in points. ✖ is the forgotten class itself. Mean over seeds, precomputed.")
for side, (column, name) in enumerate(zip(st.columns(2), visitor.pair, strict=True)):
    with column:
        st.markdown(f"**{title(name)}**")
        st.plotly_chart(interference(subject(visitor.network).classes, title(name), matrix(visitor.network, name), ink),
                        key=f"matrix{side}", alt=f"Interference matrix of {title(name)}",
                        config={"displayModeBar": False})
