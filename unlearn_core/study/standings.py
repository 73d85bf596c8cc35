"""Who did best in many runs, and how sure that is: methods that cannot be told apart share a rank.

A run beats another on the same request if its verdict is the better one or, with the same verdict, if it is nearer to
the retrained networks: the smaller |forget gap| + |retain gap|. A method's *share of wins* on a request is how many
runs of each other method its runs beat, all methods counting alike and a tie as half.

Two methods differ if their shares of wins do over requests: the paired permutation test changes the signs of whole
requests, takes the largest difference of all pairs, and steps down (Romano and Wolf 2005,
doi 10.1198/016214504000000539), so that with 95 % no pair at all is told apart by chance. A method's best rank is one
more than the number of methods that are surely better, its worst the number of those that are not surely worse. Fewer
than six requests tell nothing apart.
"""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from unlearn_core import assets
from unlearn_core.audit.verdict import Level
from unlearn_core.nets.request import IMAGE, POISONED, parsed

if TYPE_CHECKING:
    import pandas as pd

Float64 = npt.NDArray[np.float64]
Retrained = Mapping[str, Mapping[str, Mapping[str, Sequence[float]]]]
"""Gauges of each retrained network, by subject, request and gauge."""

ROWS, RETRAINED = "results/results.parquet", "results/retrained.json"
SURE = 0.05
FEWEST = 6
"""Requests that can tell two methods apart at `SURE`."""
EXACT = 12
"""Requests up to which all changes of sign are tried; with more, so many of them at random."""


@dataclass(frozen=True)
class Standing:
    """One method on all requests of a kind.

    Attributes:
        method: name.
        best: the best rank that it may have.
        worst: the worst.
        wins: its share of wins, mean over requests.
        requests: how many it ran on.
        runs: how many there are.
        levels: how often each level of the verdict was reached; a run that diverged has none.
        forget: forget accuracy minus the mean of the retrained networks, mean over runs, in points.
        forget_spread: standard deviation of that over seeds, mean over requests; 0 where nothing is random.
        retain: the same of retain accuracy.
        retain_spread: likewise.
        passes: images whose gradient was taken, mean over runs.
        seconds: of the processor, median over runs.
    """

    method: str
    best: int
    worst: int
    wins: float
    requests: int
    runs: int
    levels: Mapping[str, int]
    forget: float
    forget_spread: float
    retain: float
    retain_spread: float
    passes: float
    seconds: float


@cache
def load() -> pd.DataFrame | None:
    """The shipped rows, as `results.load` gives them; None if there are none."""
    import pandas as pd

    return pd.read_parquet(assets.path(ROWS)) if ROWS in assets.manifest().files else None


@cache
def retrained() -> Retrained:
    """The shipped gauges of the retrained networks."""
    found: Retrained = json.loads(assets.path(RETRAINED).read_text("utf-8"))
    return found


def kinds(rows: pd.DataFrame) -> dict[tuple[str, str], pd.DataFrame]:
    """The rows by subject and kind of request, in their order."""
    keys = list(zip(rows["network"], (parsed(text).kind for text in rows["forget"]), strict=True))
    return {key: rows[[each == key for each in keys]] for key in dict.fromkeys(keys)}


def called(kind: str) -> str:
    """What one request of a kind is called, for people."""
    return {IMAGE: "some images", POISONED: "planted images"}.get(kind, f"one {kind}")


def best_verdicts(found: Sequence[Standing]) -> str:
    """How many of the ranked runs reached the best verdict, and what the others at rank 1 are, in sentences."""
    reached = sum(one.levels.get(Level.NOT_TOLD, 0) for one in found)
    said = f"{reached:,} of the {sum(one.runs for one in found):,} ranked runs could not be told from retraining."
    if not found or found[0].requests < FEWEST:
        return f"{said} So few requests tell no method from another."
    first = [one for one in found if one.best == 1]
    short = Counter({level: sum(one.levels.get(level, 0) for one in first)
                     for level in Level if level != Level.NOT_TOLD})
    if not +short:
        return said
    return (f"{said} To be first is not praise: of the {sum(one.runs for one in first):,} runs of methods that may be "
            "first, " + ", ".join(f"{number:,} {'is' if number == 1 else 'are'} *{level}*"
                        for level, number in (+short).most_common()) + ".")


