"""What is to be forgotten, as widgets: whole classes, groups of another kind, or single training images."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from ui import pictures
from ui.mirror import showing, taken
from ui.server.runtime import engine
from ui.state import State
from unlearn_core.nets.request import CLASS, IMAGE, POISONED, Request
from unlearn_core.serving.choice import Choice
from unlearn_core.serving.picking import MOST_PICKED, WAYS, Way, pick
from unlearn_core.subjects.subject import bundled

SHOWN = 7


def ask(visitor: State) -> None:
    """The kind of request, and its classes, groups or images."""
    own = visitor.subject
    kinds = (CLASS, *own.groups, IMAGE)
    st.segmented_control("Forget", kinds, format_func=_title, key=showing("kind", visitor.forget.kind), required=True,
                         width="stretch", on_change=_turn, args=(visitor,))
    if visitor.forget.kind == IMAGE:
        _images(visitor)
    elif visitor.forget.kind == POISONED:
        _poisoned(visitor)
    else:
        names = own.classes if visitor.forget.kind == CLASS else own.groups[visitor.forget.kind].names
        _numbers(visitor, names)


def _title(kind: str) -> str:
    return {CLASS: "Classes", IMAGE: "Images", POISONED: "Poisoned"}.get(kind, kind[0].upper() + kind[1:])


def _turn(visitor: State) -> None:
    kind = taken("kind")
    visitor.forget = _picked(visitor, "at random", 10) if kind == IMAGE else Request((0,), kind)


def _numbers(visitor: State, names: Sequence[str]) -> None:
    kind = visitor.forget.kind
    st.multiselect(_title(kind), range(len(names)), format_func=names.__getitem__,
                   key=showing("forget", list(visitor.forget.chosen)), placeholder=f"Choose a {kind}",
                   label_visibility="collapsed", on_change=lambda: setattr(
                       visitor, "forget", Request(tuple(sorted(taken("forget"))), kind)))


def _images(visitor: State) -> None:
    """Which of the training images on show: some by a rule, or those that were clicked or lassoed on a page."""
    def take() -> None:
        visitor.forget = _picked(visitor, st.session_state["way"], int(taken("how many")))

    left, right = st.columns([0.4, 0.6], vertical_alignment="bottom")
    left.number_input("How many", 1, MOST_PICKED, on_change=take,
                      key=showing("how many", min(len(visitor.forget.chosen), MOST_PICKED) or 1))
    right.selectbox("Which", list(WAYS), key="way", on_change=take, help=" ".join(
        f"{way.capitalize()}: {said}" for way, said in WAYS.items()))
    chosen = visitor.forget.chosen
    pictures.strip(visitor.subject, [2 * row for row in chosen[:SHOWN]], f"{len(chosen)} images to be forgotten", 26)
    more = f"The first {SHOWN} of {len(chosen)}. " if len(chosen) > SHOWN else ""
    st.caption(f"{more}Or click a training image on the page See, or lasso some on the page Inside.")


def _poisoned(visitor: State) -> None:
    """The training images with the mark, and what they are called."""
    images = visitor.subject.images.train
    rows = visitor.forget.split(images)[0].tolist()
    pictures.strip(visitor.subject, [2 * row for row in rows[:SHOWN]], f"{len(rows)} images with the mark", 26)
    st.caption(f"Forget poisoned images: the first {SHOWN} of {len(rows)} into which somebody painted a mark. All are "
               f"labelled {images.classes[int(images.labels[rows[0]])]}.")


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


def instead(visitor: State, wanted: Choice) -> None:
    """One press from a request to its neighbours: the class, the groups, or the one picture of one of its images.

    The image stays the same as long as it is among what is to be forgotten, so that the way back is as short.
    """
    train = wanted.subject.images.train
    rows = wanted.forget.split(train)[0].tolist()
    row = kept if (kept := st.session_state.get("instead row")) in rows else rows[0]
    st.session_state["instead row"] = row
    label = int(train.labels[row])
    offers = {f"All of {train.classes[label]}": (wanted.network, Request((label,)))}
    for kind, known in train.groups.items():
        if (number := int(known.numbers[row])) >= 0:
            offers[_offer(kind, known.names[number])] = wanted.network, Request((number,), kind)
    offers["This one picture"] = wanted.network, Request((row,), IMAGE)
    for name, other in bundled().items():
        if name != wanted.network and not train.groups:
            offers |= {"A poison" if kind == POISONED else f"A {kind}": (name, Request((0,), kind))
                       for kind in other.groups}
    with st.container(horizontal=True, gap="small", vertical_alignment="center", width="content", key="instead"):
        st.caption("Forget instead:", width="content")
        for said, (network, request) in offers.items():
            if (network, request) != (wanted.network, wanted.forget):
                st.button(said, type="tertiary", on_click=_turn_to, args=(visitor, network, request))


def _offer(kind: str, name: str) -> str:
    return "All poisoned images" if kind == POISONED else f"The {kind} {name}"


def _turn_to(visitor: State, network: str, request: Request) -> None:
    visitor.network, visitor.forget = network, request
    st.session_state["undone"] = True  # the sidebar lives outside the fragment
