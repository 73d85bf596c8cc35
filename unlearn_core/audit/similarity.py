"""Did the representation change? Centred kernel alignment (CKA) of two networks, layer by layer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from unlearn_core.nets.heads import as_taken
from unlearn_core.nets.models import private_copy
from unlearn_core.nets.substitute import called_with

Features = Mapping[str, npt.NDArray[np.float32]]
"""Layer -> (N, width) outputs, in the order of the network."""

Part = Literal["forget", "retain"]

_BATCH = 250  # see `evaluate`
_MANY = 8  # layers in a row: more are listed one by one, fewer are one stage
_IDLE = (nn.Identity, nn.modules.dropout._DropoutNd)  # change nothing in evaluation mode
_NO_SPREAD = 1e-12  # below this, an HSIC of features of mean square 1 is rounding error


def cka(x: npt.NDArray[np.floating], y: npt.NDArray[np.floating]) -> float:
    """Unbiased linear CKA of two representations of the same N images.

    CKA = HSIC(K, L) / √(HSIC(K, K) HSIC(L, L)) with linear kernels K = x xᵀ and L = y yᵀ (Kornblith et al., arXiv
    1905.00414, equation 4) and the unbiased estimate of HSIC (Song et al. 2012, JMLR 13, as in Nguyen et al., arXiv
    2010.15327, equation 3), with K and L without their diagonals:

        HSIC = [tr(K L) + 1ᵀK1 1ᵀL1 / ((N - 1)(N - 2)) - 2 / (N - 2) 1ᵀK L1] / (N (N - 3))

    The biased estimate calls any two wide representations of few images alike; this one gives unrelated ones 0 on
    average, whatever N. Invariant to rotations, reflections, shifts and one common scale of either side, not to
    other invertible maps. The cheaper of the N x N and the width x width products is taken.

    Args:
        x: (N, width 1).
        y: (N, width 2).

    Returns:
        -1 to 1, 1 for equal representations; NaN if one side does not vary (a dead layer) or hardly (one image).

    Raises:
        ValueError: if the shapes do not fit, there are fewer than 4 images, or a value is not finite.
    """
    if x.ndim != 2 or y.ndim != 2 or len(x) != len(y) or len(x) < 4 or not (x.size and y.size):
        raise ValueError("features: two matrices of the same images, at least 4, expected, got shapes "
                         f"{x.shape} and {y.shape}")
    x, y = _centred(x), _centred(y)
    own = _hsic(x, x), _hsic(y, y)
    if min(own) < _NO_SPREAD:
        return float("nan")
    return float(np.clip(_hsic(x, y) / np.sqrt(own[0] * own[1]), -1.0, 1.0))


def _centred(x: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """Mean 0 and mean square length 1, which CKA does not see but rounding does; all 0 if nothing varies."""
    if not np.isfinite(x).all():
        raise ValueError("features: finite numbers expected, got NaN or infinity; the weights are damaged")
    if (x == x[0]).all():
        return np.zeros(x.shape)
    double = x.astype(np.float64)
    double /= np.abs(double).max()
    double -= double.mean(0)
    result: npt.NDArray[np.float64] = double / np.sqrt(np.square(double).sum(1).mean())
    return result


def _hsic(x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]) -> float:
    """Unbiased HSIC of centred features. Their kernels' rows add up to 0, so without its diagonal a, to -a."""
    n = len(x)
    narrow = x.shape[1] * y.shape[1] <= n * (x.shape[1] + y.shape[1])
    product = np.square(x.T @ y).sum() if narrow else ((x @ x.T) * (y @ y.T)).sum()  # tr(K L), diagonals included
    a, b = np.square(x).sum(1), np.square(y).sum(1)
    return float((product + a.sum() * b.sum() / ((n - 1) * (n - 2)) - n / (n - 2) * (a @ b)) / (n * (n - 3)))


def stages(model: nn.Module) -> tuple[str, ...]:
    """Names of the main stages of any network, in the order in which they are declared.

    A stage is a child of the network. A sequence of blocks (modules that hold modules) or of more than eight
    layers is replaced by what it holds, and so is a module around a sequence of three blocks or more, such as
    torchvision's transformer encoder. Dropout and identities are left out.

    Raises:
        ValueError: if the network has no child.
    """
    found = tuple(stage for name, child in model.named_children() for stage in _inside(name, child))
    if not found:
        raise ValueError(f"model: a network of at least one layer expected, got {type(model).__name__} without any")
    return found


def _inside(name: str, module: nn.Module) -> list[str]:
    children = list(module.named_children())
    if isinstance(module, nn.ModuleList) or (
            isinstance(module, nn.Sequential) and (_blocks(module) or len(children) > _MANY)):
        return [f"{name}.{child}" for child, layer in children if not isinstance(layer, _IDLE)]
    if any(isinstance(child, nn.ModuleList | nn.Sequential) and _blocks(child) > 2 for _, child in children):
        return [stage for child, layer in children for stage in _inside(f"{name}.{child}", layer)]
    return [] if isinstance(module, _IDLE) else [name]


