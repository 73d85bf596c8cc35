"""How do the knobs behave? Gauges over any two knobs, along one, class by class; and a search for good settings."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial

import numpy as np
import streamlit as st

from ui.present import headline, present
from ui.server.permission import STUDIES_ARE_THE_OPERATORS, visitors_may
from ui.server.runtime import engine
from ui.state import State, snap, state, tell_notes, view, write_address
from ui.studies.sweeps import sweeps
from ui.waiting import give_up, held, hold
from unlearn_core.assets import AssetError
from unlearn_core.audit.gauges import KINDS
from unlearn_core.figures import landscape as figures
from unlearn_core.figures.landscape import Mark, Scale
from unlearn_core.figures.style import RETRAINED, RETRAINED_ON_DARK, UNLEARNED
from unlearn_core.figures.tradeoff import pareto
from unlearn_core.methods import METHODS
from unlearn_core.methods.base import Value
from unlearn_core.nets.request import Request
from unlearn_core.serving.choice import SEEDS, Choice
from unlearn_core.serving.grid import ALPHAS
from unlearn_core.serving.landscape import (
    ESTIMATORS,
    Plane,
    Surface,
    adaptive_alpha,
    as_retrained,
    best_alpha,
    curves,
    estimator,
    gap,
    image_counts,
    numeric,
    original,
    place,
    plane,
    reference,
    surface,
)
from unlearn_core.serving.pool import Lane
from unlearn_core.study import search as searches
from unlearn_core.subjects import openings

PLAIN = {"displayModeBar": False}
TITLES = [kind.title for kind in KINDS.values()]
GAP = "Gap to retraining, points"
MORE_SEEDS = 2
REDRAW = 5.0  # s


def scale(chosen: Choice, name: str, values: tuple[float, ...]) -> Scale:
    """A knob as an axis."""
    return Scale(numeric(chosen.method)[name].label, values)


def said(chosen: Choice, settings: dict[str, Value]) -> str:
    """Settings in words."""
    knobs = numeric(chosen.method)
    return ", ".join(f"{knobs[name].label} = {float(value):.3g}{knobs[name].unit}" for name, value in settings.items())


def open_in_playground(visitor: State, chosen: Choice, settings: dict[str, float]) -> None:
    """Go there with these values, each at the nearest slider position."""
    knobs = numeric(chosen.method)
    visitor.put(chosen.method, {name: snap(knobs[name], value) for name, value in settings.items()})
    st.switch_page("pages/playground.py")


# -- two knobs ------------------------------------------------------------------------------------------------


def marks(chosen: Choice, shown: Plane, alpha: float | None) -> list[Mark]:
    """The settings that mean something, on the plane."""
    found = METHODS[chosen.method]
    knobs = numeric(chosen.method)

    def mark(title: str, settings: dict[str, Value], symbol: str, color: str = "") -> Mark:
        at = [place(values, knobs[name], float(settings[name])) if name in settings else float("nan")
              for name, values in ((shown.x, shown.xs), (shown.y, shown.ys))]
        return Mark(title, at[0], at[1], symbol, color)

    opens = openings.start(chosen.network, chosen.forget, chosen.method)
    made = [mark("general default", found.settings(), "diamond", "#56B4E9")]
    if any(opens[name] != found.settings()[name] for name in (shown.x, shown.y) if name in opens):
        made.append(mark("as it opens", opens, "diamond-open", "#009E73"))
    if "official" in found.presets and {shown.x, shown.y} & set(found.presets["official"].settings):
        made.append(mark("official code", found.presets["official"].settings, "square", "#E69F00"))
    if alpha is not None:
        made.append(mark("ASSD's rule for α", {"alpha": alpha}, "line", "#CC79A7"))
    return [*made, mark("now", dict(chosen.settings), "circle-open", UNLEARNED)]


def filling(found: Surface, what: str) -> None:
    """Keep a surface filling while it is looked at, and say how far it is."""
    total = int(np.prod(found.plane.shape))
    missing = len(found.missing())
    if found.problems:
        st.caption(f"{len(found.problems)} of {total} points could not be run, {next(iter(found.problems.values()))}")
    if not missing:
        return
    stopped = st.session_state.setdefault("stopped", set())
    with st.container(horizontal=True, vertical_alignment="center"):
        if found.plane in stopped:
            st.caption(f"Stopped at {total - missing} of {total} points; they are kept.")
            if st.button("Go on", icon=":material/play_arrow:", key=f"go.{what}"):
                stopped.discard(found.plane)
                st.rerun()
        else:
            found.look(engine())
            st.progress((total - missing) / total, f"{total - missing} of {total} points of the {what}, coarse to "
                        "fine, while nobody waits for anything else")
            if st.button("Stop", icon=":material/stop:", key=f"stop.{what}"):
                stopped.add(found.plane)
                found.stop()
                st.rerun()


def adaptive(chosen: Choice) -> float | None:
    """The alpha of ASSD's rule; None while it is being computed, NaN if it cannot be."""
    ticket = held("rule")
    if ticket is None or ticket.key != ("rule", chosen.scene):
        ticket = engine().pool.submit(("rule", chosen.scene), partial(adaptive_alpha, engine(), chosen), Lane.LONG)
        hold("rule", ticket)
    if not ticket.wait(0):
        return None
    try:
        return ticket.result()
    except (AssetError, ValueError, RuntimeError):
        return float("nan")  # the page says why: nothing else works then either


