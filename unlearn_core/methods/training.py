"""What the methods that train share: a network to train, seeded batches, guarded losses, the outcome."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from unlearn_core.exhibits import Exhibit
from unlearn_core.measure.task import Task
from unlearn_core.methods.base import Cost, Diverged, Outcome


def trainable_copy(model: nn.Module) -> nn.Module:
    """The same network with weights of its own, in evaluation mode; frozen weights stay frozen."""
    return copy.deepcopy(model).eval()


def batches(positions: Tensor, size: int, generator: torch.Generator) -> list[Tensor]:
    """The positions in random order, `size` at a time.

    The last batch may be short, but never a single image among larger ones: batch norms cannot learn from one.
    """
    found = list(torch.split(positions[torch.randperm(len(positions), generator=generator)], size))
    return [*found[:-2], torch.cat(found[-2:])] if size > 1 and len(found) > 1 and len(found[-1]) == 1 else found


def finite(loss: Tensor, where: str) -> float:
    """The loss as a number.

    Raises:
        Diverged: if it is not finite; `where` says at what moment, as in "repair, step 12".
    """
    value = float(loss.detach())
    if not torch.isfinite(loss):
        raise Diverged(f"The run diverged: the loss became {value} ({where}). Lower the learning rate or the number "
                       "of steps.")
    return value


def trained(task: Task, model: nn.Module, trace: dict[str, float], *, warnings: Sequence[str] = (),
            exhibits: Sequence[Exhibit] = (), stored_bytes: int = 0) -> Outcome:
    """The outcome of a run that trained `model`."""
    before = dict(task.model.named_buffers())
    return Outcome(
        {name: value.detach().clone() for name, value in model.named_parameters()},
        trace, tuple(warnings), Cost(stored_bytes=stored_bytes),
        {name: value.clone() for name, value in model.named_buffers() if not torch.equal(value, before[name])},
        tuple(exhibits))
