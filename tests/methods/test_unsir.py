"""Tests of unlearn_core.methods.unsir: golden values, what each stage sees and does, the notebook's slips."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.toys import Vectors, approx, make_task
from unlearn_core.exhibits import Curves, Pictures
from unlearn_core.measure.task import Task
from unlearn_core.methods import unsir
from unlearn_core.methods.base import Diverged, NotApplicable, Outcome, Value
from unlearn_core.methods.unsir import METHOD, learn_noise
from unlearn_core.nets import models
from unlearn_core.nets.images import ImageSet
from unlearn_core.nets.request import Request, forget_classes, forget_images
from unlearn_core.progress import silent

OFFICIAL = METHOD.presets["official"].settings


def run(task: Task, **given: Value) -> Outcome:
    return METHOD.run(task, METHOD.settings(given), silent)


def assert_same_bits(one: Outcome, other: Outcome) -> None:
    assert list(one.weights) == list(other.weights)
    assert all(torch.equal(one.weights[name], other.weights[name]) for name in one.weights)
    assert one.trace == other.trace


# --- learning noise -------------------------------------------------------------------------------


def golden_linear() -> nn.Module:
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 3)).double()
    i, j = torch.arange(3.0, dtype=torch.float64)[:, None], torch.arange(12.0, dtype=torch.float64)
    model.load_state_dict({"1.weight": 0.3 * torch.sin(1 + 0.9 * i + 0.4 * j), "1.bias": torch.zeros(3)})
    return model


def test_golden_noise() -> None:
    """The loss of step k is the one before the k-th update (docs/methods.md, "UNSIR's noise")."""
    model = golden_linear()
    start = torch.cos(0.2 * torch.arange(24, dtype=torch.float64)).view(2, 3, 2, 2)
    given = start.clone()
    noise, losses = learn_noise(model, start, 1, steps=40, lr=0.1, norm_weight=0.1)
    assert list(losses[:5]) == approx([-0.672183835, -0.7874450148, -0.8815415982, -0.9570596791, -1.0178475818])
    assert [losses[k - 1] for k in (10, 25, 40)] == approx([-1.1785786086, -1.2448616597, -1.3366391805])
    assert [noise.sum().item(), noise.norm().item()] == approx([-0.6932963065735243, 4.223023307124849])
    assert len(losses) == 40 and noise.shape == start.shape and not noise.requires_grad
    assert torch.equal(start, given)
    assert all(p.grad is None for p in model.parameters())  # nothing stale for the next optimiser


def test_noise_has_the_scale_of_the_notebook() -> None:
    """The norm alone decides the first two epochs of 8 steps (docs/methods.md, "The scale of UNSIR's noise")."""
    model = models.build("small-resnet", channels=3, classes=10, size=32,
                         generator=torch.Generator().manual_seed(0)).eval()
    start = torch.randn(64, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    _, losses = learn_noise(model, start, 0, steps=16, lr=0.1, norm_weight=0.1)
    with torch.no_grad():
        error = F.cross_entropy(model(start), torch.zeros(64, dtype=torch.long)).item()
    assert losses[0] == pytest.approx(0.1 * 3072 - error, rel=0.01)
    assert np.mean(losses[:8]) == pytest.approx(191.5, rel=0.1)
    assert np.mean(losses[8:]) == pytest.approx(40.9, rel=0.1)


@pytest.mark.parametrize("training", [False, True])
def test_noise_moves_running_statistics_in_training_mode_only(training: bool) -> None:
    model = copy.deepcopy(make_task().model).train(training)
    before = copy.deepcopy(model.state_dict())
    learn_noise(model, torch.ones(4, 1, 28, 28), 1, steps=2, lr=0.1, norm_weight=0.1)
    moved = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    drifting = {name for name, _ in model.named_buffers()}
    assert moved == (drifting if training else set())
    assert all(p.grad is None and p.requires_grad for p in model.parameters())


def test_noise_that_leaves_the_finite_numbers_is_reported() -> None:
    model = golden_linear()
    with torch.no_grad():
        model[1].bias[2] = math.nan
    start = torch.zeros(2, 12, dtype=torch.float64)
    with pytest.raises(Diverged, match=r"became nan \(noise of class 1, step 1\)"):
        learn_noise(model, start, 1, steps=3, lr=0.1, norm_weight=0.1)


# --- what the stages see --------------------------------------------------------------------------


@dataclass
class Seen:
    """What went through the network: one entry per step of any stage."""

    inputs: list[Tensor] = field(default_factory=list)
    labels: list[Tensor] = field(default_factory=list)
    training: list[bool] = field(default_factory=list)


def clusters() -> tuple[nn.Module, Vectors]:
    """Four blobs in the plane, 30 points each, and a network with batch norm that tells them apart; float64."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(120) % 4
    centres = torch.tensor([[2.0, 0.0], [0.0, 2.0], [-2.0, 0.0], [0.0, -2.0]])
    x = (centres[labels] + 0.4 * torch.randn(120, 2, generator=generator)).double()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(2, 24), nn.BatchNorm1d(24), nn.Tanh(), nn.Linear(24, 4)).double()
    optimiser = torch.optim.Adam(model.parameters(), 0.02)
    for _ in range(120):
        optimiser.zero_grad()
        F.cross_entropy(model(x), labels).backward()
        optimiser.step()
    return model.eval(), Vectors(x, labels)


