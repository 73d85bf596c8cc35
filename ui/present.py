"""What a page shows: the answer to what is chosen, or what stands in for it. No page decides this by itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeVar, cast

import streamlit as st

from ui.own import look
from ui.panels.first_look import first_look
from ui.presenting import tell
from ui.server.runtime import engine
from ui.state import State, write_address
from ui.verdict import AUDIT, REFERENCE, strip
from ui.waiting import ANSWER, held, keep_only, progress, reached
from unlearn_core.assets import AssetError
from unlearn_core.audit.verdict import Verdict
from unlearn_core.methods import method
from unlearn_core.methods.base import NotApplicable
from unlearn_core.serving.choice import Choice
from unlearn_core.serving.judgement import Audit, Readings, first_readings, first_verdict, known, submit
from unlearn_core.serving.pool import Ticket
from unlearn_core.serving.scenes import Scene, Settled
from unlearn_core.subjects.subject import subject

T = TypeVar("T")
BOXES = {"invalid": (st.warning, ":material/info:"), "refused": (st.info, ":material/block:"),
         "failed": (st.error, ":material/error:")}
QUICK, SLOW = 1.5, 0.15
"""Seconds before progress is shown: most answers come earlier, never those of methods that train, which have a seed."""
MOST_NAMED = 3  # knobs in the name of a choice


@dataclass(frozen=True)
class Shown:
    """What a page shows.

    Attributes:
        state: whether the picture answers what is chosen (``current``) or the former choice (``computing``, and
            ``invalid`` while the choice is being edited into one); there is none if the method cannot serve
            (``refused``) or its run ``failed``.
        wanted: what address and widgets name; None while that is invalid.
        picture: the scene and the outcome to draw; the outcome knows its own choice.
        message: the headline: a verdict, what is being computed, or the sentence that stands in for the answer.
        verdict: on the present choice, once its answer is there: a first one, until `audit` is there too.
        audit: the answer on all images, and the look inside.
    """

    state: Literal["current", "computing", "invalid", "refused", "failed"]
    wanted: Choice | None
    picture: tuple[Scene, Settled] | None
    message: str
    verdict: Verdict | None = None
    audit: Audit | None = None

    @property
    def readings(self) -> Readings | None:
        """The picture's numbers: on all images where they are there."""
        if self.audit is not None:
            return self.audit.readings
        return None if self.picture is None else first_readings(*self.picture)

    @property
    def former(self) -> str:
        """Whose picture it is, if it is not that of the present choice; else empty."""
        return "" if self.picture is None or self.state == "current" else brief(self.picture[1].choice)

    @property
    def moving(self) -> bool:
        """Whether only alpha and lambda differ from the picture's, so that a canvas can interpolate what is wanted."""
        return bool(self.former and self.wanted and self.picture and self.picture[0].choice == self.wanted.scene
                    and self.picture[0].index is not None)

    @property
    def point(self) -> dict[str, float | None]:
        """The alpha and lambda for a canvas to stand at: those that are wanted, as far as it can go there."""
        if self.picture is None:
            return {}
        settled = self.picture[1]
        wanted = dict(self.wanted.settings) if self.moving and self.wanted else {}
        return {name: cast(float | None, wanted.get(name, value))
                for name, value in (("alpha", settled.alpha), ("lambda", settled.lam))}


def brief(chosen: Choice) -> str:
    """A choice in a few words: "SSD on T-shirt"."""
    return f"{method(chosen.method).title} on {chosen.words}"


def named(chosen: Choice) -> str:
    """A choice with its network and first knobs."""
    settings, knobs = dict(chosen.settings), method(chosen.method).hyperparameters
    first = [knob for knob in knobs if not knob.advanced][:MOST_NAMED]
    said = [f"{knob.label} {v:g}{knob.unit}" if isinstance(v := settings[knob.name], float) else
            f"{knob.label} {v}".replace("_", " ") for knob in first]
    return ", ".join([brief(chosen), subject(chosen.network).title, *said]) + (" …" if len(knobs) > len(first) else "")


