"""The positions of a slider, and a knob's value as an address writes it."""

from __future__ import annotations

from functools import cache

from unlearn_core.methods import METHODS
from unlearn_core.methods.base import Hyperparameter, Value


def read_value(knob: Hyperparameter, text: str, otherwise: Value) -> tuple[Value, str]:
    """A knob's value as written in an address, or another if it is none, and what was done to it ("" if nothing)."""
    if knob.scale == "choice":
        for allowed in knob.choices:
            if text == str(allowed):
                return allowed, ""
        return otherwise, f"{knob.name}: one of {', '.join(map(str, knob.choices))} expected, got {short(text)}."
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if value != value:
        return otherwise, f"{knob.name}: a number in [{knob.low:g}, {knob.high:g}] expected, got {short(text)}."
    clamped = min(max(value, knob.low), knob.high)
    if clamped != value:
        return clamped, f"{knob.name}: {short(text)} is outside [{knob.low:g}, {knob.high:g}]; {clamped:g} is shown."
    position = snap(knob, value)
    return position, "" if position == value else (
        f"{knob.name}: {short(text)} lies between two slider positions; {position:g} is shown.")


def snap(knob: Hyperparameter, value: float) -> float:
    """The slider position nearest to a value (on a logarithmic slider, nearest in ratio)."""
    ticks = positions(knob)
    if knob.scale == "log":
        return min(ticks, key=lambda tick: abs(tick / value - 1) if tick > value else abs(value / tick - 1))
    return min(ticks, key=lambda tick: abs(tick - value))


@cache
def positions(knob: Hyperparameter) -> tuple[float, ...]:
    """The slider's positions, every preset's value among them."""
    presets = [preset.settings[knob.name] for found in METHODS.values() for preset in found.presets.values()
               if knob.name in preset.settings]
    return knob.ticks(tuple(float(v) for v in presets if not isinstance(v, str)))


def short(text: str) -> str:
    """What a stranger wrote into the address, short and harmless enough to be repeated: as code nothing is a link."""
    plain = "".join(c if c.isalnum() or c in " .,-+_" else "?" for c in text[:24])
    return f"`{plain}{'…' if len(text) > 24 else ''}`" if plain.strip() else "nothing"
