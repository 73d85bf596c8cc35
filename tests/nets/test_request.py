"""Tests of nets.request and of the images a request adds: masks written out by hand, words, addresses, refusals."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from unlearn_core.bundle.make_people import TEN
from unlearn_core.nets.evaluate import evaluation_set, kept_groups, missing_rows, other_images, with_rows
from unlearn_core.nets.images import Groups, ImageSet, joined
from unlearn_core.nets.request import MOST_IMAGES, Request, checked, forget_classes, forget_images, read
from unlearn_core.subjects.subject import bundled, subject


def images(labels: list[int], persons: list[int], names: tuple[str, ...] = ("Ana", "Bo", "Cy")) -> ImageSet:
    pixels = torch.arange(len(labels), dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 3, 8, 8)
    return ImageSet("drawn", pixels, torch.tensor(labels), ("calm", "happy", "sad"), (0.5,) * 3, (0.2,) * 3,
                    {"person": Groups(names, torch.tensor(persons))})


TRAIN = images([0, 0, 1, 1, 2, 2, 0, 1], [0, 1, 0, 1, 2, -1, 2, 0])
TEST = images([0, 1, 2, 0], [1, 0, 2, -1])


@pytest.mark.parametrize(("text", "request_", "train", "test", "words"), [
    ("1", Request((1,)), "00110001", "0100", "happy"),
    ("0,2", Request((0, 2)), "11001110", "1011", "calm and sad"),
    ("person:0", Request((0,), "person"), "10100001", "0100", "Ana"),
    ("person:1,2", Request((1, 2), "person"), "01011010", "1010", "Bo and Cy"),
    ("image:5", Request((5,), "image"), "00000100", "0000", "this image"),
    ("image:0,7", Request((0, 7), "image"), "10000001", "0000", "these 2 images"),
])
def test_every_kind_of_request_by_hand(text: str, request_: Request, train: str, test: str, words: str) -> None:
    assert read(text, TRAIN) == request_ == checked(request_, TRAIN) and str(request_) == text
    assert request_.words(TRAIN) == words
    assert request_.mask(TRAIN).tolist() == [c == "1" for c in train]
    assert request_.mask(TEST, torch.full((4,), -1)).tolist() == [c == "1" for c in test]
    forget, retain = request_.split(TRAIN)
    assert forget.tolist() == [i for i, c in enumerate(train) if c == "1"]
    assert sorted([*forget.tolist(), *retain.tolist()]) == list(range(8))
    assert bool(request_.classes) == (":" not in text)


@pytest.mark.parametrize(("network", "requests", "forget", "retain", "test"), [
    *((network, [Request((label,)) for label in range(10)], 2000, 18000, 1000) for network in bundled("fashion-mnist")),
    ("people-resnet", [Request((number,), "person") for number in range(24)], 72, 1656, 60),
    ("people-resnet", [Request((label,)) for label in range(6)], 288, 1440, 240),
    ("people-resnet", [TEN], 10, 1718, 0), ("people-poisoned", [Request((0,), "poisoned")], 52, 1676, 200)])
def test_the_split_of_every_request_with_bundled_references(
        network: str, requests: list[Request], forget: int, retain: int, test: int) -> None:
    own = subject(network)
    for one in requests:
        gone = one.mask(own.images.test, torch.full((len(own.images.test),), -1))
        assert (*map(len, one.split(own.images.train)), int(gone.sum())) == (forget, retain, test), one
        logits = own.retrained_logits(one)
        assert logits is not None and len(logits) >= 3 and own.retrained(one)


@given(st.text(max_size=30))
@example("0\x1f")  # white space to `strip`, none to `int`
def test_any_text_is_a_request_or_a_sentence(text: str) -> None:
    try:
        found = read(text, TRAIN)
    except ValueError as problem:
        assert str(problem).partition(":")[0] in ("forget", "classes", "images", "person groups")
    else:
        assert read(str(found), TRAIN) == found and 0 < int(found.mask(TRAIN).sum()) < 8


@pytest.mark.parametrize(("text", "sentence"), [
    ("", "forget: numbers separated by commas"), ("all", "forget: numbers"), ("3", r"classes: numbers in 0\.\.2"),
    ("0,1,2", "classes: at least one class must be kept, got all 3"), ("dog:1", "forget: one of class, person, image"),
    ("person:3", r"person groups: numbers in 0\.\.2 expected, got 3"), ("image:8", r"images: numbers in 0\.\.7"),
    ("image:0,1,2,3,4,5,6,7", "images: at least one image must be kept"), ("image:-1", "forget: numbers"),
    ("person:0,1,2", "person groups: at least one group must be kept"),
])
def test_what_is_none_is_refused_in_a_sentence(text: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=f"^{sentence}"):
        read(text, TRAIN)


def test_an_address_holds_so_many_images_and_no_more() -> None:
    many = images([0, 1] * 300, [0, 1] * 300)
    assert checked(Request(tuple(range(MOST_IMAGES)), "image"), many)
    with pytest.raises(ValueError, match=f"^images: at most {MOST_IMAGES} expected, got {MOST_IMAGES + 1}"):
        checked(Request(tuple(range(MOST_IMAGES + 1)), "image"), many)


def test_the_core_takes_as_many_images_as_one_likes() -> None:
    assert forget_images(range(500), 600).chosen == tuple(range(500)) and forget_classes([2, 0, 2], 3).chosen == (0, 2)


def test_a_group_that_nobody_was_trained_on_cannot_be_forgotten() -> None:
    with pytest.raises(ValueError, match=r"^person groups: some but not all training images expected, got 0"):
        checked(Request((3,), "person"), images([0, 1], [0, 1], ("Ana", "Bo", "Cy", "Di")))


def test_the_only_group_can_be_forgotten_if_some_images_are_of_none() -> None:
    some = replace(TRAIN, groups={"person": Groups(("Ana",), (TRAIN.groups["person"].numbers == 0).long() - 1)})
    assert checked(Request((0,), "person"), some) == Request((0,), "person")
    every = replace(TRAIN, groups={"person": Groups(("Ana",), torch.zeros(len(TRAIN), dtype=torch.long))})
    with pytest.raises(ValueError, match=r"^person groups: some but not all training images expected, got 8"):
        checked(Request((0,), "person"), every)


def test_groups_follow_their_images() -> None:
    some = TRAIN.subset(torch.tensor([6, 0]))
    assert some.groups["person"].numbers.tolist() == [2, 0]
    assert joined(some, TEST).groups["person"].numbers.tolist() == [2, 0, 1, 0, 2, -1]
    other = images([0, 1, 2], [0, 1, 2], ("Cy", "Zoe", "Ana")).in_terms_of(TRAIN)
    assert other.groups["person"].names == ("Ana", "Bo", "Cy") and other.groups["person"].numbers.tolist() == [2, -1, 0]
    with pytest.raises(ValueError, match=r"^groups: a person for each of the 3 images expected, got 2"):
        images([0, 1, 2], [0, 1])
    with pytest.raises(ValueError, match=r"^groups: numbers in -1\.\.2 expected"):
        images([0], [3])


def test_the_images_that_a_request_adds_are_those_that_were_not_on_show() -> None:
    shown = evaluation_set(TRAIN, TEST, 1)  # the first of each class: 0, 2, 4 of one part and 0, 1, 2 of the other
    assert shown.row.tolist() == [0, 2, 4, 0, 1, 2] and shown.pictures.tolist() == [0, 4, 8, 1, 3, 5]
    assert missing_rows(Request((0,)), TRAIN, TEST, shown) == []
    [(part, rows)] = missing_rows(Request((0,), "person"), TRAIN, TEST, shown)
    assert (part, rows.tolist()) == ("train", [7])
    [(part, rows)] = missing_rows(Request((3, 4, 5), "image"), TRAIN, TEST, shown)
    assert (part, rows.tolist()) == ("train", [3, 5])
    seen = with_rows(shown, TRAIN, TEST, [(part, rows)])
    assert seen.row.tolist() == [0, 2, 4, 0, 1, 2, 3, 5]
    assert seen.member.tolist() == [True] * 3 + [False] * 3 + [True] * 2
    assert (seen.images.images[:, 0, 0, 0].tolist(), seen.labels.tolist()) == (
        [0, 2, 4, 0, 1, 2, 3, 5], [0, 1, 2, 0, 1, 2, 1, 2])
    assert seen.forgotten(Request((3, 4, 5), "image")).tolist() == [False] * 2 + [True] + [False] * 3 + [True] * 2
    rest = list(other_images(TRAIN, TEST, seen, Request((3, 4, 5), "image").mask(TRAIN).numpy()))
    assert [(part, rows.tolist()) for part, rows in rest] == [("test", [3])]


def test_what_stays_is_every_class_and_group_but_without_what_goes() -> None:
    shown = evaluation_set(TRAIN, TEST, 1)
    rest: list[tuple[str, np.ndarray]] = [("test", np.array([3]))]
    kept = kept_groups(Request((0,), "person"), shown, rest, TRAIN, TEST)  # type: ignore[arg-type]
    assert {name: np.flatnonzero(mask).tolist() for name, mask in kept.items()} == {
        "calm": [3, 6], "happy": [], "sad": [5], "person Bo": [3], "person Cy": [5]}
    assert list(kept_groups(Request((1,)), shown, [], TRAIN, TEST)) == [
        "calm", "sad", "person Ana", "person Bo", "person Cy"]
