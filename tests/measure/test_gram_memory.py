"""Gram matrices grow with the square of a layer's inputs: what they take is said, and refused where it is not there."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from unlearn_core.measure import gram
from unlearn_core.nets import models
from unlearn_core.nets.images import ImageSet


def images() -> ImageSet:
    return ImageSet("x", torch.zeros((4, 3, 8, 8), dtype=torch.uint8), torch.arange(4) % 2, ("a", "b"), (0.5,) * 3,
                    (0.5,) * 3)


def test_what_is_needed_is_what_is_made() -> None:
    model = nn.Sequential(nn.Conv2d(3, 8, 3, groups=1), nn.Conv2d(8, 8, 3, groups=4), nn.Flatten(), nn.Linear(128, 2))
    notes: list[str] = []
    made = gram.measure_grams(model, images(), None, "exact", lambda share, note: notes.append(note))
    assert 3 * sum(matrix.nbytes for matrix in made.values()) == gram.needed(model)
    assert notes[0] == "layer inputs, 0.0 GB of memory"


def test_a_network_of_the_papers_size_is_counted_without_its_weights() -> None:
    with torch.device("meta"):
        model = models.build("vit_b_16", channels=3, classes=10, size=224, generator=torch.Generator())
    assert 3.0e9 < gram.needed(model) < 3.2e9


def test_too_large_is_said_before_anything_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gram, "_free", lambda: 1000.0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(192, 2))
    with pytest.raises(ValueError, match=r"take 0\.0 GB of memory, and 0\.0 GB are free"):
        gram.measure_grams(model, images(), None, "exact", lambda share, note: None)
