"""The unlearning request in full: a trained network, its data, what to forget, and its importances."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor, nn

from unlearn_core.measure.estimator import Batch, Estimator, Importance, Order
from unlearn_core.measure.gram import GramSource, measure_grams
from unlearn_core.measure.history import History
from unlearn_core.measure.importance import batch_indices, importance
from unlearn_core.nets.heads import as_taken, check
from unlearn_core.nets.images import ImageSet
from unlearn_core.nets.models import private_copy
from unlearn_core.nets.request import Request
from unlearn_core.nets.train import Recipe, seed_of
from unlearn_core.progress import Progress

Part = Literal["forget", "retain", "all"]


@dataclass(frozen=True)
class Measurement:
    """Everything that decides an importance besides network and data.

    Attributes:
        part: of the training set, as split by the request.
        estimator: what is measured, of a batch or of each sample.
        batch_size: images per batch.
        order: of the images; ``class_sorted`` puts the forgotten classes last, as the official code does.
        seed: of the shuffled order.
    """

    part: Part
    estimator: Estimator
    batch_size: int
    order: Order
    seed: int = 0


class Importances(Protocol):
    """Answers a request for importances: by measuring, or because it has them already."""

    def __call__(self, model: nn.Module, train: ImageSet, request: Request, wanted: Measurement,
                 progress: Progress) -> Importance: ...


def measure(model: nn.Module, train: ImageSet, request: Request, wanted: Measurement,
            progress: Progress) -> Importance:
    """Measure an importance on the training images; see `importance.importance`. Safe in several threads."""
    forget, retain = request.split(train)
    positions = {"forget": forget, "retain": retain, "all": torch.arange(len(train))}[wanted.part]
    groups = batch_indices(train.labels[positions], wanted.batch_size, wanted.order,
                           last=request.classes, seed=wanted.seed)
    return importance(private_copy(model), _batches(model, train, [positions[group] for group in groups]),
                      wanted.estimator, progress=progress, total=len(groups))


def _batches(model: nn.Module, images: ImageSet, groups: list[Tensor]) -> Iterator[Batch]:
    for group in groups:
        yield as_taken(model, images.pixels(group)), images.labels[group]


@dataclass(frozen=True, eq=False)
class Task:
    """A trained network, the images it was trained on, and what it must forget.

    Attributes:
        model: the original; never changed.
        train: the training images, forget set included.
        request: what is to be forgotten.
        importances: by default measured when asked for.
        grams: by default measured when asked for.
        history: what was recorded while the original was trained; None if nothing was.
        recipe: how the original was trained, for retraining; None if unknown.
        seed: owns all randomness of the methods.
    """

    model: nn.Module
    train: ImageSet
    request: Request
    importances: Importances = measure
    grams: GramSource = measure_grams
    history: History | None = None
    recipe: Recipe | None = None
    seed: int = 0

    @property
    def split(self) -> tuple[Tensor, Tensor]:
        """Positions of the forget set and of the retain set in the training images."""
        return self.request.split(self.train)

    @property
    def forget_share(self) -> float:
        """The forget set's share of the training set, rho = |D_f| / |D|."""
        return len(self.split[0]) / len(self.train)

    @property
    def example(self) -> Tensor:
        """Two images of noise as the network takes them, to try things on: no method reads an image more."""
        noise = torch.randn(2, *self.train.images.shape[1:], generator=torch.Generator().manual_seed(0))
        return as_taken(self.model, noise)

    def check(self) -> None:
        """Refuse a network that does not fit the images; see `heads.check`.

        Raises:
            ValueError: as `heads.check`.
        """
        check(self.model, self.example, len(self.train.classes))

    def importance(self, wanted: Measurement, progress: Progress) -> Importance:
        """The importance asked for."""
        return self.importances(self.model, self.train, self.request, wanted, progress)

    def generator(self, *purpose: str) -> torch.Generator:
        """A random generator of its own for each purpose, fixed by the task's seed."""
        return torch.Generator().manual_seed(seed_of("task", self.seed, *purpose))
