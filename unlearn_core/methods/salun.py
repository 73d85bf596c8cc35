"""SalUn: random labels, learned by the salient weights only (Fan et al., ICLR 2024, arXiv 2310.12508)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from unlearn_core.exhibits import LayerBars
from unlearn_core.measure.task import Task
from unlearn_core.methods import loop
from unlearn_core.methods.base import CHOSEN, TUNED, Hyperparameter, Method, Outcome, Preset, Settings
from unlearn_core.methods.training import batches, trainable_copy, trained
from unlearn_core.nets import models
from unlearn_core.progress import Progress, stage

_README = "released README"


def salient(gradient: dict[str, Tensor], share: float) -> dict[str, Tensor]:
    """Which weights have the largest |gradient| of all, as masks; of equal ones the first.

    The paper's threshold, the median of |gradient| over the whole network, is a share of one half.

    Args:
        gradient: by parameter name.
        share: of all entries, in [0, 1]; rounded to a whole number of them.

    Returns:
        Bool masks of the same names and shapes.
    """
    sizes = [g.numel() for g in gradient.values()]
    order = torch.cat([g.abs().flatten() for g in gradient.values()]).argsort(descending=True, stable=True)
    chosen = torch.zeros(sum(sizes), dtype=torch.bool)
    chosen[order[:round(share * sum(sizes))]] = True
    return {name: part.view(g.shape)
            for (name, g), part in zip(gradient.items(), torch.split(chosen, sizes), strict=True)}


def run(task: Task, settings: Settings, progress: Progress) -> Outcome:
    """Find the weights that matter to the forget set, then let only those learn wrong labels for it."""
    model, classes = trainable_copy(task.model), len(task.train.classes)
    forget, kept = task.split[0], loop.some_retained(task, settings["retain_images"])
    # The released code takes a step between batches, so that later batches see other weights; here none is taken.
    gradient = loop.mean_gradient(model, task, forget, stage(progress, 0.0, 0.2, "saliency"))
    masks = salient(gradient, float(settings["salient_share"]))
    for name, p in model.named_parameters():
        if p.requires_grad:  # without weight decay, a weight that never has a gradient never moves
            p.register_hook(lambda g, mask=masks[name]: g * mask)  # type: ignore[no-untyped-call]
    targets = task.train.labels.clone()
    labels = task.generator("salun", "labels")
    targets[forget] = (
        loop.wrong_labels(targets[forget], task.request.classes, classes, labels)
        if settings["relabel"] == "wrong" else torch.randint(classes, (len(forget),), generator=labels))
    order, dropout = task.generator("salun", "order"), task.generator("salun", "dropout")
    positions = torch.cat([forget, kept])

    def loss(batch: Tensor) -> Tensor:
        with models.seeded(dropout):
            logits = loop.logits(model, task, batch)
        return F.cross_entropy(logits, targets[batch])

    losses = loop.descend(
        models.in_training(model),
        torch.optim.SGD([p for p in model.parameters() if p.requires_grad], float(settings["lr"]), momentum=0.9),
        lambda _: batches(positions, int(settings["batch_size"]), order), loss, int(settings["epochs"]),
        stage(progress, 0.2, 1.0, "learning wrong labels"), "fine-tuning")
    progress(1.0, "done")
    counts = {name: float(mask.sum()) for name, mask in masks.items()}
    chosen = sum(counts.values())
    trace = {"salient": chosen, "salient_share": chosen / sum(mask.numel() for mask in masks.values()),
             "steps": float(len(losses)), "forget_images": float(len(forget)), "retain_images": float(len(kept))}
    trace |= {"final_loss": losses[-1]} if losses else {}
    bars = LayerBars(
        "Salient weights", "A long bar means that the forget set pulls at most weights of the layer; only those "
        "were allowed to move.", tuple(masks), tuple(counts.values()),
        tuple(float(mask.numel()) for mask in masks.values()), "weights")
    curves = loop.loss_curves("It falls as the network learns the wrong labels of the forget images and keeps the "
                              "true ones of the others.", loop.CROSS_ENTROPY,
                              relabelled_and_retained_images=losses)
    return trained(task, model, trace, exhibits=(bars, curves),
                   warnings=() if chosen else ("No weight is salient at this share: no weight was changed.",))


def obstacle(task: Task, settings: Settings) -> str:
    """Every forget image needs a label that is neither its own nor forgotten."""
    if len(task.train.classes) < 2:
        return "The network knows only one class, so there is no wrong label to learn."
    return loop.frozen_entirely(task, settings)


METHOD = Method(
    name="salun",
    title="SalUn",
    paper="Fan et al., SalUn: Empowering machine unlearning via gradient-based weight saliency in both image "
          "classification and generation, ICLR 2024, arXiv 2310.12508",
    about="Learns random labels for the forget images with only the weights at which the forget set pulls hardest.",
    family="baseline",
    needs=frozenset({"forget images", "retain images", "labels"}),
    hyperparameters=(
        Hyperparameter("salient_share", "Salient share", "Share of all weights that may move: those with the largest "
                       "gradient on the forget set.", "the paper's threshold, the median gradient: 0.5", default=0.5,
                       scale="linear", low=0.0, high=1.0),
        Hyperparameter("lr", "Learning rate", "Step size of SGD with momentum 0.9: higher forgets more and harms more.",
                       f"{TUNED}; {_README}: 0.1 for random images", default=0.005, scale="log",
                       low=1e-4, high=0.5),
        Hyperparameter("epochs", "Epochs", "Passes over the relabelled and the retained images.",
                       f"{CHOSEN}; {_README}: 10", default=2, scale="choice",
                       choices=(0, 1, 2, 3, 5, 10)),
        Hyperparameter("retain_images", "Retained images", "How many images of each retained class are trained on "
                       "with their true labels.", f"{CHOSEN}; released code: all", default=500,
                       scale="choice", choices=(50, 100, 250, 500, 1000, "all")),
        Hyperparameter("relabel", "Random labels", "Wrong draws a label that is neither the image's own nor "
                       "forgotten; any draws among all classes.", "not from the paper: corrected; released code: any",
                       default="wrong", scale="choice", choices=("wrong", "any"), advanced=True),
        Hyperparameter("batch_size", "Batch size", "Images per step.",
                       f"{CHOSEN}; released code: 256", default=128, scale="choice",
                       choices=(16, 32, 64, 128, 256), advanced=True),
    ),
    work=run,
    obstacle=obstacle,
    presets={
        "official": Preset(
            {"salient_share": 0.5, "lr": 0.1, "epochs": 10, "retain_images": "all", "relabel": "any",
             "batch_size": 256},
            "The released README's command for random images, without weight decay and with labels drawn once."),
    },
)
