"""One knob alone: the gauges along it, at one seed or more."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from ui.panels.surfaces import TITLES, filling, in_words, moving, scale, shown_values
from ui.server.runtime import engine
from ui.theme import NO_BAR
from unlearn_core.figures import landscape as figures
from unlearn_core.methods import METHODS
from unlearn_core.serving.choice import SEEDS, Choice
from unlearn_core.serving.landscape import (
    Plane,
    numeric,
    original,
    place,
    plane,
    reference,
    surface,
)

MORE_SEEDS = 2


def one_knob(chosen: Choice, x: str, ink: str) -> None:
    """The panel of one knob by name, run again and again while its lines fill; more seeds if they are asked for."""
    seeded = METHODS[chosen.method].seeded
    lines = {f"seed {chosen.seed}" if seeded else "now": plane(chosen, x)}
    if seeded and st.toggle(f"{MORE_SEEDS} more seeds along the first knob", key="more seeds",
                            help="How much of what you see is chance? Each takes as long as the first."):
        for seed in range(1, MORE_SEEDS + 1):
            other = (chosen.seed + seed) % SEEDS.stop
            lines[f"seed {other}"] = plane(replace(chosen, seed=other), x)
    pace = moving(*lines.values())
    st.fragment(_drawn, run_every=pace)(chosen, lines, x, ink, pace is not None)


def _drawn(chosen: Choice, lines: dict[str, Plane], x: str, ink: str, live: bool) -> None:
    """The gauges along one knob, everything else as it is now."""
    if live and moving(*lines.values()) is None:
        st.rerun()
    retrained = reference(engine(), chosen.network, chosen.forget)
    rest = {name: value for name, value in chosen.settings if name in numeric(chosen.method) and name != x}
    label = numeric(chosen.method)[x].label
    st.markdown(f"#### Along {label} alone" + (f", at {in_words(chosen, rest)}" if rest else ""))
    st.caption("How to read this: the line is the unlearned model, the band the range of the retrained networks, "
               "dotted grey the original, the upright dashes where you are now. Other lines are other seeds.")
    found = {name: surface(engine(), one) for name, one in lines.items()}
    for name, one in found.items():
        filling(one, f"line, {name}")
    values = {name: shown_values(one, name)[:, 0] for name, one in found.items()}
    first = next(iter(lines.values()))
    at = place(first.xs, numeric(chosen.method)[x], float(dict(chosen.settings)[x]))
    before = list(original(engine(), chosen.network, chosen.forget))
    st.plotly_chart(figures.curves(scale(chosen, x, first.xs), values, TITLES, retrained, before, at, ink),
                    key="curves", config=NO_BAR, alt=f"Gauges along {label}")
