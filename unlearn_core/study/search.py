"""Searching for good settings: Optuna's TPE, judged on validation images, kept trial by trial so that it can resume."""

from __future__ import annotations

import fcntl
import hashlib
import itertools
import math
import os
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from filelock import FileLock, Timeout

from unlearn_core import assets
from unlearn_core.methods.base import Value
from unlearn_core.progress import Progress, stage
from unlearn_core.serving.choice import Choice, choice
from unlearn_core.serving.engine import Engine
from unlearn_core.serving.landscape import numeric
from unlearn_core.serving.pool import Lane, Ticket
from unlearn_core.study.judging import Judged, judges

if TYPE_CHECKING:
    import optuna

Goal = Literal["one", "both"]
GOALS: dict[Goal, str] = {"one": "one score: forget gap + retain gap", "both": "both gaps, as a front"}
TRIALS = range(5, 201)
PAPER_TRIALS = 50
"""Budget of SSD's search (arXiv 2308.07707), with alpha in [0.1, 100] and lambda in [0.1, 5]."""
REFUSED = "refused"  # attribute of a trial that ended with an error of its own
ENOUGH = 10  # trials before importances mean anything; TPE draws so many at random first
FOLDER = assets.ROOT.parent / "build" / "searches"
PATIENCE = 1.0
"""Seconds to wait for a search that somebody else has: one that was just paused gives it up at its next step."""


@dataclass(frozen=True)
class Search:
    """What is searched. Make it with `search`, which checks it.

    Attributes:
        rest: the choice; its values of the searched knobs mean nothing.
        ranges: (name, low, high) of each knob that is searched.
        goal: the sum of both gaps, or each of them.
        trials: how many settings are tried.
        seed: of the sampler.
        origin: of a subject of one's own: its pictures and its network.
    """

    rest: Choice
    ranges: tuple[tuple[str, float, float], ...]
    goal: Goal
    trials: int
    seed: int = 0
    origin: str = ""

    @cached_property
    def key(self) -> str:
        """Sixteen hexadecimal digits; the number of trials is not in it, so that a longer search resumes a shorter.

        What was found of a subject of one's own says nothing once its pictures or its network have changed.
        """
        said = (self.rest, self.ranges, self.goal, self.seed, *([self.origin] if self.origin else []))
        return hashlib.sha256(repr(said).encode()).hexdigest()[:16]

    def at(self, values: dict[str, float]) -> Choice:
        """The choice with these values of the searched knobs."""
        settings: dict[str, Value] = {**dict(self.rest.settings), **values}
        return choice(self.rest.network, self.rest.forget, self.rest.method, settings, self.rest.seed)


@dataclass(frozen=True)
class Trial:
    """One setting that was tried.

    Attributes:
        values: of the searched knobs, by name.
        forget_gap: |forget accuracy - retrained mean| on training images to be forgotten, in points.
        retain_gap: |retain accuracy - retrained mean| on validation images of what is to be kept, in points.
    """

    values: dict[str, float]
    forget_gap: float
    retain_gap: float

    @property
    def score(self) -> float:
        """The sum of both gaps, in points; lower is better."""
        return self.forget_gap + self.retain_gap


def search(chosen: Choice, ranges: Sequence[tuple[str, float, float]], goal: Goal = "one",
           trials: int = PAPER_TRIALS, seed: int = 0, retrained: bool = False) -> Search:
    """A checked search; `retrained` says whether networks were retrained here for a request of which none are bundled.

    Raises:
        ValueError: if there is no knob, a range is empty, inverted or beyond the knob's own, the budget is out of
            bounds, or no retrained networks are at hand to judge against, or no validation images to judge on.
    """
    knobs = numeric(chosen.method)
    if not ranges:
        raise ValueError("ranges: at least one knob to search expected, got none")
    for name, low, high in ranges:
        if name not in knobs:
            raise ValueError(f"ranges: one of {', '.join(knobs) or 'none'} expected, got {name!r}")
        knob = knobs[name]
        if not (math.isfinite(low) and math.isfinite(high) and knob.low <= low < high <= knob.high):
            raise ValueError(f"{name}: a lower end below the upper end, both in [{knob.low:g}, {knob.high:g}], "
                             f"expected, got {low:g} to {high:g}")
    if goal not in GOALS:
        raise ValueError(f"goal: one of {', '.join(GOALS)} expected, got {goal!r}")
    if trials not in TRIALS:
        raise ValueError(f"trials: a whole number in {TRIALS.start}..{TRIALS.stop - 1} expected, got {trials}")
    name = f"networks/{chosen.network}-without-{chosen.forget.slug}.safetensors"
    if name not in assets.manifest().files and not retrained:
        raise ValueError("forget: a request with bundled retrained networks expected, or for which some were retrained "
                         f"here, because a search is judged against them, got {chosen.words}")
    if (held_out := chosen.subject.images.validation) is None:
        raise ValueError("network: one with validation images expected, on which a search is judged (pictures in "
                         f"data/validation beside train and test), got {chosen.subject.title}")
    if chosen.forget.shown_by(held_out).all():
        raise ValueError("forget: a request that leaves validation images to be kept expected, got "
                         f"{chosen.words}: all of them show that")
    made = Search(chosen, tuple(ranges), goal, trials, seed, chosen.subject.origin)
    return replace(made, rest=made.at({name: low for name, low, _ in ranges}))


