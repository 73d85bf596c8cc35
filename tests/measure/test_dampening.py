"""Tests of unlearn_core.measure.dampening: golden values, and the sorted index against plain arithmetic."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from tests.toys import (
    LFSSD,
    SSD,
    SSD_PER_SAMPLE,
    approx,
    batches_of,
    fixture_t,
    sorted_batches,
)
from unlearn_core.measure.dampening import dampen
from unlearn_core.measure.estimator import Estimator, Importance
from unlearn_core.measure.importance import batch_indices, importance
from unlearn_core.measure.ratio_index import build_index
from unlearn_core.measure.ratios import check_alpha_lambda, ratios

Weights = dict[str, Tensor]


def golden(estimator: Estimator, order: str = "sorted") -> tuple[Weights, Importance, Importance]:
    """Fixture T's weights, I_f and I_D."""
    model, x, y = fixture_t()
    everything = (
        sorted_batches(x, y) if order == "sorted" else [(x[i], y[i]) for i in batch_indices(y, 4, "given")]
    )
    return (
        dict(model.named_parameters()),
        importance(model, batches_of(x[y == 0], y[y == 0]), estimator),
        importance(model, everything, estimator),
    )


def selected(forget: Importance, reference: Importance, alpha: float) -> int:
    return sum(int((ratios(forget[name], reference[name]) > alpha).sum()) for name in forget)


def changed(before: Weights, after: Weights) -> int:
    return sum(int((before[name] != after[name]).sum()) for name in before)


def sum_and_norm(weights: Weights) -> list[float]:
    flat = torch.cat([w.flatten() for w in weights.values()])
    return [flat.sum().item(), flat.norm().item()]


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


# --- golden values (docs/methods.md, "SSD on fixture T" and "LFSSD on fixture T") -----------------


def test_ssd_dampens_as_the_official_code() -> None:
    weights, forget, reference = golden(SSD)
    dampened = dampen(weights, forget, reference, 1, 0.5)
    assert selected(forget, reference, 1) == 8
    assert changed(weights, dampened) == 7  # one of the selected weights is 0
    assert sum_and_norm(dampened) == approx([3.730127623890, 3.275505927014])


def test_a_multiplier_above_one_is_clamped() -> None:
    weights, forget, reference = golden(SSD)
    dampened = dampen(weights, forget, reference, 0.5, 1.5)
    assert selected(forget, reference, 0.5) == 16
    assert changed(weights, dampened) == 3


def test_ssd_at_a_high_threshold_selects_exactly_one_weight() -> None:
    weights, forget, reference = golden(SSD)
    assert selected(forget, reference, 2) == 1
    assert changed(weights, dampen(weights, forget, reference, 2, 1)) == 1


@pytest.mark.parametrize(
    ("estimator", "order", "counts"),
    [
        (SSD, "sorted", [16, 8, 1, 0]),
        (SSD, "interleaved", [22, 19, 15, 12]),
        (SSD_PER_SAMPLE, "sorted", [18, 8, 0, 0]),
        (SSD_PER_SAMPLE, "interleaved", [18, 8, 0, 0]),
    ],
    ids=["sorted", "interleaved", "per_sample", "per_sample_interleaved"],
)
def test_selection_depends_on_the_order_of_batches_only(
    estimator: Estimator, order: str, counts: list[int]
) -> None:
    weights, forget, reference = golden(estimator, order)
    assert [selected(forget, reference, alpha) for alpha in (0.5, 1, 2, 3)] == counts
    index = build_index(weights, forget, reference)
    assert [index.query(alpha, 1).selected.sum() for alpha in (0.5, 1, 2, 3)] == counts


def test_lfssd_dampens_as_the_official_code() -> None:
    weights, forget, reference = golden(LFSSD)
    assert [selected(forget, reference, alpha) for alpha in (0.5, 1, 1.5, 2)] == [31, 17, 4, 0]
    halved = dampen(weights, forget, reference, 1, 0.5)
    assert sum_and_norm(halved) == approx([4.722481458925, 2.865320371167])
    clamped = dampen(weights, forget, reference, 0.5, 1.5)
    assert sum_and_norm(clamped) == approx([3.796819580279, 3.487650518452])


