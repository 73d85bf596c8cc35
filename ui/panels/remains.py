"""Is it really gone? What lies behind an outcome's answers: verdict, self-test, probe, relearning, layers."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
import streamlit as st

from ui.server.runtime import engine
from ui.tables import data_table
from ui.theme import NO_BAR, ink
from ui.waiting import ready
from unlearn_core.assets import AssetError
from unlearn_core.audit.distinguish import LEVEL, Placement, further
from unlearn_core.audit.evidence import HEAD_ZEROING, ORIGINAL, UNLEARNED, Check, passes
from unlearn_core.audit.gauges import Reading
from unlearn_core.audit.relearn import Relearning, anamnesis
from unlearn_core.audit.verdict import listed
from unlearn_core.figures.remains import Alike, Course, Dot, Row, layer_similarity, probes, relearning
from unlearn_core.serving.judgement import Audit
from unlearn_core.serving.remains import Remains, relearn_recipe, submit, submit_relearning
from unlearn_core.serving.scenes import Scene, Settled

ARROWS = {"match": "→", "up": "↑", "down": "↓"}


def remains(scene: Scene, settled: Settled, audit: Audit | None) -> None:
    """The whole section for an outcome; the checks come with the audit."""
    st.markdown("### What is left inside?")
    if not scene.request.classes:
        tried = audit is not None and any(check.judged for check in audit.checks)
        st.info("Charts of a fresh head, of relearning and of the layers are drawn for whole classes only."
                + " What could be looked at for this request stands in the table." * tried, icon=":material/info:")
        if audit is not None and tried:
            matrix(audit.checks, audit.beside)
        return
    summary, judged, probed, relearned, rest = (st.container() for _ in range(5))
    try:
        with summary:
            found = ready(submit(engine(), scene, settled), 2.5, "Looking inside")
        if found is None:
            return
        with relearned:
            course = relearn(scene, settled, found, ink())
    except (AssetError, ValueError, RuntimeError) as problem:
        summary.error(str(problem), icon=":material/error:")
        return
    if course is not None and audit is not None and any(
            ORIGINAL in check.judged and UNLEARNED not in check.judged for check in audit.checks):
        st.rerun()  # the verdict above was read before this was known
    seeds = len(found.reference.retrained)
    if not seeds:
        summary.markdown(f"#### {probe_alone(found)}")
    if seeds:
        summary.caption(f"Read on {found.probe.fitted:,} training and {found.probe.tested:,} unseen images, beside the "
                        f"original, head zeroing and {seeds} retrained network{'s' * (seeds > 1)}.")
    elif engine().retrained(settled.choice.network, scene.request):
        summary.caption("Computed now. To look inside the retrained networks as well would take minutes on this "
                        "network, so only the table of checks and the distances have them.")
    else:
        summary.caption("Computed now. For this choice no retrained networks are at hand, so what a network that never "
                        "saw these images would still know is not shown here.")
    if audit is not None and any(check.judged for check in audit.checks):
        with judged:
            matrix(audit.checks, audit.beside)
    with probed:
        probe(found, ink())
    with rest:
        layers(found, ink())
        distances(found)


def probe_alone(found: Remains) -> str:
    """The finding without retrained networks, in one sentence."""
    mine, before = found.probe.auc, found.reference.original.probe.auc
    how = "as well as" if mine.interval[1] >= before.interval[0] else "less well than"
    return (f"A fresh head finds what was to be forgotten {how} in the original (AUC {mine.value:.3f}, "
            f"{before.value:.3f}).")


def matrix(checks: Sequence[Check], beside: Sequence[Check]) -> None:
    """Which network passes which check, and what passing is worth; `beside` are no part of the verdict."""
    st.markdown("#### Do the checks work?")
    checks, beside = ([check for check in some if check.judged] for some in (checks, beside))
    working = [check for check in checks if check.worth == "works"]
    words = f"{len(working)} of {len(checks)} checks tell the untouched original from retrained networks here."
    columns = {"Original": ORIGINAL, "Head zeroing": HEAD_ZEROING, "This outcome": UNLEARNED}
    if working and all(HEAD_ZEROING in check.judged for check in working):
        fooled = [check for check in working if check.status(HEAD_ZEROING) == "passes"]
        words += " Head zeroing, which changes the last layer alone, passes " + (
            f"only {listed(fooled)}." if fooled else "none of them.")
    else:
        del columns["Head zeroing"]
    st.markdown(words)
    st.caption("How to read this: a row is a check, a column a network of which the truth is known, and the outcome at "
               "hand. A check works if the original fails and retrained networks pass, each held out and judged by "
               "the others. Grey rows prove nothing here. A network passes if its number could be one more retrained "
               f"network's ({LEVEL:.0%} prediction interval)."
               + (" The rows in italics are no part of the verdict; *Nearer to retraining* passes above ½."
                  if beside else ""))
    rows = [f"| Check | Retrained, held out | {' | '.join(columns)} | What passing is worth here |",
            "|:--|:--|" + ":--|" * (len(columns) + 1)]
    worth = {"works": "It sees the original.",
             "uninformative": "Uninformative: it cannot see even the untouched original.",
             "strict": "Too strict: retrained networks fail, too."}
    for check in (*checks, *beside):
        tried, mark = len(check.held_out), "**" if check in checks else "*"
        held = "too few to hold one out" if not tried else _badge(
            check, check.passing >= tried - check.luck, f"{check.passing} of {tried} pass")
        cells = [_cell(check, check.judged.get(name)) for name in columns.values()]
        rows.append(" | ".join(["", f"{mark}{check.title}{mark}", held, *cells, worth[check.worth], ""]).strip())
    st.markdown("\n".join(rows))
    with st.expander("What each check reads"):
        st.markdown("\n".join(f"- **{check.title}**: {check.about}{SIDES[check.remembers]}"
                              for check in (*checks, *beside)))


SIDES = {"high": "; higher than retrained is remembered, lower is more than retraining takes.",
         "low": "; sooner than retrained is remembered, later is more than retraining takes.", None: "."}


def _cell(check: Check, placement: Placement | None) -> str:
    if placement is None:
        return "not tried"
    right = passes(placement)
    return _badge(check, right, f"{'passes' if right else 'fails'}: {placement.value:.3g}")


def _badge(check: Check, right: bool, said: str) -> str:
    colour = "gray" if check.worth != "works" else "green" if right else "red"
    return f":{colour}-badge[:material/{'check' if right else 'close'}: {said}]"


def probe(found: Remains, ink: str) -> None:
    """A fresh head on the frozen features."""
    reference, mine = found.reference, found.probe
    st.markdown("#### Can a fresh head find it again?")
    expected = further(np.array([s.probe.auc.value for s in reference.retrained])) if _many(found) else None
    said = (f"A fresh linear head on the outcome's features recognises {mine.recovered.value:.0%} of unseen images of "
            "what was to be forgotten")
    if expected is not None:
        values = [seed.probe.recovered.value for seed in reference.retrained]
        place = "above" if mine.auc.value > expected[1] else "below" if mine.auc.value < expected[0] else "within"
        said += (f"; on retrained networks {min(values):.0%} to {max(values):.0%}, since any features tell "
                 f"something of any class. How well it tells the class from others (AUC {mine.auc.value:.3f}) lies "
                 f"{place} what one more retrained network would have")
    st.markdown(said + ".")
    st.caption("How to read this: a line is a network, with a 95 % interval over images. The shade is where one more "
               "retrained network would lie: to its right, the features still hold the class. Logistic regression on "
               f"{mine.fitted:,} training images of all classes, read on {mine.tested:,} unseen ones.")
    rows = []
    for title, read in (("accuracy on what was to be forgotten", "recovered"),
                        ("AUC, forgotten against others", "auc")):
        def dot(reading: Reading) -> Dot:
            return Dot(reading.value, reading.interval)

        models = {"unlearned": dot(getattr(mine, read)), "original": dot(getattr(reference.original.probe, read)),
                  "head zeroing": dot(getattr(reference.head_zeroing.probe, read))}
        seeds = [dot(getattr(seed.probe, read)) for seed in reference.retrained]
        rows.append(Row(title, models, seeds,
                        further(np.array([s.value for s in seeds])) if _many(found) else None))
    st.plotly_chart(probes(rows, ink), key="probe", config=NO_BAR,
                    alt=f"Linear probe: unlearned {mine.auc.value:.3f}, original "
                        f"{reference.original.probe.auc.value:.3f} AUC")


def relearn(scene: Scene, settled: Settled, found: Remains, ink: str) -> Relearning | None:
    """How soon fine-tuning brings the class back; the outcome's own course if it was asked for and is there."""
    reference, recipe, key = found.reference, relearn_recipe(settled.choice.network), settled.choice.key
    st.markdown("#### How soon does it come back?")
    words = st.container()
    course = None
    if st.session_state.get("relearn") == key:
        course = ready(submit_relearning(engine(), scene, settled), 0.3, "Fine-tuning",
                       lambda: st.session_state.pop("relearn", None))
    elif st.button("Relearn this outcome", icon=":material/fitness_center:",
                   help="Fine-tunes a copy of it on all training images: about ten seconds, can be cancelled."):
        st.session_state["relearn"] = key
        st.rerun()
    said = f"The original is back after {_steps(reference.original.relearning)}"
    if reference.retrained:
        taken = sorted((seed.relearning for seed in reference.retrained), key=lambda c: (c.taken, c.steps is None))
        ends = dict.fromkeys(_steps(one).removesuffix(" steps") for one in (taken[0], taken[-1]))
        said += f", retrained networks after {' to '.join(ends)} steps"
    if course is not None:
        images = f" ({course.images:,} images)" if course.images is not None else ""
        said = f"The outcome is back after {_steps(course)}{images}. {said}"
        if reference.retrained:
            said += (f". Anamnesis index: {_anamnesis(found, course)}; 1 is as retraining, far below 1 it had not "
                     "forgotten")
    words.markdown(said + ".")
    words.caption(f"How to read this: the further left a curve rises, the more was still there. ▷ ends a network that "
                  f"was not back in time. Adam, learning rate {recipe.lr:g}, batches of {recipe.batch_size}, "
                  f"{recipe.checked} forgotten training images checked after each step. The head's rows of the class "
                  "are drawn anew for every network, the original included: a departure from the reference code, "
                  "under which head zeroing would look as if it had forgotten.")
    shown = {"original": reference.original.relearning, "head zeroing": reference.head_zeroing.relearning}
    if course is not None:
        shown["unlearned"] = course
    st.plotly_chart(relearning({name: _course(one) for name, one in shown.items()},
                               [_course(seed.relearning) for seed in reference.retrained],
                               reference.original.relearning.target, ink),
                    key="relearning", config=NO_BAR, alt=said)
    return course


