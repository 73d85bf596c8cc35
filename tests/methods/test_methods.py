"""Tests of unlearn_core.methods: golden values, and the contract that every registered method keeps.

The contract is parametrised over the registry, so a new method is tested the moment its file exists.
"""

from __future__ import annotations

import copy
import hashlib
import math
import re
import threading
import time
from dataclasses import replace
from typing import cast

import numpy as np
import pytest
import torch
from torch import nn

from tests.toys import Vectors, approx, assert_same, fingerprint, golden_task, make_task, run, sum_and_norm
from unlearn_core import methods
from unlearn_core.measure.estimator import Estimator, Importance
from unlearn_core.measure.importance import importance
from unlearn_core.measure.task import Measurement, Part, Task, measure
from unlearn_core.methods import METHODS, assd
from unlearn_core.methods.base import Cost, Diverged, Hyperparameter, Method, NotApplicable, Outcome, Settings, Value
from unlearn_core.methods.selective import ImportancePair, ceiling, measurements
from unlearn_core.nets import models
from unlearn_core.nets.evaluate import outputs
from unlearn_core.nets.images import ImageSet
from unlearn_core.nets.request import Request, forget_classes, forget_images
from unlearn_core.progress import Cancelled, Progress, silent

# --- golden values (docs/methods.md, "SSD on fixture T" and the two sections after it) ------------


def official(name: str, **given: Value) -> Outcome:
    return run(name, golden_task(), **METHODS[name].presets["official"].settings | given)


def test_ssd_official_preset_is_the_official_code() -> None:
    outcome = official("ssd", alpha=1, **{"lambda": 0.5})
    assert outcome.trace["selected"] == 8
    assert outcome.trace["selected_share"] == approx(8 / 31)
    assert sum_and_norm(outcome) == approx([3.730127623890, 3.275505927014])
    assert official("ssd", alpha=0.5, **{"lambda": 1.5}).trace["selected"] == 16
    assert official("ssd", alpha=2).trace["selected"] == 1


@pytest.mark.parametrize(
    ("unit", "order", "counts"),
    [
        ("batch_mean", "class_sorted", [16, 8, 1, 0]),
        ("batch_mean", "given", [22, 19, 15, 12]),
        ("per_sample", "class_sorted", [18, 8, 0, 0]),
        ("per_sample", "given", [18, 8, 0, 0]),
    ],
)
def test_selection_by_unit_and_order(unit: str, order: str, counts: list[int]) -> None:
    outcomes = [run("ssd", golden_task(), alpha=alpha, unit=unit, order=order) for alpha in (0.5, 1, 2, 3)]
    assert [outcome.trace["selected"] for outcome in outcomes] == counts


def test_lfssd_official_preset_is_the_official_code() -> None:
    assert [official("lfssd", alpha=alpha).trace["selected"] for alpha in (0.5, 1, 1.5, 2)] == [31, 17, 4, 0]
    halved, clamped = (official("lfssd", alpha=a, **{"lambda": lam}) for a, lam in ((1, 0.5), (0.5, 1.5)))
    assert sum_and_norm(halved) == approx([4.722481458925, 2.865320371167])
    assert sum_and_norm(clamped) == approx([3.796819580279, 3.487650518452])


def test_lfssd_reads_labels_only_to_find_the_forget_set() -> None:
    task = golden_task()
    labels = task.train.labels
    renamed = Vectors(task.train.pixels(torch.arange(12)), torch.where(labels == 0, 0, 3 - labels))
    other = replace(task, train=cast(ImageSet, renamed))
    one, two = (run("lfssd", t, alpha=1, unit="batch_mean", order="given") for t in (task, other))
    assert all(torch.equal(one.parameters[n], two.parameters[n]) for n in one.parameters)


def test_assd_official_preset_is_the_official_code() -> None:
    assert assd.percentile(4 / 12) == approx(96.46388330043847)
    outcome = official("assd")
    assert outcome.trace["selected"] == 2
    assert math.isinf(outcome.trace["ceiling"])  # ratios to the retain set have none


