"""Which method, and at what price? Every method on one request, judged against retraining."""

from __future__ import annotations

import streamlit as st

from ui.panels import comparison
from ui.panels.many_requests import many_requests
from ui.panels.methods_table import methods_table
from ui.panels.pair import side_by_side, who_pays
from ui.panels.sharded import SLOT, sharded
from ui.present import headline, present
from ui.state import state, tell_notes
from ui.theme import ink
from unlearn_core.assets import AssetError
from unlearn_core.subjects.subject import subject

visitor = state()
tell_notes(visitor)
now = present(visitor, "work", SLOT)
headline(now, visitor)
if now.wanted is None:
    st.stop()
try:
    shown = comparison.comparison_now(visitor)
except (AssetError, ValueError, RuntimeError) as problem:
    st.error(str(problem), icon=":material/error:")
    st.stop()
asked = visitor.network, visitor.forget
if shown is None:
    if st.session_state.get("recompute") is None:
        st.info("Comparisons are shipped for single classes of Fashion-MNIST, for some of the drawn people, for ten "
                "images of theirs at random, and for the poison. For this request every method can be run now, "
                "retraining included, which takes several minutes.", icon=":material/info:")
        if st.button("Run every method", icon=":material/play_arrow:"):
            st.session_state["recompute"] = asked
            st.rerun()
    many_requests(subject(visitor.network))
    sharded(visitor, ink())
    st.stop()

own, reference = subject(shown.network), shown.entries["retrain"]
seeds = max(len(entry.measures) for name, entry in shown.entries.items() if name != "retrain")
points = comparison.spots(shown)
st.markdown(f"#### {comparison.finding(shown, points, float(reference.values('seconds').mean()))}")
with st.container(horizontal=True, vertical_alignment="center"):
    st.caption(
        f"{'Precomputed' if shown.precomputed else 'Computed now'} for {own.title} forgetting "
        f"{shown.forget.words(own.images.train)}: every method at its general defaults, the same for "
        f"all requests ({seeds} seeds of each that has any randomness), on {len(reference.predicted):,} fixed "
        "images; time in processor seconds; the page See opens a class on a setting of its own. Reference: "
        f"{len(reference.measures)} retrained networks.")
    if st.button("Recompute now", icon=":material/refresh:", help="Runs every method again on this machine; true "
                 "retraining stays the bundled one. Takes a minute or two and can be cancelled."):
        st.session_state["recompute"] = asked
        st.rerun()

if shown.missing:
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(f"Not run yet: {', '.join(map(comparison.title, shown.missing))}, newer than the shipped "
                   "comparison.")
        if st.button("Run what is missing", icon=":material/play_arrow:", help="Runs only the methods that have no "
                     "numbers yet, and keeps them for everybody. Can be cancelled."):
            st.session_state["complete"] = asked
            st.rerun()

comparison.drawn(shown, points, ink())
st.page_link("pages/queue.py", label="And if requests come one after another?", icon=":material/queue:")
methods_table(shown)
many_requests(own)
sharded(visitor, ink())
side_by_side(shown, visitor, ink())
who_pays(visitor, ink())
