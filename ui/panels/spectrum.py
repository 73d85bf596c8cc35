"""Whether a change is a patch along a few directions, or runs through whole layers."""

from __future__ import annotations

import streamlit as st

from ui.server.runtime import engine
from ui.theme import NO_BAR
from ui.waiting import folded
from unlearn_core.figures.layers import group_bars
from unlearn_core.measure.spectrum import Spectrum
from unlearn_core.serving.change import submit
from unlearn_core.serving.scenes import Scene, Settled


def spectrum_finding(found: dict[str, Spectrum], moved: dict[str, float]) -> str:
    """Of the matrix that holds most of their squared change, in one sentence."""
    name = max(found, key=lambda layer: moved[layer])
    one = found[name]
    if not one.rank:
        return "No matrix of weights changed."
    return (f"Of all matrices of weights, most of the change lies in **{name}**, where it fills {one.rank:.1f} of "
            f"{one.directions} directions; the layer's own weights fill {one.own_rank:.1f}.")


def directions(scene: Scene, settled: Settled, ink: str) -> None:
    """Along how many directions did each layer change? Computed when it is opened."""
    box, found = folded("Along how many directions did each layer change?", ":material/explore:", "directions",
                        "Taking the changes apart", lambda: submit(engine(), scene, settled))
    if found is None:
        return
    with box:
        moved = dict(zip(scene.layers, (settled.change * scene.norms) ** 2, strict=True))
        said = spectrum_finding(found, moved)
        st.markdown(said)
        st.caption("How to read this: a layer's weights are a matrix, which can change along as many directions as its "
                   "smaller side has. Solid bars: the share of them that the change fills (by its stable rank, the sum "
                   "of its squared singular values over the largest); hatched bars: the share that the layer's own "
                   "weights fill. A short solid bar is a patch along a few directions. Biases and scales have one "
                   "direction only and are left out.")
        st.plotly_chart(group_bars({"the change": {name: one.rank / one.directions for name, one in found.items()},
                                    "the layer's own weights": {name: one.own_rank / one.directions
                                                                for name, one in found.items()}}, ink),
                        key="spectrum", config=NO_BAR, alt=said.replace("**", ""))
