"""Nearer to the retrained networks or to the original, and KLoM: on outputs of which the truth is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from hypothesis.extra.numpy import arrays

from unlearn_core.audit.beside import beside, self_test
from unlearn_core.audit.evidence import ORIGINAL, UNLEARNED, Model, passes
from unlearn_core.audit.klom import CAP, klom, squeezed
from unlearn_core.audit.relative import relative
from unlearn_core.bundle.relative import AGAIN, HELD_OUT, Row, claim, section
from unlearn_core.nets.evaluate import softmax

rng = np.random.default_rng(0)


def outputs(*shape: int) -> np.ndarray:
    raw = rng.random((*shape, 4)) + 1e-3
    return raw / raw.sum(-1, keepdims=True)


def test_the_original_is_at_zero_and_a_network_like_a_retrained_one_at_one() -> None:
    before, seeds = outputs(30), np.repeat(outputs(1, 30), 3, 0)
    found = relative(before, before, seeds)
    assert (found.needle, found.side, found.p) == (0, "original", 1) and "Nearer to the original" in found.sentence
    found = relative(seeds[0], before, seeds)
    assert found.needle == 1 and found.side == "retrained" and found.p == 1 / 4
    assert "each of 3 retrained networks" in found.sentence and "p = 0.25, the least that 3 can give" in found.sentence


@pytest.mark.parametrize("seeds", [3, 5, 8])
def test_an_original_that_is_one_of_the_others_is_farthest_as_often_as_p_says(seeds: int) -> None:
    """All networks learned the same: which of them is called the original must not matter."""
    runs, hits = 5000, 0
    for _ in range(runs):
        drawn = rng.normal(0, 1, (seeds + 2, 12, 3)) * rng.gamma(3, 1, (seeds + 2, 1, 1))  # some lie farther out
        hits += relative(drawn[0], drawn[1], drawn[2:]).p <= 1 / (seeds + 1)
    assert hits / runs == pytest.approx(1 / (seeds + 1), abs=0.03)


def test_by_hand() -> None:
    """Two images, two classes; distances are √2 times the difference of the first class's probability."""
    def rows(*first: float) -> np.ndarray:
        return np.array([[p, 1 - p] for p in first])

    found = relative(rows(0.7, 0.5), rows(1.0, 1.0), np.stack([rows(0.0, 0.5), rows(0.6, 0.6), rows(0.5, 0.5)]))
    # from the original .3 + .5; from the retrained ones .7 + 0, .1 + .1, .2 + 0
    assert found.shares == pytest.approx([0.8 / 1.5, 0.8 / 1.0, 0.8 / 1.0])
    assert found.per_image == pytest.approx([(0.3 + 0.75 + 0.6) / 3, (1 + 0.5 / 0.6 + 1) / 3])
    # the first seed: 1 + .5 from the original; .6 + .1 and .5 + 0 from the others
    assert found.null[0] == pytest.approx((1.5 / 2.2 + 1.5 / 2.0) / 2)


def test_half_way_to_retrained_networks_that_differ_is_between() -> None:
    before, near, other = outputs(20), outputs(20), outputs(20)
    mine = (before + near) / 2 + 1e-3 * (near - before)
    found = relative(mine, before, np.stack([near, near, 1.1 * near - 0.1 * before + 0.05 * (other - near)]))
    assert found.passing == 3
    assert found.side == "between" and "little" not in found.sentence and found.p == 2 / 4
    assert "nearer to 2 of 3" in found.sentence


def test_where_retrained_networks_fail_themselves_to_fail_proves_little() -> None:
    before, near, far = outputs(20), outputs(20), outputs(20)
    mine = (before + near) / 2 + 1e-3 * (near - before)
    found = relative(mine, before, np.stack([near, near, 2 * far - before]))
    assert found.side == "between" and found.p == 2 / 4 and found.passing == 1
    assert found.sentence.endswith(" That proves little here: of the retrained networks, each held out, 2 of 3 are not "
                                   "nearer to all of the others either.")
    # One that is near to all of them, where they are farther from each other than from the original.
    corners = np.eye(3)[:, None, :]
    found = relative(np.full((1, 3), 0.6), np.zeros((1, 3)), corners)
    assert found.side == "retrained" and found.passing == 0
    assert found.sentence.endswith(" Of the retrained networks, each held out, only 0 of 3 are so too.")


@settings(deadline=None)
@given(arrays(np.float64, (5, 6, 3), elements=some.floats(0.01, 1)))
def test_the_order_of_seeds_and_images_says_nothing(raw: np.ndarray) -> None:
    made = raw / raw.sum(2, keepdims=True)
    found, again = relative(made[0], made[1], made[2:]), relative(made[0, ::-1], made[1, ::-1], made[:1:-1, ::-1])
    assert found.needle == pytest.approx(again.needle) and found.p == pytest.approx(again.p)
    assert 0 <= found.needle <= 1 and 1 / 4 <= found.p <= 1 and (found.p == 1 / 4) == (found.side == "retrained")
    assert found.per_image[::-1] == pytest.approx(again.per_image)


