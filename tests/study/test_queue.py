"""Requests one after another: which images are read and retained, erosion and reversal by hand, and what is bundled."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from tests.toys import assert_same, fingerprint, learnt
from unlearn_core.audit.accuracy import Change, Count, difference
from unlearn_core.measure.task import Task
from unlearn_core.methods import METHODS
from unlearn_core.methods.base import Diverged, Outcome, Settings
from unlearn_core.methods.training import trainable_copy, trained
from unlearn_core.nets.images import Groups, ImageSet
from unlearn_core.nets.request import IMAGE, POISONED, Request
from unlearn_core.progress import Cancelled, Progress, silent
from unlearn_core.study.queue import MOST, Step, Trail, audited, checked_queue, left, run_queue
from unlearn_core.study.queued import Shipped, load, read, rows, written
from unlearn_core.subjects.subject import bundled, subject


def written_out(rows: list[tuple[int, list[int]]], people: list[int]) -> ImageSet:
    """Images of one row of four pixels: a label and the pixels each, and a person or -1."""
    pixels = torch.tensor([pixels for _, pixels in rows], dtype=torch.uint8).view(-1, 1, 1, 4)
    return ImageSet("rows", pixels, torch.tensor([label for label, _ in rows]), tuple("abcd"), (0.0,), (1.0,),
                    {"person": Groups(("Ann", "Bob", "Cid"), torch.tensor(people))})


TRAIN = written_out([(0, [255, 0, 0, 0]), (0, [255, 0, 0, 0]), (1, [0, 255, 0, 0]), (1, [0, 255, 0, 0]),
                     (2, [0, 0, 255, 0]), (2, [0, 0, 255, 0]), (3, [0, 0, 0, 255]), (3, [0, 0, 0, 255])],
                    [0, 1, 0, 1, 0, 1, 2, -1])
TEST = written_out([(0, [255, 0, 0, 0]), (0, [255, 0, 0, 0]), (0, [255, 0, 0, 0]), (0, [0, 51, 255, 0]),
                    (1, [0, 255, 0, 0]), (1, [0, 255, 0, 0]), (2, [0, 0, 255, 0]), (2, [0, 0, 255, 0]),
                    (3, [0, 0, 51, 255]), (3, [0, 0, 51, 153]), (3, [0, 0, 51, 102])],
                   [0, 1, -1, 1, 0, 1, 0, 1, -1, -1, -1])


def brightest() -> nn.Module:
    """Names the brightest pixel."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 4))
    model.load_state_dict({"1.weight": torch.eye(4), "1.bias": torch.zeros(4)})
    return model.eval()


def bits(mask: torch.Tensor) -> str:
    return "".join("1" if bit else "." for bit in mask.tolist())


def test_which_images_are_read_and_which_are_still_there() -> None:
    requests = (Request((1,)), Request((0,), "person"), Request((0, 5), IMAGE), Request((2,), "person"))
    found = audited(requests, TRAIN, TEST)
    assert [bits(mask) for mask in found.test] == ["....11.....", "1...1.1....", "...........", "..........."]
    assert bits(found.kept) == ".111...1111"
    assert bits(found.remaining(-1)) == "11111111111" and bits(found.remaining(0)) == "1111..11111"
    assert bits(found.remaining(1)) == bits(found.kept) == bits(found.remaining(3))
    assert {place: rows.tolist() for place, rows in found.train.items()} == {2: [0, 5], 3: [6]}
    there = [(rows.tolist(), request.chosen) for rows, request in left(requests, TRAIN)]
    assert there == [([0, 1, 2, 3, 4, 5, 6, 7], (1,)), ([0, 1, 4, 5, 6, 7], (0,)), ([1, 5, 6, 7], (1,)),
                     ([1, 6, 7], (2,))], "image 0 was of a person asked for before; image 5 is now the second"


@pytest.mark.parametrize(("requests", "said"), [
    ([], "1 to 6 requests"), ([Request((0,))] * (MOST + 1), "1 to 6 requests"),
    ([Request((0,)), Request((0, 1), IMAGE)], "request 2 asks only for images that were asked for before"),
    ([Request((0, 1)), Request((2, 3))], "some images that are never asked for"),
    ([Request((9,))], "numbers in 0..3"), ([Request((0,), "animal")], "one of class, person, image")])
