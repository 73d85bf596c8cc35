"""A choice: everything that decides an outcome, and the key under which it is known."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property

from unlearn_core.methods import method
from unlearn_core.methods.base import Settings, Value
from unlearn_core.nets.request import CLASS, Request, checked, forget_classes
from unlearn_core.subjects.subject import Subject, subject

VERSION = 3
"""Part of every key: raise it when the numbers that an unchanged choice leads to change."""

SEEDS = range(1000)


@dataclass(frozen=True)
class Choice:
    """Everything that decides an outcome; its key is the cache key, the permalink and the export's name."""

    network: str
    forget: Request
    method: str
    settings: tuple[tuple[str, Value], ...]
    seed: int = 0

    @cached_property
    def key(self) -> str:
        """Sixteen hexadecimal digits."""
        return hashlib.sha256(repr((VERSION, self.subject.fingerprint, self)).encode()).hexdigest()[:16]

    @property
    def subject(self) -> Subject:
        """The subject that is named."""
        return subject(self.network)

    @property
    def words(self) -> str:
        """What is to be forgotten, within a sentence."""
        return self.forget.words(self.subject)

    @property
    def scene(self) -> Choice:
        """The choice without what a slider of the live view changes: alpha and lambda, or every knob."""
        importances = method(self.method).importance is not None
        fixed = tuple(s for s in self.settings if importances and s[0] not in ("alpha", "lambda"))
        return replace(self, settings=fixed, seed=0)


def choice(network: str, forget: Request | tuple[int, ...], method_name: str, settings: Settings,
           seed: int = 0) -> Choice:
    """A checked choice with every hyper-parameter filled in; the seed of a method that uses none is 0.

    Args:
        network: name of a subject.
        forget: what is to be forgotten; numbers alone are classes.
        method_name: of a method.
        settings: its knobs; those left out are at their defaults.
        seed: owns the method's randomness.

    Raises:
        ValueError: for an unknown network, method, class or hyper-parameter, or a value out of range.
    """
    asked = forget if isinstance(forget, Request) else Request(forget)
    # Whole classes are checked without the images: an address is read before they are needed.
    request = forget_classes(asked.chosen, len(subject(network).classes)) if asked.kind == CLASS else \
        checked(asked, subject(network).images.train)
    found = method(method_name)
    if seed not in SEEDS:
        raise ValueError(f"seed: a whole number in {SEEDS.start}..{SEEDS.stop - 1} expected, got {seed!r}")
    return Choice(network, request, method_name, tuple(sorted(found.settings(settings).items())),
                  seed if found.seeded else 0)
