"""From a choice to numbers: exactness, keys, landscapes, and what a warm process looks like."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from tests.conftest import REPOSITORY
from unlearn_core import assets
from unlearn_core.audit.gauges import KINDS
from unlearn_core.measure.estimator import Estimator, Loss
from unlearn_core.measure.task import Measurement, Part, measure
from unlearn_core.methods import METHODS
from unlearn_core.nets import models
from unlearn_core.nets.evaluate import batches, leading, outputs
from unlearn_core.nets.images import ImageSet
from unlearn_core.nets.request import Request
from unlearn_core.progress import Cancelled, silent
from unlearn_core.serving.choice import choice
from unlearn_core.serving.engine import Engine
from unlearn_core.serving.grid import ALPHAS, LAMBDAS, Landscape
from unlearn_core.serving.pool import Lane
from unlearn_core.serving.within import submit_units
from unlearn_core.subjects.fashion import fashion_mnist
from unlearn_core.subjects.parts import Images
from unlearn_core.subjects.subject import Subject, bundled, subject


def test_one_choice_has_one_key_and_every_difference_another() -> None:
    plain = choice("small-resnet", (0,), "ssd", {})
    assert plain.key == choice("small-resnet", (0, 0), "ssd", {"alpha": 4.0}).key
    others = [choice("small-vit", (0,), "ssd", {}), choice("small-resnet", (1,), "ssd", {}),
              choice("small-resnet", (0,), "lfssd", {}), choice("small-resnet", (0,), "ssd", {"alpha": 4.1}),
              choice("small-resnet", (0,), "ssd", {"unit": "batch_mean"})]
    assert len({c.key for c in [plain, *others]}) == 6
    assert plain.scene == choice("small-resnet", (0,), "ssd", {"alpha": 9, "lambda": 2}).scene


@pytest.mark.parametrize("network, forget, method, settings, said", [
    ("resnet", (0,), "ssd", {}, "network"), ("small-resnet", (), "ssd", {}, "at least one class"),
    ("small-resnet", tuple(range(10)), "ssd", {}, "at least one class must be kept"),
    ("small-resnet", (10,), "ssd", {}, r"0\.\.9"), ("small-resnet", (0,), "magic", {}, "method"),
    ("small-resnet", (0,), "ssd", {"alpha": float("nan")}, r"alpha.*\[0.1, 100\].*nan"),
    ("small-resnet", (0,), "ssd", {"beta": 1.0}, "beta"),
])
def test_a_choice_that_means_nothing_is_refused_in_a_sentence(
        network: str, forget: tuple[int, ...], method: str, settings: dict[str, float], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        choice(network, forget, method, settings)  # type: ignore[arg-type]


def test_a_settled_outcome_is_what_the_method_and_a_forward_pass_give(engine: Engine) -> None:
    chosen = choice("small-resnet", (0,), "ssd", {"alpha": 3.0})
    scene = engine.scene(chosen).result()
    settled = engine.settle(scene, chosen).result()
    outcome = METHODS["ssd"].run(scene.task, dict(chosen.settings), lambda share, note: None)
    after = outputs(scene.task.model, subject("small-resnet").evaluation.images.pixels(), outcome.parameters)
    forgotten, member = subject("small-resnet").evaluation.labels == 0, subject("small-resnet").evaluation.member
    right = after.predicted == subject("small-resnet").evaluation.labels
    assert settled.gauges["forget"].value == right[forgotten & member].mean()
    assert settled.gauges["retain"].value == right[~forgotten & ~member].mean()
    assert settled.answers.selected.sum() == outcome.trace["selected"] > 0
    assert (settled.predicted == after.predicted).all()
    assert engine.settle(scene, chosen).result() is settled, "computed once"


@pytest.mark.parametrize("network", bundled("fashion-mnist"))
@pytest.mark.parametrize("loss", ["cross_entropy", "squared_norm"])
def test_shipped_importances_are_what_is_measured_and_add_up(engine: Engine, network: str, loss: Loss) -> None:
    def wanted(part: Part) -> Measurement:
        return Measurement(part, Estimator(loss, "per_sample"), 125, "given")

    model, train, two = subject(network).original(), fashion_mnist("train"), Request((3, 4))
    shipped = {part: subject(network).shipped_importance(two, wanted(part)) for part in get_args(Part)}
    for name, value in measure(model, train, two, wanted("forget"), silent).items():
        # A transformer's key biases have no gradient but rounding's, which is each processor's own.
        torch.testing.assert_close(shipped["forget"][name], value, rtol=1e-4, atol=1e-6 * float(value.max()))
        torch.testing.assert_close(0.2 * shipped["forget"][name] + 0.8 * shipped["retain"][name], shipped["all"][name],
                                   rtol=1e-5, atol=1e-7 * float(value.max()))
    batches = Measurement("all", Estimator(loss, "batch_mean"), 64, "given")
    assert subject(network).shipped_importance(two, batches) is None


def test_another_class_measures_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unlearn_core.serving.engine.measure", lambda *_: pytest.fail("measured"))
    engine = Engine()  # which has measured nothing before either
    for name in ("ssd", "lfssd", "assd"):
        engine.prepare(choice("small-vit", (8,), name, {}), silent)
        engine.prepare(choice("small-vit", (1, 8), name, {"reference": "retain"}), silent)


def test_what_does_not_train_waits_for_nobodys_training(engine: Engine) -> None:
    gate = threading.Event()
    training = engine.pool.submit("training", lambda progress: gate.wait(60), Lane.LONG)
    for name in ("ssd", "head_zeroing"):
        chosen = choice("small-resnet", (7,), name, {})
        engine.settle(engine.scene(chosen).result(), chosen).result()
    assert not training.wait(0)
    gate.set()
    assert training.result()


def test_above_the_ceiling_nothing_changes_and_a_sentence_says_so(engine: Engine) -> None:
    chosen = choice("small-resnet", (0,), "ssd", {"alpha": 10.0})
    scene = engine.scene(chosen).result()
    settled = engine.settle(scene, chosen).result()
    assert scene.ceiling == pytest.approx(10) and settled.answers.selected.sum() == 0
    assert settled.gauges == scene.original
    assert "ceiling" in settled.warnings[0]


def test_the_bundled_landscape_holds_exact_outcomes(engine: Engine) -> None:
    scene = engine.scene(choice("small-resnet", (0,), "ssd", {})).result()
    landscape = engine.landscape(scene)
    assert landscape.complete and len({p[0] for p in landscape.points}) == len(ALPHAS) * len(LAMBDAS)
    for number in (0, 17, 40):
        position, gauges, xy, predicted = landscape.points[number]
        again = engine.point(scene, position)
        # Weights differ in the last bit between processors, so an image on a boundary may flip.
        assert np.abs(again[1] - gauges).max() <= 0.02
        assert np.abs(again[2].astype(int) - xy).mean() < 1
        assert (again[3] == predicted).mean() > 0.995


def test_a_landscape_fills_coarse_to_fine() -> None:
    order = Landscape(None).missing()
    coarse = {i * len(LAMBDAS) + j for i in range(0, 17, 4) for j in range(0, 5, 4)}
    assert set(order[:len(coarse)]) == coarse and sorted(order) == list(range(85))


@pytest.mark.parametrize("network, seeds, shipped", [("small-resnet", 5, 3), ("small-vit", 3, 2)])
def test_the_retrained_reference_is_a_true_retraining(engine: Engine, network: str, seeds: int, shipped: int) -> None:
    original = subject(network).original()
    retrained = subject(network).retrained(Request((3,)))
    logits = subject(network).retrained_logits(Request((3,)))
    assert logits is not None and len(logits) == seeds and len(retrained) == shipped
    fresh = outputs(retrained[0], subject("small-resnet").evaluation.images.pixels())
    assert np.abs(fresh.logits - logits[0]).max() < 1e-3, "the shipped outputs are those of the shipped weights"
    assert not (fresh.predicted == 3).any(), "it was never shown the class"
    for model in retrained:
        for name, value in model.named_parameters():
            assert not value.equal(dict(original.named_parameters())[name]), f"{name} was not retrained"


def test_several_threads_on_one_network_never_disturb_each_other(engine: Engine) -> None:
    base, train = engine.base("small-vit"), fashion_mnist("train")
    few = train.subset(torch.arange(500))
    wanted = Measurement("all", Estimator("cross_entropy", "per_sample"), 125, "given")
    changed = [{name: p.detach() * factor for name, p in base.model.named_parameters()} for factor in (0.5, 1.0, 1.5)]
    work = [partial(outputs, base.model, base.pixels[:500], weights) for weights in changed]
    alone = [job().logits for job in work]
    importance_alone = measure(base.model, few, Request((0,)), wanted, silent)
    with ThreadPoolExecutor(4) as pool:
        importances = [pool.submit(measure, base.model, few, Request((0,)), wanted, silent) for _ in range(2)]
        together = [pool.submit(job) for _ in range(6) for job in work]
        for i, result in enumerate(together):
            assert np.allclose(result.result().logits, alone[i % 3], atol=1e-4)
        for found in importances:
            for name, value in found.result().items():
                assert torch.allclose(value, importance_alone[name], rtol=1e-3, atol=1e-9)


def test_the_bundled_networks_are_as_good_as_promised() -> None:
    test = fashion_mnist("test")
    for network, floor in (("small-resnet", 0.91), ("small-vit", 0.88)):
        predicted = outputs(subject(network).original(), test.pixels()).predicted
        assert (predicted == test.labels.numpy()).mean() >= floor


def test_the_assets_stay_small() -> None:
    files = assets.manifest().files
    people = sum(f.bytes for name, f in files.items() if "/people-" in name)
    assert people < 40e6 and sum(f.bytes for f in files.values()) - people < 110e6


def test_a_warm_process_leaves_the_garbage_collector_little_to_walk_and_never_imports_umap() -> None:
    program = """
