"""Boundary shrink: each forget image joins its nearest other class (Chen et al., CVPR 2023, arXiv 2303.11570)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unlearn_core.exhibits import Exhibit, Pictures
from unlearn_core.measure.task import Task
from unlearn_core.methods import loop
from unlearn_core.methods.base import CHOSEN, TUNED, Hyperparameter, Method, Outcome, Preset, Settings
from unlearn_core.methods.training import batches, finite, trainable_copy, trained
from unlearn_core.nets import models
from unlearn_core.progress import Progress, stage

_SHOWN = 8


def pushed(model: nn.Module, images: Tensor, labels: Tensor, epsilon: float, mean: tuple[float, ...],
           std: tuple[float, ...]) -> Tensor:
    """The images after one step of the fast gradient sign method, away from their labels.

    Args:
        model: in evaluation mode.
        images: (N, C, ...) standardised.
        labels: (N,).
        epsilon: length of the step in every pixel, in the scale where pixels lie in [0, 1].
        mean: per channel, of the standardisation.
        std: per channel.

    Returns:
        The images, still within the range of real pixels.

    Raises:
        Diverged: if the loss is not finite.
    """
    images = images.detach().requires_grad_()
    loss = F.cross_entropy(model(images), labels, reduction="sum")
    finite(loss, "search for the nearest class")
    (gradient,) = torch.autograd.grad(loss, images)
    centre, unit = (torch.tensor(v, dtype=images.dtype).view(1, -1, *[1] * (images.dim() - 2)) for v in (mean, std))
    moved = images.detach() + epsilon / unit * gradient.sign()
    return torch.minimum(torch.maximum(moved, -centre / unit), (1 - centre) / unit)


def run(task: Task, settings: Settings, progress: Progress) -> Outcome:
    """Give each forget image the label that the original gives it after a small push, and learn that."""
    forget, _ = task.split
    original, model = trainable_copy(task.model), trainable_copy(task.model)
    if settings["statistics"] == "updated":
        models.in_training(model)
    precision = next(model.parameters()).dtype
    parts, moved = torch.split(forget, 250), []
    answers, epsilon = [], float(settings["epsilon"])
    for i, part in enumerate(parts):
        images = pushed(original, task.train.pixels(part).to(precision), task.train.labels[part], epsilon,
                        task.train.mean, task.train.std)
        moved.append(images[:_SHOWN])
        with torch.no_grad():
            answers.append(original(images))
        progress(0.3 * (i + 1) / len(parts), f"nearest classes, batch {i + 1} of {len(parts)}")
    logits, own = torch.cat(answers), task.train.labels[forget]
    crossed = float((logits.argmax(1) != own).float().mean())
    if settings["neighbour"] == "other":
        logits[:, list(task.request.classes)] = -torch.inf
        logits[torch.arange(len(forget)), own] = -torch.inf
    nearest = logits.argmax(1)
    targets = task.train.labels.clone()
    targets[forget] = nearest
    order, dropout = task.generator("boundary shrink", "order"), task.generator("boundary shrink", "dropout")

    def loss(batch: Tensor) -> Tensor:
        with models.seeded(dropout):
            answer = loop.logits(model, task, batch)
        return F.cross_entropy(answer, targets[batch])

    losses = loop.descend(
        model, torch.optim.SGD([p for p in model.parameters() if p.requires_grad], float(settings["lr"]), momentum=0.9),
        lambda _: batches(forget, int(settings["batch_size"]), order), loss, int(settings["epochs"]),
        stage(progress, 0.3, 1.0, "learning the nearest classes"), "fine-tuning")
    progress(1.0, "done")
    trace = {"forget_images": float(len(forget)), "steps": float(len(losses)), "crossed_share": crossed,
             "kept_label_share": float((nearest == own).float().mean()),
             "nearest_classes": float(len(torch.unique(nearest)))}
    trace |= {"final_loss": losses[-1]} if losses else {}
    exhibits: list[Exhibit] = [loop.loss_curves(
        "It falls as the network learns to give forget images the label of their nearest class.",
        loop.CROSS_ENTROPY, forget_images=losses)]
    shown = torch.cat(moved)[:_SHOWN]
    if shown.dim() == 4:
        exhibits.append(Pictures(
            "Pushed across the boundary", "Forget images after the push; the name is the class that each joins.",
            shown.float().numpy(), tuple(task.train.classes[label] for label in nearest[:_SHOWN].tolist())))
    unchanged = trace["kept_label_share"]
    return trained(task, model, trace, exhibits=exhibits, warnings=(
        f"The push left {unchanged:.0%} of the forget images in their class: they are trained to stay there.",
    ) if unchanged else ())


def obstacle(task: Task, settings: Settings) -> str:
    """Every forget image needs another class to join."""
    if len(task.train.classes) < 2:
        return "The network knows only one class, so there is no nearest other class."
    return loop.frozen_entirely(task, settings)


METHOD = Method(
    name="boundary_shrink",
    title="Boundary shrink",
    paper="Chen et al., Boundary unlearning: Rapid forgetting of deep networks via shifting the decision boundary, "
          "CVPR 2023, arXiv 2303.11570",
    about="Finds each forget image's nearest other class by a small push of its pixels and learns that class.",
    family="baseline",
    needs=frozenset({"forget images", "labels"}),
    hyperparameters=(
        Hyperparameter("lr", "Learning rate", "Step size of SGD with momentum 0.9: higher forgets more and harms more.",
                       f"{TUNED}; official code: 1e-5", default=1e-4, scale="log", low=1e-6, high=0.1),
        Hyperparameter("epochs", "Epochs", "Passes over the forget images.", f"{CHOSEN}; official code: 10", default=5,
                       scale="choice", choices=(0, 1, 2, 3, 5, 10, 20)),
        Hyperparameter("epsilon", "ε", "How far every pixel is pushed to find the nearest class; pixels lie between "
                       "0 and 1.", "official code: 0.1", default=0.1, scale="linear", low=0.0, high=0.5),
        Hyperparameter("neighbour", "Nearest class", "Other takes the likeliest class that is neither the image's own "
                       "nor forgotten; predicted takes the answer as it is, even where the push failed.",
                       "not from the paper: corrected; official code: predicted", default="other", scale="choice",
                       choices=("other", "predicted"), advanced=True),
        Hyperparameter("statistics", "Batch statistics", "Kept leaves the running means of the batch norms alone; "
                       "updated lets the forget images alone decide them.",
                       "not from the paper: corrected; official code: updated", default="kept", scale="choice",
                       choices=("kept", "updated"), advanced=True),
        Hyperparameter("batch_size", "Batch size", "Images per step.", "official code: 64", default=64, scale="choice",
                       choices=(16, 32, 64, 128, 256), advanced=True),
    ),
    work=run,
    obstacle=obstacle,
    presets={
        "official": Preset({"lr": 1e-5, "epochs": 10, "epsilon": 0.1, "neighbour": "predicted",
                            "statistics": "updated", "batch_size": 64},
                           "The official code: tiny steps, and labels as the pushed images are predicted."),
    },
)
