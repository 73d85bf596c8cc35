"""Requests one after another: the queue as a person builds it, how methods fare on it, and what is left of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd
import streamlit as st

from ui.glossary import tip
from ui.mirror import showing, taken
from ui.opening import first_chart
from ui.server.runtime import engine
from ui.state import State
from ui.tables import data_table
from ui.waiting import ready
from unlearn_core.audit.accuracy import Count
from unlearn_core.figures.queue import queue_lines
from unlearn_core.methods import METHODS
from unlearn_core.nets.request import CLASS, IMAGE, Request, parsed
from unlearn_core.picture.images import address
from unlearn_core.study import queued
from unlearn_core.study.queue import MOST, Trail, checked_queue
from unlearn_core.subjects.subject import Subject

MOST_METHODS = 3
OFFERED = [name for name in METHODS if name != "retrain"]
FIRST = ("ssd", "random_labels", "neggrad_plus", "head_zeroing")
"""Of these the page opens with the first three that are bundled of a queue, or else the first three."""


# -- what is asked ---------------------------------------------------------------------------------------------------


def opens(visitor: State) -> tuple[Request, ...]:
    """The queue that the page opens with: the first that is bundled, or else three groups or classes."""
    if orders := queued.load(visitor.network).orders:
        return next(iter(orders.values()))
    own = visitor.subject
    kind = next((kind for kind, groups in own.groups.items() if len(groups.names) > 3), CLASS)
    return tuple(Request((number,), kind) for number in range(min(3, len(own.classes) - 1)))


def asked(visitor: State) -> tuple[Request, ...]:
    """The queue that the address names, in part invalid perhaps; what cannot be read is told and left out."""
    text = visitor.views.get("queue")
    if text is None:
        return opens(visitor)
    try:
        return tuple(parsed(part) for part in text.split(";") if part)
    except ValueError:
        put(visitor, opens(visitor))
        _tell(visitor, "queue: requests separated by semicolons expected, as in 0;3,4;image:17; the one that this page "
                       "opens with is shown.")
        return opens(visitor)


def _tell(visitor: State, sentence: str) -> None:
    """Say now, and at the next turns, what of the address could not be used."""
    visitor.note(sentence)
    st.warning(sentence, icon=":material/link_off:")


def put(visitor: State, requests: Sequence[Request]) -> None:
    """Ask for another queue."""
    visitor.views["queue"] = ";".join(map(str, requests))
    if tuple(requests) == opens(visitor):
        del visitor.views["queue"]


def methods(visitor: State, requests: Sequence[Request]) -> list[str]:
    """The methods that the address names, as a choice of up to three."""
    shipped = queued.load(visitor.network)
    opening = ([name for name in FIRST if shipped.trail(requests, name)] or list(FIRST))[:MOST_METHODS]
    given = list(filter(None, visitor.views.get("methods", "").split(",")))
    if len(given) > MOST_METHODS or not set(given) <= set(OFFERED):
        _tell(visitor, "methods: one to three names separated by commas expected, as in ssd,random_labels; those that "
                       "this page opens with are shown.")
        del visitor.views["methods"]
        given = []

    def take() -> None:
        chosen = taken("queue.methods")
        visitor.views["methods"] = ",".join(chosen)
        if chosen in ([], opening):
            del visitor.views["methods"]

    return st.multiselect("Methods, up to three", OFFERED, format_func=lambda name: METHODS[name].title,
                          key=showing("queue.methods", given or opening), max_selections=MOST_METHODS, on_change=take)


def build(visitor: State, requests: Sequence[Request]) -> None:
    """The queue, and everything that can be added: a press on a picture adds it, or takes it out."""
    own = visitor.subject
    with st.container(key="queue"):
        with st.container(horizontal=True, gap="small", vertical_alignment="center"):
            st.caption("The queue, a press takes one out:", width="content")
            for place, request in enumerate(requests):
                st.button(f"{place + 1}. {_face(own, request)}", key=f"queue.out.{place}", type="primary",
                          on_click=put, args=(visitor, [*requests[:place], *requests[place + 1:]]))
        full = len(requests) >= MOST
        kinds = [CLASS, *own.groups]
        kind = st.segmented_control("Add", kinds, format_func=str.capitalize, key="queue.kind", default=kinds[0],
                                    required=True, label_visibility="collapsed") if len(kinds) > 1 else CLASS
        with st.container(horizontal=True, gap="small", vertical_alignment="center"):
            st.caption(f"Add, {MOST} at most:", width="content")
            names = own.classes if kind == CLASS else own.groups[kind].names
            for number in range(len(names)):
                request = Request((number,), kind)
                st.button(_face(own, request), key=f"queue.add.{request}", disabled=full or request in requests,
                          on_click=put, args=(visitor, [*requests, request]))
            if len(visitor.forget.chosen) > 1 or visitor.forget.kind == IMAGE:
                st.button(f"What the side panel asks for: {visitor.forget.words(own)}", key="queue.add.asked",
                          disabled=full or visitor.forget in requests, on_click=put,
                          args=(visitor, [*requests, visitor.forget]))
        if orders := queued.load(visitor.network).orders:
            with st.container(horizontal=True, gap="small", vertical_alignment="center"):
                st.caption("Or one that has been run:", width="content")
                for name, order in orders.items():
                    st.button(name.capitalize(), key=f"queue.order.{name}", type="tertiary",
                              disabled=tuple(requests) == order, on_click=put, args=(visitor, order))


def _face(own: Subject, request: Request) -> str:
    """The first picture of a request, and what it is called."""
    rows = request.split(own.images.train)[0].tolist() if _possible(own, request) else []
    said = request.words(own) if _possible(own, request) else str(request)
    return (f"![]({address(own)}{2 * rows[0]}.png) " if rows else "") + said


def _possible(own: Subject, request: Request) -> bool:
    """Whether it asks for what there is."""
    known = len(own.images.train) if request.kind == IMAGE else len(
        own.classes if request.kind == CLASS else own.groups[request.kind].names if request.kind in own.groups else ())
    return bool(request.chosen) and max(request.chosen) < known


# -- what came of it -------------------------------------------------------------------------------------------------


def trails(visitor: State, requests: Sequence[Request], names: Sequence[str]) -> list[Trail]:
    """Those at hand of the methods; a button runs the others.

    Raises:
        ValueError: for a queue that cannot be.
    """
    images = visitor.subject.images
    requests = checked_queue(requests, images.train, images.test)
    found = [queued.at_hand(engine(), visitor.network, requests, name) for name in names]
    missing = [name for name, trail in zip(names, found, strict=True) if trail is None]
    wanted = (visitor.network, requests, tuple(names))
    if missing and st.session_state.get("queue.run") == wanted:
        ran = ready(queued.submit(engine(), visitor.network, requests, names), 0.5, "Forgetting in turn",
                    lambda: st.session_state.pop("queue.run", None), "queue")
        if ran is not None:
            return ran
    elif missing:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.button("Run the queue", icon=":material/play_arrow:", type="primary", key="queue.start",
                      on_click=lambda: st.session_state.update({"queue.run": wanted}))
            st.caption(f"Not run on this queue yet: {', '.join(METHODS[name].title for name in missing)}. Each request "
                       "takes each method some seconds, those that dampen a quarter of a minute or more. It can be "
                       "cancelled.")
    return [trail for trail in found if trail is not None]


def finding(own: Subject, found: Sequence[Trail]) -> str:
    """What each method lost of the rest, in the end and at worst, and what came back most of all."""
    lost = []
    for trail in sorted((trail for trail in found if trail.steps), key=lambda trail: trail.steps[-1].kept.share,
                        reverse=True):
        change = [-100 * trail.erosion(step).value for step in range(len(trail.steps))]
        worst = min(change)
        lost.append(f"{METHODS[trail.method].title} {_points(change[-1])}" + (
            f" ({_points(worst)} after request {change.index(worst) + 1})" if worst < min(change[-1], 0) - 1 else ""))
    back = [(change.value, trail, step, request) for trail in found for step in range(1, len(trail.steps))
            for change, request in [trail.reversal(step) or (None, 0)] if change and change.low > 0]
    if not lost:
        return "No method could begin."
    said = f"Accuracy on what is never asked for, after the whole queue: {'; '.join(lost)}."
    if not back:
        return said + " No request came back by more than chance."
    value, trail, step, request = max(back, key=lambda each: each[0])
    return (said + f" What came back most: {trail.requests[request].words(own)}, {_points(100 * value)} under "
            f"{METHODS[trail.method].title}, after request {step + 1}.")


def _points(value: float) -> str:
    return f"{round(value, 1) + 0.0:+.1f} points".replace("-", "−")


def drawn(own: Subject, found: Sequence[Trail], ink: str) -> None:
    """Two lines a method."""
    shipped, requests = queued.load(own.name), found[0].requests
    steps = range(len(requests))
    erosion = {METHODS[trail.method].title: [trail.erosion(step) for step in range(len(trail.steps))]
               for trail in found}
    reversal = {METHODS[trail.method].title: [back and back[0] for back in map(trail.reversal, range(len(trail.steps)))]
                for trail in found}
    retrained = [shipped.erosion(found[0], step) for step in steps]
    st.caption("How to read this: one line a method, after each request. Left, the points of accuracy lost on images "
               "that no request names; right, how far the request that came back most stands above what it was right "
               "after its own step. Low is good in both; bars are 95 % intervals."
               + (" Dash-dotted, networks retrained without all requests so far." if any(retrained) else ""),
               help=tip("erosion"))
    first_chart(queue_lines(erosion, reversal, retrained, [request.words(own) for request in requests], ink),
                "queue.lines", (47, 8, 70, 54), alt=finding(own, found))
    networks = {step + 1: number for step in steps if (number := shipped.networks(requests[:step + 1]))}
    st.caption(f"{own.title}, {found[0].original.kept.images:,} test images that no request names, of which it named "
               f"{found[0].original.kept.share:.1%} rightly before. Each method at its general defaults, seed 0, from "
               "the network that the last request left; importances are measured of that network, on the images that "
               "are still there. " + _retrained(networks))
    for trail in found:
        for sentence in dict.fromkeys([*(w for step in trail.steps for w in step.warnings), trail.ended]):
            if sentence:
                st.info(f"{METHODS[trail.method].title}: {sentence}", icon=":material/info:")


def _retrained(networks: Mapping[int, int]) -> str:
    """How many retrained networks there are, by the number of requests."""
    if not networks:
        return "No network was retrained without these requests."
    *first, last = networks
    said = " and ".join(filter(None, (", ".join(map(str, first)), str(last))))
    least = min(networks.values())
    return (f"Retrained: {'one network' if least == 1 else f'{least} networks or more'} each, without the first {said} "
            f"request{'s' * (last > 1)}.")


def table(own: Subject, found: Sequence[Trail]) -> None:
    """Every request after each step, a table a method."""
    st.markdown("#### What is still named rightly of each request?", help=tip("reversal"))
    st.caption("How to read this: a row is a request, a column the network after so many requests; its share of test "
               "images named rightly with the 95 % interval. Single images, and groups without test images, are read "
               "on the training images themselves.")
    for tab, trail in zip(st.tabs([METHODS[trail.method].title for trail in found]), found, strict=True):
        with tab:
            data_table(pd.DataFrame([
                *({"request": f"{place + 1}. {request.words(own)}", "before": _said(trail.original.asked[place]),
                   **{f"after {step + 1}": _said(at.asked[place]) if place <= step else ""
                      for step, at in enumerate(trail.steps)}} for place, request in enumerate(trail.requests)),
                {"request": "not asked for yet", "before": _said(trail.original.remaining),
                 **{f"after {step + 1}": _said(at.remaining) for step, at in enumerate(trail.steps)}},
                {"request": "never asked for", "before": _said(trail.original.kept),
                 **{f"after {step + 1}": _said(at.kept) for step, at in enumerate(trail.steps)}}]), hide_index=True)


def _said(count: Count) -> str:
    low, high = count.interval
    return f"{count.share:.0%} ({100 * low:.0f}–{100 * high:.0f})"
