"""Two knobs at once: every gauge as a heatmap, what is as good as retraining, and the settings that have a name."""

from __future__ import annotations

from functools import partial

import numpy as np
import streamlit as st

from ui.opening import first_chart
from ui.panels.surfaces import PACE, TITLES, filling, in_words, moving, open_in_playground, scale, shown_values
from ui.server.runtime import engine
from ui.state import State
from ui.waiting import held, hold
from unlearn_core.assets import AssetError
from unlearn_core.figures import landscape as figures
from unlearn_core.figures.landscape import Mark
from unlearn_core.figures.style import UNLEARNED
from unlearn_core.methods import METHODS
from unlearn_core.methods.base import Value
from unlearn_core.serving.choice import Choice
from unlearn_core.serving.landscape import (
    Plane,
    adaptive_alpha,
    as_retrained,
    gap,
    image_counts,
    numeric,
    place,
    plane,
    reference,
    surface,
)
from unlearn_core.serving.pool import Lane
from unlearn_core.subjects import openings

GAP = "Gap to retraining, points"


def marks(chosen: Choice, shown: Plane, alpha: float | None) -> list[Mark]:
    """The settings that mean something, on the plane."""
    found = METHODS[chosen.method]
    knobs = numeric(chosen.method)

    def mark(title: str, settings: dict[str, Value], symbol: str, color: str = "") -> Mark:
        at = [place(values, knobs[name], float(settings[name])) if name in settings else float("nan")
              for name, values in ((shown.x, shown.xs), (shown.y, shown.ys))]
        return Mark(title, at[0], at[1], symbol, color)

    opens = openings.start(chosen.network, chosen.forget, chosen.method)
    made = [mark("general default", found.settings(), "diamond", "#56B4E9")]
    if any(opens[name] != found.settings()[name] for name in (shown.x, shown.y) if name in opens):
        made.append(mark("as it opens", opens, "diamond-open", "#009E73"))
    if "official" in found.presets and {shown.x, shown.y} & set(found.presets["official"].settings):
        made.append(mark("official code", found.presets["official"].settings, "square", "#E69F00"))
    if alpha is not None:
        made.append(mark("ASSD's rule for α", {"alpha": alpha}, "line", "#CC79A7"))
    return [*made, mark("now", dict(chosen.settings), "circle-open", UNLEARNED)]


def adaptive(chosen: Choice) -> float | None:
    """The alpha of ASSD's rule; None while it is being computed, NaN if it cannot be."""
    key, ticket = ("rule", chosen.scene), held("rule")
    if ticket is None or ticket.key != key:
        ticket = engine().pool.submit(key, partial(adaptive_alpha, engine(), chosen), Lane.LONG)
        hold("rule", ticket)
    if not ticket.wait(0):
        return None
    try:
        return float(ticket.result())
    except (AssetError, ValueError, RuntimeError):
        return float("nan")  # the page says why: nothing else works then either


def finding(chosen: Choice, shown: Plane, values: np.ndarray,
            retrained: np.ndarray | None) -> tuple[str, np.ndarray | None]:
    """One sentence on the plane so far, and which cells are as good as retrained."""
    known = ~np.isnan(values[..., 0])
    if not known.any():
        return "The first points are being evaluated.", None
    if retrained is None:
        return "There is no retrained network to measure the distance to, so no setting is called nearest.", None
    if known.sum() < known.size / 2:
        return f"{known.sum()} of {known.size} settings are evaluated; a finding follows when half of them are.", None
    good = as_retrained(values, retrained, image_counts(engine(), chosen.network, chosen.forget))
    gaps = gap(values, retrained)
    best = np.unravel_index(np.nanargmin(gaps), gaps.shape)
    at = in_words(chosen, {shown.x: shown.xs[best[0]], shown.y: shown.ys[best[1]]})
    count = f"{good.sum()} of {known.sum()} settings meet" if good.any() else f"None of {known.sum()} settings meets"
    return (f"{count} the retrained networks in all three gauges; nearest to them in accuracy is {at}, "
            f"{gaps[best]:.1f} points away."), good


def two_knobs(visitor: State, chosen: Choice, x: str, y: str, ink: str) -> None:
    """The panel of two knobs by name, run again and again while its plane fills."""
    shown = plane(chosen, x, y)
    rule = chosen.method == "ssd" and "alpha" in (x, y)  # ASSD's rule is one for SSD's alpha
    pace = moving(shown) or (PACE if rule and adaptive(chosen) is None else None)
    st.fragment(_drawn, run_every=pace)(visitor, chosen, shown, rule, ink, pace is not None)


def _drawn(visitor: State, chosen: Choice, shown: Plane, rule: bool, ink: str, live: bool) -> None:
    """Heatmaps of all gauges and of the gap to retraining; `rule` shows ASSD's alpha, `live` that something is due."""
    found, alpha = surface(engine(), shown), adaptive(chosen) if rule else None
    if live and not found.missing() and not (rule and alpha is None):
        st.rerun()  # once, so that the page comes to rest
    retrained = reference(engine(), chosen.network, chosen.forget)
    values = shown_values(found, "plane")
    sentence, good = finding(chosen, shown, values, retrained)
    st.markdown(f"#### {sentence}")
    images = len(engine().seen(chosen.network, chosen.forget).evaluation.labels)
    share = "share, or the smaller the gap to retrained networks (|forget gap| + |retain gap| to their mean). " \
        "Outlined: the 95 % interval of every gauge meets their band. " if retrained is not None else "share. "
    st.caption(
        f"How to read this: a cell is one setting, run and measured on {images:,} fixed images; the brighter, the "
        f"larger the {share}Click a cell to open it on See. "
        f"{'Precomputed' if found.shipped else 'Computed on this machine'}, seed {chosen.seed}.")
    filling(found, "plane")
    panels = {title: values[..., n] for n, title in enumerate(TITLES)}
    if retrained is not None:
        panels[GAP] = gap(values, retrained)
    figure = figures.heatmaps(panels, scale(chosen, shown.x, shown.xs), scale(chosen, shown.y, shown.ys),
                              np.zeros(shown.shape, bool) if good is None else good, marks(chosen, shown, alpha), ink)
    picked = first_chart(figure, "landscape", (90, 107, 84, 58), on_select="rerun", selection_mode="points",
                         alt=f"Gauges over two knobs. {sentence}")
    if points := picked["selection"]["points"]:
        i, j = (round(points[0][axis]) for axis in ("x", "y"))
        open_in_playground(visitor, chosen, {shown.x: shown.xs[i], shown.y: shown.ys[j]})
    if retrained is not None and not np.isnan(panels[GAP]).all():
        i, j = np.unravel_index(np.nanargmin(panels[GAP]), panels[GAP].shape)
        if st.button("Open the nearest on See", icon=":material/play_circle:"):
            open_in_playground(visitor, chosen, {shown.x: shown.xs[i], shown.y: shown.ys[j]})
