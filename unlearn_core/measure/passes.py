"""What a method costs, whatever the machine: images whose gradient was taken, counted by looking on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook


@dataclass
class Passes:
    """Counted so far.

    Attributes:
        images: each as often as a backward pass went through a network for it.
    """

    images: int = 0


@contextmanager
def counted() -> Iterator[Passes]:
    """Count the images of all backward passes through whole networks while this is open.

    A network is whatever module is called by no other. One that is run forward alone costs nothing here, and an image
    counts once a pass, whether the gradient is that of weights or of pixels. Everything in the process is counted, so
    one method at a time.
    """
    found, depth = Passes(), 0

    def enter(module: nn.Module, inputs: object) -> None:
        nonlocal depth
        depth += 1

    def leave(module: nn.Module, inputs: object, output: object) -> None:
        nonlocal depth
        depth -= 1
        if depth == 0 and isinstance(output, Tensor) and output.requires_grad:
            output.register_hook(passed)  # type: ignore[no-untyped-call]

    def passed(gradient: Tensor) -> None:
        found.images += len(gradient)

    before, after = register_module_forward_pre_hook(enter), register_module_forward_hook(leave, always_call=True)
    try:
        yield found
    finally:
        before.remove()
        after.remove()
