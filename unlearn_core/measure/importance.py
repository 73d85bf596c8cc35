"""How much each parameter matters for a set of images.

Selective Synaptic Dampening (SSD, Foster et al., AAAI 2024, arXiv 2308.07707) and its label-free variant
(LFSSD, arXiv 2402.19308) compare such an importance on the images to forget with the one on all images. The
released code of both uses the gradient of the *batch mean*, which depends on the batch size and order; the
papers describe a mean over *samples*, which depends on neither. `Estimator` names the four combinations and
`importance` computes them.

Gradients of single samples come from one ordinary backward pass: in eval mode samples do not influence each
other, so the gradient of the summed loss with respect to a layer's output holds every sample's own gradient
in its own rows. With the layer's input, that is enough to form each sample's parameter gradient;
`per_sample.per_sample_rule` registers the formula of a module type. Parameters without a formula are differentiated
sample by sample.
"""
from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from operator import length_hint
from typing import get_args

import torch
from torch import Tensor, nn

from unlearn_core.measure.estimator import (
    BadBatch,
    Batch,
    Estimator,
    Importance,
    Order,
    accumulator,
    checked_images,
    checked_losses,
    checked_sums,
    trainable,
)
from unlearn_core.measure.per_sample import PerSample
from unlearn_core.nets.heads import upcast
from unlearn_core.progress import Progress, silent


def batch_indices(
    labels: Tensor, batch_size: int, order: Order, *, last: Sequence[int] = (), seed: int = 0
) -> list[Tensor]:
    """Split the positions 0..n-1 of a data set into batches.

    Batch-mean importances depend on this order. The official SSD code walks through the data class by class,
    the retained images first and the images to forget last: "class_sorted" with the classes to forget in
    `last`.

    Args:
        labels: Integer labels, shape (n,).
        batch_size: Images per batch, at least 1; the last batch may be shorter.
        order: "given" keeps the order; "class_sorted" sorts stably by ascending class; "shuffled" permutes.
        last: Classes that "class_sorted" moves to the end, in this order. Classes without images are ignored.
        seed: Seed of the permutation of "shuffled". The global random state is neither read nor changed.

    Returns:
        Tensors of int64 positions on the CPU; each position occurs exactly once.

    Raises:
        ValueError: An argument is outside its range; the message names the argument, the range and the value.
    """
    if labels.dim() != 1 or len(labels) < 1:
        raise ValueError(f"labels must have shape (n,) with n at least 1, got shape {tuple(labels.shape)}")
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")
    if len(set(last)) != len(last):
        raise ValueError(f"last must name each class at most once, got {list(last)}")
    if order == "given":
        positions = torch.arange(len(labels))
    elif order == "shuffled":
        positions = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    elif order == "class_sorted":
        values = labels.tolist()
        rank = {label: place for place, label in enumerate(last)}
        # Sorted by (not last, class) first and by (last, place in `last`) after; Python's sort is stable.
        keys = [(1, rank[value]) if value in rank else (0, value) for value in values]
        positions = torch.tensor(sorted(range(len(values)), key=keys.__getitem__))
    else:
        raise ValueError(f"order must be one of {', '.join(get_args(Order))}, got {order!r}")
    return list(torch.split(positions, batch_size))


def importance(
    model: nn.Module,
    batches: Iterable[Batch],
    estimator: Estimator,
    *,
    progress: Progress = silent,
    total: int | None = None,
) -> Importance:
    """Measure how strongly each parameter influences the loss on the given images.

    The model runs in eval mode and is left as it was, also after an error or a cancellation: parameters,
    `.grad` fields, buffers, every submodule's training flag and the global torch random state. Frozen and
    unused parameters get zeros. "per_sample" assumes that the samples of a batch do not influence each
    other in eval mode.

    Rules compute in the dtype of the parameters (float32 for lower precisions) within a batch; sums over
    batches are kept in float64 and rounded to the dtype of the parameter at the end. Squared gradients
    easily underflow in float16; prefer bfloat16.

    Args:
        model: Any module that maps images to raw logits of shape (N, K).
        batches: Batches on the device of the model; read once, so a generator will do.
        estimator: Which loss, and averaged over what.
        progress: Called after each batch with the share done, where the number of batches is known. What it
            raises (`Cancelled`, for one) is passed on.
        total: Number of batches, for `progress`; default `len(batches)` where that exists.

    Returns:
        One non-negative tensor for each entry of `model.named_parameters()`, shaped and typed like the
        parameter.

    Raises:
        ValueError: There are no batches or a batch is empty, the output is not of shape (N, K), the output
            holds probabilities or log-probabilities although estimator.loss is "squared_norm" (which needs
            raw logits), the loss or a gradient is not finite, or total is below 1.
    """
    if total is not None and total < 1:
        raise ValueError(f"total must be at least 1, got {total}")
    total = total or length_hint(batches)  # 0 where it is not known
    sums = {name: torch.zeros_like(p.detach(), dtype=accumulator(p)) for name, p in model.named_parameters()}
    add_up = PerSample(model, estimator) if estimator.unit == "per_sample" else _BatchMean(model, estimator)
    done = units = 0
    with _left_as_it_was(model), torch.enable_grad():
        model.eval()
        for images, labels in batches:
            try:
                contributions = add_up(images, labels)
            except BadBatch as problem:
                raise ValueError(f"batch {done + 1} (counting from 1): {problem}") from None
            for name, contribution in contributions.items():
                sums[name] += contribution
            done += 1
            units += len(images) if estimator.unit == "per_sample" else 1
            if total:
                progress(min(done / total, 1.0), f"importance: batch {done} of {total}")
    if done == 0:
        raise ValueError("batches must hold at least 1 batch, got 0")
    return {name: (sums[name] / units).to(p.dtype) for name, p in model.named_parameters()}

class _BatchMean:
    """Maps a batch to the magnitude of the gradient of its mean loss."""

    def __init__(self, model: nn.Module, estimator: Estimator) -> None:
        self.model, self.estimator = model, estimator

    def __call__(self, images: Tensor, labels: Tensor) -> Importance:
        loss = checked_losses(self.model(checked_images(images)), images, labels, self.estimator).mean()
        wanted = trainable(self.model) if loss.requires_grad else {}
        gradients = torch.autograd.grad(loss, list(wanted.values()), allow_unused=True) if wanted else ()
        return checked_sums(
            {
                name: self.estimator.magnitude(upcast(gradient))
                for name, gradient in zip(wanted, gradients, strict=True)
                if gradient is not None
            }
        )

@contextmanager
def _left_as_it_was(model: nn.Module) -> Iterator[None]:
    """Restore every submodule's training flag and the global random state on the way out."""
    flags = [(module, module.training) for module in model.modules()]
    devices = {p.device.index for p in model.parameters() if p.device.type == "cuda"}
    with torch.random.fork_rng(devices=sorted(index or 0 for index in devices)):
        try:
            yield
        finally:
            for module, flag in flags:
                module.training = flag
