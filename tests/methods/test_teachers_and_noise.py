"""Tests of bad teacher, SCRUB, SalUn, Fisher forgetting and boundary shrink."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import cast

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.toys import Vectors, fixture_t, make_task, run
from unlearn_core.exhibits import Curves, LayerBars, Pictures
from unlearn_core.measure import anatomy
from unlearn_core.measure.task import Task
from unlearn_core.methods import METHODS, loop
from unlearn_core.methods.bad_teacher import divergence, lesson
from unlearn_core.methods.base import Diverged, NotApplicable, Outcome, Value
from unlearn_core.methods.boundary_shrink import pushed
from unlearn_core.methods.fisher_forgetting import fisher, noise_variance
from unlearn_core.methods.salun import salient
from unlearn_core.nets import models
from unlearn_core.nets.images import ImageSet
from unlearn_core.nets.request import Request, forget_images
from unlearn_core.progress import silent

TRAINING = ("bad_teacher", "scrub", "salun", "boundary_shrink")
ALL = (*TRAINING, "fisher_forgetting")
FIRST = Request((0,))


@dataclass(frozen=True)
class Points(Vectors):
    """Vectors in the place of images, with the standardisation and the names of an image set."""

    mean: tuple[float, ...] = (0.5, 0.4, 0.5)
    std: tuple[float, ...] = (0.5, 0.2, 0.25)
    classes: tuple[str, ...] = ("a", "b", "c")


def small_task(request: Request = FIRST) -> Task:
    """Fixture T in double precision."""
    model, x, y = fixture_t()
    return Task(model, cast(ImageSet, Points(x, y)), request)


class Normed(nn.Module):
    """A small network with batch norm and dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(3, 16)
        self.norm = nn.BatchNorm1d(16)
        self.drop = nn.Dropout(0.1)
        self.head = nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.drop(torch.relu(self.norm(self.body(x)))))
        return logits


@cache
def blobs() -> tuple[nn.Module, Points]:
    """A network in evaluation mode and what it has learned, three well separated clouds of 60 points."""
    generator = torch.Generator().manual_seed(3)
    labels = torch.arange(180) % 3
    x = 2 * torch.eye(3)[labels] + 0.3 * torch.randn(180, 3, generator=generator)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = Normed()
        optimiser = torch.optim.Adam(model.parameters(), 0.02)
        for _ in range(60):
            optimiser.zero_grad()
            F.cross_entropy(model.train()(x), labels).backward()  # type: ignore[no-untyped-call]
            optimiser.step()
    model.zero_grad()
    return model.eval(), Points(x, labels)


def blobs_task(seed: int = 0) -> Task:
    """That network, asked to forget the first cloud."""
    model, points = blobs()
    return Task(copy.deepcopy(model), cast(ImageSet, replace(points, x=points.x.clone())), FIRST, seed=seed)


def accuracies(task: Task, outcome: Outcome) -> tuple[float, float]:
    """On the forget and on the retain set."""
    x, labels = task.train.pixels(torch.arange(len(task.train))), task.train.labels
    logits = torch.func.functional_call(task.model, outcome.weights, (x,))
    right = (logits.argmax(1) == labels).float()
    return right[task.split[0]].mean().item(), right[task.split[1]].mean().item()


def unchanged(task: Task, outcome: Outcome) -> bool:
    return all(torch.equal(outcome.parameters[n], p) for n, p in task.model.named_parameters())


def movement(task: Task, outcome: Outcome) -> Tensor:
    return torch.cat([(outcome.parameters[n] - p).detach().flatten() for n, p in task.model.named_parameters()])


def near(value: float | list[float]) -> object:
    return pytest.approx(value, abs=1e-9)


# --- what all five do -----------------------------------------------------------------------------

SETTINGS: dict[str, dict[str, Value]] = {
    "bad_teacher": {"lr": 0.01, "epochs": 5, "batch_size": 16},
    "scrub": {"lr": 0.02, "epochs": 5, "max_epochs": 3, "batch_size": 16, "forget_batch_size": 16, "temperature": 1.0},
    "salun": {"lr": 0.05, "epochs": 5, "batch_size": 16},
    "boundary_shrink": {"lr": 0.02, "epochs": 5, "batch_size": 16, "epsilon": 0.3},
    "fisher_forgetting": {"noise_scale": 1e-3, "forgotten_rows": "keep"},
}


