"""Landscapes: planes at slider positions, filling that stops, the judgement against retraining, figures, the page."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from streamlit.testing.v1 import AppTest

from tests.conftest import opened_app
from unlearn_core.assets import AssetError
from unlearn_core.figures.landscape import Mark, Scale, curves, front, heatmaps, outline, path, small_multiples
from unlearn_core.methods import METHODS
from unlearn_core.methods.selective import ALPHA
from unlearn_core.nets.request import Request
from unlearn_core.progress import Cancelled, Progress, silent
from unlearn_core.serving import landscape as module
from unlearn_core.serving.choice import Choice, choice
from unlearn_core.serving.engine import Engine
from unlearn_core.serving.grid import ALPHAS, LAMBDAS
from unlearn_core.serving.landscape import ESTIMATORS, as_retrained, axis, gap, gauges, numeric, place, plane, surface
from unlearn_core.serving.pool import Lane
from unlearn_core.study import judging
from unlearn_core.study import search as searches
from unlearn_core.subjects.subject import bundled

SSD = choice("small-resnet", (0,), "ssd", {})
NEGGRAD = choice("small-resnet", (0,), "neggrad", {})


@pytest.mark.parametrize("name", METHODS)
def test_every_point_of_every_axis_is_a_slider_position(name: str) -> None:
    for knob in numeric(name).values():
        assert set(axis(knob)) <= set(knob.ticks()) and list(axis(knob)) == sorted(set(axis(knob)))


@given(st.integers(0, len(ALPHAS) - 1), st.floats(0, 1))
def test_places_follow_the_slider(position: int, share: float) -> None:
    high = min(position + 1, len(ALPHAS) - 1)
    value = ALPHAS[position] * (ALPHAS[high] / ALPHAS[position]) ** share
    assert place(ALPHAS, ALPHA, value) == pytest.approx(position + share * (high - position), abs=1e-6)
    assert np.isnan(place(ALPHAS, ALPHA, 200.0))


def test_a_plane_is_one_whatever_its_own_knobs_are_set_to() -> None:
    moved = choice("small-resnet", (0,), "ssd", {"alpha": 7.0, "lambda": 2.0})
    assert plane(SSD, "alpha", "lambda") == plane(moved, "alpha", "lambda")
    assert plane(SSD, "alpha") != plane(moved, "alpha")
    assert dict(plane(SSD, "alpha", "lambda").at((3, 2)).settings)["lambda"] == LAMBDAS[2]
    for x, y in (("alpha", "alpha"), ("unit", ""), ("beta", "lambda")):
        with pytest.raises(ValueError, match="knob"):
            plane(SSD, x, y)


def test_the_shipped_plane_and_curves_are_what_the_method_gives(engine: Engine) -> None:
    found = surface(engine, plane(SSD, "alpha", "lambda"))
    assert found.shipped and not found.missing()
    assert (surface(engine, plane(SSD, "lambda", "alpha")).values == found.values.swapaxes(0, 1)).all()
    position = (9, 2)
    again = gauges(engine, found.plane.at(position), silent)
    assert np.abs(again - found.values[position]).max() <= 0.02
    for name, settings in ESTIMATORS.values():
        whole = surface(engine, plane(choice("small-vit", (7,), name, settings), "lambda", "alpha"))
        assert whole.shipped and whole.values.shape == (len(LAMBDAS), len(ALPHAS), 3)
    lfssd = surface(engine, plane(choice("small-resnet", (3,), "lfssd", {}), "alpha", "lambda"))
    assert np.abs(gauges(engine, lfssd.plane.at((6, 1)), silent) - lfssd.values[6, 1]).max() <= 0.02
    line = surface(engine, plane(SSD, "alpha"))
    assert line.shipped and np.abs(gauges(engine, line.plane.at((9, 0)), silent) - line.values[9, 0]).max() <= 0.02
    for network in bundled("fashion-mnist"):
        shipped = module.curves(network)
        assert list(shipped) == list(ESTIMATORS)
        for values in shipped.values():
            assert values.shape == (10, len(ALPHAS), 3) and np.isfinite(values).all()
            assert values.min() >= 0 and values.max() <= 1


def test_above_the_ceiling_every_shipped_curve_is_the_original(engine: Engine) -> None:
    curve = module.curves("small-resnet")["SSD, per sample"]
    first = next(i for i, alpha in enumerate(ALPHAS) if alpha >= 10)
    for label in (0, 5):
        assert curve[label, first] == pytest.approx(
            module.original(engine, "small-resnet", Request((label,))), abs=0.011)


def test_a_surface_fills_coarse_to_fine_keeps_what_it_has_and_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    engine, seen, gate, stopped = Engine(), list[Choice](), threading.Event(), threading.Event()

    def fake(engine: Engine, chosen: Choice, progress: Progress) -> np.ndarray:
        seen.append(chosen)
        if len(seen) == 3:
            raise ValueError("diverged: lower the learning rate.")
        while len(seen) > 5 and not gate.wait(0.01):
            try:
                progress(0.5, "")
            except Cancelled:
                stopped.set()
                raise
        return np.array([0.1, 0.2, 0.3])

    monkeypatch.setattr(module, "gauges", fake)
    found = surface(engine, plane(NEGGRAD, "lr", "clip"))
    assert surface(engine, found.plane) is found, "one for everybody"
    found.look(engine)
    _until(lambda: len(seen) == 6)
    corners = {found.plane.at((i, j)) for i in (0, 4) for j in (0, 4)}
    assert set(seen[:4]) == corners and len(found.problems) == 1
    found.stop()
    _until(lambda: stopped.is_set() and not found.filling.locked())
    assert len(found.missing()) == 25 - 5 and np.isfinite(found.values[..., 0]).sum() == 4
    gate.set()
    found.look(engine)
    _until(lambda: not found.missing())
    assert len(seen) == 26, "only the point that was stopped ran twice"


def test_filling_steps_aside_for_work_that_somebody_waits_for(monkeypatch: pytest.MonkeyPatch) -> None:
    engine, seen, gate = Engine(), list[Choice](), threading.Event()

    def fake(engine: Engine, chosen: Choice, progress: Progress) -> np.ndarray:
        seen.append(chosen)
        while not gate.wait(0.01):
            progress(0.5, "training for a minute")
        return np.array([0.1, 0.2, 0.3])

    monkeypatch.setattr(module, "gauges", fake)
    found = surface(engine, plane(NEGGRAD, "lr", "clip"))
    found.look(engine)
    _until(lambda: len(seen) == 1)
    waiting = engine.pool.submit("long", lambda progress: "done", Lane.LONG)
    assert waiting.wait(5) and waiting.result() == "done"
    gate.set()
    _until(lambda: not found.missing())
    assert seen[1] == seen[0], "the point that stepped aside is done next"


def test_a_damaged_file_is_told_at_its_points(monkeypatch: pytest.MonkeyPatch) -> None:
    def fake(engine: Engine, chosen: Choice, progress: Progress) -> np.ndarray:
        raise AssetError("grams/x: damaged")

    monkeypatch.setattr(module, "gauges", fake)
    engine = Engine()
    found = surface(engine, plane(NEGGRAD, "lr", "clip"))
    found.look(engine)
    _until(lambda: not found.missing())
    assert set(found.problems.values()) == {"grams/x: damaged"}


def _until(holds: object, seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not holds():  # type: ignore[operator]
        assert time.monotonic() < end, "in time"
        time.sleep(0.01)


def test_gaps_and_cells_as_good_as_retrained() -> None:
    retrained = np.array([[0.0, 0.90, 0.30], [0.02, 0.92, 0.40]])
    values = np.array([[0.01, 0.91, 0.35], [0.01, 0.91, 0.80], [0.50, 0.60, 0.35], [np.nan] * 3])
    assert gap(values, retrained)[:3] == pytest.approx([0, 0, 49 + 31]) and np.isnan(gap(values, retrained)[3])
    assert as_retrained(values, retrained, (100, 900, 100)).tolist() == [True, False, False, False]
    curve = np.array([[0.0, 0.5, 0.3]] * 5 + [[0.0, 0.91, 0.3]] * 3 + [[0.9, 0.91, 0.3]] * 9)
    assert module.best_alpha(curve, retrained) == ALPHAS[7], "the gentlest of equals"


def test_the_outline_goes_around_and_figures_hold_the_data() -> None:
    xs, ys = outline(np.array([[True, False], [False, False]]))
    assert len(xs) == 4 * 3 and {x for x in xs if x is not None} == {-0.5, 0.5} == {y for y in ys if y is not None}
    x, y = Scale("α", ALPHAS), Scale("λ", LAMBDAS)
    table = np.linspace(0, 1, 85).reshape(17, 5)
    figure = heatmaps({"Forget accuracy": table, "Gap, points": 100 * table}, x, y, table > 0.9,
                      [Mark("rule", 3.0, float("nan"), "line"), Mark("now", 1.0, 2.0, "circle-open")])
    maps = [trace for trace in figure.data if trace.type == "heatmap"]
    assert len(maps) == 2 and (maps[0].z == table.T).all() and maps[1].coloraxis == "coloraxis2"
    clickable = [trace for trace in figure.data if trace.customdata is not None]
    assert all(len(trace.x) == 85 for trace in clickable) and "α = 0.1, λ = 0.1" in clickable[0].customdata[0]
    lines = curves(x, {"now": np.full((17, 3), 0.5)}, ["a", "b", "c"], np.full((3, 3), 0.4), [0.9] * 3, 4.0)
    assert len(lines.layout.shapes) == 3 * 3, "band, original and present setting in each panel"
    many = small_multiples(list("0123456789"), x, np.zeros((10, 17, 3)), [3.0] * 10, (0,))
    assert len(many.data) == 20 and len(many.layout.shapes) == 10
    assert [note.text for note in many.layout.annotations][:2] == [f"<b>✖ 0</b>: α = {x.values[3]:.3g}",
                                                                   f"1: α = {x.values[3]:.3g}"]
    assert len(path(x, y, None, np.zeros(3), np.zeros(3), np.ones(3), 1).data) == 2
    assert len(front(np.array([[0.0, 1.0], [1.0, 0.0], [2.0, 2.0]]), np.array([True, True, False])).data[1].x) == 2


# -- the page -------------------------------------------------------------------------------------------------


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    for function in (searches.run, searches.results, searches.submit, searches.discard):
        monkeypatch.setattr(function, "__defaults__", (tmp_path, *(function.__defaults__ or ())[1:]))
    opened: list[AppTest] = []

    def show(**address: str) -> AppTest:
        test = opened_app()
        for name, value in address.items():
            test.query_params[name] = value
        opened.append(test)
        return settled(test.switch_page("pages/landscape.py").run())

    yield show
    for test in opened:
        assert not test.exception


def settled(test: AppTest) -> AppTest:
    while any(button.label == "Pause" for button in test.button):
        time.sleep(0.2)
        test.run()
    return test


def text(test: AppTest) -> str:
    return "\n".join(element.value for element in (*test.markdown, *test.warning, *test.info, *test.caption))


def test_the_page_shows_plane_curves_and_classes_and_searches(page: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judging, "judge", lambda engine, chosen, progress, aim: (dict(chosen.settings)["alpha"], 1.0))
    test = page()  # type: ignore[operator]
    assert "of 85 settings" in text(test) and "a factor of" in text(test) and "Precomputed" in text(test)
    assert len(test.get("plotly_chart")) == 4 and all(chart.proto.alt for chart in test.get("plotly_chart"))
    low = next(n for n in test.number_input if n.label == "α from")
    low.set_value(100.0).run()
    assert "alpha: a lower end below the upper end" in test.warning[0].value.lower()
    low.set_value(0.1).run()
    test.number_input(key="search.trials").set_value(12).run()
    settled(next(b for b in test.button if b.label == "Search").click().run())
    assert "Best of 12" in text(test) and "decided most" in text(test) and len(test.get("plotly_chart")) == 7
    assert not test.error and not test.warning


def test_a_hostile_or_outdated_address_never_breaks_the_page(page: object) -> None:
    test = page(x="<script>", y="clip")  # type: ignore[operator]
    assert "x: one of alpha, lambda expected" in text(test) and "of 85 settings" in text(test)
    test = page(forget="0,1", method="head_zeroing")  # type: ignore[operator]
    assert "bundled retrained networks expected" in text(test) and not test.error


def test_a_clicked_cell_becomes_the_choice(page: object) -> None:
    test = page()  # type: ignore[operator]
    points = [{"x": 3, "y": 2, "point_index": 17, "curve_number": 7}]
    test.session_state["landscape"] = {"selection": {"points": points, "point_indices": [17], "box": [], "lasso": []}}
    test.run()
    assert test.session_state["lacuna"].settings["ssd"] | {"alpha": ALPHAS[3], "lambda": LAMBDAS[2]} == \
        test.session_state["lacuna"].settings["ssd"]


def test_what_the_address_got_wrong_stays_told_until_something_else_is_chosen() -> None:
    test = opened_app()
    test.query_params["y"] = "_bar_"
    test.run()
    test.switch_page("pages/landscape.py").run()
    for _ in range(3):
        assert ["y: one of" in w.value and "`_bar_`" in w.value for w in test.warning] == [True]
        test.run()
    test.session_state["lacuna"].forget = Request((1,))
    assert not test.run().warning