# -- running and resuming -----------------------------------------------------------------------------------------


def submit(engine: Engine, wanted: Search, folder: Path = FOLDER, scheduler: str = "") -> Ticket[int]:
    """Run the search behind everybody's sliders; giving up the ticket pauses it, asking again resumes it.

    It ends early, with fewer trials than asked for, where somebody waits for other long work: ask again then.
    """
    return engine.pool.submit(
        ("search", wanted),
        lambda progress: run(engine, wanted, progress, folder, lambda: engine.pool.awaited, scheduler),
        Lane.LONG, keep=False)


def run(engine: Engine, wanted: Search, progress: Progress, folder: Path = FOLDER,
        give_way: Callable[[], bool] = lambda: False, scheduler: str = "") -> int:
    """Try settings until the budget is spent, each kept as soon as it is known; the number that were tried.

    Where `give_way` says so after a trial, it stops for now.

    The sampler is seeded by the number of trials behind it, so a search that was interrupted finds what it would
    have found; on a cluster as many settings are chosen at once as it has threads, and so their number matters too. A
    trial that the method refused counts for the seed and not for the budget: the next attempt tries another setting.
    A file that makes no sense is set aside and the search starts afresh.

    Args:
        engine: judges where no scheduler is named.
        wanted: the search.
        progress: told all the time; may cancel.
        folder: of all searches.
        give_way: asked after each trial.
        scheduler: address of a running Dask scheduler whose workers judge; empty for this process.

    Raises:
        ValueError: whatever the method raises.
        RuntimeError: if somebody else runs this search, or workers died of a trial again and again.
        SweepError: as `judges`, or if the scheduler is lost.
        OSError: if trials cannot be kept; those that were stay.
    """
    with alone(wanted, folder), judges(engine, scheduler, wanted.rest) as (width, judged):
        return _run(wanted, progress, folder, give_way, width, judged)


def _run(wanted: Search, progress: Progress, folder: Path, give_way: Callable[[], bool], width: int,
         judged: Judged) -> int:
    import optuna

    knobs = numeric(wanted.rest.method)
    space: dict[str, optuna.distributions.BaseDistribution] = {
        name: optuna.distributions.FloatDistribution(low, high, log=knobs[name].scale == "log")
        for name, low, high in wanted.ranges}
    study, failed = _study(wanted, folder), optuna.trial.TrialState.FAIL
    for stale in study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.RUNNING,)):
        study.tell(stale.number, state=failed)  # the process ended in the middle of it
    while (done := len(_complete(study))) < wanted.trials:
        study.sampler = optuna.samplers.TPESampler(seed=1000 * wanted.seed + done + _refused(study),
                                                   constant_liar=width > 1)
        trials = [study.ask(space) for _ in range(min(width, wanted.trials - done))]
        part = stage(progress, done / wanted.trials, (done + len(trials)) / wanted.trials,
                     f"trial {done + 1} of {wanted.trials}")
        try:
            part(0.0, "")
            answers = judged([wanted.at(trial.params) for trial in trials], part)
        except BaseException:  # an interruption
            for trial in trials:
                study.tell(trial, state=failed)
            raise
        for trial, answer in zip(trials, answers, strict=True):
            if isinstance(answer, Exception):
                if isinstance(answer, ValueError | RuntimeError):  # it would happen again
                    trial.set_user_attr(REFUSED, str(answer))
                study.tell(trial, state=failed)
            else:
                trial.set_user_attr("gaps", answer)
                study.tell(trial, sum(answer) if wanted.goal == "one" else answer)
        if problem := next((answer for answer in answers if isinstance(answer, Exception)), None):
            raise problem
        if give_way():
            return done + len(trials)
    progress(1.0, "done")
    return done


