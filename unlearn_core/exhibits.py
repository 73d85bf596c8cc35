"""Pictures of what a method did, as plain data; `figures.exhibits` draws them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, eq=False)
class Curves:
    """Numbers that were followed during the run.

    Attributes:
        title: what is shown.
        caption: one sentence on how to read it.
        x: what the horizontal axis counts.
        y: what the vertical axis measures, with its unit.
        series: name -> (x values, y values), one line each; stages of a run follow each other in x.
    """

    title: str
    caption: str
    x: str
    y: str
    series: Mapping[str, tuple[tuple[float, ...], tuple[float, ...]]]


@dataclass(frozen=True, eq=False)
class LayerBars:
    """One number per layer out of a possible total.

    Attributes:
        title: what is shown.
        caption: one sentence on how to read it.
        layers: parameter or module names, input first.
        values: one per layer.
        totals: the largest possible value per layer.
        unit: of the values.
    """

    title: str
    caption: str
    layers: tuple[str, ...]
    values: tuple[float, ...]
    totals: tuple[float, ...]
    unit: str


@dataclass(frozen=True, eq=False)
class LayerMap:
    """A share for each layer and each part of it (or each moment).

    Attributes:
        title: what is shown.
        caption: one sentence on how to read it.
        layers: parameter names, input first.
        values: (layers, columns) float32 in [0, 1].
        x: what the columns are.
    """

    title: str
    caption: str
    layers: tuple[str, ...]
    values: npt.NDArray[np.float32]
    x: str


@dataclass(frozen=True, eq=False)
class Pictures:
    """Images a method made, as the network sees them.

    Attributes:
        title: what is shown.
        caption: one sentence on how to read it.
        images: (N, C, H, W) float32, standardised.
        names: one per image.
    """

    title: str
    caption: str
    images: npt.NDArray[np.float32]
    names: tuple[str, ...]


Exhibit = Curves | LayerBars | LayerMap | Pictures
