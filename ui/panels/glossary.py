"""All terms at once: one depth at a time, each with the way to the lesson's step that shows it."""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st

from ui.glossary import DEPTHS, glossary
from ui.lessons import Lesson
from ui.state import State
from ui.tour import enter

TITLES = {"plain": "In a sentence", "student": "For students", "paper": "As in the paper"}


def all_terms(visitor: State, known: Mapping[str, Lesson]) -> None:
    """The glossary, folded away until it is asked for."""
    folded = st.expander("Glossary: every term in three depths", icon=":material/dictionary:", on_change="rerun",
                         key="glossary")
    if folded.open:
        with folded:
            _terms(visitor, known)


@st.fragment
def _terms(visitor: State, known: Mapping[str, Lesson]) -> None:
    try:
        terms = glossary()
    except ValueError as problem:
        st.error(str(problem), icon=":material/error:")
        return
    with st.container(horizontal=True, vertical_alignment="bottom"):
        depth = st.segmented_control("Depth", DEPTHS, format_func=TITLES.__getitem__, default="plain", required=True,
                                     key="depth")
        sought = st.text_input("Find a term", key="sought", width=260).strip().lower()
    shown = {name: term for name, term in terms.items()
             if sought in " ".join((term.title, *term.also, getattr(term, depth))).lower()}
    if not shown:
        st.info("No term here has these letters.", icon=":material/info:")
    for name, term in sorted(shown.items(), key=lambda pair: pair[1].title.lower()):
        source = f" *{term.source}.*" if depth == "paper" else ""
        left, right = st.columns([0.88, 0.12])
        left.markdown(f"**{term.title}.** {getattr(term, depth)}{source}")
        if not term.step:
            right.page_link(f"pages/{term.lesson}.py", label="See it", icon=":material/arrow_forward:")
        elif term.lesson in known and right.button("See it", icon=":material/school:", key=f"term.{name}",
                                                 type="tertiary", help=known[term.lesson].title):
            enter(visitor, known, (term.lesson, term.step))
            st.rerun()
