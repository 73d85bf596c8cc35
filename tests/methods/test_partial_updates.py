"""Tests of the layer-wise partial updates: exact masks, and both methods against naive loops written here."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from decimal import ROUND_CEILING, Decimal
from itertools import pairwise
from typing import cast

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from tests.toys import Vectors, fixture_t, make_task
from unlearn_core.exhibits import Curves, LayerMap
from unlearn_core.measure.pruning import share_size
from unlearn_core.measure.task import Task
from unlearn_core.methods import METHODS
from unlearn_core.methods.base import Diverged, NotApplicable, Outcome, Value
from unlearn_core.methods.masks import SLICES, mask
from unlearn_core.nets.images import ImageSet
from unlearn_core.nets.request import Request, forget_classes, forget_images
from unlearn_core.progress import Cancelled, Progress, silent

BOTH = pytest.mark.parametrize("name", ["partial_label_flip", "partial_optimisation"])
RULES = pytest.mark.parametrize("rule", ["sequential", "random", "largest"])


def run(name: str, task: Task, progress: Progress = silent, **given: Value) -> Outcome:
    return METHODS[name].run(task, METHODS[name].settings(given), progress)


def fixture_task(request: Request | None = None) -> Task:
    model, x, y = fixture_t()
    return Task(model, cast(ImageSet, Vectors(x, y)), request or Request((0,)))


def clouds(classes: int = 3, per_class: int = 60) -> tuple[Task, Tensor, Tensor]:
    """A trained perceptron on well separated clouds of points, to forget class 0."""
    generator = torch.Generator().manual_seed(3)
    y = torch.arange(classes * per_class) % classes
    angle = 2 * math.pi * y / classes
    x = 3 * torch.stack([angle.cos(), angle.sin()], 1) + 0.5 * torch.randn(len(y), 2, generator=generator)
    with torch.random.fork_rng():
        torch.manual_seed(3)
        model = nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, classes))
    optimiser = torch.optim.Adam(model.parameters(), 0.02)
    while not bool((model(x).argmax(1) == y).all()):
        optimiser.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimiser.step()
    return Task(model, cast(ImageSet, Vectors(x, y)), Request((0,))), x, y


def same(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    return list(one) == list(other) and all(torch.equal(one[name], other[name]) for name in one)


def before(task: Task) -> dict[str, Tensor]:
    return dict(task.model.named_parameters())


def accuracy(task: Task, outcome: Outcome, x: Tensor, y: Tensor, chosen: Tensor) -> float:
    logits = torch.func.functional_call(task.model, outcome.weights, (x[chosen],))
    return float((logits.argmax(1) == y[chosen]).double().mean())


# --- masks ----------------------------------------------------------------------------------------

SHARES = st.one_of(st.integers(0, 1000).map(lambda i: i / 1000), st.floats(0, 1))


@given(SHARES, st.integers(0, 10**7))
def test_a_mask_has_the_ceiling_of_its_share(share: float, entries: int) -> None:
    exact = (Decimal(str(share)) * entries).to_integral_value(ROUND_CEILING)
    assert share_size(share, entries) == exact
    assert 0 <= share_size(share, entries) <= entries
    assert (share_size(share, entries) == 0) == (share == 0 or entries == 0)


def test_a_mask_is_not_one_too_large_by_rounding() -> None:
    pairs = [(i, n) for i in range(101) for n in range(1, 301)]
    assert any(math.ceil(i / 100 * n) != -(-i * n // 100) for i, n in pairs)  # plain floating point, as in 0.07 * 100
    assert all(share_size(i / 100, n) == -(-i * n // 100) for i, n in pairs)


@RULES
@settings(max_examples=50)
@given(st.data())
def test_masks_have_their_size(rule: str, data: st.DataObject) -> None:
    shape = data.draw(st.lists(st.integers(1, 6), min_size=1, max_size=4))
    size = data.draw(st.integers(0, math.prod(shape)))
    gradient = torch.randn(shape, generator=torch.Generator().manual_seed(data.draw(st.integers(0, 99))))
    chosen = mask(rule, size, gradient, data.draw(st.integers(0, 10**6)), torch.Generator())
    assert chosen.shape == gradient.shape and chosen.dtype == torch.bool and int(chosen.sum()) == size


@given(st.integers(1, 200), st.integers(1, 200))
def test_the_window_covers_a_layer_as_soon_as_it_can(entries: int, size: int) -> None:
    size, layer = min(size, entries), torch.zeros(entries)
    rounds = [mask("sequential", size, layer, step, torch.Generator()) for step in range(-(-entries // size))]
    seen = torch.stack(rounds).sum(0)
    assert int(seen.min()) == 1 and int(seen.max()) <= 2
    assert all(not (one & other).any() for one, other in pairwise(rounds[:-1]))


def test_the_window_moves_on_and_wraps_around() -> None:
    rows = [mask("sequential", 3, torch.zeros(7), step, torch.Generator()).nonzero().flatten().tolist()
            for step in range(4)]
    assert rows == [[0, 1, 2], [3, 4, 5], [0, 1, 6], [2, 3, 4]]


def test_random_masks_are_fresh_and_even() -> None:
    generator = torch.Generator().manual_seed(0)
    drawn = torch.stack([mask("random", 5, torch.zeros(4, 5), step, generator) for step in range(2000)])
    assert len(drawn.flatten(1).unique(dim=0)) > 1500
    assert drawn.float().mean(0).sub(0.25).abs().max() < 0.04


@settings(max_examples=40)
@given(st.lists(st.integers(-3, 3), min_size=1, max_size=40), st.data())
def test_the_largest_gradients_are_taken_and_the_first_of_equal_ones(values: list[int], data: st.DataObject) -> None:
    size = data.draw(st.integers(0, len(values)))
    chosen = mask("largest", size, torch.tensor(values, dtype=torch.float32), 0, torch.Generator())
    expected = sorted(range(len(values)), key=lambda i: (-abs(values[i]), i))[:size]
    assert chosen.nonzero().flatten().tolist() == sorted(expected)


def test_ties_are_settled_by_position_in_long_layers() -> None:
    chosen = mask("largest", 1000, torch.ones(100, 50), 0, torch.Generator())
    assert bool(chosen.flatten()[:1000].all())


# --- share 1 is the naive form, share 0 nothing -----------------------------------------------------


def naive(task: Task, batches: list[Tensor], loss: object, lr: float) -> dict[str, Tensor]:
    """Plain gradient descent by hand: theta <- theta - lr * g."""
    weights = {name: value.detach().clone().requires_grad_() for name, value in task.model.named_parameters()}
    fixed = dict(task.model.named_buffers())
    for batch in batches:
        logits = torch.func.functional_call(task.model, {**weights, **fixed}, (task.train.pixels(batch),))
        gradients = torch.autograd.grad(loss(logits, batch), list(weights.values()))  # type: ignore[operator]
        with torch.no_grad():
            for value, gradient in zip(weights.values(), gradients, strict=True):
                value.add_(gradient, alpha=-lr)
    return {name: value.detach() for name, value in weights.items()}


def shuffled(positions: Tensor, size: int, generator: torch.Generator) -> list[Tensor]:
    order = positions[torch.randperm(len(positions), generator=generator)]
    return [order[i:i + size] for i in range(0, len(order), size)]


def wrong_of(task: Task, name: str = "partial_label_flip") -> Tensor:
    """The labels a run trained on, for all training images."""
    seen = task.train.labels.clone()
    original = F.cross_entropy

    def spy(logits: Tensor, targets: Tensor, **options: str) -> Tensor:
        labels.append(targets)
        return original(logits, targets, **options)

    labels: list[Tensor] = []
    taken: list[Tensor] = []
    pixels = task.train.pixels

    class Watched:
        def __len__(self) -> int:
            return len(task.train)

        def __getattr__(self, attribute: str) -> object:
            return getattr(task.train, attribute)

        def pixels(self, index: Tensor) -> Tensor:
            taken.append(index)
            return pixels(index)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(F, "cross_entropy", spy)
        run(name, replace(task, train=cast(ImageSet, Watched())))
    for index, targets in zip(taken, labels, strict=True):
        seen[index] = targets
    for index, targets in zip(taken, labels, strict=True):  # drawn once: every epoch saw the same
        assert torch.equal(seen[index], targets)
    return seen


TASKS = pytest.mark.parametrize(("make", "rule"), [
    (fixture_task, "sequential"), (fixture_task, "random"), (make_task, "largest"),
    (lambda: make_task("small-vit"), "random")], ids=["fixture T", "fixture T random", "resnet", "vit"])


@TASKS
def test_label_flip_with_share_one_is_the_naive_form(make: object, rule: str) -> None:
    task = make()  # type: ignore[operator]
    forget, _ = task.split
    targets = wrong_of(task)
    order = task.generator("partial updates", "order")
    batches = [batch for _ in range(2) for batch in shuffled(forget, 16, order)]
    expected = naive(task, batches, lambda logits, batch: F.cross_entropy(logits, targets[batch]), 0.01)
    outcome = run("partial_label_flip", task, body_share=1.0, head_share=1.0, rule=rule, lr=0.01, epochs=2,
                  batch_size=16, retain_images=0)
    assert same(outcome.parameters, expected) and not same(expected, before(task))


@TASKS
@pytest.mark.parametrize("weight", [2.5, 0.0])
def test_optimisation_with_share_one_is_the_naive_form(make: object, rule: str, weight: float) -> None:
    task = make()  # type: ignore[operator]
    labels, (forget, retain) = task.train.labels, task.split
    order = task.generator("partial updates", "order")
    outcome = run("partial_optimisation", task, body_share=1.0, head_share=1.0, rule=rule, lr=0.01, epochs=2,
                  batch_size=16, retain_images=1000, retain_weight=weight, loss_limit=1000.0)
    # All retained images are used: only their order before shuffling is the method's affair.
    if weight:
        kept = retain[torch.randperm(len(retain), generator=task.generator("retained images"))]
        kept = torch.cat([kept[labels[kept] == label] for label in labels[retain].unique()])
    else:
        kept = retain[:0]
    groups = []
    for _ in range(2):
        climbs, descents = shuffled(forget, 16, order), shuffled(kept, 16, order) if weight else [kept]
        groups += [torch.cat([climb, descents[i % len(descents)]]) for i, climb in enumerate(climbs)]

    def loss(logits: Tensor, batch: Tensor) -> Tensor:
        climbing = torch.isin(batch, forget)
        losses = F.cross_entropy(logits, labels[batch], reduction="none")
        return -losses[climbing].mean() + (weight * losses[~climbing].mean() if weight else 0)

    expected = naive(task, groups, loss, 0.01)
    assert same(outcome.parameters, expected) and not same(expected, before(task))


@BOTH
@RULES
def test_share_zero_is_the_identity_and_says_so(name: str, rule: str) -> None:
    task = make_task()
    outcome = run(name, task, body_share=0.0, head_share=0.0, rule=rule)
    assert same(outcome.parameters, before(task)) and outcome.buffers == {}
    (warning,) = outcome.warnings
    assert warning.startswith("No weight was updated") and warning.endswith(".")
    assert outcome.trace["updated_per_step"] == outcome.trace["updated_share"] == 0
    assert (outcome.exhibits[0].values == 0).all()  # type: ignore[union-attr]


# --- what a step changes ----------------------------------------------------------------------------


@BOTH
@RULES
def test_one_step_moves_exactly_the_masked_coordinates(name: str, rule: str) -> None:
    task = fixture_task()
    given: dict[str, Value] = {"epochs": 1, "batch_size": 256, "lr": 0.05, "retain_images": 1000, "loss_limit": 1000.0}
    if name == "partial_label_flip":
        del given["loss_limit"]
    full = run(name, task, **given, body_share=1.0, head_share=1.0).parameters
    outcome = run(name, task, **given, body_share=0.3, head_share=0.6, rule=rule)
    assert outcome.trace["steps"] == 1 and outcome.warnings == ()
    moved = {}
    for key, value in before(task).items():
        changed = outcome.parameters[key] != value
        assert torch.equal(outcome.parameters[key][changed], full[key][changed])
        moved[key] = int(changed.sum())
        if rule == "sequential":
            assert bool(changed.flatten()[:moved[key]].all())
        if rule == "largest":
            steps = (full[key] - value).abs()
            assert steps[changed].min() >= steps[~changed].max()
    assert moved == {"0.weight": 4, "0.bias": 2, "2.weight": 8, "2.bias": 2}  # ceil of .3 * 12, .3 * 4, .6 * 12, .6 * 3
    assert outcome.trace["updated_per_step"] == 16
    assert outcome.trace["updated_share"] == outcome.trace["ever_updated_share"] == pytest.approx(16 / 31)


@BOTH
def test_the_window_reaches_every_coordinate_within_a_run(name: str) -> None:
    given: dict[str, Value] = {"body_share": 0.25, "head_share": 0.25, "batch_size": 256, "lr": 1e-4}
    trace = run(name, fixture_task(), epochs=5, **given).trace
    assert trace["steps"] == 5 and trace["ever_updated_share"] == 1
    trace = run(name, fixture_task(), epochs=3, **given).trace
    assert trace["ever_updated_share"] == pytest.approx((9 + 3 + 9 + 3) / 31)


@BOTH
def test_body_and_head_have_shares_of_their_own(name: str) -> None:
    for architecture in ("small-resnet", "small-vit"):
        task = make_task(architecture)
        head = run(name, task, body_share=0.0, head_share=1.0).parameters
        body = run(name, task, body_share=1.0, head_share=0.0).parameters
        for key, value in before(task).items():
            fixed, learnt = (body, head) if key.startswith("head.") else (head, body)
            assert torch.equal(fixed[key], value), key
            if not key.endswith(("qkv.bias", "conv.bias")):
                assert not torch.equal(learnt[key], value) or value.numel() == 0, key


@BOTH
def test_scope_weights_leaves_biases_and_normalisation_alone(name: str) -> None:
    for architecture in ("small-resnet", "small-vit"):
        task = make_task(architecture)
        after = run(name, task, scope="weights", body_share=1.0, head_share=1.0).parameters
        left_out = {key for key, value in before(task).items() if torch.equal(after[key], value)}
        assert left_out == {key for key, value in before(task).items() if value.dim() == 1}


@BOTH
def test_running_statistics_and_frozen_weights_stay(name: str) -> None:
    task = make_task()
    task.model.stem[0].weight.requires_grad_(False)  # type: ignore[index,union-attr]
    outcome = run(name, task)
    assert outcome.buffers == {}
    assert torch.equal(outcome.parameters["stem.0.weight"], before(task)["stem.0.weight"])
    assert (outcome.exhibits[0].values[0] == 0).all()  # type: ignore[union-attr]


@BOTH
def test_unused_layers_stay_and_count_as_not_updated(name: str) -> None:
    task = fixture_task()
    task.model.register_parameter("spare", nn.Parameter(torch.ones(5, dtype=torch.float64)))
    outcome = run(name, task, body_share=1.0, head_share=1.0)
    assert torch.equal(outcome.parameters["spare"], torch.ones(5, dtype=torch.float64))
    assert outcome.trace["updated_per_step"] == 31


@BOTH
def test_an_entirely_frozen_network_is_refused(name: str) -> None:
    task = make_task()
    task.model.requires_grad_(False)
    with pytest.raises(NotApplicable, match=r"frozen.*\.$"):
        run(name, task)


# --- images and labels ------------------------------------------------------------------------------


@pytest.mark.parametrize(("classes", "allowed"), [((1,), {0, 2, 3}), ((0, 3), {1, 2})])
def test_wrong_labels_are_wrong_and_not_forgotten_classes(classes: tuple[int, ...], allowed: set[int]) -> None:
    task = make_task(classes=classes)
    forget, retain = task.split
    seen = wrong_of(task)
    assert set(seen[forget].tolist()) == allowed
    assert torch.equal(seen[retain], task.train.labels[retain])


def test_wrong_labels_of_single_images_may_be_any_other_class() -> None:
    task = make_task()
    task = replace(task, request=forget_images(range(50), 60))
    seen, labels = wrong_of(task), task.train.labels
    assert bool((seen[:50] != labels[:50]).all()) and bool((seen[50:] == labels[50:]).all())
    pairs = {(int(a), int(b)) for a, b in zip(labels[:50], seen[:50], strict=True)}
    assert len(pairs) == 12  # every class was turned into each of the three others


@BOTH
@pytest.mark.parametrize(("per_class", "used"), [(0, 15), (50, 60)])
def test_retained_images_per_class(name: str, per_class: int, used: int) -> None:
    task = make_task()
    outcome = run(name, task, retain_images=per_class, batch_size=256, epochs=2, lr=1e-3)
    # Beside 15 climbing images there is room for all 45 in one batch.
    assert outcome.trace["images"] == used


def test_without_weight_no_retained_image_is_used() -> None:
    climb = run("partial_optimisation", make_task(), retain_weight=0.0)
    assert climb.trace["images"] == 15
    assert same(climb.parameters, run("partial_optimisation", make_task(), retain_images=0).parameters)


def test_few_retained_images_take_turns() -> None:
    task = make_task(classes=(0, 1, 3))  # 45 images to forget, 15 to keep
    outcome = run("partial_optimisation", task, batch_size=16, epochs=1, lr=1e-4)
    assert outcome.trace["steps"] == 3 and outcome.trace["images"] == 60


# --- the loss limit ---------------------------------------------------------------------------------


def climb_of(outcome: Outcome) -> tuple[float, ...]:
    (curves,) = [e for e in outcome.exhibits if isinstance(e, Curves)]
    return curves.series["forget images"][1]


def test_the_run_stops_before_the_first_step_above_the_limit() -> None:
    task, *_ = clouds()
    given: dict[str, Value] = {"lr": 0.3, "epochs": 20, "batch_size": 16, "retain_weight": 1.0, "body_share": 0.5,
                               "at_limit": "stop"}
    free = climb_of(run("partial_optimisation", task, loss_limit=1000.0, **given))
    outcome = run("partial_optimisation", task, loss_limit=2.0, **given)
    line = climb_of(outcome)
    assert line[-1] > 2 >= max(line[:-1]) and outcome.trace["steps"] == len(line) - 1 < len(free) == 80
    assert line == free[:len(line)]  # the same run, only shorter


def test_a_run_that_starts_above_the_limit_changes_nothing() -> None:
    task = fixture_task(Request((1,)))
    outcome = run("partial_optimisation", task, loss_limit=1.0, batch_size=256, at_limit="stop")
    assert climb_of(outcome)[0] > 1 and outcome.trace["steps"] == outcome.trace["images"] == 0
    assert same(outcome.parameters, before(task)) and "above its limit" in outcome.warnings[0]


def test_images_above_the_limit_pause_and_the_run_goes_on() -> None:
    task = fixture_task()
    with torch.no_grad():
        losses = F.cross_entropy(task.model(task.train.pixels(torch.arange(12))), task.train.labels, reduction="none")
    forget, _ = task.split
    below, limit = forget[losses[forget] < 1.2], 1.2
    assert 0 < len(below) < len(forget)

    def climb(logits: Tensor, batch: Tensor) -> Tensor:
        return -F.cross_entropy(logits, task.train.labels[batch], reduction="sum") / len(forget)

    outcome = run("partial_optimisation", task, at_limit="pause", loss_limit=limit, batch_size=256, epochs=1, lr=0.1,
                  retain_weight=0.0, body_share=1.0, head_share=1.0)
    expected = naive(task, [below], climb, 0.1)
    assert all(torch.allclose(outcome.parameters[n], expected[n], rtol=0, atol=1e-12) for n in expected)
    assert outcome.trace["steps"] == 1


@BOTH
def test_a_loss_that_is_not_finite_is_said_to_have_diverged(name: str) -> None:
    task = fixture_task()
    task.train.pixels(slice(None))[:] = math.nan
    with pytest.raises(Diverged, match=r"became nan \(step 1 of \d+\)"):
        run(name, task)


# --- both methods as methods ------------------------------------------------------------------------


@BOTH
@RULES
def test_forgets_a_separable_class_and_keeps_the_others(name: str, rule: str) -> None:
    task, x, y = clouds()
    forget, retain = task.split
    outcome = run(name, task, rule=rule, lr=0.1 if rule == "largest" else 0.3, epochs=20, batch_size=16)
    assert accuracy(task, outcome, x, y, forget) < 0.1
    assert accuracy(task, outcome, x, y, retain) > 0.9


@BOTH
def test_same_seed_same_bits_other_seed_other_bits(name: str) -> None:
    one, two, other = (run(name, replace(make_task(), seed=seed), rule="random") for seed in (0, 0, 1))
    assert same(one.parameters, two.parameters) and one.trace == two.trace
    assert not same(one.parameters, other.parameters)


@BOTH
def test_all_defaults_say_that_the_paper_does_not_give_them(name: str) -> None:
    method = METHODS[name]
    assert method.family == "partial updates" and "official" not in method.presets
    assert all(knob.source.startswith("not from the paper") for knob in method.hyperparameters)
    assert all(preset.about.endswith(".") for preset in method.presets.values())
    assert all(knob.meaning.endswith(".") for knob in method.hyperparameters)
    assert all(math.isfinite(v) for p in method.presets.values()
               for v in method.run(make_task(), method.settings(p.settings), silent).trace.values())


@BOTH
def test_trace_and_pictures(name: str) -> None:
    task = make_task()
    outcome = run(name, task, batch_size=16, epochs=3, retain_images=50)
    map_, curves = outcome.exhibits
    assert isinstance(map_, LayerMap) and isinstance(curves, Curves)
    sizes = {n: p.numel() for n, p in before(task).items()}
    assert map_.layers == tuple(sizes) and map_.values.shape == (len(sizes), SLICES)
    assert map_.values.dtype == "float32" and map_.values.min() >= 0 and map_.values.max() <= 1
    assert map_.caption.endswith(".") and curves.caption.endswith(".")
    # Slices share entries where a layer has no multiple of 64: only elsewhere their mean is exactly that of the layer.
    for row, (layer, entries) in zip(map_.values, sizes.items(), strict=True):
        if entries % SLICES == 0:
            assert row.mean() == pytest.approx(share_size(0.3, entries) / entries, abs=1e-6), layer
    assert outcome.trace["updated_per_step"] == sum(share_size(0.3, n) for n in sizes.values())
    assert outcome.trace["updated_share"] == outcome.trace["updated_per_step"] / sum(sizes.values())
    assert outcome.trace["updated_share"] <= outcome.trace["ever_updated_share"] <= 1
    assert all(type(v) is float and math.isfinite(v) for v in outcome.trace.values())
    ends = {term: line[-1] for term, (_, line) in curves.series.items()}
    signs = {"forget images": -1, "retained images": 3, "relabelled and retained images": 1}
    assert outcome.trace["final_loss"] == pytest.approx(sum(signs[term] * value for term, value in ends.items()))
    assert all(len(x) == len(line) == outcome.trace["steps"] for x, line in curves.series.values())


@BOTH
def test_progress_counts_the_steps_and_may_cancel(name: str) -> None:
    calls: list[tuple[float, str]] = []
    outcome = run(name, make_task(), lambda share, note: calls.append((share, note)), batch_size=256, epochs=1)
    shares = [share for share, _ in calls]
    assert len(calls) == outcome.trace["steps"] + 2 and shares == sorted(shares)
    assert shares[0] == 0 and shares[-1] == 1 and all(note for _, note in calls)

    def cancel(share: float, note: str) -> None:
        if share:
            raise Cancelled

    with pytest.raises(Cancelled):
        run(name, make_task(), cancel)


@BOTH
@pytest.mark.parametrize(("architecture", "channels", "size"), [("small-resnet", 3, 32), ("small-vit", 1, 28)])
def test_several_classes_and_double_precision(name: str, architecture: str, channels: int, size: int) -> None:
    task = make_task(architecture, channels, size)
    task = replace(task, model=task.model.double(), request=forget_classes([0, 3], 4))
    outcome = run(name, task)
    assert all(value.dtype == torch.float64 and value.isfinite().all() for value in outcome.parameters.values())