def test_a_queue_that_cannot_be_is_refused_in_a_sentence(requests: list[Request], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        checked_queue(requests, TRAIN, TEST)


asked = st.lists(st.one_of(
    st.builds(lambda c: Request((c,)), st.integers(0, 3)),
    st.builds(lambda p: Request((p,), "person"), st.integers(0, 2)),
    st.builds(lambda i: Request(tuple(sorted(i)), IMAGE), st.sets(st.integers(0, 7), min_size=1, max_size=3))),
    min_size=1, max_size=MOST)


@settings(deadline=None)  # on a busy machine
@given(asked, st.randoms(use_true_random=False))
def test_what_was_asked_for_is_never_retained_and_the_order_changes_no_mask(requests: list[Request],
                                                                         chance: object) -> None:
    before = torch.zeros(len(TRAIN), dtype=torch.bool)
    for request, (there, renamed) in zip(requests, left(requests, TRAIN), strict=True):
        forget, retain = renamed.split(TRAIN.subset(there))
        wanted = request.mask(TRAIN)
        assert set(there[forget].tolist()) == set(torch.nonzero(wanted & ~before).flatten().tolist())
        before |= wanted
        assert set(there[retain].tolist()) == set(torch.nonzero(~before).flatten().tolist())
    order = list(range(len(requests)))
    chance.shuffle(order)  # type: ignore[attr-defined]
    one, other = audited(requests, TRAIN, TEST), audited([requests[i] for i in order], TRAIN, TEST)
    assert torch.equal(one.kept, other.kept) and torch.equal(one.test[order], other.test)
    assert not (one.test & one.kept).any() and torch.equal(one.remaining(len(requests) - 1), one.kept)


def test_images_with_a_mark_are_read_for_nothing_else() -> None:
    images = subject("people-poisoned").images
    marked = images.test.groups[POISONED].numbers >= 0
    target = Request((int(images.test.labels[marked][0]),))  # the class that all of them are given
    one, both = (audited(requests, images.train, images.test)
                 for requests in ([target], [target, Request((0,), POISONED)]))
    assert not (one.test | one.kept)[:, marked].any() and not one.train
    assert torch.equal(both.test[1], marked) and not (both.test[0] | both.kept)[marked].any()


def shifting(task: Task, settings: Settings, progress: Progress) -> Outcome:
    """Shuts off the classes asked for now, lets all others be named again, and makes the last one a bit less likely."""
    model = trainable_copy(task.model)
    with torch.no_grad():
        bias = model.get_parameter("1.bias")
        last = float(bias[3]) - 0.3
        bias.zero_()
        bias[list(task.request.classes)], bias[3] = -1e4, last
    progress(1.0, "done")
    return trained(task, model, {})


@pytest.fixture
def shifts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(METHODS, "shifting", replace(METHODS["head_zeroing"], name="shifting", title="Shifting",
                                                     work=shifting))


def test_erosion_and_reversal_by_hand(shifts: None) -> None:
    model = brightest()
    before, shares = fingerprint(model), list[float]()
    trail = run_queue(model, TRAIN, TEST, (Request((0,)), Request((1,)), Request((2,))), "shifting", {}, 0,
                      lambda share, note: shares.append(share))
    assert_same(fingerprint(model), before)
    assert shares == sorted(shares) and shares[-1] == 1.0 and not trail.ended
    # The fourth test image of class 0 looks like classes 2 and 1. Those of class 3 have pixels of 1, 0.6 and 0.4 beside
    # one of 0.2, and lose 0.3 a step.
    assert trail.original.asked == ((3, 4), (2, 2), (2, 2)) and trail.original.remaining == (10, 11)
    assert [step.asked for step in trail.steps] == [((0, 4),), ((3, 4), (0, 2)), ((3, 4), (2, 2), (0, 2))]
    assert [trail.original.kept, *(step.kept for step in trail.steps)] == [(3, 3), (2, 3), (1, 3), (1, 3)]
    assert [step.remaining for step in trail.steps] == [(6, 7), (3, 5), (1, 3)]
    assert [trail.erosion(step).value for step in range(3)] == pytest.approx([1 / 3, 2 / 3, 2 / 3])
    assert trail.rise(0, 1).value == pytest.approx(0.75) and trail.rise(1, 2).value == 1.0
    back = [trail.reversal(step) for step in range(3)]
    assert back[0] is None and back[1][1] == 0 and back[2][1] == 1  # type: ignore[index]
    assert [found[0].value for found in back[1:]] == pytest.approx([0.75, 1.0])  # type: ignore[index]


def test_the_interval_of_a_difference_is_newcombes() -> None:
    assert difference(Count(56, 70), Count(48, 80)) == pytest.approx((0.2, 0.0524, 0.3339), abs=5e-5)


def test_what_only_falls_has_not_come_back() -> None:
    first, second = (Step((Count(hits, 100), Count(0, 100))[:n], Count(90, 100), Count(90, 100))
                     for hits, n in ((40, 1), (10, 2)))
    trail = Trail((Request((0,)), Request((1,))), "ssd", {}, 0, first, (first, second))
    assert trail.rise(0, 1).value == pytest.approx(-0.3)
    assert trail.reversal(1) == (Change(0.0, 0.0, 0.0), 0)


def test_the_first_step_is_an_ordinary_run_and_a_seed_decides_everything() -> None:
    task = learnt()
    def run(seed: int) -> Trail:
        return run_queue(task.model, task.train, task.train, (Request((1,)), Request((0, 2, 5), IMAGE)),
                         "random_labels", {"batch_size": 32}, seed, silent)

    one = run(3)
    assert [replace(step, seconds=0.0) for step in one.steps] == [replace(step, seconds=0.0) for step in run(3).steps]
    outcome = METHODS["random_labels"].run(replace(task, seed=3, history=None, recipe=None), {"batch_size": 32}, silent)
    model = trainable_copy(task.model)
    model.load_state_dict(outcome.weights, strict=False)
    with torch.no_grad():
        right = model(task.train.pixels()).argmax(1) == task.train.labels
    assert one.steps[0].asked[0] == (int(right[task.train.labels == 1].sum()), 50)


def test_importances_are_of_the_network_and_the_images_that_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Task] = []

    def watching(task: Task, settings: Settings, progress: Progress) -> Outcome:
        seen.append(task)
        return METHODS["head_zeroing"].work(task, METHODS["head_zeroing"].settings(), progress)

    monkeypatch.setitem(METHODS, "watching", replace(METHODS["head_zeroing"], name="watching", work=watching))
    run_queue(brightest(), TRAIN, TEST, (Request((0,)), Request((3,))), "watching", {}, 0, silent)
    assert [len(task.train) for task in seen] == [8, 6] and not (seen[1].train.labels == 0).any()
    assert float(seen[0].model.get_parameter("1.bias")[0].detach()) == 0.0
    assert float(seen[1].model.get_parameter("1.bias")[0].detach()) == -1e4, "it starts from what the first step left"
    assert all(task.importances is Task.importances for task in seen), "they are measured, none is at hand"


