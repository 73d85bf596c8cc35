"""One way to report progress and to be cancelled, shared by everything that takes time."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[float, str], None]
"""Called with the share done in [0, 1] and a short note. It may raise `Cancelled`."""


class Cancelled(Exception):
    """Raised by a `Progress` callback to stop the work that called it."""


def silent(share: float, note: str = "") -> None:
    """The progress callback of a caller that does not listen."""


def stage(progress: Progress, low: float, high: float, name: str = "") -> Progress:
    """The callback of one stage of the work, whose own 0 to 1 is `low` to `high` of the whole."""

    def report(share: float, note: str) -> None:
        progress(low + (high - low) * share, ", ".join(filter(None, (name, note))))

    return report
