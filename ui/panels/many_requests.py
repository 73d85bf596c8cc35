"""Every method over many requests: ranks with their uncertainty, from the rows that anybody can make again."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pandas as pd
import streamlit as st

from ui.tables import data_table
from unlearn_core.assets import AssetError
from unlearn_core.methods import method
from unlearn_core.study import standings
from unlearn_core.study.standings import FEWEST, Standing, best_verdicts, called
from unlearn_core.subjects.subject import Subject

COMMAND = "python -m unlearn_core.bundle.results"
SWEEP = "python -m unlearn_core sweep --networks {network} --methods all --forget each --seeds 5 --out results"


def rank(one: Standing) -> str:
    """The ranks that a method may have."""
    return str(one.best) if one.best == one.worst else f"{one.best} to {one.worst}"


def many_requests(own: Subject) -> None:
    """The table of each kind of request of a subject. Worked out when it is opened."""
    folded = st.expander("And over many requests? Ranks with their uncertainty", icon=":material/leaderboard:",
                         on_change="rerun", key="many requests")
    if not folded.open:
        return
    with folded:
        try:
            rows, wanted = standings.load(), standings.retrained()
        except AssetError as problem:
            st.error(str(problem), icon=":material/error:")
            return
        known = {} if rows is None else standings.kinds(rows[rows["network"] == own.name])
        if not known:
            st.info("Ranks over many requests are bundled for the networks that come with the app. For this one, "
                    f"`{SWEEP.format(network=own.name)}` runs every method on every class.", icon=":material/info:")
            return
        for (_, kind), part in known.items():
            _table(kind, standings.standings(part, wanted, np.random.default_rng(0)))
        st.caption("How to read this: on one request, a run beats another by the better verdict or, with the same one, "
                   "by the smaller gap to the retrained networks. *Wins* is the share of other methods' runs beaten. "
                   "Methods that cannot be told apart share a rank, by a permutation test over requests, for all pairs "
                   "together at 95 %; fewer than six requests tell nothing apart. Gaps are in points; ± is the "
                   "standard deviation over seeds; backward passes count images. All methods at their general "
                   f"defaults. `{COMMAND}` makes it again; docs/results.md says what was run and what was not.")
        assert rows is not None
        st.download_button("All runs as CSV", lambda: rows.to_csv(index=False), "lacuna-results.csv", "text/csv",
                           on_click="ignore", icon=":material/download:")


def _table(kind: str, found: list[Standing]) -> None:
    if not found:
        st.info(f"Forget {called(kind)}: no request yet on which every method has run.",
                icon=":material/hourglass_empty:")
        return
    said = f"**Forget {called(kind)}**: {len(found)} methods on {(n := found[0].requests)} request{'s' * (n > 1)}. "
    if n >= FEWEST:
        first = [one for one in found if one.best == 1]
        said += (", ".join(method(one.method).title for one in first[:5])
                 + (f" and {len(first) - 5} more" if len(first) > 5 else "")
                 + (" share rank 1. " if len(first) > 1 else " stands alone at rank 1. "))
    st.markdown(said + best_verdicts(found))
    table = pd.DataFrame([asdict(one) | {
        "rank": rank(one), "method": method(one.method).title, "wins": one.wins,
        "levels": ", ".join(f"{number} {level}" for level, number in one.levels.items())} for one in found])
    number = st.column_config.NumberColumn
    data_table(table[["rank", "method", "wins", "levels", "forget", "forget_spread", "retain", "retain_spread",
                      "passes", "seconds", "runs"]],
               hide_index=True, height=35 * (len(found) + 1) + 3, column_config={
                   "rank": "Rank", "method": "Method", "wins": number("Wins ↑", format="percent"),
                   "levels": "Verdicts", "forget": number("Forget gap →", format="%+.1f"),
                   "forget_spread": number("± ", format="%.1f"), "retain": number("Retain gap →", format="%+.1f"),
                   "retain_spread": number("±", format="%.1f"), "passes": number("Backward passes ↓", format="%,.0f"),
                   "seconds": number("Time ↓", format="%.2f s"), "runs": "Runs"})
