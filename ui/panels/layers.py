"""Where the weights changed: by layer, depth and kind of parameter."""

from __future__ import annotations

import math

import pandas as pd
import streamlit as st

from ui.theme import NO_BAR, SHARE
from unlearn_core.figures.layers import group_bars, share_text
from unlearn_core.measure.anatomy import Group, groups
from unlearn_core.serving.scenes import Scene, Settled

COLUMNS = {"selected share": SHARE, "norm removed": SHARE,
           "mean multiplier": st.column_config.NumberColumn(format="%.3f"),
           "relative change": st.column_config.NumberColumn(format="percent")}


def totals(scene: Scene, settled: Settled, names: list[str]) -> dict[str, Group]:
    """The layers taken together by name."""
    found = settled.answers
    return groups(names, scene.sizes, scene.norms, settled.change,
                  *(() if found is None else (found.selected, found.norm_removed)))


def finding(stages: dict[str, Group], kinds: dict[str, Group]) -> str:
    """Where most of the change sits, in one sentence."""
    order = sorted(stages, key=lambda name: -stages[name].share)
    if not stages[order[0]].share:
        return "No layer moved."
    shown = order[:1] if stages[order[0]].share >= 0.9 or len(order) == 1 else order[:2]
    first, *second = (f"{stages[name].share:.0%}" for name in shown)
    last = kinds["head"]
    lost = f"moves by {share_text(last.change)} of its size" if math.isnan(last.norm_removed) else \
        f"loses {share_text(1 - math.sqrt(1 - last.norm_removed))} of its norm"
    also = f" and {second[0]} in {shown[1]}" if second else ""
    return f"{first} of the squared weight change sits in {shown[0]}{also}; the head {lost}."


def near_ceiling(scene: Scene, settled: Settled) -> None:
    """What the ceiling means where it bites."""
    if scene.ceiling is None or settled.alpha is None or settled.answers is None:
        return
    left = int(settled.answers.selected.sum())
    why = (f"the forget set is a part of all training images, so I_D ≥ ρ · I_f, and no importance ratio exceeds 1/ρ = "
           f"|D| / |D_f| = {scene.ceiling:.3g}")
    if settled.alpha >= scene.ceiling:
        st.info(f"α = {settled.alpha:.3g} is at or above the ceiling: {why}. Nothing can be selected, whatever the "
                "network.", icon=":material/vertical_align_top:")
    elif settled.alpha >= 0.7 * scene.ceiling:
        st.info(f"α = {settled.alpha:.3g} is close to the ceiling: {why}. Only {left:,} of {scene.sizes.sum():,} "
                "weights lie between.", icon=":material/vertical_align_top:")


def numbers(scene: Scene, settled: Settled) -> pd.DataFrame:
    """What happened to each layer, exactly: a row a layer, from the input on."""
    table = pd.DataFrame({"layer": scene.layers, "kind": scene.kinds, "weights": scene.sizes})
    if (answers := settled.answers) is not None:
        table = table.assign(**{
            "selected": answers.selected, "selected share": answers.selected / scene.sizes,
            "mean multiplier": answers.mean_multiplier, "norm removed": answers.norm_removed})
    return table.assign(**{"relative change": settled.change})


def layer_table(scene: Scene, settled: Settled) -> None:
    """The exact numbers of every layer."""
    st.dataframe(numbers(scene, settled).drop(columns="selected", errors="ignore"), hide_index=True,
                 column_config=COLUMNS)


def changed(scene: Scene, settled: Settled) -> None:
    """The same beside an outcome's other pictures, and as a file."""
    st.markdown("#### Which layers changed?")
    st.caption("How to read this: click a column to sort. Relative change is ‖ΔW‖ / ‖W‖" + (
        "; selected weights have an importance ratio above α, the multiplier is what a weight keeps on average."
        if settled.answers is not None else "."))
    table = numbers(scene, settled)
    st.dataframe(table, hide_index=True, height=380, column_config=COLUMNS)
    st.download_button("Table as CSV", lambda: table.to_csv(index=False), f"lacuna-{settled.choice.key}.csv",
                       "text/csv", on_click="ignore", icon=":material/download:")


def by_group(stages: dict[str, Group], kinds: dict[str, Group], dampened: bool, ink: str) -> None:
    """How deep, and in what kind of parameter?"""
    left, right = st.columns(2)
    with left:
        st.markdown("#### How deep in the network?")
        worst = max(stages, key=lambda name: stages[name].share)
        st.caption("How to read this: stages from the input on. Solid bars are parts of the network's whole squared "
                   "weight change and add up to 100 %; hatched bars say how far a stage moved, relative to its size.")
        st.plotly_chart(group_bars({"part of the whole change": {n: g.share for n, g in stages.items()},
                                    "relative change": {n: g.change for n, g in stages.items()}}, ink),
                        key="stages", config=NO_BAR,
                        alt=f"Change by stage; {worst} holds {stages[worst].share:.0%} of it")
    with right:
        st.markdown("#### In which kind of parameter?")
        if dampened:
            series = {"weights selected": {n: g.selected for n, g in kinds.items()},
                      "squared norm removed": {n: g.norm_removed for n, g in kinds.items()}}
            most = max(kinds, key=lambda name: kinds[name].selected)
            said = f"{most} has the largest share selected, {kinds[most].selected:.1%}"
        else:
            series = {"relative change": {n: g.change for n, g in kinds.items()},
                      "part of the whole change": {n: g.share for n, g in kinds.items()}}
            most = max(kinds, key=lambda name: kinds[name].change)
            said = f"{most} moved most, by {kinds[most].change:.1%} of its size"
        st.caption(f"How to read this: all layers of a kind together; {said}. Selecting many weights matters little "
                   "where they are small." if dampened else
                   f"How to read this: all layers of a kind together; {said}.")
        st.plotly_chart(group_bars(series, ink), key="kinds", config=NO_BAR, alt=f"By kind of parameter: {said}")
