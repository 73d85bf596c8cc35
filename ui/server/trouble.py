"""What nobody has caught, in a sentence on the page and in a line of the log.

A bundled file that cannot be used is told as it is. Whatever else is raised is most likely the fault of a message that
no browser sends, and anybody can send many: a line each names the error and where it came from.
"""

from __future__ import annotations

import logging
import traceback

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
    places = [f"{frame.filename.removeprefix(f'{REPOSITORY}/').rpartition('site-packages/')[2]}:{frame.lineno}"
              for frame in traceback.extract_tb(error.__traceback__)[-PLACES:]]
    said = " ".join(str(error).split())[:200]
    return f"{type(error).__name__}: {said} ({' > '.join(places)})"


def _in_a_line(record: logging.LogRecord) -> bool:
    if record.exc_info and record.exc_info[1] is not None:
        record.msg, record.args, record.exc_info = f"{record.getMessage()}: {line(record.exc_info[1])}", (), None
    return True


def shorten_the_log() -> None:
    """Put what Streamlit logs of errors into a line each."""
    for name in ("streamlit.error_util", "streamlit.web.server.starlette.starlette_websocket",
                 "streamlit.runtime.app_session", "streamlit.runtime.scriptrunner.script_runner"):
        logging.getLogger(name).addFilter(_in_a_line)
