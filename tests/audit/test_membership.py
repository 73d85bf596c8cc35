"""Tests of membership inference and of distinguishability: closed forms, invariances, coverage, and what is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.special import log_softmax, softmax
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from unlearn_core.audit.distinguish import Placement, distinguish
from unlearn_core.audit.lira import lira
from unlearn_core.audit.membership import (
    STATISTICS,
    entropy,
    entropy_attack,
    forget_set_attack,
    margins,
    statistics,
)
from unlearn_core.audit.privacy_score import (
    attack_curve,
    attack_score,
    comparator_statistics,
    privacy_score,
    strongest_attack,
)
from unlearn_core.audit.roc import bootstrap, null_band, roc, said


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


# --- the entropy attack by masks ------------------------------------------------------------------


def with_entropy(nats: np.ndarray) -> np.ndarray:
    """(N, 2) probabilities of these entropies, by bisection."""
    low, high = np.zeros_like(nats), np.full_like(nats, 0.5)
    for _ in range(60):
        middle = (low + high) / 2
        less = entropy(np.stack([middle, 1 - middle], 1)) < nats
        low, high = np.where(less, middle, low), np.where(less, high, middle)
    return np.stack([low, 1 - low], 1)


def test_forget_set_attack_keeps_the_golden_value_in_both_forms() -> None:
    """Entropies of docs/methods.md, "The entropy attack", cut to two classes; no test image is of a forgotten one."""
    groups = (
        0.05 * (1 + np.sin(np.arange(30))) + 0.02,
        np.minimum(0.4 + 0.3 * np.sin(1.3 * np.arange(20)), 0.69),
        0.1 + 0.04 * np.arange(10),
    )
    member = np.repeat([True, False, True], [30, 20, 10])
    forgotten = np.repeat([False, False, True], [30, 20, 10])
    p = with_entropy(np.concatenate(groups))
    plain = entropy_attack(*groups)
    for form in ("official", "corrected"):
        attack = forget_set_attack(p, member, forgotten, form)
        assert attack.threshold == pytest.approx(plain.threshold, abs=1e-4)
        assert attack.threshold == pytest.approx(0.2294187057, abs=2e-3)  # two of the 20 are above log 2
        assert attack.score == 0.4


def test_the_two_forms_differ_by_the_forgotten_test_images() -> None:
    nats = np.concatenate([np.linspace(0.01, 0.1, 30), np.linspace(0.12, 0.22, 20), np.full(20, 0.6), np.full(9, 0.13)])
    member = np.repeat([True, False, False, True], [30, 20, 20, 9])
    forgotten = np.repeat([False, False, True, True], [30, 20, 20, 9])
    official = forget_set_attack(with_entropy(nats), member, forgotten, "official")
    corrected = forget_set_attack(with_entropy(nats), member, forgotten)
    assert corrected.threshold < 0.13 < official.threshold
    assert (official.score, corrected.score) == (1, 0)


def test_forget_set_attack_refuses() -> None:
    p, yes, no = np.full((4, 2), 0.5), np.ones(4, bool), np.zeros(4, bool)
    with pytest.raises(ValueError, match=r"^probabilities, member, forgotten: one entry per image each expected"):
        forget_set_attack(p, yes[:3], no)
    with pytest.raises(ValueError, match=r"^form: official or corrected expected, got SSD$"):
        forget_set_attack(p, yes, no, "SSD")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"^targets: at least one entropy expected, got none$"):
        forget_set_attack(p, np.array([True, False, True, False]), no)


# --- per-image statistics -------------------------------------------------------------------------


def test_statistics_agree_with_their_definitions() -> None:
    logits, labels = rng().normal(0, 2, (50, 5)), rng(1).integers(0, 5, 50)
    found, p, rows = statistics(logits.astype(np.float32), labels), softmax(logits, 1), np.arange(50)
    own = p[rows, labels]
    terms = p * np.log(1 - p)
    terms[rows, labels] = (1 - own) * np.log(own)
    for name, expected in {
        "loss": log_softmax(logits, 1)[rows, labels], "confidence": own, "entropy": -entropy(p),
        "modified_entropy": terms.sum(1), "margin": np.log(own / (1 - own)),
    }.items():
        np.testing.assert_allclose(found[name], expected, atol=3e-6, err_msg=name)  # type: ignore[index]
    assert list(found) == list(STATISTICS)


def test_modified_entropy_of_a_known_distribution() -> None:
    """p = (.7, .2, .1), class 0: -(.3 log .7 + .2 log .8 + .1 log .9); right and sure is 0, wrong and sure large."""
    known = statistics(np.log([[0.7, 0.2, 0.1]]), np.array([0]))["modified_entropy"]
    assert known[0] == pytest.approx(0.3 * math.log(0.7) + 0.2 * math.log(0.8) + 0.1 * math.log(0.9), abs=1e-12)
    sure = np.array([[60.0, 0, 0], [60.0, 0, 0]])
    right, wrong = statistics(sure, np.array([0, 1]))["modified_entropy"]
    assert right == pytest.approx(0, abs=1e-12) and wrong < -100
    assert np.ptp(statistics(sure, np.array([0, 1]))["entropy"]) == 0


def test_margins_stay_finite_and_exact_where_probabilities_saturate() -> None:
    found = margins(np.array([[1000.0, 0, 0], [40, 0, -1000], [0, 0, 0]], np.float32))
    assert found[0] == pytest.approx([1000 - math.log(2), -1000, -1000], rel=1e-12)
    assert found[1] == pytest.approx([40, -40, -1040], rel=1e-12)
    assert found[2] == pytest.approx([-math.log(2)] * 3, rel=1e-12)
    assert all(np.isfinite(v).all() for v in statistics(np.array([[1e4, 0.0], [0, 1e4]]), np.array([1, 1])).values())


@settings(max_examples=60, deadline=None)
@given(hnp.arrays(np.float64, st.tuples(st.integers(1, 5), st.integers(2, 6)), elements=st.floats(-50, 50)),
       st.floats(-100, 100), st.integers(0, 99))
def test_statistics_do_not_change_with_a_shift_of_the_logits(logits: np.ndarray, shift: float, seed: int) -> None:
    labels = rng(seed).integers(0, logits.shape[1], len(logits))
    for name, values in statistics(logits, labels).items():
        np.testing.assert_allclose(values, statistics(logits + shift, labels)[name], atol=1e-9, rtol=1e-9)
    assert margins(logits) == pytest.approx(margins(logits[:, ::-1])[:, ::-1], abs=1e-9)
    np.testing.assert_allclose(-np.logaddexp(0, -margins(logits)), log_softmax(logits, 1), atol=1e-9)


def test_statistics_refuse() -> None:
    with pytest.raises(ValueError, match=r"^logits: a table \(images, at least 2 classes\) expected, got shape \(3,"):
        margins(np.zeros((3, 1)))
    with pytest.raises(ValueError, match=r"^logits: finite values expected, got NaN or infinity$"):
        margins(np.array([[0, np.nan]]))
    for labels in ([0], [0, 2], [-1, 0]):
        with pytest.raises(ValueError, match=r"^labels: one class in 0\.\.1 for each of 2 images expected$"):
            statistics(np.zeros((2, 2)), np.array(labels))


# --- ROC ------------------------------------------------------------------------------------------


def test_roc_of_two_gaussians_has_its_closed_form() -> None:
    """AUC = Phi(d / sqrt 2), TPR at FPR a = Phi(d + Phi^-1(a)), best balanced accuracy = Phi(d / 2)."""
    n, d = 40_000, 1.5
    curve = roc(rng(1).normal(d, 1, n), rng(2).normal(0, 1, n))
    assert curve.auc == pytest.approx(norm.cdf(d / math.sqrt(2)), abs=0.006)
    for at in curve.low:
        expected = norm.cdf(d + norm.ppf(at.rate))
        assert at.value == pytest.approx(expected, abs=0.1 * math.sqrt(at.rate))
    assert curve.balanced_accuracy == pytest.approx(norm.cdf(d / 2), abs=0.006)
    assert curve.best_threshold == pytest.approx(d / 2, abs=0.15)
    assert curve.at([0.2, 0.5]) == pytest.approx(norm.cdf(d + norm.ppf([0.2, 0.5])), abs=0.01)


def test_roc_by_hand() -> None:
    curve = roc(np.array([3.0, 2, 1]), np.array([2.0, 0, 0, 0]), rates=(0.25, 0.3, 0.1))
    assert curve.auc == pytest.approx((4 + 3.5 + 3) / 12)
    assert [at.value for at in curve.low[:2]] == [pytest.approx(1)] * 2
    assert curve.at([0, 0.24, 0.25, 1]) == pytest.approx([1 / 3, 1 / 3, 1, 1])
    assert (curve.balanced_accuracy, curve.best_threshold) == (pytest.approx(0.875), 1)
    assert (curve.members, curve.others) == (3, 4)
    assert roc(np.full(1, 71.0), np.arange(100.0)).at(0.29) == 1  # 0.29 * 100 is a little below 29


def test_a_rate_that_the_images_cannot_resolve_has_no_value_but_a_reason() -> None:
    one, tenth = roc(np.arange(100.0), np.arange(100.0) - 50).low
    assert one.resolved and one.value == 0.51 and one.reason == ""
    assert math.isnan(tenth.value) and tenth.finest == 0.01
    assert tenth.reason == "100 never-seen images resolve false-positive rates down to 1 %, not 0.1 %."
    assert roc(np.ones(1), np.zeros(1000)).low[1].value == 1
    assert math.isnan(bootstrap(np.arange(9.0), np.arange(100.0), rng(), resamples=9).low[1][0])


finite = st.lists(st.integers(-20, 20), min_size=1, max_size=30)


@settings(max_examples=60, deadline=None)
@given(finite, finite)
def test_roc_invariances(members: list[int], others: list[int]) -> None:
    m, o = np.array(members, float), np.array(others, float)
    curve = roc(m, o)
    for transform in (lambda v: np.exp(v / 5), lambda v: v**3 + 7, lambda v: np.arctan(v / 9)):
        moved = roc(transform(m), transform(o))
        assert moved.auc == pytest.approx(curve.auc) and np.array_equal(moved.tpr, curve.tpr)
    assert roc(o, m).auc == pytest.approx(1 - curve.auc) and roc(-o, -m).auc == pytest.approx(curve.auc)
    assert curve.balanced_accuracy >= 0.5 - 1e-12 and (np.diff(curve.at(np.linspace(0, 1, 20))) >= 0).all()
    called = (m >= curve.best_threshold).mean() / 2 + (o < curve.best_threshold).mean() / 2
    assert called == pytest.approx(curve.balanced_accuracy)


def test_bootstrap_counts_as_sklearn_would(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same draws, each resample evaluated with `roc`; once in one portion and once in many."""
    members, others = np.round(rng(3).normal(1, 1, 25), 1), np.round(rng(4).normal(0, 1, 20), 1)
    rates, grid = (0.05, 0.1), np.array([0, 0.3, 1])
    found = bootstrap(members, others, rng(5), resamples=200, rates=rates, grid=grid)
    draws = rng(5)
    drawn = members[draws.integers(0, 25, (200, 25))], others[draws.integers(0, 20, (200, 20))]
    curves = [roc(m, o, rates) for m, o in zip(*drawn, strict=True)]
    assert found.auc == pytest.approx(np.quantile([c.auc for c in curves], [0.025, 0.975]))
    for i in range(2):
        assert found.low[i] == pytest.approx(np.quantile([c.low[i].value for c in curves], [0.025, 0.975]))
    np.testing.assert_allclose(found.band, np.quantile([c.at(grid) for c in curves], [0.025, 0.975], axis=0))
    monkeypatch.setattr("unlearn_core.audit.roc._CELLS", 700)
    many = bootstrap(members, others, rng(5), resamples=4000, grid=grid)
    monkeypatch.undo()
    assert many.auc == pytest.approx(bootstrap(members, others, rng(6), resamples=4000).auc, abs=0.012)
    assert many.band.shape == (2, 3) and many.resamples == 4000


