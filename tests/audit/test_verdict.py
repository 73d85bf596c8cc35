"""Tests of the checks and of the one verdict: what each network of which the truth is known reads as."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ui.server.runtime import engine
from unlearn_core.audit.distances import jensen_shannon
from unlearn_core.audit.distinguish import Placement, distinguish, further, pooled
from unlearn_core.audit.evidence import (
    ANSWERS,
    FORGET_ACCURACY,
    HEAD_ZEROING,
    ORIGINAL,
    UNLEARNED,
    Check,
    Model,
    gather,
    joined,
    passes,
)
from unlearn_core.audit.verdict import DAMAGED, Level, Loss, Verdict, judge, losses
from unlearn_core.nets.evaluate import softmax
from unlearn_core.nets.request import Request
from unlearn_core.progress import silent
from unlearn_core.serving import judgement
from unlearn_core.serving.choice import choice
from unlearn_core.serving.engine import Engine
from unlearn_core.serving.scenes import Scene, Settled
from unlearn_core.serving.yardstick import spreads, yardstick
from unlearn_core.subjects.subject import subject

Array = npt.NDArray[Any]
LABELS = np.tile(np.arange(3), 40)
MEMBER = np.arange(120) < 60
GONE = LABELS == 0
SEEN = MEMBER & GONE
NO_WORDS = re.compile(r"complete|erased|proved|proven|\bsafe\b|no measurable cost|100 ?% forgotten", re.IGNORECASE)


def noise(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def answers(seed: int, knows: bool) -> Array:
    """(120, 3) logits of a model that knows classes 1 and 2, and class 0 or not."""
    logits = noise(120, 3, seed=seed)
    logits[np.arange(120), LABELS] += 6.0
    if not knows:
        logits[:, 0] -= 20.0
    return logits


def shut() -> Array:
    """The original's answers without class 0."""
    logits = answers(0, True)
    logits[:, 0] = -1e4
    return logits


SEEDS = [Model(answers(seed, False), auc, alike, steps) for seed, auc, alike, steps in
         ((1, 0.90, 0.40, 60), (2, 0.91, 0.42, 66), (3, 0.92, 0.38, 70), (4, 0.905, 0.41, 63))]
BEFORE = Model(answers(0, True), 0.99, 1.0, 8)
SHUT = Model(shut(), 0.99, 1.0, 8)
LIKE_A_SEED = Model(answers(10, False), 0.908, 0.4)
NO_LOSS = Loss("class 1", 0.004, (-0.01, 0.018), 1000)


def toy(mine: Model | None = None, retrained: Sequence[Model] = SEEDS, before: Model = BEFORE,
        only: Sequence[str] | None = None) -> dict[str, Check]:
    networks = {ORIGINAL: before, HEAD_ZEROING: SHUT} | ({} if mine is None else {UNLEARNED: mine})
    return {check.title: check for check in gather(networks, retrained, LABELS, MEMBER, GONE, only)}


def said(mine: Model, loss: Loss | None = NO_LOSS, **options: Any) -> Verdict:
    recognised = float((mine.logits[SEEN].argmax(1) == 0).mean())
    return judge(list(toy(mine, **options).values()), loss, "class 0", recognised)


def of_poison(mine: Model, loss: Loss | None = NO_LOSS) -> Verdict:
    checks = gather({ORIGINAL: BEFORE, UNLEARNED: mine}, SEEDS, LABELS, MEMBER, GONE, planted=True)
    return judge(checks, loss, "the poison", 0.0)


