"""Could an attacker tell? The playground's outcome under membership attacks, and beside retrained networks."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import streamlit as st

from ui.answers import answer
from ui.runtime import engine
from ui.state import CLASSES, state, tell_notes, write_address
from ui.waiting import give_up
from unlearn_core.audit.membership import STATISTICS, StatisticName
from unlearn_core.audit.report import DISTINCT, TITLES, Attacked, Report, report, standing
from unlearn_core.figures.privacy import Curve, Strip, butterfly, roc_curves, strips
from unlearn_core.figures.style import RETRAINED, RETRAINED_ON_DARK
from unlearn_core.methods import method
from unlearn_core.zoo import TITLES as NETWORKS

DOMAINS: dict[StatisticName, tuple[float, float]] = {
    "margin": (-20, 15), "loss": (-20, 0), "confidence": (0, 1), "entropy": (-math.log(len(CLASSES)), 0),
    "modified_entropy": (-30, 0)}
STEPS = 200  # of the threshold slider


def domain(name: StatisticName, attack: Attacked) -> tuple[float, float]:
    """The statistic's usual axis, or, where values lie beyond it, one that holds them all."""
    values = np.concatenate([attack.members, attack.others])
    low, high = DOMAINS[name]
    if values.min() >= low and values.max() <= high:
        return low, high
    return math.floor(values.min()), math.ceil(values.max())


def aim(found: Report, name: StatisticName) -> None:
    """Put the attacker's statistic, and its threshold where the balanced accuracy is best."""
    low, high = domain(name, found.attacks[name])
    best = found.attacks[name].unlearned.best_threshold  # infinite if it is best to call no image a member
    st.session_state["statistic"] = name
    st.session_state["threshold"] = float(min(max(best, low), high + (high - low) / STEPS))


@st.fragment
def attacker(found: Report, key: str, ink: str) -> None:
    """The attacker's statistic and threshold, and what they lead to."""
    if st.session_state.get("aimed") != key:
        st.session_state["aimed"] = key
        aim(found, st.session_state.get("statistic", "margin"))
    elif "threshold" not in st.session_state or "statistic" not in st.session_state:
        aim(found, "margin")  # Streamlit forgets widgets while another page is shown

    with st.container(horizontal=True, vertical_alignment="bottom"):
        name: StatisticName = st.selectbox(
            "What the attacker looks at", list(TITLES), format_func=lambda n: TITLES[n].capitalize(), key="statistic",
            width=320, on_change=lambda: aim(found, st.session_state["statistic"]))
        st.button("Best guess", icon=":material/target:", on_click=aim, args=(found, name),
                  help="The threshold of this statistic with the best balanced accuracy.")
        st.button("Worst case", icon=":material/crisis_alert:", on_click=aim, args=(found, found.strongest),
                  help=f"The strongest statistic, {TITLES[found.strongest]}, at its best threshold.")
    attack = found.attacks[name]
    low, high = domain(name, attack)
    step = (high - low) / STEPS
    threshold = st.slider("Threshold: at least this is called a member", float(low), float(high + step), step=step,
                          key="threshold", format="%.3f")
    calls, best = attack.at(threshold), attack.unlearned.balanced_accuracy
    words = (f"Of {len(attack.others)} never-seen images {calls.fpr:.1%} are wrongly called members (FPR); of "
             f"{len(attack.members)} training images {calls.fnr:.1%} are missed (FNR). Balanced accuracy "
             f"**{calls.balanced_accuracy:.1%}**, where a coin has 50 %; this statistic's best is {best:.1%}")
    if attack.null is not None:
        words += (f", on retrained networks, which never saw either group, {attack.null.balanced_accuracy.min():.1%} "
                  f"to {attack.null.balanced_accuracy.max():.1%}")
    st.markdown(words + ".")
    st.caption(f"How to read this: a dot is an image; upwards is the {STATISTICS[name]}. Filled dots are called "
               "members. If both wings look alike, this attacker learns nothing. The best threshold is chosen on these "
               "very images, so even a blind attacker scores a little above 50 %.")
    st.plotly_chart(butterfly(attack.members, attack.others, threshold, (low, high), TITLES[name], ink),
                    key="butterfly", config={"displayModeBar": False},
                    alt=f"{TITLES[name].capitalize()} of training images and never-seen images; balanced accuracy "
                        f"{calls.balanced_accuracy:.1%} at {threshold:.4g}")

    left, right = st.columns([0.6, 0.4])
    curve = Curve(attack.interval.grid, attack.unlearned.at(attack.interval.grid), attack.interval.band,
                  attack.original.at(attack.interval.grid), attack.null.envelope if attack.null is not None else None)
    with left:
        st.markdown(f"#### ROC of the {TITLES[name]}")
        st.plotly_chart(roc_curves(curve, ink), key="roc", config={"displayModeBar": False},
                        alt=f"ROC of the {TITLES[name]}: area {attack.unlearned.auc:.2f} for the unlearned model, "
                            f"{attack.original.auc:.2f} for the original")
    with right:
        st.caption("How to read this: the higher the line at the left, the more members are found with few false "
                   "alarms. Orange, the unlearned model with its 95 % band over images; dashed grey, the original; "
                   "hatched, the range of the retrained networks; dotted, guessing.")
        for number, at in enumerate(attack.unlearned.low):
            ends = attack.interval.low[number]
            st.markdown(f"**Members found at {100 * at.rate:.3g} % false alarms:** " + (
                f"{at.value:.1%} (95 % interval {ends[0]:.1%} to {ends[1]:.1%}). At this rate it hangs on "
                f"{round(at.rate / at.finest)} of the {attack.unlearned.others} never-seen images."
                if at.resolved else f"cannot be said. {at.reason}"))


