"""Shadow models: their halves, what they say of each other, and what becomes of them when they forget."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from unlearn_core.audit.lira import Shadows
from unlearn_core.audit.membership import statistics
from unlearn_core.audit.report import calibrate
from unlearn_core.audit.risk import retained_risk
from unlearn_core.measure.task import Task
from unlearn_core.methods import METHODS
from unlearn_core.methods.base import Cost, NotApplicable, Outcome, Settings
from unlearn_core.nets.evaluate import evaluation_set, outputs
from unlearn_core.nets.request import IMAGE, Request
from unlearn_core.progress import Cancelled, Progress, silent
from unlearn_core.serving.shadows import (
    NETWORKS,
    audited_rows,
    expected_seconds,
    forget_in_shadows,
    request_within,
    shadow_half,
    shadow_pool,
)
from unlearn_core.subjects.fashion import fashion_mnist
from unlearn_core.subjects.subject import subject

LABELS = np.tile(np.repeat(np.arange(4), 100), 2)
MEMBER = np.repeat([True, False], 400)


def gaussian(k: int, gap: float, seed: int) -> tuple[Shadows, np.ndarray]:
    """Shadow models to which a seen image's margin is higher by the gap, and the images' centres."""
    draws = np.random.default_rng(seed)
    inside = draws.random((k, 800)) < 0.5
    centre = draws.normal(0, 3, 800)
    return Shadows(centre + gap * inside + draws.normal(0, 1, (k, 800)), inside), centre


def with_margin(margin: np.ndarray) -> np.ndarray:
    """(N, 4) logits that give the true classes these margins."""
    logits = np.zeros((len(margin), 4), np.float32)
    logits[np.arange(len(margin)), LABELS] = margin + np.log(3)
    return logits


def test_every_model_as_the_target_of_the_others_shows_the_attacks_power() -> None:
    """With centres known, AUC = Phi(gap / sqrt 2): 0.5 for 0, 0.856 for 1.5."""
    for gap, expected in ((0.0, 0.5), (1.5, 0.856)):
        models, _ = gaussian(40, gap, 1)
        found = calibrate(models)
        assert found.auc.shape == (40,) and found.auc.mean() == pytest.approx(expected, abs=0.02)
    one = models.leave_one_out()[7]
    keep = np.arange(40) != 7
    assert np.array_equal(one, Shadows(models.margins[keep], models.inside[keep]).score(models.margins[7]))
    assert models.of(LABELS == 2).margins.shape == (40, 200)


def test_a_margin_far_below_what_shadow_models_know_is_no_sign_of_membership() -> None:
    """A variance per image, or per side, would let the wider Gaussian win in the tail."""
    models, centre = gaussian(80, 1.0, 2)
    wide = np.where(models.inside, models.margins, centre + 1.3 * (models.margins - centre))
    for shadows in (models, Shadows(wide, models.inside)):
        low, high = shadows.score(centre - 30), shadows.score(centre + 30)
        assert (low < 0).mean() > 0.99 and (high > 0).mean() > 0.99


def test_risk_that_rose_is_found_and_chance_is_not() -> None:
    models, centre = gaussian(64, 1.5, 3)
    draws = np.random.default_rng(4)

    def network() -> np.ndarray:
        """(800,) margins of a network that saw the members."""
        return centre + 0.75 * MEMBER + draws.normal(0, 1, 800)

    before, retrained = with_margin(network()), np.stack([with_margin(network()) for _ in range(5)])
    calm = retained_risk(with_margin(network()), before, retrained, LABELS, MEMBER, LABELS == 0, models)
    assert len(calm.number) == 300 and set(LABELS[calm.number]) == {1, 2, 3} and MEMBER[calm.number].all()
    assert calm.null_risen is not None and calm.null_risen.max() < 30
    assert calm.risen.sum() <= 2 * calm.null_risen.max() + 3
    exposed = network()
    exposed[110:130] += 12
    loud = retained_risk(with_margin(exposed), before, retrained, LABELS, MEMBER, LABELS == 0, models)
    rows = np.flatnonzero(loud.risen)
    assert np.isin(np.arange(110, 130), loud.number[rows]).mean() >= 0.75
    assert loud.found_after[0] > loud.found_before[0] and "more than by chance" in loud.finding
    always = retained_risk(with_margin(exposed), with_margin(exposed), retrained, LABELS, MEMBER, LABELS == 0, models)
    assert not always.risen.any(), "who was at risk before is no riskier now"
    alone = retained_risk(with_margin(exposed), before, None, LABELS, MEMBER, LABELS == 0, models)
    assert alone.null_risen is None and alone.found_retrained is None and "retrained" not in alone.finding
    assert np.array_equal(alone.risen, alone.after > alone.before)


@pytest.mark.parametrize(("network", "images"), [("small-resnet", 21_000), ("people-resnet", 2_328)])
def test_halves_are_fixed_by_their_number_and_are_those_of_the_bundled_models(network: str, images: int) -> None:
    train, audited = subject(network).images.train, subject(network).evaluation
    pool, rows = shadow_pool(train, audited), audited_rows(len(train), audited)
    assert len(pool) == images and torch.equal(pool.images[rows], audited.images.images)
    assert all(torch.equal(group.numbers[rows], audited.images.groups[kind].numbers)
               for kind, group in pool.groups.items())
    shipped, networks = subject(network).shadows(), subject(network).shadow_networks()
    assert shipped is not None
    assert subject("small-vit").shadows() is None and subject("small-vit").shadow_networks() == []
    assert len(networks) == NETWORKS and len(shipped.margins) == 64
    for number in (0, 13, NETWORKS - 1):
        half = shadow_half(number, len(pool))
        assert np.array_equal(half.numpy()[rows], shipped.inside[number]) and 0.48 < half.float().mean() < 0.52
    logits = outputs(networks[13], audited.images.pixels()).logits
    assert statistics(logits, audited.labels)["margin"] == pytest.approx(shipped.margins[13], abs=0.05)


def test_single_images_are_asked_of_a_model_by_where_they_stand_in_its_half() -> None:
    inside = torch.tensor([True, False, True, False, True, True])
    assert request_within(Request((0, 1, 4), IMAGE), inside) == Request((0, 2), IMAGE)
    assert request_within(Request((1, 3), IMAGE), inside) is None, "it saw none of them"
    assert request_within(Request((1, 3)), inside) == Request((1, 3)), "a class is called the same everywhere"


def test_a_model_that_saw_none_of_the_images_is_left_as_it_is() -> None:
    train, test = fashion_mnist("train"), fashion_mnist("test")
    audited = evaluation_set(train, test, 10)
    pool, models = shadow_pool(train, audited), subject("small-resnet").shadow_networks()[:3]
    chosen = Request((int(audited.row[0]),), IMAGE)
    served: list[torch.Tensor] = []

    def work(own: Task, settings: Settings, progress: Progress) -> Outcome:
        served.append(own.train.images[own.request.split(own.train)[0]])
        return Outcome(dict(own.model.named_parameters()), {}, (), Cost(0.0, 0))

    spying = replace(METHODS["head_zeroing"], work=work, obstacle=lambda task, settings: "")
    found = forget_in_shadows(models, pool, audited, Task(subject("small-resnet").original(), train, chosen), spying,
                              spying.settings(), silent)
    saw = [bool(shadow_half(number, len(pool))[chosen.chosen[0]]) for number in range(3)]
    assert 0 < len(served) == sum(saw) < 3 and found.shape == (3, 200)
    assert all(torch.equal(images, train.images[list(chosen.chosen)]) for images in served)


def test_shadow_models_forget_on_their_own_halves() -> None:
    train, test = fashion_mnist("train"), fashion_mnist("test")
    audited = evaluation_set(train, test, 10)
    pool, models = shadow_pool(train, audited), subject("small-resnet").shadow_networks()[:4]
    task = Task(subject("small-resnet").original(), train, Request((3,)))
    notes: list[str] = []
    served: list[Task] = []

    def work(own: Task, settings: Settings, progress: Progress) -> Outcome:
        served.append(own)
        return METHODS["head_zeroing"].work(own, settings, progress)

    zeroing = replace(METHODS["head_zeroing"], work=work)
    found = forget_in_shadows(models, pool, audited, task, zeroing, zeroing.settings(),
                              lambda share, note: notes.append(note))
    forgotten = audited.labels == 3
    assert found.shape == (4, 200) and (found[:, forgotten] < -9000).all() and (found[:, ~forgotten] > -100).all()
    for number, own in enumerate(served):
        assert own.model is models[number]
        assert torch.equal(own.train.images, pool.images[shadow_half(number, len(pool))])
    assert len({own.seed for own in served}) == len(served) == 4 and served[0].history is None
    assert any(note.startswith("shadow model 3 of 4, about ") for note in notes)

    def impatient(share: float, note: str) -> None:
        if share > 0.5:
            raise Cancelled

    with pytest.raises(Cancelled):
        forget_in_shadows(models, pool, audited, task, zeroing, zeroing.settings(), impatient)
    with pytest.raises(NotApplicable):
        amnesiac = METHODS["amnesiac"]
        forget_in_shadows(models, pool, audited, task, amnesiac, amnesiac.settings(), silent)
    assert expected_seconds(2.0, METHODS["ssd"]) > expected_seconds(2.0, METHODS["neggrad"]) > 64
