"""How long it takes to prepare a folder, and how much disk: measured on a few pictures and a few steps of training."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from unlearn_core.nets import models
from unlearn_core.nets.images import ImageSet
from unlearn_core.nets.request import Request
from unlearn_core.nets.train import fit
from unlearn_core.subjects.own.derived import about_networks, decoded_key, digest, network_file, network_key
from unlearn_core.subjects.own.pictures import pixels
from unlearn_core.subjects.own.study import Study

_SAMPLE = 24
"""Pictures that are read, decoded and trained on."""
_STEPS = 4
_PATIENCE = 5.0
"""Seconds of training that an estimate takes at most, if a batch of two images is not slower still."""


@dataclass(frozen=True)
class Estimate:
    """What it takes to prepare a folder; of what is done already, nothing.

    Attributes:
        pictures: how many there are.
        decoding: seconds to read and decode them.
        training: seconds to train a network.
        testing: seconds to run it on all test images.
        retraining: seconds to train networks without what is to be forgotten.
        bytes: of disk that are needed.
    """

    pictures: int
    decoding: float
    training: float
    testing: float
    retraining: float
    bytes: int

    @property
    def seconds(self) -> float:
        return self.decoding + self.training + self.testing + self.retraining

    @property
    def brief(self) -> str:
        """For a button."""
        return f"about {duration(self.seconds)}, {max(1.0, self.bytes / 1e6):,.0f} MB"

    def __str__(self) -> str:
        more = f"{duration(self.retraining)} to retrain, " if self.retraining else ""
        return (f"{self.pictures:,} pictures: about {duration(self.decoding)} to decode, {duration(self.training)} "
                f"to train, {more}{duration(self.testing)} to test; {self.bytes / 1e6:,.1f} MB of disk.")


def duration(seconds: float) -> str:
    """For people."""
    return (f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min" if seconds < 5400
            else f"{seconds / 3600:.1f} h")


def measured(study: Study, missing: Mapping[Request, int]) -> Estimate:
    """Measure a few pictures and a few steps of training, and say what all of them take.

    Args:
        study: the folder.
        missing: how many networks are to be retrained, by what they must not see.
    """
    folder, wanted, listing = study.folder, study.shape, study.listing
    found = list(listing.all())
    begun, sample = time.perf_counter(), []
    for picture in found[::-(-len(found) // _SAMPLE)]:
        digest(folder / picture.path)
        sample.append(pixels(folder, picture.path, wanted))
    decoding = (time.perf_counter() - begun) / len(sample) * len(found)
    size = len(found) * sample[0].nbytes
    trained = study.given
    if (key := decoded_key(study)) is not None:
        decoding, size = 0.0, 0
        trained = trained or about_networks(network_file(study)).get("key") == network_key(study, key)
    recipe, classes = study.description.recipe, len(listing.classes)
    model = models.build(study.description.architecture, channels=wanted.channels, classes=classes, size=wanted.size,
                         generator=torch.Generator())
    weights = sum(value.nbytes for value in model.state_dict().values()) // 2
    most = min(recipe.batch_size, listing.count("train"), 256)
    each = _step(model, sample, 2, study) / 2
    if (batch := min(most, int(_PATIENCE / _STEPS / each))) > 2:  # an image of a larger batch takes less
        each = _step(model, sample, batch, study) / batch
    size += weights * ((not trained) + sum(missing.values()))
    kept = sum(number * int((~request.mask(study.outline)).sum()) for request, number in missing.items())
    return Estimate(len(found), decoding, 0.0 if trained else each * listing.count("train") * recipe.epochs,
                    each / 3 * listing.count("test"), each * kept * recipe.epochs, size)


def _step(model: nn.Module, sample: Sequence[npt.NDArray[np.uint8]], batch: int, study: Study) -> float:
    """Seconds of one step of training."""
    images = torch.from_numpy(np.stack([sample[i % len(sample)] for i in range(_STEPS * batch)]))
    classes, channels = study.listing.classes, study.shape.channels
    few = ImageSet("", images, torch.arange(len(images)) % len(classes), classes, (0.5,) * channels, (0.5,) * channels)
    ticks: list[float] = []
    fit(model, few, replace(study.description.recipe, epochs=1, batch_size=batch), torch.Generator(),
        lambda share, note: ticks.append(time.perf_counter()))
    return float(statistics.median(np.diff(ticks)))  # without the first, which sets things up
