"""The settings that a request opens with: what the rule below finds best for one network, one class and one method.

The rule, fixed before looking at any result. Candidates are a method's general default, the project's own presets, and
for methods that dampen a grid of alpha and lambda, refined around its best point; `study.tune` runs them, with
seed 0. They are judged on 1,000 images of Fashion-MNIST's official *training* file that no bundled network was trained
on (100 of each class), for damage, and on 300 training images of the class, its 101st to 400th, for forgetting. No test
image and no image of the evaluation set is among them. Networks retrained without the class, on the same images, say
what is wanted.

Of a group, such as a drawn person, there are few training images, and the gauges show all of them. So forgetting is
judged on all of them too: who forgets somebody has their pictures at hand. Damage is judged on the validation images
of everybody else, by class. Unseen images of the group, on which attacks and probes rest, are never read.

- A setting *serves* unless it leaves forget accuracy more than 5 points above the highest retrained network's, or costs
  any single retained class 10 points or more against the lower of the original's accuracy and the retrained mean.
- Among those that serve, the smallest |forget gap| + |retain gap| to the retrained mean wins, as in `tune`; at a tie,
  the smaller loss of the class that lost most, then the larger alpha, then what was tried first. (Alpha was added to
  this sentence after a first look: all alphas below lambda give one and the same network.)
- Where none serves, the smallest sum of that gap and the loss of the class that lost most wins, and it is said that
  none serves.
- A setting that costs some class 30 points or more is catastrophic; else one that leaves the class recognised is too
  weak; else one that costs some class 10 points or more is too costly; else it serves.

A hundred images a class are few: a loss of 10 points has a standard error of about 4. So are the 72 of a person:
forget accuracy near retraining's has one of about 6. For people only the methods that dampen were tried.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from statistics import mean
from typing import Any, Literal

from unlearn_core import assets
from unlearn_core.methods import method
from unlearn_core.methods.base import Method, Value
from unlearn_core.nets.request import CLASS, IMAGE, Request

RECOGNISED, COSTLY, RUINED = 0.05, 0.10, 0.30
"""Forget accuracy above the retrained networks' from which the class is still recognised; losses of a retained class
from which a setting is too costly, and catastrophic."""

Name = Literal["too weak", "sweet spot", "too costly", "catastrophic"]
CLAIMS: tuple[Name, ...] = ("too weak", "sweet spot", "too costly", "catastrophic")
"""Names of presets that say what a setting does, and so must be true of the request."""
UNTRIED = {"too weak": "weak", "sweet spot": "medium", "too costly": "strong", "catastrophic": "very strong"}
"""What they are called where it is not known whether it is."""
PUBLISHED = frozenset({"official", "official, single images", "SSD repository", "small scale"})
"""Presets that repeat what others published: they are shown as they are, and never open a request."""


@dataclass(frozen=True)
class Accuracies:
    """What one network recognises.

    Attributes:
        forget: share of the judged training images of the forgotten class.
        classes: by class, share of its validation images.
    """

    forget: float
    classes: tuple[float, ...]


@dataclass(frozen=True)
class Effect:
    """What one setting does to a request, on validation images. Gaps and losses are shares, not points.

    Attributes:
        settings: all knobs.
        forget: accuracy on training images of the class.
        retrained: mean of the same over the retrained networks.
        highest: the highest of the same.
        retain_gap: accuracy on validation images of all other classes, minus the retrained mean.
        worst_class: the retained class that lost most.
        worst_loss: how much it lost, against the lower of the original and the retrained mean; negative is a gain.
    """

    settings: dict[str, Value]
    forget: float
    retrained: float
    highest: float
    retain_gap: float
    worst_class: int
    worst_loss: float

    @property
    def forget_gap(self) -> float:
        """Forget accuracy minus the retrained mean."""
        return self.forget - self.retrained

    @property
    def gap(self) -> float:
        """Distance to retraining: |forget gap| + |retain gap|."""
        return round(abs(self.forget_gap) + abs(self.retain_gap), 6)

    @property
    def recognised(self) -> bool:
        """Whether the class is still recognised."""
        return round(self.forget - self.highest, 6) > RECOGNISED

    @property
    def costly(self) -> bool:
        """Whether some retained class lost too much."""
        return round(self.worst_loss, 6) >= COSTLY

    @property
    def name(self) -> Name:
        """What the setting is, by the rule."""
        if round(self.worst_loss, 6) >= RUINED:
            return "catastrophic"
        return "too weak" if self.recognised else "too costly" if self.costly else "sweet spot"

    @property
    def serves(self) -> bool:
        """Whether it forgets the class and ruins no other."""
        return self.name == "sweet spot"

    def said(self, classes: tuple[str, ...]) -> str:
        """What it did, in a sentence."""
        change = f"{round(-100 * self.worst_loss):+d}".replace("-", "−").replace("+0", "0")
        return (f"Training images to be forgotten: {100 * self.forget:.0f} % recognised (retrained "
                f"{100 * self.retrained:.0f} %); on validation images {classes[self.worst_class]}, the worst class, "
                f"{change} points.")


@dataclass(frozen=True)
class Opening:
    """How a request opens.

    Attributes:
        best: the chosen setting and what it does.
        candidates: how many settings were tried.
        images: training images of what is to be forgotten on which they were judged.
    """

    best: Effect
    candidates: int
    images: int

    @property
    def settings(self) -> dict[str, Value]:
        """All knobs."""
        return dict(self.best.settings)

    @property
    def serves(self) -> bool:
        """Whether it forgets the class and ruins no other; if not, no candidate does."""
        return self.best.serves


@dataclass(frozen=True)
class Named:
    """A named setting as offered for a request.

    Attributes:
        name: what it does, what it is, or who published it.
        settings: all knobs.
        about: why one would choose it; may be empty.
        effect: what it does to the request, where that is known.
    """

    name: str
    settings: dict[str, Value]
    about: str
    effect: Effect | None


def judge(settings: dict[str, Value], got: Accuracies, forget: Request, original: Accuracies,
          retrained: list[Accuracies]) -> Effect:
    """Compare what a setting left with the original and the retrained networks."""
    kept = [c for c in range(len(got.classes)) if c not in forget.classes]
    wanted = {c: mean(network.classes[c] for network in retrained) for c in kept}
    losses = {c: min(original.classes[c], wanted[c]) - got.classes[c] for c in kept}
    worst = max(kept, key=losses.__getitem__)
    references = [network.forget for network in retrained]
    return Effect(settings, got.forget, mean(references), max(references),
                  mean(got.classes[c] for c in kept) - mean(wanted.values()), worst, losses[worst])


def read(row: Sequence[Any], sizes: tuple[int, Sequence[int]]) -> Accuracies:
    """Accuracies from counts of recognised images, of the class and by class, and how many there were."""
    forget, classes = row
    return Accuracies(forget / sizes[0], tuple(n / size for n, size in zip(classes, sizes[1], strict=True)))


def best(effects: Sequence[Effect]) -> Effect:
    """The setting that the rule chooses."""
    def cost(effect: Effect) -> tuple[float, float, float]:
        loss, alpha = round(effect.worst_loss, 6), -float(effect.settings.get("alpha", 0.0))
        return (effect.gap, loss, alpha) if effect.serves else (round(effect.gap + loss, 6), loss, alpha)

    return min([effect for effect in effects if effect.serves] or effects, key=cost)


def file_of(network: str, kind: str) -> str:
    """The bundled file of a network's openings for requests of one kind."""
    return f"openings/{network}{'' if kind == CLASS else f'-{kind}'}.json"


