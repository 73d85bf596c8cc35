"""The one engine of this process, and what it has published to browsers."""

from __future__ import annotations

from functools import cache
from threading import Lock
from weakref import WeakValueDictionary

from unlearn_core.engine import Engine, Scene, Settled


@cache
def engine() -> Engine:
    """The engine, made at first use and shared by all sessions."""
    return Engine()


_lock = Lock()
# By reference only: what is kept, and how much of it, is for the engine's pool to say.
_published: WeakValueDictionary[str, Scene | Settled] = WeakValueDictionary()


def publish(*shown: Scene | Settled) -> None:
    """Let browsers fetch these by the key of their choice."""
    with _lock:
        for item in shown:
            _published[item.choice.key] = item


def published(key: str) -> Scene | Settled | None:
    """What was published under a key, if it is still held."""
    with _lock:
        return _published.get(key)