def standings(rows: pd.DataFrame, wanted: Retrained, rng: np.random.Generator) -> list[Standing]:
    """All methods on one kind of request of one subject, best first; those that could not run are left out.

    Args:
        rows: as `kinds` gives them; only requests count on which each method has an answer or none has.
        wanted: what the gaps are measured from.
        rng: of the changes of sign, where not all are tried.
    """
    ran = rows[rows["status"].isin(["done", "diverged"])].copy()
    for column, gauge in (("forget_train", "forget"), ("retain_test", "retain")):
        means = {(network, forget): float(np.mean(gauges[gauge])) for network, each in wanted.items()
                 for forget, gauges in each.items()}
        mean = [means.get(key, np.nan) for key in zip(ran["network"], ran["forget"], strict=True)]
        ran[f"{gauge}_gap"] = 100 * (ran[column] - np.array(mean))
    every = set(ran["method"])
    ran = ran.groupby("forget").filter(lambda one: set(one["method"]) == every)
    if ran.empty:
        return []
    levels = list(map(str, Level))
    # The higher, the better: the verdict counts first, then the gap, of which 200 points are the most there can be.
    ran["score"] = 1000 * ran["level"].map(lambda level: levels.index(level) if level in levels else -1) - (
        ran["forget_gap"].abs() + ran["retain_gap"].abs()).fillna(500)
    names = sorted(every)
    shares = np.array([wins([one.loc[one["method"] == name, "score"].to_numpy() for name in names])
                       for _, one in ran.groupby("forget")])
    better = surely(shares, rng)
    made = []
    for i, name in enumerate(names):
        mine = ran[ran["method"] == name]
        spread = mine.groupby("forget")[["forget_gap", "retain_gap"]].std(ddof=1).fillna(0).mean()
        made.append(Standing(
            name, 1 + int(better[:, i].sum()), len(names) - int(better[i].sum()), float(shares[:, i].mean()),
            len(shares), len(mine), Counter(mine["level"].dropna()), float(mine["forget_gap"].mean()),
            float(spread["forget_gap"]), float(mine["retain_gap"].mean()), float(spread["retain_gap"]),
            float(mine["backward_images"].mean()), float(mine["seconds"].median())))
    return sorted(made, key=lambda one: (one.best, one.worst, -one.wins))


def wins(scores: Sequence[Float64]) -> Float64:
    """(methods,) how many runs of each other method the runs of a method beat, as a share; a tie is half.

    Args:
        scores: (runs,) of each of at least one method, the higher the better.
    """
    beats = np.array([[(np.sign(a[:, None] - b).mean() + 1) / 2 for b in scores] for a in scores])
    others: Float64 = (beats.sum(1) - 0.5) / max(len(scores) - 1, 1)  # against itself it is half
    return others


def surely(shares: Float64, rng: np.random.Generator, level: float = SURE) -> npt.NDArray[np.bool_]:
    """(methods, methods) whether the method of the row surely has more wins than that of the column.

    Args:
        shares: (requests, methods).
        rng: of the changes of sign beyond `EXACT` requests.
        level: chance that any pair at all is told apart wrongly.
    """
    n, k = shares.shape
    pairs = [(i, j) for i in range(k) for j in range(i)]
    result = np.zeros((k, k), np.bool_)
    if not pairs:
        return result
    apart = np.stack([shares[:, i] - shares[:, j] for i, j in pairs], 1)
    signs = np.array(list(itertools.product((1.0, -1.0), repeat=n))) if n <= EXACT else np.concatenate(
        [np.ones((1, n)), rng.choice((1.0, -1.0), (2**EXACT - 1, n))])
    found, chance = np.abs(apart.mean(0)), np.abs(signs @ apart) / n
    left = np.ones(len(pairs), np.bool_)
    while left.any():
        largest = chance[:, left].max(1)
        # What ties up to rounding must count.
        told = left & np.array([(largest >= value - 1e-12).mean() <= level for value in found])
        if not told.any():
            break
        left &= ~told
    for (i, j), value in zip(np.array(pairs)[~left], apart.mean(0)[~left], strict=True):
        result[(i, j) if value > 0 else (j, i)] = True
    return result
