"""Networks so small, and images so few, that a test is quick; and what tests ask of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import cast

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from unlearn_core import methods
from unlearn_core.measure.estimator import Batch, Estimator, Importance
from unlearn_core.measure.history import Step, StepHistory
from unlearn_core.measure.importance import batch_indices
from unlearn_core.measure.task import Measurement, Task, measure
from unlearn_core.methods.base import Outcome, Value
from unlearn_core.nets import models
from unlearn_core.nets.images import ImageSet
from unlearn_core.nets.request import Request, forget_classes
from unlearn_core.nets.train import Recipe, fit
from unlearn_core.progress import Progress, silent

ONE_EPOCH = {
    "small-resnet": Recipe("sgd", epochs=1, batch_size=50, peak_lr=0.1, weight_decay=1e-3, shift=1),
    "small-vit": Recipe("adamw", epochs=1, batch_size=50, peak_lr=2e-3, weight_decay=0.05),
}
SSD = Estimator("cross_entropy", "batch_mean")
LFSSD = Estimator("squared_norm", "batch_mean")
SSD_PER_SAMPLE = Estimator("cross_entropy", "per_sample")
LFSSD_PER_SAMPLE = Estimator("squared_norm", "per_sample")


def fixture_t() -> tuple[nn.Module, Tensor, Tensor]:
    """A tanh MLP 3-4-3 without random numbers, 12 samples, 3 classes (docs/methods.md, "Fixture T")."""
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 3)).double()
    i, j = torch.arange(4.0, dtype=torch.float64)[:, None], torch.arange(4.0, dtype=torch.float64)[None, :]
    values = {
        "0.weight": torch.sin(1 + 0.7 * i + 1.3 * j[:, :3]),
        "0.bias": 0.1 * torch.cos(i[:, 0]),
        "2.weight": torch.cos(0.5 + 1.1 * i[:3] - 0.6 * j),
        "2.bias": 0.05 * i[:3, 0],
    }
    model.load_state_dict(values)
    n = torch.arange(12)
    return model, torch.sin(0.3 * n.double()[:, None] + 1.7 * j[:, :3] + 0.5), n % 3


def batches_of(x: Tensor, y: Tensor, size: int = 4) -> list[Batch]:
    return list(zip(torch.split(x, size), torch.split(y, size), strict=True))


def sorted_batches(x: Tensor, y: Tensor, size: int = 4) -> list[Batch]:
    return [(x[i], y[i]) for i in batch_indices(y, size, "class_sorted", last=[0])]


def approx(value: float | list[float]) -> object:
    return pytest.approx(value, abs=1e-9)


def run(name: str, task: Task, progress: Progress = silent, **given: Value) -> Outcome:
    """Run a method; `lambda_` stands for lambda, which is a word of Python."""
    method = methods.method(name)
    return method.run(task, method.settings({k.rstrip("_"): v for k, v in given.items()}), progress)


@dataclass(frozen=True)
class Vectors:
    """Fixture T's samples in the place of an image set, which would hold bytes."""

    x: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.x)

    @property
    def images(self) -> Tensor:
        return self.x

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(f"class {i}" for i in range(int(self.labels.max()) + 1))

    def pixels(self, index: Tensor) -> Tensor:
        return self.x[index]


def batches_of_four(
    model: nn.Module, train: ImageSet, request: Request, wanted: Measurement, progress: Progress
) -> Importance:
    return measure(model, train, request, replace(wanted, batch_size=4), progress)


def golden_task() -> Task:
    model, x, y = fixture_t()
    return Task(model, cast(ImageSet, Vectors(x, y)), Request((0,)), importances=batches_of_four)


def sum_and_norm(outcome: Outcome) -> list[float]:
    flat = torch.cat([w.flatten() for w in outcome.parameters.values()])
    return [flat.sum().item(), flat.norm().item()]


def image_set(channels: int, size: int) -> ImageSet:
    """60 random images of 4 classes, each class with a brightness of its own."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(60) % 4
    noise = torch.randint(0, 64, (60, channels, size, size), generator=generator)
    images = (noise + 48 * labels[:, None, None, None]).to(torch.uint8)
    return ImageSet("random", images, labels, ("a", "b", "c", "d"), (0.4,) * channels, (0.3,) * channels)


def make_task(
    architecture: str = "small-resnet", channels: int = 1, size: int = 28, classes: tuple[int, ...] = (1,)
) -> Task:
    images = image_set(channels, size)
    model = models.build(
        architecture, channels=channels, classes=4, size=size, generator=torch.Generator().manual_seed(1)
    )
    history = StepHistory((Step(0, torch.arange(60), {n: 0.1 * p.detach() for n, p in model.named_parameters()}),))
    with torch.no_grad():
        model.train()(images.pixels())  # running statistics that are not those of a fresh network
    return Task(model.eval(), images, forget_classes(classes, 4), history=history, recipe=QUICK)


QUICK = Recipe("sgd", epochs=2, batch_size=20, peak_lr=0.05, weight_decay=1e-3)


def fingerprint(model: nn.Module) -> tuple[object, ...]:
    """Everything about a network and the global random state that a method must leave alone."""
    state = {name: value.clone() for name, value in model.state_dict().items()}
    grads = [None if p.grad is None else p.grad.clone() for p in model.parameters()]
    frozen = [p.requires_grad for p in model.parameters()]
    return (
        state,
        grads,
        [m.training for m in model.modules()],
        frozen,
        torch.get_rng_state(),
        np.random.get_state()[1].tolist(),
    )  # type: ignore[index,union-attr]


def assert_same(got: object, expected: object) -> None:
    if isinstance(expected, Tensor):
        assert isinstance(got, Tensor) and got.dtype == expected.dtype and torch.equal(got, expected)
    elif isinstance(expected, dict):
        assert isinstance(got, dict) and list(got) == list(expected)
        for key in expected:
            assert_same(got[key], expected[key])
    elif isinstance(expected, tuple | list):
        assert isinstance(got, tuple | list) and len(got) == len(expected)
        for one, other in zip(got, expected, strict=True):
            assert_same(one, other)
    else:
        assert got == expected


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@cache
def learnt() -> Task:
    """4 by 4 images of five classes, a bright row or none, and a perceptron with a batch norm that knows them."""
    labels = torch.arange(250) % 5
    images = torch.randint(0, 120, (250, 1, 4, 4), generator=generator())
    bright = labels < 4
    images[bright, 0, labels[bright]] += 80  # training flips images left to right, which leaves rows alone
    data = ImageSet("rows", images.to(torch.uint8), labels, tuple("abcde"), (0.25,), (0.15,))
    model = models.fresh(
        nn.Sequential(nn.Flatten(), nn.Linear(16, 24), nn.BatchNorm1d(24), nn.ReLU(), nn.Linear(24, 5)), generator())
    fit(model, data, Recipe("adamw", epochs=15, batch_size=25, peak_lr=0.02, weight_decay=0.0), generator())
    return Task(model, data, forget_classes([1], 5), recipe=Recipe("adamw", 15, 25, 0.02, 0.0))