def edges() -> tuple[Weights, Importance, Importance]:
    def of(w: list[list[float]], b: list[float]) -> Weights:
        return {"weight": torch.tensor(w, dtype=torch.float64), "bias": torch.tensor(b, dtype=torch.float64)}

    return of([[1, 2], [3, 4]], [5, 6]), of([[1, 0], [2, 1]], [10, 10]), of([[0, 0], [1, 1]], [1, 0.9])


def test_edges_as_in_the_official_code() -> None:
    """Strict inequality, 0/0 untouched, x/0 set to zero (docs/methods.md, "The edges of dampening")."""
    dampened = dampen(*edges(), 10, 1)
    assert dampened["weight"].tolist() == [[0, 2], [3, 4]]
    assert dampened["bias"].tolist() == pytest.approx([5, 0.54], abs=1e-12)


def test_the_index_knows_the_edges() -> None:
    answers = build_index(*edges()).query(10, 1)
    assert answers.selected.tolist() == [1, 1]
    assert answers.mean_multiplier.tolist() == pytest.approx([3 / 4, (1 + 0.09) / 2])
    assert answers.norm_removed.tolist() == pytest.approx([1 / 30, 36 * (1 - 0.09**2) / 61])


class WithEverything(nn.Module):
    """A frozen layer, an unused layer, and a batch norm with running statistics."""

    def __init__(self) -> None:
        super().__init__()
        self.frozen, self.norm = nn.Linear(3, 4), nn.BatchNorm1d(4)
        self.head, self.unused = nn.Linear(4, 3), nn.Linear(3, 3)
        self.frozen.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.norm(self.frozen(x)))
        return logits


@pytest.mark.parametrize("estimator", [SSD, SSD_PER_SAMPLE, LFSSD], ids=lambda e: f"{e.loss}-{e.unit}")
def test_scope(estimator: Estimator) -> None:
    """Affine weights of a batch norm change; frozen and unused weights do not; buffers are no part of it."""
    torch.manual_seed(0)
    model = WithEverything().double()
    _, x, y = fixture_t()
    forget = importance(model, batches_of(x[y == 0], y[y == 0]), estimator)
    reference = importance(model, sorted_batches(x, y), estimator)
    weights = dict(model.named_parameters())
    dampened = dampen(weights, forget, reference, 0.1, 0.1)
    assert set(dampened) == set(weights)
    for name in weights:
        same = torch.equal(dampened[name], weights[name])
        assert same == (name.startswith(("frozen", "unused")) or name == "norm.bias"), name  # the bias is 0


# --- the ceiling ----------------------------------------------------------------------------------