def cluster_task(*classes: int) -> Task:
    model, train = clusters()
    return Task(model, cast(ImageSet, train), Request(classes))


def watched(task: Task, monkeypatch: pytest.MonkeyPatch) -> Seen:
    seen = Seen()

    def look(module: nn.Module, inputs: tuple[Tensor]) -> None:
        seen.inputs.append(inputs[0].detach().clone())
        seen.training.append(module.training)

    def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
        seen.labels.append(labels.clone())
        return F.cross_entropy(logits, labels)

    task.check()  # what the check shows the network is no part of the run
    task.model.register_forward_pre_hook(look)
    monkeypatch.setattr(unsir, "F", SimpleNamespace(cross_entropy=cross_entropy))
    return seen


@pytest.mark.parametrize(
    ("form", "per_class", "distinct", "labelled"),
    [("corrected", 5120, 256, {0: 5120, 2: 5120}), ("official", 40, 2, {0: 80})],
)
def test_impair_sees_the_noise_of_its_form(
    form: str, per_class: int, distinct: int, labelled: dict[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Number, variety and labels of the noise (docs/methods.md, "What UNSIR's impair stage sees")."""
    task = cluster_task(0, 2)
    seen = watched(task, monkeypatch)
    outcome = run(task, **{**OFFICIAL, "form": form, "noise_steps": 5, "retain_images": 50, "repair_epochs": 0})
    assert [labels.unique().tolist() for labels in seen.labels[:10]] == [[0]] * 5 + [[2]] * 5
    assert seen.training[:10] == [form == "official"] * 10 and all(seen.training[10:])
    inputs, labels = torch.cat(seen.inputs[10:]), torch.cat(seen.labels[10:])
    noisy = torch.isin(labels, torch.tensor([0, 2]))
    assert {int(c): int((labels[noisy] == c).sum()) for c in labels[noisy].unique()} == labelled
    assert len(inputs[noisy]) == outcome.trace["noise_samples"] == 2 * per_class
    assert len(inputs[noisy].unique(dim=0)) == outcome.trace["noise_images"] == 2 * distinct
    # the rest are the retained images under their own labels
    _, retain = task.split
    rows = [{tuple(x.tolist()): int(y) for x, y in zip(*pair, strict=True)}
            for pair in ((inputs[~noisy], labels[~noisy]), (task.train.pixels(retain), task.train.labels[retain]))]
    assert rows[0] == rows[1]
    assert len(inputs) == 2 * per_class + len(retain)


def test_noise_stands_under_the_label_it_was_learned_for(monkeypatch: pytest.MonkeyPatch) -> None:
    task, learned = cluster_task(0, 2), {}
    seen = watched(task, monkeypatch)

    def learn(model: nn.Module, start: Tensor, label: int, **more: float) -> tuple[Tensor, tuple[float, ...]]:
        learned[label] = learn_noise(model, start, label, **more)
        return learned[label]

    monkeypatch.setattr(unsir, "learn_noise", learn)
    run(task, noise_batch=16, noise_steps=5, repair_epochs=0)
    inputs, labels = torch.cat(seen.inputs[10:]), torch.cat(seen.labels[10:])
    for label, (noise, _) in learned.items():
        assert torch.equal(inputs[labels == label].unique(dim=0), noise.unique(dim=0))


def test_official_noise_bears_label_0_whatever_it_was_made_for(monkeypatch: pytest.MonkeyPatch) -> None:
    task = cluster_task(3)
    seen = watched(task, monkeypatch)
    (warning,) = run(task, **{**OFFICIAL, "noise_steps": 5, "repair_epochs": 0}).warnings
    assert "class 0" in warning
    assert (torch.cat(seen.labels[5:]) == 3).sum() == 0 and (torch.cat(seen.labels[5:]) == 0).sum() == 70


@pytest.mark.parametrize("form", ["corrected", "official"])
def test_stages_are_plain_training_on_what_they_saw(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fresh Adam per stage, its own learning rate, no gradient left over from noise or from the step before."""
    task = cluster_task(1)
    expected = copy.deepcopy(task.model)
    seen = watched(task, monkeypatch)
    given = METHOD.settings({"form": form, "noise_steps": 10, "noise_batch": 16, "batch_size": 64, "impair_epochs": 2,
                             "repair_batch_size": 32, "repair_epochs": 3, "impair_lr": 0.02, "repair_lr": 0.005})
    outcome = METHOD.run(task, given, silent)
    noise_images = (16 if form == "corrected" else 2) * given["noise_copies"]
    steps = [10, 2 * math.ceil((90 + noise_images) / 64), 3 * math.ceil(90 / 32)]
    assert [outcome.trace[f"{name}_steps"] for name in ("noise", "impair", "repair")] == steps
    assert len(seen.inputs) == sum(steps)
    if form == "official":
        expected.train()
        for inputs in seen.inputs[:10]:
            expected(inputs)  # only the running statistics
    for first, last, lr in ((10, 10 + steps[1], 0.02), (10 + steps[1], sum(steps), 0.005)):
        optimiser = torch.optim.Adam(expected.train().parameters(), lr)
        for inputs, labels in zip(seen.inputs[first:last], seen.labels[first:last], strict=True):
            optimiser.zero_grad()
            F.cross_entropy(expected(inputs), labels).backward()
            optimiser.step()
    for name, value in outcome.weights.items():
        torch.testing.assert_close(value, expected.state_dict()[name], rtol=0, atol=1e-12)
    assert not torch.isin(torch.cat(seen.labels[10 + steps[1] :]), torch.tensor([1])).any()  # repair: retained only


def test_a_few_retained_images_of_each_class_serve_both_stages(monkeypatch: pytest.MonkeyPatch) -> None:
    model = nn.Linear(2, 4)
    labels = torch.arange(400) % 4
    x = torch.arange(800.0).view(400, 2) / 800
    task = Task(model, cast(ImageSet, Vectors(x, labels)), Request((2,)))
    seen = watched(task, monkeypatch)
    outcome = run(task, retain_images=50, noise_steps=5, noise_batch=16, impair_epochs=2)
    assert outcome.trace["retain_images"] == 150
    end = 5 + int(outcome.trace["impair_steps"])
    impair, repair = slice(5, end), slice(end, None)
    both = []
    for part in (impair, repair):
        rows, classes = torch.cat(seen.inputs[part]), torch.cat(seen.labels[part])
        both.append({tuple(row.tolist()) for row in rows[classes != 2]})
    assert both[0] == both[1] and len(both[0]) == 150 and both[0] <= {tuple(row.tolist()) for row in x[labels != 2]}
    assert [(torch.cat(seen.labels[repair]) == c).sum() for c in range(4)] == [50, 50, 0, 50]
    assert both[0] != {tuple(row.tolist()) for row in x[labels != 2][:150]}  # random ones
    small = run(cluster_task(2), retain_images=1000, noise_steps=5, noise_batch=16)
    assert small.trace["retain_images"] == 90  # as many as there are


# --- zero-glance ----------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["corrected", "official"])
def test_never_reads_a_forgotten_image(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    task = make_task(classes=(1, 3))
    forget, _ = task.split
    garbage = task.train.images.clone()
    garbage[forget] = torch.randint(0, 256, garbage[forget].shape, dtype=torch.uint8,
                                    generator=torch.Generator().manual_seed(5))
    images = task.train
    other = Task(task.model, ImageSet(images.name, garbage, images.labels, images.classes, images.mean, images.std),
                 task.request)
    read: list[Tensor] = []
    original = ImageSet.pixels

    def pixels(self: ImageSet, index: Tensor) -> Tensor:
        read.append(index)
        return original(self, index)

    monkeypatch.setattr(ImageSet, "pixels", pixels)
    given = {"form": form, "noise_batch": 16, "noise_steps": 5}
    assert_same_bits(run(task, **given), run(other, **given))
    assert len(torch.cat(read)) and not torch.isin(torch.cat(read), forget).any()
    assert METHOD.needs == {"retain images", "labels"}


# --- what the stages do ---------------------------------------------------------------------------


def test_without_epochs_only_the_official_form_changes_anything_and_only_running_statistics() -> None:
    task = make_task()
    given = {"noise_batch": 16, "noise_steps": 5, "impair_epochs": 0, "repair_epochs": 0}
    corrected, official = (run(task, form=form, **given) for form in ("corrected", "official"))
    for outcome in (corrected, official):
        assert all(torch.equal(outcome.parameters[n], p) for n, p in task.model.named_parameters())
        assert not {"impair_loss", "repair_loss"} & outcome.trace.keys()
        assert math.isfinite(outcome.trace["noise_loss"])
    assert corrected.buffers == {}
    assert set(official.buffers) == {name for name, _ in task.model.named_buffers()}
    assert set(run(task, noise_batch=16, noise_steps=5).buffers) == set(official.buffers)  # training moves them


def accuracy(task: Task, weights: dict[str, Tensor], positions: Tensor) -> float:
    with torch.no_grad():
        logits = torch.func.functional_call(task.model, weights, (task.train.pixels(positions),))
    return (logits.argmax(1) == task.train.labels[positions]).double().mean().item()


@pytest.mark.parametrize("classes", [(1,), (0, 3)])
def test_impair_forgets_and_repair_repairs(classes: tuple[int, ...]) -> None:
    task = cluster_task(*classes)
    forget, retain = task.split
    assert accuracy(task, {}, forget) > 0.95 and accuracy(task, {}, retain) > 0.95
    given = {"impair_lr": 0.02, "impair_epochs": 5, "batch_size": 32, "noise_batch": 32, "noise_copies": 5}
    impaired = run(task, **given, repair_epochs=0)
    repaired = run(task, **given, repair_lr=0.02, repair_epochs=5, repair_batch_size=16)
    assert accuracy(task, impaired.weights, forget) < 0.2
    assert accuracy(task, repaired.weights, forget) < 0.1
    assert accuracy(task, repaired.weights, retain) > 0.95
    assert accuracy(task, repaired.weights, retain) >= accuracy(task, impaired.weights, retain)
    assert repaired.trace["impair_loss"] == impaired.trace["impair_loss"]  # repair comes after


def test_the_noise_of_a_class_depends_on_seed_and_class_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def noise(*classes: int, seed: int = 0) -> list[Tensor]:
        task = cluster_task(*classes)
        task = Task(task.model, task.train, task.request, seed=seed)
        seen = watched(task, monkeypatch)
        run(task, noise_steps=5, noise_batch=16, impair_epochs=0, repair_epochs=0)
        return seen.inputs[::5]  # the starts

    (one,), (first, second), (other,) = noise(2), noise(1, 2), noise(2, seed=1)
    assert torch.equal(one, second)
    assert not torch.equal(first, second) and not torch.equal(one, other)


def test_dropout_leaves_the_global_generator_alone() -> None:
    images = make_task().train
    model = nn.Sequential(nn.Flatten(), nn.Linear(784, 16), nn.Dropout(0.5), nn.ReLU(), nn.Linear(16, 4)).eval()
    task = Task(model, images, forget_classes([1], 4))
    given = {"noise_batch": 16, "noise_steps": 5, "form": "official"}
    before = torch.get_rng_state()
    first = run(task, **given)
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(3)
    assert_same_bits(run(task, **given), first)


def test_double_networks_and_frozen_weights() -> None:
    task = make_task()
    task.model.double()
    task.model.stem[0].weight.requires_grad_(False)
    outcome = run(task, noise_batch=16, noise_steps=5)
    assert all(value.dtype == torch.float64 for value in outcome.parameters.values())
    assert torch.equal(outcome.parameters["stem.0.weight"], task.model.stem[0].weight)
    assert not torch.equal(outcome.parameters["head.weight"], task.model.head.weight)


def test_a_network_that_breaks_while_impairing_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(model: nn.Module, start: Tensor, *rest: object, **more: object) -> tuple[Tensor, tuple[float, ...]]:
        return start * math.nan, (0.0,)

    monkeypatch.setattr(unsir, "learn_noise", broken)
    with pytest.raises(Diverged, match=r"became nan \(impair, step 1\)"):
        run(cluster_task(1))


# --- what it says ---------------------------------------------------------------------------------


def test_single_images_cannot_be_forgotten() -> None:
    task = Task(make_task().model, make_task().train, forget_images([3, 7], 60))
    with pytest.raises(NotApplicable, match=r"^UNSIR learns noise for a class, .*\.$"):
        run(task)
    assert METHOD.obstacle(make_task(), METHOD.settings()) == ""


def test_presets_hold_the_published_values() -> None:
    names = ("form", "noise_batch", "noise_steps", "noise_copies", "noise_lr", "norm_weight", "retain_images",
             "impair_lr", "batch_size", "impair_epochs", "repair_lr", "repair_batch_size", "repair_epochs")
    rows = {name: tuple(METHOD.presets[name].settings[knob] for knob in names)
            for name in ("official", "SSD repository")}
    assert rows["official"] == ("official", 256, 40, 20, 0.1, 0.1, 1000, 0.02, 256, 1, 0.01, 256, 1)
    assert rows["SSD repository"] == ("official", 32, 25, 80, 0.1, 0.1, 500, 1e-4, 32, 1, 1e-4, 128, 1)


@pytest.mark.parametrize(("form", "shown"), [("corrected", 8), ("official", 3)])
def test_exhibits_show_noise_and_losses(form: str, shown: int) -> None:
    task = make_task(channels=3, size=32, classes=(0, 2))
    outcome = run(task, form=form, noise_batch=16, noise_steps=5, batch_size=16, repair_batch_size=16)
    pictures, noise, training = outcome.exhibits
    assert isinstance(pictures, Pictures) and isinstance(noise, Curves) and isinstance(training, Curves)
    assert pictures.images.shape == (2 * shown, 3, 32, 32) and pictures.images.dtype == np.float32
    assert pictures.names == ("class 0",) * shown + ("class 2",) * shown
    assert list(noise.series) == ["class 0", "class 2"]
    assert all(x == (1, 2, 3, 4, 5) and len(y) == 5 for x, y in noise.series.values())
    assert np.mean([y[-1] for _, y in noise.series.values()]) == pytest.approx(outcome.trace["noise_loss"])
    (x1, y1), (x2, y2) = training.series["impair"], training.series["repair"]
    assert x1 + x2 == tuple(range(1, len(y1) + len(y2) + 1))
    assert (len(y1), len(y2)) == (outcome.trace["impair_steps"], outcome.trace["repair_steps"])
    assert (y1[-1], y2[-1]) == (outcome.trace["impair_loss"], outcome.trace["repair_loss"])
    assert all(exhibit.caption.endswith(".") for exhibit in outcome.exhibits)
    assert [w for w in outcome.warnings if "labels all noise as class 0" in w] == (
        list(outcome.warnings) if form == "official" else [])
    assert len(outcome.warnings) == (form == "official")


@pytest.mark.parametrize("channels", [1, 3])
def test_the_official_form_uses_one_noise_image_for_each_colour_channel(channels: int) -> None:
    task = make_task(channels=channels, size=28, classes=(0, 2))
    outcome = run(task, form="official", noise_batch=16, noise_steps=5, repair_epochs=0)
    assert outcome.trace["noise_images"] == 2 * channels
    assert outcome.trace["noise_samples"] == 2 * channels * METHOD.settings()["noise_copies"]


def test_progress_names_the_stages_in_order() -> None:
    calls: list[tuple[float, str]] = []
    task = make_task(classes=(0, 2))
    settings = METHOD.settings({"noise_batch": 16, "noise_steps": 5, "batch_size": 16, "repair_batch_size": 16})
    outcome = METHOD.run(task, settings, lambda share, note: calls.append((share, note)))
    shares, notes = [share for share, _ in calls], [note.split(",")[0] for _, note in calls]
    assert list(dict.fromkeys(notes)) == ["learning noise for class 0", "learning noise for class 2", "impair",
                                          "repair", "done"]
    assert shares == sorted(shares) and shares[0] < 0.5 and shares[-1] == 1.0
    assert len(calls) == 1 + sum(outcome.trace[f"{name}_steps"] for name in ("noise", "impair", "repair"))
