"""In front of a room: large type and one picture a screen, controls taken away, a QR code, and browsers that follow."""

from __future__ import annotations

import io
from urllib.parse import urlencode, urlsplit

import segno
import streamlit as st

from ui.mirror import showing, taken
from ui.server.lectures import LECTURES, Shown
from ui.state import State, read_address
from unlearn_core.methods import METHODS
from unlearn_core.picture.scripts import script, styles

PARTS = {
    "network": [".st-key-network"],
    "forget": [f".st-key-{key}" for key in ("kind", "forget", "how-many", "way", "instead")],
    "method": [".st-key-method"],
    "presets": [".st-key-presets"],
    "verdict": [".st-key-headline"],
    "story": [".st-key-story"],
    "pages": ['[data-testid="stTopNav"]'],
    "sidebar": ['[data-testid="stSidebar"]', '[data-testid="stExpandSidebarButton"]'],
    **{name: [f".st-key-{method.name.replace('_', '-')}-{name.replace('_', '-')}" for method in METHODS.values()
              if name in {knob.name for knob in method.hyperparameters}]
       for name in sorted({knob.name for method in METHODS.values() for knob in method.hyperparameters})},
}
"""What `hide=` may take away, and where it stands: parts of the page, and every knob by its name."""
PANELS = ("pad", "gauges", "heat", "before", "after")
"""Panels of the live view that `hide=` may take away."""
PAPER = """@media print {
  .stApp { filter: invert(1) hue-rotate(180deg); background: black !important; }
  .stApp :is(img, [data-testid="stImage"]) { filter: invert(1) hue-rotate(180deg); }
}
"""
"""What is drawn for a dark screen is turned round for paper; pictures stay as they are."""
LECTURE = "lecture"
FOLLOWED = "followed"

_remote = st.components.v2.component("lacuna_remote", html='<div class="lacuna-remote"></div>', css="\n",
                                     js=script("remote.js"))


def presents(visitor: State) -> bool:
    """Whether the address asks for large type."""
    return visitor.views.get("present") == "1"


def dress(visitor: State) -> None:
    """How every page looks on paper, and what the address asks of it: large type, and controls taken away."""
    wanted = list(filter(None, visitor.views.get("hide", "").split(",")))
    known = [name for name in wanted if name in PARTS or name in PANELS]
    css = styles("print.css", *(["present.css"] if presents(visitor) else []))
    if st.context.theme.type == "dark":
        css += PAPER + ":root { --lacuna-chosen: #ffb899; }\n"
    for name in known:
        css += f":root {{ --lacuna-{name}: none; }}\n" if name in PANELS else \
            f"{', '.join(PARTS[name])} {{ display: none !important; }}\n"
    if len(known) < len(wanted):
        visitor.views["hide"] = ",".join(known)
        if not known:
            del visitor.views["hide"]
        visitor.note(f"hide: some of {', '.join([*PARTS, *PANELS])} expected; what is none of them is ignored.")
    st.html(f"<style>{css}</style>")
    if presents(visitor):
        with st.container(key="presenting"):
            left = _remote(key="remote", data={}, on_leave_change=lambda: visitor.views.pop("present", None))
            if left.leave:
                st.rerun()
            room(visitor)


def room(visitor: State) -> None:
    """What a teacher needs: large type, what is hidden, an address to scan, and whether the room follows."""
    folded = st.expander("For the room: PageDown and PageUp turn, Escape leaves" if presents(visitor) else "Present",
                         icon=":material/co_present:", on_change="rerun", key="room")
    if not folded.open:
        return
    with folded:
        st.toggle("Large type, one picture a screen", key=showing("present", presents(visitor)), on_change=_turn,
                  args=(visitor,))
        st.multiselect("Take away", [*PARTS, *PANELS], on_change=_hide, args=(visitor,),
                       key=showing("hide", [name for name in visitor.views.get("hide", "").split(",") if name]),
                       placeholder="Nothing is hidden")
        st.toggle("Follow me: whoever opens the address below sees what you show", on_change=_lead,
                  key=showing("leading", LECTURE in st.session_state), disabled="follow" in visitor.views)
        _code(visitor)


