"""Recording a training while it runs: every step, or the sums that each class caused."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unlearn_core.measure.history import Step, StepHistory
from unlearn_core.measure.pruning import Pruning, largest
from unlearn_core.nets.images import ImageSet


def record_training(model: nn.Module, optimiser: torch.optim.Optimizer, images: ImageSet,
                    epochs: Iterable[Sequence[Tensor]]) -> StepHistory:
    """Train with cross-entropy and record every step.

    Args:
        model: gives logits; changed in place, in whatever mode it is in.
        optimiser: over the model's parameters.
        images: the training images.
        epochs: for each epoch its batches, as positions in `images`.
    """
    steps = []
    dtype = next(model.parameters()).dtype
    for epoch, batches in enumerate(epochs):
        for positions in batches:
            before = {name: value.detach().clone() for name, value in model.named_parameters()}
            optimiser.zero_grad()
            loss = F.cross_entropy(model(images.pixels(positions).to(dtype)), images.labels[positions])
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            steps.append(Step(epoch, positions, {name: value.detach() - before[name]
                                                 for name, value in model.named_parameters()}))
    return StepHistory(tuple(steps))


class ClassRecorder:
    """Collects a `ClassHistory` while a network is trained by SGD with Nesterov momentum.

    For each class c, ``buffer_c = momentum * buffer_c + g_c`` and its part of the step is
    ``-lr * (g_c + momentum * buffer_c)``, where g_c is the gradient of the batch's mean loss through the images of c.
    Momentum from before the recording belongs to no class.

    Args:
        model: the network in training; frozen weights are left out.
        momentum: of the optimiser; 0 for plain SGD.
        classes: number of classes.
        epochs: number of epochs to be recorded.
        shares: of the largest entries; a sum of the records so pruned is collected for each.
    """

    def __init__(self, model: nn.Module, momentum: float, classes: int, epochs: int, shares: Sequence[float]) -> None:
        self._parameters = {name: value for name, value in model.named_parameters() if value.requires_grad}
        self._momentum = momentum
        weights = sum(value.numel() for value in self._parameters.values())
        dtype = next(iter(self._parameters.values())).dtype
        self._buffer = torch.zeros(classes, weights, dtype=dtype)
        self._full = torch.zeros(epochs, classes, weights, dtype=dtype)
        self._top = {share: torch.zeros(classes, weights, dtype=dtype) for share in shares}
        self._steps = torch.zeros(epochs, dtype=torch.long)

    def step(self, epoch: int, logits: Tensor, labels: Tensor, lr: float) -> None:
        """Record a step; call it before the optimiser's, and before ``backward``, which frees the graph.

        Args:
            epoch: of the recorded ones, from 0.
            logits: (B, classes) with their graph.
            labels: (B,).
            lr: the optimiser's learning rate at this step.
        """
        losses = F.cross_entropy(logits, labels, reduction="none") / len(labels)
        self._buffer *= self._momentum
        parts = self._momentum * self._buffer  # of the classes that the batch lacks
        for label in torch.unique(labels).tolist():
            found = torch.autograd.grad(losses[labels == label].sum(), list(self._parameters.values()),
                                        retain_graph=True, allow_unused=True, materialize_grads=True)
            gradient = torch.cat([g.flatten() for g in found])
            self._buffer[label] += gradient
            parts[label] = gradient + self._momentum * self._buffer[label]
        parts *= -lr
        self._steps[epoch] += 1
        self._full[epoch] += parts
        sizes = [value.numel() for value in self._parameters.values()]
        prunings = [Pruning(share) for share in self._top]
        for i, (name, layer) in enumerate(zip(self._parameters, torch.split(parts, sizes, 1), strict=True)):
            masks = largest(layer.abs(), [pruning.entries(name, layer.shape[1]) for pruning in prunings])
            for mask, total in zip(masks, self._top.values(), strict=True):
                torch.split(total, sizes, 1)[i].add_(layer * mask)

    def tables(self) -> dict[str, Tensor]:
        """What a `ClassHistory` reads, in half precision.

        Returns:
            ``steps``: (epochs,) int64, steps recorded in each epoch; ``full/{epoch}/{class}/{parameter}``: the sum of
            that epoch's records of that class; ``top{share}/{class}/{parameter}``: the sum over all epochs of the
            records pruned to their largest entries.
        """
        found = {"steps": self._steps.clone()}
        sums = {f"full/{epoch}": total for epoch, total in enumerate(self._full)}
        sums |= {f"top{share:g}": total for share, total in self._top.items()}
        sizes = [value.numel() for value in self._parameters.values()]
        for kind, total in sums.items():
            for label, row in enumerate(total):
                for (name, value), flat in zip(self._parameters.items(), torch.split(row, sizes), strict=True):
                    found[f"{kind}/{label}/{name}"] = flat.view(value.shape).half()
        return found
