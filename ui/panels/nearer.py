"""Nearer to retraining, or to the original? A needle for all images, and the images that are answered otherwise."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import streamlit as st

from ui import pictures
from ui.panels.attacks import own_class
from ui.theme import NO_BAR
from unlearn_core.audit.beside import KLOM, NEARER, self_test
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
    needle, known = report.told.relative, {check.title: f" {self_test(check)}" for check in beside if check.judged}
    st.markdown(needle.sentence)
    st.caption("How to read this: two retrained networks differ as well, so a fair question is which side the outputs "
               "are nearer to. 0 is the original, ½ as far from both; ticks are retrained networks, each among the "
               "others; in the shade they are the nearer side. On whole classes networks that only hide what they know "
               "come to this side too; of persons and few images not all retrained networks do." + known.get(NEARER, "")
               + " Measured for every method: docs/relative.md.")
    row = Strip(needle.needle, 0.0, needle.null, (0.5, 1.0), (0.0, 1.0))
    st.plotly_chart(strips({"From the original (0) towards retraining": row}, ink), key="nearer", config=NO_BAR,
                    alt=needle.sentence)
    st.markdown("**Which images are answered most unlike a retrained network?**")
    if (apart := report.told.klom) is None or (mine := drawn.told.klom) is None:
        st.info("Two of the retrained networks answer alike, so how much such networks differ is not known.",
                icon=":material/info:")
        return
    st.markdown(apart.sentence)
    st.caption("How to read this: the divergence (KLoM) between how sure this network and retrained ones are of the "
               f"{own_class(scene.request)}, in nats, the largest first, with its 95 % interval; ↑ surer "
               f"than they are, ↓ less sure. Largest of the {(count := len(mine.value))} "
               f"picture{'s' * (count > 1)} at hand; more than 100 is shown as 100. The paper compares a hundred "
               "networks of each kind; from the few here margins are taken as normal, of one spread for both kinds."
               + known.get(KLOM, ""))
    shown = scene.seen.evaluation
    numbers = shown.pictures[shown.member & scene.seen.forgotten]
    pictures.wall(own, {int(numbers[i]): f"{'↑' if mine.shift[i] > 0 else '↓'} {mine.value[i]:.0f} "
                                         f"({mine.low[i]:.0f} to {mine.high[i]:.0f})"
                        for i in np.argsort(-mine.value, kind="stable")[:MOST]}, 88)
