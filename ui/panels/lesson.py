"""One step of a lesson: its words, its guess or question, and the one view that it looks at."""

from __future__ import annotations

import streamlit as st

from ui.controls import take_point
from ui.glossary import marked
from ui.lessons import GUESSES, Question, Step, bounds, filled, kept
from ui.panels import outcome, remains
from ui.panels.strongest import attacked
from ui.present import Shown, named
from ui.server.runtime import engine
from ui.state import State
from ui.tour import Place, guess, reveal
from ui.views.game import game
from ui.views.layers import layers_view
from ui.waiting import ready
from unlearn_core.figures.layer_change import layer_change
from unlearn_core.figures.style import UNLEARNED
from unlearn_core.methods import method
from unlearn_core.serving.judgement import Readings
from unlearn_core.serving.remains import submit
from unlearn_core.serving.scenes import Scene, Settled


def story(visitor: State, now: Shown, step: Step, at: Place, values: dict[str, str], found: dict[str, float]) -> bool:
    """The step in words, with its guess or question; whether it is done."""
    current = now.state == "current"
    here, told, mine = now.wanted == step.choice, st.session_state.setdefault("told", {}), guess(at)
    st.markdown(f"#### {filled(step.title, values)}")
    if step.question is not None:
        st.markdown(marked(filled(step.ask, values | bounds(step.question))))
        return current and now.audit is not None and _answered(step, step.question, values, found)
    if step.guess and mine is None and not here:
        st.markdown(marked(filled(step.ask, values)))
        st.slider(f"{GUESSES[step.guess]}: your guess", 0, 100, 50, format="%d %%", key=f"guess {at}")
        st.button("Run it", icon=":material/play_arrow:", type="primary", on_click=reveal, args=(visitor, step, at))
        return False
    if here and current:  # first from some of the images, then from all
        told[at] = filled(step.say, values)
    if here or at in told:  # of another setting the numbers are not known: no sentence with holes in it
        st.markdown(marked(told.get(at, filled(step.say, {}))))
    if mine is not None and here and current:
        gap = 100 * (mine - found[step.guess])
        st.markdown(f"**You guessed {mine:.0%}, it is {found[step.guess]:.1%}:** " + (
            "that close." if abs(gap) < 2.5 else f"{abs(gap):.0f} points too {'high' if gap > 0 else 'low'}."))
    if not here:
        st.caption("The controls have moved on. " + (f"These words are of {named(step.choice)}." if at in told else
                   f"What this step says is of {named(step.choice)}, and is told there with its numbers."))
        st.button("Back to this step's setting", icon=":material/undo:", on_click=visitor.adopt, args=(step.choice,))
    if step.done == "relearned":
        return here and engine().pool.known(("relearning", step.choice)) is not None
    return here and current and (step.done != "guessed" or mine is not None)


def _answered(step: Step, question: Question, values: dict[str, str], found: dict[str, float]) -> bool:
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


def _layers(visitor: State, now: Shown, scene: Scene, settled: Settled, ink: str) -> None:
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


def lit(visitor: State, now: Shown, scene: Scene, settled: Settled, readings: Readings, view: str,
        ink: str) -> None:
    """The one view that the step looks at."""
    plain = {"classes": lambda: outcome.accuracies(settled, readings, ink),
             "images": lambda: outcome.images(scene, settled), "map": lambda: outcome.maps(scene, settled),
             "own": lambda: outcome.own_pictures(settled, ink),
             "attack": lambda: attacked(scene, settled, ink), "game": lambda: game(scene, settled),
             "layers": lambda: _layers(visitor, now, scene, settled, ink)}
    if view == "attack" and now.audit is None:
        st.caption("The attack follows with the verdict …")
    elif view in plain:
        plain[view]()
    elif (inside := ready(submit(engine(), scene, settled), 2.5, "Looking inside")) is not None:
        {"probe": lambda: remains.probe(inside, ink), "depth": lambda: remains.layers(inside, ink),
         "relearn": lambda: remains.relearn(scene, settled, inside, ink)}[view]()