def test_a_poison_is_not_forgotten_as_long_as_its_mark_works() -> None:
    """Unseen images of class 0 stand for those with a mark, labelled 0."""
    marked = ~MEMBER & GONE
    fine = of_poison(LIKE_A_SEED)
    assert fine.marks[0].title == "Attack success" and fine.marks[0].status == "passes"
    assert fine.level not in (Level.NOT_FORGOTTEN, Level.PARTLY)
    before = of_poison(BEFORE)
    assert before.level is Level.NOT_FORGOTTEN and before.sentence.startswith(
        "Not forgotten: the mark still works on")
    some = LIKE_A_SEED.logits.copy()
    half = np.flatnonzero(marked)[::2]
    some[half] = BEFORE.logits[half]
    found = of_poison(replace(LIKE_A_SEED, logits=some), Loss("class 1", 0.3, (0.2, 0.4), 1000))
    assert found.level is Level.PARTLY and "in retrained networks on" in found.sentence
    assert found.sentence.endswith("; class 1 lost 30 points.")
    assert all(check.title != "Attack success" for check in toy(BEFORE).values())


# --- the checks, on networks of which the truth is known -------------------------------------------------


def test_retrained_networks_pass_and_the_original_and_head_zeroing_fail() -> None:
    checks = toy()
    for name in ("Forget accuracy", "Distance of outputs", "Jensen–Shannon divergence", "Linear probe", "Relearn time",
                 "Layer similarity (CKA)"):
        assert checks[name].worth == "works" and checks[name].passing >= 3 and len(checks[name].held_out) == 4
        assert checks[name].status(ORIGINAL) == "fails" and checks[name].status() == "not made yet"
        assert all(len(seed.null) == 3 for seed in checks[name].held_out)
    assert checks[FORGET_ACCURACY].status(HEAD_ZEROING) == "passes"
    for name in ("Linear probe", "Relearn time", "Layer similarity (CKA)"):
        assert checks[name].status(HEAD_ZEROING) == "fails" and checks[name].sign(HEAD_ZEROING) == "remembers"


def test_a_check_that_lets_the_original_pass_cannot_tell() -> None:
    checks = toy(LIKE_A_SEED, before=replace(BEFORE, auc=0.91, similarity=0.41))
    for name in ("Linear probe", "Layer similarity (CKA)"):
        assert checks[name].worth == "uninformative" and checks[name].status() == "cannot tell here"
    assert checks["Relearn time"].worth == "works" and checks["Relearn time"].passing == 4
    blind = toy(before=Model(answers(11, False), 0.99, 1.0, 8))
    assert {blind[n].worth for n in ("Forget accuracy", "Distance of outputs", "Jensen–Shannon divergence")} == {
        "uninformative"}


def test_a_check_that_fails_two_held_out_seeds_is_too_strict() -> None:
    def placed(value: float) -> Placement:
        return Placement(value, np.array([0.9, 1.0, 1.1]), (0.5, 1.5))

    check = Check("Linear probe", "", "embeddings", True, "high", (placed(2), placed(3), placed(1), placed(1)),
                  {ORIGINAL: placed(9), UNLEARNED: placed(9)})
    assert check.worth == "strict" and check.passing == 2 and check.status() == "cannot tell here"
    assert replace(check, held_out=check.held_out[1:]).status() == "fails"
    assert replace(check, held_out=()).worth == "works"
    assert replace(check, judged={ORIGINAL: placed(1)}).worth == "uninformative"
    assert replace(check, remembers="low").sign() == "too much" and replace(check, remembers=None).sign() == "other"


def test_checks_that_were_not_made_are_in_the_list() -> None:
    few, all_of_them = toy(LIKE_A_SEED, only=[FORGET_ACCURACY]), toy(LIKE_A_SEED)
    assert list(few) == list(all_of_them)
    assert [title for title, check in few.items() if check.status() != "not made yet"] == [FORGET_ACCURACY]
    assert all_of_them["Relearn time"].status() == "not made yet"


def test_an_outcome_joined_later_is_judged_the_same() -> None:
    quick = joined(list(toy().values()), gather({UNLEARNED: LIKE_A_SEED}, SEEDS, LABELS, MEMBER, GONE, hold_out=False))
    for one, other in zip(quick, toy(LIKE_A_SEED).values(), strict=True):
        assert one.status() == other.status() and one.worth == other.worth
        if UNLEARNED in one.judged:
            assert one.judged[UNLEARNED].value == other.judged[UNLEARNED].value


