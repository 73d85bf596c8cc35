"""The map of the feature space: its marks, what is selected, how it was made and how far to believe it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
import pandas as pd
import streamlit as st
from scipy.special import stdtrit
from streamlit.delta_generator import DeltaGenerator

from ui import pictures
from ui.asking import forget_these
from ui.opening import opening
from ui.server.runtime import engine
from ui.state import State, view, write_address
from ui.theme import NO_BAR
from ui.views.embedding import embedding_view
from ui.waiting import ready
from unlearn_core.figures.embedding import embedding
from unlearn_core.maps.projection import NEIGHBOURS
from unlearn_core.serving.embedding import GROUPS, Embedding, Group, Panel, refit
from unlearn_core.serving.scenes import Scene, Settled
from unlearn_core.subjects.subject import Subject, subject

ROLES = {"original": "Original", "retrained": "Retrained", "unlearned": "Unlearned"}
FEWEST = 5
"""Images below which a mean has no interval: of one there is no spread to see."""
WALL = 24  # images shown at most
HANDLING = "; drag around marks to select them, click one to open it"


def chosen_group(visitor: State, shown: Embedding) -> Group:
    """The select box of the named groups, each with its size."""
    sizes = {name: int(shown.group(name).sum()) for name in GROUPS}
    return cast(Group, view(visitor, "filter", list(GROUPS), "Show",
                            format_func=lambda name: f"{GROUPS[name][0]} ({sizes[name]:,})"))


def placement(shown: Embedding, network: str) -> str:
    """How the points came to lie where they do, in one paragraph."""
    layer = subject(network).layers[shown.layer].split(",")[0].lower()
    if shown.kind == "joint":
        said = (f"One UMAP, seed 0, fitted just now to the features of all {len(shown.panels)} networks together, "
                "without labels, and turned to resemble the map before.")
    elif shown.kind == "pca":
        said = (f"The plane of the original's two principal components at {layer}, which holds "
                f"{shown.plane:.0%} of its variance; every image is projected onto it, nothing is fitted to the other "
                "networks." + (f" {shown.beyond:,} marks lie beyond the map and are drawn at its edge."
                               if shown.beyond else ""))
    else:
        said = (f"A seeded UMAP of the original's features at {layer}, fitted beforehand and without labels. Images "
                f"are not fitted again but placed among their {NEIGHBOURS} nearest features of the original, so what "
                "is unlike anything the original knew lands between them.")
    for role, explained in shown.aligned.items():
        said += (f" The {role} network learnt a basis of its own: its features were first shifted, rotated and scaled "
                 f"onto the original's (orthogonal Procrustes, fitted on the retained images), which explains "
                 f"{explained:.0%} of their variance; {1 - explained:.0%} stay unexplained.")
    return said


def trust(shown: Embedding) -> str:
    """How far to believe the map, in one sentence."""
    means = {panel.role: float(panel.trust[shown.forgotten].mean()) for panel in shown.panels}
    worst = min(means, key=lambda role: means[role])
    said = "; ".join(f"{ROLES[role].lower()} {value:.3f}" for role, value in means.items())
    words = ("Yes, for who lies next to whom" if means[worst] >= 0.95 else "Mostly" if means[worst] >= 0.85 else
             f"Not for single images, least in the {worst} panel")
    return f"{words}: trustworthiness of the forget set's neighbourhoods on this map, of at most 1: {said}."


def numbers(shown: Embedding) -> pd.DataFrame:
    """Per network: neighbours in its feature space, and how far the map can be trusted."""
    asked = shown.forgotten

    def said(panel: Panel, name: str, images: np.ndarray) -> str:
        if (panel.role, name) == ("original", "new"):
            return "–"
        values = [getattr(seed, name)[images] for seed in shown.surroundings[panel.role]]
        means = [float(value.mean()) for value in values]
        if panel.role == "retrained":
            return f"{min(means):.1%} to {max(means):.1%} ({len(means)} networks)"
        if (n := len(values[0])) < FEWEST:
            return f"{means[0]:.1%} ({n} image{'s' * (n > 1)})"
        return f"{means[0]:.1%} ± {stdtrit(n - 1, 0.975) * values[0].std(ddof=1) / np.sqrt(n):.1%}"

    return pd.DataFrame({"": [f"{what}, {whose}" for what in ("neighbours of an image's class", "new neighbours")
                              for whose in ("forget set", "retained")]
                             + ["trustworthiness of the map, forget set", "trustworthiness of the map, all"]} | {
        ROLES[panel.role]: [said(panel, name, images) for name in ("alike", "new") for images in (asked, ~asked)]
        + [f"{panel.trust[asked].mean():.3f}", f"{panel.trust.mean():.3f}"] for panel in shown.panels})


def plain_maps(own: Subject, shown: Embedding, group: Group) -> None:
    """The panels as charts."""
    drawn = shown.group(group)
    for column, panel in zip(st.columns(len(shown.panels)), shown.panels, strict=True):
        with column:
            st.markdown(f"**{ROLES[panel.role]}**")
            st.plotly_chart(embedding(panel.xy[drawn].clip(0, 1), panel.predicted[drawn], shown.truth[drawn],
                                      shown.forgotten[drawn], own.classes), key=f"map {panel.role}",
                            config=NO_BAR,
                            alt=f"{ROLES[panel.role]}: map of {int(drawn.sum())} images, "
                                f"{int((panel.predicted == shown.truth)[drawn].sum())} predicted as what they are")


def lassoed(shown: Embedding) -> list[int]:
    """The rows that were selected last; whatever else a browser sends counts as none."""
    sent = (st.session_state.get("embedding") or {}).get("selected")
    rows = sent.get("rows") if isinstance(sent, dict) else None
    return [row for row in rows if isinstance(row, int) and 0 <= row < len(shown.truth)] if isinstance(
        rows, list) else []


def wall(own: Subject, shown: Embedding, rows: Sequence[int], what: str) -> None:
    """Images, evenly taken from the rows, with what they are and what two networks call them."""
    before, after = shown.panels[0].predicted, shown.panels[-1].predicted
    kept = int((after[rows] == shown.truth[rows]).sum())
    st.markdown(f"#### {what}: {len(rows):,} image{'' if len(rows) == 1 else 's'}, the unlearned network gets "
                f"{kept:,} right, the original {int((before[rows] == shown.truth[rows]).sum()):,}")
    picked = [rows[i] for i in np.unique(np.linspace(0, len(rows) - 1, min(WALL, len(rows))).round().astype(int))]
    amount = f"{len(picked)} of {len(rows):,}, evenly taken" if len(picked) < len(rows) else "All of them"
    st.caption(f"How to read this: {amount.lower()}; below each its class, then what the original → the unlearned "
               "network call it.")
    name = own.classes
    pictures.wall(own, {int(shown.pictures[row]): f"{name[shown.truth[row]]}: {name[before[row]]} → {name[after[row]]}"
                        for row in picked}, 92)


def together(placed: Embedding) -> tuple[Embedding, bool]:
    """The jointly fitted map if it was asked for and is there, else the placed one; and whether it is on its way."""
    if st.session_state.get("refit") != (placed.choice, placed.layer, placed.kind):
        return placed, False
    try:
        found = ready(refit(engine(), placed), 0.3, "Fitting one UMAP to all networks",
                      lambda: st.session_state.pop("refit", None), "refit")
    except RuntimeError as problem:
        st.session_state.pop("refit")
        st.error(str(problem), icon=":material/error:")
        return placed, False
    return (placed, True) if found is None else (found, False)


@st.fragment
def maps(visitor: State, shown: Embedding, scene: Scene, settled: Settled, corner: DeltaGenerator) -> None:
    """The panels and what is selected in them; the select box of the groups goes into the corner."""
    own = settled.choice.subject
    with corner:
        group = chosen_group(visitor, shown)
    write_address(settled.choice, visitor)
    st.caption(f"How to read this: a mark is an image; the nearer two marks, the more alike they are to the network. "
               f"Colour is the predicted class, ✖ is to be forgotten{'' if visitor.plain else HANDLING}. "
               f"{GROUPS[group][0]}: {GROUPS[group][1][0].lower()}{GROUPS[group][1][1:]}")
    if visitor.plain:
        plain_maps(own, shown, group)
        rows: list[int] = []
    else:
        rows = lassoed(shown)
        embedding_view(own, shown, group, len(scene.retrained), rows)
        if opening():
            return
    if rows:
        wall(own, shown, rows, "Selected")
        forget_these(visitor, shown.pictures[rows].tolist())
    else:
        named: Group = "forget" if group == "all" else group
        if len(among := np.flatnonzero(shown.group(named)).tolist()):
            wall(own, shown, among, GROUPS[named][0])
