"""PGU, projected-gradient unlearning (Hoang et al., WACV 2024, arXiv 2312.04095).

What the official code does and this does not: it measures its statistics on augmented images with dropout at work,
so that those of the forget images are not contained in them, and it stops by the accuracy on half of the test set.
Here both Gram matrices are of the images as they are, and a fixed sample of retained training images stands in for
held-out ones; no stopping rule sees a test image.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from unlearn_core.exhibits import Curves, LayerBars
from unlearn_core.measure.gram import Patches, layers
from unlearn_core.measure.task import Task
from unlearn_core.methods.base import (
    CHOSEN,
    TUNED,
    Hyperparameter,
    Method,
    NotApplicable,
    Outcome,
    Preset,
    Settings,
    Value,
)
from unlearn_core.methods.loop import logits, some_retained
from unlearn_core.methods.training import batches, finite, trainable_copy, trained
from unlearn_core.progress import Progress, stage

_BATCH = 250  # images per forward pass of the checks
_NOTHING_TO_MOVE = "PGU needs a convolution or linear layer whose weights may change; this network has none."


@dataclass(frozen=True, eq=False)
class Protection:
    """The directions of one layer's inputs in which its weights must not move.

    Attributes:
        projector: (groups, d, d) U_k U_kT in float64, symmetric and idempotent.
        kept: number of protected directions of each group.
        smallest: the smallest eigenvalue of the retained Gram matrix, as a share of all squared inputs.
        forget_outside: share of the forget images' squared inputs that lies outside the protected directions.
    """

    projector: Tensor
    kept: tuple[int, ...]
    smallest: float
    forget_outside: float

    @property
    def of(self) -> int:
        """Number of all directions, over all groups."""
        return self.projector.shape[0] * self.projector.shape[1]


def rank(singular: Tensor, gamma: float, rule: str) -> int:
    """How many leading directions are protected.

    Args:
        singular: (d,) square roots of the eigenvalues' magnitudes, descending.
        gamma: share to reach, in [0, 1]; 1 protects every direction, which freezes the layer.
        rule: ``at most`` counts the directions whose cumulated singular values stay at or below gamma (the official
            code for single images), ``at most + 1`` takes one more (the official code for classes); ``energy`` takes
            as many as it needs for the cumulated squares to reach gamma (GPM, arXiv 2103.09762).
    """
    if gamma >= 1:
        return len(singular)
    sizes = singular.square() if rule == "energy" else singular
    shares = sizes.cumsum(0) / sizes.sum()
    below = shares < gamma if rule == "energy" else shares <= gamma
    return min(len(singular), int(below.sum()) + (rule != "at most"))


def protect(full: Tensor, forget: Tensor, gamma: float, rule: str) -> Protection:
    """The protected directions of a layer, from its Gram matrices over all and over the forget images.

    Args:
        full: (groups, d, d) float64.
        forget: (groups, d, d) float64.
        gamma: see `rank`.
        rule: see `rank`.
    """
    retained = full - forget
    values, vectors = torch.linalg.eigh(retained)
    projectors, kept = [], []
    for value, vector in zip(values, vectors, strict=True):
        # By magnitude, as the official svd of a matrix that may be indefinite orders them.
        order = value.abs().argsort(descending=True)
        k = rank(value.abs()[order].sqrt(), gamma, rule)
        basis = vector[:, order[:k]]
        # Exactly the identity where everything is kept: a frozen layer keeps its bits.
        projectors.append(basis @ basis.T if k < len(value) else torch.eye(k, dtype=value.dtype))
        kept.append(k)
    projector = torch.stack(projectors)
    squared, own = (float(matrix.diagonal(dim1=1, dim2=2).sum()) for matrix in (full, forget))
    inside = float((projector * forget).sum())  # the trace of P C_f
    return Protection(projector, tuple(kept), float(values.min()) / squared if squared else 0.0,
                      min(1.0, max(0.0, 1 - inside / own)) if own else 0.0)


def rates(settings: Settings) -> list[float]:
    """The learning rate of each epoch; it falls evenly in ratio and would have fallen by ``decay`` after the last."""
    epochs = int(settings["epochs"])
    return [float(settings["learning_rate"]) * float(settings["decay"]) ** (epoch / epochs) for epoch in range(epochs)]


def forget_loss(outputs: Tensor, labels: Tensor, offset: float, entropy_weight: float) -> Tensor:
    """Mean of -log(1 - (p_y - offset)) plus `entropy_weight` times the mean of sum p log p.

    The first term falls with the probability of the true class, with a gradient of at most 1 / offset; the second is
    the negative entropy.
    """
    logs = outputs.log_softmax(1)
    true = logs.exp().gather(1, labels[:, None])
    return -(1 - (true - offset)).log().mean() + entropy_weight * (logs.exp() * logs).sum(1).mean()


def project(gradient: Tensor, projector: Tensor) -> Tensor:
    """What is left of a weight's gradient when its share along the protected directions is taken out."""
    matrix = gradient.reshape(len(projector), -1, projector.shape[-1])  # (groups, outputs per group, d)
    return (matrix - matrix @ projector).reshape(gradient.shape)


