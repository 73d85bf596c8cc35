"""Tests of convolution transpose and masked small gradients: golden values by hand, and what may learn how fast."""

from __future__ import annotations

import copy
import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.toys import assert_same, image_set, make_task, run
from unlearn_core.measure.task import Task
from unlearn_core.methods import METHODS, loop, masked_small_gradients
from unlearn_core.methods.base import NotApplicable, Outcome
from unlearn_core.methods.convolution_transpose import convolutions, cosine, transpose
from unlearn_core.methods.masked_small_gradients import SLOWLY, smallest, triangle
from unlearn_core.nets.request import forget_classes
from unlearn_core.progress import Progress, silent

BOTH = pytest.mark.parametrize("name", ["convolution_transpose", "masked_small_gradients"])


def toy(kernel: int | tuple[int, int] = 3, classes: tuple[int, ...] = (1,)) -> Task:
    """Two convolutions, a batch norm and a head that has learnt nothing."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 4, kernel, 2), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 6, 1), nn.ReLU(),
                          nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 4)).eval()
    return Task(model, image_set(1, 8), forget_classes(classes, 4))


def untrained(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the learning, so that the damage shows."""
    def nothing(task: Task, model: nn.Module, *rest: object) -> tuple[float, ...]:
        return (0.0,)

    monkeypatch.setattr(loop, "relearn", nothing)


# --- convolution transpose ------------------------------------------------------------------------


def test_a_kernel_is_mirrored_at_its_diagonal() -> None:
    """By hand: rows become columns, for each pair of channels by itself."""
    layer = nn.Conv2d(2, 1, 3)
    with torch.no_grad():
        layer.weight.copy_(torch.arange(18.0).view(1, 2, 3, 3))
    bias = layer.bias.clone()  # type: ignore[union-attr]
    transpose([layer])
    assert layer.weight[0, 0].tolist() == [[0, 3, 6], [1, 4, 7], [2, 5, 8]]
    assert layer.weight[0, 1].tolist() == [[9, 12, 15], [10, 13, 16], [11, 14, 17]]
    assert torch.equal(layer.bias, bias)  # type: ignore[arg-type]
    transpose([layer])
    assert torch.equal(layer.weight.flatten(), torch.arange(18.0))


def test_transposed_kernels_see_transposed_images() -> None:
    model = toy().model
    x = torch.randn(3, 1, 9, 9, generator=torch.Generator().manual_seed(0))
    before = model(x)
    transpose(convolutions(model, "all"))
    assert torch.allclose(model(x.transpose(2, 3)), before, atol=1e-6) and not torch.allclose(model(x), before)


def test_only_square_kernels_that_may_change_are_transposed() -> None:
    model = nn.Sequential(*(nn.Conv2d(1, 1, k) for k in (3, 1, (3, 5), 5, 7)), nn.Conv1d(1, 1, 3))
    model[3].weight.requires_grad_(False)
    assert convolutions(model, "all") == [model[0], model[4]]
    three = nn.Sequential(*(nn.Conv2d(1, 1, 3) for _ in range(3)))
    assert convolutions(three, "first half") == [three[0]] and convolutions(three, "last half") == [three[1], three[2]]


