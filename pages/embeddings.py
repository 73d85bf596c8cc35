"""Did the representation change? The same images in three networks' feature spaces, on one map."""

from __future__ import annotations

import streamlit as st

from ui.opening import PATIENCE, rest_follows
from ui.panels.embedding import maps, numbers, placement, together, trust
from ui.panels.remains import remains
from ui.present import headline, present
from ui.server.runtime import engine
from ui.state import state, tell_notes, view, write_address
from ui.tables import data_table
from ui.waiting import ready
from unlearn_core.assets import AssetError
from unlearn_core.maps.projection import NEIGHBOURS
from unlearn_core.methods import method
from unlearn_core.serving.embedding import finding, submit
from unlearn_core.subjects.subject import subject, subjects

MAPS = {"umap": "UMAP of the original", "pca": "PCA of the original"}

visitor = state()
tell_notes(visitor)
now = present(visitor)
headline(now, visitor)
if now.picture is None or now.former:
    st.stop()
scene, settled = now.picture
wanted = settled.choice
network = wanted.network

summary = st.container()
with st.container(horizontal=True, vertical_alignment="bottom"):
    layers = subject(network).layers
    elsewhere = {name for other in subjects().values() for name in other.named_layers}
    layer = view(visitor, "layer", list(layers)[::-1], "Layer", elsewhere, format_func=layers.__getitem__)
    kind = view(visitor, "map", list(MAPS), "Map", format_func=MAPS.__getitem__)
    corner = st.container()  # of the fragment, which knows the groups' sizes
    place = (wanted.key, layer, kind)
    if st.session_state.get("refit") == place:
        st.button("Undo refit", icon=":material/undo:", on_click=lambda: st.session_state.pop("refit", None))
    else:
        st.button("Refit together", icon=":material/join_inner:", on_click=st.session_state.update,
                  kwargs={"refit": place},
                  help="Fits one new UMAP to all networks at once, in another process: some ten seconds, nobody else "
                       "waits. It can be cancelled.")
write_address(wanted, visitor)
try:
    placed = ready(submit(engine(), scene, settled, layer, kind), 2.0, "Placing the images")
except (AssetError, ValueError, RuntimeError) as problem:
    st.error(str(problem), icon=":material/error:")
    st.stop()
if placed is None:
    st.stop()
shown, fitting = together(placed)
summary.markdown(f"#### {finding(placed)}")
maps(visitor, shown, scene, settled, corner)
if not visitor.plain:
    rest_follows(PATIENCE)
st.caption(f"The choice of the page See: {method(wanted.method).title} on {subject(network).title}, forgetting "
           f"{wanted.words}; its knobs are there. Computed now "
           f"on {len(shown.truth):,} fixed images, {int(shown.member.sum()):,} of them training images. "
           f"{placement(shown, network)}")

st.markdown("#### Can the map be trusted?")
st.markdown(trust(shown))
st.caption(f"How to read this: neighbours are an image's {NEIGHBOURS} nearest in a network's own feature space, where "
           "no map distorts them; new are those that it does not have in the original. ± is a 95 % interval over "
           "images, a range is over retrained networks. Trustworthiness (Venna and Kaski 2001) is 1 if an image's "
           "neighbours on the map are its neighbours in that space too.")
data_table(numbers(shown), hide_index=True)

if fitting:
    st.caption("What remains of the forget set in the network is told once the joint map is there or cancelled.")
else:  # a session waits for one thing at a time
    remains(scene, settled, now.audit)