@dataclass(frozen=True, eq=False)
class _Ascent:
    """What was seen: the loss of each step; accuracies in per cent before the first and after each epoch."""

    losses: list[float]
    forget: list[float]
    retain: list[float]
    warning: str = ""


def _ascend(task: Task, model: nn.Module, weights: list[Tensor], projectors: list[Tensor], settings: Settings,
            progress: Progress) -> _Ascent:
    """Take projected steps on the forget set until the stopping rule holds; changes `weights`, which are `model`'s."""
    forget, checked = task.split[0], some_retained(task, settings["retain_images"])
    rule, target, allowed = str(settings["stop"]), float(settings["target"]), float(settings["max_drop"])
    epochs, size = int(settings["epochs"]), int(settings["batch_size"])
    generator = task.generator("pgu", "order")
    losses: list[float] = []
    lost, kept = [_accuracy(task, model, forget)], [_accuracy(task, model, checked)]
    if rule == "gap" and kept[0] > lost[0]:
        return _Ascent(losses, lost, kept, "The retained accuracy exceeds the forget accuracy before the first step: "
                       "this stopping rule leaves the network as it is.")
    for epoch, lr in enumerate(rates(settings)):
        before = [weight.detach().clone() for weight in weights]
        groups = list(torch.split(forget, size)) if settings["order"] == "given" else batches(forget, size, generator)
        for i, part in enumerate(groups, 1):
            loss = forget_loss(logits(model, task, part), task.train.labels[part], float(settings["offset"]),
                               float(settings["entropy_weight"]))
            losses.append(finite(loss, f"epoch {epoch + 1}, step {i}"))
            gradients = torch.autograd.grad(loss, weights, allow_unused=True, materialize_grads=True)
            with torch.no_grad():
                for weight, projector, gradient in zip(weights, projectors, gradients, strict=True):
                    weight.sub_(lr * project(gradient, projector))
            progress((epoch + i / len(groups)) / epochs, f"epoch {epoch + 1} of {epochs}, step {i} of {len(groups)}")
        lost.append(_accuracy(task, model, forget))
        kept.append(_accuracy(task, model, checked))
        if rule == "gap" and kept[-1] > lost[-1]:
            if abs(kept[-2] - lost[-2]) < abs(kept[-1] - lost[-1]):  # the epoch before was closer: back to it
                del losses[-len(groups):], lost[-1], kept[-1]
                with torch.no_grad():
                    for weight, value in zip(weights, before, strict=True):
                        weight.copy_(value)
            return _Ascent(losses, lost, kept)
        if rule == "forgotten" and lost[-1] <= target:
            return _Ascent(losses, lost, kept)
        if rule in ("forgotten", "drop") and (drop := kept[0] - kept[-1]) > allowed:
            return _Ascent(losses, lost, kept, f"Stopped in epoch {epoch + 1} because the retained accuracy had fallen "
                           f"by {drop:.1f} points, with a forget accuracy of {lost[-1]:.1f} %.")
    unmet = rule == "forgotten" and f"the forget accuracy is still {lost[-1]:.1f} %, above the target of {target:g} %"
    return _Ascent(losses, lost, kept, f"After {epochs} epochs {unmet}: raise the learning rate or the number of "
                   "epochs, or lower γ." if unmet else "")


def _accuracy(task: Task, model: nn.Module, positions: Tensor) -> float:
    """In per cent."""
    with torch.no_grad():
        hits = sum(int((logits(model, task, part).argmax(1) == task.train.labels[part]).sum())
                   for part in torch.split(positions, _BATCH))
    return 100 * hits / len(positions)


def _warnings(protections: dict[str, Protection], precision: float) -> list[str]:
    """What a person should know about the protected directions; `precision` is that of the network's weights."""
    found = []
    if indefinite := [name for name, p in protections.items() if p.smallest < -100 * precision]:
        found.append("The stored statistics do not hold the forget images as the network sees them now: the retained "
                     f"Gram matrix has negative eigenvalues in {', '.join(indefinite)}, and such directions count as "
                     "important.")
    if unprotected := [name for name, p in protections.items() if 0 in p.kept]:
        found.append(f"No direction is protected in {', '.join(unprotected)}: raise γ or choose another rank rule.")
    if all(sum(p.kept) == p.of for p in protections.values()):
        found.append("Every direction of every layer is protected: nothing was changed. Lower γ.")
    return found