@pytest.mark.parametrize("name", TRAINING)
def test_forgets_a_class_and_keeps_the_rest(name: str) -> None:
    task = blobs_task()
    assert accuracies(task, run(name, task, epochs=0)) == (1, 1)
    forget, retain = accuracies(task, run(name, task, **SETTINGS[name]))
    assert forget < 0.2 and retain > 0.9


@pytest.mark.parametrize("name", ALL)
def test_forgets_single_images_of_several_classes(name: str) -> None:
    task = make_task()
    task = replace(task, request=forget_images((0, 1, 7, 11), 60))
    outcome = run(name, task, **(SETTINGS[name] if name != "scrub" else {}))
    assert not unchanged(task, outcome)


@pytest.mark.parametrize("name", ALL)
def test_another_seed_gives_another_result(name: str) -> None:
    first, again, other = (run(name, blobs_task(seed=seed), **SETTINGS[name]) for seed in (0, 0, 1))
    assert torch.equal(movement(blobs_task(), first), movement(blobs_task(), again))
    assert not torch.equal(movement(blobs_task(), first), movement(blobs_task(), other))


@pytest.mark.parametrize("name", ALL)
def test_leaves_the_original_and_the_global_random_state_alone(name: str) -> None:
    task = blobs_task()
    task.model.norm.train()
    task.model.body.bias.requires_grad_(False)
    state, random = copy.deepcopy(task.model.state_dict()), torch.get_rng_state()
    outcome = run(name, task, **SETTINGS[name])
    assert all(torch.equal(value, state[key]) for key, value in task.model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random)
    assert [m.training for m in task.model.modules()] == [False, False, True, False, False]
    assert all(p.grad is None and not p._backward_hooks for p in task.model.parameters())
    assert torch.equal(outcome.parameters["body.bias"], task.model.body.bias)
    assert not unchanged(task, outcome)


@pytest.mark.parametrize("name", ALL)
def test_works_in_double_precision(name: str) -> None:
    outcome = run(name, small_task(), **SETTINGS[name])
    assert {value.dtype for value in outcome.parameters.values()} == {torch.float64}


@pytest.mark.parametrize("name", TRAINING)
def test_no_epochs_change_nothing(name: str) -> None:
    task = blobs_task()
    calls: list[float] = []
    outcome = run(name, task, lambda share, note: calls.append(share), epochs=0)
    assert unchanged(task, outcome) and not outcome.buffers
    assert calls == sorted(calls) and calls[-1] == 1


@pytest.mark.parametrize("name", ALL)
def test_a_network_that_is_frozen_entirely_is_refused(name: str) -> None:
    task = make_task()
    task.model.requires_grad_(False)
    with pytest.raises(NotApplicable, match=r"frozen.*\.$"):
        run(name, task)


@pytest.mark.parametrize("name", TRAINING)
def test_a_run_that_diverges_says_so(name: str) -> None:
    task = small_task()
    with torch.no_grad():
        task.model[2].weight.fill_(1e308)  # type: ignore[index,operator]
    with pytest.raises(Diverged, match="diverged"):
        run(name, task, epochs=3)


@pytest.mark.parametrize(("name", "given", "kept"), [
    ("bad_teacher", {}, False), ("scrub", {}, False), ("salun", {}, False), ("fisher_forgetting", {}, True),
    ("boundary_shrink", {}, True), ("boundary_shrink", {"statistics": "updated"}, False),
])  # fmt: skip
def test_running_statistics(name: str, given: dict[str, Value], kept: bool) -> None:
    outcome = run(name, blobs_task(), **SETTINGS[name] | given)
    assert set(outcome.buffers) == (set() if kept else {"norm.running_mean", "norm.running_var",
                                                        "norm.num_batches_tracked"})


# --- bad teacher ----------------------------------------------------------------------------------


