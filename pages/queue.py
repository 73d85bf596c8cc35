"""What if requests come one after another? A queue of them, what each costs the rest, and what comes back."""

from __future__ import annotations

import streamlit as st

from ui.panels import queue
from ui.present import headline, present
from ui.state import state, tell_notes, write_address
from ui.theme import ink
from unlearn_core.assets import AssetError

visitor = state()
tell_notes(visitor)
now = present(visitor, "queue")
headline(now, visitor)
if now.wanted is None:
    st.stop()
own = now.wanted.subject
summary = st.container()
try:
    requests = queue.asked(visitor)
    queue.build(visitor, requests)
    names = queue.methods(visitor, requests)
    write_address(now.wanted, visitor)
    found = queue.trails(visitor, requests, names)
except (AssetError, RuntimeError) as problem:
    st.error(str(problem), icon=":material/error:")
    st.stop()
except ValueError as problem:
    st.warning(f"{str(problem).capitalize()}.", icon=":material/info:")
    st.stop()
if found:
    summary.markdown(f"#### {queue.finding(own, found)}")
    queue.drawn(own, found, ink())
    queue.table(own, found)
