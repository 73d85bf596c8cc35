"""Tests of the drawn people: pictures that follow from a seed, and what became of them."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import torch
from torch import nn

from unlearn_core import assets
from unlearn_core.audit.membership import statistics
from unlearn_core.audit.roc import roc
from unlearn_core.bundle.people import VIEWS, people
from unlearn_core.bundle.persons import EXPRESSIONS, NAMES, everybody, view
from unlearn_core.bundle.portraits import SIZE, draw
from unlearn_core.nets.evaluate import missing_rows, outputs, with_rows
from unlearn_core.nets.images import Split
from unlearn_core.nets.request import Request
from unlearn_core.subjects.data import bundled_images
from unlearn_core.subjects.subject import subject, subjects

SPLITS: tuple[Split, ...] = ("train", "test", "validation")


def test_a_seed_decides_every_picture() -> None:
    one, other = people("train", turns=1), people("train", seed=5, turns=1)
    assert one.images.shape == (len(EXPRESSIONS) * len(NAMES), 3, SIZE, SIZE) and one.images.dtype == np.uint8
    assert not (one.images == other.images).all((1, 2, 3)).any()
    assert hashlib.sha256(one.images.tobytes()).hexdigest()[:16] == "8f96402970fdfaeb"
    assert np.array_equal(assets.arrays("data/people-train.npz")["images"][:len(one.images)], one.images)


def test_people_are_of_many_kinds_and_some_look_alike() -> None:
    everyone = everybody()
    assert [p.name for p in everyone] == list(NAMES) and len(NAMES) == len(set(NAMES)) >= 24
    assert len({(p.hair, p.hair_colour, p.skin, p.worn, p.glasses, p.beard) for p in everyone}) == len(NAMES)
    traits = [{key: value for key, value in vars(p).items() if key != "name"} for p in everyone]
    shared = [sum(a[key] == b[key] for key in a) for i, a in enumerate(traits) for b in traits[:i]]
    assert sum(2 * same > len(traits[0]) for same in shared) >= 8  # pairs that have most traits in common


def test_drawing_twice_gives_the_same() -> None:
    somebody, seen = everybody()[3], view("sad", np.random.default_rng(0))
    assert everybody()[3] == somebody and view("sad", np.random.default_rng(0)) == seen
    assert np.array_equal(draw(somebody, seen), draw(somebody, seen))


def test_views_of_a_person_differ() -> None:
    views = [view("happy", np.random.default_rng(i)) for i in range(200)]
    assert len({v.cover for v in views}) == 7 and len({v.pattern for v in views}) == 5
    assert np.std([v.tilt for v in views]) > 0.05 and np.std([v.light[0] for v in views]) > 0.05


def test_the_bundled_pictures_are_those_drawn() -> None:
    for split in SPLITS[1:]:
        drawn, table = people(split, turns=1), assets.arrays(f"data/people-{split}.npz")
        first = slice(len(drawn.images))
        assert np.array_equal(table["images"][first], drawn.images)
        assert np.array_equal(table["labels"][first], drawn.labels)
        assert np.array_equal(table["person"][first], drawn.person)


def test_every_person_has_every_expression_in_every_part() -> None:
    for split in SPLITS:
        images = bundled_images("people", split)
        assert images.images.shape[1:] == (3, SIZE, SIZE) and images.classes == EXPRESSIONS
        assert images.groups["person"].names == NAMES
        cells = torch.bincount(images.groups["person"].numbers * len(EXPRESSIONS) + images.labels)
        assert cells.tolist() == [VIEWS[split]] * len(NAMES) * len(EXPRESSIONS)
        few = images.subset(torch.arange(144))  # the first are of everybody, so that the first of a class are too
        assert len(few.groups["person"].numbers.unique()) == len(NAMES)
    scaled = bundled_images("people", "train").images.double() / 255
    np.testing.assert_allclose(images.mean, scaled.mean((0, 2, 3)), atol=1e-4)
    np.testing.assert_allclose(images.std, scaled.std((0, 2, 3)), atol=1e-4)


def test_no_picture_is_in_two_parts_or_twice() -> None:
    seen = [row.tobytes() for split in SPLITS for row in bundled_images("people", split).images.numpy()]
    assert len(set(seen)) == len(seen)


def test_the_network_is_as_good_as_was_measured_and_an_attack_finds_its_members() -> None:
    drawn = subject("people-resnet")
    assert next(iter(subjects())) == "small-resnet", "what is open by default"
    assert drawn.recipe is not None and not drawn.recipe.flip
    train, test = drawn.images.train, drawn.images.test
    members, others = (outputs(drawn.original(), images.pixels()) for images in (train, test))
    assert (members.predicted == train.labels.numpy()).mean() > 0.98
    assert abs((others.predicted == test.labels.numpy()).mean() - 0.77) < 0.02
    said = [statistics(one.logits, images.labels.numpy())["margin"]
            for one, images in ((members, train), (others, test))]
    assert abs(roc(*said).auc - 0.67) < 0.02


@pytest.mark.parametrize("person", [0, 7, 23])
def test_networks_without_a_person_tell_nothing_of_the_person(person: int) -> None:
    """Members against unseen images of one person: what the original tells well, those retrained without do not."""
    drawn = subject("people-resnet")
    parts = [images.subset(images.groups["person"].numbers == person)
             for images in (drawn.images.train, drawn.images.test)]

    def auc(model: nn.Module) -> float:
        members, others = (statistics(outputs(model, part.pixels()).logits, part.labels.numpy())["margin"]
                           for part in parts)
        return roc(members, others).auc

    retrained = drawn.retrained(Request((person,), "person"))
    assert len(retrained) == 3 and abs(np.mean([auc(model) for model in retrained]) - 0.5) < 0.12
    assert auc(drawn.original()) > np.mean([auc(model) for model in retrained]) + 0.05


def test_outputs_of_every_retrained_network_are_bundled() -> None:
    drawn = subject("people-resnet")
    train, test = drawn.images.train, drawn.images.test
    every = [*(Request((c,)) for c in range(len(EXPRESSIONS))), *(Request((p,), "person") for p in range(len(NAMES)))]
    for request in every:
        seen = with_rows(drawn.evaluation, train, test, missing_rows(request, train, test, drawn.evaluation))
        found = drawn.retrained_logits(request)
        assert found is not None and found.shape == (3, len(seen.member), len(EXPRESSIONS))
        if request in (Request((5,)), Request((11,), "person")):
            again = [outputs(model, seen.images.pixels()).logits for model in drawn.retrained(request)]
            np.testing.assert_allclose(found, np.stack(again), rtol=0.01, atol=0.05)
