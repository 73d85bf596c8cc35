"""Requests one after another: a method runs on the network that the former request left, and all are audited again.

Source: Park, Woo and Shin, "Robust Continual Unlearning against Knowledge Erosion and Forgetting Reversal", arXiv
2604.19108, which names the two things that go wrong.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from unlearn_core.audit.accuracy import Change, Count, difference
from unlearn_core.measure.history import ClassHistory
from unlearn_core.measure.task import Task
from unlearn_core.methods import method
from unlearn_core.methods.base import Diverged, NotApplicable, Settings, Value
from unlearn_core.nets.evaluate import outputs
from unlearn_core.nets.images import ImageSet
from unlearn_core.nets.request import IMAGE, POISONED, Request, checked, unaudited
from unlearn_core.nets.train import Recipe, seed_of
from unlearn_core.progress import Progress, stage

MOST = 6
"""Requests in a queue."""
_METHOD_SHARE = 0.8  # of a step's progress; the rest is the audit
_BATCH = 2000  # images between two reports of progress


@dataclass(frozen=True)
class Step:
    """What a network names rightly.

    Attributes:
        asked: of the images of each request so far, oldest first; of the original, of all requests.
        remaining: of the test images that no request so far names.
        kept: of the test images that no request of the whole queue names.
        seconds: processor time of the method.
        warnings: sentences a person should read with it.
    """

    asked: tuple[Count, ...]
    remaining: Count
    kept: Count
    seconds: float = 0.0
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Trail:
    """One method on a queue.

    Attributes:
        requests: in their order.
        method: its name.
        settings: all of its knobs.
        seed: of the first request; later ones have seeds that follow from it.
        original: the network before any request.
        steps: the network after each request; fewer than there are requests if the method could not go on.
        ended: why it could not, as a sentence; else empty.
    """

    requests: tuple[Request, ...]
    method: str
    settings: Mapping[str, Value]
    seed: int
    original: Step
    steps: tuple[Step, ...]
    ended: str = ""

    def erosion(self, step: int) -> Change:
        """What a step (from 0) has cost so far of the accuracy on images that no request of the queue names."""
        return difference(self.original.kept, self.steps[step].kept)

    def rise(self, request: int, step: int) -> Change:
        """How far the accuracy on a request's images is above what it was directly after its own step."""
        return difference(self.steps[step].asked[request], self.steps[request].asked[request])

    def reversal(self, step: int) -> tuple[Change, int] | None:
        """The largest `rise` of an earlier request, and which; 0 where none rose, None where there is none earlier."""
        if not step:
            return None
        most = max(range(step), key=lambda request: self.rise(request, step).value)
        return Change(*(max(value, 0.0) for value in self.rise(most, step))), most


@dataclass(frozen=True, eq=False)
class Audited:
    """The images on which a queue is judged; they do not depend on the order of the requests.

    Attributes:
        test: (requests, N) bool, which test images are of each request; none of one that is read on training images.
        kept: (N,) bool, which are of none and may be read.
        train: positions of training images by request: single images, and groups that no test image shows.
    """

    test: Tensor
    kept: Tensor
    train: Mapping[int, Tensor] = field(default_factory=dict)

    def remaining(self, step: int) -> Tensor:
        """(N,) bool: the test images that no request up to a step (from 0) names; -1 is before the first."""
        return self.kept | self.test[step + 1:].any(0) & ~self.test[:step + 1].any(0)


def checked_queue(requests: Sequence[Request], train: ImageSet, test: ImageSet) -> tuple[Request, ...]:
    """The requests, each in order and without repeats.

    Raises:
        ValueError: as `checked`, for no request or more than `MOST`, for one whose images were all asked for before,
            or if nothing is left to be kept.
    """
    if not 1 <= len(requests) <= MOST:
        raise ValueError(f"queue: 1 to {MOST} requests expected, got {len(requests)}")
    found = tuple(checked(request, train) for request in requests)
    gone = torch.zeros(len(train), dtype=torch.bool)
    for place, request in enumerate(found):
        wanted = request.mask(train)
        if not bool((wanted & ~gone).any()):
            raise ValueError(f"queue: request {place + 1} asks only for images that were asked for before it "
                             f"({request.words(train)})")
        gone |= wanted
    if bool(gone.all()) or not bool(audited(found, train, test).kept.any()):
        raise ValueError("queue: some images that are never asked for expected, got none")
    return found


