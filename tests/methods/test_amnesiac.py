"""Tests of the recorded histories and of the two methods that subtract them."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import cast

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from tests.toys import Vectors, approx, assert_same, fingerprint, fixture_t, generator, make_task, run, sum_and_norm
from unlearn_core.exhibits import Curves, LayerBars, LayerMap
from unlearn_core.measure.history import ClassHistory, StepHistory
from unlearn_core.measure.pruning import Pruning, largest, prune
from unlearn_core.measure.recording import ClassRecorder, record_training
from unlearn_core.measure.task import Task
from unlearn_core.methods import METHODS
from unlearn_core.methods.base import NotApplicable, Outcome, Value
from unlearn_core.nets.images import ImageSet
from unlearn_core.nets.request import Request
from unlearn_core.progress import Cancelled, silent

BOTH = pytest.mark.parametrize("name", ["amnesiac", "partial_amnesiac"])
FIRST = Request((0,), "image")


def weights(outcome: Outcome) -> Tensor:
    return torch.cat([w.flatten() for w in outcome.parameters.values()])


def golden(request: Request = FIRST) -> tuple[Task, nn.Module]:
    """Fixture T after two recorded epochs of SGD, and what it was before."""
    model, x, y = fixture_t()
    before = copy.deepcopy(model)
    images = cast(ImageSet, Vectors(x, y))
    history = record_training(model, torch.optim.SGD(model.parameters(), 0.1), images,
                              [torch.arange(12).split(4)] * 2)
    return Task(model, images, request, history=history), before


def partial(task: Task, share: float, **given: Value) -> Outcome:
    """Any share, though the knobs offer only those of the bundled history."""
    method = METHODS["partial_amnesiac"]
    plain: dict[str, Value] = {"body_share": share, "head_share": share, "repair_epochs": 0}
    return method.work(task, method.settings() | plain | given, silent)


# --- golden values (docs/methods.md, "Amnesiac on fixture T" and "Partial amnesiac on fixture T") ---


def test_subtraction_of_two_steps() -> None:
    task, before = golden()
    trained = Outcome({n: p.detach() for n, p in task.model.named_parameters()}, {}, (), None)  # type: ignore[arg-type]
    assert sum_and_norm(trained) == approx([3.849714139009941, 3.3344842188878903])
    outcome = run("amnesiac", task, epochs="all", repair_epochs=0)
    assert sum_and_norm(outcome) == approx([3.853345752646728, 3.3880156000505224])
    assert (outcome.trace["records"], outcome.trace["of"], outcome.trace["epochs"]) == (2, 6, 2)
    history = cast(StepHistory, task.history)
    assert [i for i, step in enumerate(history.steps) if 0 in step.positions] == [0, 3]
    for name, value in task.model.named_parameters():
        back = value - sum(step.update[name] for step in history.steps)
        assert torch.allclose(back, before.get_parameter(name), rtol=0, atol=1e-12)


def test_half_of_each_update() -> None:
    outcome = partial(golden()[0], 0.5, repair_epochs=0)
    assert outcome.trace["kept_entries"] == 32
    assert outcome.trace["kept_share"] == approx(16 / 31)


def test_everything_is_amnesiac_and_nothing_is_the_identity() -> None:
    task, _ = golden()
    for repair in (0, 1):
        whole = run("amnesiac", task, epochs="all", repair_epochs=repair)
        for rule in ("keep_top", "drop_top", "random"):
            assert_same(partial(task, 1.0, rule=rule, repair_epochs=repair).parameters, whole.parameters)
    for rule in ("keep_top", "drop_top", "random"):
        nothing = partial(task, 0.0, rule=rule, repair_epochs=0)
        assert_same(nothing.parameters, {n: p.detach() for n, p in task.model.named_parameters()})
        assert nothing.warnings == ("Nothing of the recorded updates was kept, so nothing was subtracted.",)
        assert nothing.cost.stored_bytes == nothing.trace["removed_norm"] == nothing.trace["changed_share"] == 0


def test_storage_is_proportional_to_the_share() -> None:
    """Each kept entry takes six bytes; a layer takes two per entry where that is less, as it does when all are kept."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(20, 10), nn.Linear(10, 10))
    x, y = torch.randn(8, 20, generator=generator()), torch.arange(8) % 4
    images = cast(ImageSet, Vectors(x, y))
    history = record_training(model, torch.optim.SGD(model.parameters(), 0.1), images, [torch.arange(8).split(4)])
    task = Task(model, images, FIRST, history=history)
    sizes = 200 + 10 + 100 + 10
    assert [partial(task, s).cost.stored_bytes for s in (0.1, 0.3)] == [2 * 6 * sizes // 10, 2 * 6 * 3 * sizes // 10]
    assert [partial(task, s).cost.stored_bytes for s in (0.7, 1.0)] == [2 * 2 * sizes] * 2


# --- pruning --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("share", "size", "kept"), [
    (0.1, 30, 3), (0.07, 100, 7), (0.3, 10, 3), (0.5, 5, 3), (0.01, 3, 1), (0.0, 9, 0), (1.0, 9, 9), (1e-9, 9, 1)])