def moving(*shown: Plane) -> float | None:
    """Seconds until a fragment that shows these planes must run again; None if nothing will change."""
    stopped = st.session_state.get("stopped", set())
    return 1.5 if any(one not in stopped and surface(engine(), one).missing() for one in shown) else None


def drawn(found: Surface, what: str) -> np.ndarray:
    """A surface's values as they are shown: the latest every few seconds, as a chart that changes is built anew."""
    key = f"drawn.{what}"
    shown, since, values = st.session_state.get(key, (None, 0.0, found.values))
    if shown != found.plane or not found.missing() or time.monotonic() - since > REDRAW:
        values = found.values.copy()
        st.session_state[key] = (found.plane, time.monotonic(), values)
    return values


def finding(chosen: Choice, shown: Plane, values: np.ndarray,
            retrained: np.ndarray | None) -> tuple[str, np.ndarray | None]:
    """One sentence on the plane so far, and which cells are as good as retrained."""
    known = ~np.isnan(values[..., 0])
    if not known.any():
        return "The first points are being evaluated.", None
    if retrained is None:
        return "There is no retrained network to measure the distance to, so no setting is called nearest.", None
    if known.sum() < known.size / 2:
        return f"{known.sum()} of {known.size} settings are evaluated; a finding follows when half of them are.", None
    good = as_retrained(values, retrained, image_counts(engine(), chosen.network, chosen.forget))
    gaps = gap(values, retrained)
    best = np.unravel_index(np.nanargmin(gaps), gaps.shape)
    at = said(chosen, {shown.x: shown.xs[best[0]], shown.y: shown.ys[best[1]]})
    count = f"{good.sum()} of {known.sum()} settings meet" if good.any() else f"None of {known.sum()} settings meets"
    return (f"{count} the retrained networks in all three gauges; nearest to them in accuracy is {at}, "
            f"{gaps[best]:.1f} points away."), good


