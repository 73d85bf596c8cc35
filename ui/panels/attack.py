"""One statistic as an attacker uses it: its threshold, its ROC, and how strong it is."""

from __future__ import annotations

import math

import numpy as np
import streamlit as st

from ui.state import State
from ui.theme import NO_BAR
from unlearn_core.audit.membership import STATISTICS
from unlearn_core.audit.promise import Promise
from unlearn_core.audit.report import TITLES, Attacked, AttackName, Report
from unlearn_core.audit.roc import said
from unlearn_core.figures.privacy import Curve, butterfly, roc_curves
from unlearn_core.subjects.subject import Subject, subject

DOMAINS: dict[AttackName, tuple[float, float]] = {
    "margin": (-20, 15), "loss": (-20, 0), "confidence": (0, 1), "entropy": (-math.log(10), 0),
    "modified_entropy": (-30, 0), "lira": (-6, 4), "u_lira": (-6, 6)}
ABOUT: dict[AttackName, str] = {
    **STATISTICS,
    "lira": "log-likelihood ratio of the image's logit margin under shadow models that saw it and that did not, on an "
            "arsinh scale",
    "u_lira": "log-likelihood ratio of the image's logit margin under shadow models that saw it, or did not, and then "
              "forgot as this one did, on an arsinh scale"}
STEPS = 200  # of the threshold slider


def domain(name: AttackName, attack: Attacked) -> tuple[float, float]:
    """The statistic's usual axis, or, where values lie beyond it, one that holds them all."""
    values = np.concatenate([attack.after.members, attack.after.others])
    low, high = DOMAINS[name]
    if values.min() >= low and values.max() <= high:
        return low, high
    return math.floor(values.min()), math.ceil(values.max())


def missing(name: AttackName, network: str) -> str:
    """Why an attack is not at hand."""
    if subject(network).shadows() is None:
        return (f"No shadow models of this network are at hand, so what {TITLES[name]} finds "
                "cannot be said. The other statistics need none.")
    return "U-LiRA needs shadow models that forgot as well: the button below lets them."


def plain_aim(report: Report, name: AttackName, threshold: float) -> None:
    """Put the slider of the plain view, within what it can show."""
    low, high = domain(name, report.attacks[name])
    st.session_state["threshold"] = float(min(max(threshold, low), high + (high - low) / STEPS))


@st.fragment
def plain_attack(report: Report, name: AttackName, key: str, ink: str, visitor: State) -> None:
    """The attack with plain widgets."""
    attack = report.attacks[name]
    best = attack.unlearned.best_threshold  # infinite if it is best to call no image a member
    if st.session_state.get("aimed") != (key, name) or "threshold" not in st.session_state:
        st.session_state["aimed"] = (key, name)
        plain_aim(report, name, best)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.button("Best guess", icon=":material/target:", on_click=plain_aim, args=(report, name, best),
                  help="The threshold of this statistic with the best balanced accuracy.")
        if st.button("Worst case", icon=":material/crisis_alert:", on_click=worst, args=(report, visitor),
                     help=f"The strongest statistic, {TITLES[report.strongest]}, at its best threshold."):
            st.rerun()
    low, high = domain(name, attack)
    step = (high - low) / STEPS
    threshold = st.slider("Threshold: at least this is called a member", float(low), float(high + step), step=step,
                          key="threshold", format="%.3f")
    calls = attack.at(threshold)
    st.markdown(f"Of {len(attack.after.others)} never-seen images {calls.fpr:.1%} are wrongly called members (FPR); of "
                f"{(n := len(attack.after.members))} training image{'s' * (n > 1)} {calls.fnr:.1%} are missed (FNR). "
                f"Balanced accuracy **{calls.balanced_accuracy:.1%}**.")
    st.plotly_chart(butterfly(attack.after.members, attack.after.others, threshold, (low, high), TITLES[name], ink),
                    key="butterfly", config=NO_BAR,
                    alt=f"{TITLES[name].capitalize()} of training images and never-seen images; balanced accuracy "
                        f"{calls.balanced_accuracy:.1%} at {threshold:.4g}")