def present(visitor: State, *kept: str) -> Shown:
    """What to show a visitor now; waits a moment for the answer, and puts the choice into the address.

    When the choice has changed, everything that the session waited for is given up, but for the slots in `kept`.
    """
    look()
    try:
        wanted = visitor.choice()
    except ValueError as problem:
        _arrive("", kept)
        former = _former(visitor)
        return Shown("invalid", None, former, f"{str(problem).capitalize()}.", audit=_judged(former))
    _arrive(wanted.key, kept)
    write_address(wanted, visitor)
    tell()
    failure: Shown | None = st.session_state.get("failure")
    if failure is not None:
        return failure
    try:
        scene = reached(engine().scene(wanted), 0.4, ANSWER)
        patience = SLOW if method(wanted.method).seeded else QUICK
        settled = None if scene is None else reached(engine().settle(scene, wanted), patience, ANSWER)
    except (AssetError, ValueError, RuntimeError) as problem:
        shown = Shown("refused", wanted, None, f"{method(wanted.method).title} cannot be used here. {problem}") \
            if isinstance(problem, NotApplicable) else Shown("failed", wanted, None, str(problem))
        st.session_state["failure"] = shown  # told until something else is chosen, not run again and again
        return shown
    if scene is None or settled is None:
        former = _former(visitor)
        return Shown("computing", wanted, former, f"Computing {brief(wanted)} …", audit=_judged(former))
    if not visitor.history or visitor.history[-1] != wanted:
        visitor.history = [*visitor.history[-50:], wanted]
    audit = _audited(wanted, scene, settled)
    verdict = first_verdict(engine(), scene, settled) if audit is None else audit.verdict
    return Shown("current", wanted, (scene, settled), verdict.sentence, verdict, audit)


def _audited(chosen: Choice, scene: Scene, settled: Settled) -> Audit | None:
    """The audit if it is there; the strip asks for it, and runs the page again when it has come."""
    if (found := known(engine(), chosen)) is not None or held(AUDIT) is None:
        return found
    try:
        return reached(submit(engine(), scene, settled), 0.0, AUDIT)
    except (AssetError, ValueError, RuntimeError) as problem:
        st.session_state["unaudited"] = chosen.key, str(problem)  # told, not tried again and again
        return None


def headline(shown: Shown, visitor: State) -> None:
    """What is shown, in a sentence. Its height is reserved, so that nothing below jumps."""
    with st.container(key="headline", gap="small"):
        if shown.state in BOXES:
            box, icon = BOXES[shown.state]
            left, right = st.columns([0.75, 0.25], vertical_alignment="center")
            with left:
                box(shown.message, icon=icon)
            with right:
                if st.button(f"Back to {brief(visitor.before)}", icon=":material/undo:"):
                    visitor.step_back()
                    st.rerun()
                if shown.state == "failed" and st.button("Try again", icon=":material/restart_alt:"):
                    del st.session_state["failure"]
                    st.rerun()
        elif shown.verdict is not None and shown.wanted is not None and shown.picture is not None:
            key, problem = st.session_state.get("unaudited", ("", ""))
            if key == shown.wanted.key:
                st.warning(f"The verdict could not be completed: {problem}", icon=":material/error:")
            strip(*shown.picture, shown.verdict, shown.audit, key == shown.wanted.key)
        else:
            st.markdown(f"#### {shown.message}")
            progress(ANSWER, "Under way", visitor.step_back,
                     lambda: None if shown.wanted is None else first_look(shown.wanted))


def whose(shown: Shown) -> None:
    """Whose picture stands below, on pages that leave a former one standing."""
    if shown.picture is not None:
        title = "The last exact picture" if shown.moving else "The last picture, dimmed" if shown.former else \
            "The picture"
        st.caption(f"{title}: {named(shown.picture[1].choice)}")


def _arrive(key: str, kept: tuple[str, ...]) -> None:
    kept = (*kept, REFERENCE)
    if st.session_state.get("presented") != key:
        st.session_state["presented"] = key
        st.session_state.pop("failure", None)
        keep_only(*kept)


def _former(visitor: State) -> tuple[Scene, Settled] | None:
    """The last picture, if it is still at hand."""
    if not visitor.history:
        return None
    chosen = visitor.history[-1]
    scene = _glance(engine().scene(chosen))
    settled = None if scene is None else _glance(engine().settle(scene, chosen))
    return None if scene is None or settled is None else (scene, settled)


def _judged(picture: tuple[Scene, Settled] | None) -> Audit | None:
    """A former picture keeps its numbers."""
    return None if picture is None else known(engine(), picture[1].choice)


def _glance(ticket: Ticket[T]) -> T | None:
    if ticket.wait(0):
        return ticket.result()
    ticket.release()
    return None
