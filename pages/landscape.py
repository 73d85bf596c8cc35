"""How do the knobs behave? Gauges over any two knobs, along one, class by class; and a search for good settings."""

from __future__ import annotations

import streamlit as st

from ui.panels.alphas import classes, estimators
from ui.panels.one_knob import one_knob
from ui.panels.two_knobs import two_knobs
from ui.present import headline, present
from ui.state import state, tell_notes, view, write_address
from ui.studies.search import search
from ui.studies.sweeps import sweeps
from ui.theme import ink
from unlearn_core.assets import AssetError
from unlearn_core.methods import METHODS
from unlearn_core.serving.landscape import numeric

visitor = state()
tell_notes(visitor)
now = present(visitor, "search", "rule")
headline(now, visitor)
if now.wanted is None:
    st.stop()
wanted = now.wanted
knobs = numeric(wanted.method)
if not knobs:
    st.info(f"{METHODS[wanted.method].title} has no numeric knob to turn.", icon=":material/info:")
    st.stop()
label = {name: f"{knob.label} ({name})" if knob.label != name else name for name, knob in knobs.items()}
others = {name for method in METHODS.values() for name in numeric(method.name)}

try:
    with st.container(horizontal=True):
        x = view(visitor, "x", list(knobs), "Knob", others, format_func=label.__getitem__, width=300)
        axes = [x]
        if rest := [name for name in knobs if name != x]:
            axes.append(view(visitor, "y", rest, "Second knob", others, format_func=label.__getitem__, width=300))
        else:
            visitor.views.pop("y", None)
    write_address(wanted, visitor)
    if len(axes) == 2:
        two_knobs(visitor, wanted, *axes, ink())
    one_knob(wanted, x, ink())
    if METHODS[wanted.method].importance is not None:
        estimators(wanted, ink())
        classes(wanted, ink())
    search(visitor, wanted, axes, ink())
except (AssetError, ValueError, RuntimeError) as problem:
    st.error(str(problem), icon=":material/error:")

st.markdown("#### Run a larger study")
try:
    sweeps(visitor)
except (AssetError, ValueError, RuntimeError) as problem:
    st.error(str(problem), icon=":material/error:")
