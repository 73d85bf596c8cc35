"""Which filters, neurons and heads of one layer changed."""

from __future__ import annotations

import streamlit as st

from ui.server.runtime import engine
from ui.theme import NO_BAR
from ui.waiting import ready
from unlearn_core.figures.layers import filter_tiles, unit_bars
from unlearn_core.measure.anatomy import Units
from unlearn_core.serving.scenes import Scene, Settled
from unlearn_core.serving.within import submit_units

SMALL_FILTER = 16  # inputs of a convolution whose filters can still be seen
TILES = 8


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


def inside(scene: Scene, settled: Settled, layer: str, ink: str) -> None:
    """Which neurons, filters and heads of one layer?"""
    found = ready(submit_units(engine(), scene, settled, layer), 1.5, "Looking inside")
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
