"""Along how many directions a layer changed, on changes whose number is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from unlearn_core.measure.spectrum import spectra, spectrum
from unlearn_core.progress import silent
from unlearn_core.serving.change import change
from unlearn_core.serving.choice import choice
from unlearn_core.sheet.evidence import own_engine


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("rank", [1, 2, 5])
def test_a_patch_fills_as_many_directions_as_it_was_made_of(rank: int) -> None:
    before = random(6, 3, 3, 3)
    left, right = torch.linalg.qr(random(6, rank, seed=1))[0], torch.linalg.qr(random(27, rank, seed=2))[0]
    found = spectrum(before, before + 0.1 * (left @ right.T).reshape(6, 3, 3, 3))
    assert found.directions == 6 and found.rank == pytest.approx(rank, rel=1e-5)
    assert (found.change > 1e-9).sum() == rank and found.change.sum() == pytest.approx(1)


def test_shares_are_those_of_the_decomposition() -> None:
    before, after = random(4, 7), random(4, 7, seed=3)
    values = np.linalg.svd((after - before).numpy().astype(float), compute_uv=False) ** 2
    found = spectrum(before, after)
    assert found.change == pytest.approx(values / values.sum())
    assert found.rank == pytest.approx(values.sum() / values[0])
    assert found.own_rank == pytest.approx(spectrum(torch.zeros(4, 7), before).rank)


@given(rows=st.integers(1, 6), columns=st.integers(1, 6), scale=st.floats(1e-6, 1e6), seed=st.integers(0, 99))
def test_it_lies_between_one_and_all_and_asks_for_no_scale(rows: int, columns: int, scale: float, seed: int) -> None:
    before, added = torch.zeros(rows, columns, dtype=torch.float64), random(rows, columns, seed=seed).double()
    found = spectrum(before, added)
    assert 1 <= found.rank <= min(rows, columns) * (1 + 1e-9)
    assert spectrum(before, scale * added).rank == pytest.approx(found.rank)
    assert found.own_rank == 0 == spectrum(added, added).rank


def test_vectors_have_none_and_shapes_must_agree() -> None:
    layers = {"weight": random(3, 2), "bias": random(3)}
    assert list(spectra(layers, {})) == ["weight"] and spectra(layers, {})["weight"].rank == 0
    with pytest.raises(ValueError, match="two dimensions or more expected"):
        spectrum(random(3), random(3))
    with pytest.raises(ValueError, match="one shape"):
        spectrum(random(3, 2), random(2, 3))


@pytest.mark.parametrize(("label", "filled"), [((4,), 1), ((4, 6), 2)])
def test_to_zero_a_row_of_the_head_fills_one_direction_for_each(label: tuple[int, ...], filled: int) -> None:
    engine, chosen = own_engine(), choice("small-resnet", label, "head_zeroing", {})
    scene = engine.prepare(chosen, silent)
    found = change(engine, scene, engine.compute(scene, chosen, silent))
    head = scene.layers[scene.kinds.index("head")]
    assert (found[head].change > 1e-6).sum() == filled and 1 <= found[head].rank <= filled + 1e-9
    assert all(one.rank == 0 for name, one in found.items() if name != head)
    assert len(found) == sum(scene.task.model.get_parameter(name).ndim > 1 for name in scene.layers)
