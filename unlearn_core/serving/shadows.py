"""Shadow models: networks trained like the audited one, each on a random half of the images, half of them in.

The bundled ones (`Subject.shadows`) are what LiRA judges a model by. U-LiRA lets them forget first.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from unlearn_core.audit.lira import Shadows
from unlearn_core.audit.membership import statistics
from unlearn_core.measure.task import Task
from unlearn_core.methods import method
from unlearn_core.methods.base import Method, Settings
from unlearn_core.nets.evaluate import EvaluationSet, outputs
from unlearn_core.nets.images import ImageSet, joined
from unlearn_core.nets.request import IMAGE, Request
from unlearn_core.nets.train import seed_of
from unlearn_core.progress import Progress, stage
from unlearn_core.serving.choice import Choice
from unlearn_core.serving.engine import Engine
from unlearn_core.serving.pool import Lane, Ticket
from unlearn_core.serving.scenes import Scene
from unlearn_core.subjects.subject import subject

NETWORKS = 32
"""Shadow models that are bundled themselves, the first of all that are trained; of the others only what they say."""
MEASURING = 5.0
"""Seconds that the statistics of one shadow model's training half take: those of the audited model are stored."""


def shadow_pool(train: ImageSet, audited: EvaluationSet) -> ImageSet:
    """The images whose halves the shadow models see: the training set, then the never-seen audited images.

    So every audited image, member or not, was seen by about half of them.
    """
    unseen = audited.images.subset(torch.from_numpy(np.flatnonzero(~audited.member)))
    return joined(train, unseen)


def audited_rows(train_size: int, audited: EvaluationSet) -> npt.NDArray[np.int64]:
    """(N,) where each audited image stands in the pool."""
    return np.concatenate([audited.row[audited.member], train_size + np.arange((~audited.member).sum())])


def shadow_half(number: int, size: int) -> Tensor:
    """(size,) bool: which images of the pool the shadow model of that number was trained on; fixed by its number."""
    return torch.rand(size, generator=torch.Generator().manual_seed(seed_of("shadow", number))) < 0.5


def request_within(request: Request, inside: Tensor) -> Request | None:
    """The same request of a model that was trained on some of the images only; None if it saw nothing of it.

    Args:
        request: what is to be forgotten.
        inside: (size,) bool, of the pool, whose first images are the training images.
    """
    if request.kind != IMAGE:
        return request
    place = inside.cumsum(0) - 1
    chosen = tuple(int(place[row]) for row in request.chosen if inside[row])
    return Request(chosen, IMAGE) if chosen else None


def forget_in_shadows(models: Sequence[nn.Module], pool: ImageSet, audited: EvaluationSet, task: Task, found: Method,
                      settings: Settings, progress: Progress) -> npt.NDArray[np.float64]:
    """Let shadow models forget what the audited model forgot (U-LiRA; Hayes et al., arXiv 2403.01218).

    Each runs the method on its own half of the pool, with randomness of its own. Nothing that was kept from the
    audited model's training serves here: importances are measured anew, and there is no training history.

    Args:
        models: shadow models number 0, 1, ...
        pool: of all of them, see `shadow_pool`.
        audited: the N images that are audited.
        task: of the audited model: its request, recipe and seed.
        found: the method to run.
        settings: of the method.
        progress: told which shadow model is at work, and how long the rest may take; may cancel.

    Returns:
        (models, N) logit margin of each audited image after forgetting.

    Raises:
        NotApplicable: if the method cannot serve a shadow model.
        Diverged: as `Method.run`.
    """
    pixels, margins, start = audited.images.pixels(), [], time.perf_counter()
    for number, model in enumerate(models):
        inside = shadow_half(number, len(pool))
        request = request_within(task.request, inside)
        left = (time.perf_counter() - start) * (len(models) - number) / number if number else 0.0
        note = f"shadow model {number + 1} of {len(models)}" + (f", about {left:.0f} s left" if number else "")
        weights: Mapping[str, Tensor] = {}
        if request is not None:
            own = Task(model, pool.subset(torch.nonzero(inside).flatten()), request, recipe=task.recipe,
                       seed=seed_of("shadow forgets", task.seed, number))
            weights = found.run(own, settings, stage(progress, number / len(models), (number + 1) / len(models),
                                                     note)).weights
        logits = outputs(model, pixels, weights).logits
        margins.append(statistics(logits, audited.labels)["margin"])
    progress(1.0, "done")
    return np.stack(margins)


def submit(engine: Engine, scene: Scene, chosen: Choice) -> Ticket[Shadows]:
    """Let the bundled shadow models forget as a choice says, on its behalf in the pool.

    Raises:
        AssetError: if a bundled file is missing or altered.
    """
    def work(progress: Progress) -> Shadows:
        models, shipped = subject(chosen.network).shadow_networks(), subject(chosen.network).shadows()
        if shipped is None or not models:
            raise ValueError(f"network: one with bundled shadow models expected, got {chosen.network}")
        pool = shadow_pool(subject(chosen.network).images.train, subject(chosen.network).evaluation)
        task = replace(scene.task, seed=chosen.seed)
        margins = forget_in_shadows(models, pool, subject(chosen.network).evaluation, task, method(chosen.method),
                                    dict(chosen.settings), progress)
        return Shadows(margins, shipped.inside[:len(models)])

    return engine.pool.submit(submit_key(chosen), work, Lane.LONG)


def submit_key(chosen: Choice) -> tuple[str, Choice]:
    """Under which the pool keeps what `submit` answers."""
    return "unlearned shadows", chosen


def expected_seconds(seconds: float, found: Method) -> float:
    """How long `submit` may take, from what the method took on the audited model."""
    return NETWORKS * (seconds + (MEASURING if "stored statistics" in found.needs else 0.5))
