"""A bundled file that cannot be used is no fault of the code: the page says so in a sentence, and so does the log."""

from __future__ import annotations

import logging

import streamlit as st

from unlearn_core.assets import AssetError


def told(error: Exception) -> bool:
    """What nobody has caught, as a sentence on the page where it is one; False where it is not."""
    if not isinstance(error, AssetError):
        return False
    st.error(str(error), icon=":material/error:")
    return True


def _in_a_line(record: logging.LogRecord) -> bool:
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, AssetError):
        record.msg, record.args, record.exc_info = str(error), (), None
    return True


logging.getLogger("streamlit.error_util").addFilter(_in_a_line)