def _turn(visitor: State) -> None:
    if taken("present"):
        visitor.views["present"] = "1"
    else:
        visitor.views.pop("present", None)


def _hide(visitor: State) -> None:
    visitor.views.pop("hide", None)
    if chosen := ",".join(taken("hide")):
        visitor.views["hide"] = chosen


def _lead() -> None:
    if taken("leading"):
        st.session_state[LECTURE] = LECTURES.begin(*_here())
    elif (lecture := st.session_state.pop(LECTURE, None)) is not None:
        LECTURES.end(*lecture)


def _here() -> tuple[str, dict[str, str]]:
    """The page and the parameters that others may see: how large the presenter's type is stays the presenter's own."""
    return st.session_state.get("page file", ""), {name: value for name, value in st.query_params.to_dict().items()
                                                   if name not in ("present", "follow")}


def _code(visitor: State) -> None:
    """The address for the room, and as a QR code."""
    page, address = _here()
    if (lecture := st.session_state.get(LECTURE)) is not None:
        page, address = "", {"follow": lecture[0]}
    start = urlsplit(st.context.url or "http://localhost:8501")
    own = f"{start.scheme}://{start.netloc}"
    whole = f"{own}/{page}{'?' if address else ''}{urlencode(address)}"
    picture = io.BytesIO()
    segno.make(whole, micro=False).save(picture, kind="png", scale=6, border=4)
    st.image(picture.getvalue(), width=260)
    st.code(whole, language=None, wrap_lines=True)
    if start.hostname in ("localhost", "127.0.0.1"):
        st.caption("This address leads other machines nowhere: start the app with HOST=0.0.0.0 and open it by the name "
                   "of this machine.")


# -- follow me -----------------------------------------------------------------------------------------------------


def tell() -> None:
    """Let those who follow see what this visitor shows, if this visitor leads."""
    if (lecture := st.session_state.get(LECTURE)) is not None and not LECTURES.tell(*lecture, *_here()):
        del st.session_state[LECTURE]


def follow(visitor: State, pages: dict[str, str]) -> None:
    """Show what the presenter shows, for as long as the address asks for it; `pages` are files by their names."""
    if "follow" in visitor.views:
        _listen(visitor, pages)


@st.fragment(run_every=2.0)
def _listen(visitor: State, pages: dict[str, str]) -> None:
    code = visitor.views.get("follow", "")
    shown = LECTURES.shown(code)
    if shown is None or st.button("Stop following", icon=":material/link_off:", key="unfollow", type="tertiary",
                                  help="The page stays as it is, and is yours to move."):
        visitor.views.pop("follow", None)
        st.session_state.pop(FOLLOWED, None)
        if shown is None:
            visitor.note("follow: nobody presents at this address now; the page is yours to move.")
        st.rerun()
    if st.session_state.get(FOLLOWED) != (code, shown.number):
        st.session_state[FOLLOWED] = code, shown.number
        _take(visitor, shown, code)
        if shown.page in pages and shown.page != st.session_state.get("page file"):
            st.switch_page(pages[shown.page])
        st.rerun()


def _take(visitor: State, shown: Shown, code: str) -> None:
    """Become what is shown; what the address cannot stand for is left as every address leaves it."""
    found = read_address(shown.address)
    visitor.adopt(found.choice())
    visitor.pair, visitor.views = found.pair, {**found.views, "follow": code}
    if {"lesson", "step"} <= found.views.keys() and found.views["step"].isdecimal():
        st.session_state["at step"] = found.views["lesson"], int(found.views["step"])  # the controls stand there
    st.session_state["undone"] = True  # the sidebar lives outside the fragment
