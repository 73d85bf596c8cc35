"""From where on is it lost? The activations of one stage of an outcome, handed to the rest of the original network."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from unlearn_core.audit.similarity import stages
from unlearn_core.nets.heads import as_taken
from unlearn_core.nets.models import private_copy
from unlearn_core.nets.substitute import called_with

Float32 = npt.NDArray[np.float32]

_BATCH = 250  # see `evaluate`


def patched(model: nn.Module, weights: Mapping[str, Tensor], pixels: Tensor) -> dict[str, Float32]:
    """What a network says of images when one of its stages hands on what the same stage of another network does.

    The other network is this one with `weights` in place of its own. Where the stages follow each other, a patched
    network is the other one up to that stage and this one behind it: after the last stage it is the other network.
    Activation patching (Zhang and Nanda, arXiv 2309.16042, section 2), here of whole stages.

    Args:
        model: the network whose stages behind the patched one are kept, the original; it is not changed.
        weights: parameters and buffers by name, the outcome's.
        pixels: (N, C, H, W), standardised.

    Returns:
        Stage (see `similarity.stages`) -> (N, classes) logits, in the order in which the stages run. A stage that is
        not run exactly once, or whose output is not one tensor with a row per image, is left out.

    Raises:
        ValueError: if there is no image, the network has no stage, or it has no weight of a name.
    """
    if not len(pixels):
        raise ValueError("pixels: at least one image expected, got none")
    private = private_copy(model).eval()
    pixels = as_taken(private, pixels)
    runs: Counter[str] = Counter()
    seen: dict[str, Tensor] = {}
    given: dict[str, Tensor] = {}

    def hook(name: str) -> Callable[[nn.Module, object, object], object]:
        def patch(module: nn.Module, inputs: object, output: object) -> object:
            if given:
                return given.get(name, output)
            runs[name] += 1
            if isinstance(output, Tensor) and output.dim() and len(output) == images:
                seen[name] = output.clone()  # a later layer may change it in place
            return output

        return patch

    for name in stages(private):
        private.get_submodule(name).register_forward_hook(hook(name))
    parts: dict[str, list[Tensor]] = {}
    with torch.no_grad():
        for part in torch.split(pixels, _BATCH):
            images = len(part)
            runs.clear()
            seen.clear()
            called_with(private, weights, part)
            for name, output in [(name, output) for name, output in seen.items() if runs[name] == 1]:
                given[name] = output
                parts.setdefault(name, []).append(private(part))
                given.clear()
    return {name: torch.cat(logits).float().numpy() for name, logits in parts.items()}
