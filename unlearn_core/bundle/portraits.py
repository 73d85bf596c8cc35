"""Portraits: a person in a view, drawn of plain shapes on a canvas of four times its size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from unlearn_core.bundle.persons import Colour, Face, Person, View

SIZE, FINER = 32, 4
"""Height and width of a picture in pixels, and how many times larger it is drawn."""

Points = Sequence[tuple[float, float]]


class _Canvas:
    """Draws shapes whose points are given from -1 to 1, y downwards, moved as a view wants it."""

    def __init__(self, image: Image.Image, seen: View) -> None:
        self._draw = ImageDraw.Draw(image, "RGBA")
        self._half, self._seen = image.width / 2, seen
        self._cos, self._sin = math.cos(seen.tilt) * seen.scale, math.sin(seen.tilt) * seen.scale

    def polygon(self, points: Points, colour: Colour, alpha: int = 255) -> None:
        """A filled shape."""
        placed = [(self._half * (1 + self._cos * x - self._sin * y + self._seen.across),
                   self._half * (1 + self._sin * x + self._cos * y + self._seen.down)) for x, y in points]
        self._draw.polygon(placed, fill=(*colour, alpha))

    def ellipse(self, x: float, y: float, rx: float, ry: float, colour: Colour, alpha: int = 255) -> None:
        """A filled ellipse around a point."""
        self.polygon(_ellipse(x, y, rx, ry), colour, alpha)

    def line(self, points: Points, width: float, colour: Colour) -> None:
        """A line through points, with round ends."""
        for (x0, y0), (x1, y1) in pairwise(points):
            length = math.hypot(x1 - x0, y1 - y0) or 1.0
            dx, dy = (y1 - y0) / length * width / 2, (x0 - x1) / length * width / 2
            self.polygon([(x0 + dx, y0 + dy), (x1 + dx, y1 + dy), (x1 - dx, y1 - dy), (x0 - dx, y0 - dy)], colour)
        for x, y in points:
            self.ellipse(x, y, width / 2, width / 2, colour)


def _ellipse(x: float, y: float, rx: float, ry: float, power: float = 2.0, start: float = 0.0,
             end: float = 1.0) -> list[tuple[float, float]]:
    """Points around an ellipse, or with a higher power a rounder rectangle; part of it, clockwise from the right."""
    def bent(value: float) -> float:
        return math.copysign(abs(value) ** (2 / power), value)

    turns = [2 * math.pi * (start + (end - start) * i / 36) for i in range(37)]
    return [(x + rx * bent(math.cos(a)), y + ry * bent(math.sin(a))) for a in turns]


def _shade(colour: Colour, factor: float) -> Colour:
    r, g, b = (min(255, max(0, round(value * factor))) for value in colour)
    return r, g, b


def draw(person: Person, seen: View) -> npt.NDArray[np.uint8]:
    """A picture (3, SIZE, SIZE) of a person in a view."""
    image = Image.new("RGB", (SIZE * FINER, SIZE * FINER), seen.background[0])
    _wall(image, seen)
    canvas = _Canvas(image, seen)
    _behind(canvas, person, seen)
    _head(canvas, person, seen)
    _features(canvas, person, seen)
    _front(canvas, person, seen)
    _glasses(canvas, person, seen)
    _cover(canvas, person, seen)
    pixels = np.asarray(image.reduce(FINER), dtype=np.float64)
    across = np.linspace(-1, 1, SIZE)[None, :, None] * seen.side
    lit = pixels * np.array(seen.light) * (1 + across)
    result: npt.NDArray[np.uint8] = np.clip(np.rint(lit), 0, 255).astype(np.uint8).transpose(2, 0, 1)
    return result


def _wall(image: Image.Image, seen: View) -> None:
    """What is behind the person: plain, a floor, stripes, a window, balls."""
    pen, edge, other = ImageDraw.Draw(image), image.width, seen.background[1]
    if seen.pattern == 1:
        pen.rectangle((0, edge * 0.55, edge, edge), fill=other)
    elif seen.pattern == 2:
        for left in range(0, edge, edge // 4):
            pen.rectangle((left, 0, left + edge // 8, edge), fill=other)
    elif seen.pattern == 3:
        window = 0.08 if seen.mirrored else 0.62
        pen.rectangle((window * edge, edge * 0.1, (window + 0.3) * edge, edge * 0.5), fill=other)
    elif seen.pattern == 4:
        for x, y in ((0.1, 0.15), (0.85, 0.3), (0.2, 0.7), (0.9, 0.85)):
            pen.ellipse(((x - 0.12) * edge, (y - 0.12) * edge, (x + 0.12) * edge, (y + 0.12) * edge), fill=other)


def _hair_shown(person: Person) -> bool:
    return person.worn not in ("headscarf", "turban")


def _behind(canvas: _Canvas, person: Person, seen: View) -> None:
    """Hair and cloth behind the head, then shoulders and neck."""
    w, h, hair = person.width, person.height, _shade(person.hair_colour, 0.85)
    if person.worn == "headscarf":
        canvas.polygon(_ellipse(0, 0.1, w * 1.32, h * 1.35, 2.4), _shade(person.worn_colour, 0.85))
    elif _hair_shown(person):
        if person.hair == "afro":
            canvas.ellipse(0, -0.2, w * 1.6, h * 1.25, hair)
        elif person.hair == "bob":
            canvas.polygon(_ellipse(0, 0.0, w * 1.32, h * 1.0, 3.2), hair)
        elif person.hair == "long":
            canvas.polygon([*_ellipse(0, -0.1, w * 1.28, h * 1.1, 2, 0.5, 1.0), (w * 1.4, 1.2), (-w * 1.4, 1.2)], hair)
        elif person.hair == "bun":
            canvas.ellipse(0, -h * 1.16, 0.25, 0.23, person.hair_colour)
        elif person.hair == "tail":
            canvas.polygon(_ellipse(w * 1.15, 0.15, 0.2, 0.55, 2.2), hair)
        elif person.hair == "plaits":
            for side in (-1, 1):
                for i in range(5):
                    canvas.ellipse(side * (w + 0.08), 0.12 + 0.17 * i, 0.14, 0.12, _shade(hair, 1.15 if i % 2 else 0.9))
        elif person.hair == "curls":
            for i in range(9):
                angle = math.pi * (1.0 + i / 8)
                canvas.ellipse(w * 1.02 * math.cos(angle), -0.12 + h * 0.95 * math.sin(angle), 0.21, 0.21, hair)
    canvas.polygon(_ellipse(0, 1.28, 0.92, 0.55, 2.6), person.clothes)
    canvas.polygon([(-0.2, 0.3), (0.2, 0.3), (0.24, 0.84), (-0.24, 0.84)], _shade(person.skin, 0.8))
    if person.worn == "headscarf":
        canvas.polygon(_ellipse(0, 0.72, w * 1.05, 0.36, 2.4), _shade(person.worn_colour, 0.92))


def _head(canvas: _Canvas, person: Person, seen: View) -> None:
    """The face's outline, ears and beard."""
    w = person.width
    if _hair_shown(person) or person.worn == "turban":
        for side in (-1, 1):
            shown = side * w - 0.08 * seen.turn
            canvas.ellipse(shown, 0.05, 0.12, 0.16, _shade(person.skin, 0.88))
            if person.earrings:
                canvas.ellipse(shown, 0.25, 0.07, 0.07, (250, 210, 80))
    canvas.polygon(_outline(person), person.skin)
    x, y = _moved(seen)
    hair = person.hair_colour
    if person.beard == "full":
        lower = [(px * 1.03, py * 1.06) for px, py in _outline(person) if py > 0.06]
        canvas.polygon([*lower, (-w * 0.7 + x, 0.14), (-0.2 + x, 0.2 + y), (0.2 + x, 0.2 + y), (w * 0.7 + x, 0.14)],
                       hair)
    elif person.beard == "goatee":
        canvas.polygon(_ellipse(x, person.height - 0.09 + y / 2, 0.24, 0.15, 2.4), hair)