def _exhibits(protections: dict[str, Protection], ascent: _Ascent) -> tuple[LayerBars | Curves, ...]:
    names, found = tuple(protections), list(protections.values())
    epochs = tuple(map(float, range(len(ascent.forget))))
    return (
        LayerBars("Protected directions",
                  "How many of the directions a layer's input can take are protected: a full bar is a frozen layer.",
                  names, tuple(float(sum(p.kept)) for p in found), tuple(float(p.of) for p in found), "directions"),
        LayerBars("Forget images outside the protected directions",
                  "The shorter the bar, the less of this layer's answer to the forget images can change.",
                  names, tuple(100 * p.forget_outside for p in found), (100.0,) * len(found), "% of squared input"),
        Curves("Accuracy during the run",
               "Forgetting is selective while the first line falls and the second does not.",
               "epoch", "accuracy on training images (%)",
               {"forget set": (epochs, tuple(ascent.forget)), "retained sample": (epochs, tuple(ascent.retain))}),
        Curves("Forget loss", "The loss that is lowered: it falls with the probability of the true class.",
               "step", "loss", {"forget set": (tuple(map(float, range(1, len(ascent.losses) + 1))),
                                               tuple(ascent.losses))}),
    )


def obstacle(task: Task, settings: Settings) -> str:
    """Without a convolution or linear layer that may change there is no weight to move."""
    return "" if any(layer.weight.requires_grad for layer in layers(task.model).values()) else _NOTHING_TO_MOVE


def run(task: Task, settings: Settings, progress: Progress) -> Outcome:
    """Ascend on the forget set, in the directions that the retained images do not use."""
    gamma, rule = float(settings["gamma"]), str(settings["rank_rule"])
    forget, _ = task.split
    patches: Patches = "exact" if settings["patches"] == "exact" else "stride_one"
    full = task.grams(task.model, task.train, None, patches, stage(progress, 0, 0.1, "all images"))
    own = task.grams(task.model, task.train, forget, patches, stage(progress, 0.1, 0.3, "forget set"))
    protections = {}
    for done, name in enumerate(full, 1):
        protections[name] = protect(full[name], own[name], gamma, rule)
        progress(0.3 + 0.05 * done / len(full), f"protected directions of {name}")
    model = trainable_copy(task.model)
    moving = {name: layer.weight for name, layer in layers(model).items()
              if name in protections and layer.weight.requires_grad}
    if not moving:
        raise NotApplicable(_NOTHING_TO_MOVE)
    dtype = next(iter(moving.values())).dtype
    ascent = _ascend(task, model, list(moving.values()), [protections[name].projector.to(dtype) for name in moving],
                     settings, stage(progress, 0.35, 1, "ascent"))
    progress(1.0, "done")
    warnings = _warnings(protections, torch.finfo(dtype).eps)
    return trained(
        task, model,
        {"kept_dimensions": float(sum(sum(p.kept) for p in protections.values())),
         "dimensions": float(sum(p.of for p in protections.values())),
         "smallest_eigenvalue": min(p.smallest for p in protections.values()),
         "epochs": float(len(ascent.forget) - 1), "steps": float(len(ascent.losses)),
         "forget_accuracy_before": ascent.forget[0], "forget_accuracy_after": ascent.forget[-1],
         "retain_accuracy_before": ascent.retain[0], "retain_accuracy_after": ascent.retain[-1]}
        | ({"first_loss": ascent.losses[0], "final_loss": ascent.losses[-1]} if ascent.losses else {}),
        warnings=[*warnings, ascent.warning] if ascent.warning else warnings,
        exhibits=_exhibits(protections, ascent),
        stored_bytes=sum(matrix.numel() * matrix.element_size() for matrix in full.values()))


# The official loop of 100 epochs trains nothing in the first, but lets the rate decay: 99 epochs, which begin one step
# of the decay further on.
_OFFICIAL_RATES: dict[str, Value] = {"learning_rate": 0.0492, "decay": 0.203, "epochs": 99}

