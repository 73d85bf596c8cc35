"""LFSSD, loss-free selective synaptic dampening (Foster et al., ICLR 2024 Tiny Papers, arXiv 2402.19308)."""

from __future__ import annotations

from dataclasses import replace

from unlearn_core.measure.task import Task
from unlearn_core.methods.base import Method, Outcome, Preset, Settings
from unlearn_core.methods.selective import ALPHA, LAMBDA, MEASURED, run_selective
from unlearn_core.progress import Progress


def run(task: Task, settings: Settings, progress: Progress) -> Outcome:
    """As SSD, with the sensitivity of the squared output norm instead of the loss: no labels are read."""
    return run_selective(task, "squared_norm", settings, progress, lambda pair: float(settings["alpha"]))


METHOD = Method(
    name="lfssd",
    title="LFSSD",
    paper="Foster et al., Loss-free machine unlearning, ICLR 2024 Tiny Papers, arXiv 2402.19308",
    about="SSD without labels: compares how sensitive the outputs are to each weight.",
    family="dampening",
    needs=frozenset({"forget images", "stored statistics"}),
    hyperparameters=(
        replace(ALPHA, default=1.5, source="tuned on the bundled networks (see README); SUPREME lists 3.5 to 10"),
        LAMBDA, *MEASURED),
    work=run,
    importance="squared_norm",
    seeded=False,
    presets={
        "too weak": Preset({"alpha": 7.5, "lambda": 1.0}, "Hardly a weight reaches so large a ratio."),
        "sweet spot": Preset({"alpha": 2.0, "lambda": 1.0}, "Forgets the class and keeps most of the rest."),
        "catastrophic": Preset({"alpha": 0.5, "lambda": 0.1}, "Dampens what every class needs."),
        "official": Preset(
            {"alpha": 5.0, "lambda": 1.0, "unit": "batch_mean", "order": "class_sorted", "batch_size": 64},
            "The released code: absolute gradient of the batch mean over a class-sorted loader, α for CIFAR-20."),
    },
)