def test_divergence_is_that_of_the_teacher_from_the_student() -> None:
    teacher, student = torch.tensor([[1.0, 2.0, 3.0]]).double(), torch.tensor([[3.0, 1.0, 1.0]]).double()
    for temperature in (1.0, 4.0):
        p, q = (torch.softmax(logits / temperature, 1) for logits in (teacher, student))
        assert divergence(teacher, student, temperature).item() == near((p * (p / q).log()).sum().item())
    assert divergence(teacher, teacher, 2.0).item() == near(0.0)


def test_the_teachers_are_a_fresh_network_and_the_original() -> None:
    task = make_task()
    trace = run("bad_teacher", task, lr=1e-5, retain_share=1.0, batch_size=256).trace
    forget, retain = task.split
    student = copy.deepcopy(task.model).train()
    ignorant = models.fresh(task.model, task.generator("bad teacher", "fresh network")).eval()
    with torch.no_grad():
        order = torch.randperm(60, generator=task.generator("bad teacher", "order"))
        shuffled = retain[torch.randperm(len(retain), generator=task.generator("bad teacher", "retained images"))]
        batch = torch.cat([forget, shuffled])[order]  # batch norms see the same rows in the same order
        answers, mine = student(task.train.pixels(batch)), torch.isin(batch, forget)
        x = task.train.pixels(batch)
        for name, teacher, part in (("forget", ignorant, mine), ("retained", task.model, ~mine)):
            expected = divergence(teacher(x[part]), answers[part], 1.0).mean().item()
            assert trace[f"final_divergence_{name}"] == pytest.approx(expected, rel=1e-4), name


def test_the_official_average_is_the_default_over_the_number_of_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    first: list[float] = []
    whole = loop.descend

    def spy(*args: object) -> tuple[float, ...]:
        losses = whole(*args)  # type: ignore[arg-type]
        first.append(losses[0])
        return losses

    monkeypatch.setattr(loop, "descend", spy)
    for reduction in ("batchmean", "mean"):
        run("bad_teacher", blobs_task(), reduction=reduction)
    assert first[0] > 0 and first[1] == pytest.approx(first[0] / 3, rel=1e-5)


def test_bad_teacher_takes_a_share_of_the_retained_images() -> None:
    task = blobs_task()
    traces = [run("bad_teacher", task, retain_share=share).trace for share in (0.01, 0.3, 1.0)]
    assert [trace["retain_images"] for trace in traces] == [1, 36, 120]
    assert traces[1]["steps"] == 1 and traces[1]["forget_images"] == 60


def test_bad_teacher_needs_weights_that_can_be_drawn_anew() -> None:
    class Scaled(nn.Linear):
        def __init__(self) -> None:
            super().__init__(3, 3)
            self.inner = nn.ParameterList([nn.Parameter(torch.ones(3))])

    task = replace(small_task(), model=Scaled().double())
    with pytest.raises(NotApplicable, match=r"ignorant teacher cannot be made: inner\.0 .*\.$"):
        run("bad_teacher", task)


# --- SCRUB ----------------------------------------------------------------------------------------


def test_scrub_takes_the_steps_of_the_paper() -> None:
    """Each set in one batch, steps done by hand; the first max-step stands where the gradient vanishes."""
    task = small_task()
    given: dict[str, Value] = {"lr": 0.01, "epochs": 3, "max_epochs": 2, "batch_size": 16, "forget_batch_size": 16,
                               "kl_weight": 0.3, "ce_weight": 0.6, "temperature": 2.0, "weight_decay": 0.01}
    forget, retain = task.split
    student = copy.deepcopy(task.model)
    momentum = {p: torch.zeros_like(p) for p in student.parameters()}
    for images, kind in ((forget, "max"), (retain, "min"), (forget, "max"), (retain, "min"), (retain, "min")):
        x, y = task.train.pixels(images), task.train.labels[images]
        target, log_p = torch.softmax(task.model(x).detach() / 2, 1), torch.log_softmax(student(x) / 2, 1)
        distance = 4 * F.kl_div(log_p, target, reduction="batchmean")
        loss = -distance if kind == "max" else 0.3 * distance + 0.6 * F.cross_entropy(student(x), y)
        gradients = torch.autograd.grad(loss, list(student.parameters()))
        with torch.no_grad():
            for p, g in zip(student.parameters(), gradients, strict=True):
                momentum[p] = 0.9 * momentum[p] + g + 0.01 * p
                p -= 0.01 * momentum[p]
    outcome = run("scrub", task, **given)
    for name, p in student.named_parameters():
        assert torch.allclose(outcome.parameters[name], p, rtol=0, atol=1e-9), name
    assert outcome.trace["max_steps"] == 2 and outcome.trace["min_steps"] == 3


