"""SSD, selective synaptic dampening (Foster, Schoepf and Brintrup, AAAI 2024, arXiv 2308.07707)."""

from __future__ import annotations

from unlearn_core.measure.task import Task
from unlearn_core.methods.base import Method, Outcome, Preset, Settings
from unlearn_core.methods.selective import ALPHA, LAMBDA, MEASURED, run_selective
from unlearn_core.progress import Progress


def run(task: Task, settings: Settings, progress: Progress) -> Outcome:
    """Dampen the weights whose squared gradient is more than alpha times larger on the forget set."""
    return run_selective(task, "cross_entropy", settings, progress, lambda pair: float(settings["alpha"]))


METHOD = Method(
    name="ssd",
    title="SSD",
    paper="Foster et al., Fast machine unlearning without retraining through selective synaptic dampening, "
          "AAAI 2024, arXiv 2308.07707",
    about="Shrinks the weights whose Fisher information is much larger on the forget set than on all data.",
    family="dampening",
    needs=frozenset({"forget images", "labels", "stored statistics"}),
    hyperparameters=(ALPHA, LAMBDA, *MEASURED),
    work=run,
    importance="cross_entropy",
    seeded=False,
    presets={
        "too weak": Preset({"alpha": 7.0, "lambda": 1.0}, "Close to the ceiling 1/ρ hardly a weight is selected."),
        "sweet spot": Preset({"alpha": 4.0, "lambda": 1.0}, "Forgets the class and keeps most of the rest."),
        "catastrophic": Preset({"alpha": 0.3, "lambda": 0.1}, "Dampens what every class needs."),
        "official": Preset(
            {"alpha": 10.0, "lambda": 1.0, "unit": "batch_mean", "order": "class_sorted", "batch_size": 64},
            "The official code with the paper's CIFAR setting: batch-mean gradients over a class-sorted loader."),
    },
)
