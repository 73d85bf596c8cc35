"""Where does the forgetting happen? Layer by layer, kind by kind, unit by unit, and how that hangs on the measuring."""

from __future__ import annotations

import streamlit as st

from ui.controls import knobs, take_point
from ui.panels.depth import depth
from ui.panels.layers import by_group, finding, layer_table, near_ceiling, totals
from ui.panels.moved import moved_most
from ui.panels.spectrum import directions
from ui.panels.units import inside
from ui.panels.ways import ways
from ui.present import headline, present, whose
from ui.state import State, state, tell_notes, view, write_address
from ui.theme import NO_BAR, ink
from ui.views.layers import layers_view
from unlearn_core.figures.layer_change import layer_change
from unlearn_core.figures.style import UNLEARNED
from unlearn_core.measure.anatomy import stage_of
from unlearn_core.methods import method
from unlearn_core.subjects.subject import subject


def picked(visitor: State, layers: tuple[str, ...]) -> None:
    """A layer's row was clicked: look inside."""
    if (name := st.session_state["layers"]["layer"]["name"]) in layers:
        visitor.views["tensor"] = name


@st.fragment
def page(visitor: State) -> None:
    """Everything that reacts to a knob."""
    tell_notes(visitor)
    now = present(visitor, "ways")
    headline(now, visitor)
    whose(now)
    with sidebar:
        knobs(visitor, now.picture[0].ceiling if now.picture is not None and not now.former else None)
    if now.picture is None:
        return
    scene, settled = now.picture
    key = "former" if now.former else "picture"
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
                                         (UNLEARNED,), ink()), key="change", config=NO_BAR,
                            alt=finding(stages, kinds))
    if settled.answers is not None and not visitor.plain:
        layers_view(now, visitor.views.get("tensor", main), lambda: take_point(visitor, "layers", ("alpha",)),
                    lambda: picked(visitor, scene.layers))
    with st.container(key=f"{key}-details"):
        with st.expander("The exact numbers of every layer", icon=":material/table:", expanded=visitor.plain):
            layer_table(scene, settled)
        st.caption(f"Computed now: {method(settled.choice.method).title} on {subject(settled.choice.network).title}, "
                   f"forgetting {settled.choice.words}; no evaluation image is read "
                   "here." + (" Per-sample importances of the classes of bundled networks are precomputed, others are "
                              "measured when asked for." if settled.answers is not None else ""))
        by_group(stages, kinds, settled.answers is not None, ink())
    if now.former:
        return
    depth(scene, settled, ink())
    directions(scene, settled, ink())
    moved_most(scene, settled)
    st.markdown("#### Which filters, neurons and heads?")
    layer = view(visitor, "tensor", [main, *(name for name in scene.layers if name != main)], "Layer", width=420,
                 format_func=lambda name: f"{name} · {scene.kinds[scene.layers.index(name)]}")
    write_address(settled.choice, visitor)
    inside(scene, settled, layer, ink())
    if settled.answers is not None:
        ways(scene, settled, ink())


visitor = state()
sidebar = st.sidebar.container()
page(visitor)
