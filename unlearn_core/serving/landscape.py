"""How the gauges move with the knobs: planes of evaluated points that fill while somebody looks at them."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import numpy.typing as npt

from unlearn_core.assets import AssetError
from unlearn_core.audit.accuracy import wilson
from unlearn_core.audit.gauges import KINDS, read_gauges
from unlearn_core.methods import method
from unlearn_core.methods.base import Hyperparameter, Value
from unlearn_core.methods.selective import LAMBDA
from unlearn_core.nets.evaluate import Outputs
from unlearn_core.nets.request import Request
from unlearn_core.progress import Cancelled, Progress, stage
from unlearn_core.serving.choice import Choice, choice
from unlearn_core.serving.engine import Engine
from unlearn_core.serving.grid import ALPHAS, LAMBDAS
from unlearn_core.serving.pool import Lane, Ticket
from unlearn_core.serving.scenes import Scene, unlearn
from unlearn_core.subjects.subject import subject

Float64 = npt.NDArray[np.float64]

ESTIMATORS: dict[str, tuple[str, dict[str, Value]]] = {
    "SSD, per sample": ("ssd", {}),
    "SSD, batch mean, class by class": ("ssd", {"unit": "batch_mean", "order": "class_sorted"}),
    "SSD, batch mean, shuffled": ("ssd", {"unit": "batch_mean", "order": "shuffled"}),
    "SSD, against the retain set": ("ssd", {"reference": "retain"}),
    "LFSSD, per sample": ("lfssd", {}),
}
"""Ways to measure importances, as method and settings, whose gauges are shipped for every class."""

GRID_LAMBDAS = tuple(sorted({*LAMBDAS, LAMBDA.default}))
"""Where along lambda gauges are shipped: the landscape's steps, and 1 for curves along alpha."""
COARSE = 5
"""Points along a knob that is neither alpha nor lambda: its methods train, so that a point takes seconds."""
PATIENCE = 4.5  # s that a plane goes on filling after somebody last looked


def numeric(method_name: str) -> dict[str, Hyperparameter]:
    """A method's knobs that are numbers on a slider, by name."""
    return {knob.name: knob for knob in method(method_name).hyperparameters if knob.scale != "choice"}


def axis(knob: Hyperparameter) -> tuple[float, ...]:
    """The slider positions at which a knob is evaluated, ascending."""
    if knob.name in ("alpha", "lambda"):
        return ALPHAS if knob.name == "alpha" else LAMBDAS
    spread = np.geomspace if knob.scale == "log" else np.linspace
    return tuple(min(knob.ticks(), key=lambda tick: abs(tick - v)) for v in spread(knob.low, knob.high, COARSE))


def place(positions: Sequence[float], knob: Hyperparameter, value: float) -> float:
    """Where a value lies among the positions of an axis: 0 is the first of them, 1 the second; NaN outside."""
    at = np.array([*positions, value])
    *steps, wanted = np.log(at) if knob.scale == "log" else at
    return float(np.interp(wanted, steps, np.arange(len(steps)), left=np.nan, right=np.nan))


@dataclass(frozen=True)
class Plane:
    """One or two knobs on a grid, and everything else of a choice.

    Attributes:
        rest: the choice; its values of these knobs mean nothing and are those of the first point.
        x: name of a knob.
        y: name of another, or empty for a curve.
        xs: values of x, ascending.
        ys: values of y, ascending; empty for a curve.
    """

    rest: Choice
    x: str
    y: str
    xs: tuple[float, ...]
    ys: tuple[float, ...]

    @property
    def shape(self) -> tuple[int, int]:
        """Number of points along x and along y."""
        return len(self.xs), max(len(self.ys), 1)

    def at(self, point: tuple[int, int]) -> Choice:
        """The choice at a point of the grid."""
        moved: dict[str, Value] = {**dict(self.rest.settings), self.x: self.xs[point[0]]}
        if self.y:
            moved[self.y] = self.ys[point[1]]
        return choice(self.rest.network, self.rest.forget, self.rest.method, moved, self.rest.seed)


def plane(chosen: Choice, x: str, y: str = "") -> Plane:
    """The grid of one or two knobs around a choice, at slider positions.

    Raises:
        ValueError: if a name is no numeric knob of the method, or both are the same.
    """
    knobs = numeric(chosen.method)
    for name in (x, y) if y else (x,):
        if name not in knobs:
            raise ValueError(f"knob: one of {', '.join(knobs) or 'none'} expected, got {name!r}")
    if x == y:
        raise ValueError(f"knob: two different ones expected, got {x!r} twice")
    made = Plane(chosen, x, y, axis(knobs[x]), axis(knobs[y]) if y else ())
    return replace(made, rest=made.at((0, 0)))


