"""Widgets made from a method's declaration. Nothing here knows a method by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import streamlit as st

from ui.state import State, positions, snap, start
from unlearn_core.assets import AssetError
from unlearn_core.methods import method
from unlearn_core.methods.base import Hyperparameter, Value
from unlearn_core.serving.choice import SEEDS
from unlearn_core.subjects import openings


def knobs(state: State, limit: float | None) -> None:
    """One widget per hyper-parameter; the advanced ones one click away."""
    declared = method(state.method).hyperparameters
    if said := origin(state):
        st.caption(said)
    for knob in declared:
        if not knob.advanced:
            _widget(state, knob)
            if knob.name == "alpha" and limit is not None:
                st.caption(f"Ceiling 1/ρ = {limit:.3g}: from there on no weight can be selected.")
    with st.expander("Advanced", icon=":material/tune:"):
        for knob in declared:
            if knob.advanced:
                _widget(state, knob)
        if method(state.method).seeded:
            st.session_state["seed"] = state.seed
            st.number_input("Seed", 0, SEEDS.stop - 1, key="seed", help="Owns all randomness of the method: the same "
                            "seed gives the same outcome.", on_change=lambda: setattr(state, "seed",
                                                                                      st.session_state["seed"]))


def _widget(state: State, knob: Hyperparameter) -> None:
    settings = state.settings[state.method]
    key = f"{state.method}.{knob.name}"
    said = f"{knob.meaning} General default: {knob.source}."
    if knob.scale == "choice":
        st.session_state[key] = settings[knob.name]
        st.selectbox(knob.label, knob.choices, key=key, help=said, on_change=_take,
                     args=(state, state.method, knob.name, key))
        return
    st.session_state[key] = snap(knob, float(settings[knob.name]))
    st.select_slider(knob.label, positions(knob), key=key, help=said, format_func=lambda v: f"{v:g}{knob.unit}",
                     on_change=_take, args=(state, state.method, knob.name, key))


def _take(state: State, method_name: str, knob: str, key: str) -> None:
    state.put(method_name, {knob: st.session_state[key]})  # by now another method may be chosen


def take_point(state: State, canvas: str, names: Sequence[str]) -> None:
    """A drag on a canvas was released: take its point, unless it was made on a scene that is left by now.

    What else a browser may send counts as nothing.
    """
    try:
        point = st.session_state[canvas]["point"]
        if point["scene"] == state.choice().scene.key:
            known = {knob.name: knob for knob in method(state.method).hyperparameters if knob.name in names}
            state.put(state.method, {name: snap(knob, min(max(float(point[name]), knob.low), knob.high))
                                     for name, knob in known.items()})
    except (KeyError, TypeError, ValueError, OverflowError):
        return


def origin(state: State) -> str:
    """Where the settings that the request opens with come from, in a sentence; empty where there is nothing to say."""
    try:
        opens = openings.opening(state.network, state.forget, state.method)
    except (AssetError, OSError) as problem:
        return f"Opens on the general defaults: {problem}"
    if opens is None:
        single = len(state.forget.classes) == 1
        return "" if single else "Opens on the general defaults: no others were tried for this request."
    best, found = opens.best, method(state.method)
    if not opens.serves:
        faults = [f"leaves {100 * best.forget:.0f} % recognised"] if best.recognised else []
        faults += [f"costs {state.subject.classes[best.worst_class]} {100 * best.worst_loss:.0f} points"] \
            if best.costly else []
        tried = (f"None of {opens.candidates} settings tried serves here. Shown is the best trade-off: it"
                 if opens.candidates > 1 else "The one setting that was tried does not serve here: it")
        return f"{tried} {' and '.join(faults)}."
    moved = [f"{knob.label} = {f'{v:g}' if isinstance(v, float) else v}{knob.unit}" for knob in found.hyperparameters
             if (v := best.settings[knob.name]) != knob.default]
    best_of = f"the best of {opens.candidates} settings on" if opens.candidates > 1 else "which serves on"
    return f"Opens on {', '.join(moved) or 'the general default'}, {best_of} validation images."


def presets(state: State) -> None:
    """The settings that have a name on this request, undo and reset, in one row."""
    found = method(state.method)
    try:
        offered = openings.presets(state.network, state.forget, state.method)
    except (AssetError, OSError):
        offered = openings.untried(found)
    with st.container(horizontal=True, gap="small"):
        for preset in offered:
            said = preset.effect.said(state.subject.classes) if preset.effect else ""
            st.button(preset.name[0].upper() + preset.name[1:], help=" ".join(filter(None, (preset.about, said))),
                      key=f"preset.{found.name}.{preset.name}", on_click=_apply(state, preset.settings))
        st.space("stretch")
        st.button("Undo", icon=":material/undo:", disabled=len(state.history) < 2, on_click=lambda: undo(state),
                  type="tertiary")
        st.button("Reset", icon=":material/restart_alt:", type="tertiary",
                  on_click=_apply(state, start(state.network, state.forget, state.method)))


def _apply(state: State, settings: dict[str, Value]) -> Callable[[], None]:
    return partial(state.put, state.method, settings)


def undo(state: State) -> None:
    """Back to the settled choice before this one."""
    state.step_back()
    st.session_state["undone"] = True  # network, classes and method live outside the fragment

