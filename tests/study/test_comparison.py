"""Every method on one request: rows, references, what cannot run, and the shipped files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from unlearn_core import assets
from unlearn_core.audit.measures import MEASURES, output_measures
from unlearn_core.audit.weights import relative_change
from unlearn_core.bundle.make_people import TEN
from unlearn_core.measure.task import Task
from unlearn_core.methods import METHODS
from unlearn_core.methods.base import Outcome, Settings
from unlearn_core.nets.request import IMAGE, POISONED, Request
from unlearn_core.progress import Cancelled, Progress, silent
from unlearn_core.serving.choice import choice
from unlearn_core.serving.engine import Engine
from unlearn_core.serving.picking import pick
from unlearn_core.study import comparison
from unlearn_core.study.comparison import STORED, Comparison, compare
from unlearn_core.subjects.subject import bundled

FEW = ("ssd", "amnesiac", "retrain", "head_zeroing", "fisher_forgetting")


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine()


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only some methods, one of which diverges."""
    def diverging(task: Task, settings: Settings, progress: Progress) -> Outcome:
        outcome = METHODS["head_zeroing"].work(task, METHODS["head_zeroing"].settings(), progress)
        return replace(outcome, parameters={n: p * torch.nan for n, p in outcome.parameters.items()})

    kept = {name: METHODS[name] for name in FEW}
    kept["fisher_forgetting"] = replace(kept["fisher_forgetting"], work=diverging)
    monkeypatch.setattr(comparison, "METHODS", kept)
    monkeypatch.setattr("unlearn_core.methods.METHODS", kept)


def test_rows_are_what_the_engine_settles(engine: Engine, few: None) -> None:
    shares: list[float] = []
    found = compare(engine, "small-vit", Request((5,)), 2, lambda share, note: shares.append(share),
                    retrain_seconds=60.0)
    assert shares == sorted(shares) and shares[-1] == 1.0
    assert list(found.entries) == ["original", *FEW] and not found.precomputed
    chosen = choice("small-vit", Request((5,)), "ssd", {})
    scene = engine.scene(chosen).result()
    settled = engine.settle(scene, chosen).result()
    row = found.entries["ssd"]
    assert row.values("forget_train")[0] == settled.gauges["forget"].value
    assert row.values("retain_test")[0] == settled.gauges["retain"].value
    assert row.values("membership")[0] == settled.gauges["membership"].value
    assert (row.accuracy[0] == settled.accuracy).all()
    np.testing.assert_allclose(row.change, settled.change, rtol=1e-5)  # importances measured, here shipped
    assert (row.predicted == settled.predicted).all() and len(row.measures) == 1, "no randomness, one run"
    retrain = found.entries["retrain"]
    assert retrain.values("seconds") == pytest.approx([60.0] * 3) and (retrain.values("forget_train") == 0).all()
    assert retrain.values("distance").max() < row.values("distance")[0] < np.sqrt(2)
    original = found.entries["original"]
    assert original.values("forget_train")[0] == scene.original["forget"].value and not original.change.any()


def test_what_cannot_run_keeps_its_row_and_says_why(engine: Engine, few: None) -> None:
    found = compare(engine, "small-vit", Request((5,)), 1, silent, retrain_seconds=60.0)
    assert "history" in found.entries["amnesiac"].obstacle and not len(found.entries["amnesiac"].measures)
    assert "diverged" in found.entries["fisher_forgetting"].obstacle


def test_a_comparison_can_be_cancelled(engine: Engine, few: None) -> None:
    def cancel(share: float, note: str) -> None:
        if share > 0.3:
            raise Cancelled

    with pytest.raises(Cancelled):
        compare(engine, "small-vit", Request((5,)), 1, cancel, retrain_seconds=60.0)