def two_knobs(visitor: State, chosen: Choice, shown: Plane, rule: bool, ink: str, live: bool) -> None:
    """Heatmaps of all gauges and of the gap to retraining; `rule` shows ASSD's alpha, `live` that something is due."""
    found, alpha = surface(engine(), shown), adaptive(chosen) if rule else None
    if live and not found.missing() and not (rule and alpha is None):
        st.rerun()  # once, so that the page comes to rest
    retrained = reference(engine(), chosen.network, chosen.forget)
    values = drawn(found, "plane")
    sentence, good = finding(chosen, shown, values, retrained)
    st.markdown(f"#### {sentence}")
    st.caption(
        "How to read this: a cell is one setting, run and measured on 2,000 fixed images; the brighter, the larger the "
        + ("share, or the smaller the gap to retrained networks (|forget gap| + |retain gap| to their mean). Outlined: "
           "the 95 % interval of every gauge meets their band. " if retrained is not None else "share. ")
        + "Click a cell to open it in the playground. "
        f"{'Precomputed' if found.shipped else 'Computed on this machine'}, seed {chosen.seed}.")
    filling(found, "plane")
    panels = {title: values[..., n] for n, title in enumerate(TITLES)}
    if retrained is not None:
        panels[GAP] = gap(values, retrained)
    figure = figures.heatmaps(panels, scale(chosen, shown.x, shown.xs), scale(chosen, shown.y, shown.ys),
                              np.zeros(shown.shape, bool) if good is None else good, marks(chosen, shown, alpha), ink)
    picked = st.plotly_chart(figure, key="landscape", on_select="rerun", selection_mode="points", config=PLAIN,
                             alt=f"Gauges over two knobs. {sentence}")
    if points := picked["selection"]["points"]:
        i, j = (round(points[0][axis]) for axis in ("x", "y"))
        open_in_playground(visitor, chosen, {shown.x: shown.xs[i], shown.y: shown.ys[j]})
    if retrained is not None and not np.isnan(panels[GAP]).all():
        i, j = np.unravel_index(np.nanargmin(panels[GAP]), panels[GAP].shape)
        if st.button("Open the nearest in the playground", icon=":material/play_circle:"):
            open_in_playground(visitor, chosen, {shown.x: shown.xs[i], shown.y: shown.ys[j]})


# -- one knob -------------------------------------------------------------------------------------------------


def one_knob(chosen: Choice, lines: dict[str, Plane], x: str, ink: str, live: bool) -> None:
    """The gauges along one knob, everything else as it is now."""
    if live and moving(*lines.values()) is None:
        st.rerun()
    retrained = reference(engine(), chosen.network, chosen.forget)
    rest = {name: value for name, value in chosen.settings if name in numeric(chosen.method) and name != x}
    st.markdown(f"#### Along {numeric(chosen.method)[x].label} alone" + (f", at {said(chosen, rest)}" if rest else ""))
    st.caption("How to read this: the line is the unlearned model, the dark band the range of the retrained networks, "
               "dotted grey the original, the upright dashes where you are now. Other lines are other seeds.")
    found = {name: surface(engine(), one) for name, one in lines.items()}
    for name, one in found.items():
        filling(one, f"line, {name}")
    values = {name: drawn(one, name)[:, 0] for name, one in found.items()}
    first = next(iter(lines.values()))
    at = place(first.xs, numeric(chosen.method)[x], float(dict(chosen.settings)[x]))
    before = list(original(engine(), chosen.network, chosen.forget))
    st.plotly_chart(figures.curves(scale(chosen, x, first.xs), values, TITLES, retrained, before, at, ink),
                    key="curves", config=PLAIN, alt=f"Gauges along {numeric(chosen.method)[x].label}")


def estimators(chosen: Choice, ink: str) -> None:
    """What the estimator, the batch order and the reference set do to the curve over alpha."""
    st.markdown("#### Does it matter how importances are measured?")
    shipped = curves(chosen.network)
    if len(chosen.forget.classes) != 1 or not shipped:
        st.info("These curves are at hand for single classes of the bundled networks.", icon=":material/info:")
        return
    label = chosen.forget.classes[0]
    lines = {name: values[label] for name, values in shipped.items()}
    retrained = reference(engine(), chosen.network, chosen.forget)
    assert retrained is not None
    best = {name: best_alpha(values, retrained) for name, values in lines.items()}
    low, high = min(best, key=best.__getitem__), max(best, key=best.__getitem__)
    st.markdown(f"The same α means different things: nearest to retraining is α = {best[low]:.3g} for {low}, but "
                f"α = {best[high]:.3g} for {high}, {best[high] / best[low]:.1f} times as much.")
    st.caption("How to read this: a line is one way to measure importances, λ = 1; the further right it turns, the "
               "stronger the same α acts. Per sample is the paper's Fisher information; batch mean is what the "
               "official code computes, where the order of the images matters. Precomputed.")
    before = list(original(engine(), chosen.network, chosen.forget))
    st.plotly_chart(figures.curves(Scale("α", ALPHAS), lines, TITLES, retrained, before, float("nan"), ink),
                    key="estimators", config=PLAIN, alt="Gauges along α for each way to measure importances")


