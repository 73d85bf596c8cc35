"""Amnesiac unlearning (Graves, Nagisetty and Ganesh, AAAI 2021, arXiv 2010.10981): subtract recorded updates."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unlearn_core.exhibits import Exhibit, LayerBars, LayerMap
from unlearn_core.measure.pruning import Pruning
from unlearn_core.measure.task import Task
from unlearn_core.methods.base import CHOSEN, Hyperparameter, Method, NotApplicable, Outcome, Preset, Settings
from unlearn_core.methods.loop import CROSS_ENTROPY, descend, logits, loss_curves, some_retained, training_norms
from unlearn_core.methods.training import batches, trainable_copy, trained
from unlearn_core.progress import Progress, stage

SLICES = 64
"""Columns of the map of removed movement: each layer is shown in this many equal slices."""


def repair_knobs(epochs: int, source: str) -> tuple[Hyperparameter, ...]:
    """The knobs of the optional repair, with the default number of epochs and where it comes from."""
    return (
        Hyperparameter(
            "repair_epochs", "Repair epochs", "Passes over some retained images after the subtraction; 0 leaves the "
            "network as the subtraction made it.", source, default=epochs, scale="choice", choices=(0, 1, 2, 3, 5)),
        Hyperparameter(
            "repair_lr", "Repair rate", "Learning rate of Adam in the repair.", "official code: 0.001", default=1e-3,
            scale="log", low=1e-5, high=1e-1),
        Hyperparameter(
            "retain_images", "Images per class", "Retained images of each class that the repair sees.",
            f"{CHOSEN}; official code: all", default=1000, scale="choice", choices=(50, 100, 200, 500, 1000, 2000)),
        Hyperparameter(
            "batch_size", "Batch size", "Images per step of the repair.", "official code: 64", default=64,
            scale="choice", choices=(16, 32, 64, 128, 256), advanced=True),
    )


def subtract_and_repair(task: Task, pruning: Pruning, settings: Settings, progress: Progress) -> Outcome:
    """Subtract the recorded movement that the forget set caused, then train on some retained images.

    theta' = theta - sum of the updates of all records that hold images to forget (arXiv 2010.10981, section 4.2).
    Running statistics of batch norms are not reverted, as in the official code; the repair updates them, as
    ordinary training does. Frozen weights stay as they are.

    Args:
        task: network, data, request and history.
        pruning: which part of the history is kept.
        settings: ``repair_epochs``, ``repair_lr``, ``retain_images`` and ``batch_size``.
        progress: told after the subtraction and after each step of the repair.

    Raises:
        NotApplicable: if there is no history.
        Diverged: if the loss of the repair is not finite.
    """
    if task.history is None:
        raise NotApplicable(no_history(task, pruning))
    progress(0.0, "reading the history")
    found = task.history.caused_by(task.request, task.train, pruning, task.generator("amnesiac", "pruning"))
    model = trainable_copy(task.model)
    removed = {name: found.update[name].to(value) for name, value in model.named_parameters()
               if value.requires_grad and name in found.update}
    with torch.no_grad():
        for name, change in removed.items():
            model.get_parameter(name).sub_(change)
    progress(0.1, f"subtracted {found.records} of {found.of} records")
    losses = _repair(task, model, settings, stage(progress, 0.1, 1.0, "repair"))
    changed = sum(int(change.count_nonzero()) for change in removed.values())
    trace = {
        "epochs": float(found.epochs), "records": float(found.records), "of": float(found.of),
        "kept_entries": float(found.kept_entries), "kept_share": found.kept_share,
        "removed_norm": float(torch.stack([change.norm() for change in removed.values()]).norm()),
        "changed_share": changed / sum(value.numel() for value in model.parameters()),
        "repair_steps": float(len(losses)),
    }
    if losses:
        trace["repair_loss"] = losses[-1]
    warnings = []
    if not changed:
        warnings.append("Nothing of the recorded updates was kept, so nothing was subtracted.")
    if pruning.epochs is not None and pruning.epochs > found.epochs:
        warnings.append(f"The history holds fewer epochs than asked for, {found.epochs}; all of it was used.")
    return trained(task, model, trace, warnings=warnings, stored_bytes=found.stored_bytes,
                   exhibits=_exhibits(task.model, removed, found.kept_share, losses))


def _repair(task: Task, model: nn.Module, settings: Settings, progress: Progress) -> tuple[float, ...]:
    """Train on some retained images with Adam; the loss before each step."""
    generator = task.generator("amnesiac", "repair")
    chosen = some_retained(task, settings["retain_images"], generator)

    def loss(positions: Tensor) -> Tensor:
        return F.cross_entropy(logits(model, task, positions), task.train.labels[positions])

    optimiser = torch.optim.Adam(model.parameters(), float(settings["repair_lr"]))
    size = int(settings["batch_size"])
    losses = descend(training_norms(model), optimiser, lambda _: batches(chosen, size, generator), loss,
                     int(settings["repair_epochs"]), progress, "repair")
    model.eval()
    return losses


def _exhibits(original: nn.Module, removed: dict[str, Tensor], kept_share: float,
              losses: tuple[float, ...]) -> list[Exhibit]:
    moved = tuple(float(change.norm()) for change in removed.values())
    lengths = tuple(float(original.get_parameter(name).detach().norm()) for name in removed)
    found: list[Exhibit] = [LayerBars(
        "How far each layer was moved back", "The coloured part is the norm of what was subtracted, the whole bar the "
        "norm of the layer's weights.", tuple(removed), moved, tuple(map(max, moved, lengths)), "norm")]
    if kept_share < 1:
        touched = [F.adaptive_avg_pool1d((change != 0).float().reshape(1, 1, -1), SLICES).view(SLICES)
                   for change in removed.values()]
        found.append(LayerMap(
            "Where the kept entries lie", "Each row is a layer cut into 64 equal slices; the colour is the share of "
            "weights with an entry in any of the subtracted records.", tuple(removed), torch.stack(touched).numpy(),
            "slice of the layer, first weight to last"))
    if losses:
        found.append(loss_curves("It should fall back to about the level of ordinary training: the retained images are "
                                 "learned again.", CROSS_ENTROPY, repair=losses))
    return found


def no_history(task: Task, pruning: Pruning) -> str:
    """Why the task's history cannot serve the request; empty if it can."""
    if task.history is None:
        return ("No training history was recorded for this network, and without one there are no updates that could "
                "be subtracted.")
    return task.history.obstacle(task.request, task.train, pruning)


