"""Walls and rows of images."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from html import escape

import numpy as np
import numpy.typing as npt
import streamlit as st
from PIL import Image

from unlearn_core.picture.images import address
from unlearn_core.subjects.subject import Subject

INLINE = 96  # pixels a side at most


def strip(subject: Subject, numbers: Sequence[int], said: str, width: int) -> None:
    """Some images by their numbers (see `EvaluationSet.pictures`) in a row, with one description for all."""
    st.html(f'<div role="img" aria-label="{escape(said)}" style="display:flex;gap:6px">' + "".join(
        f'<img src="{address(subject)}{number}.png" alt="" width="{width}" height="{width}" style="border-radius:6px">'
        for number in numbers) + "</div>", width="content")


def wall(subject: Subject, captions: Mapping[int, str], width: int) -> None:
    """Images of a subject by their numbers, each with a caption; `width` in pixels.

    They come from the app's own route, not through `st.image`: Streamlit forgets a run's images as soon as the page
    runs again, and a browser that is still fetching them would show broken ones.
    """
    st.html('<div style="display:flex;flex-wrap:wrap;gap:10px">' + "".join(
        f'<figure style="margin:0;width:{width}px"><img src="{address(subject)}{number}.png" alt="{escape(said)}" '
        f'width="{width}" height="{width}" style="border-radius:6px">'
        f'<figcaption style="font-size:14px;opacity:.8">{escape(said)}</figcaption></figure>'
        for number, said in captions.items()) + "</div>")


def inline(pixels: npt.NDArray[np.uint8]) -> str:
    """An image, (C, H, W) of bytes, as an address that holds it and so does not tell which image it is."""
    picture = Image.fromarray(pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0))
    picture.thumbnail((INLINE, INLINE))
    stream = io.BytesIO()
    picture.save(stream, "PNG")
    return f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode()}"