def test_distances_are_placed_as_on_the_privacy_page() -> None:
    check = toy()["Distance of outputs"]
    told = distinguish(softmax(answers(0, True)[SEEN]), softmax(np.stack([s.logits[SEEN] for s in SEEDS]))).placement
    assert check.judged[ORIGINAL].value == told.value
    assert check.judged[ORIGINAL].expected == pytest.approx(told.expected)


def test_pairs_are_each_seeds_mean_over_the_others() -> None:
    check = toy()["Jensen–Shannon divergence"]
    shares = [softmax(seed.logits[SEEN]) for seed in SEEDS]
    null = [np.mean([jensen_shannon(a, b).mean() for b in shares if b is not a]) for a in shares]
    np.testing.assert_allclose(check.judged[ORIGINAL].null, null)
    assert check.held_out[1].value == pytest.approx(null[1]) and len(check.held_out[1].null) == 3


def test_few_seeds_leave_out_what_compares_pairs() -> None:
    three, two = toy(LIKE_A_SEED, SEEDS[:3]), toy(LIKE_A_SEED, SEEDS[:2])
    assert len(three["Linear probe"].held_out) == 3 and not three["Distance of outputs"].held_out
    assert three["Distance of outputs"].status() == "passes"
    assert two["Distance of outputs"].status() == "not made yet" and not two["Linear probe"].held_out
    alone = toy(LIKE_A_SEED, SEEDS[:1])
    assert list(alone) == list(two) and {check.status() for check in alone.values()} == {"not made yet"}
    assert said(LIKE_A_SEED, retrained=SEEDS[:1]).level is Level.UNKNOWN


def test_one_lucky_image_is_no_remembering_and_seeds_stopped_at_a_limit_have_a_spread() -> None:
    """Where every seed recognises none, or all were stopped, their own spread is 0."""
    def outcome(recognised: int, steps: int) -> Model:
        logits = answers(10, False)
        logits[np.flatnonzero(SEEN)[:recognised], 0] += 40
        return Model(logits, 0.908, 0.4, steps)

    capped = [replace(seed, steps=79) for seed in SEEDS]
    for recognised, steps, gone in ((1, 78, True), (7, 78, False), (1, 20, False)):
        checks = toy(outcome(recognised, steps), capped)
        judged = checks[FORGET_ACCURACY].judged[UNLEARNED], checks["Relearn time"].judged[UNLEARNED]
        assert all(map(passes, judged)) == gone, (recognised, steps)


# --- the verdict -------------------------------------------------------------------------------------------


def test_each_network_reads_as_what_it_is() -> None:
    assert said(BEFORE).level is Level.NOT_FORGOTTEN
    assert said(SHUT).level is Level.HIDDEN
    like = said(LIKE_A_SEED)
    assert like.level is Level.NOT_TOLD
    able = sum(mark.status in ("passes", "fails") for mark in like.marks)
    assert like.sentence == f"Not told from retraining in {able} of {able} tests that can tell."
    assert "Not tried yet: relearn time." in like.detail and "Worst of the rest: class 1 −0.4 points" in like.detail
    half = answers(10, False)
    half[np.flatnonzero(SEEN)[:10], 0] += 40
    partly = said(Model(half, 0.908, 0.4))
    assert partly.level is Level.PARTLY and "50.0% of the time, by retrained networks 0.0% to 0.0%" in partly.sentence
    hidden = said(replace(LIKE_A_SEED, auc=0.99, similarity=0.9, steps=8))
    assert hidden.sentence == ("Hidden: the answers are gone, what is inside is not; linear probe, layer similarity "
                               "(CKA) and relearn time still find class 0.")
    far = answers(10, False)
    far[SEEN, 0] -= 30
    over = said(Model(far, 0.908, 0.4))
    assert over.level is Level.OVER and "sureness of the old answer" in over.sentence
    flat = answers(10, False)
    flat[SEEN, 1] += 6.0  # as unsure of the old class as the seeds, but sure of one other where they are of none
    flat[SEEN, 0] += 5.9
    assert said(Model(flat, 0.908, 0.4)).level in (Level.TOLD, Level.OVER)


