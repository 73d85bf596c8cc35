"""Scripts and styles of the app's own components. Components cannot import modules: what they share is put before."""

from __future__ import annotations

from pathlib import Path

_ASSETS = Path(__file__).parent.parent / "assets"


def read(*names: str) -> str:
    """The files of `assets/` one after another, as one text."""
    return "\n".join((_ASSETS / name).read_text("utf-8") for name in names)