def test_assd_leaves_out_ratios_that_are_not_finite() -> None:
    def f32(*values: float) -> Importance:
        return {"w": torch.tensor(values)}

    forget, reference = (
        f32(0, 1, 3e30, 1, 2, 3),
        f32(0, 0, 1e-30, 1, 1, 1),
    )  # 0/0, x/0, overflow, three ratios
    alpha = assd.adaptive_alpha(ImportancePair(forget, reference), 0.1)
    assert alpha == pytest.approx(np.percentile([1, 2, 3], assd.percentile(0.1)))
    with pytest.raises(ValueError, match="importance: at least one weight with a finite ratio expected"):
        assd.adaptive_alpha(ImportancePair(f32(0, 1), f32(0, 0)), 0.1)


def test_assd_percentile_falls_with_the_size_of_the_request() -> None:
    shares = np.linspace(0, 1, 50)
    values = [assd.percentile(share) for share in shares]
    assert values[0] == 100 and all(np.diff(values) < 0) and values[-1] > 95


# --- the ceiling ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ssd", "lfssd"])
@pytest.mark.parametrize("alpha", [3.0, 3.5, 100.0])
def test_at_or_above_the_ceiling_nothing_changes_and_a_warning_says_so(name: str, alpha: float) -> None:
    task = golden_task()  # rho = 1/3
    outcome = run(name, task, alpha=alpha)
    (warning,) = outcome.warnings
    assert re.search(
        rf" = {alpha:g} is at or above the ceiling .* = 3: no weight can be selected\.$", warning
    )
    assert outcome.trace["selected"] == 0 and outcome.trace["ceiling"] == approx(3)
    before = dict(task.model.named_parameters())
    assert all(torch.equal(outcome.parameters[n], before[n]) for n in before)


@pytest.mark.parametrize("name", ["ssd", "lfssd"])
@pytest.mark.parametrize("classes", [(1,), (0, 3), (1, 2)])
def test_rounding_selects_nothing_at_the_ceiling(name: str, classes: tuple[int, ...]) -> None:
    """Weights that only the forget set uses lie at the ceiling, and in float32 some of them just above it."""
    def rounded_up(model: nn.Module, train: ImageSet, request: Request, wanted: Measurement,
                   progress: Progress) -> Importance:  # which of them are, differs from one processor to the next
        found = measure(model, train, request, wanted, progress)
        return {n: value * (1 + 2.0**-22) for n, value in found.items()} if wanted.part == "forget" else found

    task = replace(make_task(classes=classes), importances=rounded_up)
    (raw, whole) = (
        task.importance(wanted, silent)
        for wanted in measurements(
            "cross_entropy" if name == "ssd" else "squared_norm", METHODS[name].settings()
        )
    )
    limit = 4 / len(classes)
    assert any((raw[n] / whole[n] > limit).any() for n in raw)  # the case at hand
    outcome = run(name, task, alpha=limit)
    assert outcome.trace["selected"] == 0 and "ceiling" in outcome.warnings[0]
    assert all(torch.equal(outcome.parameters[n], p) for n, p in task.model.named_parameters())
    assert run(name, task, alpha=limit * (1 - 1e-6)).trace["selected"] > 0  # they have not moved far


def test_no_ceiling_where_none_holds() -> None:
    task = golden_task()
    settings = METHODS["ssd"].settings({"alpha": 3})
    assert ceiling(task, settings) == approx(3)
    assert ceiling(task, settings | {"unit": "batch_mean"}) is None
    assert ceiling(task, settings | {"reference": "retain"}) is None
    assert run("ssd", task, alpha=3, unit="batch_mean", order="given").warnings == ()  # selects 12 weights


def test_a_warning_says_when_nothing_was_selected_below_the_ceiling() -> None:
    (warning,) = run("ssd", golden_task(), alpha=2).warnings
    assert re.match(r"No weight has an importance ratio above .* = 2: nothing was changed\.$", warning)


def test_measurements_follow_from_the_settings() -> None:
    settings = METHODS["ssd"].settings(
        {"unit": "batch_mean", "order": "shuffled", "batch_size": 32, "reference": "retain"}
    )
    forget, reference = measurements("cross_entropy", settings)
    assert (forget.part, reference.part) == ("forget", "retain")
    assert replace(forget, part="retain") == reference
    assert (forget.batch_size, forget.order, forget.estimator.unit) == (32, "shuffled", "batch_mean")


# --- the contract ---------------------------------------------------------------------------------

EVERY_METHOD = pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
EVERY_KNOB = pytest.mark.parametrize(
    ("method", "knob"),
    [pytest.param(m, k, id=f"{m.name}-{k.name}") for m in METHODS.values() for k in m.hyperparameters],
)


