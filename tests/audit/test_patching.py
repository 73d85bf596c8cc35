"""Activations of one network in another, on networks of which is known where they differ."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from ui.panels.depth import depth_finding
from unlearn_core.audit.gauges import Reading, reading
from unlearn_core.audit.patching import patched
from unlearn_core.nets.evaluate import outputs
from unlearn_core.nets.models import build
from unlearn_core.serving.choice import choice
from unlearn_core.serving.depth import Depth, depth
from unlearn_core.sheet.evidence import outcome, own_engine


class Chain(nn.Module):
    """Three layers of one number each."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.head = nn.Linear(1, 1), nn.Linear(1, 1), nn.Linear(1, 2)
        for layer, factor in ((self.first, 2.0), (self.second, 3.0), (self.head, 5.0)):
            nn.init.constant_(layer.weight, factor)
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.head(self.second(self.first(x.flatten(1))))
        return result


def test_each_stage_is_the_outcome_before_it_and_the_original_behind_it() -> None:
    other = {"first.weight": torch.tensor([[7.0]]), "head.weight": torch.tensor([[11.0], [13.0]])}
    found = patched(Chain(), other, torch.ones(1, 1, 1, 1))
    assert {name: logits.tolist() for name, logits in found.items()} == {
        "first": [[7 * 3 * 5, 7 * 3 * 5]], "second": [[7 * 3 * 5, 7 * 3 * 5]], "head": [[7 * 3 * 11, 7 * 3 * 13]]}


@pytest.mark.parametrize("name", ["small-resnet", "small-vit"])
def test_where_stages_follow_each_other_it_is_a_network_of_two_halves(name: str) -> None:
    one, two = (build(name, channels=1, classes=3, size=28, generator=torch.Generator().manual_seed(i)).eval()
                for i in range(2))
    pixels = torch.randn(300, 1, 28, 28, generator=torch.Generator().manual_seed(2))  # more than one batch
    found, before = patched(one, two.state_dict(), pixels), {k: v.clone() for k, v in one.state_dict().items()}
    stages = list(found)
    for i, stage in enumerate(stages):
        half = {key: value for key, value in two.state_dict().items()
                if any(key.startswith(f"{done}.") for done in stages[:i + 1])}
        assert np.allclose(found[stage], outputs(one, pixels, half).logits, atol=1e-5), stage
    assert all(torch.equal(before[key], value) for key, value in one.state_dict().items()), "nothing was changed"


class Twice(nn.Module):
    """Runs one layer twice, so that its activations are not one thing."""

    def __init__(self) -> None:
        super().__init__()
        self.again, self.head = nn.Linear(4, 4), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.head(self.again(self.again(x.flatten(1))))
        return result


def test_a_stage_that_runs_twice_is_left_out_and_no_image_is_refused() -> None:
    assert list(patched(Twice(), {}, torch.zeros(3, 1, 2, 2))) == ["head"]
    with pytest.raises(ValueError, match="at least one image expected"):
        patched(Twice(), {}, torch.zeros(0, 1, 2, 2))
    with pytest.raises(ValueError, match="names of the network's weights expected, got tail"):
        patched(Twice(), {"tail": torch.zeros(1)}, torch.zeros(3, 1, 2, 2))


def falls(*shares: float, before: float = 0.9) -> Depth:
    def share(value: float) -> np.ndarray:
        return np.arange(100) < round(100 * value)

    forget = {f"s{i}": reading(share(value)) for i, value in enumerate(shares)}
    return Depth(forget, forget, reading(share(before)), reading(share(before)))


@pytest.mark.parametrize(("shares", "lost"), [
    ((0.9, 0.9, 0.0), "s2"), ((0.9, 0.1, 0.0), "s1"), ((0.1, 0.1, 0.0), "s0"), ((0.9, 0.85), None),
    ((0.2, 0.9, 0.0), "s2"), ((0.9, 0.6, 0.3), "s2")])
def test_it_is_lost_where_it_stays_lost(shares: tuple[float, ...], lost: str | None) -> None:
    assert falls(*shares).lost == lost


def test_where_every_image_is_lost_nothing_is_said_of_a_stage() -> None:
    """A network of other features: the original understands none of it, and no stage forgot anything."""
    def course(*shares: float) -> dict[str, Reading]:
        return {f"s{i}": reading(np.arange(100) < 100 * share) for i, share in enumerate(shares)}

    before = kept = reading(np.arange(100) < 90)
    strange = Depth(course(0.1, 0.1, 0.0), course(0.2, 0.1, 0.9), before, kept)
    assert strange.garbled and depth_finding(strange) == (
        "Of a stage nothing can be said: behind **s0** the original recognises 10% of the images to be forgotten and "
        "20% of the others, of which it knew 90%. It does not understand what this network hands on, "
        "whatever the image.")
    assert not Depth(course(0.9, 0.1, 0.0), course(0.9, 0.8, 0.9), before, kept).garbled
    # Of a person little falls, and with it a little of the others.
    assert not Depth(course(0.97, 0.90, 0.82), course(0.85, 0.76, 0.8), before, kept).garbled
    # Reading garbage, the original may answer with the very class that is to be forgotten, until the last stage.
    by_chance = Depth(course(0.97, 0.99, 0.0), course(0.03, 0.02, 0.9), before, kept)
    assert by_chance.garbled and "behind **s1** the original recognises 99%" in depth_finding(by_chance)
    assert "gives 99% of the images to be forgotten the class they were trained as" in depth_finding(by_chance, True)
    # A head that ruins everything is the outcome's own doing, and its place is known.
    assert not Depth(course(0.9, 0.9, 0.0), course(0.9, 0.9, 0.1), before, kept).garbled


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6), st.floats(0, 1))
def test_there_is_a_sentence_for_every_course(shares: list[float], before: float) -> None:
    found = falls(*shares, before=before)
    said = depth_finding(found)
    assert said.endswith(".") and (found.lost is None) == ("no fall to look for" in said)
    assert found.lost is None or f"**{found.lost}**" in said


@pytest.mark.parametrize("method", ["head_zeroing", "ssd"])
def test_the_last_stage_is_the_outcome_and_a_changed_head_changes_nothing_before_it(method: str) -> None:
    scene, settled, _ = outcome(choice("small-resnet", (0,), method, {}))
    found = depth(own_engine(), scene, settled)
    for course, gauge in ((found.forget, "forget"), (found.retain, "retain")):
        assert list(course.values())[-1] == settled.gauges[gauge]
    assert found.before == scene.original["forget"]
    if method == "head_zeroing":
        assert found.lost == "head" and all(one == found.before for one in list(found.forget.values())[:-1])