def _steps(course: Relearning) -> str:
    return f"more than {course.taken} steps" if course.steps is None else f"{course.steps} steps"


def _course(course: Relearning) -> Course:
    return Course(course.accuracy, course.steps is not None)


def _anamnesis(found: Remains, course: Relearning) -> str:
    words = {"exactly": "", "at least": "at least ", "at most": "at most "}
    indices = (anamnesis(course, seed.relearning) for seed in found.reference.retrained)
    known = sorted((index for index in indices if index.known != "unknown"), key=lambda index: index.value)
    if not known:
        return "unknown, neither came back in time"
    ends = [f"{words[index.known]}{index.value:.2f}" for index in (known[0], known[-1])]
    return " to ".join(dict.fromkeys(ends))


def layers(found: Remains, ink: str) -> None:
    """Layer similarity to the original and to the retrained networks."""
    names, last = found.similarity["forget"].layers, -2
    forget = found.similarity["forget"]
    st.markdown("#### How deep did it go?")
    said = (f"In {names[last]}, the last layer before the head, the outcome's similarity to the original is "
            f"{forget.original[last]:.2f} on what was to be forgotten")
    if len(found.reference.retrained):
        away = found.reference.similarity["forget"][0, 2:, last]
        depth = ("nothing changed here" if forget.original[last] > 0.999 else
                 "the change stayed shallow" if forget.original[last] > away.max() + 0.1 else
                 "the change goes far beyond retraining's" if forget.original[last] < away.min() - 0.1 else
                 "the change goes as deep as retraining's")
        said += f", retrained networks' {away.min():.2f} to {away.max():.2f}: {depth}"
    st.markdown(said + ".")
    compared = f" Right: the mean over {len(forget.retrained)} of them." if len(forget.retrained) else ""
    st.caption("How to read this: 1 is the same up to rotation and scale, 0 unrelated (unbiased linear CKA). Dashed "
               "with ✖, images of what was to be forgotten, solid with ●, the others. The bands are where retrained "
               "networks lie in the outcome's place. A dashed line above its band at the left and below it at the "
               "right is shallow forgetting: the answer changed, the way to it did not." + compared)
    for column, title, to_original in zip(st.columns(2), ("To the original", "To retrained networks"), (True, False),
                                          strict=True):
        parts = {}
        for part, alike in found.similarity.items():
            band = found.reference.similarity[part][0, 2:] if to_original else alike.among_retrained
            value = alike.original if to_original else _mean(alike.retrained)
            parts[part] = Alike(value, np.stack([band.min(0), band.max(0)]) if len(band) > 1 else None)
        with column:
            st.markdown(f"**{title}**")
            if not to_original and not len(forget.retrained):
                st.info("Of this choice no retrained networks were looked into.", icon=":material/info:")
                continue
            st.plotly_chart(layer_similarity(names, parts, ink), key=f"cka {title}", config=NO_BAR,
                            alt=f"CKA {title.lower()} per layer on what was to be forgotten: " + ", ".join(
                                f"{n} {v:.2f}" for n, v in zip(names, parts["forget"].value, strict=True)))