@settings(deadline=None, max_examples=25)
@given(
    labels=st.lists(st.integers(0, 2), min_size=2, max_size=12).filter(lambda v: 0 in v and set(v) != {0}),
    seed=st.integers(0, 99),
    loss=st.sampled_from(["cross_entropy", "squared_norm"]),
    lam=st.floats(0.1, 2),
)
def test_no_ratio_exceeds_one_over_the_forget_share(
    labels: list[int], seed: int, loss: str, lam: float
) -> None:
    model, _, _ = fixture_t()
    y = torch.tensor(labels)
    x = torch.randn(len(y), 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    estimator = Estimator(loss, "per_sample")  # type: ignore[arg-type]
    forget, everything = (
        importance(model, [(x[y == 0], y[y == 0])], estimator),
        importance(model, [(x, y)], estimator),
    )
    ceiling, weights = len(y) / labels.count(0), dict(model.named_parameters())
    assert max(ratios(forget[n], everything[n]).max().item() for n in weights) <= ceiling * (1 + 1e-12)
    assert build_index(weights, forget, everything).query(ceiling * (1 + 1e-12), lam).selected.sum() == 0
    dampened = dampen(weights, forget, everything, 0, lam)
    for name, w in weights.items():  # no weight falls below lambda * rho of itself
        assert (dampened[name].abs() >= w.abs() * min(lam / ceiling, 1) * (1 - 1e-12)).all()


# --- the index against plain arithmetic -----------------------------------------------------------

# Few distinct values make ties; zeros on either side make 0/0, 0/x and infinite ratios.
FEW = st.sampled_from([0.0, 0.1, 0.25, 0.3, 0.5, 1.0, 3.0])
VALUE = st.one_of(FEW, st.floats(1e-6, 1e6))


@st.composite
def networks(draw: st.DrawFn) -> tuple[Weights, Importance, Importance]:
    dtype = draw(st.sampled_from([torch.float32, torch.float64]))
    weights, forget, reference = {}, {}, {}
    for i in range(draw(st.integers(1, 3))):
        shape = draw(st.sampled_from([(1,), (7,), (3, 4), (2, 3, 2)]))
        n = math.prod(shape)

        def tensor(value: st.SearchStrategy[float], n: int = n, shape: tuple[int, ...] = shape) -> Tensor:
            return torch.tensor(draw(st.lists(value, min_size=n, max_size=n)), dtype=dtype).reshape(shape)

        weights[f"layer{i}"] = tensor(st.one_of(st.just(0.0), st.floats(-10, 10)))
        forget[f"layer{i}"], reference[f"layer{i}"] = tensor(VALUE), tensor(VALUE)
    return weights, forget, reference


def plain(forget: Tensor, reference: Tensor) -> Tensor:
    """The definition of the ratio, one weight at a time."""
    pairs = zip(forget.flatten().tolist(), reference.flatten().tolist(), strict=True)
    values = [0.0 if f == 0 else math.inf if d == 0 else f / d for f, d in pairs]
    return torch.tensor(values, dtype=torch.float64).to(forget.dtype).reshape(forget.shape)


@settings(deadline=None, max_examples=250)
@given(network=networks(), data=st.data())
def test_the_index_answers_as_dampening_does(
    network: tuple[Weights, Importance, Importance], data: st.DataObject
) -> None:
    weights, forget, reference = network
    r = {name: plain(forget[name], reference[name]) for name in weights}
    ties = st.sampled_from([v for t in r.values() for v in t.flatten().tolist() if math.isfinite(v)] or [1.0])
    threshold = st.one_of(ties, st.just(0.0), st.just(0.1), st.floats(1e-3, 1e3))
    alpha, lam = data.draw(threshold), data.draw(threshold)
    answers = build_index(weights, forget, reference).query(alpha, lam)
    dampened = dampen(weights, forget, reference, alpha, lam)
    for i, (name, old) in enumerate(weights.items()):
        chosen = r[name] > alpha
        assert answers.selected[i] == int(chosen.sum())
        multiplier = torch.where(chosen, (lam / r[name].double()).clamp(max=1), 1.0)
        tolerance = 1e-9 if old.dtype == torch.float64 else 1e-6
        assert answers.mean_multiplier[i] == pytest.approx(multiplier.mean().item(), rel=tolerance, abs=1e-12)
        torch.testing.assert_close(
            dampened[name].double(), old.double() * multiplier, rtol=tolerance, atol=1e-30
        )
        norm = old.double().square().sum().item()
        left = (old.double() * multiplier).square().sum().item()
        removed = 1 - left / norm if norm else 0.0
        assert answers.norm_removed[i] == pytest.approx(removed, abs=tolerance)


@settings(deadline=None, max_examples=100)
@given(
    network=networks(),
    alphas=st.tuples(st.floats(0, 50), st.floats(0, 50)),
    lams=st.tuples(st.floats(0, 5), st.floats(0, 5)),
)
def test_answers_are_monotone_and_bounded(
    network: tuple[Weights, Importance, Importance], alphas: tuple[float, float], lams: tuple[float, float]
) -> None:
    index = build_index(*network)
    for low, high in (
        (index.query(max(alphas), lams[0]), index.query(min(alphas), lams[0])),
        (index.query(alphas[0], max(lams)), index.query(alphas[0], min(lams))),
    ):
        assert (low.selected <= high.selected).all()
        assert (low.mean_multiplier >= high.mean_multiplier - 1e-12).all()
        assert (low.norm_removed <= high.norm_removed + 1e-9).all()
        for answers in (low, high):
            assert ((answers.selected >= 0) & (answers.selected <= index.sizes)).all()
            assert ((answers.mean_multiplier >= -1e-12) & (answers.mean_multiplier <= 1 + 1e-12)).all()
            assert ((answers.norm_removed >= 0) & (answers.norm_removed <= 1)).all()


@settings(deadline=None, max_examples=100)
@given(network=networks(), alpha=st.floats(0, 10), lam=st.floats(0, 10))
def test_dampening_only_ever_shrinks_and_leaves_its_input_alone(
    network: tuple[Weights, Importance, Importance], alpha: float, lam: float
) -> None:
    before = [{name: t.clone() for name, t in part.items()} for part in network]
    dampened = dampen(*network, alpha, lam)
    for part, copy in zip(network, before, strict=True):
        assert all(torch.equal(part[name], copy[name]) for name in copy)
    for name, old in network[0].items():
        new = dampened[name]
        assert new.shape == old.shape and new.dtype == old.dtype and new.data_ptr() != old.data_ptr()
        assert (new.abs() <= old.abs()).all() and (new * old >= 0).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_huge_threshold_changes_no_bit(dtype: torch.dtype) -> None:
    weights = {"w": torch.tensor([-0.0, 1e-40, 3.3, -7.1], dtype=dtype)}
    forget, reference = {"w": torch.tensor([1.0, 2, 3, 0], dtype=dtype)}, {"w": torch.ones(4, dtype=dtype)}
    dampened = dampen(weights, forget, reference, 1e300, 0.5)
    assert dampened["w"].numpy().tobytes() == weights["w"].numpy().tobytes()
    assert build_index(weights, forget, reference).query(1e300, 0.5).selected.tolist() == [0]


def test_pieces_join_seamlessly_and_memory_layout_does_not_matter() -> None:
    generator = torch.Generator().manual_seed(0)
    weights, forget, reference = (
        {"w": torch.rand(2, 300, 16, 16, generator=generator)}
        for _ in range(3)  # more than one piece
    )
    r = forget["w"] / reference["w"]
    expected = torch.where(r > 2, weights["w"] * (0.7 / r).clamp(max=1), weights["w"])
    torch.testing.assert_close(dampen(weights, forget, reference, 2, 0.7)["w"], expected)
    last = {"w": weights["w"].contiguous(memory_format=torch.channels_last)}
    torch.testing.assert_close(dampen(last, forget, reference, 2, 0.7)["w"], expected)
    one, other = (build_index(w, forget, reference).query(2, 0.7).norm_removed for w in (weights, last))
    assert one == pytest.approx(other)


@settings(deadline=None, max_examples=60)
@given(
    size=st.sampled_from([63, 64, 65, 200, (1 << 17) + 70]),
    dtype=st.sampled_from([torch.float32, torch.float64]),
    seed=st.integers(0, 99),
    unused=st.sampled_from([0.0, 0.01, 0.5]),
    alpha=st.sampled_from([0.0, 0.3, 1.0, 4.0, 1e3]),
    lam=st.sampled_from([0.0, 1e-50, 0.3, 1.0, 7.0, 1e30]),
    threads=st.sampled_from([1, 2]),
)
def test_any_size_is_answered_and_dampened_as_by_the_formula(
    size: int, dtype: torch.dtype, seed: int, unused: float, alpha: float, lam: float, threads: int
) -> None:
    """Around the lengths at which sums and pieces are cut, with weights that one set or neither uses."""
    generator = torch.Generator().manual_seed(seed)
    w = torch.randn(size, generator=generator, dtype=dtype)
    f, d = (torch.empty(size, dtype=dtype).log_normal_(generator=generator) for _ in range(2))
    for values in (f, d):
        values[torch.rand(size, generator=generator) < unused] = 0
    f[-1], d[-1] = -0.0, -0.0  # a sign changes nothing
    with torch_threads(threads):
        index = build_index({"w": w}, {"w": f}, {"w": d})
        dampened = dampen({"w": w}, {"w": f}, {"w": d}, alpha, lam)["w"]
    r = plain(f, d)
    chosen = r > alpha
    multiplier = torch.where(chosen, (lam / r.double()).clamp(max=1), 1.0)
    answers, tolerance = index.query(alpha, lam), 1e-9 if dtype == torch.float64 else 1e-6
    assert answers.selected.tolist() == [int(chosen.sum())]
    assert answers.mean_multiplier[0] == pytest.approx(multiplier.mean().item(), rel=tolerance, abs=1e-12)
    squares = w.double().square()
    removed = 1 - (squares * multiplier.square()).sum() / squares.sum()
    assert answers.norm_removed[0] == pytest.approx(removed.item(), abs=tolerance)
    torch.testing.assert_close(dampened.double(), w.double() * multiplier, rtol=tolerance, atol=1e-30)
    assert torch.equal(dampened[~chosen], w[~chosen])


@pytest.mark.parametrize(("dtype", "most"), [(torch.float32, 8.5), (torch.float64, 16.5)])
def test_memory_of_the_index(dtype: torch.dtype, most: float) -> None:
    values = torch.rand(100_000, dtype=dtype)
    assert build_index({"w": values}, {"w": values}, {"w": values + 0.1}).nbytes <= most * 100_000


def test_many_layers_are_sorted_on_two_threads_in_order_and_stop_when_told() -> None:
    class Stop(Exception):
        pass

    weights = {f"layer{i}": torch.rand(300_000 + i) for i in range(5)}
    with torch_threads(2):
        index = build_index(weights, weights, weights)
        assert index.query(0.5, 1).selected.tolist() == index.sizes.tolist() == [300_000 + i for i in range(5)]

        def stop(share: float, note: str) -> None:
            raise Stop

        with pytest.raises(Stop):
            build_index(weights, weights, weights, progress=stop)


def test_strides_stay_even_where_they_make_no_difference() -> None:
    """A convolution over one channel counts as channels-last by its strides, and rounds otherwise."""
    plain_weights, ones = torch.rand(16, 1, 3, 3), {"w": torch.ones(16, 1, 3, 3)}
    for weights in (plain_weights, plain_weights.to(memory_format=torch.channels_last)):
        assert dampen({"w": weights}, ones, ones, 2, 1)["w"].stride() == weights.stride()


# --- histogram ------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=100)
@given(network=networks(), low=st.floats(-4, 0), width=st.floats(0.1, 6), bins=st.integers(2, 12))
def test_histogram_counts_every_positive_ratio_once(
    network: tuple[Weights, Importance, Importance], low: float, width: float, bins: int
) -> None:
    weights, forget, reference = network
    counts, inverse, infinite = build_index(weights, forget, reference).histogram(low, low + width, bins)
    edges = 10 ** np.linspace(low, low + width, bins + 1)[1:-1]
    for i, name in enumerate(weights):
        r = plain(forget[name], reference[name]).flatten().double().numpy()
        assert infinite[i] == np.isinf(r).sum()
        r = r[np.isfinite(r) & (r > 0)]
        place = np.searchsorted(edges, r, side="left")  # a ratio on an edge is not above it
        assert counts[i].tolist() == np.bincount(place, minlength=bins).tolist()
        expected = np.bincount(place, 1 / r, minlength=bins)
        assert inverse[i] == pytest.approx(expected, rel=1e-6, abs=1e-9 * expected.sum())


@pytest.mark.parametrize(("alpha", "lam"), [(0.3, 1), (1, 0.5), (4, 1), (2, 5)])
def test_answers_from_the_histogram_come_close(alpha: float, lam: float) -> None:
    """What the browser computes from 500 bins over the ratios' range, at smooth ratios."""
    generator = torch.Generator().manual_seed(0)
    forget = {"w": (torch.randn(50_000, generator=generator, dtype=torch.float64) - 0.2).exp()}
    reference, weights = {"w": torch.ones_like(forget["w"])}, {"w": torch.ones_like(forget["w"])}
    index = build_index(weights, forget, reference)
    low, high = forget["w"].log10().min().item(), forget["w"].log10().max().item()
    counts, inverse, infinite = (table[0] for table in index.histogram(low, high, 500))
    ends = np.linspace(low, high, 501)[1:]

    def share_above(threshold: float) -> np.ndarray:
        """Of each bin; spread evenly within the bin that the threshold cuts."""
        return np.clip((ends - np.log10(threshold)) / (ends[1] - ends[0]), 0, 1)

    dampened = share_above(max(alpha, lam))
    exact = index.query(alpha, lam)
    selected_share = (counts @ share_above(alpha) + infinite) / 50_000
    multiplier = 1 - (counts @ dampened + infinite - lam * inverse @ dampened) / 50_000
    assert selected_share == pytest.approx(exact.selected[0] / 50_000, abs=5e-4)
    assert multiplier == pytest.approx(exact.mean_multiplier[0], abs=5e-4)


def test_progress_reaches_one() -> None:
    shares: list[float] = []
    build_index(*edges(), progress=lambda share, note: shares.append(share))
    assert shares == [4 / 6, 1.0]


# --- refusals -------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, -0.1, 10**400])
def test_thresholds_must_be_finite_and_not_negative(bad: float) -> None:
    index = build_index(*edges())
    for pair, name in (((bad, 1.0), "alpha"), ((1.0, bad), "lambda")):
        for call in (check_alpha_lambda, index.query, lambda a, b: dampen(*edges(), a, b)):
            with pytest.raises(
                ValueError, match=rf"^{name}: a finite number of at least 0 expected, got {bad}$"
            ):
                call(*pair)


@pytest.mark.parametrize(
    ("forget", "reference"),
    [
        (math.nan, 1.0),
        (1.0, math.nan),
        (0.0, math.nan),
        (-1.0, 1.0),
        (1.0, -1.0),
        (-1.0, -1.0),
        (0.0, -1.0),
        (math.inf, math.inf),
    ],
)
def test_importances_must_be_numbers_of_at_least_zero(forget: float, reference: float) -> None:
    f, d = torch.tensor([1.0, forget]), torch.tensor([1.0, reference])
    with pytest.raises(ValueError, match="importance: finite values of at least 0 expected"):
        ratios(f, d)
    with pytest.raises(ValueError, match="importance: finite values of at least 0 expected"):
        dampen({"w": torch.ones(2)}, {"w": f}, {"w": d}, 1, 1)


@pytest.mark.parametrize(
    "wrong", [{"w": torch.ones(3, 2)}, {"w": torch.ones(7)}, {}], ids=["turned", "longer", "absent"]
)
def test_importances_must_fit_the_weights(wrong: Importance) -> None:
    weights, right = {"w": torch.ones(2, 3)}, {"w": torch.ones(2, 3)}
    for forget, reference in ((wrong, right), (right, wrong), (wrong, wrong)):
        with pytest.raises(ValueError, match=r"importance: shape \(2, 3\) expected for w, got"):
            dampen(weights, forget, reference, 1, 1)
        with pytest.raises(ValueError, match=r"importance: shape \(2, 3\) expected for w, got"):
            build_index(weights, forget, reference)
    with pytest.raises(ValueError, match="shapes must agree"):
        ratios(torch.ones(2), torch.ones(3))