def _outline(person: Person) -> list[tuple[float, float]]:
    """Around the face: narrower towards the chin, the more so the less square it is."""
    w, h = person.width, person.height
    points = _ellipse(0, 0, w, h, 2.2 + person.square * 0.7)
    return [(x * (1 - (0.34 - 0.3 * person.square) * max(0.0, y / h) ** 1.5), y) for x, y in points]


def _moved(seen: View) -> tuple[float, float]:
    """How far the middle of the face is from the middle of the head."""
    return seen.turn * 0.11, seen.nod * 0.09


def _features(canvas: _Canvas, person: Person, seen: View) -> None:
    """Cheeks, eyes, brows, nose and mouth."""
    face, (x, y) = seen.face.plus(person.rest), _moved(seen)
    for side in (-1, 1):
        canvas.ellipse(x + side * 0.34, 0.22 + y, 0.12, 0.09, (235, 90, 90), 70 if face.smile > 0.3 else 30)
        if person.freckles:
            for dx, dy in ((0.24, 0.12), (0.34, 0.2), (0.4, 0.1), (0.3, 0.28)):
                canvas.ellipse(x + side * dx, dy + y, 0.026, 0.026, _shade(person.skin, 0.72))
        _eye(canvas, person, face, x + side * 0.245 * person.eye_distance, y - 0.06)
    size = person.nose
    canvas.polygon([(x + seen.turn * 0.05, 0.0 + y), (x + 0.09 * size + seen.turn * 0.04, 0.2 * size ** 0.5 + y),
                    (x - 0.09 * size + seen.turn * 0.04, 0.2 * size ** 0.5 + y)], _shade(person.skin, 0.8))
    if person.beard in ("moustache", "full"):
        for side in (-1, 1):
            canvas.polygon(_ellipse(x + side * 0.13, 0.29 + y, 0.16, 0.07), _shade(person.hair_colour, 0.9))
    _mouth(canvas, person, face, x, 0.42 + y)


