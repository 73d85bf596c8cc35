"""Nearer to retraining, or to the original? A needle for all images, and the images that are answered otherwise."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import streamlit as st

from ui import pictures
from ui.panels.attacks import own_class
from ui.theme import NO_BAR
from unlearn_core.audit.beside import KLOM, NEARER, tried
from unlearn_core.audit.distinguish import further
from unlearn_core.audit.evidence import Check
from unlearn_core.audit.report import Report
from unlearn_core.figures.privacy import Strip, strips
from unlearn_core.serving.scenes import Scene
from unlearn_core.subjects.subject import Subject

MOST = 12


def nearer(report: Report, drawn: Report, own: Subject, scene: Scene, beside: Sequence[Check], ink: str) -> None:
    """The question of the relative three-sample audit, and KLoM by image.

    Args:
        report: on all audited images.
        drawn: on those of the evaluation set, which have pictures.
        own: the network and its images.
        scene: of the request.
        beside: both questions, asked of networks of known truth; none before the audit is there.
        ink: colour of text.
    """
    st.markdown("#### Nearer to retraining, or to the original?")
    if report.told is None or drawn.told is None:
        st.info("This takes at least three retrained networks, and for this choice they are not at hand.",
                icon=":material/info:")
        return
    needle, apart = report.told.relative, report.told.klom
    known = {check.title: f" {tried(check)}" for check in beside if check.judged}
    st.markdown(needle.sentence)
    st.caption("How to read this: two retrained networks differ as well, so a fair question is which side the outputs "
               "are nearer to. 0 is the original, ½ as far from both; ticks are retrained networks, each among the "
               "others. It is the weaker question: networks that only hide what they know pass it too."
               + known.get(NEARER, ""))
    row = Strip(needle.needle, 0.0, needle.null, further(needle.null, of_pairs=True), (0.0, 1.0))
    st.plotly_chart(strips({"From the original (0) towards retraining": row}, ink), key="nearer", config=NO_BAR,
                    alt=needle.sentence)
    st.markdown("**Which images are answered most unlike a retrained network?**")
    st.markdown(apart.sentence)
    st.caption("How to read this: the divergence (KLoM) between how sure this network and retrained ones are of the "
               f"{own_class(scene.request)}, in nats, the largest first, with its 95 % interval; ↑ surer "
               f"than they are, ↓ less sure. Largest of the {(count := len(drawn.told.klom.value))} "
               f"picture{'s' * (count > 1)} at hand; more than 100 is shown as 100."
               + known.get(KLOM, ""))
    mine, shown = drawn.told.klom, scene.seen.evaluation
    numbers = shown.pictures[shown.member & scene.seen.forgotten]
    pictures.wall(own, {int(numbers[i]): f"{'↑' if mine.shift[i] > 0 else '↓'} {mine.value[i]:.0f} "
                                         f"({mine.low[i]:.0f} to {mine.high[i]:.0f})"
                        for i in np.argsort(-mine.value, kind="stable")[:MOST]}, 88)
