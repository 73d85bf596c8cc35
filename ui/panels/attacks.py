"""What attackers find in an outcome: all statistics, computed once for everybody."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np
import pandas as pd
import streamlit as st

from ui.server.runtime import engine
from ui.tables import data_table
from ui.waiting import ready
from unlearn_core.assets import AssetError
from unlearn_core.audit.evidence import ORIGINAL
from unlearn_core.audit.lira import Shadows
from unlearn_core.audit.report import TITLES, Report, ShadowAttack, report, standing
from unlearn_core.audit.risk import RetainedRisk, retained_risk
from unlearn_core.audit.roc import said
from unlearn_core.methods import method
from unlearn_core.methods.base import NotApplicable
from unlearn_core.nets.request import POISONED, Request
from unlearn_core.serving import shadows
from unlearn_core.serving.choice import Choice
from unlearn_core.serving.scenes import Scene, Seen, Settled
from unlearn_core.serving.yardstick import yardstick
from unlearn_core.subjects.subject import subject


@dataclass(frozen=True, eq=False)
class Judged:
    """Everything the page says in numbers.

    Attributes:
        all: the attacks on all audited images of the class.
        drawn: the same on those of the evaluation set, which are drawn one by one and which shadow models know.
        risk: of the retained images; None without shadow models.
    """

    all: Report
    drawn: Report
    risk: RetainedRisk | None


def judge(wanted: Choice, scene: Scene, settled: Settled, logits: np.ndarray, forgetful: Shadows | None) -> Judged:
    """What was found, computed once for all sessions; `logits` are the outcome's on all audited images."""
    key = ("privacy", wanted, forgetful is not None)
    known = engine().pool.known(key)
    if known is None:
        plain, beside = subject(wanted.network).shadows(), yardstick(engine(), wanted.network, scene.request)
        models: dict[ShadowAttack, Shadows | None] = {"lira": plain, "u_lira": forgetful}
        seeds = np.stack([seed.logits for seed in beside.retrained]) if beside.retrained else None

        def read(n: int) -> Report:
            return report(logits[:n], beside.models[ORIGINAL].logits[:n], None if seeds is None else seeds[:, :n],
                          beside.labels[:n], beside.member[:n], beside.forgotten[:n],
                          {name: each for name, each in models.items() if each is not None})

        first = len(settled.logits)
        risk = None
        if plain is not None:
            n = plain.margins.shape[1]  # shadow models know the evaluation set alone
            seeds_of_these = None if scene.retrained_logits is None else scene.retrained_logits[:, :n]
            risk = retained_risk(settled.logits[:n], beside.models[ORIGINAL].logits[:n], seeds_of_these,
                                 beside.labels[:n], beside.member[:n], beside.forgotten[:n], plain)
        known = engine().pool.keep(key, Judged(read(len(logits)), read(first), risk))
    return cast(Judged, known)


def forgetful_shadows(wanted: Choice, scene: Scene, settled: Settled) -> Shadows | None:
    """The shadow models after they forgot as well, if that was asked for; else the offer, or how far they are."""
    if subject(wanted.network).shadows() is None:
        return None
    known = engine().pool.known(shadows.submit_key(wanted))
    if known is not None:
        return cast(Shadows, known)

    def stop() -> None:
        st.session_state.pop("u_lira", None)

    if st.session_state.get("u_lira") == wanted.key:
        try:
            return ready(shadows.submit(engine(), scene, wanted), 0.4, "Letting the shadow models forget", stop)
        except NotApplicable as reason:
            st.info(f"U-LiRA cannot judge {method(wanted.method).title}, which would have to run on the shadow models "
                    f"too. {reason}", icon=":material/block:")
        except (AssetError, ValueError, RuntimeError) as problem:
            st.error(str(problem), icon=":material/error:")
        stop()
        return None
    minutes = shadows.expected_seconds(settled.cost.seconds, method(wanted.method)) / 60
    with st.container(horizontal=True, vertical_alignment="center"):
        if st.button("Let the shadow models forget too", icon=":material/group_remove:"):
            st.session_state["u_lira"] = wanted.key
            st.rerun()
        st.caption("LiRA compares with shadow models, which *learned* half of the images. U-LiRA lets "
                   f"{shadows.NETWORKS} of them forget as this one did, each from its own half, and compares with "
                   "those. Takes "
                   f"about {f'{minutes:.0f} minutes' if minutes >= 1.5 else 'a minute'} and can be cancelled.")
    return None


