"""Play the attacker: who lies on the table, and what an attack makes of it."""

from __future__ import annotations

import numpy as np
import pytest

from unlearn_core.audit.game import IMAGES, LEAST, coin, deal, play
from unlearn_core.audit.lira import Shadows
from unlearn_core.subjects.subject import subject


def images(inside: int, outside: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels, member and forgotten: class 0 is to be forgotten, as many others of class 1."""
    labels = np.repeat([0, 0, 1, 1], [inside, outside, 30, 30]).astype(np.int64)
    member = np.repeat([True, False, True, False], [inside, outside, 30, 30])
    return labels, member, labels == 0


def test_half_of_the_table_was_trained_on_and_all_of_it_is_of_what_is_to_be_forgotten() -> None:
    labels, member, forgotten = images(50, 40)
    table = deal(labels, member, forgotten, np.random.default_rng(3))
    assert len(set(table.drawn)) == IMAGES and member[table.drawn].sum() == IMAGES // 2
    assert forgotten[table.drawn].all() and len(table.pool) == 90
    assert len(set(member[table.drawn][:IMAGES // 2])) == 2, "their order tells nothing"


def test_a_round_is_the_same_for_everybody_and_the_next_one_is_another() -> None:
    drawn = [deal(*images(50, 40), np.random.default_rng(seed)).drawn.tolist() for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]


def test_few_images_make_a_smaller_table_and_too_few_a_sentence() -> None:
    assert len(deal(*images(LEAST, 40), np.random.default_rng(0)).drawn) == 2 * LEAST
    with pytest.raises(ValueError, match="here are 2 and 40"):
        deal(*images(2, 40), np.random.default_rng(0))


def test_single_images_are_compared_with_unseen_ones_of_their_classes() -> None:
    labels, member, _ = images(30, 30)
    forgotten = np.zeros(len(labels), bool)
    forgotten[:5] = True
    table = deal(labels, member, forgotten, np.random.default_rng(0))
    assert len(table.drawn) == 10 and (labels[table.drawn] == 0).all() and len(table.pool) == 35


def test_an_attack_reads_the_true_class_and_lira_the_image_s_own_history() -> None:
    labels, member, forgotten = images(20, 20)
    table = deal(labels, member, forgotten, np.random.default_rng(0))
    logits = np.zeros((len(labels), 2), np.float32)
    logits[np.arange(len(labels)), labels] = np.where(member, 4, 2)
    generator = np.random.default_rng(1)
    inside = np.arange(16)[:, None] % 2 == np.zeros(len(labels), int)
    margins = generator.normal(np.where(inside, 4, 2), 0.5).astype(np.float32)
    found = play(table, logits, Shadows(margins, inside))
    assert found.best == 1.0 and found.lira is not None and found.lira > 0.95
    assert found.calls is not None and (found.calls == member[table.drawn]).mean() > 0.9
    assert np.allclose(found.confidence, np.where(member[table.drawn], 1 / (1 + np.exp(-4)), 1 / (1 + np.exp(-2))))
    alone = play(table, logits, None)
    assert alone.calls is None and alone.lira is None and alone.best == 1.0


def test_lira_sees_more_than_a_coin_in_the_bundled_original_and_less_in_a_retrained_network() -> None:
    own = subject("small-resnet")
    from unlearn_core.nets.evaluate import outputs
    from unlearn_core.nets.request import Request
    shown, request = own.evaluation, Request((6,))
    table = deal(shown.labels, shown.member, shown.forgotten(request), np.random.default_rng(0))
    retrained = own.retrained_logits(request)
    assert retrained is not None
    before, after = (play(table, logits, own.shadows()).lira for logits in (
        outputs(own.original(), shown.images.pixels()).logits, retrained[0]))
    assert before is not None and after is not None and after < 0.56 < before


def test_a_coin() -> None:
    assert coin(20) == (10.0, 6, 14) and coin(6) == (3.0, 1, 5)
