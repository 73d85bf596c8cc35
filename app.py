"""Lacuna: see a network forget. Page set-up, navigation, and what to forget."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from ui.state import CLASSES, state
from ui.waiting import arrive
from unlearn_core import zoo
from unlearn_core.methods import METHODS

st.set_page_config(page_title="Lacuna", page_icon="assets/logo.svg", layout="wide")

page = st.navigation(
    {
        "Forget": [
            st.Page("pages/playground.py", title="What happens when it forgets?", icon=":material/play_circle:",
                    default=True),
            st.Page("pages/layers.py", title="Where does the forgetting happen?", icon=":material/layers:",
                    url_path="layers"),
        ],
        "Judge": [
            st.Page("pages/compare.py", title="Which method, and at what price?", icon=":material/balance:",
                    url_path="compare"),
            st.Page("pages/privacy.py", title="Could an attacker tell?", icon=":material/policy:", url_path="privacy"),
            st.Page("pages/embeddings.py", title="Did the representation change?", icon=":material/scatter_plot:",
                    url_path="embeddings"),
        ],
        "Tune": [
            st.Page("pages/landscape.py", title="How do the knobs behave?", icon=":material/landscape:",
                    url_path="landscape"),
        ],
        "Read": [
            st.Page("pages/methods.py", title="What am I looking at?", icon=":material/menu_book:",
                    url_path="methods"),
        ],
    },
    position="top",
)
st.logo("assets/logo.svg", size="large")
st.html(Path(__file__).parent / "assets" / "css" / "app.css")
arrive(page.title)

chosen = state()
with st.sidebar:
    st.session_state["network"] = chosen.network
    st.selectbox("Network", list(zoo.TITLES), format_func=zoo.TITLES.__getitem__, key="network",
                 on_change=lambda: setattr(chosen, "network", st.session_state["network"]))
    st.session_state["forget"] = list(chosen.forget)
    st.multiselect("Forget", range(len(CLASSES)), format_func=CLASSES.__getitem__, key="forget",
                   placeholder="Choose a class",
                   on_change=lambda: setattr(chosen, "forget", tuple(sorted(st.session_state["forget"]))))
    st.session_state["method"] = chosen.method
    st.selectbox("Method", list(METHODS), format_func=lambda name: f"{METHODS[name].title} · {METHODS[name].family}",
                 key="method", on_change=lambda: setattr(chosen, "method", st.session_state["method"]))
    st.caption(METHODS[chosen.method].about)

st.markdown(f"##### {page.icon} {page.title}")
page.run()
