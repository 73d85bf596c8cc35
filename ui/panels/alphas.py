"""What one α means: by the way in which importances are measured, and class by class."""

from __future__ import annotations

import numpy as np
import streamlit as st

from ui.panels.surfaces import TITLES
from ui.server.runtime import engine
from ui.theme import NO_BAR
from unlearn_core.figures import landscape as figures
from unlearn_core.figures.landscape import Scale
from unlearn_core.nets.request import Request
from unlearn_core.serving.choice import Choice
from unlearn_core.serving.grid import ALPHAS
from unlearn_core.serving.landscape import (
    ESTIMATORS,
    best_alpha,
    curves,
    estimator,
    original,
    reference,
)


def estimators(chosen: Choice, ink: str) -> None:
    """What the estimator, the batch order and the reference set do to the curve over alpha."""
    st.markdown("#### Does it matter how importances are measured?")
    shipped = curves(chosen.network)
    if len(chosen.forget.classes) != 1 or not shipped:
        st.info("These curves are at hand for single classes of Fashion-MNIST.", icon=":material/info:")
        return
    label = chosen.forget.classes[0]
    lines = {name: values[label] for name, values in shipped.items()}
    retrained = reference(engine(), chosen.network, chosen.forget)
    assert retrained is not None
    best = {name: best_alpha(values, retrained) for name, values in lines.items()}
    low, high = min(best, key=best.__getitem__), max(best, key=best.__getitem__)
    st.markdown(f"The same α means different things: nearest to retraining is α = {best[low]:.3g} for {low}, but "
                f"α = {best[high]:.3g} for {high}, {best[high] / best[low]:.1f} times as much.")
    st.caption("How to read this: a line is one way to measure importances, λ = 1; the further right it turns, the "
               "stronger the same α acts. Per sample is the paper's Fisher information; batch mean is what the "
               "official code computes, where the order of the images matters. Precomputed.")
    before = list(original(engine(), chosen.network, chosen.forget))
    st.plotly_chart(figures.curves(Scale("α", ALPHAS), lines, TITLES, retrained, before, float("nan"), ink),
                    key="estimators", config=NO_BAR, alt="Gauges along α for each way to measure importances")


def classes(chosen: Choice, ink: str) -> None:
    """The curve over alpha for every class."""
    st.markdown("#### Is one α right for every class?")
    shipped = curves(chosen.network)
    name = estimator(chosen) or next(iter(ESTIMATORS))
    if name not in shipped:
        st.info("No curves are at hand for this network.", icon=":material/info:")
        return
    names = chosen.subject.classes
    retrained = [reference(engine(), chosen.network, Request((label,))) for label in range(len(names))]
    best = [best_alpha(curve, seeds) for curve, seeds in zip(shipped[name], retrained, strict=True)
            if seeds is not None]
    if len(best) != len(names):
        st.info("Retrained networks are not at hand for every class.", icon=":material/info:")
        return
    low, high = int(np.argmin(best)), int(np.argmax(best))
    st.markdown(f"No: nearest to retraining is α = {best[low]:.2g} for {names[low]} and α = {best[high]:.2g} for "
                f"{names[high]}, a factor of {best[high] / best[low]:.1f}." if best[low] < best[high] else
                f"Here it is: α = {best[low]:.2g} is nearest to retraining for all.")
    st.caption("How to read this: one panel a forgotten class; dashed ✖ is the accuracy on what is to be forgotten, "
               "solid ● on the rest. A good α has the first low and the second high; the upright line is the α nearest "
               f"to retraining. {name}, λ = 1, precomputed.")
    at = [float(ALPHAS.index(alpha)) for alpha in best]
    st.plotly_chart(figures.small_multiples(names, Scale("α", ALPHAS), shipped[name], at, chosen.forget.classes, ink),
                    key="classes", config=NO_BAR,
                    alt=f"Accuracy along α by class; the nearest α goes from {best[low]:.2g} to {best[high]:.2g}")
