"""Networks of the operator's own, by name: functions that were registered in the environment or by installed packages.

Their code is run, so it is for whoever starts the program to name it. A subject's folder says a registered name and
never where the code is.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Sequence
from importlib.metadata import entry_points
from typing import Any

from torch import nn

ARCHITECTURES = "LACUNA_ARCHITECTURES"
"""The environment variable that names them: ``pkg.mod:build``, or ``name=pkg.mod:build``, separated by blanks.
Processes that are started from here have it too."""
ENTRY_POINTS = "lacuna.architectures"
"""The group in which an installed package registers them."""


def register(places: Sequence[str]) -> None:
    """Add functions to those of the environment, written as there.

    Raises:
        ValueError: if one is written otherwise.
    """
    os.environ[ARCHITECTURES] = " ".join([*os.environ.get(ARCHITECTURES, "").split(), *places])
    registered()


def registered() -> dict[str, str]:
    """Where the function is, ``pkg.mod:build``, by the name of the network: by default the function's.

    Raises:
        ValueError: if the environment variable says something else.
    """
    found = {point.name: point.value for point in entry_points(group=ENTRY_POINTS)}
    for text in os.environ.get(ARCHITECTURES, "").split():
        name, _, place = text.rpartition("=")
        module, colon, function = place.partition(":")
        if not (colon and all(part.isidentifier() for part in (*module.split("."), *function.split(".")))):
            raise ValueError(f"architecture: pkg.mod:build or name=pkg.mod:build expected, got {text!r}")
        found[name or function] = place
    return found


def registered_network(name: str, channels: int, classes: int, size: int) -> nn.Module:
    """A freshly initialised network of a registered name.

    Args:
        name: one of `registered`.
        channels: colour channels of the images.
        classes: number of outputs, which are logits.
        size: height and width of the images in pixels.

    Raises:
        ValueError: if its function cannot be imported, or makes no network.
    """
    place = registered()[name]
    module, _, function = place.partition(":")
    try:
        build: Any = importlib.import_module(module)
        for part in function.split("."):
            build = getattr(build, part)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"architecture {name}: {place} cannot be imported ({error}); its folder should be on "
                         "PYTHONPATH") from error
    network = build(channels=channels, classes=classes, size=size)
    if not isinstance(network, nn.Module):
        raise ValueError(f"architecture {name}: {place} should return a torch.nn.Module, got {type(network).__name__}")
    return network