def running(wanted: Search, folder: Path = FOLDER) -> bool:
    """Whether somebody runs this search, in this process or another."""
    try:
        with _file(wanted, folder, "lock").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)  # shared, as filelock's are not: to look stops nobody
    except BlockingIOError:
        return True
    except OSError:  # never begun, or to be complained about when somebody begins
        pass
    return False


@contextmanager
def alone(wanted: Search, folder: Path) -> Iterator[None]:
    """Keep everybody else from running the search and throwing it away; the lock ends with the process.

    Raises:
        RuntimeError: if somebody else has it.
        OSError: if the folder cannot be written to.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        held = FileLock(_file(wanted, folder, "lock")).acquire(timeout=PATIENCE)
    except Timeout:
        raise RuntimeError("This search is running, started by another visitor or not yet paused: wait until it ends, "
                           "or search with other ranges.") from None
    with held:
        yield


def _file(wanted: Search, folder: Path, kind: Literal["journal", "lock"] = "journal") -> Path:
    return folder / f"{wanted.key}.{kind}"


def _storage(file: Path) -> optuna.storages.JournalStorage:
    import optuna
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.storages.JournalStorage(JournalFileBackend(str(file)))


def loaded(file: Path) -> optuna.Study | None:
    """The kept study; None if it cannot be replayed (Optuna then raises whatever comes to its mind).

    Raises:
        OSError: if the file cannot be read, though it may be sound.
    """
    import optuna

    try:
        study = optuna.load_study(study_name="search", storage=_storage(file))
        study.get_trials(deepcopy=False)
    except (OSError, MemoryError):
        raise
    except Exception:
        return None
    return study


def _study(wanted: Search, folder: Path) -> optuna.Study:
    """The kept study, or a new one. A last line cut short is dropped; a file that makes no sense is set aside."""
    import optuna

    file = _file(wanted, folder)
    if file.exists():
        text = file.read_bytes()
        if not text.endswith(b"\n"):
            os.truncate(file, text.rfind(b"\n") + 1)
        if (kept := loaded(file)) is not None:
            return kept
        file.replace(file.with_suffix(f".damaged-{uuid.uuid4().hex[:6]}"))
    return optuna.create_study(storage=_storage(file), study_name="search",
                               directions=["minimize"] * (1 if wanted.goal == "one" else 2))


def _complete(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    import optuna

    return study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.COMPLETE,))


def _refused(study: optuna.Study) -> int:
    """Trials that ended with an error of their own."""
    return sum(REFUSED in trial.user_attrs for trial in study.get_trials(deepcopy=False))


# -- results ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Results:
    """What a search has found so far.

    Attributes:
        trials: finished ones, in order.
        importances: share of each knob in how good a setting is (PED-ANOVA, arXiv 2304.10255), largest first; empty
            while there are too few trials.
        damaged: whether the file of this search cannot be read; a new start sets it aside.
    """

    trials: tuple[Trial, ...] = ()
    importances: dict[str, float] = field(default_factory=dict)
    damaged: bool = False


def results(wanted: Search, folder: Path = FOLDER) -> Results:
    """What is kept of a search; nothing if it was never begun.

    Raises:
        OSError: if it cannot be read.
    """
    file = _file(wanted, folder)
    if not file.exists():
        return Results()
    import optuna

    study = loaded(file)
    if study is None:
        return Results(damaged=True)
    trials = tuple(Trial(dict(trial.params), *trial.user_attrs["gaps"]) for trial in _complete(study))
    shares: dict[str, float] = {}
    if len(trials) >= ENOUGH and len(wanted.ranges) > 1:
        shares = optuna.importance.get_param_importances(study)
    return Results(trials, shares)


def discard(wanted: Search, folder: Path = FOLDER) -> None:
    """Throw away what is kept of a search.

    Raises:
        RuntimeError: if somebody runs it.
        OSError: if it cannot be removed.
    """
    with alone(wanted, folder):
        _file(wanted, folder).unlink(missing_ok=True)


def best_so_far(trials: Sequence[Trial]) -> list[float]:
    """The lowest score up to each trial, in points."""
    return list(itertools.accumulate((trial.score for trial in trials), min))
