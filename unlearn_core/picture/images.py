"""Single images for a browser."""

from __future__ import annotations

import io
from functools import lru_cache

from PIL import Image

from unlearn_core.subjects.subject import Subject, subjects


def address(subject: Subject) -> str:
    """Where the images of a subject are, below the app's own address: a number and `.png` follow."""
    return f"lacuna/image/{subject.name}/{subject.fingerprint}/"


@lru_cache(4096)
def png(name: str, number: int) -> bytes:
    """An image of the subject of that name as PNG, by its number for browsers (see `EvaluationSet.pictures`)."""
    images, (row, unseen) = subjects()[name].images, divmod(number, 2)
    pixels = (images.test if unseen else images.train).images[row].numpy()
    stream = io.BytesIO()
    Image.fromarray(pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0)).save(stream, "PNG")
    return stream.getvalue()