def test_before_the_inside_was_looked_at_there_is_no_good_news() -> None:
    for mine in (LIKE_A_SEED, SHUT, Model(answers(10, False))):
        first = said(mine, only=[FORGET_ACCURACY])
        assert first.level is Level.ANSWERS
        assert first.sentence == "The answers are forgotten; what is inside has not been looked at yet."
    blind = said(LIKE_A_SEED, before=replace(BEFORE, auc=0.91, similarity=0.4, steps=62))
    assert blind.level is Level.ANSWERS and "cannot be told" in blind.sentence


def test_damage_is_named_whatever_else_is_wrong() -> None:
    lost = Loss("Boot", 0.95, (0.93, 0.97), 1000)
    for mine, level in ((BEFORE, Level.NOT_FORGOTTEN), (LIKE_A_SEED, Level.DAMAGED), (SHUT, Level.DAMAGED)):
        found = said(mine, lost)
        assert found.level is level and "Boot lost 95 points" in found.sentence
        assert "Boot −95.0 points (95 % interval −97.0 to −93.0, 1,000 images)" in found.detail
    assert said(LIKE_A_SEED, replace(lost, value=0.06, interval=(0.001, 0.12))).level is Level.NOT_TOLD, "a few images"


def test_without_a_reference_nothing_is_claimed() -> None:
    found = judge([], NO_LOSS, "class 0 and class 1", 0.02)
    assert found.level is Level.UNKNOWN
    assert found.sentence == ("Unknown: there is no network retrained without class 0 and class 1 to compare with. 2% "
                              "of the images to be forgotten are still recognised.")
    assert judge([], NO_LOSS, "class 0", 0.02, retrained=1).sentence == (
        "Unknown: there is only 1 network retrained without class 0, and a comparison takes 2. 2% of the images to be "
        "forgotten are still recognised.")
    nothing = [replace(check, judged=dict.fromkeys(check.judged, check.held_out[0]))
               for check in toy(LIKE_A_SEED).values() if check.held_out]
    assert judge(nothing, NO_LOSS, "class 0", 0.0).level is Level.UNKNOWN


def test_there_is_no_level_above_the_last_and_some_words_do_not_exist() -> None:
    assert [str(level) for level in Level][-1] == "Not told from retraining"
    for mine in (BEFORE, SHUT, LIKE_A_SEED):
        found = said(mine)
        assert not NO_WORDS.search(str(found) + " ".join(mark.said for mark in found.marks))


@given(recognised=st.integers(0, 20), auc=st.floats(0.5, 1), alike=st.floats(-0.1, 1),
       steps=st.one_of(st.none(), st.integers(1, 90)), lost=st.floats(-0.2, 1))
@settings(deadline=None)
def test_more_evidence_never_makes_a_verdict_better(recognised: int, auc: float, alike: float, steps: int | None,
                                                    lost: float) -> None:
    """Levels stand in order; a further check can only lower the verdict, except that it ends the waiting."""
    logits = answers(10, False)
    logits[np.flatnonzero(SEEN)[:recognised], 0] += 40
    loss = Loss("class 1", lost, (lost - 0.01, lost + 0.01), 1000)
    order = list(Level)
    without = said(Model(logits, auc, alike), loss)
    with_steps = said(Model(logits, auc, alike, steps), loss)
    assert order.index(with_steps.level) <= order.index(without.level)
    first = said(Model(logits), loss, only=[FORGET_ACCURACY])
    assert order.index(first.level) <= order.index(Level.ANSWERS)
    if without.loss is not None and without.loss.damage:
        assert "class 1 lost" in without.sentence and order.index(without.level) <= order.index(Level.DAMAGED)
    assert without.sentence.endswith(".") and "nan" not in str(without)


