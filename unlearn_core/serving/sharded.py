"""A subject's networks that were trained in shards, and what forgetting costs and leaves there."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from torch import nn

from unlearn_core.audit.gauges import GaugeName, Reading, read_gauges
from unlearn_core.methods.base import NotApplicable, one_thread
from unlearn_core.nets.evaluate import Outputs, outputs
from unlearn_core.nets.request import Request
from unlearn_core.nets.sharded import Shards, State, answered, deal, forget_images, work
from unlearn_core.progress import Progress, stage
from unlearn_core.serving.engine import Engine
from unlearn_core.serving.pool import Lane, Ticket
from unlearn_core.subjects.subject import Subject, subject

SEED = 0
Gauges = Mapping[GaugeName, Reading]


@dataclass(frozen=True, eq=False)
class Price:
    """What a request takes of networks that were trained in shards.

    Attributes:
        hit: (shards, slices) images of each slice that are to be forgotten.
        again: (shards, slices) whether a stage is trained again.
        share: of the passes over images of the whole training, in [0, 1].
    """

    hit: np.ndarray
    again: np.ndarray
    share: float

    @property
    def shards(self) -> int:
        """How many shards are trained again."""
        return int(self.again.any(1).sum())


@dataclass(frozen=True, eq=False)
class Remade:
    """Shards that were trained again.

    Attributes:
        alone: gauges of the subject's one network, which learnt from everything.
        before: of the networks of all shards together.
        after: of the same, after those that were hit were trained again.
        seconds: processor time of that.
    """

    alone: Gauges
    before: Gauges
    after: Gauges
    seconds: float


def dealt(own: Subject) -> Shards | None:
    """How the images were dealt; None where no network was trained in shards."""
    kept = own.sharded()
    return deal(len(own.images.train), len(kept), len(kept[0]), SEED) if kept else None


def price(deal: Shards, own: Subject, request: Request) -> Price:
    """What a request takes, without training anything."""
    forget = request.split(own.images.train)[0]
    done = work(deal, forget)
    return Price(deal.counts(forget), deal.again(forget), float(done.sum() / work(deal).sum()))


def remake(engine: Engine, network: str, request: Request, progress: Progress) -> Remade:
    """Forget by training shards again, and read the gauges.

    Raises:
        NotApplicable: if no network of the subject was trained in shards.
    """
    own = subject(network)
    found = dealt(own)
    if found is None or own.recipe is None:
        raise NotApplicable(f"{own.title} was not trained in shards.")
    kept, seen = own.sharded(), engine.seen(network, request)
    evaluation = seen.evaluation
    pixels = evaluation.images.pixels()

    def gauges(states: Sequence[Sequence[State]]) -> Gauges:
        networks: list[nn.Module] = [own.network(each[-1]) for each in states]
        said = np.log(np.maximum(answered(networks, pixels), 1e-12)).astype(np.float32)
        return read_gauges(Outputs(said, np.zeros((len(said), 0), np.float32)), evaluation.labels, evaluation.member,
                           seen.forgotten)

    with one_thread():
        before = gauges(kept)
        begun = time.thread_time()
        made = forget_images(own.architecture, own.images.train, own.recipe, found, kept,
                             request.split(own.images.train)[0], stage(progress, 0.05, 0.95))
        seconds = time.thread_time() - begun
        after = gauges(made)
    alone = read_gauges(outputs(own.original(), pixels), evaluation.labels, evaluation.member, seen.forgotten)
    return Remade(alone, before, after, seconds)


def submit(engine: Engine, network: str, request: Request) -> Ticket[Remade]:
    """The same behind a progress bar; kept for everybody."""
    return engine.pool.submit(("sharded", network, request),
                              lambda progress: remake(engine, network, request, progress), Lane.LONG)
