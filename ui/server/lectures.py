"""Lectures: what a presenter shows just now, for every browser that follows. In memory alone, while it is on."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from threading import Lock
from time import monotonic

MOST = 32
"""Lectures at a time; the one that was told of longest ago makes room."""
KEPT = 2 * 3600.0
"""Seconds after which a lecture that nobody tells of any more is over."""


@dataclass(frozen=True)
class Shown:
    """What the presenter shows.

    Attributes:
        page: its file's name, without its end.
        address: the parameters of its address.
        number: grows with each change.
    """

    page: str
    address: Mapping[str, str]
    number: int


@dataclass(frozen=True)
class _Lecture:
    secret: str
    shown: Shown
    told: float


class Lectures:
    """Those of one process. Whoever holds a lecture's secret may change it; whoever knows its code may look."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock, self._lock = clock, Lock()
        self._kept: dict[str, _Lecture] = {}

    def begin(self, page: str, address: Mapping[str, str]) -> tuple[str, str]:
        """A new lecture: its code, for the room, and its secret, for the presenter's session alone."""
        code, secret = secrets.token_hex(4), secrets.token_urlsafe(24)
        with self._lock:
            self._tidy()
            while len(self._kept) >= MOST:
                del self._kept[min(self._kept, key=lambda known: self._kept[known].told)]
            self._kept[code] = _Lecture(secret, Shown(page, dict(address), 0), self._clock())
        return code, secret

    def tell(self, code: str, secret: str, page: str, address: Mapping[str, str]) -> bool:
        """Show this from now on; False, and nothing changed, if there is no such lecture or it is another's."""
        with self._lock:
            self._tidy()
            lecture = self._mine(code, secret)
            if lecture is None:
                return False
            shown = lecture.shown
            if (page, dict(address)) != (shown.page, shown.address):
                shown = Shown(page, dict(address), shown.number + 1)
            self._kept[code] = replace(lecture, shown=shown, told=self._clock())
            return True

    def end(self, code: str, secret: str) -> None:
        """It is over, if the secret is right."""
        with self._lock:
            if self._mine(code, secret) is not None:
                del self._kept[code]

    def shown(self, code: str) -> Shown | None:
        """What is shown now; None if there is no such lecture, or it is over."""
        with self._lock:
            self._tidy()
            found = self._kept.get(code)
            return None if found is None else found.shown

    def _mine(self, code: str, secret: str) -> _Lecture | None:
        found = self._kept.get(code)
        return found if found is not None and secrets.compare_digest(found.secret, secret) else None

    def _tidy(self) -> None:
        for code in [known for known, each in self._kept.items() if self._clock() - each.told > KEPT]:
            del self._kept[code]


LECTURES = Lectures()
