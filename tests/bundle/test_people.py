"""Tests of the drawn people: pictures that follow from a seed, and what became of them."""

from __future__ import annotations

import hashlib

import numpy as np

from unlearn_core.bundle.people import EXPRESSIONS, NAMES, SIZE, everybody, people, view



def test_a_seed_decides_every_picture() -> None:
    one, again, other = people("train", turns=1), people("train", turns=1), people("train", seed=5, turns=1)
    assert one.images.shape == (len(EXPRESSIONS) * len(NAMES), 3, SIZE, SIZE) and one.images.dtype == np.uint8
    assert np.array_equal(one.images, again.images)
    assert not (one.images == other.images).all((1, 2, 3)).any()
    digest = hashlib.sha256(one.images.tobytes()).hexdigest()
    assert digest[:16] == "8f96402970fdfaeb"


def test_people_are_of_many_kinds_and_some_look_alike() -> None:
    everyone = everybody()
    assert [p.name for p in everyone] == list(NAMES) and len(NAMES) == len(set(NAMES)) >= 24
    assert len({(p.hair, p.hair_colour, p.skin, p.worn, p.glasses, p.beard) for p in everyone}) == len(NAMES)
    traits = [{key: value for key, value in vars(p).items() if key != "name"} for p in everyone]
    shared = [sum(a[key] == b[key] for key in a) for i, a in enumerate(traits) for b in traits[:i]]
    assert sum(2 * same > len(traits[0]) for same in shared) >= 8  # pairs that have most traits in common


def test_views_of_a_person_differ() -> None:
    views = [view("happy", np.random.default_rng(i)) for i in range(200)]
    assert len({v.cover for v in views}) == 7 and len({v.pattern for v in views}) == 5
    assert np.std([v.tilt for v in views]) > 0.05 and np.std([v.light[0] for v in views]) > 0.05