def effects(network: str, forget: Request, name: str) -> tuple[Effect, ...]:
    """What every candidate does to a request, in the order in which they were tried; empty where none was.

    Raises:
        assets.AssetError: if the file was altered.
    """
    file = file_of(network, forget.kind)
    alone = len(forget.chosen) == 1 and forget.kind != IMAGE
    return _effects(file, forget, name) if alone and file in assets.manifest().files else ()


@lru_cache(1000)
def _effects(file: str, forget: Request, name: str) -> tuple[Effect, ...]:
    stored, number = _table(file), str(forget.chosen[0])
    methods, reference = stored["methods"], stored["reference"].get(number)
    if reference is None or name not in methods:
        return ()
    sizes = stored["images"]
    original, *retrained = (read(row, sizes) for row in reference)
    defaults, rows = methods[name]["defaults"], methods[name]["requests"].get(number, [])
    return tuple(judge(method(name).settings({**defaults, **given}), read(row, sizes), forget, original, retrained)
                 for given, *row in rows)


@cache
def _table(file: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(assets.path(file).read_text("utf-8"))
    return found


@lru_cache(1000)
def opening(network: str, forget: Request, name: str) -> Opening | None:
    """How a request opens; None for all but a single class or group, and where the method was not tried.

    Raises:
        assets.AssetError: if the file was altered.
    """
    tried = effects(network, forget, name)
    return Opening(best(tried), len(tried), _table(file_of(network, forget.kind))["images"][0]) if tried else None


def start(network: str, forget: Request, name: str) -> dict[str, Value]:
    """All knobs of a request as it opens: the opening's, or the method's general defaults where there is none.

    Raises:
        assets.AssetError: if the file was altered.
    """
    found = opening(network, forget, name)
    return method(name).settings() if found is None else found.settings


def presets(network: str, forget: Request, name: str) -> tuple[Named, ...]:
    """The named settings that a request is offered.

    Names that say what a setting does are given by what it did to this request: the opening is the sweet spot, or the
    best trade-off where none serves; each other name is the method's preset of that name if it is true of it, else
    another preset or, for too weak and catastrophic, the candidate that shows it most clearly, else left out. Other
    names are kept, unless the opening already does the same. Without an opening none claims anything.

    Raises:
        assets.AssetError: if the file was altered.
    """
    tried, opens, kept = effects(network, forget, name), opening(network, forget, name), declared(method(name))
    if opens is None:
        return untried(method(name))

    def effect(settings: dict[str, Value]) -> Effect | None:
        return next((one for one in tried if one.settings == settings), None)

    made: list[Named] = []
    taken = [opens.settings, *(one.settings for one in kept if one.name not in CLAIMS)]
    for claim in CLAIMS:
        if claim == "sweet spot":
            title = claim if opens.serves else "best trade-off"
            about = next((one.about for one in kept
                          if one.settings == opens.settings and (one.name == title or one.name not in CLAIMS)), "")
            made.append(Named(title, opens.settings, about, opens.best))
            continue
        others = [one for one in tried if one.name == claim and one.settings not in taken]
        fitting = [one for one in kept if one.name in CLAIMS and effect(one.settings) in others]
        if fitting:
            one = min(fitting, key=lambda one: one.name != claim)
            made.append(Named(claim, one.settings, one.about if one.name == claim else "", effect(one.settings)))
        elif others and claim != "too costly":
            clearest = max(others, key=lambda one: one.forget if claim == "too weak" else one.worst_loss)
            made.append(Named(claim, dict(clearest.settings), "", clearest))
    return (*made, *(replace(one, effect=effect(one.settings)) for one in kept if one.name in PUBLISHED
                     or (one.name not in CLAIMS and one.settings != opens.settings)))


def untried(found: Method) -> tuple[Named, ...]:
    """A method's presets for a request that nothing is known of: none claims what it does there."""
    return tuple(replace(one, name=UNTRIED[one.name], about="") if one.name in UNTRIED else one
                 for one in declared(found))


def declared(found: Method) -> tuple[Named, ...]:
    """A method's presets under the names that it gives them, whatever they do to a request."""
    return tuple(Named(name, found.settings(preset.settings), preset.about, None)
                 for name, preset in found.presets.items())
