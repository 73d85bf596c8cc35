"""Networks trained in shards: how images are dealt, what forgetting costs, and that it is exact."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from tests.toys import generator, image_set
from unlearn_core.bundle.make_sharded import _keep
from unlearn_core.nets import models
from unlearn_core.nets.sharded import (
    Shards,
    answered,
    deal,
    expected_share,
    forget_images,
    stage_epochs,
    train_shard,
    work,
)
from unlearn_core.nets.train import RECIPES, Recipe, seed_of
from unlearn_core.progress import Cancelled
from unlearn_core.subjects.subject import subject

RECIPE = replace(RECIPES["small-resnet"], epochs=2, batch_size=8)
IMAGES = image_set(1, 8)


@given(st.integers(1, 5), st.integers(1, 5), st.integers(0, 90), st.integers(0, 9))
def test_every_image_is_dealt_once_and_slices_are_of_one_size(shards: int, slices: int, more: int, seed: int) -> None:
    found = deal(shards * slices + more, shards, slices, seed)
    counts = found.counts()
    assert counts.shape == (shards, slices) and counts.sum() == len(found.shard)
    assert counts.min() >= 1 and counts.max() - counts.min() <= 1
    assert (found.shard == deal(shards * slices + more, shards, slices, seed).shard).all()


def test_too_few_images_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 20 images"):
        deal(19, 5, 4, 0)


def test_stages_together_see_as_many_images_as_an_ordinary_training() -> None:
    recipe = Recipe("sgd", epochs=15, batch_size=10, peak_lr=0.1, weight_decay=0.0)
    assert stage_epochs(recipe, 1) == 15 and stage_epochs(recipe, 4) == 6
    found = deal(1000, 5, 4, 0)
    assert 6 * work(found).sum() == pytest.approx(15 * 1000)


def test_the_price_of_a_request_by_hand() -> None:
    """Two shards of two slices with two images each; one image of the second slice of the first shard goes."""
    found = Shards(torch.tensor([0, 0, 0, 0, 1, 1, 1, 1]), torch.tensor([0, 0, 1, 1, 0, 0, 1, 1]), 2, 2, 0)
    assert found.first(torch.tensor([2])).tolist() == [1, 2]
    assert work(found).tolist() == [[2, 4], [2, 4]]
    assert work(found, torch.tensor([2])).tolist() == [[0, 3], [0, 0]]
    assert work(found, torch.tensor([0, 6])).tolist() == [[1, 3], [0, 3]]


@given(st.integers(1, 60), st.integers(0, 5))
def test_the_expected_share_is_what_is_found_on_average(asked: int, seed: int) -> None:
    found, rng = deal(60, 3, 4, seed), np.random.default_rng(seed)
    drawn = [work(found, torch.from_numpy(rng.permutation(60)[:asked])).sum() / work(found).sum() for _ in range(400)]
    expected = expected_share(found, np.array([0, asked, 60]))
    assert expected[[0, 2]] == pytest.approx(0.0, abs=1e-9)
    assert abs(np.mean(drawn) - expected[1]) < 5 * np.std(drawn) / 20 + 0.01


States = list[list[dict[str, torch.Tensor]]]


def trained(shards: int = 2, slices: int = 3, forget: torch.Tensor | None = None,
            architecture: str = "small-resnet") -> tuple[Shards, States]:
    found = deal(len(IMAGES), shards, slices, 0)
    return found, [list(map(dict, train_shard(architecture, IMAGES, replace(
        RECIPES[architecture], epochs=2, batch_size=8), found, shard, forget=forget))) for shard in range(shards)]


def shipped(states: States, file: Path) -> States:
    """The states as a subject reads them that has them in a file."""
    made: dict[str, torch.Tensor] = {}
    for shard, each in enumerate(states):
        _keep(made, ("", shard), each)
    save_file(made, file)
    return replace(subject("people-resnet"), file=lambda kind, end: file).sharded()


@pytest.mark.parametrize("architecture", ["small-resnet", "small-vit"])
def test_forgetting_is_exact_to_the_bit(architecture: str, tmp_path: Path) -> None:
    """What comes out, from states that lay in a file, is what comes out of a training that never had the images, and
    the other shards are untouched."""
    found, kept = trained(architecture=architecture)
    kept = shipped(kept, tmp_path / "shards.safetensors")
    forget = torch.nonzero((found.shard == 1) & (found.slice == 1)).flatten()[:3]
    made = forget_images(architecture, IMAGES, replace(RECIPES[architecture], epochs=2, batch_size=8), found, kept,
                         forget)
    _, never = trained(forget=forget, architecture=architecture)
    for shard in range(2):
        for i in range(3):
            assert made[shard][i].keys() == never[shard][i].keys()
            for name, value in never[shard][i].items():
                assert torch.equal(made[shard][i][name], value), (shard, i, name)
    assert made[0] == kept[0] and made[1][0] is kept[1][0], "what saw nothing of them is kept"
    assert any(not torch.equal(made[1][2][name], kept[1][2][name]) for name in made[1][2])


def test_a_shard_of_which_all_is_forgotten_is_left_untrained() -> None:
    found, kept = trained(1, 2)
    made = forget_images("small-resnet", IMAGES, RECIPE, found, kept, torch.arange(len(IMAGES)))
    assert all(torch.equal(a, b) for a, b in zip(made[0][0].values(), made[0][1].values(), strict=True))


def test_it_can_be_cancelled() -> None:
    found, kept = trained()

    def cancel(share: float, note: str) -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        forget_images("small-resnet", IMAGES, RECIPE, found, kept, torch.arange(5), cancel)


def test_answers_are_averaged() -> None:
    networks = [models.build("small-resnet", channels=1, classes=4, size=8, generator=generator(seed)).eval()
                for seed in range(2)]
    pixels = IMAGES.pixels()
    both = answered(networks, pixels)
    each = [answered([network], pixels) for network in networks]
    np.testing.assert_allclose(both, (each[0] + each[1]) / 2)
    np.testing.assert_allclose(both.sum(1), 1, rtol=1e-6)
    assert seed_of("shard", 0, 0, 0) != seed_of("shard", 0, 0, 1)
