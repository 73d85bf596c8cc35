"""Tests of the six baselines and of what the methods that train share (`methods.loop`)."""

from __future__ import annotations

import copy
import math
import re
import threading
from dataclasses import replace
from typing import cast

import pytest
import torch
from torch import Tensor, nn

from tests.toys import ONE_EPOCH, assert_same, fingerprint, generator, learnt, make_task
from unlearn_core.exhibits import Curves, LayerBars
from unlearn_core.measure.task import Task
from unlearn_core.methods import METHODS
from unlearn_core.methods.base import Diverged, NotApplicable, Outcome, Value
from unlearn_core.methods.loop import descend, some_retained, training_norms, wrong_labels
from unlearn_core.methods.training import batches
from unlearn_core.nets import models
from unlearn_core.nets.request import forget_classes, forget_images
from unlearn_core.nets.train import Recipe, fit, train
from unlearn_core.progress import Cancelled, silent

ALL = ("retrain", "fine_tune", "neggrad", "neggrad_plus", "random_labels", "head_zeroing")
TRAINED = ("fine_tune", "neggrad", "neggrad_plus", "random_labels")
RECIPE = Recipe("sgd", epochs=2, batch_size=10, peak_lr=0.05, weight_decay=1e-3, shift=1)
QUICK: dict[str, dict[str, Value]] = {"retrain": {"epochs": 1}}
EVERY = pytest.mark.parametrize("name", ALL)
BOTH = pytest.mark.parametrize("architecture", ["small-resnet", "small-vit"])


def run(name: str, task: Task, **given: Value) -> Outcome:
    method = METHODS[name]
    return method.run(task, method.settings({**QUICK.get(name, {}), **given}), silent)


def task_of(architecture: str = "small-resnet", classes: tuple[int, ...] = (1,), **kind: int) -> Task:
    return replace(make_task(architecture, classes=classes, **kind), recipe=RECIPE)


# --- a small problem that can be learnt -------------------------------------------------------------


def with_weights(task: Task, outcome: Outcome) -> nn.Module:
    model = copy.deepcopy(task.model)
    model.load_state_dict(outcome.weights, strict=False)
    return model


def predicted(model: nn.Module, task: Task) -> Tensor:
    with torch.no_grad():
        return cast(Tensor, model(task.train.pixels()).argmax(1))


def accuracies(task: Task, outcome: Outcome | None = None) -> tuple[float, float]:
    """Share of right answers on the forget set and on the retain set."""
    model = with_weights(task, outcome) if outcome else task.model
    right = predicted(model, task) == task.train.labels
    forget, retain = task.split
    return right[forget].float().mean().item(), right[retain].float().mean().item()


SETTINGS: dict[str, dict[str, Value]] = {
    "retrain": {"epochs": 0},
    "fine_tune": {"lr": 0.1, "batch_size": 16, "epochs": 20},
    "neggrad": {"lr": 0.2, "batch_size": 16, "epochs": 8},
    "neggrad_plus": {"lr": 0.02, "batch_size": 16, "epochs": 2, "weight": 0.2},
    "random_labels": {"lr": 0.02, "batch_size": 16, "epochs": 5},
    "head_zeroing": {},
}


@pytest.mark.parametrize("name", SETTINGS)
def test_forgets_the_class_and_keeps_the_rest(name: str) -> None:
    task = learnt()
    before, after = accuracies(task), accuracies(task, run(name, task, **SETTINGS[name]))
    assert before[0] > 0.95 and before[1] > 0.95
    assert after[0] < 0.1 and after[1] > (0.6 if name == "neggrad" else 0.9)


def test_fine_tuning_sees_the_retained_images_only() -> None:
    """Labels and images of the forget set may be anything: the result is the same to the bit."""
    for name in ("fine_tune", "retrain"):
        task = task_of()
        forget, _ = task.split
        images = task.train.images.clone()
        images[forget] = 255 - images[forget]
        other = replace(task, train=replace(task.train, images=images))
        assert_same(run(name, other).parameters, run(name, task).parameters)