def test_bootstrap_intervals_cover_as_they_say() -> None:
    d, n, runs = 1.0, 60, 250
    truth, draws = float(norm.cdf(d / math.sqrt(2))), rng(11)
    covered, band, wide = 0, 0, []
    for _ in range(runs):
        found = bootstrap(draws.normal(d, 1, n), draws.normal(0, 1, n), draws, resamples=300, grid=np.array([0.3]))
        covered += found.auc[0] <= truth <= found.auc[1]
        band += found.band[0, 0] <= norm.cdf(d + norm.ppf(0.3)) <= found.band[1, 0]
        wide.append(found.auc[1] - found.auc[0])
    assert 0.90 <= covered / runs <= 0.985 and 0.90 <= band / runs <= 0.995
    assert np.mean(wide) == pytest.approx(2 * 1.96 * 0.0435, rel=0.1)  # Hanley & McNeil's standard error


@pytest.mark.parametrize(("members", "others"), [(5, 600), (10, 60), (600, 12)])
def test_intervals_of_few_images_cover_as_they_say(members: int, others: int) -> None:
    """Resampling ten members covers 75 to 91 %, of five fewer; a perfect separation is not certain either."""
    draws, runs = rng(12), 400
    for apart in (0.0, 1.0, 2.5):
        truth = float(norm.cdf(apart / math.sqrt(2)))
        found = [bootstrap(draws.normal(apart, 1, members), draws.normal(0, 1, others), draws) for _ in range(runs)]
        assert np.mean([low <= truth <= high for low, high in (one.auc for one in found)]) > 0.92
    perfect = bootstrap(np.arange(1e4, 1e4 + members), np.arange(float(others)), rng())
    assert perfect.auc[0] < 0.97 and perfect.auc[1] == 1