def _eye(canvas: _Canvas, person: Person, face: Face, x: float, y: float) -> None:
    """One eye; a closed one is a line."""
    opened = max(0.0, min(1.5, face.eyes))
    wide, lash = 0.135 * person.eye_size, (30, 24, 28)
    if opened < 0.3:
        canvas.line([(x - wide, y), (x - wide / 2, y + 0.05), (x + wide / 2, y + 0.05), (x + wide, y)], 0.05, lash)
    else:
        high = 0.125 * person.eye_size * opened
        canvas.ellipse(x, y - 0.02, wide + 0.02, high + 0.03, lash)
        canvas.ellipse(x, y, wide, high, (250, 250, 248))
        canvas.ellipse(x, y + 0.01, 0.085, min(high, 0.09), person.iris)
        canvas.ellipse(x + 0.03, y - 0.03, 0.028, 0.028, (255, 255, 255))


def _brows(canvas: _Canvas, person: Person, seen: View) -> None:
    """Both brows; they show through hair, but not through what is worn."""
    face, (x, y) = seen.face.plus(person.rest), _moved(seen)
    lifted, lean = y - 0.28 - 0.12 * face.brows - 0.05 * max(0.0, face.eyes - 1), 0.1 * face.slant
    for side in (-1, 1):
        middle = x + side * 0.245 * person.eye_distance
        ends = [(middle - side * 0.15, lifted - lean), (middle, lifted - 0.03),
                (middle + side * 0.16, lifted + lean * 0.8)]
        canvas.line(ends, 0.07 * person.brow_weight, _shade(person.hair_colour, 0.5))


def _mouth(canvas: _Canvas, person: Person, face: Face, x: float, y: float) -> None:
    """A curve, or between two curves an open mouth with teeth."""
    half, bend, opened = 0.23 * max(0.35, face.width), 0.15 * face.smile, max(0.0, face.jaw) * 0.33
    lip = _shade((200, 66, 72), 0.5 + 0.55 * sum(person.skin) / 765)
    at = [math.sin(math.pi / 2 * (i / 8 - 1)) for i in range(17)]
    round_off = [(1 - t * t) ** 0.5 for t in at]
    raised = 0.35 * max(0.0, face.jaw - 0.5)  # a mouth wide open is an O
    upper = [(x + half * t, y + bend * (0.5 - t * t) - raised * r) for t, r in zip(at, round_off, strict=True)]
    if opened < 0.05:
        canvas.line(upper, 0.07 * person.lips, lip)
        return
    lower = [(x + half * t, y + bend * (0.5 - t * t) + opened * r * 0.9) for t, r in zip(at, round_off, strict=True)]
    canvas.line([*upper, *reversed(lower), upper[0]], 0.06 * person.lips, lip)
    canvas.polygon([*upper, *reversed(lower)], (92, 24, 34))
    if opened < 0.24:
        teeth = [(px, py + min(0.08, 0.5 * opened) * r) for (px, py), r in zip(upper, round_off, strict=True)]
        canvas.polygon([*upper, *reversed(teeth)], (250, 248, 242))
    else:
        canvas.ellipse(x, y + opened * 0.66, half * 0.55, opened * 0.2, (206, 96, 96))


