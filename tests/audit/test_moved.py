"""How far images moved: by hand, and on outcomes of which it is known what they moved."""

from __future__ import annotations

import numpy as np
import pytest

from ui.panels.moved import MOST, captions, moved_finding
from unlearn_core.audit.moved import Moved, moved
from unlearn_core.nets.evaluate import Outputs
from unlearn_core.nets.request import Request
from unlearn_core.progress import silent
from unlearn_core.serving.choice import choice
from unlearn_core.serving.engine import Engine
from unlearn_core.serving.moved import submit
from unlearn_core.subjects.subject import subject


def outputs(features: list[list[float]], logits: list[list[float]]) -> Outputs:
    return Outputs(np.array(logits, np.float32), np.array(features, np.float32))


def test_distances_by_hand() -> None:
    before = outputs([[0, 0], [3, 4], [0, 0]], [[9, -9], [9, -9], [0, 0]])
    after = outputs([[0, 0], [3, 14], [3, 4]], [[9, -9], [-9, 9], [0, 0]])
    found = moved(before, after)
    usual = ((25 + 0 + 25) / 3) ** 0.5  # of the three pairs
    assert found.embedding == pytest.approx([0, 10 / usual, 5 / usual])
    assert found.answer == pytest.approx([0, 2**0.5, 0], abs=1e-6)
    assert found.before.tolist() == [0, 0, 0] and found.after.tolist() == [0, 1, 0]
    assert found.most(np.array([True, True, True]), 2) == [1, 2]
    assert found.most(np.array([True, False, True]), 5) == [2, 0]


def test_images_that_did_not_move_stand_by_their_answers() -> None:
    before = outputs([[0], [1], [2]], [[0, 0], [0, 0], [0, 0]])
    found = moved(before, outputs([[0], [1], [2]], [[0, 0], [5, 0], [1, 0]]))
    assert found.most(np.ones(3, bool), 3) == [1, 2, 0]
    assert moved_finding(found, np.array([True, True, False])).startswith("No image moved in the embedding")
    assert moved_finding(moved(before, before), np.array([True, True, False])) == "No image moved at all."
    flat = outputs([[1], [1]], [[0, 0], [0, 0]])  # every image has the same features: nothing to measure by
    assert moved(flat, flat).embedding.tolist() == [0, 0]


def test_of_a_network_made_afresh_only_answers_are_compared() -> None:
    before = outputs([[0], [1], [2]], [[9, 0], [9, 0], [9, 0]])
    found = moved(before, outputs([[5], [1], [2]], [[9, 0], [9, 0], [0, 9]]))
    assert found.most(np.ones(3, bool), 3)[0] == 0 and found.most(np.ones(3, bool), 3, afresh=True)[0] == 2
    said = moved_finding(found, np.array([False, False, True]), afresh=True)
    assert "embedding of its own" in said and "moved by **1.41**, those on others by **0.00**" in said


def test_outputs_of_other_images_are_refused() -> None:
    with pytest.raises(ValueError, match="outputs of the same images expected"):
        moved(outputs([[0]], [[0, 0]]), outputs([[0], [1]], [[0, 0], [0, 0]]))


@pytest.mark.parametrize("network, forget", [
    ("small-resnet", Request((0,))), ("people-resnet", Request((2,), "person")),
    ("people-resnet", Request((5, 9, 30), "image")), ("people-poisoned", Request((0,), "poisoned"))])
def test_every_kind_of_request_is_shown_as_pictures(engine: Engine, network: str, forget: Request) -> None:
    chosen = choice(network, forget, "neggrad", {})
    scene = engine.prepare(chosen, silent)
    settled = engine.compute(scene, chosen, silent)
    found: Moved = submit(engine, scene, settled).result()
    own, forgotten = subject(network), scene.seen.forgotten
    assert len(found.embedding) == len(scene.seen.evaluation.labels) and (found.embedding > 0).any()
    made = captions(found, own, scene.seen.evaluation.pictures, forgotten)
    assert len(made) == min(MOST, int(forgotten.sum()))
    assert set(made) <= set(scene.seen.evaluation.pictures[forgotten].tolist())
    assert "to be forgotten moved by" in moved_finding(found, forgotten)


def test_zeroing_the_head_moves_answers_and_no_image(engine: Engine) -> None:
    chosen = choice("small-resnet", (0,), "head_zeroing", {})
    scene = engine.prepare(chosen, silent)
    found = submit(engine, scene, engine.compute(scene, chosen, silent)).result()
    assert not found.embedding.any() and found.answer[scene.seen.forgotten].mean() > 0.5