def test_too_few_images_have_no_interval() -> None:
    found = bootstrap(np.arange(4.0), np.arange(300.0), rng())
    assert all(math.isnan(end) for end in (*found.auc, *found.low[0]))
    assert np.isnan(found.band).all() and said(found.auc) == "none, too few images"
    assert said(bootstrap(np.arange(5.0), np.arange(300.0), rng()).auc) != said(found.auc)


def test_an_interval_without_width_is_replaced() -> None:
    """No resample of 300 finds a member among none found; that does not make the share known to be 0."""
    found = bootstrap(np.arange(300.0), np.arange(300.0) + 1000, rng())
    assert found.low[0] == pytest.approx((0, 0.0127), abs=1e-3)
    assert found.auc[0] == 0 and 0 < found.auc[1] < 0.02


def test_bootstrap_is_seeded_and_holds_the_value() -> None:
    members, others = rng(6).normal(0.5, 1, 100), rng(7).normal(0, 1, 100)
    first, again = (bootstrap(members, others, rng(8)) for _ in range(2))
    assert first.auc == again.auc and np.array_equal(first.band, again.band)
    assert first.auc[0] < roc(members, others).auc < first.auc[1]
    assert first.band.shape == (2, len(first.grid)) and (first.band[0] <= first.band[1]).all()
    narrow = bootstrap(members, others, rng(8), level=0.5)
    assert first.auc[0] < narrow.auc[0] < narrow.auc[1] < first.auc[1]


