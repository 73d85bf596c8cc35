"""Scripts and styles of the app's own components.

Streamlit loads a component's script from a Blob, where relative imports lead nowhere. So a view's modules are put into
one script here. Serving them one by one instead took a first visitor a fifth of a second more.
"""

from __future__ import annotations

import json
import re
from pathlib import PurePosixPath

from unlearn_core.assets import REPOSITORY

ASSETS = REPOSITORY / "assets"

# The only notations that modules may use; tests/ui/test_scripts.py holds them to it.
IMPORT = re.compile(r'^import (\{[^}]*\})\s+from "(\.{1,2}/[^"]+)";$', re.MULTILINE)
EXPORT = re.compile(r"^export (?=(?:async )?(?:const|function) (\w+))", re.MULTILINE)
# Comments on lines of their own: a fifth of what every visitor is sent.
COMMENT = re.compile(r"^ */\*(?:(?!\*/).)*\*/\n", re.MULTILINE | re.DOTALL)
DEFAULT = re.compile(r"^export default ", re.MULTILINE)


def styles(*names: str) -> str:
    """The files of `assets/css/` one after another, as one text."""
    return "\n".join((ASSETS / "css" / name).read_text("utf-8") for name in names)


def script(main: str) -> str:
    """A module of `assets/js/` and all that it imports as one module, which exports what `main` does by default.

    Each keeps a scope of its own: it becomes a function that returns its exports, after those that it imports.
    """
    scopes: dict[str, str] = {}

    def add(name: str, importers: tuple[str, ...]) -> None:
        if name in importers:
            raise ValueError(f"modules import each other in a circle: {' → '.join((*importers, name))}")
        if name in scopes:
            return

        def imported(found: re.Match[str]) -> str:
            target = resolved(name, found[2])
            add(target, (*importers, name))
            return f"const {found[1]} = modules[{json.dumps(target)}];"

        text = COMMENT.sub("", (ASSETS / "js" / name).read_text("utf-8"))
        text = IMPORT.sub(imported, text)
        exports = EXPORT.findall(text)
        text = DEFAULT.sub("exports.default = ", text)
        scopes[name] = (f"modules[{json.dumps(name)}] = ((exports) => {{\n{EXPORT.sub('', text)}\n"
                        f"return Object.assign(exports, {{ {', '.join(exports)} }});\n}})({{}});\n")

    add(main, ())
    return f"const modules = {{}};\n{''.join(scopes.values())}export default modules[{json.dumps(main)}].default;\n"


def resolved(importer: str, target: str) -> str:
    """The name of a module that another one imports by a relative path."""
    parts: list[str] = []
    for part in PurePosixPath(importer).parent.joinpath(target).parts:
        if part == "..":
            parts.pop()
        else:
            parts.append(part)
    return "/".join(parts)