def test_the_worst_loss_is_paired_and_spares_what_retraining_costs_too() -> None:
    before = np.repeat([True, False], [900, 100])
    after = before.copy()
    after[:200], after[950:] = False, True  # 200 lost, 50 won
    [found] = losses(before, after, {"a": np.ones(1000, bool)})
    assert found.value == pytest.approx(0.15) and found.images == 1000
    half = 1.96 * np.sqrt((0.25 - 0.15**2) / 1000)
    assert found.interval == pytest.approx((0.15 - half, 0.15 + half))
    [spared] = losses(before, after, {"a": np.ones(1000, bool)}, {"a": np.array([0.8, 0.84])})
    assert spared.value == pytest.approx(0.15 - 0.08)
    [better] = losses(before, after, {"a": np.ones(1000, bool)}, {"a": np.array([0.95, 0.97])})
    assert better.value == pytest.approx(0.15), "what retraining gains is nobody's loss"
    two = losses(before, after, {"first": np.arange(1000) < 500, "second": np.arange(1000) >= 500,
                                 "empty": np.zeros(1000, bool)})
    assert max(two, key=lambda one: one.rank).group == "first" and len(two) == 2
    assert losses(before, after, {}) == [] and found.value > DAMAGED


# --- the bundled networks ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("network", "label"), [("small-resnet", 0), ("small-resnet", 7), ("small-vit", 5)])
def test_the_shipped_networks_read_as_what_they_are(network: str, label: int) -> None:
    request = Request((label,))
    measure, any_of_it = yardstick(engine(), network, request), choice(network, request, "ssd", {})
    assert len(measure.labels) == 2_000 + 9_000 + 1_900 and len(measure.retrained) >= 3
    assert measure.original["retain"].images == 9_000 and measure.original["forget"].images == 2_000
    levels = {name: judgement.judged(measure, any_of_it, model).verdict.level for name, model in measure.models.items()}
    assert levels == {ORIGINAL: Level.NOT_FORGOTTEN, HEAD_ZEROING: Level.HIDDEN}
    for check in measure.checks:
        assert check.passing >= len(check.held_out) - 1, check.title
    works = {check.title for check in measure.checks if check.worth == "works"}
    assert works >= {"Forget accuracy", "Sureness of the old answer", "Distance of outputs",
                     "Jensen–Shannon divergence", "Layer similarity (CKA)"}


def settled(method: str, forget: tuple[int, ...], **settings: float) -> tuple[Scene, Settled]:
    chosen = choice("small-resnet", forget, method, settings)
    scene = engine().prepare(chosen, silent)
    return scene, engine().compute(scene, chosen, silent)


def test_head_zeroing_is_never_called_forgotten_not_even_for_a_moment() -> None:
    scene, outcome = settled("head_zeroing", (0,))
    first, final = judgement.first_verdict(engine(), scene, outcome), judgement.audit(engine(), scene, outcome).verdict
    assert first.level is Level.ANSWERS and final.level is Level.HIDDEN


def test_the_first_answer_narrows_to_all_test_images() -> None:
    scene, outcome = settled("ssd", (7,), alpha=4)
    found = judgement.audit(engine(), scene, outcome)
    for name, reading in found.readings.gauges.items():
        first = outcome.gauges[name]
        assert reading.images > 5 * first.images
        assert np.subtract(*reading.interval[::-1]) < np.subtract(*first.interval[::-1])
    assert "Boot" in found.verdict.sentence, "the headline does not hide what the neighbour lost"


