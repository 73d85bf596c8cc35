"""What a network gives, seen from outside: its head, its logits, whether it fits its images."""

from __future__ import annotations

import copy
from contextlib import suppress
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from unlearn_core.nets.models import SmallResNet, SmallViT, in_training, private_copy, seeded


def head(model: nn.Module, images: Tensor | None = None) -> nn.Linear:
    """The linear layer that gives the logits: its input is the feature space, its rows are the classes.

    Args:
        model: left as it is.
        images: (N, ...) as the network takes them; two are enough, and only two are looked at. The networks of this
            project need none.

    Raises:
        ValueError: if no linear layer gives the logits.
    """
    if images is None:
        if isinstance(model, SmallResNet | SmallViT):
            return model.head
        raise ValueError("images: two expected, to see which layer gives the logits; only this project's own networks "
                         "need none")
    private = private_copy(model).eval()
    calls = watched(private)
    with torch.no_grad():
        logits = private(as_taken(private, images[:2]))
    found, _ = last_layer(calls, logits)
    return next(module for (_, module), (_, own) in zip(model.named_modules(), private.named_modules(), strict=True)
                if own is found and isinstance(module, nn.Linear))


Calls = list[tuple[nn.Linear, Tensor, Tensor]]
"""Linear layers with one input and the output each gave for it, in the order in which they ran."""


def watched(model: nn.Module) -> Calls:
    """A list that fills up with the calls of all linear layers; empty it before each batch. It leaves hooks behind."""
    calls: Calls = []

    def record(layer: nn.Module, inputs: tuple[Tensor, ...], named: dict[str, Tensor], output: Tensor) -> None:
        assert isinstance(layer, nn.Linear)
        calls.append((layer, (inputs[0] if inputs else named["input"]).detach(), output.detach()))

    for module in model.modules():
        if isinstance(module, nn.Linear):
            module.register_forward_hook(record, with_kwargs=True)
    return calls


def last_layer(calls: Calls, logits: Tensor) -> tuple[nn.Linear, Tensor]:
    """The linear layer whose output is the logits, and its input; a log-softmax may follow it.

    The order in which layers are defined says nothing: what counts is what they gave.

    Raises:
        ValueError: if there is none.
    """
    for linear, features, output in reversed(calls):
        if output.shape == logits.shape:
            given, said = output.float(), logits.float()
            if torch.allclose(given, said, 0, 0, equal_nan=True):
                return linear, features
            if torch.allclose(given.log_softmax(1), said.log_softmax(1), atol=1e-5):
                return linear, features
    found = "found no linear layer" if not calls else "no linear layer's outputs are the network's"
    raise ValueError(f"model: a network with a linear head expected, {found}")


def as_taken(model: nn.Module, images: Tensor) -> Tensor:
    """The images in the precision of the network's weights."""
    precision = next((value.dtype for value in model.parameters() if value.is_floating_point()), images.dtype)
    return images.to(precision)


def check_logits(output: object, images: int) -> Tensor:
    """What a network gave for so many images, if it is logits of shape (N, K).

    Raises:
        ValueError: if it is anything else, probabilities for one.
    """
    if not isinstance(output, Tensor) or output.dim() != 2 or len(output) != images or not output.is_floating_point():
        got = f"{output.dtype} of shape {tuple(output.shape)}" if isinstance(output, Tensor) else type(output).__name__
        raise ValueError(f"model: one output expected, floating-point logits of shape ({images}, classes), got {got}")
    if probabilities(output.detach()):
        raise ValueError("model: raw logits expected, got probabilities; take away the softmax at its end")
    return output


_passed: WeakKeyDictionary[nn.Module, tuple[object, ...]] = WeakKeyDictionary()
"""What each network was last found to be right for; a network whose modules were replaced is tried again."""


def check(model: nn.Module, images: Tensor, classes: int) -> None:
    """Try a network once on two images, in evaluation and in training mode; it is left as it is, as is all randomness.

    Args:
        model: any network.
        images: (N, ...) standardised; two are used.
        classes: how many outputs it should have.

    Raises:
        ValueError: if it does not give one raw logit per class for each image, in either mode.
    """
    some = images[:2]
    key = (some.shape, classes, *map(id, model.modules()))
    if _passed.get(model) == key:
        return
    with seeded(torch.Generator()), torch.no_grad():
        private = private_copy(model).eval()
        some = as_taken(private, some)
        try:
            output = private(some)
        except (RuntimeError, TypeError) as error:
            raise ValueError(f"model: a network that takes images of shape {tuple(some.shape[1:])} expected, got one "
                             f"that fails on them: {error}") from error
        logits = check_logits(output, len(some))
        if logits.shape[1] != classes:
            raise ValueError(f"model: an output for each of the {classes} classes expected, got {logits.shape[1]}")
        with suppress(RuntimeError, ValueError):  # it may serve methods that do not train; others will say why not
            output = in_training(copy.deepcopy(model))(some)
    if not isinstance(output, Tensor):
        raise ValueError(f"model: one output in training mode too expected, got {type(output).__name__}; switch its "
                         "further outputs off (torchvision's: aux_logits=False)")
    _passed[model] = key


def probabilities(output: Tensor) -> bool:
    """Whether all rows, of shape (N, K), look like the result of a softmax: not negative, with a sum of 1."""
    if output.shape[1] < 2:  # a single logit is not a distribution
        return False
    rows = upcast(output)
    return bool((rows >= 0).all()) and bool(((rows.sum(1) - 1).abs() < tolerance(output)).all())


def tolerance(output: Tensor) -> float:
    """How far from one a sum of probabilities in this precision may lie."""
    return 1e-4 if output.dtype in (torch.float32, torch.float64) else 2e-2


def upcast(x: Tensor) -> Tensor:
    """Lower floating-point precisions as float32, everything else unchanged."""
    return x.to(torch.promote_types(x.dtype, torch.float32)) if x.is_floating_point() else x
