"""What a subject has beside its network: the images it was trained on, and a landscape that was evaluated."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from unlearn_core.nets.evaluate import EvaluationSet, evaluation_set
from unlearn_core.nets.images import ImageSet
from unlearn_core.packing import ClassNumbers


@dataclass(frozen=True, eq=False)
class Grid:
    """Evaluated points of an (alpha, lambda) landscape, in the order of evaluation.

    Attributes:
        index: (P,) uint16, position alpha * len(lambdas) + lambda on the grid.
        gauges: (P, 3) float32 forget accuracy, retain accuracy, membership score.
        xy: (P, N, 2) uint8 map positions, 0..255.
        predicted: (P, N) most likely class.
    """

    index: npt.NDArray[np.uint16]
    gauges: npt.NDArray[np.float32]
    xy: npt.NDArray[np.uint8]
    predicted: ClassNumbers


@dataclass(frozen=True, eq=False)
class Images:
    """What a subject was trained on, what it is tested on, and the images that gauges and maps show.

    Attributes:
        train: the training images.
        test: the test images.
        read: those on which settings are judged, read when they are asked for; None where there are none.
    """

    train: ImageSet
    test: ImageSet
    read: Callable[[], ImageSet | None] = lambda: None

    @cached_property
    def validation(self) -> ImageSet | None:
        """Images that no network was trained on and no gauge shows, as the network must see them."""
        found = self.read()
        return None if found is None else found.in_terms_of(self.train)

    @cached_property
    def evaluation(self) -> EvaluationSet:
        """At most 100 images of each class, of each part."""
        return evaluation_set(self.train, self.test)
