"""UNSIR, unlearning by selective impair and repair (Tarun et al., IEEE TNNLS 2023, arXiv 2111.08947)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unlearn_core.exhibits import Curves, Exhibit, Pictures
from unlearn_core.measure.task import Task
from unlearn_core.methods.base import CHOSEN, TUNED, Hyperparameter, Method, Outcome, Preset, Settings
from unlearn_core.methods.loop import some_retained
from unlearn_core.methods.training import batches, finite, trainable_copy, trained
from unlearn_core.nets.models import in_training, seeded
from unlearn_core.progress import Progress, silent, stage

SHOWN = 8
"""Noise images per class among the exhibits."""

_NOTEBOOK = "official notebook"
_SIZES = (16, 32, 64, 128, 256)
_EPOCHS = (0, 1, 2, 3, 5)


def learn_noise(model: nn.Module, start: Tensor, label: int, *, steps: int, lr: float, norm_weight: float,
                progress: Progress = silent) -> tuple[Tensor, tuple[float, ...]]:
    """Noise images that the network takes for anything but one class, learned by Adam from `start`.

    Each step lowers ``-CE(f(N), label) + norm_weight * mean_b sum_chw N^2`` (arXiv 2111.08947, error-maximising
    noise). The weights get no gradients. The network runs in the mode it is in: in training mode the running
    statistics of its batch norms drift.

    Args:
        model: the network; gives logits.
        start: (B, ...) the first noise, in the network's dtype; left as it was.
        label: the class to forget.
        steps: number of Adam steps.
        lr: learning rate of the noise, in units of standardised pixels.
        norm_weight: weight of the squared norm.
        progress: told after every step; may cancel.

    Returns:
        The learned noise, of the shape of `start`, and the loss before each step.

    Raises:
        Diverged: if the loss is no longer finite.
    """
    noise = start.detach().clone().requires_grad_()
    labels = torch.full((len(noise),), label)
    optimiser = torch.optim.Adam([noise], lr)
    losses = []
    for step in range(1, steps + 1):
        loss = norm_weight * noise.square().flatten(1).sum(1).mean() - F.cross_entropy(model(noise), labels)
        losses.append(finite(loss, f"noise of class {label}, step {step}"))
        # Only the noise's gradient: none may wait in the weights for the optimiser of the impair stage.
        noise.grad = torch.autograd.grad(loss, noise)[0]
        optimiser.step()
        progress(step / steps, f"step {step} of {steps}")
    return noise.detach(), tuple(losses)


def run(task: Task, settings: Settings, progress: Progress) -> Outcome:
    """Learn noise for each class to forget, train on it as if it were the class, then repair on retained images."""
    with seeded(task.generator("unsir", "dropout")):
        return _unlearn(task, settings, progress)


def _unlearn(task: Task, settings: Settings, progress: Progress) -> Outcome:
    classes, official = task.request.classes, settings["form"] == "official"
    batch, steps, copies = (int(settings[name]) for name in ("noise_batch", "noise_steps", "noise_copies"))
    kept = some_retained(task, settings["retain_images"])
    model = trainable_copy(task.model)
    if official:
        in_training(model)
    example = _pixels(task, model, kept[:1])
    # The notebook's loop over the noise images runs over the colour channels instead.
    used = min(example.shape[1], batch) if official else batch
    # Noise image i stands among the positions of training images as -1 - i.
    impaired = torch.cat([kept, -1 - torch.arange(used * len(classes)).repeat(copies)])
    works = (batch * steps * len(classes), len(impaired) * int(settings["impair_epochs"]),
             len(kept) * int(settings["repair_epochs"]))
    to_noise, to_impair = works[0] / sum(works), (works[0] + works[1]) / sum(works)  # shares of the images to process

    learned, labels, curves = [], [], {}
    for i, label in enumerate(classes):
        start = torch.randn((batch, *example.shape[1:]), generator=task.generator("unsir", "noise", str(label)))
        noise, curves[f"class {label}"] = learn_noise(
            model, start.to(example), label, steps=steps, lr=float(settings["noise_lr"]),
            norm_weight=float(settings["norm_weight"]),
            progress=stage(progress, to_noise * i / len(classes), to_noise * (i + 1) / len(classes),
                           f"learning noise for class {label}"))
        learned.append(noise[:used])
        # The notebook forgets classes 0 and 2 and labels the noise of both 0, the first of them.
        labels += [0 if official else label] * used  # the notebook's label is a literal 0

    noise, noise_labels = torch.cat(learned), torch.tensor(labels)
    impair = _train(task, model, impaired, noise, noise_labels, settings, "impair",
                    stage(progress, to_noise, to_impair, "impair"))
    repair = _train(task, model, kept, noise, noise_labels, settings, "repair",
                    stage(progress, to_impair, 1.0, "repair"))
    progress(1.0, "done")
    trace = {"noise_images": float(len(noise)), "noise_samples": float(len(noise) * copies),
             "retain_images": float(len(kept)), "noise_steps": float(steps * len(classes)),
             "impair_steps": float(len(impair)), "repair_steps": float(len(repair)),
             "noise_loss": sum(losses[-1] for losses in curves.values()) / len(classes)}
    trace |= {f"{name}_loss": losses[-1] for name, losses in (("impair", impair), ("repair", repair)) if losses}
    warnings = []
    if official and classes != (0,):
        warnings.append("The official form labels all noise as class 0, whatever it was made for.")
    return trained(task, model, trace, warnings=warnings,
                   exhibits=_exhibits(classes, noise, curves, impair, repair))


def _pixels(task: Task, model: nn.Module, positions: Tensor) -> Tensor:
    return task.train.pixels(positions).to(next(model.parameters()).dtype)


def _train(task: Task, model: nn.Module, samples: Tensor, noise: Tensor, noise_labels: Tensor, settings: Settings,
           name: str, progress: Progress) -> list[float]:
    """Train the model on training images (positions) and noise images (-1 - index); the loss of each step."""
    epochs, generator = int(settings[f"{name}_epochs"]), task.generator("unsir", name)
    size = int(settings["batch_size" if name == "impair" else "repair_batch_size"])
    optimiser = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], float(settings[f"{name}_lr"]))
    todo = [chosen for _ in range(epochs) for chosen in batches(samples, size, generator)]
    losses: list[float] = []
    in_training(model)
    for chosen in todo:
        real, artificial = chosen[chosen >= 0], -1 - chosen[chosen < 0]
        inputs = torch.cat([_pixels(task, model, real), noise[artificial]])
        loss = F.cross_entropy(model(inputs), torch.cat([task.train.labels[real], noise_labels[artificial]]))
        losses.append(finite(loss, f"{name}, step {len(losses) + 1}"))
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        progress(len(losses) / len(todo), f"step {len(losses)} of {len(todo)}")
    return losses


def _exhibits(classes: tuple[int, ...], noise: Tensor, curves: dict[str, tuple[float, ...]], impair: list[float],
              repair: list[float]) -> list[Exhibit]:
    def line(losses: tuple[float, ...] | list[float], first: int = 1) -> tuple[tuple[float, ...], tuple[float, ...]]:
        return tuple(map(float, range(first, first + len(losses)))), tuple(losses)

    found: list[Exhibit] = []
    if noise.dim() == 4:
        shown = noise.view(len(classes), -1, *noise.shape[1:])[:, :SHOWN]
        found.append(Pictures(
            "Learned noise", "Each image was made so that the network takes it for anything but the class; in the "
            "impair stage it is given that class's label.", shown.flatten(0, 1).float().numpy(),
            tuple(f"class {label}" for label in classes for _ in range(shown.shape[1]))))
    found.append(Curves(
        "Noise loss", "It falls as the noise becomes smaller and less like the class; below zero, the network errs "
        "on nearly all of it.", "step of the noise", "loss", {name: line(losses) for name, losses in curves.items()}))
    stages = {"impair": line(impair), "repair": line(repair, len(impair) + 1)}
    if impair or repair:
        found.append(Curves(
            "Training loss", "The impair stage learns the noise under the forgotten label, the repair stage the "
            "retained images alone.", "step", "cross-entropy (nats)",
            {name: xy for name, xy in stages.items() if xy[0]}))
    return found


def obstacle(task: Task, settings: Settings) -> str:
    """The noise stands for a whole class."""
    if not task.request.classes:
        return "UNSIR learns noise for a class, so it can forget nothing but whole classes."
    return ""


METHOD = Method(
    name="unsir",
    title="UNSIR",
    paper="Tarun et al., Fast yet effective machine unlearning, IEEE TNNLS 2023, arXiv 2111.08947",
    about="Learns noise images that are anything but the class, trains on them under its label, then repairs the "
          "rest; never looks at a forgotten image.",
    family="noise",
    needs=frozenset({"retain images", "labels"}),
    hyperparameters=(
        Hyperparameter("impair_lr", "Impair rate", "Learning rate of Adam while the noise is learned under the "
                       "forgotten label: higher forgets more and harms more.", f"{TUNED}; {_NOTEBOOK}: 0.02",
                       default=0.003, scale="log", low=1e-5, high=0.1),
        Hyperparameter("repair_lr", "Repair rate", "Learning rate of Adam while the retained images are learned "
                       "again.", f"{TUNED}; {_NOTEBOOK}: 0.01", default=0.002, scale="log", low=1e-5, high=0.1),
        Hyperparameter("retain_images", "Images per class", "Retained images of each class that impair and repair "
                       "see.", f"{CHOSEN}; {_NOTEBOOK}: 1000", default=500, scale="choice",
                       choices=(50, 100, 250, 500, 1000)),
        Hyperparameter("noise_copies", "Noise copies", "How often each noise image is seen in an epoch of impair, "
                       "beside the retained images.", f"{CHOSEN}; {_NOTEBOOK}: 20", default=10, scale="choice",
                       choices=(1, 2, 5, 10, 20, 40, 80)),
        Hyperparameter("noise_steps", "Noise steps", "Steps that the noise of each class is learned for.",
                       f"{_NOTEBOOK}: 40 (5 epochs of 8 steps)", default=40, scale="choice",
                       choices=(5, 10, 25, 40, 100, 250)),
        Hyperparameter("noise_batch", "Noise images", "Noise images learned for each class.",
                       f"{CHOSEN}; {_NOTEBOOK}: 256", default=64, scale="choice", choices=_SIZES),
        Hyperparameter("form", "Form", "Corrected uses all noise images under their own labels; official repeats the "
                       "notebook's slips: one image per class and colour channel, label 0 for all noise, batch norms "
                       "that drift.",
                       "not from the paper: how the official notebook differs from the description",
                       default="corrected", scale="choice", choices=("corrected", "official")),
        Hyperparameter("noise_lr", "Noise rate", "Learning rate of Adam for the noise, in standardised pixels.",
                       f"{_NOTEBOOK}: 0.1", default=0.1, scale="log", low=0.001, high=1.0, advanced=True),
        Hyperparameter("norm_weight", "Norm weight", "Weight of the noise's squared norm, which keeps it small.",
                       f"{_NOTEBOOK}: 0.1", default=0.1, scale="log", low=0.001, high=1.0, advanced=True),
        Hyperparameter("impair_epochs", "Impair epochs", "Passes over noise and retained images.",
                       f"{_NOTEBOOK}: 1", default=1, scale="choice", choices=_EPOCHS, advanced=True),
        Hyperparameter("repair_epochs", "Repair epochs", "Passes over the retained images.",
                       f"{_NOTEBOOK}: 1", default=1, scale="choice", choices=_EPOCHS, advanced=True),
        Hyperparameter("batch_size", "Impair batch", "Images per step of impair.", f"{CHOSEN}; {_NOTEBOOK}: 256",
                       default=128, scale="choice", choices=_SIZES, advanced=True),
        Hyperparameter("repair_batch_size", "Repair batch", "Images per step of repair.",
                       f"{CHOSEN}; {_NOTEBOOK}: 256", default=128, scale="choice", choices=_SIZES, advanced=True),
    ),
    work=run,
    obstacle=obstacle,
    presets={
        "too weak": Preset({"impair_lr": 1e-4, "repair_lr": 1e-4}, "Steps so small that much of the class remains."),
        "sweet spot": Preset({"impair_lr": 0.003, "repair_lr": 0.002}, "Forgets the class and keeps most of the rest."),
        "catastrophic": Preset({"impair_lr": 0.1, "repair_epochs": 0}, "Impairs with a rate that ruins every class and "
                               "repairs nothing."),
        "official": Preset(
            {"form": "official", "noise_batch": 256, "noise_steps": 40, "noise_lr": 0.1, "norm_weight": 0.1,
             "noise_copies": 20, "retain_images": 1000, "impair_lr": 0.02, "impair_epochs": 1, "repair_lr": 0.01,
             "repair_epochs": 1, "batch_size": 256, "repair_batch_size": 256},
            "The official notebook with its values and its slips."),
        "SSD repository": Preset(
            {"form": "official", "noise_batch": 32, "noise_steps": 25, "noise_lr": 0.1, "norm_weight": 0.1,
             "noise_copies": 80, "retain_images": 500, "impair_lr": 1e-4, "impair_epochs": 1, "repair_lr": 1e-4,
             "repair_epochs": 1, "batch_size": 32, "repair_batch_size": 128},
            "The port that SSD was compared with: its small learning rate forgets too little."),
    },
)
