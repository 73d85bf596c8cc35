"""Whom forgetting made easier to find: the risk of images that were kept."""

from __future__ import annotations

import numpy as np
import streamlit as st

from ui import pictures
from ui.theme import NO_BAR
from unlearn_core.audit.risk import RetainedRisk
from unlearn_core.figures.privacy import risks
from unlearn_core.subjects.subject import subject

MOST_RISEN = 12


def bystanders(risk: RetainedRisk | None, network: str, ink: str) -> None:
    """What forgetting some did to the risk of the rest."""
    st.markdown("#### Did forgetting these make others easier to find?")
    if risk is None:
        st.info("This takes shadow models, and none of this network are at hand.",
                icon=":material/info:")
        return
    st.markdown(risk.finding)
    left, right = st.columns([0.6, 0.4])
    own = subject(network)
    labels = own.evaluation.labels
    marked = risk.risen if risk.null_risen is not None else np.zeros(len(risk.rise), bool)
    with left:
        st.plotly_chart(risks(risk.before, risk.after, marked, [own.classes[labels[n]] for n in risk.number], ink),
                        key="risks", config=NO_BAR,
                        alt=f"LiRA's log-likelihood ratio of {len(risk.before)} retained training images before and "
                            f"after forgetting; {int(marked.sum())} rose by more than retrained networks vary")
    with right:
        st.caption("How to read this: a dot is a training image that was to be kept; further up, LiRA is surer that "
                   "the unlearned model saw it; above the dashed line, surer than of the original. Filled: above "
                   "what the original and 95 % of retrained networks would show for this very image; some are by "
                   "chance, so the sentence above counts the same in each retrained network.")
        most = np.argsort(-risk.rise)[:MOST_RISEN]
        st.markdown("**Whose risk rose most**")
        numbers = own.evaluation.pictures[risk.number]
        pictures.wall(own, {int(numbers[i]): f"{risk.before[i]:z.1f} → {risk.after[i]:z.1f}" for i in most}, 72)
