"""What every unlearning method is: a declaration of its hyper-parameters and a function to an outcome."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from unlearn_core.exhibits import Exhibit
from unlearn_core.measure.estimator import Loss
from unlearn_core.measure.task import Task
from unlearn_core.progress import Progress

Value = float | int | str
Settings = Mapping[str, Value]
Need = Literal["forget images", "retain images", "labels", "training history", "stored statistics"]
Family = Literal["dampening", "noise", "history", "partial updates", "projection", "baseline"]


TUNED = "not from the paper: tuned on the bundled networks (see README)"
"""The source of a default that the rule of `unlearn_core.study.tune` chose, from the values in `GRIDS` there."""
CHOSEN = "not from the paper: chosen by this project"
"""The source of other defaults of the methods that come with this project."""
AUTHOR = "chosen by the method's author"
"""The source of a default of which nothing else is said."""

FROZEN = "Every weight of this network is frozen, so there is nothing to train."


class NotApplicable(ValueError):
    """The method cannot serve this request; the message is the reason, in a sentence."""


class Diverged(ValueError):
    """The run left the finite numbers; the message says where and what to change."""


@dataclass(frozen=True)
class Hyperparameter:
    """One knob of a method, declared once: widgets, command line, sweeps and tests follow from it.

    Attributes:
        name: identifier, as in the URL and on the command line.
        label: the field's symbol or word.
        meaning: one line, in plain words.
        source: where the default comes from.
        default: the general default, which holds where a request has no opening of its own (see `openings`).
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
            for allowed in self.choices:
                if value == allowed and not isinstance(value, bool):
                    return allowed
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
        seconds: processor time of the run, importances included unless they were at hand; `Method.run` measures it.
        stored_bytes: what must be kept from training for this method to run.
    """

    seconds: float = 0.0
    stored_bytes: int = 0


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a method made.

    Attributes:
        parameters: the new weights by parameter name.
        trace: what the method did, as plain numbers (counts, thresholds used, shares).
        warnings: sentences a person should read with the result.
        cost: time and storage.
        buffers: running statistics by name, only those that differ from the original's.
        exhibits: pictures of what the method did: its noise, its masks, its loss curve.
    """

    parameters: dict[str, Tensor]
    trace: dict[str, float]
    warnings: tuple[str, ...]
    cost: Cost
    buffers: dict[str, Tensor] = field(default_factory=dict)
    exhibits: tuple[Exhibit, ...] = ()

    @property
    def weights(self) -> dict[str, Tensor]:
        """Parameters and changed buffers together: what stands in for the original's when evaluating.

        Buffers that did not change are left out; `state_dict` has everything.
        """
        return {**self.parameters, **self.buffers}

    def state_dict(self, model: nn.Module) -> dict[str, Tensor]:
        """What `model.load_state_dict` takes: the whole state of the original with what changed in its place.

        Args:
            model: the original; left as it was.
        """
        changed = copy.deepcopy(model)
        changed.load_state_dict(self.weights, strict=False)  # weights that stand under two names change under both
        return changed.state_dict()


@dataclass(frozen=True)
class Preset:
    """Named settings of a method, and why one would choose them."""

    settings: dict[str, Value]
    about: str


@contextmanager
def one_thread() -> Iterator[None]:
    """Let PyTorch compute on the calling thread alone; other threads keep what they have."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _always(task: Task, settings: Settings) -> str:
    return ""


@dataclass(frozen=True)
class Method:
    """An unlearning method.

    Attributes:
        name: identifier, as in the URL and on the command line.
        title: for people.
        paper: citation.
        about: one sentence on what it does.
        family: which idea it belongs to.
        needs: what must be at hand when forgetting.
        hyperparameters: the knobs.
        work: does the work on checked settings; call `run`.
        presets: named settings; ``official`` is what the paper's code does.
        obstacle: why it cannot serve a request, as a sentence; empty if it can.
        importance: the loss of the importances whose ratio it thresholds with alpha; None for other methods.
        seeded: whether its result depends on the task's seed.
        afresh: whether next to nothing of the original's weights is left in what it makes: such a network has an
            embedding of its own, in which every image lies elsewhere.
    """

    name: str
    title: str
    paper: str
    about: str
    family: Family
    needs: frozenset[Need]
    hyperparameters: tuple[Hyperparameter, ...]
    work: Callable[[Task, Settings, Progress], Outcome]
    presets: Mapping[str, Preset] = field(default_factory=dict)
    obstacle: Callable[[Task, Settings], str] = _always
    importance: Loss | None = None
    seeded: bool = True
    afresh: bool = False

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

    def run(self, task: Task, settings: Settings, progress: Progress) -> Outcome:
        """Unlearn.

        Args:
            task: network, data and request; left as it was.
            settings: those that are not at their default; checked and filled in.
            progress: told how far the work is; may cancel it.

        Raises:
            NotApplicable: if the method cannot serve the request; said before any work.
            Diverged: if the weights left the finite numbers.
            ValueError: for settings that are not allowed, if nothing or everything is to be forgotten, or if the
                network does not fit the images (see `heads.check`).
        """
        settings = self.settings(settings)
        forget, retain = task.split
        # A method that never looks at what it forgets can do without it, if it is told which class it was.
        unseen = task.request.classes and "forget images" not in self.needs
        if not (len(forget) or unseen) or not len(retain):
            raise ValueError(f"request: at least one image to forget and one to keep expected, got {len(forget)} "
                             f"and {len(retain)}")
        task.check()
        if not any(value.requires_grad for value in task.model.parameters()):
            raise NotApplicable(FROZEN)
        if reason := self.obstacle(task, settings):
            raise NotApplicable(reason)
        # The clock must count this run and nothing else. Wall time counts everybody's load (twice the processor's on a
        # busy machine), the process's time the work of all visitors, the thread's time misses PyTorch's helpers (43 %
        # with two). On one thread there are none, so the thread's time is the run's, and networks as small as these
        # gain little from a second one: on a busy machine it takes longer with two.
        with one_thread():
            begun = time.thread_time()
            try:
                outcome = self.work(task, settings, progress)
            except ValueError as error:
                if "more than 1 value per channel" not in str(error):
                    raise
                # Batches never end in a single image, so there is only one in all.
                raise NotApplicable(f"{self.title} trains on a single image by itself here, from which a batch norm "
                                    "of this network cannot learn: there is one value per channel.") from error
            cost = replace(outcome.cost, seconds=time.thread_time() - begun)
        for name, value in outcome.weights.items():
            if not bool(value.isfinite().all()):
                raise Diverged(f"{self.title} diverged: {name} is no longer finite. Lower the learning rate or the "
                               "number of steps.")
        return replace(outcome, cost=cost)