def test_neggrad_sees_the_forget_set_only() -> None:
    task = task_of()
    images = task.train.images.clone()
    images[task.split[1]] = 7
    other = replace(task, train=replace(task.train, images=images))
    assert_same(run("neggrad", other).parameters, run("neggrad", task).parameters)


# --- the contract, where the common tests of all methods do not reach -------------------------------


@EVERY
@BOTH
@pytest.mark.parametrize("classes", [(1,), (0, 3)])
def test_gives_all_parameters_and_the_same_bits_again(name: str, architecture: str, classes: tuple[int, ...]) -> None:
    task = task_of(architecture, classes)
    first, again = (run(name, task) for _ in range(2))
    before = dict(task.model.named_parameters())
    assert list(first.parameters) == list(before)
    assert_same(again.parameters, first.parameters)
    assert_same(again.buffers, first.buffers)
    assert again.trace == first.trace and first.trace
    assert all(type(v) is float and math.isfinite(v) for v in first.trace.values())
    assert any(not torch.equal(first.parameters[n], p) for n, p in before.items())
    other = run(name, replace(task, seed=1))
    assert METHODS[name].seeded == any(not torch.equal(other.parameters[n], v) for n, v in first.parameters.items())


@EVERY
def test_leaves_the_original_and_frozen_weights_alone(name: str) -> None:
    task = task_of()
    task.model.block1.train()
    task.model.block2.conv1.weight.requires_grad_(False)
    for value in task.model.parameters():
        value.grad = torch.ones_like(value)  # stale gradients, of the frozen weight too
    before = copy.deepcopy(fingerprint(task.model))
    outcome = run(name, task)
    assert_same(fingerprint(task.model), before)
    assert torch.equal(outcome.parameters["block2.conv1.weight"], task.model.block2.conv1.weight)


@EVERY
def test_progress_rises_to_one_once_per_step(name: str) -> None:
    calls: list[tuple[float, str]] = []
    given = QUICK.get(name, {}) | ({"batch_size": 16, "epochs": 3} if name in TRAINED else {})
    outcome = METHODS[name].run(task_of(), METHODS[name].settings(given), lambda s, n: calls.append((s, n)))
    shares = [share for share, _ in calls]
    assert len(calls) == outcome.trace.get("steps", 3) >= 3 and shares[0] < 0.5
    assert shares == sorted(shares) and shares[-1] == 1.0 and all(note for _, note in calls)


@EVERY
def test_can_be_cancelled(name: str) -> None:
    def cancel(share: float, note: str) -> None:
        raise Cancelled

    task = task_of()
    before = copy.deepcopy(fingerprint(task.model))
    with pytest.raises(Cancelled):
        METHODS[name].run(task, METHODS[name].settings(QUICK.get(name)), cancel)
    assert_same(fingerprint(task.model), before)


@pytest.mark.parametrize("name", [n for n in ALL if n != "head_zeroing"])
def test_single_images_can_be_forgotten(name: str) -> None:
    task = replace(task_of(), request=forget_images([0, 7, 30], 60))
    assert run(name, task).parameters


@pytest.mark.parametrize("name", TRAINED)
def test_works_in_double_precision(name: str) -> None:
    task = learnt()
    task = replace(task, model=copy.deepcopy(task.model).double())
    assert {v.dtype for v in run(name, task).parameters.values()} == {torch.float64}


@pytest.mark.parametrize("name", [n for n in ALL if n != "head_zeroing"])
def test_a_frozen_network_cannot_be_trained(name: str) -> None:
    task = task_of()
    task.model.requires_grad_(False)
    with pytest.raises(NotApplicable, match=r"^Every weight of this network is frozen.*\.$"):
        run(name, task)


@pytest.mark.parametrize("name", TRAINED)
def test_divergence_is_told(name: str) -> None:
    task = task_of()
    with torch.no_grad():
        task.model.head.bias[0] = math.inf
    with pytest.raises(Diverged, match=r"step 1\)\."):
        run(name, task)