def test_a_method_that_is_newer_than_the_shipped_comparison_is_run_alone_and_kept_for_everybody(
        engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    shipped = comparison.at_hand(engine, "small-vit", Request((5,)), 2)
    assert shipped is not None and shipped.missing == () and shipped is comparison.load("small-vit", Request((5,)))
    ran: list[str] = []

    def work(task: Task, settings: Settings, progress: Progress) -> Outcome:
        ran.append("fake")
        return METHODS["head_zeroing"].work(task, settings, progress)

    monkeypatch.setitem(METHODS, "fake", replace(METHODS["head_zeroing"], name="fake", title="Fake", work=work))
    assert shipped.missing == ("fake",) and comparison.at_hand(engine, "small-vit", Request((5,)), 2) is shipped
    found = comparison.submit_missing(engine, shipped, 2).result()
    assert ran == ["fake"] and found.missing == () and found.precomputed
    assert list(found.entries) == [*shipped.entries, "fake"]
    assert np.allclose(found.entries["fake"].accuracy, found.entries["head_zeroing"].accuracy)
    assert comparison.at_hand(engine, "small-vit", Request((5,)), 2) is found


def test_a_saved_comparison_comes_back(engine: Engine, few: None, tmp_path: Path,
                                       monkeypatch: pytest.MonkeyPatch) -> None:
    found = compare(engine, "small-vit", Request((5,)), 1, silent, retrain_seconds=60.0)
    folder = tmp_path / "comparisons"
    folder.mkdir()
    comparison.save(found, folder / "small-vit-5.npz")
    data = assets.manifest().data
    monkeypatch.setattr(assets, "ROOT", tmp_path)
    comparison.load.cache_clear()
    assets.write_manifest(data, {"comparisons/small-vit-5.npz": "a comparison"})
    try:
        again = comparison.load("small-vit", Request((5,)))
        assert again is not None and again.precomputed and comparison.load("small-vit", Request((4,))) is None
        for name, entry in found.entries.items():
            other = again.entries[name]
            assert (other.obstacle, other.warnings, dict(other.settings)) == (entry.obstacle, entry.warnings,
                                                                              dict(entry.settings))
            for field in STORED:
                assert np.allclose(getattr(other, field), getattr(entry, field), equal_nan=True)
    finally:
        for kept in (assets.manifest, comparison.load):
            kept.cache_clear()


@pytest.mark.parametrize(("network", "requests"), [
    *((network, [Request((label,)) for label in range(10)]) for network in bundled("fashion-mnist")),
    ("people-poisoned", [Request((0,), POISONED)]), ("people-resnet", [TEN, Request((0,), "person")])])
def test_the_shipped_comparisons_are_those_of_the_present_methods(network: str, requests: list[Request]) -> None:
    for request in requests:
        found = comparison.load(network, request)
        assert isinstance(found, Comparison)
        assert set(found.entries) == {"original", *METHODS} and not found.missing
        for name, entry in found.entries.items():
            if name == "original":
                continue
            method = METHODS[name]
            assert dict(entry.settings) == method.settings(), f"{name}: remake the comparisons (make assets)"
            assert bool(entry.obstacle) == (len(entry.measures) == 0)
            if not entry.obstacle:
                unknown = ["forget_test"] if request.kind == IMAGE else []  # a single image has no unseen ones
                assert entry.measures.shape[1] == len(MEASURES)
                assert [name for name in MEASURES if not np.isfinite(entry.values(name)).all()] == unknown
                assert len(entry.measures) > 1 or not method.seeded
                if (name, request.kind) != ("retrain", IMAGE):  # of single images the table of verdicts has none
                    assert entry.verdict and entry.level


def test_the_ten_images_are_those_that_the_app_picks(engine: Engine) -> None:
    assert pick(engine.base("people-resnet"), "at random", 10) == TEN
    logits = engine.retrained_logits("people-resnet", TEN)
    assert logits is not None and len(logits) == len(engine.retrained("people-resnet", TEN)) == 8


def test_distance_is_zero_for_the_reference_and_two_roots_for_opposites() -> None:
    sure, other = np.eye(2, dtype=np.float32)[[0] * 8], np.eye(2, dtype=np.float32)[[1] * 8]
    labels, member = np.array([0, 0, 1, 1] * 2), np.repeat([True, False], 4)
    measured = [output_measures(p, labels, member, labels == 0, sure[None])["distance"] for p in (sure, other)]
    assert measured == pytest.approx([0.0, np.sqrt(2)])
    assert np.isnan(output_measures(sure, labels, member, labels == 0, sure[None][:0])["distance"])


def test_relative_change_is_a_ratio_of_norms() -> None:
    before = [("a", torch.tensor([3.0, 4.0])), ("b", torch.zeros(2)), ("c", torch.zeros(1))]
    after = {"a": torch.tensor([3.0, 4.5]), "b": torch.zeros(2), "c": torch.ones(1)}
    assert relative_change(before, after) == pytest.approx([0.1, 0.0, 1.0])
