"""Partial amnesiac unlearning (arXiv 2403.07611, Algorithm 1): subtract updates that were pruned before storage."""

from __future__ import annotations

from typing import cast

from unlearn_core.measure.anatomy import parameter_kinds
from unlearn_core.measure.pruning import Pruning, PruningRule
from unlearn_core.measure.task import Task
from unlearn_core.methods.amnesiac import no_history, repair_knobs, subtract_and_repair
from unlearn_core.methods.base import TUNED, Hyperparameter, Method, Outcome, Preset, Settings
from unlearn_core.progress import Progress

SHARES = (0.0, 0.01, 0.03, 0.1, 0.3, 0.7, 0.9, 0.97, 0.99, 1.0)


def _pruning(task: Task, settings: Settings) -> Pruning:
    head = {name: float(settings["head_share"]) for name, kind in parameter_kinds(task.model, task.example).items()
            if kind == "head"}
    return Pruning(float(settings["body_share"]), cast(PruningRule, settings["rule"]), head)


def run(task: Task, settings: Settings, progress: Progress) -> Outcome:
    """Subtract what was kept of the recorded updates that the forget set caused."""
    return subtract_and_repair(task, _pruning(task, settings), settings, progress)


METHOD = Method(
    name="partial_amnesiac",
    title="Partial amnesiac unlearning",
    paper="Layer-wise partial machine unlearning, JMLR 2025, arXiv 2403.07611, Algorithm 1",
    about="Stores only a part of each recorded update and subtracts that, which spares what the other classes need.",
    family="history",
    needs=frozenset({"training history", "retain images", "labels"}),
    hyperparameters=(
        Hyperparameter(
            "body_share", "Share of the body", "The share of each recorded update that was kept, in every layer but "
            "the last.", f"the paper's shares are unpublished; {TUNED}", default=0.3, scale="choice",
            choices=SHARES),
        Hyperparameter(
            "head_share", "Share of the head", "The share that was kept of the last layer, whose rows are the classes.",
            f"the paper's shares are unpublished; {TUNED}", default=0.1, scale="choice",
            choices=SHARES),
        Hyperparameter(
            "rule", "Kept entries", "Whether the largest entries of an update were kept, all but the largest, or "
            "random ones.", "not from the paper, which leaves open which side is pruned", default="keep_top",
            scale="choice", choices=("keep_top", "drop_top", "random")),
        *repair_knobs(1, f"{TUNED}; arXiv 2403.07611: pruned updates need no repair"),
    ),
    work=run,
    obstacle=lambda task, settings: no_history(task, _pruning(task, settings)),
    presets={
        "too weak": Preset({"body_share": 0.0, "head_share": 0.01, "repair_epochs": 0},
                           "Only the head moves, and hardly: classes that the network knew early survive."),
        "sweet spot": Preset({"body_share": 0.3, "head_share": 0.1, "repair_epochs": 1},
                             "Forgets most classes, and one pass over retained images pays for the damage."),
        "without repair": Preset({"body_share": 0.01, "head_share": 0.01, "repair_epochs": 0},
                                 "As the paper means it: one entry in a hundred spares most of the rest, but forgets "
                                 "only some of the classes."),
        "catastrophic": Preset({"body_share": 0.97, "head_share": 0.97, "rule": "drop_top", "repair_epochs": 0},
                               "All but the largest entries: the others are what the classes share."),
    },
)