class Surface:
    """The gauges over a plane: NaN where they are not known yet, or where the method cannot run.

    Attributes:
        plane: the grid.
        values: (len(xs), len(ys) or 1, 3) gauges in the order of `KINDS`.
        problems: points that could not be evaluated, and why.
        shipped: whether all of it was precomputed.
    """

    def __init__(self, plane: Plane) -> None:
        self.plane = plane
        self.values: Float64 = np.full((*plane.shape, len(KINDS)), np.nan)
        self.problems: dict[tuple[int, int], str] = {}
        self.shipped = False
        self.filling = threading.Lock()
        self._wanted_until = 0.0

    def missing(self) -> list[tuple[int, int]]:
        """Points to do, coarse to fine."""
        def level(point: tuple[int, int]) -> int:
            return next(n for n, stride in enumerate((4, 2, 1)) if all(i % stride == 0 for i in point))

        unknown = zip(*np.isnan(self.values[..., 0]).nonzero(), strict=True)
        todo = [(int(i), int(j)) for i, j in unknown if (i, j) not in self.problems]
        return sorted(todo, key=lambda point: (level(point), point))

    @property
    def wanted(self) -> bool:
        """Whether somebody looked at it lately."""
        return time.monotonic() < self._wanted_until

    def look(self, engine: Engine) -> None:
        """Say that somebody looks: it fills for the next seconds, when nobody waits for anything else."""
        self._wanted_until = time.monotonic() + PATIENCE
        if self.missing() and self.filling.acquire(blocking=False):
            threading.Thread(target=self._fill, args=(engine,), daemon=True).start()

    def stop(self) -> None:
        """Stop filling at the next step of the work; what is known is kept."""
        self._wanted_until = 0.0

    def _fill(self, engine: Engine) -> None:
        try:
            while self.wanted and (todo := self.missing()):
                chosen = self.plane.at(todo[0])
                ticket = engine.pool.submit(("gauges", chosen), partial(gauges, engine, chosen), Lane.FILL)
                while not ticket.wait(0.2):
                    if not self.wanted or engine.pool.awaited:  # this point can wait, and somebody cannot
                        ticket.release()
                        break
                else:
                    self._note(todo[0], ticket)
                while self.wanted and engine.pool.awaited:
                    time.sleep(0.2)
        except (Cancelled, ValueError):
            pass  # the pool closes, or the subject is gone
        finally:
            self.filling.release()

    def _note(self, point: tuple[int, int], ticket: Ticket[Float64]) -> None:
        try:
            self.values[point] = ticket.result()
        except (AssetError, ValueError, RuntimeError, OSError) as problem:
            self.problems[point] = str(problem)  # a sentence: diverged, not applicable here, a damaged file


def scene_of(engine: Engine, chosen: Choice, progress: Progress) -> Scene:
    """The scene of a choice within a job of the pool, kept for everybody."""
    key = ("scene", chosen.scene)
    known = engine.pool.known(key)
    return known if isinstance(known, Scene) else engine.pool.keep(key, engine.prepare(chosen, progress))


def gauges(engine: Engine, chosen: Choice, progress: Progress) -> Float64:
    """(3,) the gauges of one choice, in the order of `KINDS`; nothing else is kept of it.

    Raises:
        ValueError: whatever the method raises.
    """
    scene = scene_of(engine, chosen, stage(progress, 0.0, 0.5))
    evaluation = scene.seen.evaluation
    _, _, weights = unlearn(scene, chosen, stage(progress, 0.5, 0.75, method(chosen.method).title))
    after = engine.answers(chosen.network, scene.request, weights, stage(progress, 0.75, 0.98, "evaluated"))
    read = read_gauges(after, evaluation.labels, evaluation.member, scene.seen.forgotten)
    progress(1.0, "done")
    return np.array([read[name].value for name in KINDS])


_lock = threading.Lock()


def surface(engine: Engine, wanted: Plane) -> Surface:
    """The surface of a plane, shared by all sessions; whole at once where it is shipped."""
    with _lock:
        known = engine.pool.known(("surface", wanted))
        if isinstance(known, Surface):
            return known
        made = Surface(wanted)
        values = _shipped(wanted)
        if values is not None:
            made.values, made.shipped = values, True
        return engine.pool.keep(("surface", wanted), made)