def classes(chosen: Choice, ink: str) -> None:
    """The curve over alpha for every class."""
    st.markdown("#### Is one α right for every class?")
    shipped = curves(chosen.network)
    name = estimator(chosen) or next(iter(ESTIMATORS))
    if name not in shipped:
        st.info("No curves are at hand for this network.", icon=":material/info:")
        return
    names = chosen.subject.classes
    retrained = [reference(engine(), chosen.network, Request((label,))) for label in range(len(names))]
    best = [best_alpha(curve, seeds) for curve, seeds in zip(shipped[name], retrained, strict=True)
            if seeds is not None]
    if len(best) != len(names):
        st.info("Retrained networks are not at hand for every class.", icon=":material/info:")
        return
    low, high = int(np.argmin(best)), int(np.argmax(best))
    st.markdown(f"No: nearest to retraining is α = {best[low]:.2g} for {names[low]} and α = {best[high]:.2g} for "
                f"{names[high]}, a factor of {best[high] / best[low]:.1f}." if best[low] < best[high] else
                f"Here it is: α = {best[low]:.2g} is nearest to retraining for all.")
    st.caption("How to read this: one panel a forgotten class; dashed ✖ is the accuracy on what is to be forgotten, "
               "solid ● on the rest. A good α has the first low and the second high; the upright line is the α nearest "
               f"to retraining. {name}, λ = 1, precomputed.")
    at = [float(ALPHAS.index(alpha)) for alpha in best]
    st.plotly_chart(figures.small_multiples(names, Scale("α", ALPHAS), shipped[name], at, chosen.forget.classes, ink),
                    key="classes", config=PLAIN,
                    alt=f"Accuracy along α by class; the nearest α goes from {best[low]:.2g} to {best[high]:.2g}")


# -- search ---------------------------------------------------------------------------------------------------


def asked_search(chosen: Choice, names: list[str]) -> searches.Search | None:
    """The widgets of a search, and the search; None, and a sentence, if it makes none."""
    knobs = numeric(chosen.method)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        goal = st.selectbox("Looking for", list(searches.GOALS), format_func=lambda g: searches.GOALS[g].capitalize(),
                            key="search.goal", width=300)
        trials = st.number_input("Trials", searches.TRIALS.start, searches.TRIALS.stop - 1, searches.PAPER_TRIALS,
                                 key="search.trials", width=130, help="SSD's authors used 50.")
        ranges = []
        for name in names:
            knob = knobs[name]
            ends = [st.number_input(f"{knob.label} {word}", value=float(end), format="%g", width=150,
                                    key=f"search.{chosen.method}.{name}.{word}",
                                    help=f"In [{knob.low:g}, {knob.high:g}].")
                    for word, end in (("from", knob.low), ("to", knob.high))]
            ranges.append((name, *ends))
    try:
        return searches.search(chosen, ranges, goal, int(trials))
    except ValueError as problem:
        st.warning(f"{str(problem)[0].upper()}{str(problem)[1:]}.", icon=":material/info:")
        return None


def trouble(problem: Exception) -> str:
    """Why a search stopped, as a sentence."""
    if isinstance(problem, OSError):
        return (f"The search cannot go on: {(problem.strerror or str(problem)).lower()}. Its folder must be open to "
                "writing and have room; the trials that are kept stay.")
    return str(problem)


