"""What is differentiated for an importance, and what is asked of a network's outputs for it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unlearn_core.nets.heads import probabilities, tolerance, upcast

Batch = tuple[Tensor, Tensor]
"""Images of shape (N, C, H, W) or (N, d), and integer labels of shape (N,)."""

Importance = dict[str, Tensor]
"""Parameter name -> non-negative tensor with the shape and dtype of the parameter."""

Loss = Literal["cross_entropy", "squared_norm"]
Unit = Literal["batch_mean", "per_sample"]
Order = Literal["given", "class_sorted", "shuffled"]

Magnitude = Callable[..., Tensor]
"""Elementwise square or absolute value, `torch.square` or `torch.abs`: both satisfy magnitude(a * b) = magnitude(a) *
magnitude(b), and write to `out` where it is given."""
@dataclass(frozen=True)
class Estimator:
    """What is differentiated, and over what the gradient's magnitude is averaged.

    Attributes:
        loss: "cross_entropy" squares the gradient of the cross-entropy with the labels (SSD). "squared_norm"
            takes the absolute gradient of the squared norm of the logits and never reads the labels (LFSSD).
        unit: "batch_mean" averages, over batches, the magnitude of the gradient of the batch's mean loss.
            This is what the official code does; it depends on the batch size and order. "per_sample"
            averages, over samples, the magnitude of each sample's own gradient. This is the papers'
            definition (for cross_entropy the diagonal of the empirical Fisher information) and the
            deterministic form of arXiv 2510.26714.

    Raises:
        ValueError: A field has none of the values above.
    """

    loss: Loss
    unit: Unit

    def __post_init__(self) -> None:
        """Reject unknown names early."""
        choices = (("loss", self.loss, get_args(Loss)), ("unit", self.unit, get_args(Unit)))
        for name, value, allowed in choices:
            if value not in allowed:
                raise ValueError(f"{name} must be one of {', '.join(allowed)}, got {value!r}")

    @property
    def magnitude(self) -> Magnitude:
        """The elementwise square for SSD, the absolute value for LFSSD."""
        return torch.square if self.loss == "cross_entropy" else torch.abs

    def losses(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the loss of every sample, shape (N,), at least in float32; logits have shape (N, K)."""
        logits = upcast(logits)
        if self.loss == "squared_norm":
            return logits.square().sum(dim=1)
        return F.cross_entropy(logits, labels, reduction="none")

class BadBatch(Exception):
    """What is wrong with a batch; `importance` adds its number."""


def trainable(model: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters that importances are measured of, by name."""
    return {name: p for name, p in model.named_parameters() if p.requires_grad}


def checked_images(images: Tensor) -> Tensor:
    """The images of a batch, of which there must be one."""
    if images.dim() < 1 or len(images) < 1:
        raise BadBatch(f"images must have shape (N, ...) with N at least 1, got shape {tuple(images.shape)}")
    return images


def checked_losses(output: Any, images: Tensor, labels: Tensor, estimator: Estimator) -> Tensor:
    """The loss of each image, if the output is logits and the losses are finite."""
    if not isinstance(output, Tensor) or output.dim() != 2 or len(output) != len(images):
        got = f"shape {tuple(output.shape)}" if isinstance(output, Tensor) else type(output).__name__
        raise BadBatch(f"the model's output must be logits of shape ({len(images)}, K), got {got}")
    if estimator.loss == "squared_norm" and _looks_normalised(output.detach()):
        raise BadBatch(
            "squared_norm needs raw logits, but every row of the output looks like probabilities or "
            "log-probabilities; remove the softmax or log-softmax at the end of the model"
        )
    losses = estimator.losses(output, labels)
    if not losses.detach().isfinite().all():
        raise BadBatch("the loss must be finite, got NaN or infinity")
    return losses

def _looks_normalised(output: Tensor) -> bool:
    logs = output.shape[1] > 1 and bool((upcast(output).logsumexp(1).abs() < tolerance(output)).all())
    return logs or probabilities(output)


def checked_sums(sums: Importance) -> Importance:
    """The sums, if they are finite."""
    # The entries are not negative, so their sum is finite exactly if all of them are.
    for name, values in sums.items():
        if not math.isfinite(values.sum(dtype=accumulator(values)).item()):
            raise BadBatch(f"the gradient of {name} must be finite, got NaN or infinity")
    return sums


def accumulator(x: Tensor) -> torch.dtype:
    """The precision in which long sums are taken."""
    return torch.float32 if x.device.type == "mps" else torch.float64  # MPS has no float64
