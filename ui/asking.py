"""What is to be forgotten, as widgets: whole classes, groups of another kind, or single training images."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from ui import pictures
from ui.server.runtime import engine
from ui.state import State
from unlearn_core.nets.request import CLASS, IMAGE, Request
from unlearn_core.serving.picking import MOST_PICKED, WAYS, Way, pick

SHOWN = 7


def ask(visitor: State) -> None:
    """The kind of request, and its classes, groups or images."""
    train = visitor.subject.images.train
    kinds = (CLASS, *train.groups, IMAGE)
    st.session_state["kind"] = visitor.forget.kind
    st.segmented_control("Forget", kinds, format_func=_title, key="kind", required=True, width="stretch",
                         on_change=_turn, args=(visitor,))
    if visitor.forget.kind == IMAGE:
        _images(visitor)
    else:
        names = train.classes if visitor.forget.kind == CLASS else train.groups[visitor.forget.kind].names
        _numbers(visitor, names)


def _title(kind: str) -> str:
    return {CLASS: "Classes", IMAGE: "Images"}.get(kind, kind[0].upper() + kind[1:])


def _turn(visitor: State) -> None:
    kind = st.session_state["kind"]
    visitor.forget = _picked(visitor, "at random", 10) if kind == IMAGE else Request((0,), kind)


def _numbers(visitor: State, names: Sequence[str]) -> None:
    kind = visitor.forget.kind
    st.session_state["forget"] = list(visitor.forget.chosen)
    st.multiselect(_title(kind), range(len(names)), format_func=names.__getitem__, key="forget",
                   placeholder=f"Choose a {kind}", label_visibility="collapsed", on_change=lambda: setattr(
                       visitor, "forget", Request(tuple(sorted(st.session_state["forget"])), kind)))


def _images(visitor: State) -> None:
    """Which of the training images on show: some by a rule, or those that were clicked or lassoed on a page."""
    def take() -> None:
        visitor.forget = _picked(visitor, st.session_state["way"], int(st.session_state["how many"]))

    left, right = st.columns([0.4, 0.6], vertical_alignment="bottom")
    st.session_state["how many"] = min(len(visitor.forget.chosen), MOST_PICKED) or 1
    left.number_input("How many", 1, MOST_PICKED, key="how many", on_change=take)
    right.selectbox("Which", list(WAYS), key="way", on_change=take, help=" ".join(
        f"{way.capitalize()}: {said}" for way, said in WAYS.items()))
    chosen = visitor.forget.chosen
    pictures.strip(visitor.subject, [2 * row for row in chosen[:SHOWN]], f"{len(chosen)} images to be forgotten", 26)
    more = f"The first {SHOWN} of {len(chosen)}. " if len(chosen) > SHOWN else ""
    st.caption(f"{more}Or click a training image on the first page, or lasso some on the page Inside.")


def _picked(visitor: State, way: Way, count: int) -> Request:
    return pick(engine().base(visitor.network), way, count)


def forget_these(visitor: State, numbers: Sequence[int]) -> None:
    """A button that asks to forget the training images among some images, by their numbers for browsers."""
    rows = tuple(sorted(number // 2 for number in numbers if number % 2 == 0))[:MOST_PICKED]
    if rows and rows != (visitor.forget.chosen if visitor.forget.kind == IMAGE else ()):
        many = f"these {len(rows)} training images" if len(rows) > 1 else "this image"
        if st.button(f"Forget {many}", icon=":material/delete_sweep:", key="forget these"):
            visitor.forget = Request(rows, IMAGE)
            st.rerun()