def _front(canvas: _Canvas, person: Person, seen: View) -> None:
    """Hair over the forehead, and what is worn on the head."""
    w, h, hair = person.width, person.height, person.hair_colour
    lean = seen.turn * 0.06
    top = _ellipse(0, -0.04, w * 1.1, h * 1.08, 2.2, 0.5, 1.0)  # from the left over the top to the right
    if _hair_shown(person):
        if person.hair in ("parted", "tail"):
            part = -0.25 + lean
            canvas.polygon([*top, (w * 1.02, -0.12), (w * 0.7, -0.34), (part, -h * 0.78), (-w * 0.86, -0.3)], hair)
        elif person.hair in ("long", "plaits"):
            canvas.polygon([*top, (w * 1.0, 0.1), (w * 0.74, -0.3), (lean, -h * 0.84), (-w * 0.74, -0.3),
                            (-w * 1.0, 0.1)], hair)
        elif person.hair == "bob":
            canvas.polygon([*top, (w * 1.1, 0.3), (w * 0.84, 0.2), (w * 0.8, -0.36), (-w * 0.8, -0.36),
                            (-w * 0.84, 0.2), (-w * 1.1, 0.3)], hair)
        elif person.hair in ("cropped", "bun"):
            canvas.polygon([*top, (w * 0.9, -0.3), (w * 0.6, -h * 0.68), (-w * 0.6, -h * 0.68), (-w * 0.9, -0.3)], hair)
        elif person.hair == "afro":
            canvas.polygon([*_ellipse(0, -0.2, w * 1.5, h * 1.15, 2, 0.5, 1.0), (w * 0.95, -0.2), (w * 0.6, -h * 0.62),
                            (-w * 0.6, -h * 0.62), (-w * 0.95, -0.2)], hair)
        elif person.hair == "curls":
            for i in range(6):
                canvas.ellipse(w * (-0.8 + 0.32 * i) + lean, -h * (0.72 + 0.12 * (i % 2)), 0.19, 0.18,
                               _shade(hair, 1.1 if i % 2 else 0.95))
        elif person.hair == "spikes":
            tips = [(w * (-1.05 + 0.35 * i), -h * (1.38 if i % 2 else 0.95) + 0.12 * abs(i - 3)) for i in range(7)]
            canvas.polygon([*tips, (w * 0.8, -h * 0.55), (lean, -h * 0.68), (-w * 0.8, -h * 0.55)], hair)
    _brows(canvas, person, seen)
    _worn(canvas, person, lean)


def _worn(canvas: _Canvas, person: Person, lean: float) -> None:
    w, h, colour = person.width, person.height, person.worn_colour
    dark = _shade(colour, 0.75)
    top = _ellipse(0, -0.3, w * 1.16, h * 0.95, 2.4, 0.5, 1.0)
    if person.worn == "headscarf":
        outside = _ellipse(0, -0.02, w * 1.22, h * 1.16, 2.3)
        inside = [(x * 0.82 + lean, y * 0.84 + 0.06) for x, y in _outline(person)]
        canvas.polygon([*outside, *reversed(inside), inside[-1], outside[-1]], colour)
    elif person.worn == "turban":
        canvas.polygon([*_ellipse(0, -0.34, w * 1.3, h * 0.95, 2.4, 0.5, 1.0), (w * 1.1, -0.22), (lean, -0.5),
                        (-w * 1.1, -0.22)], colour)
        canvas.line([(-w * 1.1, -0.4), (0.1 + lean, -0.72), (w * 0.66, -1.0)], 0.06, dark)
        canvas.line([(w * 1.1, -0.4), (lean, -0.62)], 0.06, dark)
    elif person.worn == "beanie":
        canvas.polygon([*top, (w * 1.16, -0.36), (-w * 1.16, -0.36)], colour)
        canvas.line([(-w * 1.08, -0.4), (lean, -0.46), (w * 1.08, -0.4)], 0.2, dark)
        canvas.ellipse(0, -0.3 - h * 0.98, 0.15, 0.14, dark)
    elif person.worn == "cap":
        canvas.polygon([*top, (w * 1.14, -0.4), (-w * 1.14, -0.4)], colour)
        canvas.polygon(_ellipse(lean * 3, -0.4, w * 1.05, 0.12), dark)
    elif person.worn == "headband":
        canvas.line([(-w * 0.98, -0.3), (-w * 0.5, -0.5), (lean, -0.54), (w * 0.5, -0.5), (w * 0.98, -0.3)], 0.15,
                    colour)
    elif person.worn == "flower":
        for i in range(5):
            angle = 2 * math.pi * i / 5
            canvas.ellipse(w * 0.78 + 0.13 * math.cos(angle), -0.56 + 0.13 * math.sin(angle), 0.1, 0.1, colour)
        canvas.ellipse(w * 0.78, -0.56, 0.08, 0.08, (250, 220, 90) if colour != (246, 206, 70) else (150, 80, 40))


