"""What was asked to be forgotten, as a sheet speaks of it."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from unlearn_core.nets.request import CLASS, IMAGE
from unlearn_core.serving.scenes import Scene


@dataclass(frozen=True, eq=False)
class Asked:
    """A request in words and images.

    Attributes:
        words: what is to be forgotten, for people.
        scope: what kind of request it is.
        written: as on the command line and in the address.
        classes: the classes that are forgotten as a whole.
        rows: positions of its images in the training set.
    """

    words: str
    scope: str
    written: str
    classes: tuple[int, ...]
    rows: Tensor


def asked(scene: Scene) -> Asked:
    """What the request of a scene asks for."""
    request, train, several = scene.request, scene.task.train, len(scene.request.chosen) > 1
    scope = {CLASS: "classes" if several else "class", IMAGE: "images" if several else "image"}.get(
        request.kind, request.kind)
    return Asked(request.words(train), scope, str(request), request.classes, request.split(train)[0])