def table(found: Report) -> pd.DataFrame:
    """One row per statistic that orders the images in its own way."""
    rows = []
    for name in DISTINCT:
        attack = found.attacks[name]
        row: dict[str, object] = {"statistic": "margin, loss, confidence" if name == "margin" else TITLES[name]}
        for model, curve, around in (("unlearned", attack.unlearned, attack.interval),
                                     ("original", attack.original, attack.original_interval)):
            row |= {f"AUC {model}": curve.auc, f"95 % {model}": f"{around.auc[0]:.2f} to {around.auc[1]:.2f}"}
        if attack.null is not None and attack.placement is not None and attack.original_placement is not None:
            row |= {"retrained": f"{attack.null.auc.min():.2f} to {attack.null.auc.max():.2f}",
                    "unlearned lies": standing(attack.placement),
                    "original lies": standing(attack.original_placement)}
        rows.append(row)
    return pd.DataFrame(rows)


def retraining(found: Report, ink: str) -> None:
    """Can it be told from retraining?"""
    st.markdown("#### Can it be told from retraining?")
    if (told := found.told) is None:
        st.info("For this choice no retrained networks are bundled (they are for single classes), so this cannot be "
                "said. What is shown above does not need them.", icon=":material/info:")
        return
    st.caption("How to read this: ticks are retrained networks, each judged against the others, the shade is where "
               "one more would lie 95 % of the time. An orange dot on the ticks could be a retrained network's. The "
               "ticks of the lower line are the noise ceiling: not even retraining scores higher.")
    rows = {
        title: Strip(mine.value, original.value, mine.null, mine.expected, ends)
        for title, mine, original, ends in (
            ("Distance of outputs", told.distance.placement, told.original_distance.placement, (0.0, math.sqrt(2))),
            ("Worst-case privacy score", told.score.placement, told.original_score.placement, (0.0, 1.0)))}
    st.plotly_chart(strips(rows, ink), key="strips", config={"displayModeBar": False},
                    alt="; ".join(f"{title}: unlearned {s.value:.2f}, original {s.original:.2f}, retrained "
                                  f"{s.null.min():.2f} to {s.null.max():.2f}" for title, s in rows.items()))
    st.markdown(f"- {told.distance.verdict}\n- {told.score.verdict}")


def boxes(found: Report) -> None:
    """What this shows, and what it does not prove."""
    left, right = st.columns(2)
    with left.container(border=True):
        st.markdown("**What this shows**")
        st.markdown(
            "- whether one threshold on the outputs separates the forgotten training images from unseen ones, and "
            "whether it does so better than on networks that never saw either\n"
            "- whether the outputs could be a retrained network's; retrained networks themselves are the yardstick\n"
            f"- the playground's gauge, the SSD paper's entropy attack, calls {found.called_member['corrected']:.0%} "
            f"of the forget set members; in the form of the official code, {found.called_member['official']:.0%}. The "
            "official code puts unseen images of the forgotten classes among its examples of what was never seen, so "
            "how unsure the model is of them moves the attacker's threshold. The corrected form takes "
            "these examples from the retained classes alone.")
    with right.container(border=True):
        st.markdown("**What it does not prove**")
        st.markdown(
            "- that no attacker could tell: per-example LiRA, which knows how hard each single image is, is stronger "
            "and not yet on this page\n"
            "- that nothing is left inside: only outputs are read, and hiding an output leaves all else in place\n"
            f"- much about small differences: there are 100 images of each kind per class and {found.seeds or 'no'} "
            "retrained networks\n"
            "- anything about the retained images: their risk may have risen")


visitor = state()
tell_notes(visitor)
try:
    wanted = visitor.choice()
except ValueError as problem:
    st.warning(f"{str(problem).capitalize()}.", icon=":material/info:")
    st.stop()
write_address(wanted, visitor)
reached = answer(visitor, wanted)
if reached is None:
    st.stop()
give_up()  # of a choice that was left before its answer came
scene, settled = reached
evaluation = engine().evaluation
judged = report(settled.logits, engine().base(wanted.network).before.logits, scene.retrained_logits,
                evaluation.labels, evaluation.member, wanted.forget)
ink = RETRAINED_ON_DARK if st.context.theme.type == "dark" else RETRAINED

st.markdown(f"#### {judged.headline}")
if judged.told is not None and not judged.informative:
    also = judged.told.original_distance.placement.place == "apart"
    st.info("Even in the untouched original, none of these membership attacks sees the images any better than in "
            "networks that never saw them: passing them proves nothing here." + (
                " The comparison with retraining, further down, does tell the original." if also else ""),
            icon=":material/info:")
st.caption(f"The playground's present choice: {method(wanted.method).title} on {NETWORKS[wanted.network]}, forgetting "
           f"{', '.join(CLASSES[c] for c in wanted.forget)}; its knobs are on the first page. Computed now on 100 "
           f"training and 100 unseen images per class. Retrained reference: "
           + (f"{judged.seeds} networks, precomputed." if judged.seeds else "none is bundled for this choice."))

st.markdown("#### Members or never seen?")
attacker(judged, wanted.key, ink)

st.markdown("#### All statistics")
st.caption("How to read this: AUC is how often a training image looks more like a member than an unseen one; 0.5 is "
           "guessing. Intervals are over images, the retrained range over networks, by which the last columns judge: "
           "within it, just outside as one more retrained network might be, or above or below it. Loss, confidence and "
           "logit margin order the images alike, so they share one ROC and one row (where a confidence is too small "
           "to be told from 0, the margin is the one that still sees).")
st.dataframe(table(judged), hide_index=True, column_config={
    "AUC unlearned": st.column_config.NumberColumn(format="%.3f"),
    "AUC original": st.column_config.NumberColumn(format="%.3f")})

retraining(judged, ink)
boxes(judged)