def attacks_table(found: Report) -> None:
    """All statistics in numbers."""
    st.markdown("#### All statistics")
    st.caption("How to read this: AUC is how often a training image looks more like a member than an unseen one; 0.5 "
               "is guessing. Intervals are over images, the retrained range over networks, by which the last columns "
               "judge: within it, just outside as one more retrained network might be, or above or below it. Loss, "
               "confidence and logit margin order the images alike, so they share one ROC and one row (where a "
               "confidence is too small to be told from 0, the margin is the one that still sees).")
    data_table(_rows(found), hide_index=True, column_config={
        "AUC unlearned": st.column_config.NumberColumn(format="%.3f"),
        "AUC original": st.column_config.NumberColumn(format="%.3f")})


def _rows(found: Report) -> pd.DataFrame:
    """One row per statistic that orders the images in its own way."""
    rows = []
    for name in found.distinct:
        attack = found.attacks[name]
        row: dict[str, object] = {"statistic": "margin, loss, confidence" if name == "margin" else TITLES[name]}
        for model, curve, around in (("unlearned", attack.unlearned, attack.interval),
                                     ("original", attack.original, attack.original_interval)):
            row |= {f"AUC {model}": curve.auc, f"95 % {model}": said(around.auc)}
        if attack.null is not None and attack.placement is not None and attack.original_placement is not None:
            row |= {"retrained": f"{attack.null.auc.min():.2f} to {attack.null.auc.max():.2f}",
                    "unlearned lies": standing(attack.placement),
                    "original lies": standing(attack.original_placement)}
        rows.append(row)
    return pd.DataFrame(rows)


def like(chosen: Choice, seen: Seen) -> str:
    """The images that what is to be forgotten is compared with, see `audit.unseen`; within a sentence."""
    if not (seen.forgotten & ~seen.evaluation.member).any():
        return "images of the same classes"
    return "images with the mark" if chosen.forget.kind == POISONED else f"images of {chosen.words}"


def own_class(request: Request) -> str:
    """What an image's label is to whoever asks: of a poison it is not the truth."""
    return "class it was trained as" if request.kind == POISONED else "true class"


def boxes(found: Report, chosen: Choice, seen: Seen) -> None:
    """What this shows, and what it does not prove."""
    left, right = st.columns(2)
    with left.container(border=True):
        st.markdown("**What this shows**")
        st.markdown(
            "- whether one threshold on the outputs separates the training images to be forgotten from unseen ones, "
            "and whether it does so better than on networks that never saw either\n"
            "- whether the outputs could be a retrained network's; retrained networks themselves are the yardstick\n"
            f"- the gauge of the page See, the SSD paper's entropy attack, calls "
            f"{found.called_member['corrected']:.0%} of the forget set members" + (
                "." if not (seen.forgotten & ~seen.evaluation.member).any() else
                f"; in the form of the official code, {found.called_member['official']:.0%}. The official code puts "
                f"unseen {like(chosen, seen)} among its examples of what was never seen, so how unsure the model is of "
                "them moves the attacker's threshold. The corrected form takes these examples from the rest alone."))
    with right.container(border=True):
        st.markdown("**What it does not prove**")
        st.markdown(
            "- that no attacker could tell: LiRA is only as strong as its shadow models, a hundred and more would see "
            "more, and none of these attackers looks at the weights or asks about more than one image at a time\n"
            "- that nothing is left inside: only outputs are read, and hiding an output leaves all else in place\n"
            f"- much about small differences: retrained networks at hand are {found.seeds or 'none'}\n"
            "- that nobody pays: the risk of retained images is judged on at most 100 of each class")
