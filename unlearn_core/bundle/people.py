"""Drawn people: pictures of two dozen people who do not exist, each in many views, by what their faces express."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from PIL import Image

from unlearn_core.bundle.persons import BRIGHT, EXPRESSIONS, FACES, SEED, Face, View, everybody, view
from unlearn_core.bundle.portraits import draw
from unlearn_core.nets.images import Split

VIEWS: dict[Split, int] = {"train": 12, "test": 10, "validation": 4}
"""Of each person with each expression."""


@dataclass(frozen=True, eq=False)
class People:
    """Pictures of everybody.

    Attributes:
        images: (N, 3, SIZE, SIZE) uint8.
        labels: (N,) uint8, into `EXPRESSIONS`.
        person: (N,) uint8, into `NAMES`.
    """

    images: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.uint8]
    person: npt.NDArray[np.uint8]


def people(split: Split, seed: int = SEED, turns: int | None = None) -> People:
    """Every person with every expression, `VIEWS` of each or fewer; persons and expressions take turns."""
    part = 1 + list(VIEWS).index(split)
    everyone, images, labels, person = everybody(seed), [], [], []
    for turn in range(VIEWS[split] if turns is None else turns):
        for label, expression in enumerate(EXPRESSIONS):
            for number, somebody in enumerate(everyone):
                generator = np.random.default_rng([seed, part, turn, label, number])
                images.append(draw(somebody, view(expression, generator)))
                labels.append(label)
                person.append(number)
    return People(np.stack(images), np.array(labels, np.uint8), np.array(person, np.uint8))


PLAIN = View(Face(), 0.0, 0.02, 0.0, 0.98, 0.0, 0.0, (1.0, 1.0, 1.0), 0.0, ((206, 220, 232), (206, 220, 232)), 0,
             "nothing", BRIGHT[0], False)
"""Facing us, in even light."""


def contact_sheet(seed: int = SEED, larger: int = 2, columns: int = 3) -> Image.Image:
    """Everybody, in blocks of a row each: plain, then in some of the training pictures."""
    rows, drawn = [], people("train", seed, turns=1)
    for number, somebody in enumerate(everybody(seed)):
        row = [draw(somebody, replace(PLAIN, face=FACES["calm"])), *drawn.images[drawn.person == number]]
        rows.append(np.concatenate([np.pad(cell, ((0, 0), (1, 1), (1, 1)), constant_values=255) for cell in row], 2))
    high = -(-len(rows) // columns)
    blocks = [np.concatenate(rows[i * high:(i + 1) * high], 1) for i in range(columns)]
    sheet = np.concatenate([np.pad(block, ((0, 0), (0, 0), (2, 2)), constant_values=255) for block in blocks], 2)
    picture = Image.fromarray(sheet.transpose(1, 2, 0))
    return picture.resize((picture.width * larger, picture.height * larger), Image.Resampling.BICUBIC)
