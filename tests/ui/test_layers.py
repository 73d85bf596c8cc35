"""Where the forgetting happens: totals and units against direct computation, the page, and α dragged in a browser."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from streamlit.testing.v1 import AppTest
from torch import Tensor

from tests.conftest import Scripted, Visitor, named, opened_app
from ui.server.runtime import engine
from ui.state import DEFAULT
from unlearn_core.figures.layers import filter_tiles, group_bars, selected_by_layer, share_text, unit_bars
from unlearn_core.measure.anatomy import groups, stage_of, units
from unlearn_core.measure.dampening import dampen
from unlearn_core.measure.ratios import ratios
from unlearn_core.measure.task import Task
from unlearn_core.methods import METHODS
from unlearn_core.methods.selective import importance_pair
from unlearn_core.methods.ways import OFFICIAL, WAYS, measure_ways
from unlearn_core.nets.models import build
from unlearn_core.nets.request import forget_classes
from unlearn_core.progress import silent
from unlearn_core.serving.choice import choice
from unlearn_core.serving.within import submit_units, ways_key
from unlearn_core.subjects.subject import subject

# --- the core ---------------------------------------------------------------------------------------------


NUMBER = st.one_of(st.just(0.0), st.floats(1e-3, 10))


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 9), NUMBER, NUMBER), min_size=1))
def test_groups_are_the_layers_taken_together(layers: list[tuple[str, int, float, float]]) -> None:
    names, sizes, norms, change = ([layer[i] for layer in layers] for i in range(4))
    found = groups(names, np.array(sizes), np.array(norms), np.array(change))
    assert sum(g.weights for g in found.values()) == sum(sizes)
    moved = {n: sum((c * w) ** 2 for m, _, w, c in layers if m == n) for n in found}
    for name, group in found.items():
        norm = sum(w**2 for m, _, w, _ in layers if m == name)
        assert group.change == pytest.approx((moved[name] / norm) ** 0.5 if norm else 0)
        assert group.share == pytest.approx(moved[name] / sum(moved.values()) if any(moved.values()) else 0)
        assert np.isnan(group.selected) and np.isnan(group.norm_removed)


def test_shares_of_what_was_selected_and_removed_weigh_by_size_and_by_norm() -> None:
    norms, change, removed = np.array([3.0, 1.0, 4.0]), np.array([1.0, 0.0, 0.5]), np.array([1.0, 0.0, 0.5])
    found = groups(["head", "body", "head"], np.array([10, 5, 30]), norms, change, np.array([10, 0, 0]), removed)
    head = found["head"]
    assert (head.weights, head.selected, head.share) == (40, 0.25, 1.0)
    assert head.norm_removed == pytest.approx((9 + 8) / 25)
    assert head.change == pytest.approx(((9 + 4) / 25) ** 0.5)


@pytest.mark.parametrize("layer, stage", [
    ("stem.0.weight", "stem"), ("block2.skip.0.weight", "block2"), ("blocks.3.attention.qkv.bias", "blocks.3"),
    ("patch.6.bias", "patch"), ("head.weight", "head"), ("layer1.0.conv1.weight", "layer1.0")])
def test_the_stage_of_a_layer(layer: str, stage: str) -> None:
    assert stage_of(layer) == stage


@pytest.mark.parametrize("network, layer", [
    ("small-resnet", "block1.conv2.weight"), ("small-resnet", "head.weight"), ("small-resnet", "block2.bn1.bias"),
    ("small-vit", "blocks.1.attention.qkv.weight"), ("small-vit", "position.weight")])
def test_units_are_what_a_direct_computation_gives(network: str, layer: str) -> None:
    model = build(network, channels=1, classes=10, size=28, generator=torch.Generator().manual_seed(1))
    weights, draw = model.get_parameter(layer).detach(), torch.Generator().manual_seed(2)
    forget, reference = (torch.rand(weights.shape, generator=draw) for _ in range(2))
    after = dampen({layer: weights}, {layer: forget}, {layer: reference}, 1.5, 1.0)[layer]
    mask = ratios(forget, reference) > 1.5
    classes = [f"c{i}" for i in range(10)]
    found = units(model, layer, after, mask, classes)
    assert found.selected is not None
    assert round(float(found.selected.sum() * found.before.shape[1])) == int(mask.sum())

    rows = list(zip(weights[0] if layer == "position.weight" else weights, after[0] if layer == "position.weight" else
                    after, mask[0] if layer == "position.weight" else mask, strict=True))
    if "qkv" in layer:  # 3 x 4 heads of 16 rows each
        rows = [(weights[i:i + 16], after[i:i + 16], mask[i:i + 16]) for i in range(0, 192, 16)]
    assert len(found.names) == len(rows)
    for i, (old, new, hit) in enumerate(rows):
        assert found.selected[i] == pytest.approx(hit.float().mean().item())
        norm = old.double().norm().item()
        assert found.change[i] == pytest.approx((new.double() - old).norm().item() / norm if norm else 0, abs=1e-6)
        lost = 1 - (new.double().norm().item() / norm) ** 2 if norm else 0
        assert found.norm_removed[i] == pytest.approx(lost, abs=1e-6)
    hits = [found.selected[i] for i in found.order]
    assert hits == sorted(hits, reverse=True)
    assert (found.kernel == (16, 3, 3)) == (layer == "block1.conv2.weight")
    assert (found.names == tuple(classes)) == (layer == "head.weight")


def test_the_rows_of_a_joint_projection_belong_to_the_head_that_reads_them() -> None:
    """A change of one named unit must change what exactly that head attends to, not another."""
    model = build("small-vit", channels=1, classes=10, size=28, generator=torch.Generator().manual_seed(1)).eval()
    layer = "blocks.0.attention.qkv.weight"
    after = model.get_parameter(layer).detach().clone()
    after[64 + 2 * 16:64 + 3 * 16] = 0  # queries come first, then keys; the third head
    found = units(model, layer, after, None, [])
    assert [found.names[i] for i in found.change.nonzero()[0]] == ["keys of head 2"]
    attention = model.get_submodule("blocks.0.attention")
    qkv = attention.qkv
    x = torch.randn(1, 4, 64, generator=torch.Generator().manual_seed(3))

    def keys(weight: Tensor) -> Tensor:
        every = torch.nn.functional.linear(x, weight, qkv.bias).view(1, 4, 3, attention.heads, 16)
        return every[:, :, 1].detach()

    differs = (keys(after) != keys(qkv.weight)).any(-1).any(1)[0]
    assert differs.tolist() == [False, False, True, False]


def test_the_engine_selects_in_units_what_it_selected_in_the_layer() -> None:
    scene = engine().scene(DEFAULT).result()
    settled = engine().settle(scene, DEFAULT).result()
    for layer in ("head.weight", "block3.conv1.weight"):
        found = submit_units(engine(), scene, settled, layer).result()
        assert found.selected is not None and settled.answers is not None
        row = scene.layers.index(layer)
        assert found.selected.sum() * found.before.shape[1] == pytest.approx(settled.answers.selected[row])
        moved = np.linalg.norm(found.after - found.before) / np.linalg.norm(found.before)
        assert moved == pytest.approx(settled.change[row], rel=1e-5)
    assert found.names[0] == "filter 0" and scene.norms[row] == pytest.approx(np.linalg.norm(found.before))


def test_every_way_of_measuring_is_a_setting_of_ssd_and_one_is_the_official() -> None:
    for settings in WAYS.values():
        METHODS["ssd"].settings(settings)
    official = METHODS["ssd"].presets["official"].settings
    assert all(WAYS[OFFICIAL][name] == official.get(name, "all") for name in WAYS[OFFICIAL])
    assert WAYS["per sample"].items() <= METHODS["ssd"].settings().items()


def test_the_ways_are_measured_as_the_method_measures() -> None:
    train = subject("small-resnet").images.train
    few = train.subset(torch.arange(0, len(train), 160))
    task = Task(subject("small-resnet").original(), few, forget_classes([0], 10))
    found = measure_ways(task, "cross_entropy", silent)
    assert list(found) == list(WAYS)
    assert found["per sample"].query(1 / task.forget_share, 1).selected.sum() == 0, "the ceiling"
    settings = {"unit": "batch_mean", "order": "shuffled", "batch_size": 16, "reference": "all"}
    pair = importance_pair(task, "cross_entropy", settings, silent)
    expected = sum(int((ratios(pair.forget[n], pair.reference[n]) > 2).sum()) for n in pair.forget)
    assert found["shuffled, batches of 16"].query(2, 1).selected.sum() == expected > 0


# --- the figures ------------------------------------------------------------------------------------------


def test_bars_keep_order_names_and_axis() -> None:
    bars = group_bars({"selected": {"stem": 0.0, "head": 0.3}, "moved": {"stem": 0.0001, "head": 1.5}})
    assert bars.data[1].text == ("<0.1%", "150.0%") and bars.data[0].text == ("0", "30.0%")
    assert bars.layout.xaxis.range[1] == 1.5
    assert [share_text(v) for v in (float("nan"), 0, 1e-9, 0.5)] == ["–", "0", "<0.1%", "50.0%"]
    one = unit_bars(["b", "a"], np.array([0.5, 0.2]), "weights selected", np.array([0.4, 0.1]))
    assert one.data[0].x == ("b", "a") and list(one.data[1].y) == [0.4, 0.1]


def test_filters_are_drawn_before_above_after() -> None:
    before = np.arange(2 * 3 * 4, dtype=float).reshape(2, 3, 2, 2) - 12
    z = np.array(filter_tiles(["a", "b"], before, before * 0.5).data[0].z)
    high, wide = 5, 5  # three inputs of 2 x 2 on a square of 2 x 2 places, with gaps
    assert z.shape == (2 * high + 4, 2 * wide + 4)
    assert z[:2, :2].tolist() == before[0, 0].tolist() and z[:2, 3:5].tolist() == before[0, 1].tolist()
    assert z[high + 4:high + 6, wide + 4:wide + 6].tolist() == (before[1, 0] * 0.5).tolist()
    single = np.array(filter_tiles(["a"], before[:1, :1], before[:1, :1]).data[0].z)
    assert single.shape == (5, 2) and np.isnan(single[2]).all()


def test_small_multiples_share_one_axis() -> None:
    ways = {title: np.array([0.1, 0.2]) for title in WAYS}
    figure = selected_by_layer(["a", "b"], ways, dict.fromkeys(WAYS, 0.15))
    assert len(figure.data) == len(WAYS) and "15.0%" in figure.layout.annotations[0].text
    assert {tuple(axis.range) for axis in figure.select_yaxes()} == {(0, 1)}


# --- the page ---------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def opened() -> Iterator[list[AppTest]]:
    seen: list[AppTest] = []
    yield seen
    for test in seen:
        assert not test.exception and not test.error


def page(opened: list[AppTest], **address: str) -> AppTest:
    test = opened_app()
    for name, value in address.items():
        test.query_params[name] = value
    opened.append(test.run().switch_page("pages/layers.py").run())
    while any(button.label == "Cancel" for button in test.button):
        time.sleep(0.2)
        test.run()
    return test


def said(test: AppTest) -> str:
    return " ".join(m.value for m in test.markdown)


def test_the_page_says_where(opened: list[AppTest]) -> None:
    test = page(opened)
    assert "of the squared weight change sits in " in said(test) and "the head loses" in said(test)
    assert "Most hit: **T-shirt**" in said(test), "the row of the head that names the forgotten class"
    named(test.selectbox, "view.tensor").set_value("block3.conv1.weight").run()
    assert "Most hit: **filter" in said(test) and test.query_params["tensor"] == "block3.conv1.weight"
    named(test.select_slider, "ssd.alpha").set_value(20.0).run()
    assert "No layer moved" in said(test) and "at or above the ceiling" in test.info[0].value
    named(test.select_slider, "ssd.alpha").set_value(8.0).run()
    assert "close to the ceiling" in test.info[0].value


def test_a_method_that_dampens_nothing_shows_how_far_layers_moved(opened: list[AppTest]) -> None:
    test = page(opened, method="head_zeroing", forget="3", plain="1")
    assert "100% of the squared weight change sits in head" in said(test) and "the head moves by" in said(test)
    assert "Most hit: **Dress**" in said(test) and "otherwise" not in said(test)


def test_a_hostile_address_is_told_and_the_default_shown(opened: list[AppTest]) -> None:
    test = page(opened, tensor="<script>", alpha="nan")
    assert any("tensor: one of" in w.value and "<" not in w.value.split("got")[1] for w in test.warning)
    assert "Most hit: **T-shirt**" in said(test)


def test_other_ways_of_measuring_are_compared_at_one_alpha(opened: list[AppTest]) -> None:
    wanted = choice("small-resnet", (9,), "ssd", {})
    scene = engine().scene(wanted).result()
    assert scene.index is not None
    test = page(opened, forget="9", alpha="4")
    assert any("Measure in" in b.label for b in test.button), "not before it is asked for"
    engine().pool.keep(ways_key(scene), dict.fromkeys(WAYS, scene.index))
    test.run()
    assert "selects 1.0 times more weights after a shuffle" in said(test)
    assert test.get("plotly_chart")[-1].proto.alt.startswith("The same α = 4")


# --- the canvas -------------------------------------------------------------------------------------------


@pytest.mark.browser
def test_alpha_is_dragged_through_the_ratios(address: str, visitor: Callable[..., Visitor]) -> None:
    one = visitor()
    view = one.page
    view.goto(f"{address}/layers")
    exact = '.lacuna-layers[data-exact="true"]'
    view.wait_for_selector(exact, timeout=60_000)

    def total() -> float:
        return float(view.get_attribute(".lacuna-layers", "data-total") or "nan")

    settled = total()
    canvas = view.locator('[data-testid="layers"]')
    canvas.evaluate("canvas => canvas.scrollIntoView()")
    box = canvas.bounding_box()
    assert box
    middle = box["x"] + 0.45 * box["width"]
    view.mouse.move(middle, box["y"] + 300)
    view.mouse.down()
    view.mouse.move(middle + 10, box["y"] + 300, steps=4)
    view.wait_for_selector('.lacuna-layers[data-exact="false"]')
    dragged = total()
    assert dragged > 5 * settled and "alpha" not in view.url, "it moved, and the server was not asked"
    view.mouse.up()
    view.wait_for_url("**alpha=*")
    view.wait_for_selector(exact)
    assert total() == pytest.approx(dragged, abs=0.005), "the histogram told the truth"
    alpha = float(view.url.split("alpha=")[1].split("&")[0])
    canvas.focus()
    view.keyboard.press("ArrowRight")
    view.wait_for_url(lambda url: "alpha=" not in url or float(url.split("alpha=")[1].split("&")[0]) > alpha)
    canvas.click(position={"x": 80, "y": 34 + 3 * 22 + 8})
    view.wait_for_url("**tensor=block1.conv1.weight*")
    assert not one.complaints


@pytest.mark.browser
def test_kinds_are_told_apart_by_size(scripted: Scripted) -> None:
    shares, steps = scripted("live", "layers/shares.js").evaluate("""() => {
      const layers = [{ kind: "norm", size: 10 }, { kind: "head", size: 5 }, { kind: "norm", size: 30 }];
      return [live.kindShares(layers, [1, 0.2, 0]), [...live.rowSteps([9, 0, 0, 1, 4, 0, 0, 0, 7, 7], 0, 10, 2)]];
    }""")
    assert shares == [["norm", 0.25], ["head", 0.2]]
    assert steps == [1, 0.5, 1, 0, 1], "square roots of 9, 1, 4, 0, 14 over 4, the most within, at most 1"


@pytest.mark.browser
def test_the_directions_of_a_change_are_taken_apart_when_asked_for(
        address: str, visitor: Callable[..., Visitor]) -> None:
    one = visitor()
    one.page.goto(f"{address}/layers?method=head_zeroing&forget=4")
    fold = one.page.get_by_text("Along how many directions did each layer change?")
    fold.wait_for(timeout=60_000)
    said = one.page.get_by_text("where it fills 1.0 of 10 directions")
    assert said.count() == 0
    fold.click()
    said.wait_for(timeout=60_000)
    one.page.locator(".st-key-spectrum .main-svg").first.wait_for()
    assert not one.complaints