def quick(method: Method, **given: Value) -> dict[str, Value]:
    """Settings that change the weights in little time: the smallest whole numbers above zero that a knob offers."""
    small = {k.name: min(c for c in k.choices if isinstance(c, int) and c > 0) for k in method.hyperparameters
             if k.scale == "choice" and isinstance(k.default, int) and not isinstance(k.default, bool)
             and k.name != "batch_size"}
    if any(knob.name == "alpha" for knob in method.hyperparameters):
        small["alpha"] = 1.0  # below the ceiling of two forgotten classes out of four
    return method.settings(small | given)


@EVERY_METHOD
@pytest.mark.parametrize(
    ("architecture", "channels", "size", "classes"),
    [
        ("small-resnet", 1, 28, (1,)),
        ("small-resnet", 3, 32, (0, 3)),
        ("small-vit", 1, 28, (0, 2)),
        ("small-vit", 3, 32, (1,)),
    ],
)
def test_works_on_both_networks(
    method: Method, architecture: str, channels: int, size: int, classes: tuple[int, ...]
) -> None:
    task = make_task(architecture, channels, size, classes)
    outcome = method.run(task, quick(method), silent)
    before = dict(task.model.named_parameters())
    assert list(outcome.parameters) == list(before)
    for name, value in outcome.parameters.items():
        assert value.shape == before[name].shape and value.dtype == before[name].dtype, name
        assert value.isfinite().all() and not value.requires_grad, name
        assert value.data_ptr() != before[name].data_ptr(), name
    kept = dict(task.model.named_buffers())
    for name, value in outcome.buffers.items():
        assert value.shape == kept[name].shape and not torch.equal(value, kept[name]), name
    assert outcome.trace and all(isinstance(v, float) for v in outcome.trace.values())
    assert ("ceiling" in outcome.trace) == (method.importance is not None)
    assert all(math.isfinite(v) for k, v in outcome.trace.items() if k != "ceiling")
    assert not math.isnan(outcome.trace.get("ceiling", 0.0))
    for exhibit in outcome.exhibits:
        assert exhibit.title and exhibit.caption.endswith(".")
    exact = outputs(task.model, task.train.pixels(), outcome.weights)
    fresh = models.build(architecture, channels=channels, classes=4, size=size, generator=torch.Generator())
    fresh.load_state_dict(outcome.state_dict(task.model), strict=True)
    assert np.array_equal(outputs(fresh.eval(), task.train.pixels()).logits, exact.logits)
    with torch.autocast("cpu", torch.bfloat16):
        rough = outputs(task.model, task.train.pixels(), outcome.weights)
    assert np.isfinite(rough.logits).all()
    clear = np.sort(exact.logits, 1)
    clear = clear[:, -1] - clear[:, -2] > 0.1 + 0.05 * np.abs(clear).max()
    assert (exact.predicted == rough.predicted)[clear].all()
    assert 0 < outcome.cost.seconds < 60
    assert outcome.cost.stored_bytes >= 0
    assert all(text.strip().endswith(".") for text in outcome.warnings)


def test_weights_under_two_names_change_under_both() -> None:
    model = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False))
    model[1].weight = model[0].weight
    state = Outcome({"0.weight": torch.ones(2, 2)}, {}, (), Cost()).state_dict(model)
    assert list(state) == ["0.weight", "1.weight"] and (state["1.weight"] == 1).all() and (model[1].weight != 1).all()


@EVERY_METHOD
def test_leaves_no_trace_on_the_original(method: Method) -> None:
    task = make_task()
    task.model.head.weight.grad = torch.ones(4, 64)
    task.model.block1.train()  # a mixture of flags
    task.model.stem[0].weight.requires_grad_(False)
    before = copy.deepcopy(fingerprint(task.model))
    outcome = method.run(task, quick(method), silent)
    assert_same(fingerprint(task.model), before)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in task.model.modules())
    assert torch.equal(outcome.parameters["stem.0.weight"], task.model.stem[0].weight)  # frozen


@EVERY_METHOD
def test_same_inputs_give_the_same_bits(method: Method) -> None:
    first = method.run(make_task(), quick(method), silent)
    torch.rand(3)  # another global random state
    second = method.run(make_task(), quick(method), silent)
    assert_same(second.weights, first.weights)
    assert (second.trace, second.warnings) == (first.trace, first.warnings)


