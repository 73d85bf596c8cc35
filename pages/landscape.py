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
others = {name for method in METHODS.values() for name in numeric(method.name)}
for name in ("x", "y"):  # a knob of the last method is no mistake
    if visitor.views.get(name) in others - set(knobs):
        del visitor.views[name]

try:
    with st.container(horizontal=True):
        label = {name: f"{knob.label} ({name})" if knob.label != name else name for name, knob in knobs.items()}
        x = view(visitor, "x", list(knobs), "Knob", format_func=label.__getitem__, width=300)
        rest = [name for name in knobs if name != x]
        if visitor.views.get("y") == x:
            del visitor.views["y"]
        y = view(visitor, "y", rest, "Second knob", format_func=label.__getitem__, width=300) if rest else ""
    write_address(wanted, visitor)
    if y:
        two_knobs(visitor, wanted, x, y, ink())
    one_knob(wanted, x, ink())
    if METHODS[wanted.method].importance is not None:
        estimators(wanted, ink())
        classes(wanted, ink())
    search(visitor, wanted, [name for name in (x, y) if name], ink())
except (AssetError, ValueError, RuntimeError) as problem:
    st.error(str(problem), icon=":material/error:")

st.markdown("#### Run a larger study")
try:
    sweeps(visitor)
except (AssetError, ValueError, RuntimeError) as problem:
    st.error(str(problem), icon=":material/error:")
