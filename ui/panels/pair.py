"""Two methods in full: gauges, maps, images, layers, and who pays when each class is forgotten."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import streamlit as st

from ui import pictures
from ui.mirror import showing, taken
from ui.panels.comparison import title
from ui.server.runtime import engine
from ui.state import State
from ui.theme import NO_BAR
from unlearn_core.audit.gauges import KINDS
from unlearn_core.figures.bullets import Bullet, bullets
from unlearn_core.figures.embedding import embedding
from unlearn_core.figures.interference import interference
from unlearn_core.figures.layer_change import layer_change
from unlearn_core.methods import METHODS
from unlearn_core.nets.request import CLASS, Request
from unlearn_core.study import comparison
from unlearn_core.study.comparison import Comparison
from unlearn_core.subjects.subject import subject

GAUGES = {"forget": "forget_train", "retain": "retain_test", "membership": "membership"}


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
    st.plotly_chart(bullets(shown, ink), key=f"gauges{side}", config=NO_BAR,
                    alt=f"Gauges after {title(name)}: " + ", ".join(f"{k} {b.value:.1%}" for k, b in shown.items()))
    st.plotly_chart(embedding(entry.xy.astype(np.float32) / 255, entry.predicted.astype(np.int64),
                              seen.evaluation.labels, seen.forgotten, own.classes), key=f"map{side}",
                    alt=f"Map of the evaluation images after {title(name)}", config=NO_BAR)
    if name == "retrain":
        st.caption("A network trained afresh has a feature space of its own: where its images fall on the original's "
                   "map means little.")
    first, numbers = np.flatnonzero(seen.forgotten & seen.evaluation.member)[:100], seen.evaluation.pictures
    pictures.wall(own, {int(numbers[i]): f"{own.classes[entry.predicted[i]]} {entry.confidence[i] / 255:.0%}"
                        for i in first[::max(len(first) // 8, 1)]}, 72)


def side_by_side(found: Comparison, visitor: State, ink: str) -> None:
    """Two methods in full."""
    st.markdown("#### Two methods in full")
    st.caption("How to read this: gauges are means over seeds, grey is the original, the band the retrained "
               "networks. Below, the first seed: the same images on one map, coloured by the predicted class, ✖ to be "
               "forgotten, and images of the forget set with prediction and confidence.")
    for side, column in enumerate(st.columns(2)):
        with column:
            st.selectbox(("Left", "Right")[side], list(METHODS), format_func=title,
                         key=showing(f"pair{side}", visitor.pair[side]), on_change=_turn, args=(visitor, side))
            in_full(found, visitor.pair[side], side, ink)
    drawn = {title(name): found.entries[name].change for name in visitor.pair
             if name in found.entries and not found.entries[name].obstacle}
    if drawn:
        st.markdown("#### Which layers did each change?")
        st.caption("How to read this: a row is a layer, input first; further right, its weights moved further "
                   "relative to their size (‖ΔW‖ / ‖W‖, logarithmic).")
        base = engine().base(found.network)
        names = tuple(name for name, _ in base.model.named_parameters())
        st.plotly_chart(layer_change(names, drawn, ink=ink), key="layers", config=NO_BAR,
                        alt="Relative weight change per layer of both methods")


def _turn(visitor: State, side: int) -> None:
    chosen = taken(f"pair{side}")
    visitor.pair = (chosen, visitor.pair[1]) if side == 0 else (visitor.pair[0], chosen)


def who_pays(visitor: State, ink: str) -> None:
    """What forgetting each class, or each group of a kind, does to each class, by two methods."""
    own, kind = visitor.subject, visitor.forget.kind
    st.markdown("#### Who pays? Forgetting one, what happens to each class")
    names = own.classes if kind == CLASS else own.groups[kind].names if kind in own.groups else ()
    known = {n: found for n in range(len(names))
             if (found := comparison.load(visitor.network, Request((n,), kind))) is not None}
    if not known:
        st.info("This is drawn where comparisons of several requests of one kind are at hand, and for this network and "
                "kind of request they are not.", icon=":material/info:")
        return
    st.caption("How to read this: a row is what was forgotten, a column the class that was measured; the "
               "number is the change in test accuracy in points."
               + (" ✖ is the forgotten class itself." if kind == CLASS else "") + " Mean over seeds, precomputed.")
    for side, (column, name) in enumerate(zip(st.columns(2), visitor.pair, strict=True)):
        with column:
            st.markdown(f"**{title(name)}**")
            st.plotly_chart(interference([names[n] for n in known], own.classes, title(name),
                                         matrix(list(known.values()), name, len(own.classes)), ink),
                            key=f"matrix{side}", alt=f"Interference matrix of {title(name)}", config=NO_BAR)


def matrix(comparisons: Sequence[Comparison], name: str, classes: int) -> np.ndarray:
    """(comparisons, classes) change of test accuracy in points; NaN where the method has not run."""
    values = np.full((len(comparisons), classes), np.nan)
    for row, found in enumerate(comparisons):
        if name in found.entries and len(found.entries[name].accuracy):
            values[row] = 100 * (found.entries[name].accuracy.mean(0) - found.entries["original"].accuracy[0])
    return values
