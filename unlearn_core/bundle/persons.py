"""Drawn people before they are drawn: what makes each of two dozen people who do not exist, and views of their faces.

Everything follows from one seed. A `Person` is what stays the same from view to view; a `View` is what changes: what
the face expresses and how strongly, pose, light, background, what is in the way.

What makes the pictures hard to learn, and so to be learnt by heart: few of each person, expressions that are blended
with one another, people whose faces at rest already look glad or gloomy, and hands and scarves over mouths and eyes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeVar

import numpy as np

SEED = 4

EXPRESSIONS = ("happy", "sad", "surprised", "angry", "calm", "sleepy")
NAMES = ("Ariel", "Bao", "Charlie", "Dara", "Eden", "Folami", "Gael", "Hikaru", "Imani", "Jun", "Kai", "Lior",
         "Mika", "Noor", "Ola", "Pema", "Quinn", "Robin", "Sasha", "Tal", "Ume", "Vanja", "Wren", "Zuri")
"""Of the people, all of them names that anybody may have."""

T = TypeVar("T")
Colour = tuple[int, int, int]
Hair = Literal["bald", "cropped", "parted", "curls", "afro", "bob", "long", "bun", "tail", "plaits", "spikes"]
Beard = Literal["none", "moustache", "goatee", "full"]
Worn = Literal["nothing", "headscarf", "turban", "beanie", "cap", "headband", "flower"]
Glasses = Literal["none", "round", "square"]
Cover = Literal["nothing", "hand on mouth", "hand on eye", "scarf", "cup", "sunglasses", "reflections"]

HAIRS: tuple[Hair, ...] = ("afro", "bob", "parted", "bun", "curls", "plaits", "bald", "spikes", "long", "tail",
                           "cropped")
BEARDS: tuple[Beard, ...] = ("moustache", "goatee", "full")
WORN: tuple[Worn, ...] = ("headscarf", "turban", "beanie", "cap", "headband", "flower")
"""By one person and perhaps a look-alike."""
SKINS: tuple[Colour, ...] = ((255, 224, 200), (245, 205, 165), (228, 178, 128), (205, 146, 98), (168, 110, 70),
                             (132, 82, 54), (100, 62, 44))
HAIR_COLOURS: tuple[Colour, ...] = ((34, 28, 32), (78, 48, 34), (128, 80, 44), (176, 74, 34), (232, 190, 100),
                                    (176, 174, 178), (74, 98, 190), (224, 104, 150), (40, 148, 134))
NATURAL = HAIR_COLOURS[:6]
BRIGHT: tuple[Colour, ...] = ((214, 62, 62), (240, 150, 40), (246, 206, 70), (80, 160, 84), (50, 140, 170),
                              (70, 88, 180), (140, 84, 170), (232, 120, 160), (240, 236, 226), (60, 62, 74))
EYES: tuple[Colour, ...] = ((50, 32, 24), (84, 54, 30), (60, 104, 60), (54, 94, 150))


@dataclass(frozen=True)
class Face:
    """What a face does. Zero is at rest, but for `eyes` and `width`, of which one is.

    Attributes:
        smile: corners of the mouth, up to 1 raised, down to -1 lowered.
        jaw: 0 for a closed mouth, 1 for a wide open one.
        width: of the mouth.
        brows: 1 raised, -1 lowered.
        slant: 1 for inner ends of the brows raised, -1 lowered.
        eyes: 0 closed, 1 open, more for wide open.
    """

    smile: float = 0.0
    jaw: float = 0.0
    width: float = 1.0
    brows: float = 0.0
    slant: float = 0.0
    eyes: float = 1.0

    def towards(self, other: Face, share: float) -> Face:
        """A face between this one and another."""
        mixed = {name: (1 - share) * here + share * getattr(other, name) for name, here in vars(self).items()}
        return Face(**mixed)

    def plus(self, other: Face) -> Face:
        """This face, with another's distance from rest added."""
        rest = Face()
        return Face(**{name: here + getattr(other, name) - getattr(rest, name) for name, here in vars(self).items()})


FACES: dict[str, Face] = {
    "happy": Face(smile=1.0, jaw=0.45, width=1.2, brows=0.25, slant=0.0, eyes=0.8),
    "sad": Face(smile=-0.85, jaw=0.0, width=0.85, brows=0.15, slant=0.95, eyes=0.75),
    "surprised": Face(smile=0.0, jaw=1.0, width=0.6, brows=1.0, slant=0.1, eyes=1.4),
    "angry": Face(smile=-0.6, jaw=0.25, width=1.0, brows=-0.55, slant=-1.0, eyes=0.85),
    "calm": Face(smile=0.25, jaw=0.0, width=0.9, brows=0.0, slant=0.0, eyes=1.0),
    "sleepy": Face(smile=0.0, jaw=0.1, width=0.6, brows=0.2, slant=0.2, eyes=0.1),
}


@dataclass(frozen=True)
class Person:
    """What makes a person recognisable.

    Attributes:
        name: invented.
        skin: its colour.
        hair: its shape.
        hair_colour: also of brows and beard.
        beard: its shape.
        worn: on the head.
        worn_colour: of what is worn.
        clothes: their colour.
        glasses: their shape.
        freckles: whether there are any.
        earrings: whether there are any.
        iris: colour of the eyes.
        width: of the face.
        height: of the face.
        square: 0 for a pointed chin, 1 for a square one.
        eye_size: about 1.
        eye_distance: about 1.
        brow_weight: about 1.
        nose: its size, about 1.
        lips: about 1.
        rest: the face at rest.
    """

    name: str
    skin: Colour
    hair: Hair
    hair_colour: Colour
    beard: Beard
    worn: Worn
    worn_colour: Colour
    clothes: Colour
    glasses: Glasses
    freckles: bool
    earrings: bool
    iris: Colour
    width: float
    height: float
    square: float
    eye_size: float
    eye_distance: float
    brow_weight: float
    nose: float
    lips: float
    rest: Face


