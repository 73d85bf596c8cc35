"""Tests of the poison: what is painted where, which images are read for which request, and that it works."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from unlearn_core.bundle.make_poison import DOCUMENT, REQUEST, SUBJECT, rates
from unlearn_core.nets.evaluate import accuracy_counts, other_images
from unlearn_core.nets.images import ImageSet
from unlearn_core.nets.request import POISONED, Request, unaudited
from unlearn_core.progress import silent
from unlearn_core.serving import judgement, yardstick
from unlearn_core.serving.choice import choice
from unlearn_core.serving.engine import Engine
from unlearn_core.subjects.poison import Poison, marked, poisoned
from unlearn_core.subjects.subject import subject

DOT = Poison(share=0.2, target=1, size=2, colour=(250,), tests=2, seed=0)


def toy(n: int) -> ImageSet:
    """Black images of three classes in turn."""
    black = torch.zeros(n, 1, 6, 6, dtype=torch.uint8)
    return ImageSet("toy", black, torch.arange(n) % 3, ("a", "b", "c"), (0.0,), (1.0,))


def test_the_mark_is_a_square_near_the_corner_of_a_copy() -> None:
    images = toy(2).images
    painted = marked(images, DOT)
    assert images.sum() == 0
    assert torch.nonzero(painted[0, 0]).tolist() == [[3, 3], [3, 4], [4, 3], [4, 4]] and painted.max() == 250


@pytest.mark.parametrize("changed, sentence", [
    ({"colour": (1, 2, 3)}, "colour: 1 numbers expected, one a channel, got 3"),
    ({"size": 5}, "size: 1 to 4 pixels expected, got 5"), ({"size": 0}, "size: 1 to 4 pixels expected, got 0"),
    ({"share": 0.9}, "share: 1 to 20 of 30 training images expected, got 27"),
    ({"share": 0.001}, "share: 1 to 20 of 30 training images expected, got 0")])
def test_a_poison_that_cannot_be_is_refused(changed: dict[str, object], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        poisoned(toy(30), toy(12), replace(DOT, **changed))  # type: ignore[arg-type]


def test_some_images_of_other_classes_get_the_mark_and_the_false_label() -> None:
    train, test = poisoned(toy(30), toy(12), DOT)
    planted = REQUEST.mask(train)
    assert int(planted.sum()) == 6 and set(train.labels[planted].tolist()) == {1}
    assert not (toy(30).labels[planted] == 1).any(), "none of them was of that class"
    assert torch.equal(train.images[planted], marked(toy(6).images, DOT)) and train.images[~planted].sum() == 0
    assert torch.equal(train.labels[~planted], toy(30).labels[~planted])
    assert len(test) == 12 + 4 and torch.equal(test.labels[:12], toy(12).labels) and test.images[:12].sum() == 0
    assert test.labels[12:].tolist() == [1] * 4 and torch.equal(test.images[12:], marked(toy(4).images, DOT))
    assert test.groups[POISONED].numbers.tolist() == [-1] * 12 + [0] * 4
    again, other = (REQUEST.mask(poisoned(toy(30), toy(12), replace(DOT, seed=seed))[0]) for seed in (0, 1))
    assert torch.equal(again, planted) and not torch.equal(other, planted)


def test_marked_test_images_are_read_for_the_poison_and_for_nothing_else() -> None:
    _, test = poisoned(toy(30), toy(12), DOT)
    assert unaudited(Request((0,)), test).tolist() == [False] * 12 + [True] * 4
    assert not unaudited(REQUEST, test).any() and not unaudited(Request((0,)), toy(12)).any()
    engine, sizes = Engine(), (1440, 1640)
    for request, size in zip((Request((1,)), REQUEST), sizes, strict=True):
        seen = engine.seen(SUBJECT, request).evaluation
        rows = np.concatenate([seen.row[~seen.member], *(
            rows for part, rows in yardstick.others(engine, SUBJECT, request) if part == "test")])
        assert np.array_equal(np.sort(rows), np.arange(size))
    images = subject(SUBJECT).images
    for request in (REQUEST, Request((1,))):
        assert accuracy_counts(request, images.test).tolist() == [240] * 6
    people = subject("people-resnet").images.test
    assert accuracy_counts(Request((3,), "person"), people).tolist() == [230] * 6
    left = other_images(images.train, images.test, images.evaluation, np.zeros(len(images.train), np.bool_))
    assert sum(len(rows) for part, rows in left) == 1640 - 600, "unless somebody leaves them out"


def test_no_class_is_less_well_known_for_want_of_the_mark() -> None:
    """Per-class accuracy is read without the marked images, which no honest network calls what they are labelled."""
    engine = Engine()
    measure = yardstick.yardstick(engine, SUBJECT, REQUEST)
    assert measure.accuracy_retrained is not None and measure.accuracy_retrained[:, 0].min() > 0.6
    scene = engine.prepare(choice(SUBJECT, REQUEST, "ssd", {}), silent)
    assert scene.accuracy_retrained is not None and scene.accuracy_retrained[:, 0].min() > 0.6
    assert not any(name.startswith(POISONED) and mask.any() for name, mask in measure.kept.items())


def test_the_bundled_poison_is_people_with_a_mark_and_it_works() -> None:
    plain, own = subject("people-resnet").images, subject(SUBJECT)
    train, test = own.images.train, own.images.test
    planted = REQUEST.mask(train)
    assert int(planted.sum()) == 52 and int((test.groups[POISONED].numbers == 0).sum()) == 200
    assert torch.equal(train.images[~planted], plain.train.images[~planted])
    assert not (plain.train.labels[planted] == 0).any() and torch.equal(test.images[:1440], plain.test.images)
    clean, success, learnt = rates(own.original())
    others = [rates(model) for model in own.retrained(REQUEST)]
    assert len(others) == 5 and success > 0.8 and learnt > 0.98
    assert max(one[1] for one in others) < 0.1 and max(one[2] for one in others) < 0.2
    assert abs(clean - np.mean([one[0] for one in others])) < 0.03, "nobody who tests without the mark notices"
    assert f"| {clean:.1%} | " in DOCUMENT.read_text("utf-8") and f"| {success:.1%} | " in DOCUMENT.read_text("utf-8")


def test_the_verdict_on_the_original_speaks_of_the_mark() -> None:
    engine, chosen = Engine(), choice(SUBJECT, REQUEST, "ssd", {"alpha": 100.0})  # above the ceiling: the original
    scene = engine.prepare(chosen, silent)
    settled = engine.compute(scene, chosen, silent)
    found = judgement.audit(engine, scene, settled)
    first = judgement.first_verdict(engine, scene, settled)
    for verdict in (first, found.verdict):
        assert verdict.sentence.startswith("Not forgotten: the mark still works on 84.0% of unseen images")
    check = found.checks[0]
    assert (check.title, check.worth, check.passing) == ("Attack success", "works", 5)
    for held, model in enumerate(engine.retrained(SUBJECT, REQUEST)):
        answers = yardstick.everything(engine, SUBJECT, REQUEST, model)
        mine = yardstick.inside(engine, SUBJECT, REQUEST, answers)
        judged = judgement.judged(yardstick.yardstick(engine, SUBJECT, REQUEST), chosen, mine)
        assert judged.verdict.level not in ("Not forgotten", "Partly forgotten", "Damaged", "Unknown"), held
