"""One colour per role, everywhere. Colour-blind safe (Okabe and Ito); shape and dash say the same again."""

from __future__ import annotations

import plotly.graph_objects as go

ORIGINAL = "#8A9099"
RETRAINED = "#1B1D21"
RETRAINED_ON_DARK = "#ECEDEE"
UNLEARNED = "#C2410C"
PROMISED = "#0072B2"

CLASSES = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#7F6BB3", "#A0A23B", "#8C6D5A",
           "#4B8B8B")


def colours(number: int) -> list[str]:
    """One colour a class; from the eleventh class on they come again."""
    return [CLASSES[label % len(CLASSES)] for label in range(number)]


# Streamlit paints background, text and grid in the theme's colours; nothing else of the template is needed.
LAYOUT = go.Layout(margin={"l": 8, "r": 8, "t": 8, "b": 8}, font={"size": 15}, showlegend=False, template="none",
                   paper_bgcolor="rgba(0,0,0,0)", plot_bgcolor="rgba(0,0,0,0)",
                   hoverlabel={"font": {"size": 16}})
