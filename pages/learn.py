"""How do I learn to read all this? Lessons that move the controls step by step, each ending in a question."""

from __future__ import annotations

import streamlit as st

from ui.controls import knobs
from ui.lessons import DAMPENED, lessons, measured, words
from ui.mirror import showing, taken
from ui.opening import rest_follows
from ui.panels import outcome
from ui.panels.glossary import all_terms
from ui.panels.lesson import lit, story
from ui.present import headline, present
from ui.state import state, tell_notes
from ui.theme import ink
from ui.tour import arrived, enter, guess, neighbour
from unlearn_core.assets import AssetError

visitor = state()
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
    done = story(visitor, now, step, at, values, found)
with bar:
    st.selectbox("Lesson", list(known), format_func=lambda name: known[name].title, key=showing("lesson", lesson.name),
                 on_change=lambda: enter(visitor, known, (taken("lesson"), 1)))
    for label, by, key in (("Back", -1, "B"), ("Next", 1, "N")):
        to = neighbour(known, at, by)
        st.button(label, key=label, shortcut=key, disabled=to is None, on_click=enter, args=(visitor, known, to),
                  type="primary" if done and by > 0 else "secondary")
rest_follows()
if scene is not None and settled is not None and now.readings is not None:
    with right:
        outcome.gauges(now.readings, found.get(DAMPENED), {step.guess: mine} if (mine := guess(at)) is not None else {},
                       ink())
    try:
        lit(visitor, now, scene, settled, now.readings, step.view, ink())
    except (AssetError, ValueError, RuntimeError) as problem:
        st.error(str(problem), icon=":material/error:")
    st.page_link(f"pages/{step.page}.py", label="Explore this setting further on its page",
                 icon=":material/arrow_forward:")
all_terms(visitor, known)

