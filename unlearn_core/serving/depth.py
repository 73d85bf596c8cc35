"""At which stage an outcome no longer hands on what the original needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from unlearn_core.audit.gauges import Reading, reading
from unlearn_core.audit.patching import patched
from unlearn_core.serving.engine import Engine
from unlearn_core.serving.pool import Lane, Ticket
from unlearn_core.serving.scenes import Scene, Settled

LITTLE = 0.1
"""A fall of forget accuracy by less is no fall to look for."""


@dataclass(frozen=True, eq=False)
class Depth:
    """Accuracies of the original with one stage patched, from the input on; the last stage gives the outcome's own.

    Attributes:
        forget: stage -> share of the images to be forgotten that are named rightly.
        retain: stage -> the same of all other unseen images.
        before: forget accuracy of the original itself.
        kept: its accuracy on the others.
    """

    forget: Mapping[str, Reading]
    retain: Mapping[str, Reading]
    before: Reading
    kept: Reading

    @property
    def lost(self) -> str | None:
        """The first stage from which on more than half of the fall in forget accuracy is there; None if it is little.

        What it says of a stage holds for all behind it.
        """
        end = list(self.forget.values())[-1].value
        if self.before.value - end < LITTLE:
            return None
        low = [reading.value < (self.before.value + end) / 2 for reading in self.forget.values()]
        return list(self.forget)[max((i + 1 for i, is_low in enumerate(low) if not is_low), default=0)]

    @property
    def garbled(self) -> str | None:
        """The stage behind which the original does not understand what this network hands on, whatever the image; None
        if it does.

        Looked at is the stage that is lost or, where that is the last and so the outcome's own, the one before: there
        the original must know half as many of the others as without a patch.
        """
        stages = list(self.forget)
        if self.lost is None or len(stages) == 1:
            return None
        stage = self.lost if self.lost != stages[-1] else stages[-2]
        return stage if self.retain[stage].value < self.kept.value / 2 else None


def depth(engine: Engine, scene: Scene, settled: Settled) -> Depth:
    """Patch the original at every stage: a forward pass each, on the images that the first two gauges are read on."""
    seen = scene.seen
    wanted = seen.forgotten == seen.evaluation.member  # forgotten and trained on, or neither
    forgotten, labels = seen.forgotten[wanted], seen.evaluation.labels[wanted]
    answers = patched(scene.task.model, engine.weights(scene, settled), seen.pixels[np.flatnonzero(wanted)])
    right = {name: logits.argmax(1) == labels for name, logits in answers.items()}
    return Depth({name: reading(hits[forgotten]) for name, hits in right.items()},
                 {name: reading(hits[~forgotten]) for name, hits in right.items()},
                 *(reading((seen.before.predicted[wanted] == labels)[rows]) for rows in (forgotten, ~forgotten)))


def submit(engine: Engine, scene: Scene, settled: Settled) -> Ticket[Depth]:
    """The same, behind whoever waits for an answer."""
    return engine.pool.submit(("depth", settled.choice), lambda progress: depth(engine, scene, settled), Lane.SCENE)
