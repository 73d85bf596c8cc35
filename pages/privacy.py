"""Could an attacker tell? The playground's outcome under membership attacks, and beside retrained networks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

import numpy as np
import pandas as pd
import streamlit as st

from ui import pictures
from ui.present import headline, present
from ui.server.runtime import engine
from ui.state import State, state, tell_notes, view
from ui.views.attack import attack_view
from ui.waiting import ready
from unlearn_core.assets import AssetError
from unlearn_core.audit.evidence import ORIGINAL
from unlearn_core.audit.lira import Shadows
from unlearn_core.audit.membership import STATISTICS
from unlearn_core.audit.report import TITLES, Attacked, AttackName, Report, ShadowAttack, report, standing
from unlearn_core.audit.risk import RetainedRisk, retained_risk
from unlearn_core.figures.privacy import Curve, Strip, butterfly, risks, roc_curves, strips
from unlearn_core.figures.style import RETRAINED, RETRAINED_ON_DARK
from unlearn_core.methods import method
from unlearn_core.methods.base import NotApplicable
from unlearn_core.serving import shadows
from unlearn_core.serving.choice import Choice
from unlearn_core.serving.judgement import submit_outputs
from unlearn_core.serving.scenes import Scene, Settled
from unlearn_core.serving.yardstick import yardstick
from unlearn_core.subjects.subject import subject

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
MOST_RISEN = 12


def domain(name: AttackName, attack: Attacked) -> tuple[float, float]:
    """The statistic's usual axis, or, where values lie beyond it, one that holds them all."""
    values = np.concatenate([attack.after.members, attack.after.others])
    low, high = DOMAINS[name]
    if values.min() >= low and values.max() <= high:
        return low, high
    return math.floor(values.min()), math.ceil(values.max())


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


def missing(name: AttackName, network: str) -> str:
    """Why an attack is not at hand."""
    if subject(network).shadows() is None:
        return (f"No shadow models of this network are at hand, so what {TITLES[name]} finds "
                "cannot be said. The other statistics need none.")
    return "U-LiRA needs shadow models that forgot as well: the button below lets them."


def plain_aim(found: Report, name: AttackName, threshold: float) -> None:
    """Put the slider of the plain view, within what it can show."""
    low, high = domain(name, found.attacks[name])
    st.session_state["threshold"] = float(min(max(threshold, low), high + (high - low) / STEPS))


@st.fragment
def plain_attack(found: Report, name: AttackName, key: str, ink: str, visitor: State) -> None:
    """The attack with plain widgets."""
    attack = found.attacks[name]
    best = attack.unlearned.best_threshold  # infinite if it is best to call no image a member
    if st.session_state.get("aimed") != (key, name) or "threshold" not in st.session_state:
        st.session_state["aimed"] = (key, name)
        plain_aim(found, name, best)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.button("Best guess", icon=":material/target:", on_click=plain_aim, args=(found, name, best),
                  help="The threshold of this statistic with the best balanced accuracy.")
        if st.button("Worst case", icon=":material/crisis_alert:", on_click=worst, args=(found, visitor),
                     help=f"The strongest statistic, {TITLES[found.strongest]}, at its best threshold."):
            st.rerun()
    low, high = domain(name, attack)
    step = (high - low) / STEPS
    threshold = st.slider("Threshold: at least this is called a member", float(low), float(high + step), step=step,
                          key="threshold", format="%.3f")
    calls = attack.at(threshold)
    st.markdown(f"Of {len(attack.after.others)} never-seen images {calls.fpr:.1%} are wrongly called members (FPR); of "
                f"{len(attack.after.members)} training images {calls.fnr:.1%} are missed (FNR). Balanced accuracy "
                f"**{calls.balanced_accuracy:.1%}**.")
    st.plotly_chart(butterfly(attack.after.members, attack.after.others, threshold, (low, high), TITLES[name], ink),
                    key="butterfly", config={"displayModeBar": False},
                    alt=f"{TITLES[name].capitalize()} of training images and never-seen images; balanced accuracy "
                        f"{calls.balanced_accuracy:.1%} at {threshold:.4g}")


def worst(found: Report, visitor: State) -> None:
    """Show the strongest statistic at its best threshold."""
    visitor.views["statistic"] = found.strongest
    st.session_state.pop("aimed", None)