def test_null_band_is_the_roc_of_each_seed() -> None:
    seeds = [(rng(s).normal(0, 1, 30), rng(s + 9).normal(0, 1, 200)) for s in range(3)]
    band = null_band(*zip(*seeds, strict=True), grid=np.array([0.1, 0.5]))  # type: ignore[misc]
    curves = [roc(*seed) for seed in seeds]
    assert band.auc.tolist() == [c.auc for c in curves]
    assert band.balanced_accuracy.tolist() == [c.balanced_accuracy for c in curves]
    assert band.low[0].tolist() == [c.low[0].value for c in curves] and np.isnan(band.low[1]).all()
    np.testing.assert_array_equal(band.envelope[1], np.max([c.at([0.1, 0.5]) for c in curves], axis=0))
    np.testing.assert_array_equal(band.envelope[0], np.min([c.at([0.1, 0.5]) for c in curves], axis=0))


def test_roc_refuses() -> None:
    some, none = np.array([0.0, 1]), np.array([])
    for call in (roc, lambda m, o: bootstrap(m, o, rng())):
        with pytest.raises(ValueError, match=r"^members: at least one value of the statistic expected, got none$"):
            call(none, some)
        with pytest.raises(ValueError, match=r"^others: at least one value of the statistic expected, got none$"):
            call(some, none)
        with pytest.raises(ValueError, match=r"^others: finite values of the statistic expected, got NaN or infinity$"):
            call(some, np.array([0, np.inf]))
    with pytest.raises(ValueError, match=r"^rates: false-positive rates in \[0, 1\] expected, got one outside$"):
        roc(some, some, (1.5,))
    for resamples, level in ((0, 0.9), (5, 1.0)):
        with pytest.raises(ValueError, match=r"^resamples, level: at least one resample"):
            bootstrap(some, some, rng(), resamples=resamples, level=level)
    with pytest.raises(ValueError, match=r"^members: the statistics of at least one retrained seed expected"):
        null_band([], [])
    with pytest.raises(ValueError, match=r"^members, others: equally many seeds expected, got 1 and 2$"):
        null_band([some], [some, some])