def test_a_method_that_cannot_go_on_says_why_and_keeps_what_it_did(monkeypatch: pytest.MonkeyPatch) -> None:
    trail = run_queue(brightest(), TRAIN, TEST, (Request((0,)), Request((1,), "person")), "head_zeroing", {}, 0, silent)
    assert len(trail.steps) == 1 and "whole classes" in trail.ended

    def diverging(task: Task, settings: Settings, progress: Progress) -> Outcome:
        raise Diverged("The run diverged.")

    monkeypatch.setitem(METHODS, "diverging", replace(METHODS["head_zeroing"], name="diverging", work=diverging))
    trail = run_queue(brightest(), TRAIN, TEST, (Request((0,)),), "diverging", {}, 0, silent)
    assert trail.ended == "The run diverged." and not trail.steps


def test_a_queue_can_be_cancelled() -> None:
    def cancel(share: float, note: str) -> None:
        if share > 0.5:
            raise Cancelled

    with pytest.raises(Cancelled):
        run_queue(brightest(), TRAIN, TEST, (Request((0,)), Request((1,))), "head_zeroing", {}, 0, cancel)


# -- what is bundled, and the table ----------------------------------------------------------------------------------


def test_retrained_networks_are_read_on_what_no_request_names(shifts: None) -> None:
    requests = (Request((0,)), Request((1,)))
    trail = run_queue(brightest(), TRAIN, TEST, requests, "shifting", {}, 0, silent)
    shipped = Shipped({"hand": requests}, (trail,), (4, 2, 2, 3),
                      {frozenset((0,)): [[0, 2, 2, 3], [0, 2, 1, 3]], frozenset((0, 1)): [[0, 0, 2, 3]]})
    assert shipped.kept(requests, 0) == (9, 10) and shipped.kept(requests, 1) == (5, 5)
    assert shipped.against(trail, 1).value == pytest.approx(1 - 3 / 5)  # type: ignore[union-attr]
    assert shipped.kept((Request((0,)), Request((0,), "person")), 0) is None and shipped.networks(requests) == 1
    again = read(written(shipped))
    assert again == shipped and again.trail(requests, "shifting") == trail and again.trail(requests[:1], "ssd") is None
    table = rows(trail, "toy", shipped)
    assert [(row["step"], row["request"]) for row in table] == [(1, "0"), (2, "0"), (2, "1")]
    assert (table[1]["rise"], table[1]["reversal"], table[1]["reversal_of"]) == (0.75, 0.75, "0")
    assert math.isnan(table[0]["reversal"]) and table[1]["accuracy_images"] == 4  # type: ignore[arg-type]


def test_the_bundled_queues_are_of_the_present_methods_and_each_network_of_a_first_part() -> None:
    found = [(network, shipped) for network in bundled() if (shipped := load(network)).orders]
    assert [network for network, _ in found] == ["small-resnet"]
    for network, shipped in found:
        images = subject(network).images
        assert len(shipped.orders) == 3 and shipped.images == tuple(torch.bincount(images.test.labels).tolist())
        for order in shipped.orders.values():
            assert len(checked_queue(order, images.train, images.test)) == MOST
            ran = [name for name in METHODS if shipped.trail(order, name)]
            assert len(ran) >= 3, "remake them (unlearn_core.bundle.queues)"
        assert shipped.retrained.keys() <= {frozenset(label for request in order[:step] for label in request.classes)
                                            for order in shipped.orders.values() for step in range(1, MOST + 1)}
        for trail in shipped.trails:
            assert trail.settings == METHODS[trail.method].settings() and (trail.ended or len(trail.steps) == MOST)