def power(attack: Attacked) -> str:
    """How strong the attack is where nothing was forgotten differently: on shadow models, each judged by the others."""
    if attack.calibration is None:
        return ""
    low, high = np.quantile(attack.calibration.auc, [0.025, 0.975])
    found = attack.calibration.low[0]
    share = "" if np.isnan(found).any() else f", and it finds {found.mean():.1%} of members at 1 % false alarms"
    return (f"**Its power:** on the {len(attack.calibration.auc)} shadow models themselves, each judged by the "
            f"others, the AUC is {attack.calibration.auc.mean():.2f} (95 % of them {low:.2f} to {high:.2f}){share}. "
            "The audited network is not quite their kind: it saw 20,000 images, a shadow model half of 21,000.")


def attack_in_full(found: Report, name: AttackName, ink: str) -> None:
    """The finding, and the ROC with what it says at few false alarms."""
    attack = found.attacks[name]
    best, (low, high) = attack.unlearned.balanced_accuracy, attack.interval.balanced_accuracy
    words = (f"At its best threshold this attacker is right **{best:.1%}** of the time (balanced; 95 % interval "
             f"{low:.1%} to {high:.1%}), on the original {attack.original.balanced_accuracy:.1%}")
    if attack.null is not None:
        words += (f", on retrained networks, which never saw either group, {attack.null.balanced_accuracy.min():.1%} "
                  f"to {attack.null.balanced_accuracy.max():.1%}")
    st.markdown(words + ". The threshold is chosen on these very images, so that even a blind attacker scores a little "
                        "above 50 %.")
    left, right = st.columns([0.6, 0.4])
    curve = Curve(attack.interval.grid, attack.unlearned.at(attack.interval.grid), attack.interval.band,
                  attack.original.at(attack.interval.grid), attack.null.envelope if attack.null is not None else None)
    with left:
        st.markdown(f"#### ROC: {TITLES[name]}")
        st.plotly_chart(roc_curves(curve, ink), key="roc", config={"displayModeBar": False},
                        alt=f"ROC of {TITLES[name]}: area {attack.unlearned.auc:.2f} for the unlearned model, "
                            f"{attack.original.auc:.2f} for the original")
    with right:
        st.caption("How to read this: the higher the line at the left, the more members are found with few false "
                   "alarms. Orange, the unlearned model with its 95 % band over images; dashed grey, the original; "
                   "hatched, the range of the retrained networks; dotted, guessing.")
        low, high = attack.interval.auc
        st.markdown(f"**AUC:** {attack.unlearned.auc:.2f} (95 % interval {low:.2f} to {high:.2f}), guessing has 0.50.")
        for number, at in enumerate(attack.unlearned.low):
            ends = attack.interval.low[number]
            st.markdown(f"**Members found at {100 * at.rate:.3g} % false alarms:** " + (
                f"{at.value:.1%} (95 % interval {ends[0]:.1%} to {ends[1]:.1%}). At this rate it hangs on "
                f"{round(at.rate / at.finest)} of the {attack.unlearned.others} never-seen images."
                if at.resolved else f"cannot be said. {at.reason}"))
        st.markdown(power(attack))


def table(found: Report) -> pd.DataFrame:
    """One row per statistic that orders the images in its own way."""
    rows = []
    for name in found.distinct:
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
    st.plotly_chart(strips(rows, ink), key="strips", config={"displayModeBar": False},
                    alt="; ".join(f"{title}: unlearned {s.value:.2f}, original {s.original:.2f}, retrained "
                                  f"{s.null.min():.2f} to {s.null.max():.2f}" for title, s in rows.items()))
    st.markdown(f"- {told.distance.verdict}\n- {told.score.verdict}")


def bystanders(found: RetainedRisk | None, network: str, ink: str) -> None:
    """What forgetting some did to the risk of the rest."""
    st.markdown("#### Did forgetting these make others easier to find?")
    if found is None:
        st.info("This takes shadow models, and none of this network are at hand.",
                icon=":material/info:")
        return
    st.markdown(found.finding)
    left, right = st.columns([0.6, 0.4])
    own = subject(network)
    labels = own.evaluation.labels
    marked = found.risen if found.null_risen is not None else np.zeros(len(found.rise), bool)
    with left:
        st.plotly_chart(risks(found.before, found.after, marked, [own.classes[labels[n]] for n in found.number], ink),
                        key="risks", config={"displayModeBar": False},
                        alt=f"LiRA's log-likelihood ratio of {len(found.before)} retained training images before and "
                            f"after forgetting; {int(marked.sum())} rose by more than retrained networks vary")
    with right:
        st.caption("How to read this: a dot is a training image that was to be kept; further up, LiRA is surer that "
                   "the unlearned model saw it; above the dashed line, surer than of the original. Filled: above "
                   "what the original and 95 % of retrained networks would show for this very image; some are by "
                   "chance, so the sentence above counts the same in each retrained network.")
        most = np.argsort(-found.rise)[:MOST_RISEN]
        st.markdown("**Whose risk rose most**")
        pictures.wall(own, {int(found.number[i]): f"{found.before[i]:z.1f} → {found.after[i]:z.1f}" for i in most}, 72)


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
            "- that no attacker could tell: LiRA is only as strong as its shadow models, a hundred and more would see "
            "more, and none of these attackers looks at the weights or asks about more than one image at a time\n"
            "- that nothing is left inside: only outputs are read, and hiding an output leaves all else in place\n"
            f"- much about small differences: there are {found.seeds or 'no'} retrained networks\n"
            "- that nobody pays: the risk of retained images is judged on 100 of each class")