# --- LiRA -----------------------------------------------------------------------------------------


def shadows(k: int, n: int, d: float, seed: int,
            between: float = 3.0) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Shadow margins N(m_i + d * inside, s_i), a target model and the truth; the images differ by far more than d."""
    draws = rng(seed)
    inside, truth = draws.random((k, n)) < 0.5, draws.random(n) < 0.5
    centre = draws.normal(0, between, n)
    return (centre + d * inside + draws.normal(0, 1, (k, n)), inside,
            centre + d * truth + draws.normal(0, 1, n), truth)


@pytest.mark.parametrize("variance", ["image", "pooled", "common"])
def test_lira_reaches_the_optimum_of_a_gaussian_toy(variance: str) -> None:
    """With the images' own centres known, AUC = Phi(d / sqrt 2); one threshold for all sees only d / sqrt(1 + 3²)."""
    n, d = 4000, 1.5
    margin, inside, target, truth = shadows(400, n, d, 1)
    found = lira(margin, inside, target, variance=variance)  # type: ignore[arg-type]
    assert found.form == "online" and found.variance == variance
    for score in (found.log_ratio, found.deviations):
        curve = roc(score[truth], score[~truth], (0.05, 0.1))
        assert curve.auc == pytest.approx(norm.cdf(d / math.sqrt(2)), abs=0.02)
        for at in curve.low:
            assert at.value == pytest.approx(norm.cdf(d + norm.ppf(at.rate)), abs=0.05)
    assert roc(target[truth], target[~truth]).auc == pytest.approx(norm.cdf(d / math.sqrt(20)), abs=0.03)
    if variance != "image":  # the exact ratio is d (margin - centre) - d² / 2
        exact = d * (target - (margin - d * inside).mean(0)) - d**2 / 2
        assert np.corrcoef(found.log_ratio, exact)[0, 1] > 0.98


def test_lira_by_hand() -> None:
    margin = np.array([[1.0], [3], [6], [10]])
    inside = np.array([[False], [False], [True], [True]])
    found = lira(margin, inside, np.array([5.0]), least=2, variance="image")
    expected = norm.logpdf(5, 8, math.sqrt(8)) - norm.logpdf(5, 2, math.sqrt(2))
    assert found.log_ratio[0] == pytest.approx(expected, abs=1e-12)
    assert found.deviations[0] == pytest.approx(3 / math.sqrt(2)) and found.score is found.log_ratio
    assert found.out_tail[0] == pytest.approx(norm.sf(3 / math.sqrt(2)))


def test_lira_pools_within_images_and_chooses_by_the_number_of_models() -> None:
    """Two images of unlike spread, sums of squares 2 and 8 on 1 degree of freedom each: variance 5 for both."""
    margin = np.array([[99.0, 0], [101, 4]])
    found = lira(margin, np.zeros((2, 2), bool), np.array([100.0, 2 + math.sqrt(5)]), least=2)
    assert found.variance == "pooled" and found.deviations == pytest.approx([0, 1])
    assert lira(*shadows(64, 5, 1, 2)[:3]).variance == "image"
    assert lira(*shadows(63, 5, 1, 2)[:3]).variance == "pooled"