@EVERY_METHOD
def test_only_methods_that_say_so_depend_on_the_seed(method: Method) -> None:
    """Repair stages and shuffled orders may be off by default, so a seeded method need not differ; no other may."""
    one, two = (method.run(replace(make_task(), seed=seed), quick(method), silent) for seed in (0, 1))
    if not method.seeded:
        assert_same(two.weights, one.weights)


@EVERY_METHOD
def test_does_something_to_the_weights(method: Method) -> None:
    task = make_task()
    outcome = method.run(task, quick(method), silent)
    assert any(not torch.equal(outcome.parameters[n], p) for n, p in task.model.named_parameters())


@EVERY_METHOD
def test_progress_rises_to_one(method: Method) -> None:
    calls: list[tuple[float, str]] = []
    longer = {"batch_size": 16, "epochs": 3}
    given = {k.name: longer[k.name] for k in method.hyperparameters if longer.get(k.name) in k.choices}
    method.run(make_task(), quick(method, **given), lambda share, note: calls.append((share, note)))
    shares = [share for share, _ in calls]
    assert len(shares) >= 3 and shares == sorted(shares)
    assert 0 <= shares[0] < 0.5 and shares[-1] == 1.0
    assert all(note for _, note in calls)


@EVERY_METHOD
@pytest.mark.parametrize("wanted", [Request(()), Request((0, 1, 2, 3))], ids=["nothing", "everything"])
def test_refuses_to_forget_nothing_or_everything(method: Method, wanted: Request) -> None:
    task = make_task()
    task = replace(task, request=wanted)
    calls: list[float] = []
    with pytest.raises(ValueError, match="at least one image to forget and one to keep"):
        method.run(task, method.settings(), lambda share, note: calls.append(share))
    assert not calls, "said before any work"


@EVERY_METHOD
def test_a_class_without_images_is_forgotten_by_methods_that_need_none(method: Method) -> None:
    task = make_task()
    bare = replace(task, train=task.train.subset(task.split[1]))
    if "forget images" in method.needs:
        with pytest.raises(ValueError, match="at least one image to forget"):
            method.run(bare, quick(method), silent)
    elif not method.obstacle(bare, quick(method)):
        assert method.run(bare, quick(method), silent).parameters


@EVERY_METHOD
def test_a_network_that_is_frozen_entirely_is_refused_in_a_sentence(method: Method) -> None:
    task = make_task()
    task.model.requires_grad_(False)
    with pytest.raises(NotApplicable, match=r"^Every weight of this network is frozen, .*\.$"):
        method.run(task, quick(method), silent)


@EVERY_METHOD
def test_single_images_are_forgotten_or_refused_in_a_sentence(method: Method) -> None:
    task = replace(make_task(), request=forget_images([3, 17, 40], 60))
    reason = method.obstacle(task, quick(method))
    if reason:
        assert reason.endswith(".") and reason[0].isupper()
        with pytest.raises(NotApplicable) as caught:
            method.run(task, quick(method), silent)
        assert str(caught.value) == reason
    else:
        assert method.run(task, quick(method), silent).parameters


@EVERY_METHOD
def test_a_run_that_leaves_the_finite_numbers_says_so(method: Method) -> None:
    def broken(task: Task, settings: Settings, progress: Progress) -> Outcome:
        outcome = method.work(task, settings, progress)
        name = next(iter(outcome.parameters))
        return replace(outcome, parameters=outcome.parameters | {name: outcome.parameters[name] * math.nan})

    with pytest.raises(Diverged, match=r"diverged: .* is no longer finite"):
        replace(method, work=broken).run(make_task(), quick(method), silent)


@EVERY_METHOD
def test_can_be_cancelled(method: Method) -> None:
    calls, reports = 0, list[float]()

    def cancel(share: float, note: str) -> None:
        nonlocal calls
        calls += 1
        if calls == wanted:
            raise Cancelled

    task = make_task()
    method.run(task, quick(method), lambda share, note: reports.append(share))
    wanted, before = len(reports) // 2 + 1, copy.deepcopy(fingerprint(task.model))
    with pytest.raises(Cancelled):
        method.run(task, quick(method), cancel)
    assert calls == wanted
    assert_same(fingerprint(task.model), before)


