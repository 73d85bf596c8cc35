"""All methods in numbers: a row a method, the best verdict first."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pandas as pd
import streamlit as st

from ui.panels.comparison import standing, title
from unlearn_core.audit.measures import MEASURES
from unlearn_core.methods import METHODS
from unlearn_core.methods.base import Need
from unlearn_core.study.comparison import Comparison, Entry

ARROWS = {"match": "→", "up": "↑", "down": "↓"}
NEEDS = get_args(Need)
FORMATS = {"share": "percent", "s": "%.2f s", "bytes": "bytes", "": "%.3f"}


def methods_table(found: Comparison) -> None:
    """The table, and its rows as a file."""
    st.markdown("#### All numbers")
    st.caption("How to read this: the best verdict first; click a column to sort otherwise. → the nearer to the row of "
               "true retraining the better, ↑ higher is better, ↓ lower is better; ± is half of the range over the "
               "seeds.")
    numbers = rows(found)
    st.dataframe(numbers, hide_index=True, column_config=columns(), height=35 * (len(numbers) + 1) + 3)
    st.download_button("Table as CSV", lambda: numbers.to_csv(index=False), "lacuna-compare.csv", "text/csv",
                       on_click="ignore", icon=":material/download:")


def rows(found: Comparison) -> pd.DataFrame:
    """One row per model: means over seeds, half of the range beside them, and what the method needs."""
    made = []
    entries = {**found.entries, **{name: Entry(name) for name in found.missing}}
    wanted = {name: found.entries["retrain"].values(name).mean() for name in ("forget_train", "retain_test")}

    def rank(entry: Entry) -> tuple[float, ...]:
        gap = sum(abs(entry.values(name).mean() - mean) for name, mean in wanted.items()) if len(
            entry.measures) else np.inf
        return entry.name in METHODS, -standing(entry), gap

    for entry in sorted(entries.values(), key=rank):
        name = entry.name
        row: dict[str, object] = {"method": title(name), "verdict": entry.level or "–",
                                  "family": METHODS[name].family if name in METHODS else "before forgetting",
                                  "seeds": len(entry.measures)}
        for key, kind in MEASURES.items():
            values = entry.values(key)
            row[f"{kind.title} {ARROWS[kind.better]}"] = values.mean() if len(values) else None
            if kind.unit in ("share", ""):
                row[f"± {kind.title}"] = np.ptp(values) / 2 if len(values) else None
        row |= {need: name in METHODS and need in METHODS[name].needs for need in NEEDS}
        made.append(row | {"remark": "Not run yet." if name in found.missing else f"Not applicable. {entry.obstacle}"
                           if entry.obstacle else " ".join(entry.warnings)})
    return pd.DataFrame(made)


def columns() -> dict[str, object]:
    """How each column of the table is written, and what it means."""
    shown: dict[str, object] = {
        "method": st.column_config.TextColumn(pinned=True, width=210),
        "verdict": st.column_config.TextColumn(width=170, help="Of the first seed. The table is ranked by it, then by "
                                               "the gap in accuracy to the retrained networks.")}
    for kind in MEASURES.values():
        shown[f"{kind.title} {ARROWS[kind.better]}"] = st.column_config.NumberColumn(
            format=FORMATS[kind.unit], help=f"{kind.about.capitalize()}. Mean over seeds.")
        if kind.unit in ("share", ""):
            shown[f"± {kind.title}"] = st.column_config.NumberColumn(
                format=FORMATS[kind.unit], help="Half of the range over the seeds; one run where nothing is random.")
    return shown | {need: st.column_config.CheckboxColumn(help=f"Needs {need} when forgetting.") for need in NEEDS}
