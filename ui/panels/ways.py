"""The same α on importances that were measured in other ways."""

from __future__ import annotations

import streamlit as st

from ui.server.runtime import engine
from ui.theme import NO_BAR
from ui.waiting import give_up, ready
from unlearn_core.figures.layers import selected_by_layer
from unlearn_core.methods.ways import OFFICIAL, SHUFFLED, WAYS
from unlearn_core.serving.scenes import Scene, Settled
from unlearn_core.serving.within import submit_ways, ways_key


def times(factor: float) -> str:
    """How many times more or fewer, in words."""
    return f"{factor:.1f} times more" if factor >= 1 else f"{1 / factor:.1f} times fewer"


def ways(scene: Scene, settled: Settled, ink: str) -> None:
    """The same α on importances measured otherwise."""
    st.markdown("#### Would it be the same weights, had the importances been measured otherwise?")
    st.caption("The paper describes a mean over samples. The released code squares the gradient of a batch's mean, and "
               "its loader happens to be sorted by class, so gradients within a batch agree. Shuffled, they partly "
               "cancel out in I_D alone: ratios grow, and the ceiling is gone.")
    key = ways_key(scene)
    if engine().pool.known(key) is None and st.session_state.get("ways") != key:
        give_up("ways")  # of a choice that was left
        st.button(f"Measure in {len(WAYS)} ways", icon=":material/speed:",
                  on_click=lambda: st.session_state.update(ways=key),
                  help=f"As many passes over the {len(scene.task.train):,} training images: some seconds, minutes on a "
                       "busy server.")
        return
    found = ready(submit_ways(engine(), scene), 0.4, "Measuring importances",
                  lambda: st.session_state.pop("ways", None), "ways")
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