@EVERY_METHOD
def test_every_preset_runs(method: Method) -> None:
    assert method.presets
    task = make_task()
    for name, preset in method.presets.items():
        settings = method.settings(preset.settings)
        assert settings.items() >= preset.settings.items(), name
        settings = quick(method, **preset.settings)
        assert preset.about.endswith("."), name
        assert method.run(task, settings, silent).parameters, name


@EVERY_METHOD
def test_describes_itself(method: Method) -> None:
    assert methods.method(method.name) is method
    assert method.title and method.paper and method.about.endswith(".")
    names = [knob.name for knob in method.hyperparameters]
    assert len(set(names)) == len(names)


def test_seconds_are_those_of_the_processor_on_this_run_alone() -> None:
    over = threading.Event()

    def others() -> None:
        while not over.is_set():
            hashlib.sha256(bytes(10**6)).digest()

    def work(task: Task, settings: Settings, progress: Progress) -> Outcome:
        time.sleep(0.4)  # as if the processor were taken
        helpers.append(torch.get_num_threads())
        start = time.thread_time()
        while time.thread_time() < start + 0.05:
            torch.rand(100, 100).mm(torch.rand(100, 100))
        return METHODS["head_zeroing"].work(task, METHODS["head_zeroing"].settings(), progress)

    helpers: list[int] = []
    busy = threading.Thread(target=others)
    busy.start()
    torch.set_num_threads(2)
    try:
        cost = replace(METHODS["head_zeroing"], work=work).run(make_task(), {}, silent).cost
    finally:
        over.set()
        busy.join()
    assert 0.05 <= cost.seconds < 0.3 and helpers == [1] and torch.get_num_threads() == 2


@EVERY_METHOD
def test_run_checks_its_settings_and_fills_them_in(method: Method) -> None:
    seen: list[Settings] = []

    def work(task: Task, settings: Settings, progress: Progress) -> Outcome:
        seen.append(settings)
        raise Cancelled

    fake, task = replace(method, work=work), make_task()
    knob = method.hyperparameters[-1]
    with pytest.raises(Cancelled):
        fake.run(task, {knob.name: knob.default}, silent)
    assert seen == [method.settings()]
    for wrong in ({"no_such_knob": 1}, {knob.name: "a lot"}):
        with pytest.raises(ValueError, match="expected, got"):
            fake.run(task, wrong, silent)
    assert len(seen) == 1, "said before any work"


@EVERY_METHOD
def test_refuses_unknown_hyperparameters(method: Method) -> None:
    with pytest.raises(ValueError, match=rf"^{method.name}: hyper-parameters .* expected, got no_such_knob$"):
        method.settings({"no_such_knob": 1})


@EVERY_METHOD
def test_settings_fill_in_the_defaults(method: Method) -> None:
    defaults = {knob.name: knob.default for knob in method.hyperparameters}
    assert method.settings() == method.settings({}) == method.settings(defaults) == defaults


@EVERY_KNOB
def test_knobs_describe_themselves(method: Method, knob: Hyperparameter) -> None:
    assert knob.name and knob.label.strip() and knob.meaning.strip() and knob.source.strip()
    assert knob.checked(knob.default) == knob.default


@EVERY_KNOB
def test_ticks_are_allowed_ascending_and_hold_the_default(method: Method, knob: Hyperparameter) -> None:
    if knob.scale == "choice":
        assert knob.default in knob.choices and len(set(knob.choices)) == len(knob.choices)
        assert all(knob.checked(choice) == choice for choice in knob.choices)
        return
    asked = {float(p.settings[knob.name]) for p in method.presets.values() if knob.name in p.settings}
    ticks = knob.ticks(tuple(asked))
    assert knob.default in ticks and asked <= set(ticks)
    assert list(ticks) == sorted(set(ticks))
    assert (ticks[0], ticks[-1]) == (knob.low, knob.high)
    assert all(knob.checked(tick) == tick for tick in ticks)


@EVERY_KNOB
def test_knobs_refuse_what_they_do_not_allow(method: Method, knob: Hyperparameter) -> None:
    wrong: tuple[object, ...] = (
        math.nan,
        math.inf,
        -math.inf,
        -1,
        1e30,
        10**400,
        "a lot",
        "",
        None,
        True,
        [1],
        {},
    )
    for value in wrong:
        with pytest.raises(ValueError) as caught:
            method.settings({knob.name: value})  # type: ignore[dict-item]
        message = str(caught.value)
        assert message.startswith(f"{knob.name}: ") and message.endswith(f" expected, got {value!r}")
        if knob.scale == "choice":
            assert all(str(choice) in message for choice in knob.choices)
        else:
            assert f"[{knob.low:g}, {knob.high:g}]" in message


