"""The one engine of this process, and what it has published to browsers."""

from __future__ import annotations

from functools import cache

from cachetools import LRUCache

from unlearn_core.engine import Engine, Scene, Settled


@cache
def engine() -> Engine:
    """The engine, made at first use and shared by all sessions."""
    return Engine()


scenes: LRUCache[str, Scene] = LRUCache(64)
"""Scenes that pages have shown, by key: the live view fetches their constant data and landscapes."""

outcomes: LRUCache[str, Settled] = LRUCache(512)
"""Exact outcomes that pages have shown, by key."""