def test_lira_is_offline_for_all_if_one_image_was_in_too_few_models() -> None:
    margin, inside, target, _ = shadows(32, 50, 1.0, 3)
    inside[:, 7] = np.arange(32) < 3
    found = lira(margin, inside, target, least=4)
    assert np.flatnonzero(np.isnan(found.log_ratio)).tolist() == [7] and np.isfinite(found.deviations).all()
    assert found.form == "offline" and found.score is found.deviations
    assert lira(margin, inside, target, least=3).form == "online"
    never = lira(margin, np.zeros_like(inside), target)
    assert np.isnan(never.log_ratio).all() and never.form == "offline"
    assert never.out_tail == pytest.approx(norm.sf(never.deviations))


@pytest.mark.parametrize("variance", ["image", "pooled", "common"])
def test_lira_survives_margins_without_variance(variance: str) -> None:
    margin, inside, target, _ = shadows(16, 40, 1.0, 4)
    margin[:, 0] = 5.0
    for values in (margin, np.full_like(margin, 2.0)):
        found = lira(values, inside, target, variance=variance, least=2)  # type: ignore[arg-type]
        assert np.isfinite(found.log_ratio).all() and np.isfinite(found.deviations).all()
    floored = lira(margin, inside, np.full(40, 6.0), variance="image", least=2)
    assert 50 < floored.deviations[0] < 200  # 1 % of a pooled deviation of about 1


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.1, 10), st.floats(-20, 20))
def test_lira_does_not_change_with_the_scale_and_shift_of_margins(seed: int, scale: float, shift: float) -> None:
    margin, inside, target, _ = shadows(24, 12, 1.0, seed)
    plain = lira(margin, inside, target, least=2)
    moved = lira(scale * margin + shift, inside, scale * target + shift, least=2)
    np.testing.assert_allclose(moved.deviations, plain.deviations, atol=1e-6)
    np.testing.assert_allclose(moved.log_ratio, plain.log_ratio, atol=1e-6)


def test_lira_refuses() -> None:
    margin, inside, target, _ = shadows(8, 3, 1.0, 6)
    with pytest.raises(ValueError, match=r"^margins, inside, target: shapes .* got \(8, 3\), \(8, 3\) and \(2,\)$"):
        lira(margin, inside, target[:2])
    with pytest.raises(ValueError, match=r"^margins: at least one image under at least one shadow model expected"):
        lira(margin[:0], inside[:0], target)
    with pytest.raises(ValueError, match=r"^least: at least 2 models for a variance expected, got 1$"):
        lira(margin, inside, target, least=1)
    with pytest.raises(ValueError, match=r"^margins, target: finite values expected, got NaN or infinity$"):
        lira(margin, inside, target * np.nan)
    inside[:, 1] = True
    with pytest.raises(ValueError, match=r"^inside: at least 2 shadow models .* got fewer for 1 of 3$"):
        lira(margin, inside & (np.arange(3) == 1), target, least=2)


# --- distinguishability ---------------------------------------------------------------------------


def models(count: int, seed: int, images: int = 60) -> np.ndarray:
    """(count, images, 10) logits of seeds that share a part per image and have one of their own."""
    draws = rng(seed)
    return draws.normal(0, 2, (images, 10)) + draws.normal(0, 1, (count, images, 10))


def test_distance_by_hand() -> None:
    seeds = np.array([0.0, 3, 4])[:, None, None] * np.array([0.6, 0.8])
    found = distinguish(np.array([[6.0, 8]]), seeds)
    assert found.placement.null == pytest.approx([3.5, 2, 2.5])
    assert found.placement.value == pytest.approx((10 + 7 + 6) / 3) and found.per_image.shape == (1,)
    assert (found.placement.rank_high, found.placement.rank_low) == (0.25, 1)
    tied = Placement(2.0, np.array([1.0, 2, 3]), (0, 4))
    assert (tied.rank_high, tied.rank_low, tied.place) == (0.75, 0.75, "within")
    centre, spread = 8 / 3, math.sqrt(((3.5 - 8 / 3)**2 + (2 - 8 / 3)**2 + (2.5 - 8 / 3)**2) / 2)
    half = 9.92484320091829 * spread * 2 * math.sqrt(4 / 3)
    assert found.placement.expected == pytest.approx((centre - half, centre + half))