@pytest.mark.parametrize(("arguments", "words"), [
    ((np.ones((0, 4)), np.ones((0, 4)), np.ones((2, 0, 4))), "at least one image"),
    ((outputs(3), outputs(3), outputs(1, 3)), "at least 2 networks expected, got 1"),
    ((outputs(3), outputs(2), outputs(2, 3)), "shapes"),
    ((outputs(3) * np.nan, outputs(3), outputs(2, 3)), "finite"),
])
def test_what_cannot_be_compared_is_refused(arguments: tuple[np.ndarray, ...], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        relative(*arguments)


# -- KLoM ---------------------------------------------------------------------------------------------------------


def test_klom_finds_a_known_divergence() -> None:
    """Margins normal with spread 2 and means 6 apart: KL = 36 / 8 = 4.5 nats."""
    seeds = rng.normal(rng.normal(0, 5, 4000), 2, (6, 4000))
    mine = seeds.mean(0) + 6 + rng.normal(0, 2 * np.sqrt(1 + 1 / 6), (1, 4000))
    found = klom(mine, seeds)
    assert found.mean == pytest.approx(4.5, rel=0.05) and found.shift.mean() == pytest.approx(6, rel=0.02)


def test_the_interval_covers_at_least_as_often_as_it_says() -> None:
    """Images whose spreads differ, from unlearned networks of a known shift."""
    spread = np.sqrt(8 / rng.chisquare(8, 6000))
    seeds = rng.normal(0, spread, (5, 6000))
    mine = rng.normal(3 * spread, spread, (1, 6000))
    found = klom(mine, seeds)
    assert 0.945 < ((found.low <= 4.5) & (found.high >= 4.5)).mean() < 0.985


def test_one_more_retrained_network_is_not_apart() -> None:
    seeds = rng.normal(rng.normal(0, 5, 2000), 2, (6, 2000))
    found = klom(seeds[:1], seeds[1:])
    assert abs(found.mean - found.null.mean()) < 0.1 and (found.low == 0).mean() > 0.9
    assert klom(seeds[:3], seeds[3:]).mean < found.mean  # more networks, less noise


def test_variances_are_drawn_together_as_far_as_they_agree() -> None:
    equal, freedom = squeezed(rng.chisquare(3, 400_000) / 3, 3)
    assert freedom > 200 and np.ptp(equal) < 0.1 and equal.mean() == pytest.approx(1, rel=0.02)
    true = 6 / rng.chisquare(6, 20_000)
    drawn, freedom = squeezed(true * rng.chisquare(3, 20_000) / 3, 3)
    assert freedom == pytest.approx(9, rel=0.1)  # 6 of the images, 3 of each image's networks
    assert ((np.log(drawn) - np.log(true))**2).mean() < 0.7 * ((np.log(true) - np.log(true).mean())**2).mean()


def test_klom_says_of_how_many_images_held_out_networks_would_be_said_the_same() -> None:
    seeds = rng.normal(rng.normal(0, 5, 800), 2, (6, 800))
    found = klom(seeds[:1] + 40, seeds[1:])
    assert found.null_apart.shape == (5,) and 0 <= found.null_apart.max() < 0.15
    among = [f"{share:.0%}" for share in (found.null_apart.min(), found.null_apart.max())]
    assert "For 100% of the images the 95 % interval leaves out 0; for held-out retrained networks" in found.sentence
    assert found.sentence.endswith(f"it does so for {' to '.join(dict.fromkeys(among))}.")
    with pytest.raises(ValueError, match="differ between networks"):
        klom(seeds[:1], seeds[[1, 1, 2]])


def test_klom_is_capped_and_says_what_it_cannot_take() -> None:
    seeds = rng.normal(0, 1, (3, 50))
    assert (klom(np.full((1, 50), 1e6), seeds).value == CAP).all()
    for mine, others, words in ((np.ones((1, 4)), np.ones((3, 5)), "the same images"),
                                (np.ones((1, 4)), np.ones((2, 4)), "at least 3 networks expected, got 2"),
                                (np.ones((1, 4)), np.ones((3, 4)), "differ between networks"),
                                (np.full((1, 50), np.inf), seeds, "finite")):
        with pytest.raises(ValueError, match=words):
            klom(mine, others)


def test_few_images_do_not_make_a_variance_known() -> None:
    """Moments of the logarithms of few variances look as if all were one, whether they are or not."""
    for images, apart, alike in ((1, 3, True), (3, 3, True), (10, 3, True), (10, 8, False), (30, 8, False)):
        inside = total = 0
        for _ in range(300):
            spread = np.full(images, 2.0) if alike else np.sqrt(4 / rng.chisquare(4, images))
            seeds, mine = rng.normal(0, spread, (3, images)), rng.normal(apart * spread, spread, (1, images))
            found = klom(mine, seeds)
            inside += ((found.low <= apart**2 / 2) & (found.high >= apart**2 / 2)).sum()
            total += images
        assert inside / total > 0.92, (images, apart, alike)


# -- beside the verdict's checks ----------------------------------------------------------------------------------


def test_both_questions_are_tried_on_networks_of_known_truth() -> None:
    """The original must fail, each held-out retrained network pass; of 3 only the needle can hold one out."""
    images, labels = 120, np.zeros(120, np.int64)
    seen, shape = np.ones(images, bool), np.array([0.0, 2, 0])
    seeds = [Model(rng.normal(0, 1, (images, 3)) + shape) for _ in range(5)]
    original = Model(rng.normal(0, 1, (images, 3)) + np.array([6.0, 0, 0]))
    hidden = Model(original.logits + np.array([-30.0, 3, 0]))
    nearer, apart = beside({ORIGINAL: original, UNLEARNED: hidden}, seeds, labels, seen, seen, original)
    assert (nearer.passing, apart.passing) == (5, 5) and nearer.worth == apart.worth == "works"
    assert nearer.status() == "passes" and apart.status() == "fails"  # the weaker question and the stricter one
    nearer, apart = beside({ORIGINAL: original}, seeds[:3], labels, seen, seen, original)
    assert len(nearer.held_out) == 3 and apart.held_out == () and apart.worth == "works"
    assert all(not check.judged for check in beside({ORIGINAL: original}, seeds[:2], labels, seen, seen, original))
    assert all(not check.judged for check in beside({ORIGINAL: original}, [seeds[0]] * 3, labels, seen, seen, original))
    # Whoever lies among retrained networks that fail has not passed: what was found of each is the same as of all.
    few = [Model(model.logits[:8]) for model in (original, *seeds)]
    found = relative(*(softmax(model.logits) for model in (few[1], few[0])),
                     softmax(np.stack([model.logits for model in few[2:]])))
    nearer, _ = beside({ORIGINAL: few[0]}, few[1:], labels[:8], seen[:8], seen[:8], few[0])
    assert passes(nearer.held_out[0]) == (found.side == "retrained")
    loose = [Model(rng.normal(0, 3, (40, 3)) + np.array([3.0, 0, 0])) for _ in range(6)]
    nearer, _ = beside({ORIGINAL: loose[0]}, loose[1:], labels[:40], seen[:40], seen[:40], loose[0])
    answers = softmax(np.stack([model.logits for model in loose]))
    assert nearer.passing == relative(answers[1], answers[0], answers[1:]).passing < 5
    assert "Retrained networks fail it too" in self_test(nearer)
    # Where the retrained networks fail themselves, nobody is judged by the needle.
    unlike = Model(rng.normal(0, 1, (images, 3)) + np.array([0.0, 0, 9]))
    nearer, _ = beside({ORIGINAL: original, UNLEARNED: hidden}, [*seeds[:2], unlike], labels, seen, seen, original)
    assert nearer.passing < 3 and nearer.worth == "strict" and nearer.status() == "cannot tell here"


# -- the document --------------------------------------------------------------------------------------------------


def test_the_document_counts_what_was_reported() -> None:
    def row(what: str, label: int, side: str, level: str = "") -> Row:
        return Row("small-resnet", str(label), what, "", side, 0.5, 0.8, 0.9, None, None, level)

    rows = [row("ssd", i, "original") for i in range(6)] + [row("random_labels", i, "retrained") for i in range(6)]
    rows += [row("fine_tune", i, "retrained") for i in range(6)]
    said = "\n".join(claim(rows))
    assert "SSD: 0 of 6, random labels 6 of the same; only random labels pass in 6, only SSD in 0" in said
    assert "in 0 (Small ResNet, one class: 6). Sign test p = 0.031, were all requests independent: in the direction " \
        "reported." in said
    assert "Fine-tune: 6 of 6, random labels 6 of the same; only random labels pass in 0" in said
    assert said.count("No difference is found.") == 3 and "opposite" not in said
    assert "SSD 0 of 6, nearest to pruning 0 of 0, fine-tuning 6 of 6, random labels 6 of 6" in said
    turned = [row(what, i, side) for what, side in (("ssd", "retrained"), ("random_labels", "original"))
              for i in range(6)]
    assert "in the direction opposite to that reported." in "\n".join(claim(turned))
    said = "\n".join(section("small-resnet", "class", [
        row(HELD_OUT, 0, "retrained"), row(HELD_OUT, 1, "between"), row(AGAIN, 0, "original"),
        row("ssd", 0, "retrained", "Hidden"), row("ssd", 1, "original", "Not told from retraining")]))
    assert "of held-out retrained networks 1 of 2 are nearer to retraining; of the answers of 1 networks" in said
    assert "outcomes 1 of 2 are. The verdict calls 1 of these" in said
    assert "Of 1 that the verdict does not tell from retraining, 1 are not." in said and "| SSD | 1 | · | 1 |" in said
