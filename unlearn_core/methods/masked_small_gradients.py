"""Masked small gradients: what neither side needs is drawn anew and learns, the rest learns slowly (arXiv 2410.01276).

Followed: the implementation in the repository of Deep Unlearn, xcadet/deepunlearn, `munl/unlearning/kgltop2.py`, of
the second solution of the NeurIPS 2023 machine unlearning challenge. In every two-dimensional convolution it ranks the
weights by the size of the gradient of CE(retained images) - CE(forget set), of as many retained images as there are
forgotten ones. The share with the smallest is drawn anew, the gradient of the others is divided by ten, and the network
is trained on the retain set: SGD, momentum 0.9, weight decay 5e-4, a rate that rises and falls by whole epochs.

Otherwise here: the gradient is that of the mean over all images in evaluation mode, where the code adds up the means of
batches, so that a short last batch counts as much as a full one. Not checked: the notebook that was handed in, and the
settings that the paper's search found for each of its data sets.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from unlearn_core.measure.task import Task
from unlearn_core.methods import loop
from unlearn_core.methods.base import CHOSEN, TUNED, Hyperparameter, Method, Outcome, Preset, Settings
from unlearn_core.methods.training import trainable_copy, trained
from unlearn_core.progress import Progress, stage

SLOWLY = 0.1
"""What the gradient of a kept weight is multiplied by."""
_CODE = "released code"


def smallest(gradient: Tensor, share: float) -> Tensor:
    """A bool mask of the gradient's shape: the `share` of its entries with the smallest |g|, of equal ones the first.

    Their number is the nearest whole one; of two equally near, the even one.
    """
    order = gradient.abs().flatten().argsort(stable=True)[:round(share * gradient.numel())]
    return torch.zeros(gradient.numel(), dtype=torch.bool).index_fill_(0, order, True).view(gradient.shape)


def triangle(epoch: int, epochs: int) -> float:
    """Share of the highest learning rate in an epoch, counted from 0: up by equal steps until the middle, then down.

    With h = floor((epochs + 1) / 2): (epoch + 1) / h up to the h-th epoch, then (epochs - epoch) / (epochs + 1 - h).
    """
    top = (epochs + 1) // 2
    return (epoch + 1) / top if epoch < top else (epochs - epoch) / (epochs + 1 - top)


def _convolutions(model: nn.Module) -> dict[str, nn.Conv2d]:
    """By the name of their weights; frozen ones are left out."""
    return {f"{name}.weight": module for name, module in model.named_modules()
            if isinstance(module, nn.Conv2d) and module.weight.requires_grad}


def run(task: Task, settings: Settings, progress: Progress) -> Outcome:
    """Draw the weights with the smallest gradients anew, then fine-tune while the others learn at a tenth."""
    model, (forget, retain) = trainable_copy(task.model), task.split
    draw = task.generator("masked small gradients", "weights")
    sample = retain[torch.randperm(len(retain), generator=draw)[:len(forget)]]
    kept, lost = (loop.mean_gradient(model, task, part, stage(progress, low, low + 0.1, what))
                  for part, low, what in ((sample, 0.0, "retained images"), (forget, 0.1, "forget set")))
    drawn = weights = 0
    for name, module in _convolutions(model).items():
        mask = smallest(kept[name] - lost[name], float(settings["share"]))
        with torch.no_grad():
            # He et al.'s normal initialisation for ReLU, by the number of outputs that a weight feeds
            deviation = math.sqrt(2 / (module.weight.shape[0] * module.weight[0, 0].numel()))
            fresh = deviation * torch.randn(module.weight.shape, generator=draw)
            module.weight[mask] = fresh[mask].to(module.weight.dtype)
        module.weight.register_hook(lambda g, drawn=mask: torch.where(drawn, g, SLOWLY * g))  # type: ignore[no-untyped-call]
        drawn, weights = drawn + int(mask.sum()), weights + mask.numel()
    losses = loop.relearn(task, model, settings, loop.each_epoch(triangle), "masked small gradients",
                          stage(progress, 0.2, 1.0))
    progress(1.0, "done")
    trace = {"drawn_anew": float(drawn), "convolution_weights": float(weights), "steps": float(len(losses)),
             "first_loss": losses[0], "final_loss": losses[-1]}
    curves = loop.loss_curves("It begins where the newly drawn weights left the network and falls as the retained "
                              "images are learnt again.", loop.CROSS_ENTROPY, retained_images=losses)
    return trained(task, model, trace, exhibits=(curves,), warnings=() if drawn else (
        "No weight is drawn anew at this share: the network was only fine-tuned.",))


def obstacle(task: Task, settings: Settings) -> str:
    """Only the weights of convolutions are drawn anew."""
    return "" if _convolutions(task.model) else (
        "Masked small gradients draws weights of convolutions anew, and this network has none that may change.")


METHOD = Method(
    name="masked_small_gradients",
    title="Masked small gradients",
    paper="MSG in Cadet et al., Deep unlearn: Benchmarking machine unlearning, arXiv 2410.01276; the second solution "
          "of the NeurIPS 2023 machine unlearning challenge",
    about="Draws the convolution weights with the smallest gradients anew, then learns the retained images again, the "
          "other convolution weights slowly.",
    family="baseline",
    needs=frozenset({"forget images", "retain images", "labels"}),
    hyperparameters=(
        Hyperparameter("share", "Share drawn anew", "Share of each convolution's weights, those with the smallest "
                       "gradients, that start again: higher forgets more and harms more.", f"{_CODE}: 0.3", default=0.3,
                       scale="linear", low=0.0, high=1.0),
        loop.learning_rate("The highest learning rate of the run.", 0.1, f"{TUNED}; {_CODE}: 0.001"),
        loop.epochs(2, "Passes over the retained images.", f"{CHOSEN}; {_CODE}: 5"),
        loop.retain_images(500, f"{CHOSEN}; {_CODE}: all"),
        loop.batch_size(64, source=f"{_CODE}: 64"),
    ),
    work=run,
    obstacle=obstacle,
    presets={
        "official": Preset({"share": 0.3, "lr": 0.001, "epochs": 5, "retain_images": "all", "batch_size": 64},
                           "The repository's own values, and all retained images."),
        "too weak": Preset({"share": 0.1, "lr": 0.005, "epochs": 1},
                           "Few weights start again, and little is learnt anew."),
    },
)
