"""How much memory a result takes."""

from __future__ import annotations

from dataclasses import fields, is_dataclass

import numpy as np
from torch import Tensor, nn

from unlearn_core.measure.task import Task


def weigh(value: object) -> int:
    """Bytes held by a result: its arrays and tensors, shared ones counted each time."""
    if isinstance(value, np.ndarray):
        return int(value.nbytes)
    if isinstance(value, Tensor):
        return value.numel() * value.element_size()
    if isinstance(value, bytes):
        return len(value)
    if isinstance(value, dict):
        return sum(map(weigh, value.values()))
    if isinstance(value, tuple | list):
        return sum(map(weigh, value))
    if isinstance(known := getattr(value, "weight", None), int):  # it knows, and is still growing
        return known
    if isinstance(value, Task | nn.Module):
        return 0  # the original network and the images: held once for everybody
    if is_dataclass(value):
        return 64 + sum(weigh(getattr(value, f.name)) for f in fields(value))
    return 8
