"""Evaluation in a process of its own: the same numbers, and no harm if the process is killed."""

from __future__ import annotations

from collections.abc import Iterator
from multiprocessing.connection import Connection

import numpy as np
import pytest
import torch

from unlearn_core.serving.engine import Engine
from unlearn_core.serving.evaluator import Evaluator


@pytest.fixture(scope="module")
def evaluator() -> Iterator[Evaluator]:
    """One process for all tests."""
    made = Evaluator()
    yield made
    made.process.kill()
    made.process.wait()


def test_it_says_what_the_engine_says_also_after_it_was_killed(evaluator: Evaluator) -> None:
    engine = Engine()
    weight = engine.base("small-vit").model.get_parameter("head.weight").detach() * 1.5
    here = engine.evaluate("small-vit", {"head.weight": weight})
    for _ in range(2):
        there = evaluator("small-vit", {"head.weight": weight})
        np.testing.assert_allclose(there.logits, here.logits, atol=1e-5)
        np.testing.assert_allclose(there.features, here.features, atol=1e-5)
        evaluator.process.kill()
        evaluator.process.wait()
    original = evaluator("small-vit", {})
    np.testing.assert_allclose(original.logits, engine.base("small-vit").before.logits, atol=1e-5)


def test_damaged_weights_are_told_as_by_the_engine(evaluator: Evaluator) -> None:
    with pytest.raises(ValueError, match=r"^model: finite outputs expected, got NaN or infinity"):
        evaluator("small-resnet", {"head.bias": torch.full((10,), torch.nan)})


def test_it_ends_with_the_process_that_started_it() -> None:
    made = Evaluator()
    process = made.process
    del made  # and with it the last end of the connection on this side
    assert process.wait(120) == 0


def test_the_same_weights_are_sent_once(evaluator: Evaluator, monkeypatch: pytest.MonkeyPatch) -> None:
    sent = []

    class Counted:
        def __init__(self, pipe: Connection) -> None:
            self.recv = pipe.recv
            self._pipe = pipe

        def send(self, asked: tuple[str, object, object]) -> None:
            sent.append(asked[1])
            self._pipe.send(asked)

    monkeypatch.setattr(evaluator, "_pipe", Counted(evaluator._pipe))
    weights = {"head.bias": torch.arange(10.0)}
    whole = evaluator("small-resnet", weights)
    first = evaluator("small-resnet", weights, ("train", Engine().base("small-resnet").subject.evaluation.row[:12]))
    np.testing.assert_allclose(first.logits, whole.logits[:12], atol=1e-5)
    assert [new is None for new in sent] == [False, True]
    evaluator("small-resnet", {})
    assert evaluator("small-resnet", weights).logits == pytest.approx(whole.logits) and sent[3] is not None
