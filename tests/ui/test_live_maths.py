"""The live lane's maths (assets/js/), run in a browser and compared with numpy."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from playwright.sync_api import Page

from tests.conftest import Scripted
from unlearn_core import packing

pytestmark = pytest.mark.browser

BINS = 256
ALPHAS = np.geomspace(0.1, 100, 17)
LAMBDAS = np.geomspace(0.1, 10, 5)
Floats = npt.NDArray[np.floating[Any]]

# Kept on the page, so that a test is one expression of JavaScript.
HELPERS = """() => {
  window.blob = (base64) => live.unpack(Uint8Array.from(atob(base64), (c) => c.charCodeAt(0)).buffer);
  window.landscape = ({ alphas, lambdas, chunks }) =>
    chunks.map(blob).reduce((held, chunk) => live.addPoints(held, chunk), live.emptyLandscape(alphas, lambdas));
}"""


@pytest.fixture(scope="module")
def page(scripted: Scripted) -> Page:
    """A blank page that has loaded the live view."""
    page = scripted("live", "wire.js", "maths.js", "live/landscape.js", "live/change.js", "live/point.js",
                    "live/main.js")
    page.evaluate(HELPERS)
    return page


def pack(header: dict[str, Any], arrays: dict[str, npt.NDArray[Any]]) -> str:
    """The blob format written out by hand, so that a change of unlearn_core.packing shows; in base64."""
    kinds = {"float32": "f4", "uint8": "u1", "uint16": "u2", "int32": "i4"}
    body, table = b"", {}
    for name, array in arrays.items():
        table[name] = {"dtype": kinds[array.dtype.name], "shape": array.shape, "offset": len(body)}
        body += array.tobytes() + b"\0" * (-array.nbytes % 8)
    text = json.dumps({**header, "arrays": table}).encode()
    text += b" " * (-(4 + len(text)) % 8)
    return base64.b64encode(len(text).to_bytes(4, "little") + text + body).decode()


def ratios(size: int, rng: np.random.Generator) -> Floats:
    """Spread over some decades, with weights that are never selected (0) and always selected (infinity)."""
    values = 10 ** rng.normal(rng.uniform(-1, 0.5), 0.6, size)
    values[rng.random(size) < 0.02] = 0
    values[rng.random(size) < 0.001] = np.inf
    return values


def scene(layers: list[Floats], low: float, high: float) -> str:
    """What the server sends of the ratios: bins of log10 r, half open (a, b], because selected means r > alpha."""
    counts, inverse = np.zeros((2, len(layers), BINS), np.float32)
    for row, r in enumerate(layers):
        binned = r[(r > 0) & np.isfinite(r)]
        bins = np.ceil((np.log10(binned) - low) / (high - low) * BINS - 1e-9).astype(int) - 1
        bins = bins.clip(0, BINS - 1)
        counts[row] = np.bincount(bins, minlength=BINS)
        inverse[row] = np.bincount(bins, 1 / binned, minlength=BINS)
    infinite = np.array([np.isinf(r).sum() for r in layers], np.float32)
    header = {"layers": [{"name": f"layer{i}", "kind": "conv", "size": len(r)} for i, r in enumerate(layers)],
              "log_ratio": [low, high]}
    return pack(header, {"counts": counts, "inverse": inverse, "infinite": infinite})


def fitted(layers: list[Floats]) -> tuple[float, float]:
    finite = np.concatenate([r[(r > 0) & np.isfinite(r)] for r in layers])
    return float(np.log10(finite.min())), float(np.log10(finite.max()))


def answers(page: Any, blob: str, points: list[tuple[float, float]]) -> tuple[Floats, Floats]:
    """Selected share and mean multiplier, each (points, layers), as the browser computes them."""
    found = page.evaluate(
        """([base64, points]) => {
          const sums = live.suffixSums(blob(base64));
          const found = points.map(([alpha, lambda]) => live.layerAnswers(sums, alpha, lambda));
          return [found.map((a) => [...a.share]), found.map((a) => [...a.multiplier])];
        }""", [blob, points])
    return np.array(found[0]), np.array(found[1])


def truth(layers: list[Floats], points: list[tuple[float, float]]) -> tuple[Floats, Floats]:
    share = [[np.mean(r > alpha) for r in layers] for alpha, _ in points]
    with np.errstate(divide="ignore"):
        multiplier = [[np.where(r > alpha, np.minimum(lam / r, 1), 1).mean() for r in layers] for alpha, lam in points]
    return np.array(share), np.array(multiplier)


def test_unpack_reads_every_type_and_shape(page: Any) -> None:
    arrays: dict[str, npt.NDArray[Any]] = {
        "a": np.array([1.5, -2.25, 3e8], np.float32), "b": np.array([[0, 255], [7, 9]], np.uint8),
        "c": np.array([65535, 1, 2], np.uint16), "d": np.array([-5, 2**31 - 1], np.int32),
        "e": np.zeros((0, 3), np.float32)}
    for name in ("plain", "é → padded otherwise"):
        blob = pack({"name": name}, arrays)
        found = page.evaluate("""(base64) => { const { header, arrays } = blob(base64);
          const named = Object.entries(arrays).map(([name, a]) => [name, [a.constructor.name, ...a]]);
          return [header.name, Object.fromEntries(named)]; }""", blob)
        types = {"a": "Float32Array", "b": "Uint8Array", "c": "Uint16Array", "d": "Int32Array", "e": "Float32Array"}
        assert found == [name, {key: [types[key], *array.ravel().tolist()] for key, array in arrays.items()}]


def test_unpack_reads_what_the_package_packs(page: Any) -> None:
    rng = np.random.default_rng(0)
    arrays: dict[str, npt.NDArray[Any]] = {"odd": rng.integers(0, 255, 13).astype(np.uint8),
                                           "xy": rng.random((5, 2)).astype(np.float32)}
    blob = base64.b64encode(packing.pack({"n": 5}, arrays)).decode()
    found = page.evaluate("""(base64) => { const { header, arrays } = blob(base64);
      return [header.n, [...arrays.odd], [...arrays.xy]]; }""", blob)
    assert found == [5, arrays["odd"].tolist(), arrays["xy"].ravel().tolist()]


def test_layer_answers_are_within_half_a_thousandth(page: Any) -> None:
    rng = np.random.default_rng(0)
    layers = [ratios(size, rng) for size in (200_000, 300_000, 500_000)]
    points = [(float(a), float(m)) for a in 10 ** rng.uniform(-1, 2, 12) for m in 10 ** rng.uniform(-1, 1, 6)]
    blob = scene(layers, *fitted(layers))
    for found, expected in zip(answers(page, blob, points), truth(layers, points), strict=True):
        np.testing.assert_allclose(found, expected, atol=5e-4)


def test_a_small_layer_errs_by_no_more_than_the_cut_bins(page: Any) -> None:
    rng = np.random.default_rng(1)
    layers = [ratios(size, rng) for size in (10, 64, 432, 5000)]
    low, high = fitted(layers)
    width = 10 ** ((high - low) / BINS)
    points = [(float(a), float(m)) for a in 10 ** rng.uniform(-1, 2, 12) for m in 10 ** rng.uniform(-1, 1, 6)]
    share, multiplier = answers(page, scene(layers, low, high), points)
    true_share, true_multiplier = truth(layers, points)

    def near(at: float) -> list[np.floating[Any]]:
        return [np.mean((r > at / width) & (r <= at * width)) for r in layers]

    assert (abs(share - true_share) <= np.array([near(a) for a, _ in points]) + 1e-6).all()
    assert (abs(multiplier - true_multiplier) <= np.array([near(max(p)) for p in points]) + 1e-6).all()


def test_answers_are_exact_where_a_bin_edge_meets_the_tick(page: Any) -> None:
    rng = np.random.default_rng(2)
    layers = [ratios(size, rng) for size in (16, 432, 5000)]
    layers[0][:3] = [10.0, 1.0, 0.1]  # r = alpha is not selected
    low, high = -5.0, 3.0  # 32 bins a decade
    points = [(float(10 ** (k / 8)), float(10 ** (j / 4))) for k in range(-8, 17) for j in range(-4, 5)]
    for found, expected in zip(answers(page, scene(layers, low, high), points), truth(layers, points), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_beyond_every_ratio_only_infinite_ones_are_selected(page: Any) -> None:
    layers = [np.array([0.0, 0.5, 2.0, np.inf])]
    share, multiplier = answers(page, scene(layers, -1, 1), [(10.0, 1.0), (1e6, 1.0), (1e-6, 1e9)])
    np.testing.assert_allclose(share[:, 0], [0.25, 0.25, 0.75], atol=1e-6)
    np.testing.assert_allclose(multiplier[:, 0], [0.75, 0.75, 0.75], atol=1e-6)


def chunk(indices: list[int], start: int = 0) -> str:
    """Evaluated points whose values tell which point they are."""
    index = np.array(indices, np.uint16)
    gauges = np.stack([index, index**2, -index.astype(float)], axis=1).astype(np.float32)
    xy = np.stack([np.full((4, 2), i % 251) for i in indices]).astype(np.uint8)
    klass = np.stack([np.full(4, i % 10) for i in indices]).astype(np.uint8)
    header = {"from": start, "total": start + len(indices), "complete": False}
    return pack(header, {"index": index, "gauges": gauges, "xy": xy, "klass": klass})


def grid(stride: int) -> list[int]:
    return [a * len(LAMBDAS) + m for a in range(0, len(ALPHAS), stride) for m in range(0, len(LAMBDAS), stride)]


def interpolate(page: Any, chunks: list[str], alpha: float, lam: float) -> dict[str, Any] | None:
    found: dict[str, Any] | None = page.evaluate(
        """([given, alpha, lambda]) => {
          const held = landscape(given);
          const spot = live.locate(held, alpha, lambda);
          return spot && { ...spot, held: held.held, nearest: live.nearestCorner(spot),
            gauges: [...live.blend(held, spot, "gauges", new Float64Array(3))],
            xy: [...live.blend(held, spot, "xy", new Float64Array(8), 1 / 255)] };
        }""", [{"alphas": ALPHAS.tolist(), "lambdas": LAMBDAS.tolist(), "chunks": chunks}, alpha, lam])
    return found


@pytest.mark.parametrize(("a", "m"), [(0, 0), (7, 2), (8, 3), (16, 4), (16, 0)])
def test_a_point_of_the_grid_is_reproduced_exactly(page: Any, a: int, m: int) -> None:
    index = a * len(LAMBDAS) + m
    for chunks in ([chunk(grid(1))], [chunk([index, 40])]):  # also when its neighbours are not evaluated yet
        found = interpolate(page, chunks, float(ALPHAS[a]), float(LAMBDAS[m]))
        assert found is not None
        assert (found["corners"], found["weights"]) == ([index], [1])
        assert found["gauges"] == [index, index**2, -index]


def test_half_way_is_the_mean_of_the_four_corners(page: Any) -> None:
    alpha, lam = float(np.sqrt(ALPHAS[6] * ALPHAS[7])), float(np.sqrt(LAMBDAS[1] * LAMBDAS[2]))
    found = interpolate(page, [chunk(grid(1))], alpha, lam)
    assert found is not None
    corners = np.array([31, 32, 36, 37])
    assert sorted(found["corners"]) == corners.tolist()
    np.testing.assert_allclose(found["gauges"], [corners.mean(), (corners**2).mean(), -corners.mean()], rtol=1e-6)
    np.testing.assert_allclose(found["xy"], np.full(8, corners.mean() / 255), rtol=1e-6)


def test_interpolation_is_bilinear_in_the_logarithms(page: Any) -> None:
    u, v = 0.3, 0.8
    alpha, lam = ALPHAS[3] ** (1 - u) * ALPHAS[4] ** u, LAMBDAS[2] ** (1 - v) * LAMBDAS[3] ** v
    found = interpolate(page, [chunk(grid(1))], float(alpha), float(lam))
    assert found is not None
    assert found["gauges"][0] == pytest.approx((3 + u) * len(LAMBDAS) + 2 + v)
    assert found["nearest"] == 3 * len(LAMBDAS) + 3


def test_the_smallest_complete_cell_is_used(page: Any) -> None:
    alpha, lam = float(np.sqrt(ALPHAS[5] * ALPHAS[6])), float(np.sqrt(LAMBDAS[1] * LAMBDAS[2]))
    coarse, middle, fine = grid(4), grid(2), [26, 27, 31, 32]
    stages = [([coarse], [20, 24, 40, 44]), ([coarse, middle], [20, 22, 30, 32]), ([coarse, middle, fine], fine),
              ([coarse, middle, fine[:3]], fine)]  # 32 is already in the middle grid
    for parts, expected in stages:
        chunks, start = [], 0
        for part in parts:
            chunks.append(chunk(part, start))
            start += len(part)
        found = interpolate(page, chunks, alpha, lam)
        assert found is not None
        assert (sorted(found["corners"]), found["held"]) == (expected, start)
        assert sum(found["weights"]) == pytest.approx(1)


def test_without_a_complete_cell_the_nearest_point_stands_in(page: Any) -> None:
    found = interpolate(page, [chunk([0, 42, 84])], float(ALPHAS[9]), float(LAMBDAS[3]))
    assert found is not None
    assert (found["corners"], found["weights"]) == ([42], [1])
    assert interpolate(page, [], 1.0, 1.0) is None


def test_outside_the_grid_the_edge_is_used(page: Any) -> None:
    found = interpolate(page, [chunk(grid(1))], 1e4, 1e-4)
    assert found is not None
    assert (found["corners"], found["weights"]) == ([80], [1])


def test_small_helpers(page: Any) -> None:
    assert page.evaluate("[0.9, 1.5, 40, 1e9].map((v) => live.nearestTick([0.1, 1, 10, 100], v))") == [1, 1, 3, 3]
    assert page.evaluate("live.topClasses(new Uint8Array([0, 51, 204, 0]), 2)") == [[2, 0.8], [1, 0.2]]
    gauges = [{"id": "forget", "retrained": [0, 0.02]}, {"id": "retain", "retrained": [0.9]},
              {"id": "attack", "retrained": [0.5]}]
    assert page.evaluate("(g) => live.distance(g, [0.31, 0.7, 0.9])", gauges) == pytest.approx(0.3)
    assert page.evaluate("live.distance([{ id: 'forget', retrained: [] }], [0.3])") is None


def test_a_change_has_its_place_on_a_fixed_axis(page: Any) -> None:
    changes = np.geomspace(1e-3, 10, 9)
    places = page.evaluate("(changes) => changes.map(live.changePlace)", changes.tolist())
    np.testing.assert_allclose(places, np.linspace(0, 1, 9), atol=1e-9)
    assert page.evaluate("[0, 1e-9, 9.9e-4, 11, Infinity, NaN].map(live.changePlace)") == [0, 0, 0, 1, 1, 0]


def test_a_change_is_said_with_two_digits(page: Any) -> None:
    said = page.evaluate("""[0, 1e-9, 0.0012, 0.00999, 0.0312, 0.0999, 0.123, 1, 25.4, Infinity, NaN]
      .map((change) => live.changeText(change).replace("\\u202f", " "))""")
    assert said == ["0", "<0.1 %", "0.12 %", "1.0 %", "3.1 %", "10 %", "12 %", "100 %", "2540 %", "∞", "–"]


def test_the_most_changed_layers_come_first_and_unmoved_ones_not_at_all(page: Any) -> None:
    most = "(change) => live.mostChanged(Float32Array.from(change), 3)"
    assert page.evaluate(most, [0.1, 3, 0, 0.2, 0.1]) == [1, 3, 0]
    assert page.evaluate(most, [0, 0.1, 0]) == [1]
    assert page.evaluate(most, [0, 0]) == []
    assert page.evaluate("[live.isStill({ alpha: null, lambda: null }), live.isStill({ alpha: {}, lambda: {} })]") == [
        True, False]


LAYERS = [{"name": f"layer{i}.weight", "kind": "conv", "size": 100} for i in range(5)]
IMAGES = 4


def served(alphas: bool, change: list[float]) -> dict[str, str]:
    """The blobs of a scene and its outcome, in base64, by the end of their address."""
    header: dict[str, Any] = {"layers": LAYERS, "classes": ["cat", "dog"], "forget": [1], "n": IMAGES,
                              "words": "dog"}
    klass = np.array([0, 0, 1, 1], np.uint8)
    arrays: dict[str, npt.NDArray[Any]] = {
        "before_xy": np.full((IMAGES, 2), 30_000, np.uint16), "before_class": klass, "truth": klass,
        "member": klass, "forgotten": klass, "picture": np.arange(IMAGES, dtype=np.int32),
        "before_probability": np.full((IMAGES, 2), 127, np.uint8)}
    point = {"alpha": 10.0, "lambda": 1.0} if alphas else {"alpha": None, "lambda": None}
    if alphas:
        header |= {"alphas": ALPHAS.tolist(), "lambdas": LAMBDAS.tolist(), "ceiling": 10.0, "log_ratio": [-2, 3]}
        counts = np.ones((len(LAYERS), BINS), np.float32)
        arrays |= {"counts": counts, "inverse": counts, "infinite": np.zeros(len(LAYERS), np.float32)}
    outcome = pack(point, {
        "xy": np.full((IMAGES, 2), 20_000, np.uint16), "klass": 0 * klass,
        "probability": np.full((IMAGES, 2), 127, np.uint8), "change": np.array(change, np.float32)})
    return {"scene": pack(header, arrays), "outcome": outcome, "points": chunk([0])}


def told(alphas: bool, name: str) -> dict[str, Any]:
    """What the server sends with the component."""
    point = {"alpha": 10.0, "lambda": 1.0} if alphas else {"alpha": None, "lambda": None}
    knob = {"label": "x", "meaning": "y", "locked": False}
    ticks = {"alpha": ALPHAS.tolist(), "lambda": LAMBDAS.tolist()}
    gauge = {"label": "g", "about": "", "better": "up", "original": 0.9, "retrained": [0.1], "interval": [0.2, 0.4]}
    return {
        "scene": f"http://blobs/{name}/scene", "outcome": f"http://blobs/{name}/outcome",
        "points": f"http://blobs/{name}/points" if alphas else None, "image": "", "settled": point,
        "gauges": [{**gauge, "id": "forget", "settled": 0.3}], "show": [],
        "palette": {"original": "#888", "retrained": "#000", "unlearned": "#c30", "classes": ["#00f", "#f80"]},
        **{k: {**knob, "value": v, "ticks": ticks[k]} if v is not None else None for k, v in point.items()}}


SHOWN = """async ([data, blobs]) => {
  window.fetch = async (url) => {
    const { pathname } = new URL(url);
    const [, name, kind] = pathname.split("/");
    await new Promise((done) => setTimeout(done, 20));
    return new Response(Uint8Array.from(atob(blobs[name][kind]), (c) => c.charCodeAt(0)));
  };
  if (!document.querySelector(".lacuna-live")) document.body.innerHTML =
    '<div id="host"><div class="lacuna-live" style="width: 900px"></div></div>';
  window.sent = [];
  const parentElement = document.querySelector("#host");
  for (const one of data) {
    live.default({ parentElement, data: one, setStateValue: (...sent) => window.sent.push(sent) });
    await new Promise((done) => setTimeout(done, 5));
  }
  await new Promise((done) => setTimeout(done, 500));
  const at = (name) => document.querySelector(`[data-testid=${name}]`);
  return { gauge: { ...at("gauge-forget").dataset }, exact: at("after").dataset.exact, heat: at("heat").dataset.value,
    title: at("heat").parentElement.querySelector("h3").textContent, said: at("heat").ariaLabel, sent: window.sent,
    still: document.querySelector(".page").classList.contains("still"), note: at("note").textContent };
}"""


def test_the_view_changes_between_a_method_with_and_one_without_alpha(page: Any) -> None:
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    blobs = {"ssd": served(True, [0.1] * 5), "unsir": served(False, [0, 1e-5, 0.5, 25, 0.02]),
             "pgu": served(False, [0] * 5)}
    ssd, unsir, pgu = told(True, "ssd"), told(False, "unsir"), told(False, "pgu")
    for turns, still in (([unsir], True), ([ssd], False), ([pgu, ssd, unsir, ssd, unsir], True), ([unsir, ssd], False)):
        found = page.evaluate(SHOWN, [turns, blobs])
        assert found["gauge"] == {"testid": "gauge-forget", "value": "0.3", "exact": "true"}
        assert (found["exact"], found["still"], found["note"], found["sent"]) == ("true", still, "", [])
        assert ("layers" in found["title"]) == still
        if still:
            assert "4 of 5 layers moved" in found["said"]
            assert [n for n in ("layer3", "layer2", "layer4", "layer1", "layer0") if n in found["said"]] == [
                "layer3", "layer2", "layer4"]
            assert float(found["heat"]) == 25
        else:
            assert "α 10.0" in found["said"]
    assert not errors
