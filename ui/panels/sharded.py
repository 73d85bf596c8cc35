"""And if it had been trained to forget? SISA's shards, what the request costs there, and forgetting by a press."""

from __future__ import annotations

import numpy as np
import pandas as pd
import streamlit as st

from ui.server.runtime import engine
from ui.state import State
from ui.tables import data_table
from ui.theme import NO_BAR
from ui.waiting import give_up, ready
from unlearn_core.assets import AssetError
from unlearn_core.audit.gauges import KINDS
from unlearn_core.figures.sharded import shard_curve, shard_grid
from unlearn_core.nets.sharded import expected_share
from unlearn_core.serving.sharded import Price, Remade, dealt, price, submit

SLOT = "sharded"
ASKED = "remade"
"""Of the session: the network and request whose shards are trained again."""


def sharded(visitor: State, ink: str) -> None:
    """The shards of the visitor's network and request. Worked out when it is opened."""
    folded = st.expander("And if it had been trained to forget? SISA", icon=":material/grid_on:", on_change="rerun",
                         key=SLOT)
    if not folded.open or st.session_state.get(ASKED) != (visitor.network, visitor.forget):
        give_up(SLOT)  # nobody waits for another request's shards
        st.session_state.pop(ASKED, None)
    if not folded.open:
        return
    with folded:
        own, request = visitor.subject, visitor.forget
        try:
            found = dealt(own)
        except AssetError as problem:
            st.error(str(problem), icon=":material/error:")
            return
        if found is None:
            st.info("No networks trained in shards are bundled of this one.", icon=":material/info:")
            return
        cost, images = price(found, own, request), len(own.images.train)
        asked = int(cost.hit.sum())
        st.markdown(f"**{finding(cost, asked)}**")
        left, right = st.columns(2)
        with left:
            st.plotly_chart(shard_grid(cost.hit, cost.again, ink), key="shards", config=NO_BAR,
                            alt=finding(cost, asked))
            st.caption("How to read this: the training images were dealt at random into shards, and each shard into "
                       "slices. Every shard has a network of its own, trained slice after slice, its state kept after "
                       "each; together they answer. Numbers are images to be forgotten. A shard goes back to the state "
                       "before the first of them: coloured stages are trained again, grey ones never saw one.")
        with right:
            many = np.unique(np.geomspace(1, images - 1, 60).astype(np.int64))
            st.plotly_chart(shard_curve(many, expected_share(found, many), (asked, cost.share), ink), config=NO_BAR,
                            key="shards.share", alt="Share of the training done again, over images asked for.")
            st.caption("How to read this: share of the whole training that is done again, over how many images at "
                       "random are asked for. The more are asked for, the earlier every shard is hit; at last so "
                       "few are left that training is short.")
        _forget(visitor)


def finding(cost: Price, asked: int) -> str:
    """What the request costs, in a sentence."""
    shards = len(cost.hit)
    return (f"{asked:,} image{'s' * (asked != 1)} to be forgotten: {cost.shards} of {shards} shards "
            f"{'goes' if cost.shards == 1 else 'go'} back, and {cost.share:.0%} of the training is done again. What "
            "comes out never saw them.")


def _forget(visitor: State) -> None:
    asked = visitor.network, visitor.forget
    if st.session_state.get(ASKED) != asked:
        if st.button("Forget it from the shards", icon=":material/restart_alt:", key="ask.sharded",
                     help="Trains the coloured stages again. Real progress, can be cancelled, kept for everybody."):
            st.session_state[ASKED] = asked
            st.rerun()
        return
    try:
        found = ready(submit(engine(), *asked), 0.5, "Training shards again",
                      lambda: st.session_state.pop(ASKED, None), SLOT)
    except (AssetError, ValueError, RuntimeError) as problem:
        st.session_state.pop(ASKED, None)
        st.error(str(problem), icon=":material/error:")
        return
    if found is not None:
        _table(found)


def _table(found: Remade) -> None:
    """Gauges of the one network and of all shards, before and after."""
    rows = {"One network, trained on everything": found.alone, "All shards, as they were": found.before,
            "All shards, after": found.after}
    data_table(pd.DataFrame([{"": title} | {KINDS[name].title: 100 * reading.value for name, reading in read.items()}
                             for title, read in rows.items()]), hide_index=True, column_config={
        kind.title: st.column_config.NumberColumn(format="%.1f %%", help=kind.about) for kind in KINDS.values()})
    alone, together = found.alone["retain"].value, found.before["retain"].value
    st.caption(f"It took {found.seconds:.1f} processor seconds. The price is paid from the start: each shard learns "
               f"from a part of the images, so together they name {together:.1%} of the retained test images rightly, "
               f"the one network {alone:.1%}. The shards after are, number by number, what the same deal without "
               "these images gives (docs/sharded.md).")
