"""True retraining: a new network that has never seen the forget set, the yardstick of all other methods."""

from __future__ import annotations

from dataclasses import replace

from unlearn_core.measure.task import Task
from unlearn_core.methods.base import Hyperparameter, Method, Outcome, Preset, Settings
from unlearn_core.methods.loop import CROSS_ENTROPY, frozen_entirely, loss_curves
from unlearn_core.methods.training import trained
from unlearn_core.nets import models
from unlearn_core.nets.train import fit
from unlearn_core.progress import Progress


def run(task: Task, settings: Settings, progress: Progress) -> Outcome:
    """Train new initial weights on the retained images, by the recipe of the original.

    Every module is drawn anew; frozen weights alone are those of the original.
    """
    assert task.recipe is not None  # see obstacle
    recipe = replace(task.recipe, epochs=round(float(settings["epochs"])) or task.recipe.epochs)
    _, retain = task.split
    generator = task.generator("retrain")
    model = models.fresh(task.model, generator)
    losses = fit(model, task.train.subset(retain), recipe, generator, progress)
    return trained(
        task, model,
        {"steps": float(len(losses)), "epochs": float(recipe.epochs), "retain_images": float(len(retain)),
         "final_loss": losses[-1]},
        warnings=["A network trained afresh has a feature space of its own: where its images fall on the original's "
                  "map means little."],
        exhibits=[loss_curves("The new network learns the retained images from nothing; there is no curve for the "
                              "forget set because it is never looked at.", CROSS_ENTROPY, retained_images=losses)])


def obstacle(task: Task, settings: Settings) -> str:
    """The recipe must be known, and every weight must be one that can be drawn anew."""
    if task.recipe is None:
        return "How the original was trained is not known, so it cannot be trained again in the same way."
    if stale := models.cannot_renew(task.model):
        return f"The initial values of {', '.join(stale)} are not known, so the network cannot start afresh."
    return frozen_entirely(task, settings)


METHOD = Method(
    name="retrain",
    title="Retrain",
    paper="The definition of exact unlearning: Cao and Yang, Towards making systems forget with machine unlearning, "
          "IEEE S&P 2015",
    about="Trains a new network from fresh initial weights without the forget set.",
    family="baseline",
    needs=frozenset({"retain images", "labels"}),
    hyperparameters=(
        # The range has 97 slider positions, one for every whole number.
        Hyperparameter("epochs", "Epochs", "Passes over the retained images; 0 takes as many as the original had.",
                       "as the original was trained", default=0.0, scale="linear", low=0.0, high=96.0),
    ),
    work=run,
    obstacle=obstacle,
    afresh=True,
    presets={
        "official": Preset({"epochs": 0.0}, "Trains exactly as long as the original; takes about a minute."),
        "too weak": Preset({"epochs": 1.0}, "One epoch forgets perfectly, but the rest is not yet learnt."),
    },
)
