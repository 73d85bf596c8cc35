"""Tests of unlearn_core.nets.models: shapes, sizes, and where the randomness comes from."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from unlearn_core.nets.heads import head
from unlearn_core.nets.models import SMALL, build


def make(name: str, channels: int = 1, classes: int = 10, size: int = 28, seed: int = 0) -> nn.Module:
    return build(
        name, channels=channels, classes=classes, size=size, generator=torch.Generator().manual_seed(seed)
    )


def count(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize(
    ("channels", "size", "classes"), [(1, 28, 10), (3, 32, 4), (1, 8, 2), (3, 33, 7), (2, 64, 3)]
)
def test_small_networks_take_any_image(name: str, channels: int, size: int, classes: int) -> None:
    model = make(name, channels, classes, size).eval()
    images = torch.randn(3, channels, size, size)
    logits = model(images)
    assert logits.shape == (3, classes) and logits.isfinite().all()
    torch.testing.assert_close(model(images[1:2]), logits[1:2], rtol=1e-4, atol=1e-5)  # images do not mix
    assert logits.std(0).min() > 0  # and do matter
    assert head(model).out_features == classes


def test_sizes_are_as_documented() -> None:
    assert count(make("small-resnet")) == pytest.approx(78_000, abs=1000)
    assert (
        count(make("small-vit")) == pytest.approx(159_000, abs=1000) and count(make("small-vit")) <= 300_000
    )


def test_outputs_are_raw_logits() -> None:
    for name in SMALL:
        logits = make(name)(torch.randn(4, 1, 28, 28))
        assert (logits < 0).any() and (logits.softmax(1) - logits).abs().max() > 1e-3
        assert logits.logsumexp(1).abs().max() > 0.1


def test_torchvision_networks_by_name() -> None:
    model = make("resnet18", 3, 5, 32).eval()
    assert model(torch.randn(2, 3, 32, 32)).shape == (2, 5)
    assert head(model, torch.randn(2, 3, 32, 32)) is model.fc


@pytest.mark.parametrize("name", ["resnet19", "", "SmallResNet", "fasterrcnn_resnet50_fpn", "r3d_18"])
def test_unknown_names_are_refused(name: str) -> None:
    with pytest.raises(
        ValueError, match=r"^name: one of small-resnet, small-vit or torchvision's classifiers expected, got"
    ):
        make(name, 3)


def test_images_that_a_network_cannot_take_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^channels: torchvision's networks take 3, got 1$"):
        make("resnet18", 1)
    with pytest.raises(ValueError, match=r"^size: one that vit_b_16 takes expected, got 28"):
        make("vit_b_16", 3)


@pytest.mark.parametrize("name", [*SMALL, "squeezenet1_1"])
def test_only_the_generator_decides_the_weights(name: str) -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    one = make(name, 3, seed=7).state_dict()
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    two, other = make(name, 3, seed=7).state_dict(), make(name, 3, seed=8).state_dict()
    assert all(torch.equal(one[key], two[key]) for key in one)
    matrices = [key for key in one if one[key].dim() > 1]
    assert matrices and not any(torch.equal(one[key], other[key]) for key in matrices)


def test_a_generator_gives_a_new_network_each_time() -> None:
    generator = torch.Generator().manual_seed(0)
    one, two = (build("small-resnet", channels=1, classes=2, size=28, generator=generator) for _ in range(2))
    assert not torch.equal(one.head.weight, two.head.weight)


def test_head_needs_a_linear_layer() -> None:
    assert head(nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 4)), torch.randn(2, 2)).out_features == 4
    with pytest.raises(ValueError, match="linear head expected, found no linear layer"):
        head(nn.Sequential(nn.Conv2d(1, 1, 1), nn.Flatten()), torch.randn(2, 1, 1, 1))
