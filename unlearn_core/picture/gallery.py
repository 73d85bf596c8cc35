"""A page that lists pictures of one folder, each by what it says of itself."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from unlearn_core.picture.file import MOST_BYTES, SCHEMA, templates

INDEX = "index.html"
_ABOUT = re.compile(r'<script type="application/json" id="about">(.*?)</script>', re.DOTALL)
_SHOWN = {"method", "words", "network", "images", "verdict", "meaning", "gauges", "computed_on", "key"}


def write(folder: Path) -> list[Path]:
    """Write `index.html` into a folder of pictures; the pictures, in the order of their files' names.

    An index of an earlier call is replaced, another file of that name is not.

    Raises:
        ValueError: if there is no picture in the folder, or something else has the index's name.
        OSError: if nothing can be read or written there.
    """
    files = sorted(file for file in folder.glob("*.html") if file.name != INDEX)
    found = [(file, what) for file in files if (what := about(file)) is not None]
    if not found:
        raise ValueError(f"gallery: a folder with files of the command picture expected, got {folder}")
    index, mark = folder / INDEX, f"<!-- {SCHEMA} gallery -->"
    if index.exists() and mark not in index.read_text("utf-8", "replace"):
        raise ValueError(f"gallery: {index} is no gallery, so it is not written over")
    index.write_text(templates().get_template("gallery.html.jinja").render(
        mark=mark, pictures=[what | {"file": file.name} for file, what in found]), "utf-8")
    return [file for file, _ in found]


def about(file: Path) -> dict[str, Any] | None:
    """What a picture says it is; None for a file that is no picture."""
    if file.stat().st_size > MOST_BYTES or (there := _ABOUT.search(file.read_text("utf-8", "replace"))) is None:
        return None
    try:
        found = json.loads(there[1])
    except ValueError:
        return None
    whole = isinstance(found, dict) and found.get("schema") == SCHEMA and found.keys() >= _SHOWN
    return found if whole else None
