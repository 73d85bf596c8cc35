"""Where does the forgetting happen? Layer by layer, kind by kind, unit by unit, and how that hangs on the measuring."""

from __future__ import annotations

import math

import pandas as pd
import streamlit as st

from ui.controls import knobs, take_point
from ui.present import headline, present, whose
from ui.server.runtime import engine
from ui.state import State, state, tell_notes, view, write_address
from ui.views.layers import layers_view
from ui.waiting import give_up, ready
from unlearn_core.figures.layer_change import layer_change
from unlearn_core.figures.layers import filter_tiles, group_bars, selected_by_layer, share_text, unit_bars
from unlearn_core.figures.style import RETRAINED, RETRAINED_ON_DARK, UNLEARNED
from unlearn_core.measure.anatomy import Group, Units, groups, stage_of
from unlearn_core.methods import method
from unlearn_core.methods.ways import OFFICIAL, SHUFFLED, WAYS
from unlearn_core.serving.scenes import Scene, Settled
from unlearn_core.subjects.subject import subject

NO_BAR = {"displayModeBar": False}
SHARE = st.column_config.ProgressColumn(format="percent", min_value=0, max_value=1)
SMALL_FILTER = 16  # inputs of a convolution whose filters can still be seen
TILES = 8


def picked(chosen: State, layers: tuple[str, ...]) -> None:
    """A layer's row was clicked: look inside."""
    if (name := st.session_state["layers"]["layer"]["name"]) in layers:
        chosen.views["tensor"] = name


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


def layer_table(scene: Scene, settled: Settled) -> None:
    """The exact numbers of every layer."""
    table = pd.DataFrame({"layer": scene.layers, "kind": scene.kinds, "weights": scene.sizes})
    if (found := settled.answers) is not None:
        table = table.assign(**{"selected share": found.selected / scene.sizes,
                                "mean multiplier": found.mean_multiplier, "norm removed": found.norm_removed})
    st.dataframe(table.assign(**{"relative change": settled.change}), hide_index=True, column_config={
        "selected share": SHARE, "norm removed": SHARE, "mean multiplier": st.column_config.NumberColumn(format="%.3f"),
        "relative change": st.column_config.NumberColumn(format="percent")})


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


def unit_finding(found: Units, layer: str) -> str:
    """The most hit unit in one sentence."""
    first = found.order[0]
    name, moved = found.names[first], found.change[first]
    if not moved and (found.selected is None or not found.selected[first]):
        return f"No weight of {layer} was touched."
    return f"Most hit: **{name}**, " + (
        "" if found.selected is None else f"{found.selected[first]:.0%} of its weights selected, ") + (
        f"moved by {moved:.1%} of its size; the median of the {len(found.names)} units moved by "
        f"{sorted(found.change)[len(found.change) // 2]:.1%}.")


def inside(chosen: State, scene: Scene, settled: Settled, layer: str, ink: str) -> None:
    """Which neurons, filters and heads of one layer?"""
    found = ready(engine().units(scene, settled, layer), 1.5, "Looking inside")
    if found is None:
        return
    st.markdown(unit_finding(found, layer))
    if not (found.change.any() or (found.selected is not None and found.selected.any())):
        return
    order = found.order
    names = [found.names[i] for i in order]
    how = "How to read this: one bar for each unit of the layer, the most hit first; its height is "
    if found.selected is None:
        st.caption(f"{how}how far it moved, relative to its size.")
        figure = unit_bars(names, found.change[order], "relative change", None, ink)
    else:
        st.caption(f"{how}the share of its weights selected. Diamonds: the share of its squared norm that is gone.")
        figure = unit_bars(names, found.selected[order], "weights selected", found.norm_removed[order], ink)
    st.plotly_chart(figure, key="units", config=NO_BAR, alt=unit_finding(found, layer).replace("**", ""))
    if found.kernel is not None and found.kernel[0] <= SMALL_FILTER:
        some = order[:TILES]
        st.caption(f"How to read this: the {len(some)} most hit filters, one image of {found.kernel[1]} × "
                   f"{found.kernel[2]} weights for each input, all on one scale of colour; pale is near zero.")
        st.plotly_chart(filter_tiles([found.names[i] for i in some],
                                     *(rows[some].reshape(-1, *found.kernel) for rows in (found.before, found.after)),
                                     ink),
                        key="filters", config=NO_BAR, alt=f"The most hit filters of {layer} before and after")


def times(factor: float) -> str:
    """How many times more or fewer, in words."""
    return f"{factor:.1f} times more" if factor >= 1 else f"{1 / factor:.1f} times fewer"


