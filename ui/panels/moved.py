"""The images that an outcome moved most, as pictures: of what was to be forgotten, and of the rest."""

from __future__ import annotations

import numpy as np
import streamlit as st

from ui import pictures
from ui.server.runtime import engine
from ui.waiting import folded
from unlearn_core.audit.moved import Moved
from unlearn_core.methods import method
from unlearn_core.serving.moved import submit
from unlearn_core.serving.scenes import Scene, Settled
from unlearn_core.subjects.subject import Subject, subject

MOST = 12


def moved_finding(found: Moved, forgotten: np.ndarray, afresh: bool = False) -> str:
    """How far both kinds of images moved, in a sentence; of a network made `afresh` only their answers tell."""
    if afresh:
        of, rest = (float(np.median(found.answer[rows])) for rows in (forgotten, ~forgotten))
        return ("Made afresh, this network has an embedding of its own, in which every image lies elsewhere, so only "
                f"the answers can be compared. Those on images to be forgotten moved by **{of:.2f}**, those on others "
                f"by **{rest:.2f}** (medians; 0 is the same answer, 1.41 the farthest).")
    if not found.embedding.any():
        return ("No image moved in the embedding: only how it is read has changed." if found.answer.any() else
                "No image moved at all.")
    of, rest = found.embedding[forgotten], found.embedding[~forgotten]
    most = found.most(np.ones(len(forgotten), bool), len(of))
    among = int(forgotten[most].sum())
    apart = f"the usual distance between two images, the {len(rest):,} others by **{np.median(rest):.2f}**"
    if len(of) == 1:
        return (f"In the embedding, the image to be forgotten moved by **{of[0]:.2f}** of {apart} (median). "
                + ("None moved more." if among else f"Of the others, {int((rest > of[0]).sum()):,} moved more."))
    return (f"In the embedding, the {len(of):,} shown images to be forgotten moved by **{np.median(of):.2f}** of "
            f"{apart} (medians). Of the {len(of):,} that moved most, {among:,} {'was' if among == 1 else 'were'} to be "
            "forgotten.")


def moved_most(scene: Scene, settled: Settled) -> None:
    """Which images moved most? Computed when it is opened."""
    box, found = folded("Which images moved most?", ":material/moving:", "moved",
                        "Evaluating again", lambda: submit(engine(), scene, settled))
    if found is None:
        return
    with box:
        own, forgotten = subject(settled.choice.network), scene.seen.forgotten
        afresh = method(settled.choice.method).afresh
        st.markdown(moved_finding(found, forgotten, afresh))
        st.caption("How to read this: under each picture, how far "
                   + ("its answer moved, the Euclidean distance of the probabilities" if afresh else
                      "the image moved in the embedding (the head's input), where 1 is as far as two images usually "
                      "lie apart in the original")
                   + "; then what the original takes it for and what this network does."
                   + ("" if afresh else " Images that moved alike stand by how far their answer moved."))
        for title, rows in (("To be forgotten", forgotten), ("To be kept", ~forgotten)):
            st.markdown(f"**{title}**")
            pictures.wall(own, captions(found, own, scene.seen.evaluation.pictures, rows, afresh), 88)


def captions(found: Moved, own: Subject, numbers: np.ndarray, rows: np.ndarray,
             afresh: bool = False) -> dict[int, str]:
    """What stands under the images that moved most among some, by their numbers."""
    made, far = {}, found.answer if afresh else found.embedding
    for i in found.most(rows, MOST, afresh):
        before, after = own.classes[found.before[i]], own.classes[found.after[i]]
        made[int(numbers[i])] = f"{far[i]:.2f} · " + (
            f"still {before}" if before == after else f"{before} → {after}")
    return made
