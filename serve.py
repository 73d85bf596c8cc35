"""The server: `streamlit run serve.py`. The app itself is app.py."""

from __future__ import annotations

import streamlit as st
from starlette.middleware import Middleware
from streamlit.runtime.pages_manager import PagesManager

from ui.server.door import Door
from ui.server.routes import ROUTES
from ui.server.shell import SHELL
from ui.server.statics import Statics
from ui.server.trouble import shorten_the_log, told
from ui.server.warmup import lifespan

# Until some session has run app.py, Streamlit would serve a deep link to pages/ without it.
PagesManager.uses_pages_directory = False
shorten_the_log()

app = st.App("app.py", lifespan=lifespan, routes=[*ROUTES, *SHELL], middleware=[Middleware(Door), Middleware(Statics)],
             on_script_error=told)
