"""Play the attacker: one component in which images are told apart by eye, by a threshold, and by LiRA."""

from __future__ import annotations

import numpy as np
import streamlit as st

from ui.pictures import inline
from unlearn_core.audit.game import LEAST, coin, deal, play
from unlearn_core.methods import method
from unlearn_core.picture.scripts import script, styles
from unlearn_core.serving.scenes import Scene, Settled

ROUND = "game round"

_mount = st.components.v2.component("lacuna_game", html='<div class="lacuna-game"></div>',
                                    css=styles("button.css", "game.css"), js=script("game.js"))


@st.fragment
def game(scene: Scene, settled: Settled) -> None:
    """A game about what is to be forgotten; which images lie on the table hangs on the round and the request alone."""
    own, seen = scene.choice.subject, scene.seen
    evaluation, shadows, n = seen.evaluation, own.shadows(), len(seen.forgotten)
    if shadows is not None:
        known = shadows.margins.shape[1]  # shadow models know the subject's own evaluation set alone
        if (evaluation.member & seen.forgotten)[:known].sum() < LEAST:
            shadows = None
        else:
            n = known
    number = st.session_state.setdefault(ROUND, 0)
    try:
        table = deal(evaluation.labels[:n], evaluation.member[:n], seen.forgotten[:n], np.random.default_rng(number))
    except ValueError as problem:
        st.info(str(problem), icon=":material/info:")
        return
    networks = {"The original": seen.before.logits, f"After {method(settled.choice.method).title}": settled.logits}
    if scene.retrained_logits is not None and len(scene.retrained_logits):
        networks["Retrained without them"] = scene.retrained_logits[0]
    attacks = {name: play(table, logits[:n], shadows) for name, logits in networks.items()}

    def again() -> None:
        st.session_state[ROUND] += 1

    _mount(
        key="game",
        data={
            "key": f"{own.name} {scene.request} {number}",
            "images": [inline(evaluation.images.images[i].numpy()) for i in table.drawn],
            "seen": evaluation.member[table.drawn].tolist(),
            "networks": [{
                "name": name, "confidence": found.confidence.tolist(), "best": found.best, "lira": found.lira,
                "calls": None if found.calls is None else found.calls.tolist(),
            } for name, found in attacks.items()],
            "missing": "" if shadows is not None else
            "LiRA needs shadow models, trained with and without each image. None that know these images are at hand, "
            "so it cannot play.",
            "all": len(table.pool), "coin": coin(len(table.drawn)),
        },
        on_again_change=again,
    )
