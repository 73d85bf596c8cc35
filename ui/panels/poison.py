"""Whether a poison still works: clean accuracy beside attack success, and what is said of pictures with the mark."""

from __future__ import annotations

import numpy as np
import streamlit as st

from ui import pictures
from unlearn_core.audit.evidence import ATTACK_SUCCESS, attack_success
from unlearn_core.figures.bullets import Bullet, bullets
from unlearn_core.nets.request import POISONED
from unlearn_core.serving.judgement import Readings
from unlearn_core.serving.scenes import Scene, Settled

SHOWN = 12


def poison(scene: Scene, settled: Settled, readings: Readings, ink: str) -> None:
    """Both numbers with their three marks each, and unseen pictures with the mark; nothing for any other request."""
    if scene.request.kind != POISONED:
        return
    seen, own = scene.seen, scene.choice.subject
    labels, member, forgotten = seen.evaluation.labels, seen.evaluation.member, seen.forgotten

    def works(logits: np.ndarray) -> float:
        return attack_success(logits, labels, member, forgotten)

    retrained = [] if scene.retrained_logits is None else [works(seed) for seed in scene.retrained_logits]
    rows = {"Clean accuracy": Bullet(readings.gauges["retain"].value, readings.original["retain"].value,
                                     np.array([seed["retain"].value for seed in readings.band])),
            ATTACK_SUCCESS: Bullet(works(settled.logits), works(seen.before.logits), np.array(retrained))}
    marked = np.flatnonzero(forgotten & ~member)
    target = own.classes[labels[marked[0]]]
    left, right = st.columns([0.48, 0.52])
    with left:
        st.markdown("#### Does the mark still work?")
        st.plotly_chart(bullets(rows, ink), key="poison", config={"displayModeBar": False},
                        alt="; ".join(f"{title} {row.value:.1%}" for title, row in rows.items()))
        st.caption(f"How to read this: clean accuracy, on {readings.gauges['retain'].images:,} unseen images without "
                   f"the mark, should stay. Attack success, the share of {len(marked)} unseen images with the mark "
                   f"that are called {target} though they are not, should fall to where retrained networks are: they "
                   f"call some {target} by mistake. Grey, the original; the band, retrained; orange, the network now.")
    with right:
        st.markdown(f"#### Unseen pictures with the mark, none of them {target}")
        numbers = seen.evaluation.pictures
        pictures.wall(own, {int(numbers[i]): f"{own.classes[seen.before.predicted[i]]} → "
                                             f"{own.classes[settled.predicted[i]]}"
                            for i in marked[::max(len(marked) // SHOWN, 1)][:SHOWN]}, 92)
        st.caption("How to read this: what the network says of each, before → now.")