def search_progress(visitor: State, chosen: Choice, asked: searches.Search, ink: str, live: bool) -> None:
    """Start, pause, resume; and what was found so far. `live` says whether it is run again every second."""
    ticket = held("search")
    running = ticket is not None and ticket.key == ("search", asked)
    if running and ticket.wait(0):
        give_up("search")
        try:
            if ticket.result() < asked.trials:  # it gave way to others
                hold("search", searches.submit(engine(), asked))
        except (AssetError, ValueError, RuntimeError, OSError) as problem:
            st.session_state["search failed"] = (asked, trouble(problem))
        st.rerun()
    failed = st.session_state.get("search failed")
    if failed is not None and failed[0] == asked:
        st.error(failed[1], icon=":material/error:")
    try:
        found, elsewhere = searches.results(asked), not running and searches.running(asked)
    except OSError as problem:
        st.error(trouble(problem), icon=":material/error:")
        return
    if live and not running and not elsewhere:
        st.rerun()
    if found.damaged:
        st.warning("The file of this search is damaged and cannot be read. A new start sets it aside and begins "
                   "afresh.", icon=":material/link_off:")
    done = len(found.trials)
    with st.container(horizontal=True, vertical_alignment="center"):
        if running:
            st.progress(min(done / asked.trials, 1.0), f"{done} of {asked.trials} trials: {ticket.note}")
            if st.button("Pause", icon=":material/pause:"):
                give_up("search")
                st.rerun()
        elif elsewhere:
            st.progress(min(done / asked.trials, 1.0), f"{done} of {asked.trials} trials: another visitor runs this "
                        "search, or it is about to pause")
        elif done < asked.trials:
            if not visitors_may():
                st.caption(STUDIES_ARE_THE_OPERATORS)
            elif st.button("Resume" if done else "Search", icon=":material/play_arrow:", type="primary"):
                st.session_state.pop("search failed", None)
                hold("search", searches.submit(engine(), asked))
                st.rerun()
            if done:
                st.caption(f"{done} of {asked.trials} trials are done and kept, also over a restart of the app.")
        if done and not running and not elsewhere and visitors_may() and \
                st.button("Throw away", icon=":material/delete:", type="tertiary"):
            try:
                searches.discard(asked)
            except (RuntimeError, OSError) as problem:
                st.session_state["search failed"] = (asked, trouble(problem))
            st.rerun()
    if done:
        search_found(visitor, chosen, asked, found, ink)


def search_found(visitor: State, chosen: Choice, asked: searches.Search, found: searches.Results, ink: str) -> None:
    """The best setting, and why it was chosen."""
    trials, names = found.trials, [name for name, _, _ in asked.ranges]
    scores = np.array([trial.score for trial in trials])
    best = int(scores.argmin())
    first = trials[best]
    st.markdown(f"**Best of {len(trials)}: {said(chosen, dict(first.values))}**, {first.score:.1f} points from "
                f"retraining on validation data ({first.forget_gap:.1f} in forget, {first.retain_gap:.1f} in retain "
                f"accuracy), found in trial {best + 1}. Judged on 200 training images of the forgotten class and on "
                "900 images held out of training; test images are not used.")
    if st.button("Open the best in the playground", icon=":material/play_circle:"):
        open_in_playground(visitor, chosen, first.values)
    st.markdown("##### Why did it choose this?")
    left, right = st.columns([0.55, 0.45])
    with left:
        if len(names) == 2:
            x, y = names
            knobs = numeric(chosen.method)
            under = plane(asked.rest, x, y)
            retrained = reference(engine(), chosen.network, chosen.forget)
            known = surface(engine(), under)
            gaps = None if retrained is None or known.missing() else gap(known.values, retrained)
            at = [np.array([place(values, knobs[name], trial.values[name]) for trial in trials])
                  for name, values in ((x, under.xs), (y, under.ys))]
            behind = "" if gaps is None else " Behind: the gap to retraining on the evaluation images."
            st.caption("How to read this: a dot is a trial, the larger the later, ☆ the best. Ten are drawn at random, "
                       f"then TPE looks where good ones were.{behind}")
            axes = scale(chosen, x, under.xs), scale(chosen, y, under.ys)
            st.plotly_chart(figures.path(*axes, gaps, *at, scores, best, ink), key="path", config=PLAIN,
                            alt="Where the search went")
    with right:
        if asked.goal == "both":
            gaps = np.array([[trial.forget_gap, trial.retain_gap] for trial in trials])
            on_front = pareto(gaps)
            st.caption(f"How to read this: a dot is a trial; the {on_front.sum()} on the line are beaten by no other "
                       "in both gaps. Lower left is better.")
            st.plotly_chart(figures.front(gaps, on_front, ink), key="front", config=PLAIN,
                            alt=f"Trials by both gaps, {on_front.sum()} on the front")
        else:
            st.caption("How to read this: a dot is a trial, the line the best so far; lower is better.")
            st.plotly_chart(figures.best_so_far(scores, searches.best_so_far(trials), ink), key="best", config=PLAIN,
                            alt=f"Best score so far, at last {scores.min():.1f} points")
    if found.importances:
        knobs = numeric(chosen.method)
        leading = next(iter(found.importances))
        st.markdown(f"{knobs[leading].label} decided most: {found.importances[leading]:.0%} of what sets the best "
                    "trials apart lies in it (PED-ANOVA).")
        st.caption("How to read this: the longer a bar, the more the best trials agree on this knob's value; the "
                   "shares add up to 100 %.")
        st.plotly_chart(figures.importances({knobs[n].label: share for n, share in found.importances.items()}, ink),
                        key="importances", config=PLAIN, alt="Importance of each knob")