@pytest.mark.parametrize(("architecture", "count"), [("small-resnet", 7), ("small-vit", 3)])
def test_the_damage_is_the_transposition_alone(architecture: str, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The transformer here has a convolutional stem, so there is something to transpose."""
    untrained(monkeypatch)
    task = make_task(architecture)
    outcome = run("convolution_transpose", task)
    before = dict(task.model.named_parameters())
    moved = {name for name, value in outcome.parameters.items() if not torch.equal(value, before[name])}
    assert len(moved) == count == outcome.trace["transposed"] and outcome.trace["relative_change"] > 0.5
    for name in moved:
        assert torch.equal(outcome.parameters[name], before[name].transpose(2, 3))


# --- masked small gradients -----------------------------------------------------------------------


def test_the_smallest_gradients_are_masked() -> None:
    """By hand; of equal ones the first, and the number is the nearest whole one."""
    gradient = torch.tensor([[0.1, -3.0, 0.0], [2.0, -0.1, -0.5]])
    assert smallest(gradient, 0.5).tolist() == [[True, False, True], [False, True, False]]
    assert smallest(gradient, 0.3).tolist() == [[True, False, True], [False, False, False]]
    assert [int(smallest(gradient, share).sum()) for share in (0.0, 0.05, 0.1, 1.0)] == [0, 0, 1, 6]
    tied = smallest(torch.ones(5000), 0.3)
    assert tied[:1500].all() and not tied[1500:].any()


def test_the_gradient_of_the_difference_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    """Masks from autograd on CE(retained) - CE(forget); what is not masked, and every other layer, stays."""
    untrained(monkeypatch)
    task = toy(classes=(1, 2))  # half of the images, so that all retained ones are in the sample
    forget, retain = task.split
    terms = [F.cross_entropy(task.model(task.train.pixels(part)), task.train.labels[part]) for part in (retain, forget)]
    layers = {"0.weight": task.model[0].weight, "3.weight": task.model[3].weight}
    gradients = torch.autograd.grad(terms[0] - terms[1], list(layers.values()))
    outcome = run("masked_small_gradients", task, share=0.25)
    for name, value in task.model.named_parameters():
        changed = outcome.parameters[name] != value
        if name not in layers:
            assert not changed.any(), name
    for (name, value), gradient in zip(layers.items(), gradients, strict=True):
        order = gradient.abs().flatten().argsort()[:round(0.25 * gradient.numel())]
        assert torch.nonzero((outcome.parameters[name] != value).flatten()).flatten().tolist() == sorted(order.tolist())
    assert outcome.trace["drawn_anew"] == 9 + 6 and outcome.trace["convolution_weights"] == 36 + 24


def test_new_weights_have_the_spread_of_a_fresh_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """He et al.: variance 2 / (outputs x kernel), here of 64 x 3 x 3."""
    untrained(monkeypatch)
    task = make_task()
    outcome = run("masked_small_gradients", task, share=1.0)
    assert float(outcome.parameters["block3.conv2.weight"].std()) == pytest.approx(math.sqrt(2 / 576), rel=0.02)
    assert float(outcome.parameters["stem.0.weight"].std()) == pytest.approx(math.sqrt(2 / 144), rel=0.2)


def test_kept_weights_learn_at_a_tenth(monkeypatch: pytest.MonkeyPatch) -> None:
    """One step without momentum's memory: the gradient that reaches a kept weight is a tenth of the true one."""
    seen: dict[str, Tensor] = {}
    masks: list[Tensor] = []

    def spy(task: Task, model: nn.Module, *rest: object) -> tuple[float, ...]:
        batch = task.split[1]
        loss = F.cross_entropy(model(task.train.pixels(batch)), task.train.labels[batch])
        plain = copy.deepcopy(model)  # a copy has no hooks
        F.cross_entropy(plain(task.train.pixels(batch)), task.train.labels[batch]).backward()
        loss.backward()
        seen["ratio"] = model[0].weight.grad / plain[0].weight.grad
        seen["head"] = model[7].weight.grad - plain[7].weight.grad
        return (0.0,)

    def keep(gradient: Tensor, share: float) -> Tensor:
        masks.append(smallest(gradient, share))
        return masks[-1]

    monkeypatch.setattr(loop, "relearn", spy)
    monkeypatch.setattr(masked_small_gradients, "smallest", keep)
    run("masked_small_gradients", toy(), share=0.5)
    expected = torch.where(masks[0], 1.0, SLOWLY)
    assert torch.allclose(seen["ratio"], expected, atol=1e-5) and not seen["head"].any()


def test_a_share_of_nothing_says_so() -> None:
    (warning,) = run("masked_small_gradients", toy(), share=0.0).warnings
    assert warning == "No weight is drawn anew at this share: the network was only fine-tuned."


# --- what both share ------------------------------------------------------------------------------


def test_schedules_of_the_released_code() -> None:
    assert [cosine(epoch, 3) for epoch in range(3)] == pytest.approx([1, 0.75, 0.25])
    assert [triangle(epoch, 5) for epoch in range(5)] == pytest.approx([1 / 3, 2 / 3, 1, 2 / 3, 1 / 3])
    assert [triangle(epoch, 2) for epoch in range(2)] == pytest.approx([1, 1 / 2]) and triangle(0, 1) == 1


def test_relearning_follows_the_schedule_with_momentum_and_decay() -> None:
    """A whole run again by plain loops: the same weights to rounding."""
    task = toy()
    settings = {"retain_images": "all", "epochs": 2, "lr": 0.1, "batch_size": 16}
    found, model = copy.deepcopy(task.model), copy.deepcopy(task.model).train()
    losses = loop.relearn(task, found, settings, loop.each_epoch(cosine), "somebody", silent)
    order, velocity = task.generator("somebody", "order"), [torch.zeros_like(p) for p in model.parameters()]
    said = []
    for epoch in range(2):
        for part in loop.batches(task.split[1], 16, order):
            loss = F.cross_entropy(model(task.train.pixels(part)), task.train.labels[part])
            gradients = torch.autograd.grad(loss, list(model.parameters()))
            said.append(float(loss.detach()))
            with torch.no_grad():
                for p, g, v in zip(model.parameters(), gradients, velocity, strict=True):
                    v.mul_(0.9).add_(g + 5e-4 * p)
                    p.sub_(0.1 * (1, 0.5)[epoch] * v)
    assert losses == pytest.approx(said, abs=1e-5) and not found.training
    for one, other in zip(found.state_dict().values(), model.state_dict().values(), strict=True):
        assert torch.allclose(one.double(), other.double(), atol=1e-5)


@BOTH
def test_a_network_without_convolutions_is_refused_in_a_sentence(name: str) -> None:
    task = replace(toy(), model=nn.Sequential(nn.Flatten(), nn.Linear(64, 4)).eval())
    with pytest.raises(NotApplicable, match=r"^(Convolution transpose|Masked small gradients) .* none that may change"):
        run(name, task)


def test_kernels_of_one_pixel_cannot_be_transposed_and_one_convolution_has_no_first_half() -> None:
    with pytest.raises(NotApplicable, match="larger than 1 × 1"):
        run("convolution_transpose", toy(1))
    with pytest.raises(NotApplicable, match=r"^The first half of a single convolution is none"):
        run("convolution_transpose", toy(), convolutions="first half")


@BOTH
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_precisions_and_frozen_modules(name: str, dtype: torch.dtype) -> None:
    task = toy()
    task.model.to(dtype)
    task.model[1].requires_grad_(False)
    outcome = run(name, task, epochs=1)
    assert {value.dtype for value in outcome.parameters.values()} == {dtype} and not outcome.buffers
    assert torch.equal(outcome.parameters["1.weight"], task.model[1].weight)


def test_convolution_transpose_never_looks_at_a_forgotten_image() -> None:
    def of(task: Task) -> Outcome:
        return METHODS["convolution_transpose"].run(task, {"epochs": 1}, silent)

    task = toy()
    images = task.train.images.clone()
    images[task.split[0]] = 255 - images[task.split[0]]
    other = replace(task, train=replace(task.train, images=images))
    assert_same(of(other).weights, of(task).weights)
    notes: list[tuple[float, str]] = []
    report: Progress = lambda share, note: notes.append((share, note))  # noqa: E731
    METHODS["convolution_transpose"].run(task, {"epochs": 1}, report)
    assert notes[0] == (0.0, "kernels transposed") and notes[-1] == (1.0, "done")