@pytest.mark.parametrize(("epochs", "max_epochs", "steps"), [(3, 2, (2, 3)), (1, 5, (1, 1)), (2, 0, (0, 2))])
def test_scrub_alternates(epochs: int, max_epochs: int, steps: tuple[int, int]) -> None:
    outcome = run("scrub", small_task(), epochs=epochs, max_epochs=max_epochs, batch_size=16)
    assert (outcome.trace["max_steps"], outcome.trace["min_steps"]) == steps
    (curves,) = outcome.exhibits
    assert isinstance(curves, Curves)
    xs = sorted(x for x, _ in curves.series.values() for x in x)
    assert xs == list(range(1, sum(steps) + 1))
    if max_epochs:
        assert curves.series["distance from the original"][0][0] == 1  # the max-step comes first
        assert curves.series["distance from the original"][1][0] == near(0.0)  # and starts at the original


# --- SalUn ----------------------------------------------------------------------------------------


def test_the_salient_weights_have_the_largest_gradients() -> None:
    gradient = {"a": torch.tensor([[0.1, -3.0], [2.0, 0.0]]), "b": torch.tensor([-0.5, 1.0])}
    masks = salient(gradient, 0.5)
    assert masks["a"].tolist() == [[False, True], [True, False]] and masks["b"].tolist() == [False, True]
    assert [int(sum(m.sum() for m in salient(gradient, s).values())) for s in (0, 0.2, 1)] == [0, 1, 6]
    tied = salient({"a": torch.ones(5000)}, 0.4)["a"]
    assert tied[:2000].all() and not tied[2000:].any()


def test_the_gradient_is_that_of_the_forget_loss_at_the_original() -> None:
    task = small_task()
    forget, _ = task.split
    loss = F.cross_entropy(task.model(task.train.pixels(forget)), task.train.labels[forget])
    expected = torch.autograd.grad(loss, list(task.model.parameters()))
    found = loop.mean_gradient(task.model, task, forget, silent)
    for one, other in zip(found.values(), expected, strict=True):
        assert torch.allclose(one, other, rtol=0, atol=1e-12)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 1.0])
def test_only_salient_weights_move(share: float) -> None:
    task = blobs_task()
    outcome = run("salun", task, **SETTINGS["salun"] | {"salient_share": share})
    masks = salient(loop.mean_gradient(copy.deepcopy(task.model), task, task.split[0], silent), share)
    moved = movement(task, outcome) != 0
    allowed = torch.cat([mask.flatten() for mask in masks.values()])
    assert not (moved & ~allowed).any()
    assert moved.sum() >= 0.7 * allowed.sum()
    assert outcome.trace["salient"] == allowed.sum() == round(share * len(allowed))
    assert bool(outcome.warnings) == (share == 0)
    bars = outcome.exhibits[0]
    assert isinstance(bars, LayerBars) and bars.layers == tuple(masks)
    assert sum(bars.values) == allowed.sum() and sum(bars.totals) == len(allowed)


def test_salun_learns_labels_that_are_neither_true_nor_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    task = small_task(Request((0, 2)))
    given: list[Tensor] = []
    whole = loop.wrong_labels

    def spy(*args: object) -> Tensor:
        given.append(whole(*args))  # type: ignore[arg-type]
        return given[-1]

    monkeypatch.setattr(loop, "wrong_labels", spy)
    run("salun", task)
    assert given[0].tolist() == [1] * 8
    run("salun", task, relabel="any")
    assert len(given) == 1


# --- Fisher forgetting ----------------------------------------------------------------------------


