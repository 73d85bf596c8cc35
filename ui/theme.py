"""How every page draws: the ink of this visitor's theme, and what a chart shows beside its figure."""

from __future__ import annotations

import streamlit as st

from unlearn_core.figures.style import RETRAINED, RETRAINED_ON_DARK

NO_BAR = {"displayModeBar": False}
SHARE = st.column_config.ProgressColumn(format="percent", min_value=0, max_value=1)


def ink() -> str:
    """The colour of text-like marks and of retrained networks: dark on a light page, light on a dark one."""
    return RETRAINED_ON_DARK if st.context.theme.type == "dark" else RETRAINED