@EVERY
def test_sentences_end(name: str) -> None:
    method = METHODS[name]
    assert method.family == "baseline" and method.presets
    told = [p.about for p in method.presets.values()] + [k.meaning for k in method.hyperparameters]
    for text in (method.about, *told):
        assert text.endswith("."), text
    for preset in method.presets.values():
        method.settings(preset.settings)


@pytest.mark.parametrize("name", [n for n in ALL if n != "head_zeroing"])
def test_shows_the_loss_of_every_step(name: str) -> None:
    outcome = run(name, task_of())
    (curves,) = outcome.exhibits
    assert isinstance(curves, Curves)
    for xs, ys in curves.series.values():
        assert len(xs) == len(ys) == outcome.trace["steps"]
        assert xs == tuple(range(1, len(xs) + 1)) and all(y >= 0 for y in ys)  # cross-entropies, not their negatives


# --- retrain ----------------------------------------------------------------------------------------


@BOTH
def test_retraining_is_training_from_a_fresh_network(architecture: str) -> None:
    """The same weights as `train.train`, which builds the network by name (and rounds to half precision)."""
    task = replace(task_of(architecture), recipe=ONE_EPOCH[architecture])
    outcome = run("retrain", task, epochs=0)
    seed = task.generator("retrain").initial_seed()
    expected = train(architecture, task.train.subset(task.split[1]), seed=seed, recipe=task.recipe)
    rounded = {n: v.half().float() if v.is_floating_point() else v for n, v in outcome.weights.items()}
    rounded = {**task.model.state_dict(), **rounded}  # the number of batches may be the same
    for key, value in expected.state_dict().items():
        assert torch.equal(rounded[key], value), key


@BOTH
def test_retraining_keeps_no_tensor_of_the_original(architecture: str) -> None:
    """One published code resets the last layer only; its body has seen the forget set."""
    task = task_of(architecture)
    trained = models.fresh(task.model, generator(5))
    fit(trained, task.train, RECIPE, generator(5))
    task = replace(task, model=trained)
    outcome = run("retrain", task, epochs=1)
    for key, value in trained.named_parameters():
        assert not torch.equal(outcome.parameters[key], value), key
    for key, value in trained.named_buffers():
        assert "num_batches" in key or not torch.equal(outcome.buffers[key], value), key


def test_retraining_does_not_depend_on_the_original_weights() -> None:
    task = task_of()
    other = replace(task, model=models.fresh(task.model, generator(9)).eval())
    assert_same(run("retrain", other).parameters, run("retrain", task).parameters)


def test_retraining_takes_the_epochs_of_the_recipe_or_of_the_knob() -> None:
    task = task_of()  # 45 retained images in batches of 10: four steps an epoch
    assert [run("retrain", task, epochs=n).trace["steps"] for n in (0, 1, 3)] == [8, 4, 12]
    assert METHODS["retrain"].hyperparameters[0].ticks() == tuple(range(97))


def test_retraining_needs_a_recipe_and_weights_that_can_be_drawn() -> None:
    task = task_of()
    with pytest.raises(NotApplicable, match=r"^How the original was trained is not known.*\.$"):
        run("retrain", replace(task, recipe=None))
    task.model.scale = nn.Parameter(torch.ones(1))
    with pytest.raises(NotApplicable, match=r"^The initial values of scale are not known.*\.$"):
        run("retrain", task)


def test_retraining_with_dropout_belongs_to_its_seed() -> None:
    task = learnt()
    task = replace(task, model=nn.Sequential(*task.model[:4], nn.Dropout(0.3), task.model[4]).eval())
    before = torch.get_rng_state()
    first = run("retrain", task)
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(3)
    assert_same(run("retrain", task).parameters, first.parameters)


@BOTH
def test_a_fresh_network_is_a_built_one(architecture: str) -> None:
    built, model = (models.build(architecture, channels=1, classes=4, size=28, generator=generator(s)) for s in (3, 4))
    before, state = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    new = models.fresh(model, generator(3))
    assert_same(dict(new.state_dict()), dict(built.state_dict()))
    assert_same(dict(model.state_dict()), dict(before))
    assert torch.equal(torch.get_rng_state(), state)


