"""Can a threshold tell? The strongest one on an outcome's answers, beside the original's and retrained networks'."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np
import streamlit as st

from ui.server.runtime import engine
from ui.theme import NO_BAR
from ui.waiting import ready
from unlearn_core.audit.evidence import ORIGINAL
from unlearn_core.audit.membership import statistics
from unlearn_core.audit.report import DISTINCT, TITLES, AttackName
from unlearn_core.audit.roc import bootstrap, null_band, roc
from unlearn_core.audit.unseen import compared
from unlearn_core.figures.privacy import Curve, roc_curves
from unlearn_core.serving.judgement import submit_outputs
from unlearn_core.serving.scenes import Scene, Settled
from unlearn_core.serving.yardstick import Yardstick, yardstick


def attacked(scene: Scene, settled: Settled, ink: str) -> None:
    """How well a threshold on the answers tells training images of the forget set from unseen ones.

    To be shown once the verdict is there: it rests on the same answers of the same networks.
    """
    logits = ready(submit_outputs(engine(), scene, settled), 2.5, "Evaluating on all images", slot="outputs")
    if logits is None:
        return
    key = ("attacked", settled.choice)
    found = cast(Attack | None, engine().pool.known(key))
    if found is None:
        beside = yardstick(engine(), settled.choice.network, scene.request)
        found = engine().pool.keep(key, _attack(logits, beside))
    st.markdown("#### Can a threshold tell what it was trained on?")
    st.caption(f"How to read this: the strongest threshold here, on {found.title}, with {found.seen:,} training "
               f"images to be forgotten and {found.unseen:,} like them that were never seen. The higher the line at "
               "the left, the more training images are found with few false alarms. Orange, this network with its 95 % "
               "band; dashed grey, the original; hatched, retrained networks; dotted, guessing.")
    st.plotly_chart(roc_curves(found.curve, ink), key="roc", config=NO_BAR,
                    alt=f"ROC of {found.title}: area {found.auc:.2f}, {found.original:.2f} for the original")


@dataclass(frozen=True, eq=False)
class Attack:
    """The strongest threshold on one network's answers.

    Attributes:
        title: of the statistic.
        curve: its ROC beside the other networks'.
        auc: area under it.
        original: area under the original's.
        seen: number of training images.
        unseen: number of others.
    """

    title: str
    curve: Curve
    auc: float
    original: float
    seen: int
    unseen: int


def _attack(logits: np.ndarray, beside: Yardstick) -> Attack:
    rows = beside.member & beside.forgotten | compared(beside.labels, beside.member, beside.forgotten)
    seen = beside.member[rows]

    def groups(answers: np.ndarray) -> dict[AttackName, tuple[np.ndarray, np.ndarray]]:
        read = statistics(answers[rows], beside.labels[rows])
        return {name: (read[name][seen], read[name][~seen]) for name in DISTINCT if name in read}

    after, before = groups(logits), groups(beside.models[ORIGINAL].logits)
    best = max(after, key=lambda name: roc(*after[name]).auc)
    seeds = [groups(seed.logits)[best] for seed in beside.retrained]
    curve, first = roc(*after[best]), roc(*before[best])
    around = bootstrap(*after[best], np.random.default_rng(0))
    band = null_band([inside for inside, _ in seeds], [outside for _, outside in seeds]).envelope if seeds else None
    return Attack(TITLES[best], Curve(around.grid, curve.at(around.grid), around.band, first.at(around.grid), band),
                  curve.auc, first.auc, int(seen.sum()), int((~seen).sum()))
