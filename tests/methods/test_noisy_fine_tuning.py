"""Tests of noisy fine-tuning: its accounting against other sums, its steps by hand, and what it may remember."""

from __future__ import annotations

import copy
import math
from dataclasses import replace
from typing import cast

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.optimize import minimize
from scipy.stats import norm
from torch import Tensor, nn

from tests.toys import assert_same, image_set, make_task, run
from unlearn_core.audit.promise import Promise, promise_of
from unlearn_core.measure.task import Task
from unlearn_core.methods import METHODS, noisy_fine_tuning
from unlearn_core.methods.base import NotApplicable
from unlearn_core.methods.noisy_fine_tuning import clip, delta_of, mu_of, noise_deviation, uncovered
from unlearn_core.nets.request import forget_classes

# --- the accounting -------------------------------------------------------------------------------


@pytest.mark.parametrize(("mu", "epsilon"), [(0.3, 0.5), (1.0, 1.0), (1.0, 5.0), (3.0, 2.0), (20.0, 300.0)])
def test_delta_is_the_mass_by_which_one_normal_exceeds_the_other(mu: float, epsilon: float) -> None:
    """By integrating max(0, p - e^epsilon q), p and q the densities of N(mu, 1) and N(0, 1)."""
    crossing = epsilon / mu + mu / 2

    def excess(x: float) -> float:
        return float(norm.pdf(x, mu) - np.exp(epsilon + norm.logpdf(x)))

    expected, _ = quad(excess, crossing, crossing + 40, epsabs=0, limit=200)
    assert delta_of(mu, epsilon) == pytest.approx(expected, rel=1e-7)


def test_known_values_of_the_analytic_gaussian_mechanism() -> None:
    """epsilon = 1, delta = 1e-5 needs sigma = 3.730632 per unit of sensitivity (Balle and Wang's own algorithm)."""
    assert 1 / mu_of(1.0, 1e-5) == pytest.approx(3.730632, abs=5e-6)
    assert delta_of(1.0, 0.0) == pytest.approx(2 * norm.cdf(0.5) - 1, abs=1e-12)


@pytest.mark.parametrize("epsilon", [0.1, 1.0, 10.0, 700.0, 10000.0])
@pytest.mark.parametrize("delta", [1e-8, 1e-5, 0.01])
def test_mu_promises_no_more_than_it_holds(epsilon: float, delta: float) -> None:
    mu = mu_of(epsilon, delta)
    assert delta * (1 - 1e-3) < delta_of(mu, epsilon) <= delta


def test_a_single_step_is_the_gaussian_mechanism() -> None:
    """Two starts in a ball are 2 C0 apart, a clipped gradient each adds gamma C1."""
    assert noise_deviation(0.5, start=3.0, steps=1, longest=0.0, pull=0.0) == pytest.approx(2 * 3.0 / 0.5)
    assert noise_deviation(2.0, start=3.0, steps=1, longest=0.25, pull=0.5) == pytest.approx((3.0 + 0.5) / 2)


def test_many_steps_share_the_distance() -> None:
    """Without a pull: (2 C0 + 2 T gamma C1) / sqrt(T); a pull of one leaves what the last gradient can do."""
    assert noise_deviation(1.0, start=2.0, steps=16, longest=0.1, pull=0.0) == pytest.approx((4 + 3.2) / 4)
    assert noise_deviation(1.0, start=2.0, steps=16, longest=0.1, pull=1.0) == pytest.approx(0.2)


@pytest.mark.parametrize(("steps", "pull"), [(1, 0.3), (4, 0.0), (4, 0.3), (7, 0.9), (5, 1.0)])
def test_no_other_way_to_close_the_distance_is_cheaper_and_it_is_never_overshot(steps: int, pull: float) -> None:
    """The bound against a numerical search for shifts a_1 ... a_T that close the distance at the least cost."""
    start, longest, keep = 1.5, 0.2, 1 - pull

    def path(shifts: np.ndarray) -> np.ndarray:
        left = [2 * start]
        for shift in shifts:
            left.append(keep * left[-1] + 2 * longest - shift)
        return np.array(left)

    found = minimize(lambda a: (a**2).sum(), np.full(steps, start), method="SLSQP", tol=1e-14, options={"maxiter": 500},
                     constraints=[{"type": "eq", "fun": lambda a: path(a)[-1]},
                                  {"type": "ineq", "fun": lambda a: path(a)[:-1]}])
    assert found.success
    sigma = noise_deviation(1.0, start=start, steps=steps, longest=longest, pull=pull)
    assert sigma == pytest.approx(math.sqrt((found.x**2).sum()), rel=1e-4)
    powers = keep ** np.arange(steps)
    ours = (2 * start * keep**steps + 2 * longest * powers.sum()) / (powers**2).sum() * powers[::-1]
    assert path(ours)[-1] == pytest.approx(0, abs=1e-12) and (path(ours)[:-1] >= 0).all()


