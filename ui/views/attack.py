"""The attacker's view: one component on a canvas that redraws errors and images while the threshold is dragged."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import streamlit as st

from ui.opening import drawn, opening
from unlearn_core.audit.report import TITLES, AttackName, Report
from unlearn_core.audit.unseen import compared
from unlearn_core.figures import style
from unlearn_core.nets.evaluate import softmax
from unlearn_core.picture.images import address
from unlearn_core.picture.scripts import script, styles
from unlearn_core.serving.scenes import Seen
from unlearn_core.subjects.subject import Subject

_mount = st.components.v2.component(
    "lacuna_attack",
    html='<div class="lacuna-attack"></div>',
    css=styles("button.css", "card.css", "attack.css"),
    js=script("attack/main.js"),
)


def said(classes: Sequence[str], logits: npt.NDArray[np.float32]) -> list[str]:
    """What a network says of each image: class and probability."""
    return [f"{classes[row.argmax()]} {row.max():.0%}" for row in softmax(logits)]


def attack_view(subject: Subject, found: Report, name: AttackName, key: str, domain: tuple[float, float],
                seen: Seen, after: npt.NDArray[np.float32],
                on_worst: Callable[[], None]) -> None:
    """Show one attack; the threshold lives in the browser and starts at its best whenever `key` changes.

    Args:
        subject: whose images they are.
        found: what is known of all attacks.
        name: the attack statistic.
        key: of the outcome.
        domain: lowest and highest value of the statistic's axis.
        seen: the images, and what the original says of them.
        after: (N, classes) logits of the unlearned model.
        on_worst: called for the button that asks for the strongest statistic.
    """
    evaluation, before = seen.evaluation, seen.before
    attack, strongest = found.attacks[name], found.attacks[found.strongest]
    among = {True: seen.forgotten & evaluation.member,
             False: compared(evaluation.labels, evaluation.member, seen.forgotten)}

    def group(member: bool, values: npt.NDArray[np.float64]) -> dict[str, object]:
        rows = np.flatnonzero(among[member])
        return {"value": values.tolist(), "row": evaluation.pictures[rows].tolist(),
                "label": evaluation.labels[rows].tolist(),
                "before": said(subject.classes, before.logits[rows]), "after": said(subject.classes, after[rows])}

    _mount(
        key="attack",
        data={
            "ask": opening(),
            "key": f"{key} {name}",
            "title": TITLES[name],
            "domain": domain,
            "members": group(True, attack.after.members),
            "others": group(False, attack.after.others),
            "original": {"members": attack.before.members.tolist(), "others": attack.before.others.tolist()},
            "retrained": [{"members": seed.members.tolist(), "others": seed.others.tolist()}
                          for seed in attack.retrained],
            "worst": {"title": TITLES[found.strongest], "balanced": strongest.unlearned.balanced_accuracy,
                      "active": name == found.strongest},
            "classes": subject.classes,
            "image": address(subject),
            "palette": {"original": style.ORIGINAL, "retrained": style.RETRAINED, "unlearned": style.UNLEARNED,
                        "classes": style.colours(len(subject.classes))},
        },
        on_worst_change=on_worst,
        on_drawn_change=drawn,
    )