def _pruning(settings: Settings) -> Pruning:
    epochs = settings["epochs"]
    return Pruning(epochs=None if epochs == "all" else int(epochs))


def run(task: Task, settings: Settings, progress: Progress) -> Outcome:
    """Subtract the updates of the last recorded epochs that the forget set caused, in full."""
    return subtract_and_repair(task, _pruning(settings), settings, progress)


METHOD = Method(
    name="amnesiac",
    title="Amnesiac unlearning",
    paper="Graves et al., Amnesiac machine learning, AAAI 2021, arXiv 2010.10981",
    about="Subtracts from the weights the recorded training updates that the forgotten images caused.",
    family="history",
    needs=frozenset({"training history", "retain images", "labels"}),
    hyperparameters=(
        Hyperparameter(
            "epochs", "Epochs undone", "How many of the last recorded epochs are undone; later updates built on "
            "earlier ones, so the more are undone the more else is lost.", "Graves et al.: all",
            default="all", scale="choice", choices=(1, 2, "all")),
        *repair_knobs(1, "official notebook: 1, and only where needed"),
    ),
    work=run,
    obstacle=lambda task, settings: no_history(task, _pruning(settings)),
    presets={
        "too weak": Preset({"epochs": 1, "repair_epochs": 0}, "The last epoch alone holds too little of most classes."),
        "sweet spot": Preset({"epochs": "all", "repair_epochs": 1},
                              "Subtract everything recorded, then repair briefly."),
        "catastrophic": Preset({"epochs": "all", "repair_epochs": 0},
                               "Without a repair the subtraction takes what the other classes need along."),
        "official": Preset({"epochs": "all", "repair_epochs": 1, "repair_lr": 1e-3, "retain_images": 2000,
                            "batch_size": 64},
                           "The official notebook: subtract everything, then repair for an epoch on all retained "
                           "images."),
    },
)
