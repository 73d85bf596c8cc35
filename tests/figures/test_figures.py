"""Figures: what is drawn is what was given."""

from __future__ import annotations

import json

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from unlearn_core.audit.accuracy import Change
from unlearn_core.exhibits import Curves, LayerBars, LayerMap, Pictures
from unlearn_core.figures import style
from unlearn_core.figures.bullets import Bullet, bullets
from unlearn_core.figures.exhibits import exhibit_figure, picture_arrays
from unlearn_core.figures.interference import interference
from unlearn_core.figures.layer_change import change_text, layer_change
from unlearn_core.figures.queue import queue_lines
from unlearn_core.figures.tradeoff import Spot, pareto, tradeoff

LAYERS = ("stem", "block", "head")
CLASSES = ("cat", "dog", "fox")


def named(figure: go.Figure) -> dict[str, go.Figure]:
    json.loads(figure.to_json())  # whatever is given, the browser can read it
    return {trace.name: trace for trace in figure.data}


# ------------------------------------------------------------------------------------------------------- exhibits


def test_curves_are_drawn_as_given_and_break_where_a_number_is_missing() -> None:
    series = {"impair": ((1.0, 2.0), (2.5, 1.5)), "repair": ((3.0, 4.0, 5.0), (1.0, float("inf"), 0.5))}
    figure = exhibit_figure(Curves("Loss", "…", "step", "nats", series), ink="#ECEDEE")
    lines = named(figure)
    assert list(lines["impair"].x) == [1, 2] and list(lines["impair"].y) == [2.5, 1.5]
    assert np.isnan(lines["repair"].y[1]) and lines["repair"].y[2] == 0.5
    assert len({line.line.color for line in figure.data}) == len({line.line.dash for line in figure.data}) == 2
    assert (figure.layout.xaxis.title.text, figure.layout.yaxis.title.text) == ("step", "nats")
    assert figure.layout.yaxis.type != "log" and figure.layout.showlegend
    assert figure.layout.font.color == "#ECEDEE" and figure.layout.font.size == 15


def test_a_single_curve_needs_no_legend() -> None:
    figure = exhibit_figure(Curves("Loss", "…", "step", "nats", {"loss": ((1.0,), (2.0,))}))
    assert not figure.layout.showlegend and figure.data[0].line.color == style.UNLEARNED


def test_layer_bars_are_shares_of_the_total_with_the_input_on_top() -> None:
    figure = exhibit_figure(LayerBars("Room", "…", LAYERS, (1, 30, 0), (4, 30, 0), "dimensions"))
    bars = named(figure)["dimensions"]
    assert list(bars.x) == [25, 100, 0] and tuple(bars.y) == LAYERS
    assert tuple(bars.customdata) == ("1 of 4", "30 of 30", "0 of 0")
    assert figure.layout.yaxis.autorange == "reversed" and tuple(figure.layout.xaxis.range) == (0, 100)


def test_a_layer_map_keeps_its_domain_and_its_gaps() -> None:
    values = np.array([[0.1, 0.2], [0.0, np.nan], [0.3, 0.3]], np.float32)
    figure = exhibit_figure(LayerMap("Which", "…", LAYERS, values, "slice"))
    heat, = figure.data
    np.testing.assert_array_equal(heat.z, values)
    assert (heat.zmin, heat.zmax, heat.hoverongaps) == (0, 1, False)
    assert tuple(heat.y) == LAYERS and figure.layout.yaxis.autorange == "reversed"


def pictures(images: npt.NDArray[np.float32]) -> Pictures:
    return Pictures("Noise", "…", images, tuple(map(str, range(len(images)))))


def test_each_picture_is_stretched_to_its_own_percentiles() -> None:
    ramp = np.linspace(-1, 1, 101, dtype=np.float32).reshape(1, 1, 1, 101)
    found = picture_arrays(pictures(np.concatenate([ramp, 1000 + 50 * ramp])))
    assert all(image.shape == (1, 101) and image.dtype == np.uint8 for image in found)
    np.testing.assert_allclose(found[0].astype(int), found[1].astype(int), atol=1)
    assert found[0][0, :2].tolist() == [0, 0] and found[0][0, -2:].tolist() == [255, 255] and found[0][0, 50] == 128
    outlier = ramp.copy()
    outlier[..., 0] = -1e6
    assert abs(int(picture_arrays(pictures(outlier))[0][0, 50]) - 128) < 3


