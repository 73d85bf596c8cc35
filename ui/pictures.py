"""A wall of evaluation images."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

import streamlit as st


def wall(captions: Mapping[int, str], width: int) -> None:
    """Evaluation images by their number, each with a caption; `width` in pixels.

    They come from the app's own route, not through `st.image`: Streamlit forgets a run's images as soon as the page
    runs again, and a browser that is still fetching them would show broken ones.
    """
    st.html('<div style="display:flex;flex-wrap:wrap;gap:10px">' + "".join(
        f'<figure style="margin:0;width:{width}px"><img src="lacuna/image/{number}.png" alt="{escape(said)}" '
        f'width="{width}" height="{width}" style="border-radius:6px">'
        f'<figcaption style="font-size:14px;opacity:.8">{escape(said)}</figcaption></figure>'
        for number, said in captions.items()) + "</div>")
