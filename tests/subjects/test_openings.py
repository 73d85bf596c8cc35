"""What requests open with: the rule, that the shipped file follows it, and how the app uses it."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import pytest
import torch

from tests.browser.test_pages import app, choose, settle
from tests.conftest import named
from ui.controls import origin
from ui.sliders import snap
from ui.state import DEFAULT, State, read_address, start, write_address
from unlearn_core import assets
from unlearn_core.bundle.make_openings import DAMPENING
from unlearn_core.methods import METHODS, positions
from unlearn_core.methods.base import Value
from unlearn_core.nets.evaluate import evaluation_set
from unlearn_core.nets.request import POISONED, Request
from unlearn_core.serving.choice import choice
from unlearn_core.study import tune
from unlearn_core.subjects import openings
from unlearn_core.subjects.fashion import fashion_mnist
from unlearn_core.subjects.openings import Accuracies, Effect
from unlearn_core.subjects.subject import bundled, subject

REQUESTS = [(network, Request((label,))) for network in bundled("fashion-mnist") for label in range(10)]
HISTORY = {"amnesiac", "partial_amnesiac"}
NEW = {"convolution_transpose", "masked_small_gradients", "noisy_fine_tuning"}
"""Methods that came after the transformer's openings were made."""
TRIED = [name for name in METHODS if name != "retrain"]
EVERY = [(network, forget, name) for network, forget in REQUESTS for name in TRIED
         if not (network == "small-vit" and name in HISTORY | NEW)]


def effect(forget: float = 0.0, retain_gap: float = 0.0, worst_loss: float = 0.0, **settings: Value) -> Effect:
    return Effect(settings, forget, 0.01, 0.02, retain_gap, 3, worst_loss)


# -- the rule -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("what, name", [
    (effect(), "sweet spot"), (effect(forget=0.07, worst_loss=0.09), "sweet spot"),
    (effect(forget=0.08), "too weak"), (effect(worst_loss=0.10), "too costly"),
    (effect(forget=0.5, worst_loss=0.29), "too weak"), (effect(worst_loss=0.30), "catastrophic"),
    (effect(forget=1.0, worst_loss=0.95), "catastrophic"), (effect(worst_loss=-0.5), "sweet spot")])
def test_a_setting_is_called_by_what_it_did(what: Effect, name: str) -> None:
    assert what.name == name and what.serves == (name == "sweet spot")
    assert what.serves == (not what.recognised and not what.costly)


def test_the_nearest_to_retraining_of_those_that_serve_wins() -> None:
    near, far = effect(retain_gap=-0.01, a=1.0), effect(retain_gap=0.05, a=2.0)
    ruins = effect(forget=0.01, worst_loss=0.5, a=3.0)
    assert openings.best([ruins, far, near]) is near
    assert openings.best([effect(worst_loss=0.02, alpha=2.0), wide := effect(worst_loss=0.02, alpha=3.0)]) is wide
    assert openings.best([effect(worst_loss=0.02, a=1.0), spared := effect(worst_loss=0.01, a=2.0)]) is spared


def test_where_none_serves_gap_and_the_worst_loss_are_weighed_together() -> None:
    weak, ruins = effect(forget=0.31, a=1.0), effect(worst_loss=0.5, a=2.0)
    assert openings.best([ruins, weak]) is weak
    assert openings.best([ruins, effect(forget=0.9, a=3.0)]) is ruins


def test_a_loss_counts_against_the_lower_of_the_original_and_retraining() -> None:
    original, retrained = Accuracies(1.0, (0.9, 0.6, 0.8)), [Accuracies(0.0, (0.0, 0.8, 0.7)),
                                                             Accuracies(0.04, (0.0, 0.9, 0.7))]
    found = openings.judge({}, Accuracies(0.1, (0.0, 0.55, 0.5)), Request((0,)), original, retrained)
    assert (found.worst_class, found.worst_loss) == (2, pytest.approx(0.2))
    assert (found.retrained, found.highest) == (pytest.approx(0.02), 0.04)
    assert found.retain_gap == pytest.approx((0.55 + 0.5) / 2 - (0.85 + 0.7) / 2)
    assert found.forget_gap == pytest.approx(0.08)
    assert found.said(("a", "b", "c")) == \
        "Training images to be forgotten: 10 % recognised (retrained 2 %); on validation images c, the worst class, " \
        "−20 points."


# -- the images -----------------------------------------------------------------------------------------------


