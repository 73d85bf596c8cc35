"""Lacuna: see a network forget. Page set-up, navigation, and what to forget."""

from __future__ import annotations

import os
from pathlib import Path

import streamlit as st

from ui.asking import ask
from ui.glossary import tip
from ui.mirror import showing, taken
from ui.own import shelf
from ui.presenting import dress, follow, presents, room
from ui.state import state
from ui.state_file import open_state
from ui.waiting import arrive
from unlearn_core.assets import ROOT
from unlearn_core.methods import METHODS
from unlearn_core.picture.scripts import styles
from unlearn_core.subjects.subject import left_out, subject, subjects

LOGO = str(file) if (file := ROOT / "logo.svg").is_file() and os.access(file, os.R_OK) else None
st.set_page_config(page_title="Lacuna", page_icon=LOGO, layout="wide")

# Every page in the order in which one asks: its file, its sign, and its question.
QUESTIONS = {
    "See": ("pages/playground.py", ":material/play_circle:", "What happens when it forgets?"),
    "Where": ("pages/layers.py", ":material/layers:", "Where does the forgetting happen?"),
    "Which method": ("pages/compare.py", ":material/balance:", "Which method, and at what price?"),
    "Attacker": ("pages/privacy.py", ":material/policy:", "Could an attacker tell?"),
    "Inside": ("pages/embeddings.py", ":material/scatter_plot:", "Did the representation change?"),
    "Knobs": ("pages/landscape.py", ":material/landscape:", "How do the knobs behave?"),
    "Read": ("pages/methods.py", ":material/menu_book:", "What am I looking at?"),
    "Learn": ("pages/learn.py", ":material/school:", "How do I learn to read all this?"),
    "Queue": ("pages/queue.py", ":material/queue:", "What if requests come one after another?"),
}

pages = [st.Page(file, title=name, icon=icon, default=not place, url_path=Path(file).stem if place else "")
         for place, (name, (file, icon, _)) in enumerate(QUESTIONS.items())]
page = st.navigation(pages, position="top")
if LOGO:
    st.logo(LOGO, size="large")
st.html(f"<style>{styles('app.css')}</style>")
arrive(page.title)
st.session_state["page file"] = Path(QUESTIONS[page.title][0]).stem

visitor = state()
with st.sidebar:
    st.selectbox("Network", list(subjects()), format_func=lambda name: subject(name).title,
                 key=showing("network", visitor.network), on_change=lambda: visitor.take_network(taken("network")))
    for fault in left_out():
        st.warning(fault, icon=":material/link_off:")
    shelf(visitor)
    ask(visitor)
    st.selectbox("Method", list(METHODS), format_func=lambda name: f"{METHODS[name].title} · {METHODS[name].family}",
                 key=showing("method", visitor.method), on_change=lambda: setattr(visitor, "method", taken("method")),
                 help=tip("unlearning"))
    st.caption(METHODS[visitor.method].about)

    if not presents(visitor):
        room(visitor)
        open_state()
dress(visitor)
follow(visitor, {Path(file).stem: file for file, _, _ in QUESTIONS.values()})
st.markdown(f"##### {page.icon} {QUESTIONS[page.title][-1]}")
page.run()