def expected_fisher(model: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """The definition: for each image and each label, the squared gradient weighted by the label's probability."""
    found = {name: torch.zeros_like(p) for name, p in model.named_parameters()}
    for image in x:
        logits = model(image[None])[0]
        for k, chance in enumerate(logits.detach().softmax(0)):
            gradients = torch.autograd.grad(logits.log_softmax(0)[k], list(model.parameters()), retain_graph=True)
            for name, g in zip(found, gradients, strict=True):
                found[name] += chance * g.square() / len(x)
    return found


@pytest.mark.parametrize("make", [small_task, lambda: make_task("small-vit")], ids=["fixture", "transformer"])
def test_the_information_is_the_expectation_over_the_network_s_labels(make: Callable[[], Task]) -> None:
    task = make()
    positions = task.split[1][:6]
    expected = expected_fisher(task.model, task.train.pixels(positions))
    found = fisher(task, positions, silent)
    for name, values in expected.items():
        assert torch.allclose(found[name], values, rtol=1e-3, atol=1e-9 * float(values.max())), name


def test_the_information_works_for_weights_without_a_rule() -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.tensor([0.5, 2.0, 1.0]))
            self.head = nn.Linear(3, 3)

        def forward(self, x: Tensor) -> Tensor:
            logits: Tensor = self.head(torch.tanh(x * self.scale))
            return logits

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        task = replace(small_task(), model=Odd().double())
    expected = expected_fisher(task.model, task.train.pixels(task.split[1]))
    found = fisher(task, task.split[1], silent)
    assert all(torch.allclose(found[n], v, rtol=1e-9) for n, v in expected.items())


def test_the_variance_has_the_limits_of_the_released_code() -> None:
    information = {"conv": torch.tensor([[[[1.0]], [[0.0]]]]), "norm": torch.tensor([0.5, 1e-9]),
                   "head": torch.tensor([[4.0, 0.0]]), "head.bias": torch.tensor([0.01])}
    kinds = {"conv": "convolution", "norm": "norm", "head": "head", "head.bias": "head"}
    found = {name: v.flatten().tolist() for name, v in noise_variance(information, kinds, 0.1, False).items()}
    assert found["conv"] == pytest.approx([0.1, 100])  # at most 1000
    assert found["norm"] == pytest.approx([2, 1000])  # ten times as much
    assert found["head"] == pytest.approx([0.25, 100])  # at most 100, then ten times as much
    assert found["head.bias"] == pytest.approx([100])
    shared = noise_variance(information, kinds, 0.1, True)
    assert shared["conv"].flatten().tolist() == pytest.approx([50.05, 50.05]) and shared["norm"].shape == (2,)
    assert shared["head"].tolist() == [pytest.approx([50.125, 50.125])]


def test_the_noise_has_that_variance() -> None:
    task = make_task()
    outcome = run("fisher_forgetting", task, noise_scale=1e-4, forgotten_rows="keep", retain_images="all")
    variances = noise_variance(fisher(task, task.split[1], silent), anatomy.parameter_kinds(task.model), 1e-4, True)
    for name, before in task.model.named_parameters():
        if before.numel() > 500:
            unit = (outcome.parameters[name] - before.detach()) / variances[name].sqrt()
            assert unit.std().item() == pytest.approx(1, abs=0.1) and abs(unit.mean().item()) < 0.1, name
    bars = outcome.exhibits[0]
    assert isinstance(bars, LayerBars) and all(0 < share <= 1 for share in bars.values)


def test_forgotten_rows_become_small_noise() -> None:
    task = make_task(classes=(1, 3))
    given: dict[str, Value] = {"noise_scale": 1e-9, "retain_images": 10}
    outcome = run("fisher_forgetting", task, **given)
    weight, before = outcome.parameters["head.weight"], task.model.head.weight
    assert weight[[1, 3]].std().item() == pytest.approx(0.01, rel=0.2) and outcome.trace["rows_reset"] == 2
    assert outcome.parameters["head.bias"][[1, 3]].abs().max() < 0.04
    assert torch.allclose(weight[[0, 2]], before[[0, 2]], atol=0.01)
    kept = run("fisher_forgetting", task, **given, forgotten_rows="keep")
    assert torch.allclose(kept.parameters["head.weight"], before, atol=0.01)
    single = run("fisher_forgetting", replace(task, request=forget_images((5, 9), 60)), **given)
    assert torch.allclose(single.parameters["head.weight"], before, atol=0.01) and single.trace["rows_reset"] == 0


