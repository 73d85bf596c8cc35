"""The one engine of this process, and what it has published to browsers."""

from __future__ import annotations

from functools import cache
from threading import Lock
from typing import TypeVar
from weakref import WeakValueDictionary

from unlearn_core.serving.engine import Engine
from unlearn_core.serving.scenes import Scene, Settled


@cache
def engine() -> Engine:
    """The engine, made at first use and shared by all sessions."""
    return Engine()


_lock = Lock()
# By reference only: what is kept, and how much of it, is for the engine's pool to say.
_published: WeakValueDictionary[tuple[type, str], Scene | Settled] = WeakValueDictionary()
S = TypeVar("S", Scene, Settled)


def publish(*shown: Scene | Settled) -> None:
    """Let browsers fetch these by the key of their choice."""
    with _lock:
        for item in shown:
            _published[type(item), item.choice.key] = item


def published(kind: type[S], key: str) -> S | None:
    """What of this kind was published under a key, if it is still held."""
    with _lock:
        found = _published.get((kind, key))
    return found if isinstance(found, kind) else None
