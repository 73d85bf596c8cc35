"""Backward passes are counted by the image, as an ordinary loop over batches would count them."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from unlearn_core.measure.passes import counted


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 4), nn.Sequential(nn.ReLU(), nn.Linear(4, 2)))


def test_an_image_counts_once_a_backward_pass_through_the_whole_network() -> None:
    model, pixels, labels = network(), torch.randn(5, 3), torch.zeros(5, dtype=torch.long)
    with counted() as found:
        F.cross_entropy(model(pixels), labels).backward()
        F.cross_entropy(model(pixels[:2]), labels[:2]).backward()
        model(pixels)  # forward alone
        with torch.no_grad():
            model(pixels)
        assert found.images == 7
        noise = pixels.clone().requires_grad_(True)
        torch.autograd.grad(model(noise).sum(), noise)  # of pixels
        assert found.images == 12
    F.cross_entropy(model(pixels), labels).backward()
    assert found.images == 12, "what comes later is not counted"


def test_a_call_that_fails_leaves_the_count_right() -> None:
    model = network()
    with counted() as found:
        with pytest.raises(RuntimeError):
            model(torch.randn(5, 7))
        model(torch.randn(3, 3)).sum().backward()
    assert found.images == 3
