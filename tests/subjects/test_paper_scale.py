"""A vision transformer of the papers' size, with pictures of 224 pixels, by the way of one's own subjects."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch.nn import functional as F

from tests.subjects.test_own import SAID, only, paint
from tools.growth import peak
from unlearn_core.measure.task import Task
from unlearn_core.methods import METHODS
from unlearn_core.nets import models
from unlearn_core.nets.request import Request
from unlearn_core.progress import silent
from unlearn_core.subjects import own


def paper_scale(folder: Path, architecture: str, count: int, size: int = 224) -> Path:
    """Two classes of colour pictures and a network with random weights."""
    rng = np.random.default_rng(0)
    for label, name in enumerate("ab"):
        for part, number in (("train", count), ("test", 1)):
            for i in range(number):
                paint(folder / "data" / part / name / f"{i}.jpg", 9 * label, rng, size)
    (folder / "subject.toml").write_text(SAID.replace("small-resnet", architecture))
    model = models.build(architecture, channels=3, classes=2, size=size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():  # torchvision's begins with a head of zeros, through which no gradient passes
        for name, value in model.named_parameters():
            if name.startswith("heads."):
                value.normal_(0, 0.02, generator=torch.Generator().manual_seed(1))
    save_file({name: value.contiguous() for name, value in model.state_dict().items()}, folder / "model.safetensors")
    return folder


@pytest.mark.parametrize("architecture", [
    "small-vit", pytest.param("vit_b_16", marks=[pytest.mark.slow, pytest.mark.timeout(3600)])])
def test_ssd_is_the_papers_formula_weight_by_weight(tmp_path: Path, architecture: str) -> None:
    folder = paper_scale(tmp_path / "mine", architecture, 2, 224 if architecture == "vit_b_16" else 32)
    assert own.check(folder) == []
    own.prepare(folder)
    subject = only(folder)
    # In double precision, and without what is rounding in every precision: a key's bias, which softmax takes out, has
    # no gradient but that.
    train, model = subject.images.train, subject.original().double()
    begun, before = time.process_time(), peak()
    found = METHODS["ssd"].run(Task(model, train, Request((0,))), {"alpha": 1.2, "lambda": 0.8}, silent)
    said = f"{architecture}: {time.process_time() - begun:.1f} processor seconds, {peak() - before:.0f} MB"

    diagonals = []  # of the Fisher information: the mean over images of the squared gradient of each one's loss
    for rows in (train.labels == 0, train.labels >= 0):
        total = [torch.zeros_like(value) for value in model.parameters()]
        for row in torch.nonzero(rows).flatten():
            loss = F.cross_entropy(model(train.pixels(row[None]).double()), train.labels[row][None])
            for kept, gradient in zip(total, torch.autograd.grad(loss, list(model.parameters())), strict=True):
                kept += gradient.square() / int(rows.sum())
        diagonals.append(total)
    apart, selected, left_out = 0.0, 0, 0
    for (name, value), forget, everything in zip(model.named_parameters(), *diagonals, strict=True):
        chosen = forget > 1.2 * everything
        plain = torch.where(chosen, value * (0.8 * everything / forget).clamp(max=1), value).detach()
        near = ((forget / everything - 1.2).abs() < 1e-9) | (everything < 1e-24 * float(everything.max()))
        difference = float((found.parameters[name] - plain).abs().masked_fill(near, 0).max())
        assert difference < 1e-6, (name, difference)
        apart = max(apart, difference)
        selected += int(chosen.sum())
        left_out += int(near.sum())
    print(f"{said}; {selected} weights selected, at most {apart:.1e} apart, {left_out} left out")
    assert selected > 1000 and left_out < 1e-2 * sum(value.numel() for value in model.parameters())