def test_pictures_keep_colour_and_survive_what_is_not_a_number() -> None:
    images = np.random.default_rng(0).normal(size=(2, 3, 8, 6)).astype(np.float32)
    images[0, 0, 0, 0] = np.nan
    images[1] = np.nan
    first, second = picture_arrays(pictures(images))
    assert first.shape == (8, 6, 3) and first[0, 0, 0] == 0 and first.max() == 255
    assert (second == 128).all()
    assert (picture_arrays(pictures(np.ones((1, 1, 2, 2), np.float32)))[0] == 128).all()
    with pytest.raises(ValueError, match="one or three channels"):
        picture_arrays(pictures(np.zeros((1, 2, 4, 4), np.float32)))


# ------------------------------------------------------------------------------------------------------ trade-off


def beats(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> bool:
    return bool((abs(a) <= abs(b)).all() and (abs(a) < abs(b)).any())


@settings(max_examples=60, deadline=None)
@given(arrays(np.float64, st.tuples(st.integers(0, 12), st.just(2)),
              elements=st.one_of(st.integers(-4, 4).map(float), st.floats(-100, 100))))
def test_the_front_is_what_nothing_beats(gaps: npt.NDArray[np.float64]) -> None:
    front = pareto(gaps)
    for on_front, gap in zip(front, gaps, strict=True):
        assert on_front == (not any(beats(other, gap) for other in gaps))
        assert on_front or any(beats(other, gap) for other in gaps[front])


def test_unknown_gaps_are_on_no_front() -> None:
    assert pareto(np.array([[np.nan, 0], [3, 1], [0, np.nan]])).tolist() == [False, True, False]
    assert pareto(np.full((2, 2), np.nan)).tolist() == [False, False]
    assert pareto(np.array([[-1, 2], [1, -2], [0, 5]])).tolist() == [True, True, True]


SPOTS = [Spot("original", "Original", 92, 1, 0, 0, 0, "original"), Spot("ssd", "SSD", 3, -1.5, 2, 1, 0.08, "dampening"),
         Spot("lfssd", "LFSSD", 3.1, -1.6, 2, 1, 0.1, "dampening"), Spot("unsir", "UNSIR", 0.5, -3, 0.5, 2, 6, "noise"),
         Spot("broken", "Broken", float("nan"), 0, 0, 0, 1, "noise")]
FRONT = np.array([True, True, False, True, False])


def test_the_trade_off_shows_every_known_method_with_its_numbers() -> None:
    figure = tradeoff(SPOTS, FRONT, ((0.0, 0.0), (-0.6, 0.7)))
    traces = named(figure)
    dampening, noise = traces["dampening"], traces["noise"]
    assert {a.text for a in figure.layout.annotations} == {"<b>SSD</b>", "LFSSD", "<b>UNSIR</b>", "Original"}
    assert dampening.marker.symbol != noise.marker.symbol
    np.testing.assert_allclose(dampening.x, np.log2(1 + np.array([3, 3.1])))
    np.testing.assert_allclose(dampening.y, -np.log2(1 + np.array([1.5, 1.6])))
    np.testing.assert_allclose(dampening.marker.color, np.log10([0.08, 0.1]))
    assert dampening.x[0] - dampening.error_x.arrayminus[0] == pytest.approx(1)  # 3 − 2 points
    assert dampening.x[0] + dampening.error_x.array[0] == pytest.approx(np.log2(6))
    assert tuple(dampening.customdata[0]) == ("SSD", 3, 2, -1.5, 1, 0.08)
    assert traces["original"].marker.color == style.ORIGINAL


def test_the_front_joins_methods_by_forget_gap_and_leaves_the_original_out() -> None:
    line = named(tradeoff(SPOTS, FRONT, None))["not beaten"]
    np.testing.assert_allclose(line.x, np.log2([1.5, 4]))
    assert line.line.dash == "dash"


def test_the_target_can_be_seen_and_holds_the_band() -> None:
    target = named(tradeoff(SPOTS, FRONT, ((0.0, 0.0), (-0.6, 0.7))))["retrained"]
    assert min(target.x) < 0 < max(target.x)
    assert min(target.y) == pytest.approx(-np.log2(1.6)) and max(target.y) == pytest.approx(np.log2(1.7))
    assert "retrained" not in named(tradeoff(SPOTS, FRONT, None))


def test_axes_of_the_trade_off_end_at_ticks_that_hold_everything() -> None:
    figure = tradeoff(SPOTS, FRONT, None)
    assert tuple(figure.layout.xaxis.ticktext) == ("−10", "−3", "−1", "0", "+1", "+3", "+10", "+30", "+100")
    assert tuple(figure.layout.yaxis.ticktext) == ("−10", "−3", "−1", "0", "+1", "+3")
    moved = [Spot(**{**vars(s), "forget_gap": 0.98 * s.forget_gap}) for s in SPOTS]
    assert tradeoff(moved, FRONT, None).layout.xaxis.range == figure.layout.xaxis.range
    assert (figure.layout.coloraxis.cmin, figure.layout.coloraxis.cmax) == (-2, 1)
    assert tuple(figure.layout.coloraxis.colorbar.ticktext) == ("10 ms", "100 ms", "1 s", "10 s")


def test_names_of_a_crowd_stand_apart_on_both_sides_and_near_their_marks() -> None:
    crowd = [Spot(f"m{i}", f"Method {i}", 0.01 * i, -0.02 * i, 0, 0, 1, "noise") for i in range(12)]
    figure = tradeoff(crowd, np.zeros(12, bool), None)
    low, high = figure.layout.yaxis.range
    for side in ("left", "right"):
        notes = [note for note in figure.layout.annotations if note.xanchor == side]
        heights = sorted(note.y / (high - low) * 400 - note.ay for note in notes)  # px, upwards
        assert len(heights) >= 5 and min(np.diff(heights)) > 18, "px, from marks that lie on each other"
    assert max(abs(note.ay) for note in figure.layout.annotations) < 100, "some go up and some go down"


def test_names_stay_out_of_the_target() -> None:
    spots = [Spot(f"m{i}", "Long name", 3.5, 0.5 - 0.1 * i, 0, 0, 1, "x") for i in range(6)]
    notes = tradeoff(spots, np.zeros(6, bool), ((-5.0, 3.0), (-1.0, 1.0))).layout.annotations
    assert {note.xanchor for note in notes} == {"left"}, "to the right, where the target is not"


def test_a_name_goes_where_it_covers_no_mark_and_no_other_name() -> None:
    """Two marks at zero and a third to the right of them, at their height."""
    spots = [Spot("a", "Random labels", 0, -0.5, 0, 0, 1, "x"), Spot("b", "Optimisation", 0, -0.7, 0, 0, 1, "x"),
             Spot("c", "Bad teacher", 1.5, -0.6, 0, 0, 1, "x"), Spot("far", "Original", 90, 0, 0, 0, 1, "x")]
    notes = {note.text: note for note in tradeoff(spots, np.zeros(4, bool), None).layout.annotations}
    assert notes["Bad teacher"].xanchor == "left" and notes["Original"].xanchor == "right"
    assert notes["Random labels"].xanchor == notes["Optimisation"].xanchor == "right", "else over the third mark"


def test_bullets_show_value_original_and_band() -> None:
    figure = bullets({"Forget": Bullet(0.1, 0.9, np.array([0.0, 0.2])), "Retain": Bullet(0.5, 0.6, np.array([0.7]))})
    traces = named(figure)
    assert tuple(traces["unlearned"].x) == (10, 50) and tuple(traces["original"].x) == (90, 60)
    bands = [shape for shape in figure.layout.shapes if shape.fillcolor == style.RETRAINED]
    assert [(b.x0, b.x1) for b in bands] == [(-0.5, 20.5), (69.5, 70.5)]
    assert any("10.0%" in a.text and "0 to 20 %" in a.text for a in figure.layout.annotations)


def test_an_empty_trade_off_is_an_empty_plot() -> None:
    assert tradeoff([], np.zeros(0, bool), None).layout.xaxis.range is not None


# --------------------------------------------------------------------------------------------------- interference


def test_the_interference_matrix_marks_the_diagonal_and_writes_what_matters() -> None:
    matrix = np.array([[-90.4, -2.9, 3], [np.nan, np.nan, np.nan], [0, -12, -1]])
    for ink in (style.RETRAINED, style.RETRAINED_ON_DARK):
        figure = interference(CLASSES, CLASSES, "SSD", matrix, ink)
        heat, = figure.data
        np.testing.assert_array_equal(heat.z, matrix)
        assert [list(row) for row in heat.text] == [["✖ −90", "", "+3"], ["", "", ""], ["", "−12", "✖"]]
        assert (heat.zmin, heat.zmid, heat.zmax, heat.hoverongaps) == (-100, 0, 100, False)
        assert tuple(heat.x) == tuple(heat.y) == CLASSES and figure.layout.yaxis.autorange == "reversed"
        json.loads(figure.to_json())


def test_persons_are_rows_and_have_no_cell_of_their_own() -> None:
    heat, = interference(["Ariel", "Bao"], CLASSES, "SSD", np.array([[-5.0, 0, 3], [0, 0, -1]])).data
    assert tuple(heat.y) == ("Ariel", "Bao") and tuple(heat.x) == CLASSES
    assert [list(row) for row in heat.text] == [["−5", "", "+3"], ["", "", ""]]


# --------------------------------------------------------------------------------------------------- layer change


def test_changes_stand_on_the_axis_of_the_live_view() -> None:
    changes = np.array([0.5, 0.0, 25.0])
    figure = layer_change(LAYERS, {"SSD": changes, "UNSIR": np.array([np.nan, 1e-5, np.inf])})
    bars = named(figure)
    np.testing.assert_allclose(bars["SSD"].base + bars["SSD"].x, [0.5, 1e-3, 10])
    np.testing.assert_allclose(bars["UNSIR"].base + bars["UNSIR"].x, [1e-3, 1e-3, 10])
    assert tuple(bars["SSD"].text) == ("50%", "0", "▸ 2500%") and tuple(bars["UNSIR"].text) == ("–", "<0.1%", "▸ ∞")
    assert figure.layout.xaxis.type == "log" and tuple(figure.layout.xaxis.range) == (-3, 1)
    assert tuple(figure.layout.xaxis.ticktext) == ("0.1%", "1%", "10%", "100%", "1000%")
    assert bars["SSD"].marker.color != bars["UNSIR"].marker.color and figure.layout.showlegend
    assert not layer_change(LAYERS, {"SSD": changes}).layout.showlegend


def test_a_change_is_said_as_in_the_live_view() -> None:
    said = [change_text(c) for c in (0, 1e-9, 0.0012, 0.00999, 0.0312, 0.0999, 0.123, 1, 25.4, np.inf, np.nan)]
    assert said == ["0", "<0.1%", "0.12%", "1.0%", "3.1%", "10%", "12%", "100%", "2540%", "∞", "–"]


# --------------------------------------------------------------------------------------------------------- queue


def test_a_queue_is_two_lines_a_method_and_breaks_nothing_where_there_is_none() -> None:
    some = [Change(-0.01, -0.02, 0.0), Change(0.1, 0.08, 0.13)]
    figure = queue_lines({"SSD": some, "LFSSD": some[:1]}, {"SSD": [None, Change(0.02, 0.0, 0.03)], "LFSSD": [None]},
                         [Change(-0.02, -0.03, -0.01), None], ("cat", "dog"))
    json.loads(figure.to_json())
    lines = {(trace.name, trace.xaxis): trace for trace in figure.data}
    assert list(lines) == [("SSD", "x"), ("LFSSD", "x"), ("SSD", "x2"), ("LFSSD", "x2"), ("retrained", "x")]
    first = lines["SSD", "x"]
    assert (list(first.x), list(first.y)) == ([1, 2], [-1.0, 10.0])
    np.testing.assert_allclose([first.error_y.array, first.error_y.arrayminus], [[1, 3], [1, 2]])
    assert list(lines["SSD", "x2"].x) == [2] and list(lines["LFSSD", "x2"].x) == []
    assert len({(line.line.color, line.line.dash, line.marker.symbol) for line in figure.data}) == 3
    assert tuple(figure.layout.yaxis.range) == pytest.approx((-3.3, 14.3)), "all intervals are within"
    assert tuple(figure.layout.yaxis2.range) == pytest.approx((-1.1, 5.5)), "a little is not drawn as a lot"
    assert tuple(figure.layout.xaxis.ticktext) == ("1.<br>cat", "2.<br>dog")
