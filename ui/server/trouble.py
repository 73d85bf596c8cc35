"""What nobody has caught, in a sentence on the page and in a line of the log.

A bundled file that cannot be used is told as it is. Whatever else is raised is most likely the fault of a message that
no browser sends, and anybody can send many: a line each names the error and where it came from.
"""

from __future__ import annotations

import logging
import traceback
from typing import Any

import streamlit as st

from unlearn_core.assets import REPOSITORY, AssetError

UNKNOWN = ("This could not be shown. What went wrong stands in a line of the server's log; reload the page, or choose "
           "something else.")
PLACES = 3


def told(error: Exception) -> bool:
    """The sentence, in the place of Streamlit's own."""
    st.error(str(error) if isinstance(error, AssetError) else UNKNOWN, icon=":material/error:")
    return True


def line(error: BaseException) -> str:
    """An error and the last places that it passed, without the folders above the project's."""
    if isinstance(error, AssetError):
        return str(error)
    passed = traceback.extract_tb(error.__traceback__)[-PLACES:]
    places = [f"{_short(frame.filename)}:{frame.lineno}" for frame in passed]
    said = " ".join(str(error).split())[:200]
    return f"{type(error).__name__}: {said} ({' > '.join(places)})"


def _short(file: str) -> str:
    ours = file.removeprefix(f"{REPOSITORY}/").rpartition("site-packages/")[2]
    return ours.rpartition("/")[2] if ours.startswith("/") else ours


def shorten_the_log() -> None:
    """Put what Streamlit logs of errors into a line each, whichever of its many loggers it goes to."""
    usual = logging.getLogRecordFactory()

    def record(*given: Any, **named: Any) -> logging.LogRecord:
        made = usual(*given, **named)
        if made.name.startswith("streamlit") and made.exc_info and made.exc_info[1] is not None:
            made.msg, made.args, made.exc_info = f"{made.getMessage()}: {line(made.exc_info[1])}", (), None
        return made

    logging.setLogRecordFactory(record)
