"""Calling a network with other weights in place of its own."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn
from torch.func import functional_call


def called_with(model: nn.Module, weights: Mapping[str, Tensor], images: Tensor) -> Tensor:
    """What the network says of the images with these weights; afterwards it has its own again.

    A weight may be named by any of its names, and stands in wherever the network holds it: weights that several
    modules share, and modules that stand under several names, included.

    Args:
        model: in the mode it is in.
        weights: parameters and buffers by name; what is not named is the network's own.
        images: (N, ...) as the network takes them.

    Raises:
        ValueError: if the network has no weight of a name.
    """
    # PyTorch restores a module that has two names once for each, and the second time restores the stand-in. So each
    # module is named once here, and weights that several modules share are matched by identity.
    every = {**dict(model.named_parameters(remove_duplicate=False)),
             **dict(model.named_buffers(remove_duplicate=False))}
    if unknown := set(weights) - set(every):
        raise ValueError(f"weights: names of the network's weights expected, got {', '.join(sorted(unknown))}")
    values = {id(every[name]): value for name, value in weights.items()}
    once = {f"{prefix}.{name}".lstrip("."): values[id(held)] for prefix, module in model.named_modules()
            for name, held in (*module._parameters.items(), *module._buffers.items()) if id(held) in values}
    result: Tensor = functional_call(model, once, (images,), tie_weights=False)
    return result
