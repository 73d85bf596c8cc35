"""The rule by which defaults were chosen, and that the defaults follow it."""

from __future__ import annotations

import gzip
import itertools
from pathlib import Path

import numpy as np
import pytest
import torch

from unlearn_core import assets
from unlearn_core.bundle import make_fashion
from unlearn_core.methods import METHODS, loop
from unlearn_core.nets.request import Request
from unlearn_core.study import tune
from unlearn_core.study.tune import GRIDS, LIMIT_SECONDS, summary
from unlearn_core.subjects.parts import Images
from unlearn_core.subjects.subject import Subject, subject

NAN = float("nan")


@pytest.mark.parametrize("name", GRIDS)
def test_defaults_are_the_best_of_the_settings_that_were_tried(name: str) -> None:
    tried = assets.tuning(name)
    assert {knob for row in tried for knob in row["settings"]} == set(GRIDS[name])
    defaults = METHODS[name].settings()
    (chosen,) = (row for row in tried if all(defaults[knob] == value for knob, value in row["settings"].items()))
    quick = [row["cost"] for row in tried if row["seconds"] <= LIMIT_SECONDS] or [row["cost"] for row in tried]
    assert chosen["cost"] <= min(quick)
    assert [row["cost"] for row in tried] == sorted(row["cost"] for row in tried)


@pytest.mark.parametrize("name", METHODS)
def test_only_knobs_that_were_tuned_say_so(name: str) -> None:
    claims = {knob.name for knob in METHODS[name].hyperparameters if "tuned" in knob.source}
    assert claims <= set(GRIDS.get(name, {}))


def test_the_knobs_of_a_stranger_claim_nothing_of_this_project() -> None:
    theirs = (loop.learning_rate("Far.", 0.1), loop.epochs(1, "Passes."), loop.retain_images(50), loop.clip("Short."),
              loop.batch_size(64))
    assert {knob.source for knob in theirs} == {"chosen by the method's author"}


def test_a_diverged_run_counts_fully_and_one_that_cannot_run_does_not() -> None:
    row = summary({"lr": 1.0}, [("small-resnet", 0.02, -0.01, 3.0), ("small-resnet", 1.0, -1.0, NAN),
                             ("small-vit", NAN, NAN, NAN)])
    assert row == {"settings": {"lr": 1.0}, "cost": pytest.approx((3 + 200) / 2), "worst": 200.0, "seconds": 3.0}
    assert summary({}, [("small-vit", NAN, NAN, NAN)])["cost"] == float("inf")


def test_validation_images_are_those_after_the_training_images(tmp_path: Path,
                                                               monkeypatch: pytest.MonkeyPatch) -> None:
    """Image n of class c is filled with n; 3 of each class are trained on."""
    monkeypatch.setattr(make_fashion, "PER_CLASS", 3)
    monkeypatch.setattr(assets, "ROOT", tmp_path)
    labels = np.tile(np.arange(10, dtype=np.uint8), 103)
    images = np.repeat(np.arange(103, dtype=np.uint8), 10)[:, None, None] * np.ones((1, 28, 28), np.uint8)
    for stem, array in itertools.product(("train", "t10k"), (images, labels)):
        kind = "images-idx3-ubyte" if array.ndim == 3 else "labels-idx1-ubyte"
        header = bytes([0, 0, 8, array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape)
        (tmp_path / f"{stem}-{kind}.gz").write_bytes(gzip.compress(header + array.tobytes()))
    make_fashion.make_data(tmp_path)
    with np.load(tmp_path / "data/fashion-mnist-validation.npz") as found:
        assert len(found["labels"]) == 1000 and (np.bincount(found["labels"]) == 100).all()
        assert found["images"].min() == 3 and found["images"].max() == 102


def test_no_network_was_trained_on_a_validation_image() -> None:
    train, validation = (assets.arrays(f"data/fashion-mnist-{split}.npz") for split in ("train", "validation"))
    assert not np.intersect1d(train["source_position"], validation["source_position"]).size
    assert (np.bincount(validation["labels"]) == 100).all()


@pytest.mark.parametrize(("count", "judged"), [(50, 50), (101, 101), (199, 199), (200, 100), (450, 300)])
def test_a_class_of_any_size_is_judged_on_enough_images(monkeypatch: pytest.MonkeyPatch, count: int,
                                                        judged: int) -> None:
    """Those that the gauges show are left out only where enough others are left."""
    whole = subject("small-resnet").images
    labels = whole.train.labels
    some = torch.cat([torch.nonzero(labels == label).flatten()[:count] for label in range(10)])
    few = Images(whole.train.subset(some), whole.test, whole.read)
    tune.judged_images.cache_clear()
    monkeypatch.setattr(Subject, "images", property(lambda self: few))
    assert len(tune.judged_images("small-resnet", Request((2,)))[0]) == judged
    tune.judged_images.cache_clear()
