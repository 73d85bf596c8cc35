"""Tables: on a screen as one that sorts and scrolls, on paper all of it."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

PRINTED = 200  # rows at most


def data_table(frame: pd.DataFrame, **widget: Any) -> None:
    """A table; `widget` as for `st.dataframe`, which on paper would be cut where it scrolls."""
    st.dataframe(frame, **widget)
    whole = frame.head(PRINTED).to_html(index=False, border=0, na_rep="…", float_format=lambda value: f"{value:.4g}")
    rest = f"<p>The first {PRINTED} of {len(frame):,} rows.</p>" if len(frame) > PRINTED else ""
    st.html(f'<div class="print-only">{whole}{rest}</div>')
