"""What am I looking at? Methods, knobs, data and reference, from their own declarations."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from ui.present import headline, present
from ui.state import state, tell_notes
from unlearn_core import assets
from unlearn_core.methods import METHODS

visitor = state()
tell_notes(visitor)
headline(present(visitor), visitor)

st.markdown("### A network is asked to forget. Did it?")
st.markdown(
    "A classifier is trained on images. A method then edits its weights so that it behaves as if some of them had "
    "never been shown: a whole class, one person, a few pictures, a poison. The only honest yardstick is "
    "**retraining**: the same network, trained afresh without those images. Every gauge shows three marks: the "
    "original (grey), several retrained networks (the band in the colour of the text) and the unlearned one (orange).")

left, right = st.columns(2)
with left.container(border=True):
    st.markdown("**What this shows**")
    st.markdown("- how far accuracy on the forget set and on everything else moved\n"
                "- whether checks, attacks and looks inside among them, tell the network from retrained ones, and what "
                "each of them is worth here: it is first tried on networks of which the truth is known\n"
                "- which weights were touched, exactly")
with right.container(border=True):
    st.markdown("**What it does not prove**")
    st.markdown("- that nobody could tell: there are stronger attackers than these, and other places to look\n"
                "- that another network, or other images, would forget as well: those bundled are small\n"
                "- that a method is good: a verdict is on one run of it, with these settings and this seed")

st.markdown("### What a page opens on, and what the named settings promise")
st.markdown(
    "One setting does not fit every class: what forgets one leaves another known, or takes a neighbour along. So "
    "each single class of Fashion-MNIST opens, with each method, on the setting that was best for just that "
    "request, with seed 0; so does the poison, and each person with the methods that dampen. Tried were the "
    "method's general default, this project's own named settings, a grid of α and λ for methods that dampen, and a "
    "few learning rates for NegGrad. Knobs that you have not touched follow when you choose another class or "
    "network; touched ones stay, and Reset goes back. Expressions, several classes, single images and subjects of "
    "your own open on the general default.\n\n"
    "Best means: of the settings that *serve*, the one nearest to networks retrained without the class, by the gap "
    "in forget accuracy plus the gap in retain accuracy. A setting serves unless it leaves forget accuracy more "
    "than 5 points above the highest retrained network's, or costs any one retained class 10 points or more. Where "
    "none serves, the page says so and opens on the best trade-off.\n\n"
    "Damage is judged on about 100 validation images of each retained class, which no network was trained on; "
    "forgetting on 300 training images of the class, none of which the gauges and audits show. A person has few "
    "pictures, and the poison too, so forgetting is judged on all that the network was trained on. What the page "
    "then shows is a check of its own, and may disagree: with 100 images a class, a loss of 10 points has a "
    "standard error of about 4.\n\n"
    "*Sweet spot*, *too weak*, *too costly* and *catastrophic* name what a setting did to the request in hand, on "
    "these images: forgot at no great cost; left the class recognised; cost some class 10 points or more; 30 or more. "
    "*Official* and other settings of papers and repositories are shown under their own names, whatever they do here.")

st.markdown("### Methods")
for family in dict.fromkeys(found.family for found in METHODS.values()):
    st.markdown(f"#### {family.capitalize()}")
    for found in (m for m in METHODS.values() if m.family == family):
        with st.expander(f"**{found.title}**. {found.about}"):
            st.caption(f"{found.paper}. Needs when forgetting: {', '.join(sorted(found.needs)) or 'nothing'}. "
                       f"{'Its result depends on a seed' if found.seeded else 'It has no randomness'}.")
            st.table(pd.DataFrame([{
                "knob": knob.label, "what it means": knob.meaning,
                "range": ", ".join(map(str, knob.choices)) if knob.scale == "choice"
                else f"{knob.low:g} to {knob.high:g}{knob.unit}",
                "general default": f"{knob.default:g}" if isinstance(knob.default, float) else str(knob.default),
                "source": knob.source} for knob in found.hyperparameters]).set_index("knob"))
            if found.presets:
                st.markdown("\n".join(f"- **{name}**: {preset.about}" for name, preset in found.presets.items()))
                st.caption("As the method declares them. On a single class, names that promise something are given by "
                           "what happened there.")
            if tried := assets.tuning(found.name):
                st.markdown("How the general default was chosen: the smallest mean gap to retraining, in points, over "
                            "three classes and both networks, among settings of at most 5 seconds, or of all where "
                            "none is so fast. No test image was read. Forgetting was judged on the first 200 training "
                            "images of each class, of which the gauges and audits show the first 100; for the methods "
                            "added last, on the 101st to 400th.")
                st.table(pd.DataFrame([{**row["settings"], "mean gap": row["cost"], "worst gap": row["worst"],
                                        "seconds (busy machine)": row["seconds"]} for row in tried]).astype(str))

st.markdown("### Data and networks")
try:
    for source in assets.manifest().data.values():
        st.markdown(f"**{source.title}**, {source.licence}. {source.provenance}")
    with st.expander("Bundled files and their checksums"):
        st.dataframe(pd.DataFrame([{"file": name, "bytes": f.bytes, "what": f.about, "SHA-256": f.sha256}
                                   for name, f in assets.manifest().files.items()]), hide_index=True)
except assets.AssetError as problem:
    st.error(str(problem), icon=":material/error:")
