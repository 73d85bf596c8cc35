"""The one engine of this process, and what it has published to browsers."""

from __future__ import annotations

from functools import cache
from threading import Lock

from cachetools import LRUCache

from unlearn_core.engine import Engine, Scene, Settled, weigh


@cache
def engine() -> Engine:
    """The engine, made at first use and shared by all sessions."""
    return Engine()


_lock = Lock()
_published: LRUCache[str, Scene | Settled] = LRUCache(2**28, getsizeof=weigh)  # bytes


def publish(*shown: Scene | Settled) -> None:
    """Let browsers fetch these by the key of their choice."""
    with _lock:
        for item in shown:
            _published[item.choice.key] = item


def published(key: str) -> Scene | Settled | None:
    """What was published under a key, if it is still held."""
    with _lock:
        return _published.get(key)