def _glasses(canvas: _Canvas, person: Person, seen: View) -> None:
    """Frames, dark or mirroring panes where the view has them; people without glasses may wear dark ones."""
    dark, mirroring = seen.cover == "sunglasses", seen.cover == "reflections"
    if person.glasses == "none" and not dark:
        return
    (x, y), frame = _moved(seen), (30, 28, 34)
    apart = 0.255 * person.eye_distance
    power = 2.0 if person.glasses == "round" else 4.0
    for side in (-1, 1):
        ring = _ellipse(x + side * apart, y - 0.05, 0.215, 0.2, power)
        if dark:
            canvas.polygon(ring, (24, 26, 34))
        elif mirroring:
            canvas.polygon(ring, (232, 244, 255), 190)
        canvas.line(ring, 0.045, frame)
        canvas.line([(x + side * (apart + 0.21), y - 0.06), (side * person.width, -0.02)], 0.045, frame)
    canvas.line([(x - apart + 0.2, y - 0.06), (x + apart - 0.2, y - 0.06)], 0.045, frame)


def _cover(canvas: _Canvas, person: Person, seen: View) -> None:
    """A hand, a scarf or a cup before the face."""
    (x, y), side = _moved(seen), -1 if seen.mirrored else 1
    if seen.cover.startswith("hand"):
        cx, cy = (0.06 * side + x, 0.45 + y) if seen.cover == "hand on mouth" else (0.25 * side + x, -0.05 + y)
        skin, edge = _shade(person.skin, 0.97), _shade(person.skin, 0.72)
        canvas.line([(cx + 0.1 * side, cy + 0.2), (side * 0.7, 1.3)], 0.42, person.clothes)
        canvas.polygon(_ellipse(cx + 0.1 * side, cy + 0.14, 0.27, 0.22, 2.6), skin)
        for i in range(4):
            start = (cx + side * 0.08, cy + 0.02 + 0.09 * i)
            canvas.line([start, (cx - side * (0.24 - 0.03 * abs(i - 1)), cy - 0.14 + 0.11 * i)], 0.12, edge)
            canvas.line([start, (cx - side * (0.24 - 0.03 * abs(i - 1)), cy - 0.14 + 0.11 * i)], 0.085, skin)
    elif seen.cover == "scarf":
        canvas.polygon([(-person.width * 1.05, 0.3), (x, 0.22 + y), (person.width * 1.05, 0.3), (0.75, 0.95),
                        (-0.75, 0.95)], seen.cover_colour)
        canvas.line([(-person.width, 0.52), (x, 0.46 + y), (person.width, 0.52)], 0.06, _shade(seen.cover_colour, 0.75))
    elif seen.cover == "cup":
        canvas.polygon([(x - 0.24, 0.3 + y), (x + 0.24, 0.3 + y), (x + 0.19, 0.85 + y), (x - 0.19, 0.85 + y)],
                       seen.cover_colour)
        canvas.polygon(_ellipse(x, 0.3 + y, 0.24, 0.05), _shade(seen.cover_colour, 0.7))
        canvas.polygon(_ellipse(x + side * 0.22, 0.66 + y, 0.17, 0.15, 2.6), person.skin)