@EVERY_KNOB
def test_bounds_belong_to_the_range(method: Method, knob: Hyperparameter) -> None:
    if knob.scale == "choice":
        return
    assert knob.checked(knob.low) == knob.low and knob.checked(knob.high) == knob.high
    for outside in (math.nextafter(knob.low, -math.inf), math.nextafter(knob.high, math.inf)):
        with pytest.raises(ValueError, match=knob.name):
            knob.checked(outside)


def test_unknown_methods_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^method: one of .*ssd.* expected, got 'magic'$"):
        methods.method("magic")


def test_every_method_of_the_papers_is_found() -> None:
    assert {"ssd", "lfssd", "assd", "unsir", "amnesiac", "partial_amnesiac", "partial_label_flip",
            "partial_optimisation", "pgu"} <= set(METHODS)
    assert {"retrain", "fine_tune", "neggrad", "neggrad_plus", "random_labels", "bad_teacher", "scrub", "salun",
            "fisher_forgetting", "boundary_shrink", "head_zeroing"} <= set(METHODS)


@pytest.mark.parametrize(("name", "positions", "total", "sentence"), [
    ("one too many", [60], 60, "images: numbers in 0..59 expected, got 60"),
    ("none", [], 60, "images: at least one image must be forgotten, got none"),
    ("all", range(60), 60, "images: at least one image must be kept, got all 60"),
])
def test_impossible_requests_for_single_images_are_refused(name: str, positions: list[int], total: int,
                                                           sentence: str) -> None:
    with pytest.raises(ValueError) as caught:
        forget_images(positions, total)
    assert str(caught.value) == sentence


# --- the task -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("part", "order"),
    [("all", [1, 2, 0]), ("retain", [1, 2]), ("forget", [0])],
    ids=["all", "retain", "forget"],
)
def test_class_sorted_batches_end_with_the_forgotten_class(part: Part, order: list[int]) -> None:
    """Batches of five cut across the classes, so that their order shows."""
    task = golden_task()
    positions = torch.cat([torch.nonzero(task.train.labels == label).flatten() for label in order])
    batches = [(task.train.pixels(i), task.train.labels[i]) for i in positions.split(5)]
    estimator = Estimator("cross_entropy", "batch_mean")
    expected = importance(task.model, batches, estimator)
    wanted = Measurement(part, estimator, 5, "class_sorted")
    assert_same(measure(task.model, task.train, task.request, wanted, silent), expected)


def test_forget_share_is_exact() -> None:
    task = make_task(classes=(0, 3))
    assert task.forget_share == 0.5
    uneven = replace(task, train=replace(task.train, labels=torch.arange(60) // 18))  # 18 of 0, 6 of 3
    assert uneven.forget_share == 0.4


@pytest.mark.parametrize(
    ("classes", "sentence"),
    [
        ((4,), "classes: numbers in 0..3 expected, got 4"),
        ((-1,), "classes: numbers in 0..3 expected, got -1"),
        ((), "classes: at least one class must be forgotten, got none"),
        ((3, 2, 1, 0), "classes: at least one class must be kept, got all 4"),
    ],
)
def test_impossible_requests_are_refused(classes: tuple[int, ...], sentence: str) -> None:
    with pytest.raises(ValueError) as caught:
        forget_classes(classes, 4)
    assert str(caught.value) == sentence


def test_requests_are_sorted_and_split_the_data() -> None:
    request = forget_classes((3, 1, 3), 4)
    assert request.classes == (1, 3)
    train = replace(make_task().train.subset(torch.arange(5)), labels=torch.tensor([0, 1, 2, 3, 1]))
    forget, retain = request.split(train)
    assert forget.tolist() == [1, 3, 4] and retain.tolist() == [0, 2]


def test_no_hyper_parameter_shares_its_name_with_another_part_of_the_address() -> None:
    from ui.state import FIELDS, VIEWS

    taken = {"v", *FIELDS, *VIEWS}
    assert not taken & {knob.name for found in METHODS.values() for knob in found.hyperparameters}