def test_the_number_kept_is_rounded_up_and_not_misled_by_binary_fractions(share: float, size: int, kept: int) -> None:
    assert Pruning(share).entries("w", size) == Pruning(share, "random").entries("w", size) == kept
    assert Pruning(float(f"{1 - share:g}" if share > 1e-6 else 1 - share), "drop_top").entries("w", size) == size - kept


def test_largest_takes_the_first_of_equal_ones() -> None:
    rows = torch.tensor([[1.0, 3, 3, 0, 3], [0, 0, 0, 0, 0]])
    none, two, four = largest(rows, [0, 2, 4])
    assert not none.any()
    assert two.tolist() == [[False, True, True, False, False], [True, True, False, False, False]]
    assert four.tolist() == [[True, True, True, False, True], [True, True, True, True, False]]
    assert largest(rows, [5])[0].all()


@pytest.mark.parametrize("count", [1, 2, 7, 50, 99])
def test_largest_is_what_a_stable_sort_says(count: int) -> None:
    rows = torch.randint(0, 12, (6, 100), generator=generator()).double()
    expected = torch.zeros(6, 100).scatter(1, rows.argsort(dim=1, descending=True, stable=True)[:, :count], 1).bool()
    assert torch.equal(largest(rows, [count, 3])[0], expected)


def test_rules_keep_what_they_say() -> None:
    update = torch.tensor([[-5.0, 1, 4], [2, -3, 0.5]])
    kept = {rule: prune(update, "w", Pruning(0.5, rule), generator())
            for rule in ("keep_top", "drop_top", "random")}  # type: ignore[arg-type]
    assert kept["keep_top"].tolist() == [[-5, 0, 4], [0, -3, 0]]
    assert torch.equal(kept["drop_top"], update - kept["keep_top"])
    assert kept["random"].count_nonzero() == 3
    assert torch.equal(kept["random"], torch.where(kept["random"] != 0, update, 0))


def test_each_layer_can_keep_a_share_of_its_own() -> None:
    task, _ = golden()
    full = run("amnesiac", task, epochs="all", repair_epochs=0)
    outcome = partial(task, 0.0, head_share=1.0)
    for name, value in task.model.named_parameters():
        expected = full.parameters[name] if name.startswith("2.") else value.detach()
        assert torch.equal(outcome.parameters[name], expected), name
    assert outcome.trace["kept_entries"] == 2 * 15


def test_each_record_is_pruned_before_the_sum() -> None:
    task, _ = golden()
    steps = cast(StepHistory, task.history).steps
    outcome = partial(task, 0.3)
    pruned = [prune(steps[i].update["0.weight"], "0.weight", Pruning(0.3), generator()) for i in (0, 3)]
    assert torch.equal(outcome.parameters["0.weight"], task.model.get_parameter("0.weight") - (pruned[0] + pruned[1]))


def test_random_pruning_belongs_to_the_record_not_to_the_request() -> None:
    task, _ = golden()
    history, images = cast(StepHistory, task.history), task.train

    def caused(*positions: int) -> Tensor:
        pruning = Pruning(0.5, "random", epochs=1)
        return history.caused_by(Request(positions, "image"), images, pruning, generator()).update["0.weight"]

    one, other = caused(0), caused(5)
    assert torch.equal(caused(0, 5), one + other)
    assert torch.equal(one, caused(1))  # another image of the same step
    assert not torch.equal(one != 0, other != 0)
    seeds = [partial(replace(task, seed=seed), 0.5, rule="random").parameters["0.weight"] for seed in (0, 0, 1)]
    assert torch.equal(seeds[0], seeds[1]) and not torch.equal(seeds[0], seeds[2])


# --- exact records --------------------------------------------------------------------------------


