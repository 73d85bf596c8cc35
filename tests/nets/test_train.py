"""Tests of unlearn_core.nets.train on a few hundred images: seeds, half precision, cancellation, augmentation."""

from __future__ import annotations

from functools import cache

import pytest
import torch
from torch import Tensor, nn

from tests.toys import ONE_EPOCH
from unlearn_core.nets import models
from unlearn_core.nets.images import ImageSet, stratified
from unlearn_core.nets.train import RECIPES, Recipe, augment, seed_of, train
from unlearn_core.progress import Cancelled
from unlearn_core.subjects.fashion import fashion_mnist

BOTH = pytest.mark.parametrize("name", ONE_EPOCH)


@cache
def images() -> ImageSet:
    whole = fashion_mnist("train")
    return whole.subset(stratified(whole.labels, 20))


@cache
def trained(name: str, seed: int) -> nn.Module:
    return train(name, images(), seed=seed, recipe=ONE_EPOCH[name])


@BOTH
def test_a_seed_repeats_a_training_bit_by_bit(name: str) -> None:
    torch.rand(3)  # the global random state plays no part, and is left alone
    before = torch.get_rng_state()
    again = train(name, images(), seed=1, recipe=ONE_EPOCH[name]).state_dict()
    assert torch.equal(torch.get_rng_state(), before)
    first = trained(name, 1).state_dict()
    assert all(torch.equal(first[key], again[key]) for key in first)


@BOTH
def test_retraining_shares_nothing_with_the_original(name: str) -> None:
    """A retrain that keeps the original's body (as one published code does) would share most tensors."""
    original, retrained = trained(name, 1), trained(name, 2)
    for (key, one), other in zip(original.named_parameters(), retrained.parameters(), strict=True):
        assert not torch.equal(one, other), key
        assert one.data_ptr() != other.data_ptr(), key


@BOTH
def test_weights_survive_half_precision(name: str) -> None:
    model = trained(name, 1)
    assert not any(module.training for module in model.modules())
    for key, value in model.state_dict().items():
        if value.is_floating_point():
            assert value.dtype == torch.float32 and value.isfinite().all(), key
            assert torch.equal(value.half().float(), value), key


@BOTH
def test_training_moves_every_parameter_and_learns(name: str) -> None:
    fresh = models.build(name, channels=1, classes=10, size=28, generator=torch.Generator().manual_seed(1))
    model = trained(name, 1)
    for (key, start), end in zip(fresh.named_parameters(), model.parameters(), strict=True):
        assert not torch.equal(start, end), key
    recipe = Recipe("adamw", epochs=15, batch_size=20, peak_lr=3e-3, weight_decay=0.0)
    some = images().subset(torch.nonzero(images().labels < 2).flatten())
    learnt = train(name, some, seed=0, recipe=recipe)
    accuracy = (learnt(some.pixels()).argmax(1) == some.labels).float().mean()
    assert accuracy > 0.8


def test_absent_classes_keep_their_row_in_the_head() -> None:
    some = images().subset(torch.nonzero(images().labels != 3).flatten())
    assert train("small-resnet", some, seed=0, recipe=ONE_EPOCH["small-resnet"]).head.out_features == 10


def test_progress_counts_the_steps() -> None:
    calls: list[tuple[float, str]] = []
    train(
        "small-resnet",
        images(),
        seed=0,
        recipe=Recipe("sgd", 2, 100, 0.1, 0.0),
        progress=lambda share, note: calls.append((share, note)),
    )
    assert calls == [
        (0.25, "epoch 1 of 2"),
        (0.5, "epoch 1 of 2"),
        (0.75, "epoch 2 of 2"),
        (1.0, "epoch 2 of 2"),
    ]


def test_training_can_be_cancelled() -> None:
    calls = 0

    def cancel(share: float, note: str) -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise Cancelled

    with pytest.raises(Cancelled):
        train("small-resnet", images(), seed=0, recipe=ONE_EPOCH["small-resnet"], progress=cancel)
    assert calls == 2


def test_fewer_images_than_a_batch_are_one_batch() -> None:
    few = images().subset(torch.arange(30))
    calls: list[float] = []
    train(
        "small-resnet",
        few,
        seed=0,
        recipe=ONE_EPOCH["small-resnet"],
        progress=lambda s, _="": calls.append(s),
    )
    assert calls == [1.0]


def test_there_is_a_recipe_for_every_small_network() -> None:
    assert set(RECIPES) == set(models.SMALL)


def test_seeds_are_the_same_on_every_machine_and_differ_by_key() -> None:
    assert seed_of("train", "small-resnet", None, 0) == 187426749
    keys = [("train", a, c, s) for a in ("x", "y") for c in (None, 0, 1) for s in range(20)] + [
        ("train", "x", "None", 0)
    ]
    assert len({seed_of(*key) for key in keys}) == len(keys)


# --- augmentation ---------------------------------------------------------------------------------


def windows(image: Tensor, shift: int) -> list[Tensor]:
    """Everything that a flip and a shift by whole pixels can make of an image."""
    found = []
    for view in (image, image.flip(2)):
        padded = nn.functional.pad(view[None], (shift,) * 4, mode="replicate")[0]
        height, width = image.shape[1:]
        found += [
            padded[:, dy : dy + height, dx : dx + width]
            for dy in range(2 * shift + 1)
            for dx in range(2 * shift + 1)
        ]
    return found


@pytest.mark.parametrize("shift", [0, 1, 2])
def test_augmentation_only_flips_and_shifts(shift: int) -> None:
    before = torch.randn(60, 2, 6, 7)
    inputs = before.clone()
    result = augment(inputs, shift, torch.Generator().manual_seed(0))
    assert torch.equal(inputs, before) and result.shape == before.shape
    used = set()
    for image, new in zip(before, result, strict=True):
        (which, *_) = [i for i, window in enumerate(windows(image, shift)) if torch.equal(window, new)]
        used.add(which)
    assert len(used) > (2 * shift + 1) ** 2  # flipped and not flipped, many shifts


def test_without_flips_and_shifts_images_stay_as_they_are() -> None:
    x, generator = torch.randn(20, 1, 5, 5), torch.Generator().manual_seed(0)
    assert torch.equal(augment(x, 0, generator, flip=False), x)
    flipped = augment(x, 0, generator)
    assert not torch.equal(flipped, x) and torch.equal(augment(flipped, 0, generator, flip=False), flipped)


def test_augmentation_belongs_to_its_generator() -> None:
    x = torch.randn(20, 1, 5, 5)
    one, two, other = (augment(x, 1, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1))
    assert torch.equal(one, two) and not torch.equal(one, other)
