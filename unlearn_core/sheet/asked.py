"""What was asked to be forgotten: its words, its images, and how it is written on a command line. Only here."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from unlearn_core.serving.engine import Choice, Scene


@dataclass(frozen=True, eq=False)
class Asked:
    """A request, as a sheet speaks of it.

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
    chosen, request = scene.choice, scene.request
    return Asked(" and ".join(chosen.names), "class" if len(chosen.forget) == 1 else "classes", written(chosen),
                 request.forget_classes, request.split(scene.task.train.labels)[0])


def written(chosen: Choice) -> str:
    """What `read` reads."""
    return ",".join(map(str, chosen.forget))


def read(text: str) -> tuple[int, ...]:
    """What stands behind `--forget`.

    Raises:
        ValueError: if it is no list of class numbers.
    """
    try:
        return tuple(map(int, text.split(",")))
    except ValueError:
        raise ValueError(f"forget: class numbers separated by commas expected, got {text!r}") from None