def _mean(seeds: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    result: npt.NDArray[np.float64] = seeds.mean(0) if len(seeds) else np.full(seeds.shape[1], np.nan)
    return result


def distances(found: Remains) -> None:
    """How far the outputs lie from retrained networks'."""
    rows = []
    for one in found.distances:
        if any(map(math.isnan, one.values.values())):
            continue  # there is no retrained network to be distant from
        row: dict[str, object] = {"distance": f"{one.title} {ARROWS[one.better]}"}
        row |= {name: _number(value) for name, value in one.values.items()}
        row["retrained"] = f"{one.retrained.min():.3f} to {one.retrained.max():.3f}" if len(one.retrained) else "–"
        rows.append(row)
    first = found.distances[0]
    st.markdown("#### How far are the answers from a retrained network's?")
    if len(first.retrained):
        times = first.values["unlearned"] / float(first.retrained.mean())
        st.markdown(f"On the forget set its outputs diverge from retrained networks' {times:.1f} times as much as "
                    "theirs do from each other (Jensen–Shannon).")
    st.caption("How to read this: ↓ lower is better, ↑ higher, → the nearer to the retrained column the better; that "
               "column is each retrained network against the others. On the training images to be forgotten, "
               "tug-of-war on all. Rows that name the reference code give what published code computes; ∞ is what its "
               "divergence says of an output that is exactly 0.")
    data_table(pd.DataFrame(rows), hide_index=True)


def _number(value: float) -> str:
    return "–" if math.isnan(value) else ("∞" if value > 0 else "−∞") if math.isinf(value) else f"{value:.3f}"


def _many(found: Remains) -> bool:
    return len(found.reference.retrained) > 1