# --- boundary shrink ------------------------------------------------------------------------------


def test_the_push_goes_up_the_loss_in_the_scale_of_pixels() -> None:
    model, x, y = fixture_t()
    mean, std = Points.mean, Points.std
    inside = x.clamp(-0.5, 0.5)  # far enough from black and white
    moved = pushed(model, inside, y, 0.05, mean, std)
    step = (moved - inside) * torch.tensor(std)
    assert torch.allclose(step.abs(), torch.full_like(step, 0.05), atol=1e-9)
    points = inside.clone().requires_grad_()
    F.cross_entropy(model(points), y).backward()  # type: ignore[no-untyped-call]
    assert torch.equal(step.sign(), points.grad.sign())  # type: ignore[union-attr]
    far = pushed(model, inside, y, 5.0, mean, std) * torch.tensor(std) + torch.tensor(mean)
    assert torch.allclose(far * (far - 1), torch.zeros_like(far), atol=1e-6)  # black or white


def test_no_push_leaves_predictions_as_they_are() -> None:
    """With epsilon 0 the official labels are the original's predictions, here all true."""
    task = blobs_task()
    task.train.x.clamp_(-1, 2)  # type: ignore[attr-defined]
    outcome = run("boundary_shrink", task, epsilon=0.0, neighbour="predicted")
    assert outcome.trace["kept_label_share"] == 1 and outcome.trace["crossed_share"] == 0
    assert outcome.warnings == ("The push left 100% of the forget images in their class: they are trained to stay "
                                "there.",)
    corrected = run("boundary_shrink", task, epsilon=0.0)
    assert corrected.trace["kept_label_share"] == 0 and not corrected.warnings


@pytest.mark.parametrize(("wanted", "forbidden"), [
    (Request((0,)), {0}), (Request((0, 1)), {0, 1}), (forget_images((0, 1, 4), 12), set[int]()),
])  # fmt: skip
def test_forget_images_join_the_likeliest_class_that_may_stay(wanted: Request, forbidden: set[int]) -> None:
    """At a learning rate that makes one step visible, the step is the gradient towards those labels."""
    task = small_task(wanted)
    forget = task.split[0]
    labels = task.train.labels[forget]
    moved = pushed(task.model, task.train.pixels(forget), labels, 0.1, Points.mean, Points.std)
    expected = torch.tensor([max(set(range(3)) - forbidden - {own}, key=row.__getitem__)
                             for own, row in zip(labels.tolist(), task.model(moved).tolist(), strict=True)])
    loss = F.cross_entropy(task.model(task.train.pixels(forget)), expected)
    gradients = torch.autograd.grad(loss, list(task.model.parameters()))
    outcome = run("boundary_shrink", task, lr=0.1, epochs=1)
    assert torch.allclose(movement(task, outcome), -0.1 * torch.cat([g.flatten() for g in gradients]), atol=1e-9)


def test_boundary_shrink_shows_the_pushed_images() -> None:
    task = make_task()
    pictures = run("boundary_shrink", task).exhibits[1]
    assert isinstance(pictures, Pictures) and pictures.images.shape == (8, 1, 28, 28) and len(pictures.names) == 8
    assert set(pictures.names) <= {"a", "c", "d"}


# --- what is shared -------------------------------------------------------------------------------


def test_the_lesson_is_what_the_teacher_says() -> None:
    task = make_task()
    positions = torch.tensor([5, 3, 8])
    calls: list[float] = []
    with torch.no_grad():
        expected = task.model(task.train.pixels(positions))
    assert torch.equal(lesson(task.model, task, positions, lambda share, note: calls.append(share)), expected)
    assert calls == [1]


@pytest.mark.parametrize("name", ALL)
def test_words(name: str) -> None:
    method = METHODS[name]
    assert method.family == "baseline" and method.presets and "official" in method.presets
    assert method.obstacle(small_task(), method.settings()) == ""
    for knob in method.hyperparameters:
        assert knob.meaning.endswith("."), knob.name
    for exhibit in run(name, blobs_task(), **SETTINGS[name]).exhibits:
        assert exhibit.caption.endswith(".") and exhibit.title
