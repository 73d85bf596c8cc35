"""What a sweep runs: every combination of methods, networks, requests, seeds and settings."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from unlearn_core.methods import method
from unlearn_core.methods.base import Hyperparameter, Value
from unlearn_core.nets.request import Request
from unlearn_core.serving.choice import SEEDS, Choice, choice
from unlearn_core.subjects.subject import bundled

POINTS = 100_000
"""Values of one range at most."""
RUNS = 10_000_000
"""Runs of one sweep at most: their keys and rows take 10 GB of the client's memory."""


@dataclass(frozen=True)
class Range:
    """Values from `low` to `high`, both included, spread as a slider of the knob is: evenly, or evenly in ratio."""

    low: float
    high: float
    points: int

    def values(self, knob: Hyperparameter) -> tuple[float, ...]:
        """The values, with three significant digits where these tell them apart.

        Raises:
            ValueError: if the knob has no range, the range is inverted, or it has fewer than two points or far too
                many.
        """
        if knob.scale == "choice":
            raise ValueError(f"{knob.name}: some of {', '.join(map(str, knob.choices))} expected, got a range")
        if not self.low < self.high:
            raise ValueError(f"{knob.name}: a range from low to high expected, got {self.low:g} to {self.high:g}")
        if self.points < 2:
            raise ValueError(f"{knob.name}: a range of at least 2 points expected, got {self.points}")
        if self.points > POINTS:
            raise ValueError(f"{knob.name}: a range of at most {POINTS:,} points expected, got {self.points:,}")
        knob.checked(self.low), knob.checked(self.high)
        spread = (np.geomspace if knob.scale == "log" else np.linspace)(self.low, self.high, self.points)
        short = tuple(min(max(float(f"{v:.3g}"), knob.low), knob.high) for v in spread)
        return short if len(set(short)) == self.points else tuple(map(float, spread))


@dataclass(frozen=True, eq=False)
class Space:
    """The runs of a sweep: every combination, each once. `len` counts them; iterating makes them one by one.

    Attributes:
        methods: names.
        networks: names of bundled networks.
        forget: the requests.
        seeds: how many, from 0; a method that uses none runs once.
        grid: values of each knob that is not at its default; a method without that knob ignores it.

    Raises:
        ValueError: if a part is empty, unknown, inverted or out of range, or there are more than `RUNS` runs.
    """

    methods: tuple[str, ...]
    networks: tuple[str, ...] = field(default_factory=lambda: (next(iter(bundled())),))
    forget: tuple[Request, ...] = (Request((0,)),)
    seeds: int = 1
    grid: Mapping[str, Range | tuple[Value, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("methods", "networks", "forget"):
            if not getattr(self, name):
                raise ValueError(f"{name}: at least one expected, got none")
        if not 1 <= self.seeds <= len(SEEDS):
            raise ValueError(f"seeds: a whole number in 1..{len(SEEDS)} expected, got {self.seeds}")
        for network, request in itertools.product(self.networks, self.forget):
            choice(network, request, self.methods[0], {})
        known = {knob.name for name in self.methods for knob in method(name).hyperparameters}
        if unknown := set(self.grid) - known:
            raise ValueError(f"grid: hyper-parameters of {', '.join(self.methods)} expected ({', '.join(sorted(known))}"
                             f"), got {', '.join(sorted(unknown))}")
        if self._total > RUNS:
            raise ValueError(f"runs: at most {RUNS:,} of one sweep expected, got {self._total:,}; vary fewer values or "
                             "split it into several")

    @cached_property
    def _grids(self) -> dict[str, dict[str, tuple[Value, ...]]]:
        """The checked values of each knob, without repeats, by method."""
        return {name: {knob.name: self._values(knob) for knob in method(name).hyperparameters if knob.name in self.grid}
                for name in self.methods}

    def _values(self, knob: Hyperparameter) -> tuple[Value, ...]:
        wanted = self.grid[knob.name]
        values = wanted.values(knob) if isinstance(wanted, Range) else wanted
        if not values:
            raise ValueError(f"{knob.name}: at least one value expected, got none")
        return tuple(dict.fromkeys(map(knob.checked, values)))

    @cached_property
    def _requests(self) -> list[tuple[str, Request]]:
        networks, forget = dict.fromkeys(self.networks), dict.fromkeys(
            Request(tuple(sorted(set(each.chosen))), each.kind) for each in self.forget)
        return list(itertools.product(networks, forget))

    def _seeds(self, name: str) -> range:
        return range(self.seeds if method(name).seeded else 1)

    @property
    def _total(self) -> int:
        return sum(len(self._requests) * math.prod(map(len, grid.values())) * len(self._seeds(name))
                   for name, grid in self._grids.items())

    def __len__(self) -> int:
        return self._total

    def __iter__(self) -> Iterator[Choice]:
        for name, grid in self._grids.items():
            for (network, forget), values, seed in itertools.product(
                    self._requests, itertools.product(*grid.values()), self._seeds(name)):
                yield choice(network, forget, name, dict(zip(grid, values, strict=True)), seed)