visitor = state()
tell_notes(visitor)
now = present(visitor)
headline(now, visitor)
if now.picture is None or now.former:
    st.stop()
scene, settled = now.picture
wanted = settled.choice
ink = RETRAINED_ON_DARK if st.context.theme.type == "dark" else RETRAINED

summary = st.container()
st.markdown("#### Members or never seen?")
name = cast(AttackName, view(visitor, "statistic", list(TITLES), "What the attacker looks at",
                             format_func=lambda n: TITLES[n][0].upper() + TITLES[n][1:], width=320))
picture, offer = st.container(), st.container()
try:
    with offer:
        forgetful = forgetful_shadows(wanted, scene, settled)
    with picture:
        logits = ready(submit_outputs(engine(), scene, settled), 2.5, "Evaluating on all images", slot="outputs")
    if logits is None:
        st.stop()
    found = judge(wanted, scene, settled, logits, forgetful)
except (AssetError, ValueError, RuntimeError) as problem:
    st.error(str(problem), icon=":material/error:")
    st.stop()
judged, drawn = found.all, found.drawn
with summary:
    st.markdown(f"#### {judged.headline}")
    if judged.told is not None and not judged.informative:
        also = judged.told.original_distance.placement.place == "apart"
        st.info("Even in the untouched original, none of these membership attacks sees the images clearly better than "
                "in networks that never saw them: passing them proves nothing here." + (
                    " The comparison with retraining, further down, does tell the original." if also else ""),
                icon=":material/info:")
    st.caption(f"The playground's present choice: {method(wanted.method).title} on {subject(wanted.network).title}, "
               f"forgetting {wanted.words}; its knobs are on the first page. Computed "
               f"now on {judged.attacks['margin'].unlearned.members:,} training and "
               f"{judged.attacks['margin'].unlearned.others:,} unseen images of what was to be forgotten (LiRA, and "
               "the dots in the picture: 100 and 100 of each class). Retrained reference: "
               + (f"{judged.seeds} networks, precomputed." if judged.seeds else "none is at hand for this choice."))

with picture:
    if name not in judged.attacks:
        st.info(missing(name, wanted.network), icon=":material/info:")
    else:
        st.caption("How to read this: a dot is an image of the forgotten classes, ● one of the training set, ◆ one "
                   f"never seen; upwards is the {ABOUT[name]}. Filled dots lie above the threshold and are called "
                   "members. If both wings look alike, this attacker learns nothing.")
        if visitor.plain:
            plain_attack(judged, name, wanted.key, ink, visitor)
        else:
            attack_view(wanted.subject, drawn, name, wanted.key, domain(name, drawn.attacks[name]), scene.seen,
                        settled.logits, lambda: worst(drawn, visitor))
        attack_in_full(judged, name, ink)

st.markdown("#### All statistics")
st.caption("How to read this: AUC is how often a training image looks more like a member than an unseen one; 0.5 is "
           "guessing. Intervals are over images, the retrained range over networks, by which the last columns judge: "
           "within it, just outside as one more retrained network might be, or above or below it. Loss, confidence and "
           "logit margin order the images alike, so they share one ROC and one row (where a confidence is too small "
           "to be told from 0, the margin is the one that still sees).")
st.dataframe(table(judged), hide_index=True, column_config={
    "AUC unlearned": st.column_config.NumberColumn(format="%.3f"),
    "AUC original": st.column_config.NumberColumn(format="%.3f")})

bystanders(found.risk, wanted.network, ink)
retraining(judged, ink)
boxes(judged)