def test_a_further_seed_passes_and_an_original_does_not() -> None:
    """Over 200 trials, a genuine retrained model is told apart about as rarely as the 1 % that the interval says."""
    places, scores = [], []
    for trial in range(200):
        all_seeds = models(6, trial)
        p = softmax(all_seeds, axis=2)
        places.append(distinguish(p[0], p[1:]).placement.place)
        if trial % 4 == 0:
            found = comparator_statistics(all_seeds)
            scores.append(privacy_score({k: v[0] for k, v in found.items()},
                                        {k: v[1:] for k, v in found.items()}).placement.place)
    assert places.count("apart") / 200 <= 0.03 and 0.5 <= places.count("within") / 200 <= 0.85
    assert scores.count("apart") / 50 <= 0.06
    original = models(1, 999)[0] + 8 * np.eye(10)[0]
    found = distinguish(softmax(original, 1), p[1:])
    assert found.placement.place == "apart" and found.verdict.startswith("Unlike one more retrained model")
    assert found.placement.rank_high == pytest.approx(1 / 6)


def test_every_place_has_its_sentence() -> None:
    p = softmax(models(6, 1), axis=2)
    centre = p[1:].mean(0)
    assert distinguish(centre, p[1:]).verdict.startswith("Unlike one more retrained model: its outputs are only")
    said = {}
    for part in np.linspace(0, 1.4, 141):
        found = distinguish(centre + part * (p[0] - centre), p[1:])
        said[found.placement.place, found.placement.value > found.placement.null.mean()] = found.verdict
    assert said["within", True].startswith("Like one more retrained model")
    assert "; nearer than each of the 5 seeds" in said["edge", False]
    assert "; farther than each of the 5 seeds" in said["edge", True]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6))
def test_distances_do_not_depend_on_the_order_of_seeds_or_images(seed: int) -> None:
    p = softmax(models(5, seed, 8), axis=2)
    plain = distinguish(p[0], p[1:])
    turned = distinguish(p[0, ::-1], p[:0:-1, ::-1])
    assert turned.placement.value == pytest.approx(plain.placement.value)
    assert turned.placement.null[::-1] == pytest.approx(plain.placement.null)
    assert turned.verdict == plain.verdict


def test_attack_score_follows_the_formula() -> None:
    fpr, fnr = np.array([0.0, 0.5, 0.2, 0.1, 0.0, 1.0, 0.0, 0.9]), np.array([0.0, 0.5, 0.1, 0.2, 0.25, 0.0, 1.0, 0.9])
    low = math.log((1 - 1e-5 - 0.2) / 0.1), math.log((1 - 1e-5 - 0.1) / 0.2)
    expected = 1 - 2.0**-min(low)
    alone = 1 - 2.0**-math.log((1 - 1e-5) / 0.25)
    assert attack_score(fpr, fnr) == pytest.approx([1, 0, expected, expected, alone, 0, 0, 0], abs=1e-9)


def test_attack_curve_counts() -> None:
    curve = attack_curve(np.array([1.0, 2, 3]), np.array([0.0, 1]))
    assert curve.thresholds.tolist() == [0, 1, 2, 3, math.inf]
    assert curve.fpr.tolist() == [1, 0.5, 0, 0, 0]
    assert curve.fnr == pytest.approx([0, 0, 1 / 3, 2 / 3, 1])
    other = attack_curve(np.array([1.0, 2, 3]), np.array([0.0, 1]), above=False)
    assert other.fpr == pytest.approx(1 - curve.fpr) and other.fnr == pytest.approx(1 - curve.fnr)


