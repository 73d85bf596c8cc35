"""The figures of the page one is on, to take along."""

from __future__ import annotations

import streamlit as st

from unlearn_core.picture.scripts import script, styles

_mount = st.components.v2.component("lacuna_figures", html='<div class="lacuna-figures" tabindex="-1"></div>',
                                    css=styles("figures.css"), js=script("figures.js"))


def figures(key: str, source: str) -> None:
    """A button for each figure and kind of file, in which the source stands and whose name has the key."""
    _mount(key="figures", data={"key": key, "source": source})