def test_only_the_last_epochs_are_undone() -> None:
    task, _ = golden()
    last = cast(StepHistory, task.history).steps[3].update
    outcome = run("amnesiac", task, epochs=1, repair_epochs=0)
    assert (outcome.trace["records"], outcome.trace["of"], outcome.trace["epochs"]) == (1, 3, 1)
    for name, value in task.model.named_parameters():
        assert torch.equal(outcome.parameters[name], value - last[name])
    assert not outcome.warnings


def test_a_warning_tells_of_a_short_history() -> None:
    task, _ = golden()
    short = StepHistory(cast(StepHistory, task.history).steps[:3])
    outcome = run("amnesiac", replace(task, history=short), epochs=2, repair_epochs=0)
    assert outcome.warnings == ("The history holds fewer epochs than asked for, 1; all of it was used.",)


def test_whole_classes_can_be_forgotten_from_exact_records() -> None:
    model, x, y = fixture_t()
    images = cast(ImageSet, Vectors(x, y))
    by_class = [torch.nonzero(y == label).flatten() for label in range(3)]
    history = record_training(model, torch.optim.SGD(model.parameters(), 0.1), images, [by_class])
    outcome = run("amnesiac", Task(model, images, Request((1, 2)), history=history), epochs="all", repair_epochs=0)
    assert outcome.trace["records"] == 2


def test_images_that_no_step_saw_cannot_be_forgotten() -> None:
    task, _ = golden()
    unseen = StepHistory(cast(StepHistory, task.history).steps[1:3])
    with pytest.raises(NotApplicable, match=r"^None of the recorded training steps saw an image"):
        run("amnesiac", replace(task, history=unseen))


# --- records by class -----------------------------------------------------------------------------

LR, MOMENTUM = (0.1, 0.3, 0.2, 0.05, 0.2, 0.1), 0.9
# Steps of two epochs; the second and the last batch lack classes, so that only momentum moves them there.
BATCHES = tuple(torch.tensor(b) for b in ([0, 1, 2, 3], [4, 7, 10], [2, 5, 6], [0, 3, 8, 9], [1, 4, 5], [2, 11]))