def test_fresh_networks_keep_frozen_weights_and_renew_attention() -> None:
    layer = nn.TransformerEncoderLayer(8, 2, 16)  # PyTorch's attention has a reset of its own name
    assert models.cannot_renew(layer) == []
    layer.linear1.weight.requires_grad_(False)
    new = models.fresh(layer, generator())
    for (key, value), before in zip(new.named_parameters(), layer.parameters(), strict=True):
        constant = "norm" in key or key.endswith(("in_proj_bias", "out_proj.bias"))
        assert torch.equal(value, before) == (key == "linear1.weight" or constant), key
    layer.register_parameter("token", nn.Parameter(torch.zeros(8)))
    with pytest.raises(ValueError, match="anew expected, got token"):
        models.fresh(layer, generator())


def test_threads_that_draw_weights_do_not_disturb_each_other() -> None:
    model = models.build("small-vit", channels=1, classes=4, size=28, generator=generator())
    expected = [dict(models.fresh(model, generator(s)).state_dict()) for s in range(4)]
    before = torch.get_rng_state()
    found: dict[int, list[dict[str, Tensor]]] = {}

    def work(seed: int) -> None:
        found[seed] = [dict(models.fresh(model, generator(seed)).state_dict()) for _ in range(5)]

    threads = [threading.Thread(target=work, args=(s,)) for s in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert torch.equal(torch.get_rng_state(), before)
    for seed, states in found.items():
        for state in states:
            assert_same(state, expected[seed])


# --- head zeroing -----------------------------------------------------------------------------------


@pytest.mark.parametrize("classes", [(1,), (0, 3), (0, 1, 2)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_head_zeroing_hides_the_classes_and_never_harms_the_rest(classes: tuple[int, ...], dtype: torch.dtype) -> None:
    task = learnt()
    task = replace(task, model=copy.deepcopy(task.model).to(dtype), request=forget_classes(classes, 5))
    model = with_weights(task, run("head_zeroing", task))
    inputs = task.train.pixels().to(dtype)
    with torch.no_grad():
        before, after = task.model(inputs), model(inputs)
    assert not torch.isin(after.argmax(1), torch.tensor(classes)).any()
    assert (after.softmax(1)[:, list(classes)] == 0).all() and after.isfinite().all()
    others = [c for c in range(5) if c not in classes]
    assert torch.equal(after[:, others], before[:, others])
    retain = task.split[1]
    labels = task.train.labels[retain]
    assert (after[retain].argmax(1) == labels).sum() >= (before[retain].argmax(1) == labels).sum()


def test_head_zeroing_changes_the_head_only() -> None:
    task = task_of(classes=(0, 3))
    outcome = run("head_zeroing", task)
    assert {n for n, p in task.model.named_parameters() if not torch.equal(outcome.parameters[n], p)} == {
        "head.weight", "head.bias"}
    assert outcome.buffers == {} and outcome.trace == {"rows": 2, "changed": 130}
    assert outcome.parameters["head.bias"][[0, 3]].tolist() == [-1e4, -1e4]
    assert outcome.parameters["head.weight"][[0, 3]].abs().sum() == 0
    (bars,) = outcome.exhibits
    assert isinstance(bars, LayerBars)
    assert {n: v for n, v in zip(bars.layers, bars.values, strict=True) if v} == {"head.weight": 128, "head.bias": 2}


def test_head_zeroing_names_its_obstacles() -> None:
    task = task_of()

    def refused(task: Task) -> str:
        with pytest.raises(NotApplicable) as caught:
            run("head_zeroing", task)
        return str(caught.value)

    assert "whole classes and can forget nothing else." in refused(replace(task, request=forget_images([3], 60)))
    assert "no linear layer" in refused(replace(task, model=nn.Sequential(nn.Conv2d(1, 4, 28), nn.Flatten())))
    assert "has no bias" in refused(replace(task, model=nn.Sequential(nn.Flatten(), nn.Linear(784, 4, bias=False))))
    task.model.head.bias.requires_grad_(False)
    assert "is frozen" in refused(task)


# --- random labels, NegGrad+ ------------------------------------------------------------------------


@pytest.mark.parametrize(("forbidden", "left"), [((2,), {0, 1, 3, 4}), ((0, 2), {1, 3, 4}), ((), {0, 1, 3, 4})])
def test_wrong_labels_are_wrong_allowed_and_equally_likely(forbidden: tuple[int, ...], left: set[int]) -> None:
    labels = torch.full((3000,), 2)
    drawn = wrong_labels(labels, forbidden, 5, generator())
    assert drawn.dtype == torch.int64 and set(drawn.tolist()) == left
    counts = torch.bincount(drawn, minlength=5)[sorted(left)]
    assert (counts - 3000 / len(left)).abs().max() < 4 * math.sqrt(3000 / len(left))
    assert torch.equal(wrong_labels(labels, forbidden, 5, generator()), drawn)
    assert not torch.equal(wrong_labels(labels, forbidden, 5, generator(1)), drawn)


def test_wrong_labels_may_run_out() -> None:
    with pytest.raises(ValueError, match="1 of 2 are forbidden"):
        wrong_labels(torch.tensor([0, 1]), (1,), 2, generator())


def test_random_labels_reach_every_allowed_class_and_no_forgotten_one() -> None:
    """Trained for long, the network answers the new labels: it can learn the small forget set by heart."""
    task = replace(learnt(), request=forget_classes([1, 4], 5))
    outcome = run("random_labels", task, lr=0.02, epochs=20, batch_size=16)
    answers = predicted(with_weights(task, outcome), task)[task.split[0]]
    assert set(answers.tolist()) == {0, 2, 3}
    assert outcome.trace["relabelled_images"] == 100


def test_no_wrong_label_with_one_output() -> None:
    task = task_of()
    one_class = replace(task.train, labels=torch.zeros(len(task.train)).long(), classes=("only",))
    with pytest.raises(NotApplicable, match=r"single output.*\.$"):
        run("random_labels", replace(task, model=nn.Sequential(nn.Flatten(), nn.Linear(784, 1)), train=one_class,
                                     request=forget_images([0], 60)))


def test_neggrad_plus_without_weight_hardly_forgets_and_the_weight_decides() -> None:
    task = learnt()
    given: dict[str, Value] = {"lr": 0.01, "batch_size": 16, "epochs": 1}
    ends = [run("neggrad_plus", task, weight=w, **given).trace["final_forget_loss"] for w in (0.001, 0.05, 1.0)]
    assert ends == sorted(ends) and ends[0] < 1 < 1.5 < ends[2]


@pytest.mark.parametrize("name", ["neggrad", "neggrad_plus"])
def test_clipping_bounds_the_way(name: str) -> None:
    """The first step is as long as learning rate times clip, with momentum and without."""
    task = learnt()
    given: dict[str, Value] = {"weight": 1.0} if name == "neggrad_plus" else {}
    outcome = run(name, task, lr=0.1, clip=0.01, batch_size=256, **given)
    ways = [outcome.parameters[n] - p.detach() for n, p in task.model.named_parameters()]
    way = sum(w.square().sum().item() for w in ways) ** 0.5
    assert outcome.trace["steps"] == 1 and way == pytest.approx(0.001, rel=1e-2)


@pytest.mark.parametrize("name", ["fine_tune", "neggrad_plus", "random_labels"])
def test_knob_of_retained_images(name: str) -> None:
    assert run(name, learnt(), retain_images="all").trace["retain_images"] == 200
    one = replace(learnt(), request=forget_images([0], 250))
    assert run(name, one, retain_images=50).trace["retain_images"] == 249


# --- the loop ---------------------------------------------------------------------------------------


def line() -> tuple[nn.Linear, Tensor]:
    model = nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        model.weight.fill_(1.0)
    return model, torch.tensor([1.0, 2.0, 3.0])


def test_descend_is_gradient_descent() -> None:
    model, x = line()
    calls: list[tuple[float, str]] = []
    losses = descend(
        model, torch.optim.SGD(model.parameters(), 0.1), lambda epoch: [torch.tensor([epoch]), torch.tensor([2])],
        lambda i: (model.weight * x[i]).sum() ** 2 / 2, 2, lambda s, n: calls.append((s, n)), "falling")
    w, expected = 1.0, []
    for value in (1.0, 3.0, 2.0, 3.0):
        expected.append((w * value) ** 2 / 2)
        w -= 0.1 * w * value**2
    assert losses == pytest.approx(expected) and model.weight.item() == pytest.approx(w)
    assert calls == [(0.25, "falling, epoch 1 of 2"), (0.5, "falling, epoch 1 of 2"),
                     (0.75, "falling, epoch 2 of 2"), (1.0, "falling, epoch 2 of 2")]


def test_descend_clips_and_steps_its_schedule() -> None:
    model, x = line()
    optimiser = torch.optim.SGD(model.parameters(), 0.1)
    schedule = torch.optim.lr_scheduler.StepLR(optimiser, 1, gamma=0.5)
    descend(model, optimiser, lambda _: [torch.tensor([2])], lambda i: (model.weight * x[i]).sum() ** 2, 2, silent, "x",
            schedule, clip=1.0)
    assert model.weight.item() == pytest.approx(1 - 0.1 - 0.05)


def test_descend_stops_before_a_step_that_is_not_finite() -> None:
    model, _ = line()
    with pytest.raises(Diverged, match=re.escape("became inf (rising, step 2). Lower")):
        descend(model, torch.optim.SGD(model.parameters(), 0.1), lambda _: [torch.tensor([0]), torch.tensor([1])],
                lambda i: model.weight.sum() * (1.0 if int(i) == 0 else math.inf), 1, silent, "rising")
    assert model.weight.item() == pytest.approx(0.9)


def test_no_epochs_change_nothing() -> None:
    model, _ = line()
    calls: list[tuple[float, str]] = []
    assert descend(model, torch.optim.SGD(model.parameters(), 0.1), lambda _: [], lambda i: model.weight.sum(), 0,
                   lambda s, n: calls.append((s, n)), "repair") == ()
    assert model.weight.item() == 1 and calls == [(1.0, "repair, no epochs")]


def test_retained_images_are_drawn_class_by_class() -> None:
    task = task_of()
    _, retain = task.split
    chosen, other = some_retained(task, 5), some_retained(replace(task, seed=1), 5)
    assert torch.isin(chosen, retain).all() and len(chosen.unique()) == len(chosen) == 15
    assert torch.bincount(task.train.labels[chosen]).tolist() == [5, 0, 5, 5]
    assert torch.equal(some_retained(task, 5), chosen) and not torch.equal(other, chosen)
    assert chosen.tolist() != retain[torch.isin(retain, chosen)].tolist()
    assert set(some_retained(task, 1000).tolist()) == set(some_retained(task, "all").tolist()) == set(retain.tolist())


@pytest.mark.parametrize(("n", "sizes"), [(8, [4, 4]), (9, [4, 5]), (10, [4, 4, 2]), (1, [1]), (5, [5])])
def test_no_batch_of_one_image_where_there_is_another(n: int, sizes: list[int]) -> None:
    found = batches(torch.arange(n), 4, generator())
    assert [len(b) for b in found] == sizes
    assert torch.equal(torch.cat(found), torch.cat(batches(torch.arange(n), 4, generator())))


def test_batch_norms_train_and_dropout_does_not() -> None:
    model = training_norms(nn.Sequential(nn.BatchNorm1d(2), nn.Dropout(0.5), nn.LayerNorm(2)).eval())
    assert [m.training for m in model] == [True, False, False]


@pytest.mark.parametrize(("name", "drifts"), [("fine_tune", True), ("random_labels", True), ("neggrad_plus", True),
                                              ("neggrad", False), ("head_zeroing", False)])
def test_running_statistics_follow_the_retained_images(name: str, drifts: bool) -> None:
    assert bool(run(name, task_of()).buffers) == drifts