def test_no_image_of_the_evaluation_set_is_judged() -> None:
    train, test = fashion_mnist("train"), fashion_mnist("test")
    shown = evaluation_set(train, test).images.images.flatten(1).numpy()
    shown = {row.tobytes() for row in shown}
    for label in range(10):
        forget, held_out = tune.judged_images("small-resnet", Request((label,)))
        assert len(forget) == 300 and set(forget.labels.tolist()) == {label}
        assert len(held_out) == 1000 and (torch.bincount(held_out.labels) == 100).all()
        for part in (forget, held_out):
            assert not shown & {row.tobytes() for row in part.images.flatten(1).numpy()}


def test_no_test_image_and_no_training_image_is_held_out() -> None:
    held_out = {row.tobytes() for row in fashion_mnist("validation").images.flatten(1).numpy()}
    rows = {split: assets.arrays(f"data/fashion-mnist-{split}.npz")["source_position"] for split in
            ("train", "validation")}
    assert not np.intersect1d(rows["train"], rows["validation"]).size and len(held_out) == 1000


# -- what is shipped ------------------------------------------------------------------------------------------


def test_every_request_and_method_has_an_opening() -> None:
    for network, forget, name in EVERY:
        found = openings.opening(network, forget, name)
        assert found is not None and found.candidates >= 1, f"{network}, {forget}, {name}: make_assets openings"
    assert openings.opening("small-vit", Request((0,)), "amnesiac") is None, "no history was recorded"
    assert all(openings.opening("small-vit", Request((0,)), name) is None for name in NEW), "not tried yet"
    assert openings.opening("small-resnet", Request((0, 1,)), "ssd") is None
    assert openings.opening("of-my-own", Request((0,)), "ssd") is None
    assert openings.opening("small-resnet", Request((0,)), "retrain") is None


def test_the_shipped_runs_are_of_the_defaults_and_presets_there_are() -> None:
    for network, forget, name in EVERY:
        tried = [one.settings for one in openings.effects(network, forget, name)]
        own = [preset.settings for title, preset in METHODS[name].presets.items() if title not in openings.PUBLISHED]
        for settings in ({}, *own):
            assert METHODS[name].settings(settings) in tried, f"{name} has changed: remake its openings (make_assets)"


def test_openings_follow_the_rule() -> None:
    for request in EVERY:
        found, tried = openings.opening(*request), openings.effects(*request)
        assert found is not None and found.serves == any(one.serves for one in tried) and found.best in tried
        if found.serves:
            assert found.best.gap == min(one.gap for one in tried if one.serves)


PERSONS = [("people-resnet", Request((number,), "person"), name) for number in range(24) for name in DAMPENING]
POISON = ("people-poisoned", Request((0,), POISONED))


def test_every_person_has_an_opening_of_each_dampening_method_by_the_same_rule() -> None:
    for request in PERSONS:
        found, tried = openings.opening(*request), openings.effects(*request)
        assert found is not None and found.best in tried and found.images == 72, request
        assert found.serves == any(one.serves for one in tried), request
        offered = openings.presets(*request)
        assert ("sweet spot" in [one.name for one in offered]) == found.serves
        assert origin(State(*request)).startswith("Opens on " if found.serves else "None of ")
        for knob in METHODS[request[2]].hyperparameters:
            if knob.scale != "choice":
                assert snap(knob, float(found.settings[knob.name])) == found.settings[knob.name]
    assert openings.opening("people-resnet", Request((0, 1), "person"), "ssd") is None
    assert openings.opening("people-resnet", Request((0,), "image"), "ssd") is None


def test_the_poison_opens_by_the_same_rule() -> None:
    opened = {name: openings.opening(*POISON, name) for name in METHODS if openings.effects(*POISON, name)}
    assert set(opened) >= {*DAMPENING, "random_labels", "salun"}
    for name, found in opened.items():
        assert found is not None and found.images == 52
        assert found.serves == any(one.serves for one in openings.effects(*POISON, name))


def test_of_a_group_all_training_images_are_judged_and_no_test_image() -> None:
    own = subject("people-resnet").images
    unseen = {row.tobytes() for row in own.test.images.numpy()}
    forget, held_out = tune.judged_images("people-resnet", Request((3,), "person"))
    assert forget.groups["person"].numbers.tolist() == [3] * 72 and len(held_out) == 23 * 24
    assert not (held_out.groups["person"].numbers == 3).any()
    trained = {row.tobytes() for row in own.train.images.numpy()}
    assert not {row.tobytes() for row in held_out.images.numpy()} & (trained | unseen)
    assert not {row.tobytes() for row in forget.images.numpy()} & unseen
    assert tune.sizes("people-resnet", Request((3,), "person")) == (72, [92] * 6)
    assert tune.sizes(*POISON) == (52, [96] * 6)


