"""Widgets made from a method's declaration. Nothing here knows a method by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import streamlit as st

from ui.mirror import showing, taken
from ui.sliders import snap
from ui.state import State, start
from unlearn_core.assets import AssetError
from unlearn_core.methods import method, positions
from unlearn_core.methods.base import Hyperparameter, Value
from unlearn_core.nets.request import Request
from unlearn_core.serving.choice import SEEDS
from unlearn_core.subjects import openings


def knobs(visitor: State, limit: float | None) -> None:
    """One widget per hyper-parameter; the advanced ones one click away."""
    declared = method(visitor.method).hyperparameters
    st.caption(origin(visitor))
    for knob in declared:
        if not knob.advanced:
            _widget(visitor, knob)
            if knob.name == "alpha" and limit is not None:
                st.caption(f"Ceiling 1/ρ = {limit:.3g}: from there on no weight can be selected.")
    with st.expander("Advanced", icon=":material/tune:"):
        for knob in declared:
            if knob.advanced:
                _widget(visitor, knob)
        if method(visitor.method).seeded:
            st.number_input("Seed", 0, SEEDS.stop - 1, key=showing("seed", visitor.seed),
                            on_change=lambda: setattr(visitor, "seed", taken("seed")),
                            help="Owns all randomness of the method: the same seed gives the same outcome.")


def _widget(visitor: State, knob: Hyperparameter) -> None:
    settings, name = visitor.settings[visitor.method], f"{visitor.method}.{knob.name}"
    said = f"{knob.meaning} General default: {knob.source}."
    if knob.scale == "choice":
        st.selectbox(knob.label, knob.choices, key=showing(name, settings[knob.name]), help=said, on_change=_take,
                     args=(visitor, visitor.method, knob.name))
        return
    st.select_slider(knob.label, positions(knob), key=showing(name, snap(knob, float(settings[knob.name]))), help=said,
                     format_func=lambda v: f"{v:g}{knob.unit}", on_change=_take,
                     args=(visitor, visitor.method, knob.name))


def _take(visitor: State, method_name: str, knob: str) -> None:
    visitor.put(method_name, {knob: taken(f"{method_name}.{knob}")})  # by now another method may be chosen


def take_point(visitor: State, canvas: str, names: Sequence[str]) -> None:
    """A drag on a canvas was released: take its point, unless it was made on a scene that is left by now.

    What else a browser may send counts as nothing.
    """
    try:
        point = st.session_state[canvas]["point"]
        if point["scene"] == visitor.choice().scene.key:
            known = {knob.name: knob for knob in method(visitor.method).hyperparameters if knob.name in names}
            visitor.put(visitor.method, {name: snap(knob, min(max(float(point[name]), knob.low), knob.high))
                                     for name, knob in known.items()})
    except (KeyError, TypeError, ValueError, OverflowError):
        return


def origin(visitor: State) -> str:
    """Where the settings that the request opens with come from, in a sentence."""
    try:
        opens = openings.opening(visitor.network, visitor.forget, visitor.method)
    except (AssetError, OSError) as problem:
        return f"Opens on the general defaults: {problem}"
    if opens is None:
        return "Opens on the general defaults: no others were tried for this request."
    best, found = opens.best, method(visitor.method)
    if not opens.serves:
        faults = [f"leaves {100 * best.forget:.0f} % recognised"] if best.recognised else []
        faults += [f"costs {visitor.subject.classes[best.worst_class]} {100 * best.worst_loss:.0f} points"] \
            if best.costly else []
        tried = (f"None of {opens.candidates} settings tried serves here. Shown is the best trade-off: it"
                 if opens.candidates > 1 else "The one setting that was tried does not serve here: it")
        return f"{tried} {' and '.join(faults)}."
    moved = [f"{knob.label} = {f'{v:g}' if isinstance(v, float) else v}{knob.unit}" for knob in found.hyperparameters
             if (v := best.settings[knob.name]) != knob.default]
    best_of = f"the best of {opens.candidates} settings tried" if opens.candidates > 1 else "which serves"
    return f"Opens on {', '.join(moved) or 'the general default'}, {best_of}; no test image was read."


def named_settings(network: str, forget: Request, method_name: str) -> tuple[openings.Named, ...]:
    """The settings of a request that have a name; they claim nothing where the bundled openings cannot be read."""
    try:
        return openings.presets(network, forget, method_name)
    except (AssetError, OSError):
        return openings.untried(method(method_name))


def presets(visitor: State) -> None:
    """The settings that have a name on this request, undo and reset, in one row."""
    found, offered = method(visitor.method), named_settings(visitor.network, visitor.forget, visitor.method)
    with st.container(horizontal=True, gap="small", key="presets"):
        for preset in offered:
            said = preset.effect.said(visitor.subject.classes) if preset.effect else ""
            st.button(preset.name[0].upper() + preset.name[1:], help=" ".join(filter(None, (preset.about, said))),
                      key=f"preset.{found.name}.{preset.name}", on_click=_apply(visitor, preset.settings))
        st.space("stretch")
        st.button("Undo", icon=":material/undo:", disabled=len(visitor.history) < 2, on_click=lambda: undo(visitor),
                  type="tertiary")
        st.button("Reset", icon=":material/restart_alt:", type="tertiary",
                  on_click=_apply(visitor, start(visitor.network, visitor.forget, visitor.method)))


def _apply(visitor: State, settings: dict[str, Value]) -> Callable[[], None]:
    return partial(visitor.put, visitor.method, settings)


def undo(visitor: State) -> None:
    """Back to the settled choice before this one."""
    visitor.step_back()
    st.session_state["undone"] = True  # network, classes and method live outside the fragment

