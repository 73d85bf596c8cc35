"""The exact answer to what a visitor chose, or the sentence that stands in for it."""

from __future__ import annotations

import streamlit as st

from ui.runtime import engine
from ui.state import DEFAULT, State
from ui.waiting import ready
from unlearn_core.assets import AssetError
from unlearn_core.engine import Choice, Scene, Settled
from unlearn_core.methods import method
from unlearn_core.methods.base import NotApplicable


def answer(chosen: State, wanted: Choice) -> tuple[Scene, Settled] | None:
    """The exact answer; None, and a progress bar or a sentence, if it is not at hand."""
    def back() -> None:
        chosen.adopt(chosen.history[-1] if chosen.history else DEFAULT)

    try:
        scene = ready(engine().scene(wanted), 0.4, "Measuring importances", back)
        if scene is None:
            return None
        settled = ready(engine().settle(scene, wanted), 1.5, "Computing", back)
    except NotApplicable as reason:
        st.info(f"{method(wanted.method).title} cannot be used here. {reason}", icon=":material/block:")
    except (AssetError, ValueError, RuntimeError) as problem:
        st.error(str(problem), icon=":material/error:")
    else:
        return None if settled is None else (scene, settled)
    return None