def audited(requests: Sequence[Request], train: ImageSet, test: ImageSet) -> Audited:
    """The images on which a queue is judged; test images with a planted mark only where that is asked for."""
    marked = unaudited(Request(()), test)
    named = torch.stack([request.shown_by(test) for request in requests])
    masks = torch.stack([mask if request.kind == POISONED else mask & ~marked
                         for request, mask in zip(requests, named, strict=True)])
    rows = {place: torch.nonzero(request.mask(train)).flatten() for place, request in enumerate(requests)
            if not bool(masks[place].any())}
    return Audited(masks, ~named.any(0) & ~marked, rows)


def left(requests: Sequence[Request], train: ImageSet) -> Iterator[tuple[Tensor, Request]]:
    """For each request, the positions of the training images that are still there, and the request in terms of them.

    What was asked for before is gone for good: no later step sees it, neither as images to forget nor to retain.
    """
    gone = torch.zeros(len(train), dtype=torch.bool)
    for request in requests:
        rows = torch.nonzero(~gone).flatten()
        wanted = request.mask(train)
        yield rows, Request(tuple(torch.nonzero(wanted[rows]).flatten().tolist()), IMAGE) \
            if request.kind == IMAGE else request
        gone |= wanted


def run_queue(model: nn.Module, train: ImageSet, test: ImageSet, requests: Sequence[Request], name: str,
              settings: Settings, seed: int, progress: Progress, *, history: ClassHistory | None = None,
              recipe: Recipe | None = None) -> Trail:
    """Run a method on one request after another and audit every request again after each.

    Each step starts from the network that the last one left. All statistics, importances among them, are measured of
    that network and on the images that are still there; only what was recorded while the original was trained, which
    the amnesiac methods subtract, is what it was then.

    Args:
        model: the original; left as it was.
        train: what it was trained on.
        test: unseen images.
        requests: in their order, at most `MOST`.
        name: of the method.
        settings: its knobs; those left out are at their defaults.
        seed: owns the method's randomness; with one request it is that of an ordinary run.
        progress: told all the time; may cancel.
        history: what was recorded while the original was trained; None if nothing was.
        recipe: how it was trained; None if that is not known.

    Raises:
        ValueError: as `checked_queue`, for an unknown method, or for settings that are not allowed.
    """
    requests = checked_queue(requests, train, test)
    found = method(name)
    settings, images = found.settings(settings), audited(requests, train, test)
    parts, now = 1 + len(requests), copy.deepcopy(model)
    original = _read(now, train, test, images, -1, len(requests), stage(progress, 0, 1 / parts, "original"))
    steps: list[Step] = []
    ended = ""
    for place, (rows, request) in enumerate(left(requests, train)):
        here = stage(progress, (place + 1) / parts, (place + 2) / parts, f"request {place + 1} of {len(requests)}")
        task = Task(now, train.subset(rows), request, history=history, recipe=recipe,
                    seed=seed_of("queue", seed, place) if place else seed)
        try:
            outcome = found.run(task, settings, stage(here, 0, _METHOD_SHARE, found.title))
        except (NotApplicable, Diverged) as reason:
            ended = str(reason)
            break
        now = copy.deepcopy(now)
        now.load_state_dict(outcome.weights, strict=False)
        read = _read(now, train, test, images, place, place + 1, stage(here, _METHOD_SHARE, 1, "audit"))
        steps.append(Step(read.asked, read.remaining, read.kept, outcome.cost.seconds, outcome.warnings))
    progress(1.0, "done")
    return Trail(requests, name, settings, seed, original, tuple(steps), ended)


def _read(model: nn.Module, train: ImageSet, test: ImageSet, images: Audited, step: int, requests: int,
          progress: Progress) -> Step:
    """What a network names rightly directly after a step, of the first so many requests."""
    unseen = _right(model, test, torch.arange(len(test)), progress)
    asked = tuple(_count(_right(model, train, images.train[place], progress) if place in images.train
                         else unseen[images.test[place]]) for place in range(requests))
    return Step(asked, _count(unseen[images.remaining(step)]), _count(unseen[images.kept]))


def _right(model: nn.Module, images: ImageSet, rows: Tensor, progress: Progress) -> Tensor:
    """(rows,) bool: which images a network names rightly."""
    found = []
    for i, part in enumerate(torch.split(rows, _BATCH)):
        progress(i * _BATCH / len(rows), f"{i * _BATCH:,} of {len(rows):,} images")
        found.append(torch.from_numpy(outputs(model, images.pixels(part)).predicted) == images.labels[part])
    return torch.cat(found)


def _count(right: Tensor) -> Count:
    return Count(int(right.sum()), len(right))