import gc, json, sys
from ui.server.warmup import warm_up
warm_up()
gc.collect()
print(json.dumps({"walked": len(gc.get_objects()), "frozen": gc.get_freeze_count(),
                  "loaded": [m for m in ("umap", "numba") if m in sys.modules]}))
"""
    answer = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, check=True, text=True)
    report = json.loads(answer.stdout.splitlines()[-1])
    assert report["frozen"] > 100_000 > 10 * report["walked"] and report["loaded"] == []


def test_gauge_names_are_the_landscapes_columns(engine: Engine) -> None:
    scene = engine.scene(choice("small-resnet", (0,), "ssd", {})).result()
    assert list(scene.original) == list(KINDS) and engine.landscape(scene).points[0][1].shape == (3,)


@pytest.mark.parametrize("network", ["small-resnet", "small-vit"])
def test_modules_before_the_first_change_do_not_run_again(engine: Engine, network: str) -> None:
    base = engine.base(network)
    chain = [name for name in base.leading]
    for name in (chain[0], chain[1], chain[-1], "head"):
        found, parameter = next((n, p) for n, p in base.model.named_parameters() if n.startswith(f"{name}."))
        changed = {found: parameter.detach() * 0.5}
        fresh, recalled = (outputs(base.model, base.pixels, changed, known) for known in (None, base.leading))
        assert np.array_equal(fresh.logits, recalled.logits) and np.array_equal(fresh.features, recalled.features)
        assert not np.array_equal(fresh.logits, base.before.logits)
    spoilt = {name: [torch.zeros_like(part) for part in parts] for name, parts in base.leading.items()}
    assert not np.allclose(outputs(base.model, base.pixels, changed, spoilt).logits, fresh.logits), "they are used"
    assert np.array_equal(outputs(base.model, base.pixels).logits, base.before.logits), "the network is as it was"
    assert leading(base.model, base.pixels[:300], 10**5) == {}, "more than may be kept"


@pytest.mark.parametrize(("size", "most"), [(28, 125), (64, 125), (128, 62), (224, 20), (4096, 1)])
def test_large_images_are_evaluated_few_at_a_time(size: int, most: int) -> None:
    pixels = torch.empty(1, 3, size, size).expand(501, 3, size, size)
    parts = batches(pixels)
    assert len(parts[0]) == most and sum(map(len, parts)) == 501 and len(batches(pixels[:0])) == 1


def test_a_network_of_torchvision_has_scenes_and_units_like_any_other(
        monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    images = ImageSet("noise", torch.randint(0, 256, (60, 3, 32, 32), dtype=torch.uint8), torch.arange(60) % 3,
                      ("a", "b", "c"), (0.5,) * 3, (0.3,) * 3)
    model = models.build("resnet18", channels=3, classes=3, size=32, generator=torch.Generator())
    save_file(model.state_dict(), tmp_path / "model.safetensors")
    own = Subject("own", "Own", "noise", "resnet18", images.classes, None, lambda: "0", lambda kind, end: None,
                  lambda: Images(images, images), lambda: tmp_path / "model.safetensors")
    monkeypatch.setattr("unlearn_core.subjects.subject.subjects", lambda: {"own": own})
    here, chosen = Engine(), choice("own", (1,), "head_zeroing", {})
    scene = here.prepare(chosen, silent)
    assert dict(zip(scene.layers, scene.kinds, strict=True))["fc.weight"] == "head"
    settled = here.compute(scene, chosen, silent)
    assert submit_units(here, scene, settled, "fc.weight").result().names == ("a", "b", "c")


def test_to_evaluate_the_original_is_told_can_be_cancelled_and_keeps_nobody_else_waiting() -> None:
    engine, told = Engine(), list[str]()
    chosen = choice("small-resnet", (0,), "head_zeroing", {})

    def stop(share: float, note: str = "") -> None:
        told.append(note)
        engine.base("small-vit")  # another network is at hand meanwhile
        if "500 of" in note:
            raise Cancelled

    with pytest.raises(Cancelled):
        engine.prepare(chosen, stop)
    assert told == ["the original, 125 of 2,000 images", "the original, 250 of 2,000 images",
                    "the original, 375 of 2,000 images", "the original, 500 of 2,000 images"]
    before = engine.prepare(chosen, silent).seen.before
    assert np.array_equal(before.logits, Engine().base("small-resnet").before.logits)
    told.clear()
    engine.prepare(chosen, lambda share, note: told.append(note))
    assert not any("original" in note for note in told), "once"


def test_outputs_of_the_original_are_computed_once_on_the_same_images(engine: Engine) -> None:
    rows = ("test", np.arange(1000, 1050))
    first = engine.evaluate("small-resnet", {}, rows)
    assert engine.evaluate("small-resnet", {}, rows) is first
    weights = dict(engine.base("small-resnet").model.named_parameters())
    np.testing.assert_array_equal(engine.evaluate("small-resnet", weights, rows).logits, first.logits)
