"""Can an outcome be told from retraining?"""

from __future__ import annotations

import math

import streamlit as st

from ui.theme import NO_BAR
from unlearn_core.audit.report import Report
from unlearn_core.figures.privacy import Strip, strips


def retraining(report: Report, ink: str) -> None:
    """Can it be told from retraining?"""
    st.markdown("#### Can it be told from retraining?")
    if (told := report.told) is None:
        st.info("For this choice no retrained networks are at hand, so this cannot be said. What is "
                "shown above does not need them.", icon=":material/info:")
        return
    st.caption("How to read this: ticks are retrained networks, each judged against the others, the shade is where "
               "one more would lie 99 % of the time. An orange dot on the ticks could be a retrained network's. The "
               "ticks of the lower line are the noise ceiling: not even retraining scores higher.")
    rows = {
        title: Strip(mine.value, original.value, mine.null, mine.expected, ends)
        for title, mine, original, ends in (
            ("Distance of outputs", told.distance.placement, told.original_distance.placement, (0.0, math.sqrt(2))),
            ("Worst-case privacy score", told.score.placement, told.original_score.placement, (0.0, 1.0)))}
    st.plotly_chart(strips(rows, ink), key="strips", config=NO_BAR,
                    alt="; ".join(f"{title}: unlearned {s.value:.2f}, original {s.original:.2f}, retrained "
                                  f"{s.null.min():.2f} to {s.null.max():.2f}" for title, s in rows.items()))
    st.markdown(f"- {told.distance.verdict}\n- {told.score.verdict}")
