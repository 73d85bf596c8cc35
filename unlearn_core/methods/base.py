"""What every unlearning method is: a declaration of its hyper-parameters and a function to an outcome."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from torch import Tensor

from unlearn_core.progress import Progress
from unlearn_core.task import Task

Value = float | int | str
Settings = Mapping[str, Value]


@dataclass(frozen=True)
class Hyperparameter:
    """One knob of a method, declared once: widgets, command line, sweeps and tests follow from it.

    Attributes:
        name: identifier, as in the URL and on the command line.
        label: the field's symbol or word.
        meaning: one line, in plain words.
        source: where the default comes from.
        default: the value the app opens with.
        scale: how a slider moves through the range, or ``choice``.
        low: smallest value allowed (numbers only).
        high: largest value allowed (numbers only).
        unit: of the value; empty for pure numbers.
        choices: the allowed values (``choice`` only).
        advanced: whether the knob sits behind "Advanced".
    """

    name: str
    label: str
    meaning: str
    source: str
    default: Value
    scale: Literal["log", "linear", "choice"]
    low: float = 0.0
    high: float = 0.0
    unit: str = ""
    choices: tuple[Value, ...] = ()
    advanced: bool = False

    def checked(self, value: object) -> Value:
        """The value, if it is allowed.

        Raises:
            ValueError: naming the knob, its range and the value.
        """
        if self.scale == "choice":
            if value in self.choices:
                return value
            raise ValueError(f"{self.name}: one of {', '.join(map(str, self.choices))} expected, got {value!r}")
        if isinstance(value, bool) or not isinstance(value, int | float) or not self.low <= value <= self.high:
            raise ValueError(f"{self.name}: a number in [{self.low:g}, {self.high:g}] expected, got {value!r}")
        return float(value)

    def ticks(self, extra: tuple[float, ...] = ()) -> tuple[float, ...]:
        """The positions a slider offers, ascending: evenly spread over the range, with the default and `extra`.

        A logarithmic range has about 48 steps a decade, always a multiple of 16, so that the grids of a
        landscape fall on slider positions, and every value with one significant digit.
        """
        if self.scale == "log":
            spread = np.geomspace(self.low, self.high, 16 * round(3 * math.log10(self.high / self.low)) + 1)
            decades = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            extra += tuple(digit * 10.0**decade for decade in decades for digit in range(1, 10))
        else:
            spread = np.linspace(self.low, self.high, 97)
        exact = {float(f"{v:.3g}") for v in (*spread, *extra)} | {float(self.default)}
        return tuple(sorted(v for v in exact if self.low <= v <= self.high))


@dataclass(frozen=True)
class Cost:
    """What a method took.

    Attributes:
        seconds: wall-clock time of the run, importances included unless they were at hand.
        stored_bytes: what must be kept from training for this method to run.
    """

    seconds: float
    stored_bytes: int


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a method made.

    Attributes:
        parameters: the new weights by parameter name; buffers stay the original's.
        trace: what the method did, as plain numbers (counts, thresholds used, shares).
        warnings: sentences a person should read with the result.
        cost: time and storage.
    """

    parameters: dict[str, Tensor]
    trace: dict[str, float]
    warnings: tuple[str, ...]
    cost: Cost


@dataclass(frozen=True)
class Preset:
    """Named settings of a method, and why one would choose them."""

    settings: dict[str, Value]
    about: str


@dataclass(frozen=True)
class Method:
    """An unlearning method.

    Attributes:
        name: identifier, as in the URL and on the command line.
        title: for people.
        paper: citation.
        about: one sentence on what it does.
        hyperparameters: the knobs.
        presets: named settings; ``official`` is what the paper's code does.
        run: does the work on checked settings.
    """

    name: str
    title: str
    paper: str
    about: str
    hyperparameters: tuple[Hyperparameter, ...]
    run: Callable[[Task, Settings, Progress], Outcome]
    presets: Mapping[str, Preset] = field(default_factory=dict)

    def settings(self, given: Settings | None = None) -> dict[str, Value]:
        """All knobs: those given, checked, and the defaults of the rest.

        Raises:
            ValueError: for an unknown name or a value that is not allowed.
        """
        given = given or {}
        known = {knob.name: knob for knob in self.hyperparameters}
        if unknown := set(given) - set(known):
            raise ValueError(f"{self.name}: hyper-parameters {', '.join(known)} expected, "
                             f"got {', '.join(sorted(unknown))}")
        return {name: knob.checked(given.get(name, knob.default)) for name, knob in known.items()}
