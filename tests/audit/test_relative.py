"""Nearer to the retrained networks or to the original, and KLoM: on outputs of which the truth is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from hypothesis.extra.numpy import arrays

from unlearn_core.audit.beside import beside
from unlearn_core.audit.evidence import ORIGINAL, UNLEARNED, Model, passes
from unlearn_core.audit.klom import CAP, klom, squeezed
from unlearn_core.audit.relative import relative
from unlearn_core.bundle.relative import HELD_OUT, Row, claim, section
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
    assert found.needle == 1 and found.side == "retrained" and found.p == found.least_p == 1 / 8
    assert "each of 3 retrained networks" in found.sentence and "the least that 3 can give" in found.sentence


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
    assert found.tells and found.passing == 3
    assert found.side == "between" and "nearer to 2 of 3" in found.sentence and found.p > found.least_p


def test_where_retrained_networks_fail_themselves_nothing_is_said() -> None:
    before, near, far = outputs(20), outputs(20), outputs(20)
    mine = (before + near) / 2 + 1e-3 * (near - before)
    found = relative(mine, before, np.stack([near, near, 2 * far - before]))
    assert found.side == "between" and found.p > found.least_p and not found.tells
    assert found.sentence.startswith("Cannot be told here: of 3 retrained networks, each held out, ")
    # A group that no network learned: all differ by luck alone, and the original is one of them.
    alike = outputs(6, 400)
    found = relative(alike[0], alike[1], alike[2:])
    assert not found.tells and ("only" in found.sentence or "none is" in found.sentence)


@settings(deadline=None)
@given(arrays(np.float64, (5, 6, 3), elements=some.floats(0.01, 1)))
def test_the_order_of_seeds_and_images_says_nothing(raw: np.ndarray) -> None:
    made = raw / raw.sum(2, keepdims=True)
    found, again = relative(made[0], made[1], made[2:]), relative(made[0, ::-1], made[1, ::-1], made[:1:-1, ::-1])
    assert found.needle == pytest.approx(again.needle) and found.p == pytest.approx(again.p)
    assert 0 <= found.needle <= 1 and found.least_p <= found.p <= 1
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
    """Moments of the logarithms of few variances look as if all were one; that one is known no better than they say."""
    for images in (1, 3, 10):
        inside = total = 0
        for _ in range(400):
            seeds, mine = rng.normal(0, 2, (3, images)), rng.normal(6, 2, (1, images))
            found = klom(mine, seeds)
            inside += ((found.low <= 4.5) & (found.high >= 4.5)).sum()
            total += images
        assert inside / total > 0.93, images


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
    # Where the retrained networks fail themselves, nobody is judged by the needle.
    unlike = Model(rng.normal(0, 1, (images, 3)) + np.array([0.0, 0, 9]))
    nearer, _ = beside({ORIGINAL: original, UNLEARNED: hidden}, [*seeds[:2], unlike], labels, seen, seen, original)
    assert nearer.passing < 3 and nearer.worth == "strict" and nearer.status() == "cannot tell here"


# -- the document --------------------------------------------------------------------------------------------------


def test_the_document_counts_what_was_reported() -> None:
    def row(what: str, label: int, side: str) -> Row:
        return Row("small-resnet", str(label), what, "", side, 0.5, 0.8, 0.9, 0.1, None, None)

    said = "\n".join(claim([row("ssd", 0, "retrained"), row("ssd", 1, "between"), row("fine_tune", 0, "original"),
                            row("head_zeroing", 0, "retrained"), row("random_labels", 0, "retrained")]))
    assert "SSD 1 of 2, nearest to pruning 1 of 1, fine-tuning 0 of 1, random labels 1 of 1" in said
    assert "pass in 2 of 4 outcomes, random labels in 1 of 1. That fits the claim." in said
    assert "The claim is not found here." in "\n".join(claim([row("ssd", 0, "retrained")]))
    blind = [row(HELD_OUT, 1, "between"), row("ssd", 1, "original")]  # a request for which nobody can tell
    assert "SSD 1 of 1" in "\n".join(claim([row("ssd", 0, "retrained"), *blind]))
    said = "\n".join(section("small-resnet", "class", [row("ssd", 0, "retrained"), row(HELD_OUT, 0, "retrained"),
                                                       *blind]))
    assert "In 1 of 2 the question has an answer" in said and "| SSD | 1 | · | · | 1 |" in said
    assert "1 of 2 are on the wrong side or between; where the question has an answer, 0 of 1." in said