def ways(scene: Scene, settled: Settled, ink: str) -> None:
    """The same α on importances measured otherwise."""
    st.markdown("#### Would it be the same weights, had the importances been measured otherwise?")
    st.caption("The paper describes a mean over samples. The released code squares the gradient of a batch's mean, and "
               "its loader happens to be sorted by class, so gradients within a batch agree. Shuffled, they partly "
               "cancel out in I_D alone: ratios grow, and the ceiling is gone.")
    key = engine().ways_key(scene)
    if engine().pool.known(key) is None and st.session_state.get("ways") != key:
        give_up("ways")  # of a choice that was left
        st.button(f"Measure in {len(WAYS)} ways", icon=":material/speed:",
                  on_click=lambda: st.session_state.update(ways=key),
                  help="As many passes over the 20,000 training images: some seconds, minutes on a busy server.")
        return
    found = ready(engine().ways(scene), 0.4, "Measuring importances", lambda: st.session_state.pop("ways", None),
                  "ways")
    if found is None or settled.alpha is None or settled.lam is None:
        return
    answers = {title: index.query(settled.alpha, settled.lam).selected for title, index in found.items()}
    shares = {title: float(selected.sum() / scene.sizes.sum()) for title, selected in answers.items()}
    sorted_, shuffled = shares[OFFICIAL], shares[SHUFFLED]
    least, most = min(shares, key=shares.__getitem__), max(shares, key=shares.__getitem__)
    point = f"α = {settled.alpha:.3g}"
    if sorted_ and shuffled:
        said = f"The same {point} selects {times(shuffled / sorted_)} weights after a shuffle"
    else:
        said = f"Class by class {point} selects {sorted_:.1%} of the weights, after a shuffle {shuffled:.1%}"
    st.markdown(f"**{said}**; over all ways it selects from {shares[least]:.1%} ({least}) to {shares[most]:.1%} "
                f"({most}).")
    st.caption("How to read this: one bar for each layer, from the input to the output; its height is the share of the "
               "layer's weights with a ratio above the present α. In bold, the share of all weights. Batches of 64 and "
               "all training images as reference unless said. Measured now.")
    st.plotly_chart(selected_by_layer(scene.layers, {t: s / scene.sizes for t, s in answers.items()}, shares, ink),
                    key="ways.figure", config=NO_BAR, alt=f"{said}.")


@st.fragment
def page(chosen: State) -> None:
    """Everything that reacts to a knob."""
    tell_notes(chosen)
    now = present(chosen, "ways")
    headline(now, chosen)
    whose(now)
    with sidebar:
        knobs(chosen, now.picture[0].ceiling if now.picture is not None and not now.former else None)
    if now.picture is None:
        return
    scene, settled = now.picture
    key = "former" if now.former else "picture"
    ink = RETRAINED_ON_DARK if st.context.theme.type == "dark" else RETRAINED
    stages, kinds = totals(scene, settled, list(map(stage_of, scene.layers))), totals(scene, settled, list(scene.kinds))
    main = scene.layers[scene.kinds.index("head")]
    with st.container(key=key):
        st.markdown(f"#### {finding(stages, kinds)}")
        near_ceiling(scene, settled)
        for sentence in settled.warnings if scene.ceiling is None else ():
            st.info(sentence, icon=":material/info:")
        if settled.answers is not None:
            st.caption("How to read this: a row is a layer, from the input on; its steps are a histogram of its "
                       "weights' importance ratios (height under a square root). Drag α: what lies right of the line "
                       "is selected and shrunk, the more the redder; “kept” is the mean multiplier. " + (
                           "Hatched: beyond the ceiling no ratio can lie. " if scene.ceiling is not None else "") +
                       "Click a layer's name to look inside it.")
        else:
            st.caption("How to read this: a row is a layer, from the input on; the bar is how far its weights moved, "
                       "relative to their size (‖ΔW‖ / ‖W‖), on a logarithmic axis.")
            st.plotly_chart(layer_change(scene.layers, {method(settled.choice.method).title: settled.change},
                                         (UNLEARNED,), ink), key="change", config=NO_BAR,
                            alt=finding(stages, kinds))
    if settled.answers is not None and not chosen.plain:
        layers_view(now, chosen.views.get("tensor", main), lambda: take_point(chosen, "layers", ("alpha",)),
                    lambda: picked(chosen, scene.layers))
    with st.container(key=f"{key}-details"):
        with st.expander("The exact numbers of every layer", icon=":material/table:", expanded=chosen.plain):
            layer_table(scene, settled)
        st.caption(f"Computed now: {method(settled.choice.method).title} on {subject(settled.choice.network).title}, "
                   f"forgetting {settled.choice.words}; no evaluation image is read "
                   "here." + (" Per-sample importances are precomputed for each class, batch means are measured when "
                              "asked for." if settled.answers is not None else ""))
        by_group(stages, kinds, settled.answers is not None, ink)
    if now.former:
        return
    st.markdown("#### Which filters, neurons and heads?")
    layer = view(chosen, "tensor", [main, *(name for name in scene.layers if name != main)], "Layer", width=420,
                 format_func=lambda name: f"{name} · {scene.kinds[scene.layers.index(name)]}")
    write_address(settled.choice, chosen)
    inside(chosen, scene, settled, layer, ink)
    if settled.answers is not None:
        ways(scene, settled, ink)


visitor = state()
sidebar = st.sidebar.container()
page(visitor)
