"""Gram matrices of layer inputs: the directions in which a layer's weights were used."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Literal, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unlearn_core.nets.images import ImageSet
from unlearn_core.nets.models import private_copy
from unlearn_core.progress import Progress

Gram = dict[str, Tensor]
"""Module name -> (groups, d, d) float64 sum of x xT over all inputs x of the layer; d = in_channels / groups * kh * kw
of a convolution (one x per position), in_features of a linear layer; groups is 1 but for grouped convolutions."""

Patches = Literal["exact", "stride_one"]
"""Which inputs of a convolution count: those it reads, or, as in the official PGU code, those that a stride and
dilation of one would read."""

_BATCH = 125  # images per forward pass: their activations stay in the cache
_CHUNK = 2**22  # patch entries multiplied at once: 16 MB in float32, whatever the size of the images
_NARROW = 32  # matrices below this size lose three digits in float32 (one long sum per entry), and cost nothing


class GramSource(Protocol):
    """Answers a request for Gram matrices: by measuring, or because it has them already."""

    def __call__(self, model: nn.Module, train: ImageSet, positions: Tensor | None, patches: Patches,
                 progress: Progress) -> Gram: ...


def layers(model: nn.Module) -> dict[str, nn.Conv2d | nn.Linear]:
    """The convolutions and linear layers by name, input first: the layers that can have a Gram matrix."""
    return {name: module for name, module in model.named_modules() if isinstance(module, nn.Conv2d | nn.Linear)}


def needed(model: nn.Module) -> int:
    """Bytes that the Gram matrices of a network take, with those of its forget set and the projections made of them."""
    sizes = ((layer.groups, layer.weight[0].numel()) if isinstance(layer, nn.Conv2d) else (1, layer.in_features)
             for layer in layers(model).values())
    return 3 * 8 * sum(groups * d * d for groups, d in sizes)


def _free() -> float:
    """Bytes of memory that nobody uses; infinite where the system does not say."""
    try:
        lines = Path("/proc/meminfo").read_text("ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        return math.inf


def measure_grams(model: nn.Module, train: ImageSet, positions: Tensor | None, patches: Patches,
                  progress: Progress) -> Gram:
    """Gram matrices over the training images at `positions`; None means all of them. Safe in several threads.

    Products are formed in the network's own precision and added up in float64: the inputs of a float32 layer are
    no more exact than that.

    Args:
        model: taken in evaluation mode, without augmentation or dropout; not changed.
        train: the training images.
        positions: (N,) int64, or None.
        patches: which inputs of a convolution count.
        progress: told after every batch.

    Returns:
        One Gram matrix for each layer that was called; entries in the order of the flattened weight.

    Raises:
        ValueError: if they would not fit into the memory; nothing is measured then.
    """
    wanted, free = needed(model), _free()
    if wanted > free:
        raise ValueError(f"The statistics of this network's layer inputs take {wanted / 1e9:.1f} GB of memory, and "
                         f"{free / 1e9:.1f} GB are free.")
    progress(0.0, f"layer inputs, {wanted / 1e9:.1f} GB of memory")
    chosen = torch.arange(len(train)) if positions is None else positions
    private = private_copy(model).eval()
    grams: Gram = {}

    def observer(name: str, layer: nn.Conv2d | nn.Linear) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        def observe(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            measured = _gram(layer, inputs[0].detach(), patches)
            grams[name] = grams[name] + measured if name in grams else measured
        return observe

    watched = layers(private)
    for name, layer in watched.items():
        layer.register_forward_pre_hook(observer(name, layer))
    dtype = next(iter(watched.values())).weight.dtype if watched else torch.float32
    parts = torch.split(chosen, _BATCH)
    with torch.no_grad():
        for done, part in enumerate(parts, 1):
            private(train.pixels(part).to(dtype))
            progress(done / len(parts), f"layer inputs, batch {done} of {len(parts)}")
    return {name: grams[name] for name in watched if name in grams}


def _gram(layer: nn.Conv2d | nn.Linear, x: Tensor, patches: Patches) -> Tensor:
    """(groups, d, d) float64 sum of x xT over the inputs x of one call."""
    if isinstance(layer, nn.Linear):
        return _product(x.reshape(1, -1, x.shape[-1]))  # one x per image or, of tokens, per token
    kh, kw = layer.kernel_size
    channels = layer.in_channels // layer.groups
    (sh, sw), (dh, dw) = (layer.stride, layer.dilation) if patches == "exact" else ((1, 1), (1, 1))
    padded = _padded(layer, x)
    # Every patch as a view, channels innermost: copied in long runs, several times faster than F.unfold.
    windows = padded.unfold(2, dh * (kh - 1) + 1, sh).unfold(3, dw * (kw - 1) + 1, sw)[..., ::dh, ::dw]
    n, _, rows, columns = windows.shape[:4]
    windows = windows.view(n, layer.groups, channels, rows, columns, kh, kw).permute(1, 0, 3, 4, 5, 6, 2)
    d = kh * kw * channels
    total = torch.zeros(layer.groups, d, d, dtype=torch.float64)
    size = max(1, _CHUNK // max(1, windows[:, 0].numel()))
    for part in torch.split(windows, size, dim=1):
        total += _product(part.reshape(layer.groups, -1, d))
    # From (kh, kw, c) to (c, kh, kw), the order of the weight.
    return total.view(-1, kh * kw, channels, kh * kw, channels).permute(0, 2, 1, 4, 3).reshape(-1, d, d)


def _product(x: Tensor) -> Tensor:
    """(g, N, d) -> (g, d, d) float64 sum of x xT."""
    x = x.double() if x.shape[-1] < _NARROW else x
    return (x.transpose(1, 2) @ x).double()


def _padded(layer: nn.Conv2d, x: Tensor) -> Tensor:
    """The input with the border that the convolution adds, channels last in memory."""
    border: list[int] = []
    for axis in (1, 0):  # F.pad begins with the last dimension
        if layer.padding == "same":
            missing = layer.dilation[axis] * (layer.kernel_size[axis] - 1)
            border += [missing // 2, missing - missing // 2]
        else:
            amount = 0 if isinstance(layer.padding, str) else layer.padding[axis]
            border += [amount, amount]
    mode = "constant" if layer.padding_mode == "zeros" else layer.padding_mode
    padded = F.pad(x, border, mode=mode) if any(border) else x
    return padded.contiguous(memory_format=torch.channels_last)


def square(triangle: Tensor) -> Tensor:
    """(groups, d, d) symmetric matrices from their (groups, d (d + 1) / 2) lower triangles, as shipped."""
    size = int((8 * triangle.shape[1] + 1) ** 0.5) // 2
    rows, columns = torch.tril_indices(size, size)
    found = triangle.new_empty(len(triangle), size, size)
    found[:, rows, columns] = found[:, columns, rows] = triangle
    return found