def _blocks(module: nn.Module) -> int:
    return sum(any(True for _ in child.children()) for child in module.children())


def layer_features(model: nn.Module, pixels: Tensor,
                   weights: Mapping[str, Tensor] | None = None) -> dict[str, npt.NDArray[np.float32]]:
    """Outputs of a network's main stages (see `stages`) in evaluation mode; the network is not changed.

    Maps are averaged over positions and sequences over tokens: (N, C, H, W) and (N, T, C) become (N, C). A stage
    that is not run, or whose output is not one tensor with a row per image, is left out; of one that runs several
    times, the last output counts. Safe in several threads.

    Args:
        model: any network, see `stages`.
        pixels: (N, C, H, W), standardised.
        weights: parameters and buffers by name that stand in for the network's own.

    Returns:
        Stage -> (N, width) float32, in the order in which the stages ran.

    Raises:
        ValueError: if an output is not finite, there is no image, or the network has no stage.
    """
    if not len(pixels):
        raise ValueError("pixels: at least one image expected, got none")
    private = private_copy(model).eval()
    pixels = as_taken(private, pixels)
    now: dict[str, Tensor] = {}
    images = 0

    def keep(name: str) -> Callable[[nn.Module, object, object], None]:
        def hook(module: nn.Module, inputs: object, output: object) -> None:
            now.pop(name, None)  # a stage that runs again moves to the end
            if isinstance(output, Tensor) and output.dim() and len(output) == images:
                now[name] = _pooled(output)

        return hook

    for name in stages(private):
        private.get_submodule(name).register_forward_hook(keep(name))
    parts: dict[str, list[Tensor]] = {}
    with torch.no_grad():
        for part in torch.split(pixels, _BATCH):
            images = len(part)
            now.clear()
            called_with(private, weights or {}, part)
            for name, output in now.items():
                parts.setdefault(name, []).append(output)
    joined = {name: torch.cat(outputs) for name, outputs in parts.items()}
    for name, output in joined.items():
        if not bool(output.isfinite().all()):
            raise ValueError(f"model: finite outputs expected, got NaN or infinity in {name}; the weights are damaged")
    return {name: output.numpy() for name, output in joined.items() if len(output) == len(pixels)}


def _pooled(output: Tensor) -> Tensor:
    """(N, width) copy, which no later layer can change in place."""
    wide = output.detach().float()
    averaged = wide.flatten(2).mean(2) if wide.dim() > 3 else wide.mean(1) if wide.dim() == 3 else wide
    return averaged.reshape(len(output), -1).clone()


@dataclass(frozen=True, eq=False)
class LayerSimilarity:
    """CKA per layer; NaN where a layer does not vary.

    Attributes:
        layers: names, in the order of the network.
        original: (layers,) of the unlearned to the original network: 1 means that nothing changed.
        retrained: (seeds, layers) of the unlearned to each retrained network.
        among_retrained: (pairs, layers) of the retrained networks to each other: the most that can be asked for.
    """

    layers: tuple[str, ...]
    original: npt.NDArray[np.float64]
    retrained: npt.NDArray[np.float64]
    among_retrained: npt.NDArray[np.float64]


def layer_similarity(unlearned: Features, original: Features, retrained: Sequence[Features],
                     forgotten: npt.NDArray[np.bool_]) -> dict[Part, LayerSimilarity]:
    """Compare an unlearned network with the original and with every retrained one, on forgotten and other images.

    Args:
        unlearned: outputs per layer on N images, from `layer_features`.
        original: of the same images and layers.
        retrained: of the same images and layers, one per seed, possibly none.
        forgotten: (N,) whether an image belongs to what is to be forgotten.

    Raises:
        ValueError: if the layers differ, or there are fewer than 4 forgotten or 4 other images (see `cka`).
    """
    layers = tuple(unlearned)
    for other in (original, *retrained):
        if tuple(other) != layers:
            raise ValueError(f"features: the layers {', '.join(layers)} expected of every network, got "
                             f"{', '.join(other)}")

    def compare(a: Features, b: Features, chosen: npt.NDArray[np.bool_]) -> list[float]:
        return [cka(a[layer][chosen], b[layer][chosen]) for layer in layers]

    def table(rows: list[list[float]]) -> npt.NDArray[np.float64]:
        return np.array(rows, np.float64).reshape(-1, len(layers))

    parts: dict[Part, npt.NDArray[np.bool_]] = {"forget": forgotten, "retain": ~forgotten}
    return {part: LayerSimilarity(
        layers,
        np.array(compare(unlearned, original, chosen)),
        table([compare(unlearned, other, chosen) for other in retrained]),
        table([compare(a, b, chosen) for a, b in combinations(retrained, 2)]),
    ) for part, chosen in parts.items()}