def test_two_runs_are_no_further_apart_than_promised() -> None:
    """A run in one dimension, a hundred thousand times from the two ends: the best attack there is finds no more.

    The gradients always point apart, the worst they can do, so the two laws are normal and the bound is met.
    """
    rng, start, longest, pull, steps = np.random.default_rng(0), 1.0, 0.1, 0.3, 5
    sigma = noise_deviation(1.0, start=start, steps=steps, longest=longest, pull=pull)
    ends = []
    for side in (1.0, -1.0):
        x = np.full(100_000, side * start)
        for _ in range(steps):
            x = (1 - pull) * x + side * longest + sigma * rng.standard_normal(len(x))
        ends.append(x)
    apart = (ends[0].mean() - ends[1].mean()) / ends[0].std()
    assert apart == pytest.approx(1.0, abs=0.02)
    promise = Promise(1.0, delta_of(1.0, 1.0))
    for threshold in (-1.0, 0.0, 1.0, 2.0):
        share = (ends[1] > threshold).mean(), (ends[0] > threshold).mean()
        assert share[1] <= promise.region(np.array([share[0]]))[1, 0] + 0.01


# --- what is run ----------------------------------------------------------------------------------


def test_a_vector_is_shortened_as_a_whole() -> None:
    parts, length = clip([torch.tensor([3.0, 0.0]), torch.tensor([[4.0]])], 2.5)
    assert length == 5 and parts[0].tolist() == [1.5, 0] and parts[1].tolist() == [[2.0]]
    same, _ = clip([torch.tensor([3.0]), torch.tensor([4.0])], 10.0)
    assert [part.item() for part in same] == [3.0, 4.0]
    assert clip([torch.zeros(2)], 1.0)[0][0].tolist() == [0, 0]


def small(seed: int = 0) -> Task:
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 4)).eval()
    return Task(model, image_set(1, 8), forget_classes((1,), 4))