METHOD = Method(
    name="pgu",
    title="PGU",
    paper="Hoang et al., Learn to unlearn for deep neural networks: minimizing unlearning interference with gradient "
          "projection, WACV 2024, arXiv 2312.04095",
    about="Lowers the true class's probability on the forget set, moving each layer's weights only in directions that "
          "the retained images' inputs to this layer hardly use.",
    family="projection",
    needs=frozenset({"forget images", "labels", "stored statistics"}),
    hyperparameters=(
        Hyperparameter(
            "gamma", "γ", "Share of the retained inputs of each layer that is protected; 1 freezes every layer.",
            f"{TUNED}; official code: 0.9 or 0.95, of singular values", default=0.9, scale="linear", low=0.5,
            high=1.0),
        Hyperparameter(
            "learning_rate", "Learning rate", "Size of the first step.", f"{TUNED}; official code: 0.05 or 0.1",
            default=0.2, scale="log", low=0.001, high=3.0),
        Hyperparameter(
            "epochs", "Epochs", "Passes over the forget set at most; the stopping rule may end the run sooner.",
            f"{CHOSEN}; official code: 100, the first of which trains nothing", default=10,
            scale="choice", choices=(1, 2, 3, 5, 10, 20, 50, 99, 100)),
        Hyperparameter(
            "rank_rule", "Share of", "What γ is a share of. Energy: squared singular values, reached (GPM). At most: "
            "singular values, not exceeded, so possibly no direction. At most + 1: one direction more.",
            "not from the paper: energy, as in GPM (arXiv 2103.09762); official code: at most, or at most + 1 for "
            "classes", default="energy", scale="choice", choices=("energy", "at most", "at most + 1"), advanced=True),
        Hyperparameter(
            "stop", "Stop when", "Forgotten: the forget accuracy reaches the target, or the retained accuracy drops. "
            "Drop: the retained accuracy drops. Gap: it exceeds the forget accuracy, made for single images. Never: "
            "after the last epoch.",
            "not from the paper: forgotten; official code: drop for classes, gap (with test images) for single images",
            default="forgotten", scale="choice", choices=("forgotten", "drop", "gap", "never"), advanced=True),
        Hyperparameter(
            "target", "Forget target", "Forget accuracy at which the class counts as forgotten.", CHOSEN, default=1.0,
            scale="linear", low=0.0, high=100.0, unit="%", advanced=True),
        Hyperparameter(
            "max_drop", "Largest drop", "Loss of accuracy on retained training images at which the run stops.",
            "official code: 5 points", default=5.0, scale="linear", low=0.0, high=100.0, unit="points",
            advanced=True),
        Hyperparameter(
            "retain_images", "Retained images", "Retained training images per class on which the accuracy is watched; "
            "none of them is trained on.", CHOSEN, default=100, scale="choice", choices=(25, 50, 100, 200, 500, "all"),
            advanced=True),
        Hyperparameter(
            "offset", "Offset", "Bounds the loss: its gradient is at most one over the offset.",
            "official code: 0.05", default=0.05, scale="log", low=0.001, high=1.0, advanced=True),
        Hyperparameter(
            "entropy_weight", "Entropy weight", "How strongly uncertain answers to forget images are rewarded.",
            "official code: 0.2", default=0.2, scale="linear", low=0.0, high=2.0, advanced=True),
        Hyperparameter(
            "decay", "Decay", "Learning rate after the last epoch, as a share of the first.",
            "official code: 0.05 to 0.01, a fifth", default=0.2, scale="log", low=0.01, high=1.0, advanced=True),
        Hyperparameter(
            "batch_size", "Batch size", "Forget images per step.", "official code: 128, or 100 for classes",
            default=128, scale="choice", choices=(16, 32, 64, 100, 128, 250), advanced=True),
        Hyperparameter(
            "order", "Batch order", "Order of the forget images.", "official code: shuffled for classes, given for "
            "single images", default="shuffled", scale="choice", choices=("shuffled", "given"), advanced=True),
        Hyperparameter(
            "patches", "Patches", "Which inputs of a convolution are protected: exactly those it reads, or those that "
            "a stride and dilation of one would read.", "not from the paper: exact; official code: stride_one",
            default="exact", scale="choice", choices=("exact", "stride_one"), advanced=True),
    ),
    work=run,
    obstacle=obstacle,
    presets={
        "too weak": Preset({"gamma": 0.99, "learning_rate": 0.02, "epochs": 3},
                           "So much is protected that three gentle passes hardly forget."),
        "sweet spot": Preset({"gamma": 0.9, "learning_rate": 0.2, "epochs": 10},
                             "Forgets the class within a few passes and hardly harms the others."),
        "catastrophic": Preset({"gamma": 0.5, "learning_rate": 3.0, "stop": "never"},
                               "Half of what the layers use is free to move, in great steps and without a stop."),
        "official": Preset(
            {**_OFFICIAL_RATES, "gamma": 0.9, "rank_rule": "at most + 1", "batch_size": 100,
             "order": "shuffled", "stop": "drop", "max_drop": 5.0, "offset": 0.05, "entropy_weight": 0.2,
             "patches": "stride_one"},
            "The official code for classes, whose first of 100 epochs only lets the rate decay; with one γ for all "
            "layers, and the statistics of images as they are, without augmentation."),
        "official, single images": Preset(
            {**_OFFICIAL_RATES, "gamma": 0.95, "rank_rule": "at most", "batch_size": 128,
             "order": "given", "stop": "gap", "offset": 0.05, "entropy_weight": 0.2, "patches": "stride_one"},
            "The official code for single images; retained training images stand in for its held-out ones."),
    },
)
