"""What a browser gets first: Streamlit's own page, with the place of the side panel kept and scripts named early.

The side panel is drawn after the first words, and pushed them aside; and a page is told only later that it is a wide
one. These were by far the largest jumps of every page. Scripts that every page needs are asked for with Streamlit's own
instead of after the server's first words.
"""

from __future__ import annotations

import re
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

STATIC = Path(streamlit.__file__).parent / "static"
NEEDED = ("Html", "Selectbox", "ButtonGroup", "Multiselect", "Slider", "BidiComponent", "Button")
"""What every page shows: Streamlit asks for the scripts of each only when it has been told to draw one."""
IMPORT = re.compile(r'(?:from|import)"\./([^"]+\.js)"')


def scripts(folder: Path) -> set[str]:
    """The names of these scripts and of all that they import."""
    found, left = set(), {file.name for name in NEEDED for file in folder.glob(f"{name}.*.js")}
    while left:
        found |= left
        left = {name for file in left for name in IMPORT.findall((folder / file).read_text("utf-8"))} - found
    return found


@cache
def page() -> str:
    """Streamlit's page with that style and these scripts at the end of its head."""
    found = (STATIC / "index.html").read_text("utf-8")
    early = "".join(f'<link rel="modulepreload" crossorigin href="./static/js/{name}">\n'
                    for name in sorted(scripts(STATIC / "static" / "js")) if name not in found)
    return found.replace("</head>", f"{PLACE}{early}</head>", 1)


async def shell(request: Request) -> Response:
    """The same for every page of the app."""
    return HTMLResponse(page(), headers={"Cache-Control": "no-cache"})


SHELL = [Route(f"/{name}", shell)
         for name in ("", *(file.stem for file in sorted((Path(__file__).parents[2] / "pages").glob("*.py"))))]