def worst(report: Report, visitor: State) -> None:
    """Show the strongest statistic at its best threshold."""
    visitor.views["statistic"] = report.strongest
    st.session_state.pop("aimed", None)


def power(attack: Attacked, own: Subject) -> str:
    """How strong the attack is where nothing was forgotten differently: on shadow models, each judged by the others."""
    if attack.calibration is None:
        return ""
    low, high = np.quantile(attack.calibration.auc, [0.025, 0.975])
    found, trained = attack.calibration.low[0], len(own.images.train)
    pool = trained + int((~own.evaluation.member).sum())
    share = "" if np.isnan(found).any() else f", and it finds {found.mean():.1%} of members at 1 % false alarms"
    return (f"**Its power:** on the {len(attack.calibration.auc)} shadow models themselves, each judged by the "
            f"others, the AUC is {attack.calibration.auc.mean():.2f} (95 % of them {low:.2f} to {high:.2f}){share}. "
            f"The audited network is not quite their kind: it saw {trained:,} images, a shadow model half of {pool:,}.")


def in_full(report: Report, name: AttackName, ink: str, own: Subject, promise: Promise | None = None) -> None:
    """The finding, and the ROC with what it says at few false alarms; over it what the method promised, if it did."""
    attack = report.attacks[name]
    best = attack.unlearned.balanced_accuracy
    words = (f"At its best threshold this attacker is right **{best:.1%}** of the time (balanced), on the original "
             f"{attack.original.balanced_accuracy:.1%}")
    if attack.null is not None:
        words += (f", on retrained networks, which never saw either group, {attack.null.balanced_accuracy.min():.1%} "
                  f"to {attack.null.balanced_accuracy.max():.1%}")
    st.markdown(words + ". The threshold is chosen on these very images, so that even a blind attacker scores a little "
                        "above 50 %.")
    left, right = st.columns([0.6, 0.4])
    curve = Curve(attack.interval.grid, attack.unlearned.at(attack.interval.grid), attack.interval.band,
                  attack.original.at(attack.interval.grid), attack.null.envelope if attack.null is not None else None,
                  None if promise is None else promise.region(attack.interval.grid))
    with left:
        st.markdown(f"#### ROC: {TITLES[name]}")
        st.plotly_chart(roc_curves(curve, ink), key="roc", config=NO_BAR,
                        alt=f"ROC of {TITLES[name]}: area {attack.unlearned.auc:.2f} for the unlearned model, "
                            f"{attack.original.auc:.2f} for the original")
    with right:
        st.caption("How to read this: the higher the line at the left, the more members are found with few false "
                   "alarms. Orange, the unlearned model"
                   + ("" if np.isnan(curve.band).all() else " with its 95 % band over images")
                   + "; dashed grey, the original; "
                   + ("" if attack.null is None else "hatched, the range of the retrained networks; ")
                   + "dotted, guessing."
                   + ("" if promise is None else " Blue dots, where the promise lets every attack lie: between the "
                      "orange line and their upper edge is what this attacker did not find and another might."))
        st.markdown(f"**AUC:** {attack.unlearned.auc:.2f} (95 % interval: {said(attack.interval.auc)}), guessing has "
                    "0.50.")
        for number, at in enumerate(attack.unlearned.low):
            st.markdown(f"**Members found at {100 * at.rate:.3g} % false alarms:** " + (
                f"{at.value:.1%} (95 % interval: {said(attack.interval.low[number], '.1%')}). At this rate it hangs on "
                f"{round(at.rate / at.finest)} of the {attack.unlearned.others} never-seen images."
                if at.resolved else f"cannot be said. {at.reason}"))
        if promise is not None:
            st.markdown(f"**Promised: {promise}.** {promise.beside(attack.unlearned)}")
        st.markdown(power(attack, own))