def test_several_classes_have_no_reference_until_somebody_retrains(monkeypatch: pytest.MonkeyPatch) -> None:
    scene, outcome = settled("head_zeroing", (0, 5))
    assert judgement.audit(engine(), scene, outcome).verdict.level is Level.UNKNOWN
    own = Engine()
    networks = [dict(model.state_dict()) for model in subject("small-resnet").retrained(Request((0,)))]  # stand-ins
    own.keep_retrained("small-resnet", Request((0, 5)), networks)
    scene = own.prepare(scene.choice, silent)
    assert scene.retrained_logits is not None and len(scene.retrained) == 3
    outcome = own.compute(scene, outcome.choice, silent)
    found = judgement.audit(own, scene, outcome)
    assert found.verdict.level is not Level.UNKNOWN and len(found.verdict.marks) == 9
    own.keep_retrained("small-resnet", Request((0, 5)), networks[:1])
    scene = own.prepare(scene.choice, silent)
    for lonely in (judgement.first_verdict(own, scene, outcome), judgement.audit(own, scene, outcome).verdict):
        assert lonely.sentence.startswith("Unknown: there is only 1 network retrained without "), lonely
        assert "and a comparison takes 2. " in lonely.sentence


# -- where recognition cannot tell, and what other requests know ----------------------------------------------------


def test_what_cannot_tell_is_not_said_to_be_forgotten() -> None:
    """The original within reach of one more retrained network: then 89 % recognised is no "answers are forgotten"."""
    null = np.array([0.47, 0.61, 0.54])
    band = (0.0, 1.0)
    unable = Check(FORGET_ACCURACY, "", "playground", False, "high", (),
                   {ORIGINAL: Placement(1.0, null, band), UNLEARNED: Placement(0.89, null, band)})
    able = Check("Threshold attacks", "", "privacy", False, "high", (),
                 {ORIGINAL: Placement(0.9, null, (0.4, 0.7)), UNLEARNED: Placement(0.6, null, (0.4, 0.7))})
    dull = Check("Linear probe", "", "embeddings", True, "high", (),
                 {ORIGINAL: Placement(0.5, null, band), UNLEARNED: Placement(0.5, null, band)})
    found = judge([unable, able, dull], None, "Noor", 0.89)
    assert found.level is Level.UNKNOWN
    assert found.sentence == ("Unknown: what is recognised cannot tell here: 89% of the images, by retrained networks "
                              "47% to 61%, by the original 100%.")
    told = replace(able, judged={**able.judged, UNLEARNED: Placement(0.8, null, (0.4, 0.7))})
    found = judge([unable, told, dull], None, "Noor", 0.89)
    assert found.level is Level.TOLD and "threshold attacks" in found.sentence


def test_who_is_unlike_retraining_where_the_original_is_like_it_is_told_from_it() -> None:
    """Ten images, of which retrained networks name 7 to 10, the original 10 and this one 1: a test that the original
    passes has something to say of it, once the inside was looked at, and if retrained networks pass.
    """
    null, band = np.array([0.8, 0.7, 0.9, 1.0]), (0.4, 1.2)
    held_out = tuple(Placement(value, null, band) for value in null)

    def of(value: float, held_out: tuple[Placement, ...] = held_out, inside: Check | None = None) -> Verdict:
        recognised = Check(FORGET_ACCURACY, "", "playground", False, "high", held_out,
                           {ORIGINAL: Placement(1.0, null, band), UNLEARNED: Placement(value, null, band)})
        alike = Check("Layer similarity (CKA)", "", "embeddings", True, "high", held_out,
                      {ORIGINAL: Placement(1.5, null, band), UNLEARNED: Placement(0.8, null, band)})
        return judge([recognised, inside or alike], None, "ten images", value)

    assert of(0.8).level is Level.NOT_TOLD
    found = of(0.1)
    assert found.level is Level.OVER and "forget accuracy" in found.sentence
    assert found.marks[0].status == "fails" and "like neither" in found.marks[0].said
    strict = tuple(Placement(2.0, null, band) for _ in null)
    unseen = Check("Layer similarity (CKA)", "alike", "embeddings", True, "high", (), {})
    for quiet in (of(0.1, ()), of(0.1, strict), of(0.1, inside=unseen)):
        assert quiet.level not in (Level.OVER, Level.TOLD), "nothing is known of what retrained networks would do"