# -- the page -------------------------------------------------------------------------------------------------

visitor = state()
tell_notes(visitor)
now = present(visitor, "search", "rule")
headline(now, visitor)
if now.wanted is None:
    st.stop()
wanted = now.wanted
ink = RETRAINED_ON_DARK if st.context.theme.type == "dark" else RETRAINED
knobs = numeric(wanted.method)
if not knobs:
    st.info(f"{METHODS[wanted.method].title} has no numeric knob to turn.", icon=":material/info:")
    st.stop()
others = {name for found in METHODS.values() for name in numeric(found.name)}
for name in ("x", "y"):  # a knob of the last method is no mistake
    if visitor.views.get(name) in others - set(knobs):
        del visitor.views[name]

try:
    with st.container(horizontal=True):
        label = {name: f"{knob.label} ({name})" if knob.label != name else name for name, knob in knobs.items()}
        x = view(visitor, "x", list(knobs), "Knob", format_func=label.__getitem__, width=300)
        rest = [name for name in knobs if name != x]
        if visitor.views.get("y") == x:
            del visitor.views["y"]
        y = view(visitor, "y", rest, "Second knob", format_func=label.__getitem__, width=300) if rest else ""
    write_address(wanted, visitor)
    lines = {f"seed {wanted.seed}" if METHODS[wanted.method].seeded else "now": plane(wanted, x)}
    if y:
        shown = plane(wanted, x, y)
        rule = wanted.method == "ssd" and "alpha" in (x, y)
        pace = moving(shown) or (1.5 if rule and adaptive(wanted) is None else None)
        st.fragment(two_knobs, run_every=pace)(visitor, wanted, shown, rule, ink, pace is not None)
    if METHODS[wanted.method].seeded and st.toggle(
            f"{MORE_SEEDS} more seeds along the first knob", key="more seeds",
            help="How much of what you see is chance? Each takes as long as the first."):
        for seed in range(1, MORE_SEEDS + 1):
            other = (wanted.seed + seed) % SEEDS.stop
            lines[f"seed {other}"] = plane(replace(wanted, seed=other), x)
    pace = moving(*lines.values())
    st.fragment(one_knob, run_every=pace)(wanted, lines, x, ink, pace is not None)
    if METHODS[wanted.method].importance is not None:
        estimators(wanted, ink)
        classes(wanted, ink)

    st.markdown("#### Can a machine find the setting?")
    st.caption("Optuna's TPE looks for it, as SSD's authors did (50 trials, α in [0.1, 100], λ in [0.1, 5]), judged on "
               "validation images, never on test images. Whoever moves a slider goes first.")
    asked = asked_search(wanted, [name for name in (x, y) if name])
    if asked is not None:
        live = getattr(held("search"), "key", None) == ("search", asked) or searches.running(asked)
        st.fragment(search_progress, run_every=1.0 if live else None)(visitor, wanted, asked, ink, live)
except (AssetError, ValueError, RuntimeError) as problem:
    st.error(str(problem), icon=":material/error:")

st.markdown("#### Run a larger study")
try:
    sweeps(visitor)
except (AssetError, ValueError, RuntimeError) as problem:
    st.error(str(problem), icon=":material/error:")