def test_openings_and_presets_stand_on_slider_positions() -> None:
    for network, forget, name in EVERY:
        offered = [preset.settings for preset in openings.presets(network, forget, name)]
        for settings in (start(network, forget, name), *offered):
            for knob in METHODS[name].hyperparameters:
                if knob.scale != "choice":
                    assert snap(knob, float(settings[knob.name])) == settings[knob.name] in positions(knob)


@pytest.mark.parametrize("network, forget, name", [
    ("small-resnet", Request((7,)), "ssd"), ("small-vit", Request((0,)), "lfssd"),
    ("small-resnet", Request((3,)), "head_zeroing"), ("people-resnet", Request((18,), "person"), "lfssd")])
def test_a_shipped_run_can_be_repeated(network: str, forget: Request, name: str) -> None:
    found = openings.opening(network, forget, name)
    assert found is not None
    chosen = choice(network, forget, name, found.settings)
    scene = tune.engine().prepare(chosen, lambda share, note: None)
    weights = METHODS[name].run(scene.task, found.settings, lambda share, note: None).weights
    sizes = tune.sizes(network, forget)
    original, *retrained = (openings.read(row, sizes) for row in tune.reference_row(network, forget))
    got = openings.read(tune.recognised(network, forget, weights, scene.task.model), sizes)
    again = openings.judge(found.settings, got, forget, original, retrained)
    near = pytest.approx(found.best.forget, abs=0.01), pytest.approx(found.best.retain_gap, abs=0.005)
    assert (again.forget, again.retain_gap) == near and again.serves == found.serves


# -- names ----------------------------------------------------------------------------------------------------


def test_presets_do_what_they_are_called() -> None:
    for network, forget, name in EVERY:
        offered, opens = openings.presets(network, forget, name), openings.opening(network, forget, name)
        assert opens is not None
        names = [preset.name for preset in offered]
        assert len(set(names)) == len(names)
        assert ("sweet spot" in names) == opens.serves == ("best trade-off" not in names)
        for preset in offered:
            if preset.name in openings.CLAIMS:
                assert preset.effect is not None and preset.effect.name == preset.name
                assert preset.effect.settings == preset.settings
        assert {title for title in METHODS[name].presets if title in openings.PUBLISHED} <= set(names)
        own = [preset.settings for preset in offered if preset.name not in openings.PUBLISHED]
        assert all(one != other for one, other in itertools.combinations(own, 2)), "no two buttons do the same"


def test_dampening_can_be_shown_too_weak_and_catastrophic() -> None:
    for network, forget in REQUESTS:
        for name in ("ssd", "lfssd"):
            names = {preset.name for preset in openings.presets(network, forget, name)}
            opens = openings.opening(network, forget, name)
            assert opens is not None
            assert {"too weak", "catastrophic"} <= names | {opens.best.name}, (network, forget, name)


def test_without_an_opening_presets_are_as_declared_but_claim_nothing() -> None:
    for request in (("small-resnet", Request((0, 1)), "ssd"), ("of-my-own", Request((0,)), "ssd"),
                    ("small-resnet", Request((0,)), "retrain")):
        offered = openings.presets(*request)
        assert [preset.settings for preset in offered] == [preset.settings for preset in openings.declared(
            METHODS[request[2]])]
        assert all(preset.effect is None and preset.name not in openings.CLAIMS for preset in offered)
        assert openings.start(*request) == METHODS[request[2]].settings()


# -- the app --------------------------------------------------------------------------------------------------


def different() -> tuple[tuple[str, tuple[int, ...]], tuple[str, tuple[int, ...]]]:
    """Two requests that open SSD differently."""
    return next((one, other) for one, other in itertools.combinations(REQUESTS, 2)
                if start(*one, "ssd") != start(*other, "ssd"))