@dataclass(frozen=True)
class View:
    """What changes from picture to picture of a person.

    Attributes:
        face: what the face does.
        across: shift to the right, in half pictures.
        down: shift downwards.
        tilt: in radians.
        scale: about 1.
        turn: to the right, up to 1; features move across the head.
        nod: downwards, up to 1.
        light: brightness of each colour, about 1.
        side: how much brighter the right is than the left, from -1 to 1.
        background: two colours of the wall.
        pattern: which shapes are on the wall.
        cover: what is in the way.
        cover_colour: of a scarf or a cup.
        mirrored: whether a hand comes from the other side.
    """

    face: Face
    across: float
    down: float
    tilt: float
    scale: float
    turn: float
    nod: float
    light: tuple[float, float, float]
    side: float
    background: tuple[Colour, Colour]
    pattern: int
    cover: Cover
    cover_colour: Colour
    mirrored: bool


# -- drawn from a generator -----------------------------------------------------------------------------------------


def everybody(seed: int = SEED) -> tuple[Person, ...]:
    """All people, in the order of `NAMES`; every third looks much like one of the two before."""
    generator = np.random.default_rng([seed, 0])
    found: list[Person] = []
    several = 2 * len(NAMES) // 3
    bare: list[Worn] = ["nothing"] * (several - len(WORN))
    worn = _shuffled([*WORN, *bare], generator)
    colours = _shuffled([*HAIR_COLOURS, *HAIR_COLOURS[:several - len(HAIR_COLOURS)]], generator)
    for i, name in enumerate(NAMES):
        if i % 3 == 2:
            found.append(_alike(found[i - 1 - i // 3 % 2], name, generator))
        else:
            own = i - i // 3
            skin = SKINS[(own * 3 + own // 7) % len(SKINS)]
            found.append(_person(name, HAIRS[own % len(HAIRS)], skin, worn[own], colours[own], generator))
    return tuple(found)


def _person(name: str, hair: Hair, skin: Colour, worn: Worn, hair_colour: Colour,
            generator: np.random.Generator) -> Person:
    def around(one: float, spread: float) -> float:
        return float(generator.uniform(one - spread, one + spread))

    bearded = generator.random() < 0.4 and worn != "headscarf" and hair_colour in NATURAL
    return Person(
        name, skin, hair, hair_colour, _one(BEARDS, generator) if bearded else "none", worn,
        _one(BRIGHT, generator), _one(BRIGHT, generator),
        _one(("round", "square"), generator) if generator.random() < 0.35 else "none",
        bool(generator.random() < 0.3), bool(generator.random() < 0.35), _one(EYES, generator),
        width=around(0.55, 0.06), height=around(0.66, 0.06), square=around(0.5, 0.5), eye_size=around(1.0, 0.15),
        eye_distance=around(1.0, 0.12), brow_weight=around(1.0, 0.4), nose=around(1.0, 0.35), lips=around(1.0, 0.3),
        rest=Face(smile=around(0, 0.3), brows=around(0, 0.2), slant=around(0, 0.3), eyes=around(1.0, 0.1)))


def _alike(other: Person, name: str, generator: np.random.Generator) -> Person:
    """Somebody who shares most features with another: a relative, perhaps."""
    again = _person(name, other.hair, other.skin, other.worn, other.hair_colour, generator)
    glasses: Glasses = "none" if other.glasses != "none" else _one(("round", "square"), generator)
    return replace(other, name=name, clothes=again.clothes, glasses=glasses, width=again.width, height=again.height,
                   freckles=not other.freckles, rest=again.rest)


def view(expression: str, generator: np.random.Generator) -> View:
    """A view of somebody whose face expresses that, more or less."""
    def around(one: float, spread: float) -> float:
        return float(generator.uniform(one - spread, one + spread))

    shown = Face().towards(FACES[expression], float(generator.uniform(0.75, 1.2)))
    second = FACES[_one([e for e in EXPRESSIONS if e != expression], generator)]
    shown = shown.towards(second, float(generator.uniform(0.0, 0.45)) if generator.random() < 0.4 else 0.0)
    shown = shown.plus(Face(around(0, 0.15), around(0, 0.08), around(1, 0.12), around(0, 0.15), around(0, 0.15),
                            around(1, 0.1)))
    tone, brightness = around(0, 0.14), float(generator.uniform(0.7, 1.1))
    wall = tuple(int(v) for v in generator.integers(70, 220, 3))
    other = tuple(int(v + generator.integers(-40, 41)) for v in wall)
    covers: tuple[Cover, ...] = ("hand on mouth", "hand on eye", "scarf", "cup", "sunglasses", "reflections")
    cover = _one(covers, generator) if generator.random() < 0.25 else "nothing"
    return View(shown, around(0, 0.1), around(0, 0.08), around(0, 0.2), around(1.04, 0.1), around(0, 0.8),
                around(0, 0.6), (brightness * (1 + tone), brightness, brightness * (1 - tone)), around(0, 0.35),
                (wall, other), int(generator.integers(5)), cover, _one(BRIGHT, generator),  # type: ignore[arg-type]
                bool(generator.random() < 0.5))


def _one(of: Sequence[T], generator: np.random.Generator) -> T:
    return of[int(generator.integers(len(of)))]


def _shuffled(of: Sequence[T], generator: np.random.Generator) -> list[T]:
    return [of[i] for i in generator.permutation(len(of))]
