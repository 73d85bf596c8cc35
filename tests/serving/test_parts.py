"""Evaluation some images at a time: the same numbers in the end, fair ones early, and nothing once nobody looks."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from tests.conftest import opened_app
from ui.server import runtime
from unlearn_core.audit.gauges import KINDS
from unlearn_core.nets.evaluate import EvaluationSet, Outputs, Rows
from unlearn_core.nets.images import ImageSet
from unlearn_core.nets.request import Request
from unlearn_core.progress import Cancelled, silent
from unlearn_core.serving import parts, scenes
from unlearn_core.serving.choice import choice
from unlearn_core.serving.engine import Engine
from unlearn_core.serving.parts import in_parts, in_turn

SSD = choice("small-resnet", (3,), "ssd", {})
kinds = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=80).map(np.array)


@given(kinds)
def test_any_beginning_holds_as_many_images_of_each_kind_as_there_are(both: npt.NDArray[np.bool_]) -> None:
    member, forgotten = both.T
    order = in_turn(member, forgotten)
    assert sorted(order) == list(range(len(both)))
    kind = 2 * member + forgotten
    assert (kind[order[(kind != parts.UNREAD).sum():]] == parts.UNREAD).all()
    for size in range(len(order)):
        for one in set(kind) - {parts.UNREAD}:
            for other in set(kind) - {parts.UNREAD}:
                have, all_of_it = (kind[order[:size]] == one).sum(), (kind == one).sum()
                assert have >= (kind[order[:size]] == other).sum() - 1 or have == all_of_it


@given(kinds, st.floats(1e-4, 1))
def test_all_images_are_evaluated_once_in_growing_parts(both: npt.NDArray[np.bool_], seconds: float) -> None:
    member, forgotten = both.T
    row = np.arange(len(member))
    images = ImageSet("toy", torch.zeros(len(member), 1, 2, 2, dtype=torch.uint8), torch.zeros(len(member),
                      dtype=torch.int64), ("a", "b"), (0.0,), (1.0,))
    asked: list[int] = []

    def evaluate(rows: Rows) -> Outputs:
        part, positions = rows
        assert (member[positions] == (part == "train")).all()
        asked.extend(positions)
        return Outputs(np.stack([positions, -positions], 1).astype(np.float32), np.ones((len(positions), 3)))

    seen = [len(positions) for positions, found in in_parts(EvaluationSet(images, member, row), forgotten, evaluate,
                                                            seconds)]
    sizes = np.diff([0, *seen])
    assert sorted(asked) == list(row) and seen[-1] == len(row)
    assert (sizes[1:-1] >= sizes[:-2]).all() and (len(seen) == 1 or sizes[0] >= parts.FEWEST)
    *_, (_, found) = in_parts(EvaluationSet(images, member, row), forgotten, evaluate, seconds)
    assert (found.logits[:, 0] == row).all() and (found.features == 1).all()


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """An engine to which every network is a slow one."""
    monkeypatch.setattr(scenes, "QUICK", 0.0)
    monkeypatch.setattr(parts, "FIRST", 0.0)
    made = Engine()
    yield made
    made.pool.close()


def test_the_outcome_is_the_same_and_its_gauges_narrow(slow: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = slow.prepare(SSD, silent)
    widths: list[tuple[int, float]] = []

    def progress(share: float, note: str = "") -> None:
        if (found := slow.glimpse(SSD)) is not None:
            low, high = found["retain"].interval
            widths.append((found["retain"].images, high - low))
            assert found.keys() == KINDS.keys()

    found = slow.compute(scene, SSD, progress)
    images = [n for n, _ in widths]
    assert images[0] == 4 and images == sorted(images) and images[-1] == found.gauges["retain"].images == 900
    assert widths[-1][1] < widths[0][1] / 4
    monkeypatch.undo()
    whole = Engine().compute(scene, SSD, silent)
    np.testing.assert_allclose(found.logits, whole.logits, atol=1e-4)
    assert (found.predicted == whole.predicted).all() and found.gauges == whole.gauges


def test_it_stops_between_two_parts_and_fills_no_landscape(slow: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = slow.prepare(SSD, silent)
    asked = []
    evaluate = slow.evaluate

    def counted(network: str, weights: Mapping[str, Tensor], rows: Rows | None = None) -> Outputs:
        asked.append(rows)
        return evaluate(network, weights, rows)

    def progress(share: float, note: str = "") -> None:
        if asked:
            raise Cancelled

    monkeypatch.setattr(slow, "evaluate", counted)
    with pytest.raises(Cancelled):
        slow.compute(scene, SSD, progress)
    assert sum(len(rows) for _, rows in filter(None, asked)) == parts.FEWEST
    landscape = slow.landscape(slow.prepare(choice("small-resnet", (3,), "lfssd", {}), silent))
    slow.look(scene, landscape)
    assert not landscape.filling


def test_the_page_shows_a_first_look_while_more_is_evaluated(
        slow: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    held, evaluate = threading.Event(), slow.evaluate

    def waits(network: str, weights: Mapping[str, Tensor], rows: Rows | None = None) -> Outputs:
        if rows is not None and len(rows[1]) > parts.FEWEST:
            held.wait(60)
        return evaluate(network, weights, rows)

    monkeypatch.setattr(slow, "evaluate", waits)
    monkeypatch.setattr(runtime, "engine", lambda: slow)
    for module in ("ui.present", "ui.panels.first_look"):
        monkeypatch.setattr(f"{module}.engine", lambda: slow)
    slow.scene(SSD).result()
    test = opened_app(60)
    test.query_params["forget"] = "3"
    for _ in range(100):
        test.run()
        said = " ".join(str(each.proto.body) for each in test.get("html"))
        if "images so far" in said:
            break
        time.sleep(0.1)
    assert said.count("images so far") == len(KINDS) and not test.exception
    assert any("95 % interval" in caption.value for caption in test.caption)
    held.set()
    slow.settle(slow.scene(SSD).result(), SSD).result()


def test_any_request_can_be_evaluated_so(slow: Engine) -> None:
    request = Request((0,), "person")
    chosen = choice("people-resnet", request, "ssd", {})
    found = slow.compute(slow.prepare(chosen, silent), chosen, silent)
    assert len(found.logits) == len(slow.seen("people-resnet", request).forgotten)