def test_untouched_settings_follow_the_request_and_touched_ones_stay() -> None:
    one, other = different()
    visitor = State(network=one[0], forget=one[1])
    assert visitor.settings == {name: start(*one, name) for name in METHODS}
    visitor.settings["lfssd"]["alpha"] = 0.2
    visitor.network, visitor.forget = other
    assert visitor.settings["ssd"] == start(*other, "ssd")
    assert visitor.settings["lfssd"] == start(*one, "lfssd") | {"alpha": 0.2}
    visitor.forget = Request(())
    assert visitor.settings["ssd"] == start(*other, "ssd"), "while nothing is chosen, nothing changes"
    visitor.network, visitor.forget = one
    assert visitor.settings["ssd"] == start(*one, "ssd") and visitor.settings["lfssd"]["alpha"] == 0.2


def test_undo_brings_back_the_request_with_its_settings() -> None:
    one, other = different()
    visitor = State(network=one[0], forget=one[1])
    before = visitor.choice()
    visitor.network, visitor.forget = other
    assert visitor.choice() != before
    visitor.adopt(before)
    assert visitor.choice() == before


@pytest.mark.parametrize("changed", [{}, {"alpha": 0.2}, {"alpha": 4.0}, {"lambda": 5.0, "unit": "batch_mean"}])
def test_an_address_gives_back_what_it_was_made_from(changed: dict[str, Value],
                                                     monkeypatch: pytest.MonkeyPatch) -> None:
    class Address(dict[str, str]):
        def to_dict(self) -> dict[str, str]:
            return dict(self)

        def from_dict(self, given: dict[str, str]) -> None:
            self.clear()
            self.update(given)

    address = Address()
    monkeypatch.setattr("ui.state.st.query_params", address)
    for network, forget, name in [*EVERY, ("small-resnet", Request((2, 5)), "ssd"),
                                  ("small-resnet", Request((2, 5, 19_000), "image"), "ssd")]:
        knobs = {k: v for k, v in changed.items() if k in start(network, forget, name)}
        chosen = choice(network, forget, name, start(network, forget, name) | knobs)
        write_address(chosen, State())
        found = read_address(address)
        assert found.choice() == chosen and not found.notes
        assert set(address) <= {"v", "network", "forget", "method", *knobs}
    write_address(DEFAULT, State())
    assert not address


def test_what_an_address_says_wins_over_the_opening_and_nonsense_does_not() -> None:
    assert read_address({"forget": "7", "alpha": "4"}).settings["ssd"]["alpha"] == 4.0
    odd = read_address({"forget": "7", "alpha": "much"})
    assert odd.settings["ssd"] == start("small-resnet", Request((7,)), "ssd") and odd.notes


def test_the_page_opens_on_the_opening_says_so_and_reset_goes_back() -> None:
    def said(sentences: Sequence[str]) -> bool:
        return any(text.startswith(("Opens on", "None of ")) for text in sentences)

    test = app(forget="7")
    opens = start("small-resnet", Request((7,)), "ssd")
    assert named(test.select_slider, "ssd.alpha").value == opens["alpha"] and said([c.value for c in test.caption])
    settle(named(test.select_slider, "ssd.alpha").set_value(0.2).run())
    assert test.query_params["alpha"] == "0.2"
    settle(next(b for b in test.button if b.label == "Reset").click().run())
    assert named(test.select_slider, "ssd.alpha").value == opens["alpha"] and "alpha" not in test.query_params
    choose(test, forget=(5,))
    assert named(test.select_slider, "ssd.alpha").value == start("small-resnet", Request((5,)), "ssd")["alpha"]
    assert not test.exception


def test_a_name_keeps_its_capitals() -> None:
    labels = [b.label for b in app(method="unsir", forget="1").button]
    assert "SSD repository" in labels and "Official" in labels


def test_where_an_opening_comes_from_is_said() -> None:
    for network, forget, name in EVERY:
        opens, said = openings.opening(network, forget, name), origin(State(network, forget, name))
        assert opens is not None and (opens.candidates == 1 or f"of {opens.candidates} settings" in said)
        assert said.startswith("Opens on " if opens.serves else ("None of ", "The one setting that was tried"))
        assert opens.serves or "recognised" in said or "costs" in said
    for untried in (State(forget=Request((0, 1))), State(method="retrain")):
        assert origin(untried) == "Opens on the general defaults: no others were tried for this request."


def test_openings_that_cannot_be_read_are_named_and_the_defaults_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    def altered(*request: object) -> None:
        raise assets.AssetError("assets/openings/small-resnet.json is missing.")

    monkeypatch.setattr(openings, "effects", altered)
    openings.opening.cache_clear()
    assert start("small-resnet", Request((0,)), "ssd") == METHODS["ssd"].settings()
    assert "is missing" in origin(State())
    openings.opening.cache_clear()
