"""The registry: every file of this folder that holds a `METHOD` is a method. Ordered by family, then by name."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import get_args

from unlearn_core.methods.base import Family, Hyperparameter, Method


def _found() -> dict[str, Method]:
    found: dict[str, Method] = {}
    for module in iter_modules(__path__):
        method = getattr(import_module(f"{__name__}.{module.name}"), "METHOD", None)
        if method is None:
            continue
        if method.name in found:
            raise ValueError(f"methods: names must differ, got {method.name!r} twice")
        found[method.name] = method
    families = get_args(Family)
    return dict(sorted(found.items(), key=lambda item: (families.index(item[1].family), item[0])))


METHODS: dict[str, Method] = _found()


def method(name: str) -> Method:
    """The method of that name.

    Raises:
        ValueError: if there is none.
    """
    if name not in METHODS:
        raise ValueError(f"method: one of {', '.join(METHODS)} expected, got {name!r}")
    return METHODS[name]


@cache
def positions(knob: Hyperparameter) -> tuple[float, ...]:
    """The positions of a knob's slider, every preset's value among them."""
    presets = [preset.settings[knob.name] for found in METHODS.values() for preset in found.presets.values()
               if knob.name in preset.settings]
    return knob.ticks(tuple(float(v) for v in presets if not isinstance(v, str)))
