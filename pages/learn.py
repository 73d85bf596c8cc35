"""How do I learn to read all this? Lessons that move the controls step by step, each ending in a question."""

from __future__ import annotations

import streamlit as st

from ui import outcome, remains
from ui.controls import knobs, take_point
from ui.lessons import DAMPENED, GUESSES, Question, Step, bounds, filled, kept, lessons, measured, words
from ui.present import Shown, headline, named, present
from ui.server.runtime import engine
from ui.state import State, state, tell_notes
from ui.tour import Place, arrived, enter, guess, neighbour, reveal
from ui.views.game import game
from ui.views.layers import layers_view
from ui.waiting import ready
from unlearn_core.assets import AssetError
from unlearn_core.figures.layer_change import layer_change
from unlearn_core.figures.style import RETRAINED, RETRAINED_ON_DARK, UNLEARNED
from unlearn_core.methods import method
from unlearn_core.serving.judgement import Readings
from unlearn_core.serving.remains import submit
from unlearn_core.serving.scenes import Scene, Settled


def story(now: Shown, step: Step, at: Place, values: dict[str, str], found: dict[str, float]) -> bool:
    """The step in words, with its guess or question; whether it is done."""
    current = now.state == "current"
    here, told, mine = now.wanted == step.choice, st.session_state.setdefault("told", {}), guess(at)
    st.markdown(f"#### {filled(step.title, values)}")
    if step.question is not None:
        st.markdown(filled(step.ask, values | bounds(step.question)))
        return current and now.audit is not None and answered(step, step.question, values, found)
    if step.guess and mine is None and not here:
        st.markdown(filled(step.ask, values))
        st.slider(f"{GUESSES[step.guess]}: your guess", 0, 100, 50, format="%d %%", key=f"guess {at}")
        st.button("Run it", icon=":material/play_arrow:", type="primary", on_click=reveal, args=(visitor, step, at))
        return False
    if here and current:  # first from some of the images, then from all
        told[at] = filled(step.say, values)
    st.markdown(told.get(at, filled(step.say, {})))
    if mine is not None and here and current:
        gap = 100 * (mine - found[step.guess])
        st.markdown(f"**You guessed {mine:.0%}, it is {found[step.guess]:.1%}:** " + (
            "that close." if abs(gap) < 2.5 else f"{abs(gap):.0f} points too {'high' if gap > 0 else 'low'}."))
    if not here:
        st.caption(f"The controls have moved on. These words are of {named(step.choice)}.")
        st.button("Back to this step's setting", icon=":material/undo:", on_click=visitor.adopt, args=(step.choice,))
    if step.done == "relearned":
        return here and engine().pool.known(("relearning", step.choice)) is not None
    return here and current and (step.done != "guessed" or mine is not None)


def answered(step: Step, question: Question, values: dict[str, str], found: dict[str, float]) -> bool:
    """What is asked for beside what there is."""
    right = kept(question, found)
    st.markdown("  \n".join(f":material/{'check_circle' if ok else 'radio_button_unchecked'}: {said}"
                            for said, ok in right.items()))
    if all(right.values()):
        st.success(filled(step.say, values | bounds(question)), icon=":material/check:")
        return True
    labels = {knob.name: knob.label for knob in method(step.choice.method).hyperparameters}
    st.caption(f"Change {' and '.join(labels.get(name, name.capitalize()) for name in question.move)} in the panel at "
               "the side. Every answer is checked on the network itself.")
    return False


def layers(now: Shown, scene: Scene, settled: Settled) -> None:
    """Where the weights changed."""
    if settled.answers is None or visitor.plain:
        st.caption("How to read this: a row is a layer; the bar is how far its weights moved, relative to their size.")
        st.plotly_chart(layer_change(scene.layers, {method(settled.choice.method).title: settled.change}, (UNLEARNED,),
                                     ink), key="moved", alt="Relative weight change of every layer")
        return
    st.caption("How to read this: a row is a layer, its steps a histogram of its weights' importance ratios. What lies "
               "right of the line is dampened; drag the line.")
    layers_view(now, visitor.views.get("tensor", scene.layers[scene.kinds.index("head")]),
                lambda: take_point(visitor, "layers", ("alpha",)), lambda: None)


def lit(now: Shown, scene: Scene, settled: Settled, readings: Readings, view: str) -> None:
    """The one view that the step looks at."""
    plain = {"classes": lambda: outcome.accuracies(settled, readings, ink),
             "images": lambda: outcome.images(scene, settled), "map": lambda: outcome.maps(scene, settled),
             "own": lambda: outcome.own_pictures(settled, ink),
             "attack": lambda: outcome.attacked(scene, settled, ink),
             "game": lambda: game(scene, settled), "layers": lambda: layers(now, scene, settled)}
    if view == "attack" and now.audit is None:
        st.caption("The attack follows with the verdict …")
    elif view in plain:
        plain[view]()
    elif (inside := ready(submit(engine(), scene, settled), 2.5, "Looking inside")) is not None:
        {"probe": lambda: remains.probe(inside, ink), "depth": lambda: remains.layers(inside, ink),
         "relearn": lambda: remains.relearn(scene, settled, inside, ink)}[view]()


visitor: State = state()
ink = RETRAINED_ON_DARK if st.context.theme.type == "dark" else RETRAINED
all_lessons, faults = lessons()
for fault in faults:
    st.error(fault, icon=":material/error:")
if not all_lessons:
    st.info("There is no lesson in the folder `lessons`.", icon=":material/info:")
    st.stop()
known = {lesson.name: lesson for lesson in all_lessons}
at = arrived(visitor, known)
lesson, step = known[at[0]], known[at[0]].steps[at[1] - 1]
tell_notes(visitor)
now = present(visitor)
headline(now, visitor)
scene, settled = now.picture if now.picture is not None and not now.former else (None, None)
with st.sidebar:
    knobs(visitor, None if scene is None else scene.ceiling)
values: dict[str, str] = {}
found: dict[str, float] = {}
if scene is not None and settled is not None and now.readings is not None:
    values = words(scene, settled, now.readings, now.audit)
    found = measured(scene, settled, now.readings, now.audit)
bar = st.container(horizontal=True, vertical_alignment="bottom")
left, right = st.columns([0.45, 0.55], gap="large")
with left:
    st.caption(f"Step {at[1]} of {len(lesson.steps)}. {lesson.learn}")
    done = story(now, step, at, values, found)
with bar:
    st.session_state["lesson"] = lesson.name
    st.selectbox("Lesson", list(known), format_func=lambda name: known[name].title, key="lesson",
                 on_change=lambda: enter(visitor, known, (st.session_state["lesson"], 1)))
    for label, by, key in (("Back", -1, "B"), ("Next", 1, "N")):
        to = neighbour(known, at, by)
        st.button(label, key=label, shortcut=key, disabled=to is None, on_click=enter, args=(visitor, known, to),
                  type="primary" if done and by > 0 else "secondary")
if scene is not None and settled is not None and now.readings is not None:
    with right:
        outcome.gauges(now.readings, found.get(DAMPENED), {step.guess: mine} if (mine := guess(at)) is not None else {},
                       ink)
    try:
        lit(now, scene, settled, now.readings, step.view)
    except (AssetError, ValueError, RuntimeError) as problem:
        st.error(str(problem), icon=":material/error:")
    st.page_link(f"pages/{step.page}.py", label="Explore this setting further on its page",
                 icon=":material/arrow_forward:")
