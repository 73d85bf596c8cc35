"""What a browser gets before anything else: Streamlit's own page, with the place of the side panel kept.

The side panel is drawn after the first words, and pushed them aside; and a page is told only later that it is a wide
one. These were by far the largest jumps of every page.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import streamlit
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

PLACE = """<style>
@media (min-width: 769px) {
  [data-testid="stAppViewContainer"]:not(:has([data-testid="stSidebar"])) {
    box-sizing: border-box;
    padding-left: 300px;
  }
  html [data-testid="stMainBlockContainer"] { max-width: none; padding-left: 5rem; padding-right: 5rem; }
}
</style>
"""


@cache
def page() -> str:
    """Streamlit's page with that style at the end of its head."""
    found = (Path(streamlit.__file__).parent / "static" / "index.html").read_text("utf-8")
    return found.replace("</head>", f"{PLACE}</head>", 1)


async def shell(request: Request) -> Response:
    """The same for every page of the app."""
    return HTMLResponse(page(), headers={"Cache-Control": "no-cache"})


SHELL = [Route(f"/{name}", shell)
         for name in ("", *(file.stem for file in sorted((Path(__file__).parents[2] / "pages").glob("*.py"))))]