def test_the_spread_of_many_requests_tells_what_three_networks_cannot() -> None:
    generator = np.random.default_rng(0)
    nulls = [0.3 + 0.02 * i + 0.05 * generator.standard_normal(3) for i in range(24)]
    known = pooled(nulls)
    assert known is not None and known.freedom == 48 and known.value == pytest.approx(0.05, rel=0.2)
    alone, among = further(nulls[0]), further(nulls[0], known=known)
    assert among[1] - among[0] == pytest.approx(2 * 2.68 * known.value * (4 / 3)**0.5, rel=0.01)
    assert pooled([np.array([0.5])]) is None and alone != among
    inside = [low <= 0.3 + 0.02 * i + 0.05 * generator.standard_normal() <= high for i, null in enumerate(nulls)
              for low, high in [further(null, known=known)] for _ in range(100)]
    assert np.mean(inside) == pytest.approx(0.99, abs=0.01)


def test_forgetting_a_person_is_judged_by_networks_that_never_saw_them() -> None:
    here = Engine()
    request = Request((13,), "person")
    known = spreads(here, "people-resnet", request)
    assert {known[title].freedom for title in ANSWERS} == {48} and 0.02 < known["accuracy on calm"].value < 0.08
    assert spreads(here, "people-resnet", Request((2,))) == {}
    chosen = choice("people-resnet", request, "ssd", {"alpha": 100.0})  # above the ceiling: the original
    scene = here.prepare(chosen, silent)
    outcome = here.compute(scene, chosen, silent)
    assert scene.retrained_logits is not None and scene.retrained_logits.shape[:2] == (3, len(outcome.logits))
    assert judgement.first_verdict(here, scene, outcome).level is Level.NOT_FORGOTTEN
    found = judgement.audit(here, scene, outcome)
    assert found.verdict.sentence == "Not forgotten: Noor is still recognised 100% of the time."
    for check in found.checks:
        assert check.passing == len(check.held_out), check.title


def test_of_many_small_groups_none_is_damaged_by_chance() -> None:
    """Networks as good as the original, on 24 groups of 60 images: one in twenty may lose so much, not most of them."""
    generator = np.random.default_rng(0)
    groups = {str(i): np.repeat(np.arange(24), 60) == i for i in range(24)}
    damaged = {among: 0 for among in (1, 24)}
    for _ in range(200):
        before, after = generator.random((2, 1440)) < 0.77
        for among in damaged:
            damaged[among] += any(one.damage for one in losses(before, after, groups, among=among))
    assert damaged[1] > 40 and damaged[24] < 14
    hurt = after.copy()
    hurt[groups["7"]] = False
    [found] = (one for one in losses(before, hurt, groups, among=24) if one.damage)
    assert found.group == "7"


def test_a_surely_damaged_group_is_named_before_one_that_lost_more_by_chance() -> None:
    before = np.ones(1040, np.bool_)
    after = before.copy()
    after[:3], after[40:140] = False, False
    groups = {"small": np.arange(1040) < 40, "large": np.arange(1040) >= 40}
    after[3:5] = False  # the small one: 5 of 40, 12.5 points, hardly sure; the large one: 10 points of 1,000
    found = max(losses(before, after, groups), key=lambda one: one.rank)
    assert (found.group, found.damage) == ("large", True)


def test_what_one_more_retrained_network_would_differ_by_is_no_damage() -> None:
    generator = np.random.default_rng(0)
    before = generator.random(230) < 0.8
    after = before & (generator.random(230) > 0.12)
    [alone] = losses(before, after, {"calm": np.ones(230, np.bool_)}, {"calm": np.array([0.8, 0.8])})
    [among] = losses(before, after, {"calm": np.ones(230, np.bool_)}, {"calm": np.array([0.8, 0.8])},
                     spreads={"calm": 0.05})
    assert alone.damage and not among.damage and alone.value == among.value