def _shipped(wanted: Plane) -> Float64 | None:
    """The bundled gauges over a plane of alpha and lambda, or along alpha at lambda 1; None if there are none."""
    title, tables = estimator(wanted.rest), subject(wanted.rest.network).estimators()
    if title not in tables or len(wanted.rest.forget.classes) != 1:
        return None
    table: Float64 = tables[title][wanted.rest.forget.classes[0]].astype(np.float64)
    whole: Float64 = table[:, [GRID_LAMBDAS.index(value) for value in LAMBDAS]]
    if (wanted.x, wanted.y) == ("alpha", "lambda"):
        return whole
    if (wanted.x, wanted.y) == ("lambda", "alpha"):
        return whole.swapaxes(0, 1)
    at_one = wanted.x == "alpha" and not wanted.y and dict(wanted.rest.settings)["lambda"] == LAMBDA.default
    return table[:, [GRID_LAMBDAS.index(LAMBDA.default)]] if at_one else None


def curves(network: str) -> dict[str, Float64]:
    """(classes, alphas, 3) bundled gauges along alpha at lambda 1 for each of `ESTIMATORS`; empty if not bundled."""
    at = GRID_LAMBDAS.index(LAMBDA.default)
    return {title: table[:, :, at].astype(np.float64) for title, table in subject(network).estimators().items()}


def estimator(chosen: Choice) -> str | None:
    """Which of `ESTIMATORS` a choice uses; None if it is none of them."""
    for title, (name, settings) in ESTIMATORS.items():
        if chosen.scene == choice(chosen.network, chosen.forget, name, settings).scene:
            return title
    return None


def adaptive_alpha(engine: Engine, chosen: Choice, progress: Progress) -> float:
    """The alpha that ASSD's rule finds with the importances of a choice."""
    settings = {name: value for name, value in chosen.settings if name != "alpha"}
    task = scene_of(engine, chosen, stage(progress, 0.0, 0.9)).task
    return float(method("assd").run(task, method("assd").settings(settings), stage(progress, 0.9, 1.0)).trace["alpha"])


# -- judged against retraining ----------------------------------------------------------------------------------


def reference(engine: Engine, network: str, request: Request) -> Float64 | None:
    """(seeds, 3) gauges of the retrained networks, in the order of `KINDS`; None if there are none."""
    key = ("retrained gauges", network, request)
    known = engine.pool.known(key)
    if known is None:
        logits = engine.retrained_logits(network, request)
        if logits is None:
            return None
        seen = engine.seen(network, request)
        read = [read_gauges(Outputs(seed, seed), seen.evaluation.labels, seen.evaluation.member, seen.forgotten)
                for seed in logits]
        known = engine.pool.keep(key, np.array([[seed[name].value for name in KINDS] for seed in read]))
    assert isinstance(known, np.ndarray)
    return known


def original(engine: Engine, network: str, request: Request) -> Float64:
    """(3,) gauges before unlearning, in the order of `KINDS`."""
    seen = engine.seen(network, request)
    read = read_gauges(seen.before, seen.evaluation.labels, seen.evaluation.member, seen.forgotten)
    return np.array([read[name].value for name in KINDS])


def gap(values: Float64, retrained: Float64) -> Float64:
    """How far from retraining: |forget gap| + |retain gap| to the mean of the retrained networks, in points.

    Args:
        values: (..., 3) gauges.
        retrained: (seeds, 3) gauges.
    """
    apart: Float64 = 100 * np.abs(values[..., :2] - retrained.mean(0)[:2]).sum(-1)
    return apart


def as_retrained(values: Float64, retrained: Float64, counts: Sequence[int]) -> npt.NDArray[np.bool_]:
    """Where every gauge's 95 % interval over images meets the band of the retrained networks; False for NaN.

    Args:
        values: (..., 3) gauges.
        retrained: (seeds, 3) gauges.
        counts: images behind each gauge.
    """
    low, high = retrained.min(0), retrained.max(0)

    def meets(point: Float64) -> bool:
        if np.isnan(point).any():
            return False
        ends = [wilson(round(float(v) * n), n) for v, n in zip(point, counts, strict=True)]
        return all(bottom <= b and top >= a for (bottom, top), a, b in zip(ends, low, high, strict=True))

    return np.apply_along_axis(meets, -1, values).astype(np.bool_)


def image_counts(engine: Engine, network: str, request: Request) -> tuple[int, int, int]:
    """Evaluation images behind each gauge, in the order of `KINDS`."""
    seen = engine.seen(network, request)
    member, forgotten = seen.evaluation.member, seen.forgotten
    trained = int((member & forgotten).sum())
    return trained, int((~member & ~forgotten).sum()), trained


def best_alpha(curve: Float64, retrained: Float64) -> float:
    """The alpha of the grid whose point on a (alphas, 3) curve lies nearest to retraining; ties to the larger."""
    gaps = gap(curve, retrained)
    return ALPHAS[len(gaps) - 1 - int(np.nanargmin(gaps[::-1]))]