def test_strongest_attack_finds_the_statistic_and_the_side() -> None:
    blind, low = rng().normal(0, 1, 200), rng(1).normal(-3, 1, 200)
    found = strongest_attack({"blind": blind, "telling": low}, {"blind": blind, "telling": blind})
    assert (found.statistic, found.above) == ("telling", False) and -2 < found.threshold < -1
    assert found.advantage == pytest.approx(2 * norm.cdf(1.5) - 1, abs=0.06) and found.score > 0.7
    back = strongest_attack({"telling": blind}, {"telling": low})
    assert back.above and back.score == pytest.approx(found.score)


def says(said: str, start: str) -> bool:
    return said.startswith(start) and said.endswith(".") and "nan" not in said


def test_privacy_score_and_its_ceiling() -> None:
    seeds = comparator_statistics(models(5, 3, 100))
    one = {name: values[0] for name, values in seeds.items()}
    found = privacy_score(one, seeds)
    assert found.per_seed[0] == pytest.approx(1) and found.per_seed[1:].max() < 1
    pairs = [1 - strongest_attack(one, {k: v[j] for k, v in seeds.items()}).score for j in range(1, 5)]
    assert found.placement.null[0] == pytest.approx(np.mean(pairs))
    sure = comparator_statistics(models(1, 4, 100)[0] * 6)
    told = privacy_score(sure, seeds)
    assert told.placement.place == "apart" and told.placement.value < 0.3 < told.placement.null.min()
    assert says(told.verdict, "A threshold on ") and len(told.strongest) == 5
    assert says(found.verdict, "No threshold tells it") and found.placement.place == "within"


def test_comparator_statistics_by_definition() -> None:
    logits = models(2, 5, 7)
    found, p = comparator_statistics(logits), softmax(logits, axis=2).max(2)
    assert found["entropy"].shape == found["confidence"].shape == (2, 7)
    np.testing.assert_allclose(found["confidence"], np.log(p / (1 - p)))
    np.testing.assert_allclose(found["entropy"][1], entropy(softmax(logits[1] / 2, axis=1)))


def test_distinguish_refuses() -> None:
    p = softmax(models(4, 0, 5), axis=2)
    with pytest.raises(ValueError, match=r"^retrained: at least 3 seeds for a null expected, got 2$"):
        distinguish(p[0], p[:2])
    with pytest.raises(ValueError, match=r"^audited, retrained: shapes .* got \(4, 10\) and \(4, 5, 10\)$"):
        distinguish(p[0, :4], p)
    with pytest.raises(ValueError, match=r"^audited: at least one image expected, got none$"):
        distinguish(p[0, :0], p[:, :0])
    with pytest.raises(ValueError, match=r"^audited, retrained: finite outputs expected, got NaN or infinity$"):
        distinguish(p[0] * np.nan, p)
    value = np.zeros(5)
    with pytest.raises(ValueError, match=r"^retrained: at least 3 seeds for a null expected, got 2$"):
        privacy_score({"a": value}, {"a": np.zeros((2, 5))})
    with pytest.raises(ValueError, match=r"^retrained: equally many seeds for each statistic expected, got"):
        privacy_score({"a": value, "b": value}, {"a": np.zeros((3, 5)), "b": np.zeros((4, 5))})
    with pytest.raises(ValueError, match=r"^audited, reference: the same statistics, at least one, expected"):
        strongest_attack({"a": value}, {"b": value})
    with pytest.raises(ValueError, match=r"^reference: at least one value of the statistic expected, got none$"):
        attack_curve(value, value[:0])
    with pytest.raises(ValueError, match=r"^audited: finite values of the statistic expected, got NaN or infinity$"):
        attack_curve(value * np.nan, value)


def test_the_statistics_rank_as_sklearn_says() -> None:
    """The same attack, three ways: loss, confidence and margin have one AUC, that of sklearn."""
    logits, labels = rng(9).normal(0, 2, (300, 6)), rng(10).integers(0, 6, 300)
    member = rng(11).random(300) < 0.5
    logits[np.arange(300), labels] += member
    found = statistics(logits, labels)
    areas = [roc(found[name][member], found[name][~member]).auc for name in ("loss", "confidence", "margin")]
    assert areas == pytest.approx([roc_auc_score(member, found["margin"])] * 3)
    assert areas[0] > 0.55
