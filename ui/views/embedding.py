"""The map of the feature space: linked panels on canvases, with a lasso and the way from before to after."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from ui.opening import drawn, opening
from unlearn_core.figures import style
from unlearn_core.picture.images import address
from unlearn_core.picture.scripts import script, styles
from unlearn_core.serving.embedding import Embedding, Group
from unlearn_core.subjects.subject import Subject

_mount = st.components.v2.component(
    "lacuna_embedding",
    html='<div class="lacuna-live"></div>',
    css=styles("card.css", "live.css", "embedding.css"),
    js=script("embedding/main.js"),
)


def embedding_view(subject: Subject, shown: Embedding, group: Group, references: int, selected: Sequence[int]) -> None:
    """Show an embedding; the component's state is in `st.session_state["embedding"]`.

    Its state ``selected`` holds the rows that were lassoed last, in any panel: ``{"rows": [...]}``.

    Args:
        subject: whose images they are.
        shown: must be in the engine's pool, from which the browser fetches it.
        group: who is drawn in full.
        references: how many retrained networks the mean probabilities are taken over.
        selected: rows that are selected when the component is made.
    """
    _mount(
        key="embedding",
        data={
            "ask": opening(),
            "url": f"lacuna/embedding/{shown.choice}/{shown.layer}/{shown.kind}",
            "image": address(subject),
            "group": group,
            "references": references,
            "selected": list(selected),
            "palette": {"original": style.ORIGINAL, "retrained": style.RETRAINED, "unlearned": style.UNLEARNED,
                        "classes": style.colours(len(subject.classes))},
        },
        on_selected_change=lambda: None,
        on_drawn_change=drawn,
    )