@cache
def recorded() -> tuple[ClassHistory, list[list[list[Tensor]]], nn.Module, nn.Module]:
    """A history by class; each class's movement by step and parameter; the network before and after."""
    model, x, y = fixture_t()
    before = copy.deepcopy(model)
    optimiser = torch.optim.SGD(model.parameters(), 1.0, momentum=MOMENTUM, nesterov=True)
    recorder = ClassRecorder(model, MOMENTUM, 3, 2, (0.3, 0.5))
    # The reference: an optimiser for each class, given only what the class's images contribute to the gradient.
    alone = [[torch.zeros_like(p) for p in model.parameters()] for _ in range(3)]
    optimisers = [torch.optim.SGD(p, 1.0, momentum=MOMENTUM, nesterov=True) for p in alone]
    movements: list[list[list[Tensor]]] = []
    for i, (batch, lr) in enumerate(zip(BATCHES, LR, strict=True)):
        for one in (optimiser, *optimisers):
            one.param_groups[0]["lr"] = lr
        movements.append([])
        for label in range(3):
            chosen = batch[y[batch] == label]
            loss = F.cross_entropy(model(x[chosen]), y[chosen], reduction="sum") / len(batch)
            gradients = torch.autograd.grad(loss, list(model.parameters()))
            start = [p.clone() for p in alone[label]]
            for p, g in zip(alone[label], gradients, strict=True):
                p.grad = g
            optimisers[label].step()
            movements[-1].append([p - s for p, s in zip(alone[label], start, strict=True)])
        logits = model(x[batch])
        loss = F.cross_entropy(logits, y[batch])
        recorder.step(i // 3, logits, y[batch], lr)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return ClassHistory(recorder.tables()), movements, before, model


def class_task(*forget: int) -> Task:
    history, _, _, model = recorded()
    _, x, y = fixture_t()
    return Task(model, cast(ImageSet, Vectors(x, y)), Request(forget), history=history)


def close(one: Tensor, other: Tensor) -> bool:
    """Equal but for the half precision of the parts they were summed from, which are below 0.5."""
    return torch.allclose(one.double(), other.double(), rtol=1e-3, atol=3e-4)


def assert_moved(outcome: Outcome, expected: Mapping[str, Tensor]) -> None:
    for name, value in recorded()[3].named_parameters():
        assert close(value - outcome.parameters[name], expected[name]), name


def summed(classes: Sequence[int], steps: range, pruning: Pruning | None = None) -> dict[str, Tensor]:
    _, movements, _, model = recorded()
    parts = {}
    for j, (name, value) in enumerate(model.named_parameters()):
        moved = [movements[i][c][j] for i, c in itertools.product(steps, classes)]
        parts[name] = sum((prune(m, name, pruning, generator()) if pruning else m for m in moved),
                          torch.zeros_like(value)).detach()
    return parts


def test_the_parts_of_all_classes_are_the_whole_movement() -> None:
    history, _, before, after = recorded()
    for name, value in after.named_parameters():
        parts = sum(history.tables[f"full/{e}/{c}/{name}"].double() for e, c in itertools.product(range(2), range(3)))
        assert torch.allclose(parts, value - before.get_parameter(name), rtol=0, atol=1e-3)


@pytest.mark.parametrize(("epochs", "steps"), [("all", range(6)), (2, range(6)), (1, range(3, 6))])
@pytest.mark.parametrize("classes", [(0,), (1,), (0, 2)])
def test_amnesiac_subtracts_what_the_class_moved(classes: tuple[int, ...], epochs: Value, steps: range) -> None:
    outcome = run("amnesiac", class_task(*classes), epochs=epochs, repair_epochs=0)
    assert_moved(outcome, summed(classes, steps))
    assert (outcome.trace["records"], outcome.trace["of"]) == (len(steps) * len(classes), len(steps) * 3)
    assert outcome.cost.stored_bytes == len(steps) * 3 * 31 * 2


@pytest.mark.parametrize(("rule", "share"), [("keep_top", 0.3), ("drop_top", 0.7)])
@pytest.mark.parametrize("classes", [(1,), (0, 2)])
def test_partial_subtracts_the_pruned_records(classes: tuple[int, ...], rule: str, share: float) -> None:
    outcome = partial(class_task(*classes), share, rule=rule, repair_epochs=0)
    assert_moved(outcome, summed(classes, range(6), Pruning(share, rule)))  # type: ignore[arg-type]
    kept = (4 + 2 + 4 + 1) if rule == "keep_top" else (8 + 2 + 8 + 2)
    assert outcome.trace["kept_entries"] == 6 * len(classes) * kept


def test_share_one_is_amnesiac_and_zero_the_identity_for_classes_too() -> None:
    task = class_task(1)
    whole = run("amnesiac", task, epochs="all", repair_epochs=0)
    for rule in ("keep_top", "drop_top", "random"):
        outcome = partial(task, 1.0, rule=rule, repair_epochs=0)
        assert_same(outcome.parameters, whole.parameters)
        assert outcome.trace == whole.trace
        nothing = partial(task, 0.0, rule=rule, repair_epochs=0)
        assert_same(nothing.parameters, {n: p.detach() for n, p in task.model.named_parameters()})


def test_the_tables_can_be_shipped(tmp_path: Path) -> None:
    history = recorded()[0]
    save_file(dict(history.tables), tmp_path / "history.safetensors")
    shipped = ClassHistory(load_file(tmp_path / "history.safetensors"))
    assert {v.dtype for k, v in history.tables.items() if k != "steps"} == {torch.float16}
    assert history.tables["steps"].tolist() == [3, 3]
    assert set(k.split("/")[0] for k in history.tables) == {"steps", "full", "top0.3", "top0.5"}
    assert len(history.tables) == 1 + (2 + 2) * 3 * 4
    task = class_task(0)
    for share in (0.3, 1.0):
        assert_same(partial(replace(task, history=shipped), share).parameters, partial(task, share).parameters)


@pytest.mark.parametrize(("wanted", "given", "sentence"), [
    (Request((3,), "image"), {}, "The history of this network was recorded by class, so it can forget nothing but "
                             "whole classes."),
    (Request((0, 7)), {}, "The history of this network holds no record of class 7."),
    (Request((0,)), {"rule": "random"}, "The history of this network was pruned by size only: keep_top and drop_top "
                                         "can be served."),
    (Request((0,)), {"body_share": 0.1}, "The history of this network was pruned (keep_top) to shares of 0, 0.3, 0.5 "
                                          "and 1, but not to 0.1."),
    (Request((0,)), {"rule": "drop_top", "head_share": 0.9}, "The history of this network was pruned (drop_top) to "
                                                              "shares of 0, 0.5, 0.7 and 1, but not to 0.9."),
])
def test_what_a_history_by_class_cannot_serve(wanted: Request, given: dict[str, Value], sentence: str) -> None:
    method = METHODS["partial_amnesiac"]
    task = replace(class_task(0), request=wanted)
    served: dict[str, Value] = {"body_share": 0.3, "head_share": 0.3}
    if given.get("rule") == "drop_top":
        served = {"body_share": 0.7, "head_share": 0.7}
    assert method.obstacle(task, method.settings(served | given)) == sentence
    assert METHODS["amnesiac"].obstacle(class_task(0), METHODS["amnesiac"].settings()) == ""


def test_pruned_sums_cannot_be_had_for_single_epochs() -> None:
    history, images = recorded()[0], class_task(0).train
    assert history.obstacle(Request((0,)), images, Pruning(0.3, epochs=1)) == \
        "The history of this network was pruned for all of its 2 epochs together."
    assert history.obstacle(Request((0,)), images, Pruning(0.3, epochs=2)) == ""
    assert history.obstacle(Request((0,)), images, Pruning(epochs=1)) == ""


def test_the_recorder_leaves_out_frozen_weights_and_leaves_no_gradients() -> None:
    model, x, y = fixture_t()
    model[0].weight.requires_grad_(False)
    recorder = ClassRecorder(model, 0.0, 3, 1, ())
    recorder.step(0, model(x), y, 0.1)
    assert all(p.grad is None for p in model.parameters())
    assert {key.split("/")[-1] for key in recorder.tables()} == {"steps", "0.bias", "2.weight", "2.bias"}


# --- what both methods share ----------------------------------------------------------------------


@cache
def resnet_history(architecture: str = "small-resnet") -> tuple[Task, StepHistory]:
    task = make_task(architecture)
    model = copy.deepcopy(task.model)
    batches = [torch.nonzero(task.train.labels == label).flatten() for label in range(4)]
    history = record_training(model, torch.optim.SGD(model.parameters(), 0.05), task.train, [batches])
    return replace(task, model=model, history=history), history


@BOTH
def test_without_a_history_there_is_an_obstacle(name: str) -> None:
    with pytest.raises(NotApplicable, match=r"^No training history was recorded for this network, and .*\.$"):
        run(name, replace(make_task(), history=None))


@BOTH
@pytest.mark.parametrize("architecture", ["small-resnet", "small-vit"])
@pytest.mark.parametrize("classes", [(1,), (0, 3)])
def test_works_on_both_networks(name: str, architecture: str, classes: tuple[int, ...]) -> None:
    task = replace(resnet_history(architecture)[0], request=Request(classes))
    before = copy.deepcopy(fingerprint(task.model))
    outcome = run(name, task, repair_epochs=1)
    assert_same(fingerprint(task.model), before)
    assert_same(run(name, task, repair_epochs=1).parameters, outcome.parameters)
    assert list(outcome.parameters) == [n for n, _ in task.model.named_parameters()]
    assert all(w.isfinite().all() and not w.requires_grad for w in outcome.weights.values())
    assert outcome.trace["records"] == len(classes)


@BOTH
def test_buffers_change_by_the_repair_alone(name: str) -> None:
    task = resnet_history()[0]
    assert not run(name, task, repair_epochs=0).buffers
    changed = run(name, task, repair_epochs=1).buffers
    assert "stem.1.running_mean" in changed and "stem.1.running_mean" in dict(task.model.named_buffers())


@BOTH
def test_frozen_weights_stay(name: str) -> None:
    task = resnet_history()[0]
    model = copy.deepcopy(task.model)
    model.stem[0].weight.requires_grad_(False)
    outcome = run(name, replace(task, model=model), repair_epochs=1)
    assert torch.equal(outcome.parameters["stem.0.weight"], model.stem[0].weight)
    assert not torch.equal(outcome.parameters["head.weight"], model.head.weight)


@BOTH
@pytest.mark.parametrize("epochs", [0, 2])
def test_progress_rises_and_can_cancel(name: str, epochs: int) -> None:
    calls: list[tuple[float, str]] = []
    run(name, resnet_history()[0], lambda share, note: calls.append((share, note)), repair_epochs=epochs)
    shares = [share for share, _ in calls]
    assert len(calls) >= 3 + epochs - 1 and shares == sorted(shares) and shares[0] < 0.5 and shares[-1] == 1.0
    assert all(note for _, note in calls)

    def cancel(share: float, note: str) -> None:
        if share == shares[-1]:
            raise Cancelled

    with pytest.raises(Cancelled):
        run(name, resnet_history()[0], cancel, repair_epochs=epochs)


def test_the_repair_sees_only_retained_images_and_no_more_than_asked_for() -> None:
    task = resnet_history()[0]
    seen: list[Tensor] = []

    class Watched(Vectors):
        def pixels(self, index: Tensor) -> Tensor:
            seen.append(index)
            return task.train.pixels(index)

    watched = cast(ImageSet, Watched(task.train.images, task.train.labels))
    outcome = run("amnesiac", replace(task, train=watched), repair_epochs=2, retain_images=50, batch_size=16)
    positions = torch.cat(seen)
    assert set(positions.tolist()) == set(torch.nonzero(task.train.labels != 1).flatten().tolist())
    assert len(positions) == 2 * 45 and outcome.trace["repair_steps"] == len(seen) == 6


def test_the_repair_drops_a_last_batch_of_one_image() -> None:
    """A batch norm cannot take the statistics of a single vector."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 3))
    y = torch.arange(50) % 3
    images = cast(ImageSet, Vectors(torch.randn(50, 3, generator=generator()), y))
    history = record_training(model.train(), torch.optim.SGD(model.parameters(), 0.1), images, [[torch.arange(50)]])
    task = Task(model.eval(), images, Request((2,)), history=history)  # 34 images of classes 0 and 1 are kept
    one_left = replace(task, request=Request((0, *torch.nonzero(y == 2).flatten().tolist()), "image"))
    assert len(one_left.split[1]) == 33
    assert run("amnesiac", one_left, repair_epochs=2, batch_size=32).trace["repair_steps"] == 2
    assert run("amnesiac", task, repair_epochs=2, batch_size=32).trace["repair_steps"] == 4


def test_the_repair_lowers_the_loss() -> None:
    outcome = run("amnesiac", resnet_history()[0], epochs="all", repair_epochs=5, repair_lr=0.01)
    (curve,) = [e for e in outcome.exhibits if isinstance(e, Curves)]
    losses = curve.series["repair"][1]
    assert losses[-1] == outcome.trace["repair_loss"] < losses[0] / 2


@BOTH
def test_exhibits_fit_the_network(name: str) -> None:
    task = resnet_history()[0]
    outcome = run(name, task, repair_epochs=0)
    (bars,) = [e for e in outcome.exhibits if isinstance(e, LayerBars)]
    assert bars.layers == tuple(n for n, _ in task.model.named_parameters())
    assert len(bars.values) == len(bars.totals) == len(bars.layers)
    assert all(0 <= value <= total for value, total in zip(bars.values, bars.totals, strict=True))
    moved = torch.tensor(bars.values).norm()
    assert float(moved) == pytest.approx(outcome.trace["removed_norm"], rel=1e-5)
    maps = [e for e in outcome.exhibits if isinstance(e, LayerMap)]
    assert len(maps) == (name == "partial_amnesiac")
    for found in maps:
        assert found.values.shape == (len(bars.layers), 64) and 0 <= found.values.min() <= found.values.max() <= 1


def test_a_class_learnt_last_is_forgotten_and_the_others_are_kept() -> None:
    """Three separable clouds; the steps of class 2 are undone exactly, so that the network never saw it."""
    y = torch.arange(60) % 3
    centres = torch.tensor([[3.0, 0, 0], [0, 3, 0], [0, 0, 3]])
    x = centres[y] + 0.3 * torch.randn(60, 3, generator=generator())
    images = cast(ImageSet, Vectors(x, y))
    model = nn.Sequential(nn.Linear(3, 3, bias=False))
    nn.init.zeros_(model[0].weight)
    batches = [torch.nonzero(y == label).flatten() for label in (0, 1, 0, 1, 2, 2)]
    history = record_training(model, torch.optim.SGD(model.parameters(), 0.5), images, [batches])
    task = Task(model, images, Request((2,)), history=history)
    assert (model(x).argmax(1) == y).all()
    for outcome in (run("amnesiac", task, epochs="all", repair_epochs=0), partial(task, 0.3)):
        right = torch.func.functional_call(model, outcome.parameters, (x,)).argmax(1) == y
        assert right[y != 2].all()
        assert not right[y == 2].all()
    assert outcome.trace["changed_share"] < 1
