"""The gauges of an outcome whose evaluation takes long, from the images seen so far: wide at first, then narrower."""

from __future__ import annotations

import streamlit as st

from ui.server.runtime import engine
from unlearn_core.audit.gauges import KINDS
from unlearn_core.figures.style import UNLEARNED
from unlearn_core.serving.choice import Choice


def first_look(chosen: Choice) -> None:
    """A line for each gauge with its 95 % interval, as soon as there is one; nothing where all comes in one go."""
    found = engine().glimpse(chosen)
    if found is None:
        return
    lines = []
    for name, kind in KINDS.items():
        reading, (low, high) = found[name], (100 * bound for bound in found[name].interval)
        lines.append(
            f'<span>{kind.title}</span><div class="track"><div class="interval" style="left:{low:.1f}%;'
            f'width:{high - low:.1f}%"></div><div class="value" style="left:{100 * reading.value:.1f}%"></div></div>'
            f"<span>{reading.value:.0%}, between {low:.0f} and {high:.0f} % ({reading.images:,} images so far)</span>")
    st.html(f'<div class="first-look" style="--outcome:{UNLEARNED}">{"".join(lines)}</div>')
    st.caption("How to read this: a first look while more images are evaluated. The line is the share so far; the true "
               "one most likely lies within the bar (95 % interval), which narrows.")
