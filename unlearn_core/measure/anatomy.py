"""Where in a network a change lies: stage by stage, kind by kind, and unit by unit within a layer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from torch import Tensor, nn

from unlearn_core.nets.heads import head
from unlearn_core.nets.models import Offset, SelfAttention

Float64 = npt.NDArray[np.float64]

_TINY = float(np.finfo(np.float64).tiny)  # instead of a norm of zero


@dataclass(frozen=True)
class Group:
    """Some layers taken together.

    Attributes:
        weights: how many.
        selected: share of them that was selected for dampening; NaN if nothing was dampened.
        norm_removed: share of their squared norm that dampening removed; NaN likewise.
        change: ‖ΔW‖ / ‖W‖.
        share: of the network's squared weight change, in [0, 1]; 0 if nothing changed.
    """

    weights: int
    selected: float
    norm_removed: float
    change: float
    share: float


def groups(names: Sequence[str], sizes: npt.NDArray[np.int64], norms: Float64, change: Float64,
           selected: npt.NDArray[np.int64] | None = None, norm_removed: Float64 | None = None) -> dict[str, Group]:
    """Totals of the layers that share a name, in order of first appearance.

    Args:
        names: of each layer's group: its stage or its kind.
        sizes: (layers,) number of weights.
        norms: (layers,) ‖W‖ before.
        change: (layers,) ‖ΔW‖ / ‖W‖.
        selected: (layers,) number of weights selected, for a method that dampens.
        norm_removed: (layers,) share of the squared norm removed, likewise.
    """
    energy, moved = norms**2, (change * norms) ** 2
    everything = max(moved.sum(), _TINY)
    found = {}
    for name in dict.fromkeys(names):
        mine = np.array([n == name for n in names])
        weights, norm = int(sizes[mine].sum()), max(energy[mine].sum(), _TINY)
        found[name] = Group(
            weights,
            math.nan if selected is None else float(selected[mine].sum() / weights),
            math.nan if norm_removed is None else float((norm_removed * energy)[mine].sum() / norm),
            float(np.sqrt(moved[mine].sum() / norm)),
            float(moved[mine].sum() / everything))
    return found


def stage_of(layer: str) -> str:
    """The part of the network a parameter belongs to: the first word of its name, with its number in a list of blocks.

    ``block2.conv1.weight`` belongs to ``block2``, ``blocks.3.norm1.bias`` to ``blocks.3``, ``stem.0.weight`` to
    ``stem``.
    """
    parts = layer.split(".")
    return ".".join(parts[:2]) if len(parts) > 3 and parts[1].isdigit() else parts[0]


@dataclass(frozen=True, eq=False)
class Units:
    """What happened to each output unit of a layer.

    Attributes:
        names: of the units: filters, neurons, channels, tokens, parts of attention heads, or classes.
        before: (units, weights) of the original; a unit's weights are its row.
        after: the same after unlearning.
        selected: (units,) share of the unit's weights selected for dampening; None if nothing was dampened.
        kernel: (inputs, height, width) of a convolution's filter, else None.
    """

    names: tuple[str, ...]
    before: npt.NDArray[np.float32]
    after: npt.NDArray[np.float32]
    selected: Float64 | None
    kernel: tuple[int, int, int] | None

    @property
    def change(self) -> Float64:
        """(units,) ‖Δw‖ / ‖w‖; 1 for a unit that was zero and moved."""
        old, moved = _norms(self.before), _norms(self.after - self.before)
        return np.divide(moved, old, where=old > 0, out=(moved > 0).astype(np.float64))

    @property
    def norm_removed(self) -> Float64:
        """(units,) share of the squared norm removed; negative where the norm grew, 0 where it was 0."""
        old, new = _norms(self.before) ** 2, _norms(self.after) ** 2
        return np.asarray(np.divide(old - new, old, where=old > 0, out=np.zeros(len(old))))

    @property
    def order(self) -> npt.NDArray[np.int64]:
        """Positions of the units, the most hit first: by selected share, then by relative change."""
        hit = self.change if self.selected is None else self.selected
        return np.lexsort((-self.change, -hit))


def _norms(rows: npt.NDArray[np.float32]) -> Float64:
    return np.asarray(np.linalg.norm(rows.astype(np.float64), axis=1))


def units(model: nn.Module, layer: str, after: Tensor, selected: Tensor | None, classes: Sequence[str],
          images: Tensor | None = None) -> Units:
    """One layer, unit by unit.

    A unit is a row of the weights: a filter of a convolution, a neuron of a linear layer, a channel of a norm or a
    bias, a token of a position embedding, a class of the head. The rows of the joint projection of an attention
    layer are taken together by head, for queries, keys and values apart.

    Args:
        model: the original.
        layer: name of a parameter.
        after: its weights after unlearning.
        selected: bool, same shape: which weights were selected for dampening.
        classes: names of the head's outputs.
        images: two, to find the head; see `heads.head`.

    Raises:
        AttributeError: if the model has no such parameter.
    """
    before = model.get_parameter(layer).detach()
    names, kernel = _names(model, layer, classes, images), None
    if before.dim() == 4:
        kernel = (before.shape[1], before.shape[2], before.shape[3])

    def rows(values: Tensor) -> npt.NDArray[np.float32]:
        return values.detach().reshape(len(names), -1).float().numpy()

    return Units(tuple(names), rows(before), rows(after),
                 None if selected is None else rows(selected).mean(1, dtype=np.float64), kernel)


def _names(model: nn.Module, layer: str, classes: Sequence[str], images: Tensor | None) -> Sequence[str]:
    path = layer.split(".")[:-1]
    owner, parent = model.get_submodule(".".join(path)), model.get_submodule(".".join(path[:-1]))
    shape = model.get_parameter(layer).shape
    if owner is head(model, images):
        return classes
    if isinstance(parent, SelfAttention) and owner is parent.qkv:
        return [f"{part} of head {i}" for part in ("queries", "keys", "values") for i in range(parent.heads)]
    if isinstance(owner, Offset):
        return [f"token {i}" for i in range(shape[1])]
    noun = "filter" if "Conv" in type(owner).__name__ else "neuron" if isinstance(owner, nn.Linear) else "channel"
    return [f"{noun} {i}" for i in range(shape[0])]


def parameter_kinds(model: nn.Module, images: Tensor | None = None) -> dict[str, str]:
    """What each parameter is: convolution, norm, linear, attention, head, embedding, bias or other; see `head`."""
    last, kinds = head(model, images), {}
    for prefix, module in model.named_modules():
        for name, _ in module.named_parameters(recurse=False):
            full = f"{prefix}.{name}" if prefix else name
            kinds[full] = ("head" if module is last else "norm" if "Norm" in type(module).__name__
                           else "bias" if name.endswith("bias") else _kind(module, prefix))
    return kinds


def _kind(module: nn.Module, prefix: str) -> str:
    if isinstance(module, nn.Linear):
        return "attention" if "attention" in prefix else "linear"
    if isinstance(module, Offset | nn.Embedding):
        return "embedding"
    return "convolution" if "Conv" in type(module).__name__ else "other"
