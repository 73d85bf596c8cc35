"""Scripts and styles of the app's own components.

Streamlit loads a component's script from a Blob, where relative imports lead nowhere. So what it gets is an entry of
two lines that imports a module of `assets/js/` by its address; `ui/routes.py` serves those.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

ASSETS = Path(__file__).parent.parent / "assets"
MODULES = {path.relative_to(ASSETS / "js").as_posix(): path.read_bytes()
           for path in sorted((ASSETS / "js").rglob("*.js"))}
"""All that is served, by name. Read once: one visitor never gets modules of two versions."""

PRINT = hashlib.sha256(b"\0".join(part for name, text in MODULES.items() for part in (name.encode(), text))).hexdigest()
"""Names the version of all modules, so that a browser may keep what it fetched."""

_IMPORT = re.compile(r'^(?:import\b[^;]*?)from "(\.[^"]+)";$', re.MULTILINE)


def styles(*names: str) -> str:
    """The files of `assets/css/` one after another, as one text."""
    return "\n".join((ASSETS / "css" / name).read_text("utf-8") for name in names)


def needed(name: str) -> list[str]:
    """A module and all that it imports, directly or not."""
    found = [name]
    for module in found:  # it grows
        folder = Path(module).parent
        for target in _IMPORT.findall(MODULES[module].decode()):
            path = Path("/", folder, target).resolve().relative_to("/").as_posix()
            if path not in found:
                found.append(path)
    return found


def entry(name: str) -> str:
    """A component's script: what the module exports by default. All modules are asked for at once, not one by one."""
    return (f"const at = (name) => import(new URL(`lacuna/js/{PRINT}/${{name}}`, document.baseURI));\n"
            f"export default (await Promise.all({json.dumps(needed(name))}.map(at)))[0].default;\n")
