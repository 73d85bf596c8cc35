"""Who else was hurt, person by person: what the others of each kind of group lost, as pictures."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from ui import pictures
from unlearn_core.audit.verdict import Loss, points
from unlearn_core.subjects.subject import Subject

SHOWN = 8


def neighbours_finding(kind: str, lost: Sequence[Loss]) -> str:
    """What the groups of a kind lost, the worst first, in one sentence."""
    sure = sum(loss.interval[0] > 0 for loss in lost)
    said = f"{sure} of them surely lost accuracy" if sure else "none of them surely lost accuracy"
    return f"Of {len(lost)} others by {kind}, {said}; {lost[0].group} {points(-lost[0].value)} points at worst."


def neighbours(own: Subject, losses: Sequence[Loss]) -> None:
    """The groups that are to stay, those that lost most first; nothing where the subject knows none."""
    for kind, groups in own.groups.items():
        numbers = {f"{kind} {name}": number for number, name in enumerate(groups.names)}
        lost = sorted((loss for loss in losses if loss.group in numbers), key=lambda loss: loss.value, reverse=True)
        if len(lost) < 2:
            continue
        st.markdown(f"#### Who else was hurt, by {kind}?")
        st.markdown(neighbours_finding(kind, lost))
        st.caption("How to read this: points of accuracy lost or won on unseen images, beyond what retraining costs as "
                   "well, with an interval that holds for all of them together with 95 %. The worst come first"
                   + (f"; {SHOWN} of {len(lost)} are shown." if len(lost) > SHOWN else "."))
        unseen = own.images.test.in_terms_of(own.images.train).groups[kind].numbers
        first = {loss: int(unseen.eq(numbers[loss.group]).nonzero()[0, 0]) for loss in lost[:SHOWN]}
        pictures.wall(own, {2 * row + 1: f"{loss.group.removeprefix(f'{kind} ')} {points(-loss.value)} "
                                         f"({points(-loss.interval[1])} to {points(-loss.interval[0])})"
                            for loss, row in first.items()}, 92)