def nothing_after(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(task: Task, model: nn.Module, *rest: object) -> tuple[float, ...]:
        model.eval()
        return (0.0,)

    monkeypatch.setattr(noisy_fine_tuning.loop, "relearn", none)


def flat(values: dict[str, Tensor]) -> Tensor:
    return torch.cat([value.flatten() for value in values.values()])


@pytest.mark.parametrize("centre", ["zero", "fresh"])
def test_a_step_by_hand(centre: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Clip to the ball, a clipped gradient, a pull, noise of the very deviation that the accounting gives."""
    nothing_after(monkeypatch)
    task = small()
    settings = {"epsilon": 2.0, "start": 0.5, "noisy_steps": 1, "noisy_lr": 0.1, "clip": 0.2, "pull": 0.25,
                "centre": centre, "batch_size": 256, "retain_images": "all"}
    outcome = run("noisy_fine_tuning", task, **settings)
    sigma = (2 * 0.5 * 0.75 + 2 * 0.1 * 0.2) / mu_of(2.0, 1e-5)
    assert outcome.trace["noise_deviation"] == pytest.approx(sigma)
    model = copy.deepcopy(task.model)
    middle = [torch.zeros_like(p) for p in model.parameters()] if centre == "zero" else [
        p.detach() for p in noisy_fine_tuning.models.fresh(
            task.model, task.generator("noisy fine-tuning", "centre")).parameters()]
    away = torch.cat([(p - c).detach().flatten() for p, c in zip(model.parameters(), middle, strict=True)])
    assert outcome.trace["distance_to_centre"] == pytest.approx(float(away.norm())) and away.norm() > 0.5
    with torch.no_grad():
        for p, c in zip(model.parameters(), middle, strict=True):
            p.copy_(c + (p - c) * 0.5 / away.norm())
    retain = task.split[1]
    loss = nn.functional.cross_entropy(model.train()(task.train.pixels(retain)), task.train.labels[retain])
    gradients = torch.autograd.grad(loss, list(model.parameters()))
    shrink = min(1.0, 0.2 / float(torch.cat([g.flatten() for g in gradients]).norm()))
    noise = task.generator("noisy fine-tuning", "noise")
    for (name, p), c, g in zip(model.named_parameters(), middle, gradients, strict=True):
        drawn = torch.randn(p.shape, generator=noise, dtype=torch.float64).float()
        expected = p - 0.1 * shrink * g - 0.25 * (p - c) + sigma * drawn
        assert torch.allclose(outcome.parameters[name], expected, atol=1e-6), name


def test_noise_of_every_step_adds_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """After ten steps without gradient or pull the weights have the variance of ten noises."""
    nothing_after(monkeypatch)
    task = make_task()
    outcome = run("noisy_fine_tuning", task, noisy_steps=10, noisy_lr=1e-5, clip=0.01, start=0.001, centre="zero")
    assert float(flat(outcome.parameters).std()) == pytest.approx(
        math.sqrt(10) * outcome.trace["noise_deviation"], rel=0.02)


def test_what_is_left_of_the_original_is_within_the_ball(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the same noise the results of two originals differ by at most 2 C0: of opposite ones by just that."""
    nothing_after(monkeypatch)
    given = {"start": 0.3, "noisy_lr": 1e-5, "clip": 0.01, "centre": "zero", "retain_images": "all"}
    one, two, opposite = small(1), small(2), small(1)
    with torch.no_grad():
        for value in opposite.model.parameters():
            value.neg_()
    first, *others = (flat(run("noisy_fine_tuning", task, **given).parameters) for task in (one, two, opposite))
    apart = [float((first - other).norm()) for other in others]
    assert 0.1 < apart[0] < 0.6 and apart[1] == pytest.approx(0.6, abs=1e-4)


def test_running_statistics_remember_nothing_of_the_original() -> None:
    """They follow from the weights after the noise and from retained images: other ones at the start change nothing."""
    task = small()
    other = replace(task, model=copy.deepcopy(task.model))
    norm_layer = cast(nn.BatchNorm1d, other.model[2])
    norm_layer.running_mean += 100  # type: ignore[operator]
    norm_layer.running_var *= 100  # type: ignore[operator]
    for steps in (1, 5):
        one, two = (run("noisy_fine_tuning", each, noisy_steps=steps, epochs=1) for each in (task, other))
        assert_same(two.parameters, one.parameters)
        assert torch.equal(one.buffers["2.running_mean"], two.buffers["2.running_mean"])
        assert torch.equal(one.buffers["2.running_var"], two.buffers["2.running_var"])


def test_statistics_are_measured_after_the_last_noisy_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of earlier steps hold the original almost as it was, and the promise does not cover them."""
    nothing_after(monkeypatch)
    task = small()
    outcome = run("noisy_fine_tuning", task, noisy_steps=20, start=100.0, epsilon=10000.0, retain_images="all",
                  batch_size=256)
    weights = outcome.parameters
    inside = task.train.pixels(task.split[1]).flatten(1) @ weights["1.weight"].T + weights["1.bias"]
    assert torch.allclose(outcome.buffers["2.running_mean"], inside.mean(0), atol=1e-3)
    assert torch.allclose(outcome.buffers["2.running_var"], inside.var(0), rtol=1e-3)


def test_it_never_looks_at_a_forgotten_image() -> None:
    task = small()
    images = task.train.images.clone()
    images[task.split[0]] = 255 - images[task.split[0]]
    other = replace(task, train=replace(task.train, images=images))
    assert_same(run("noisy_fine_tuning", other).weights, run("noisy_fine_tuning", task).weights)


# --- what is promised -----------------------------------------------------------------------------


def test_the_promise_is_noted_down() -> None:
    outcome = run("noisy_fine_tuning", small(), epsilon=3.0, delta=1e-4)
    assert promise_of(outcome.trace) == Promise(3.0, 1e-4) and outcome.warnings == ()
    assert promise_of(run("fine_tune", small()).trace) is None


def test_nothing_is_promised_where_something_gets_no_noise() -> None:
    task = small()
    task.model[1].bias.requires_grad_(False)
    outcome = run("noisy_fine_tuning", task)
    assert promise_of(outcome.trace) is None and torch.equal(outcome.parameters["1.bias"], task.model[1].bias)
    (warning,) = outcome.warnings
    assert warning.startswith("Nothing is promised: 1.bias and what else is frozen may have been learnt")
    other = small()
    other.model.register_buffer("scale", torch.ones(1))
    assert uncovered(other.model).startswith("Nothing is promised: scale may have been learnt")
    other.model.register_buffer("scale", torch.ones(1, dtype=torch.int64))
    assert uncovered(other.model) == "" == uncovered(make_task("small-vit").model)
    tracked = nn.Sequential(nn.Conv2d(1, 2, 1), nn.InstanceNorm2d(2, affine=True, track_running_stats=True))
    assert uncovered(tracked).startswith("Nothing is promised: 1.running_mean")


class Odd(nn.Module):
    """A weight whose initial values nobody knows."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(4))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale


def test_a_fresh_centre_needs_known_initial_values() -> None:
    task = small()
    task.model.append(Odd())
    with pytest.raises(NotApplicable, match=r"^The initial values of 5.scale are not known: choose zero"):
        run("noisy_fine_tuning", task)
    assert promise_of(METHODS["noisy_fine_tuning"].run(task, {"centre": "zero"}, lambda share, note: None).trace)
