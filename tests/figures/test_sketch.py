"""A figure's still picture: what it shows, and where, by hand."""

from __future__ import annotations

import base64
import io
from xml.etree import ElementTree

import numpy as np
import plotly.graph_objects as go
import pytest
from PIL import Image

from unlearn_core.figures.sketch import sketch

SVG = "{http://www.w3.org/2000/svg}"


def drawn(*traces: object, **layout: object) -> ElementTree.Element:
    """The picture of traces on axes from 0 to 4 and from −1 to 1, 300 pixels high."""
    figure = go.Figure(traces, go.Layout(xaxis_range=[0, 4], yaxis_range=[-1, 1], height=300, font_color="#123456"))
    return ElementTree.fromstring(sketch(figure.update_layout(**layout), (60, 40, 30, 20)))


def test_the_axes_lie_within_the_margins_of_a_picture_of_the_figures_height() -> None:
    picture = drawn()
    assert (picture.get("width"), picture.get("height"), picture.get("fill")) == ("100%", "300", "#123456")
    axes = picture[0]
    assert [axes.get(name) for name in ("x", "y", "width", "height")] == ["60", "30", "calc(100% - 100px)", "250"]


def test_a_mark_stands_at_its_share_of_both_axes_and_one_without_a_value_nowhere() -> None:
    picture = drawn(go.Scatter(x=[1, 2], y=[0.5, None], mode="markers", marker={"color": "#ABCDEF", "size": 12}))
    (dot,) = picture.iter(f"{SVG}circle")
    assert [dot.get(name) for name in ("cx", "cy", "r", "fill")] == ["25.00%", "25.00%", "6", "#ABCDEF"]


def test_a_line_is_broken_where_a_value_is_missing() -> None:
    picture = drawn(go.Scatter(x=[0, 2, None, 2, 4], y=[-1, 0, None, 0, 1], mode="lines", line={"color": "#000000"}))
    (line,) = picture.iter(f"{SVG}path")
    assert line.get("d") == "M0.00 100.00L50.00 50.00M50.00 50.00L100.00 0.00"


@pytest.mark.parametrize("reverse", [False, True])
def test_cells_are_coloured_by_their_axis_the_first_row_below_and_unknown_ones_empty(reverse: bool) -> None:
    picture = drawn(
        go.Heatmap(z=[[0, 2], [1, np.nan]], coloraxis="coloraxis"),
        coloraxis={"cmin": 0, "cmax": 2, "colorscale": [[0, "#000000"], [1, "#C86400"]], "reversescale": reverse})
    (image,) = picture.iter(f"{SVG}image")
    pixels = np.array(Image.open(io.BytesIO(base64.b64decode(str(image.get("href")).split(",")[1]))))
    black, bright = ([0, 0, 0, 255], [200, 100, 0, 255])
    assert pixels[1].tolist() == ([bright, black] if reverse else [black, bright])
    assert pixels[0].tolist() == [[100, 50, 0, 255], [0, 0, 0, 0]]


def test_a_name_is_written_plainly_beside_its_mark() -> None:
    picture = drawn(annotations=[{"x": 2, "y": 0, "xref": "x", "yref": "y", "text": "<b>A & B</b>", "ax": -34, "ay": 7,
                                  "xanchor": "right"}])
    (name,) = picture.iter(f"{SVG}text")
    assert name.text == "A & B" and name.get("font-weight") == "bold"
    assert [name.get(at) for at in ("x", "y", "dx", "dy", "text-anchor")] == ["50.00%", "50.00%", "-34", "12", "end"]
