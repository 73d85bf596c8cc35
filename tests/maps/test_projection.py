"""Maps of a feature space: placing, principal components, alignment, trustworthiness, a joint fit elsewhere."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import orthogonal_procrustes
from scipy.stats import ortho_group
from sklearn.decomposition import PCA
from sklearn.manifold import trustworthiness as trustworthiness_of_sklearn

from unlearn_core.assets import arrays
from unlearn_core.maps import refit
from unlearn_core.maps.projection import FeatureMap, align, fit_linear, nearest, trustworthiness
from unlearn_core.maps.refit import fit_together
from unlearn_core.methods import METHODS
from unlearn_core.nets.evaluate import outputs
from unlearn_core.nets.request import Request
from unlearn_core.packing import pack
from unlearn_core.progress import Cancelled, silent
from unlearn_core.serving.choice import choice
from unlearn_core.serving.embedding import GROUPS, Embedding, embed, finding, submit
from unlearn_core.serving.engine import Engine
from unlearn_core.serving.scenes import Scene, Settled
from unlearn_core.subjects.subject import bundled, subject

Float32 = npt.NDArray[np.float32]
seeds = st.integers(0, 2**32 - 1)


def cloud(seed: int, n: int = 120, width: int = 6) -> Float32:
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(n, width)) * rng.uniform(0.1, 3, width) + rng.normal(size=width)).astype(np.float32)


# -- placing ----------------------------------------------------------------------------------------------------

def test_a_fitted_point_keeps_its_place_and_a_new_one_lies_among_its_neighbours() -> None:
    features, positions = cloud(0), np.random.default_rng(1).random((120, 2), np.float32)
    fitted = FeatureMap(features, positions)
    assert np.median(np.abs(fitted.place(features) - positions)) < 0.02
    new = features[:20] + 0.01
    placed = fitted.place(new)
    around = positions[np.square(new[:, None] - features).sum(2).argsort(1)[:, :10]]
    assert (placed >= around.min(1) - 1e-6).all() and (placed <= around.max(1) + 1e-6).all()


@settings(deadline=None, max_examples=40)
@given(seeds)
def test_the_linear_map_is_that_of_principal_components(seed: int) -> None:
    rng = np.random.default_rng(seed)  # of well separated components, in any direction
    features = (rng.normal(size=(120, 6)) * [9, 4, 1, 0.5, 0.2, 0.1] @ ortho_group.rvs(6, random_state=rng)
                + rng.normal(size=6)).astype(np.float32)
    fitted, reference = fit_linear(features), PCA(2).fit(features)
    placed = fitted.place(features)
    assert placed.min() >= 0 and placed.max() <= 1
    assert fitted.explained == pytest.approx(reference.explained_variance_ratio_.sum(), abs=1e-4)
    apart = np.linalg.norm(placed[:, None] - placed, axis=2)
    wanted = reference.transform(features)
    wanted = np.linalg.norm(wanted[:, None] - wanted, axis=2)
    np.testing.assert_allclose(apart / apart.max(), wanted / wanted.max(), atol=2e-3)  # but for one common scale


def test_features_that_do_not_vary_have_a_place_all_the_same() -> None:
    same = np.ones((30, 4), np.float32)
    fitted = fit_linear(same)
    assert np.isfinite(fitted.place(same)).all() and np.isnan(fitted.explained)
    assert np.isfinite(FeatureMap(same, np.full((30, 2), 0.5, np.float32)).place(same)).all()
    assert np.isnan(align(same, same, np.ones(30, bool)).explained)


# -- alignment --------------------------------------------------------------------------------------------------

@settings(deadline=None, max_examples=40)
@given(seeds, st.floats(0.05, 20), st.booleans())
def test_a_rotated_shifted_scaled_copy_is_brought_back_exactly(seed: int, scale: float, mirrored: bool) -> None:
    target, rng = cloud(seed), np.random.default_rng(seed)
    turn = ortho_group.rvs(6, random_state=rng)
    if mirrored:
        turn[:, 0] *= -1
    source = (scale * (target - target.mean(0)) @ turn + rng.normal(size=6)).astype(np.float32)
    fitted = rng.random(120) < 0.5
    found = align(source, target, fitted)
    np.testing.assert_allclose(found.features, target, atol=2e-3)
    assert found.explained == pytest.approx(1, abs=1e-4)


@settings(deadline=None, max_examples=40)
@given(seeds)
def test_alignment_is_fitted_on_its_rows_only_and_says_what_it_explains(seed: int) -> None:
    target, source = cloud(seed), cloud(seed ^ 1) + 0.5 * cloud(seed)
    fitted = np.arange(120) < 90
    found = align(source, target, fitted)
    spoilt = target.copy()
    spoilt[~fitted] = 1e3
    np.testing.assert_array_equal(align(source, spoilt, fitted).features, found.features)

    rest = np.square(found.features - target)[fitted].sum() / np.square(target - target[fitted].mean(0))[fitted].sum()
    assert found.explained == pytest.approx(1 - rest, abs=1e-4) and found.explained <= 1
    centred = source[fitted] - source[fitted].mean(0), target[fitted] - target[fitted].mean(0)
    turn, nuclear = orthogonal_procrustes(*centred)
    np.testing.assert_allclose(found.features[fitted] - target[fitted].mean(0),
                               centred[0] @ turn * nuclear / np.square(centred[0]).sum(), atol=1e-3)


def test_networks_of_different_widths_cannot_be_aligned() -> None:
    with pytest.raises(ValueError, match=r"source: features of the target's shape \(9, 4\) expected, got \(9, 3\)"):
        align(np.zeros((9, 3), np.float32), np.zeros((9, 4), np.float32), np.ones(9, bool))


# -- trust ------------------------------------------------------------------------------------------------------

@settings(deadline=None, max_examples=40)
@given(seeds, st.integers(1, 15))
def test_trustworthiness_is_that_of_sklearn_image_by_image(seed: int, count: int) -> None:
    features = cloud(seed)
    positions = (features[:, :2] + np.random.default_rng(seed).normal(0, 0.5, (120, 2))).astype(np.float32)
    found = trustworthiness(features, positions, count)
    assert found.mean() == pytest.approx(trustworthiness_of_sklearn(features, positions, n_neighbors=count), abs=2e-3)
    assert trustworthiness(features, features, count).min() == 1 and found.max() <= 1


def test_nearest_leaves_the_point_itself_out() -> None:
    features = cloud(0)
    apart = np.square(features[:, None] - features).sum(2)
    np.fill_diagonal(apart, np.inf)
    np.testing.assert_array_equal(np.sort(nearest(features, 5)), np.sort(apart.argsort(1)[:, :5]))


# -- what is bundled --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("network", bundled("fashion-mnist"))
def test_every_layer_has_a_map_and_the_last_is_what_the_head_reads(engine: Engine, network: str) -> None:
    table = arrays(f"maps/{network}.npz")
    assert list(table) == list(subject(network).layers)
    for positions in table.values():
        assert positions.shape == (2000, 2) and positions.min() >= 0 and positions.max() <= 1
    base = engine.base(network)
    np.testing.assert_array_equal(base.feature_map.positions, table[list(table)[-1]])
    assert trustworthiness(base.before.features, base.positions).mean() > 0.95  # the map belongs to these features


# -- the three networks -----------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def answered(engine: Engine) -> tuple[Scene, Settled]:
    wanted = choice("small-resnet", (1,), "ssd", {})
    scene = engine.scene(wanted).result()
    return scene, engine.settle(scene, wanted).result()


@pytest.fixture(scope="module")
def shown(engine: Engine, answered: tuple[Scene, Settled]) -> Embedding:
    return submit(engine, *answered, "block3", "umap").result()


def test_the_settled_weights_are_those_that_were_evaluated(engine: Engine, answered: tuple[Scene, Settled]) -> None:
    scene, settled = answered
    base = engine.base("small-resnet")
    assert settled.weights is None
    weights = engine.weights(scene, settled)
    assert 0 < len(weights) < len(dict(base.model.named_parameters()))  # only those that differ
    np.testing.assert_array_equal(outputs(base.model, base.pixels, weights).logits, settled.logits)


def test_the_panels_share_the_playgrounds_coordinates(engine: Engine, answered: tuple[Scene, Settled],
                                                     shown: Embedding) -> None:
    assert [panel.role for panel in shown.panels] == ["original", "retrained", "unlearned"]
    np.testing.assert_allclose(shown.panels[0].xy, engine.base("small-resnet").positions, atol=1e-6)
    np.testing.assert_allclose(shown.panels[2].xy, answered[1].xy, atol=1e-6)
    assert shown.surroundings["original"][0].new.max() == 0 and len(shown.surroundings["retrained"]) >= 1
    assert 0.5 < shown.aligned["retrained"] < 1 and "unlearned" not in shown.aligned


def test_placing_a_panel_takes_at_most_a_tenth_of_a_second(engine: Engine) -> None:
    base, took = engine.base("small-resnet"), []
    for _ in range(5):
        start = time.thread_time()
        base.feature_map.place(base.before.features)
        took.append(time.thread_time() - start)
    assert min(took) < 0.1


def test_groups_are_what_their_sentences_say(shown: Embedding) -> None:
    group = {name: shown.group(name) for name in GROUPS}
    after, before, truth = shown.panels[2].predicted, shown.panels[0].predicted, shown.truth
    assert group["all"].all()
    np.testing.assert_array_equal(group["forget"], truth == 1)
    np.testing.assert_array_equal(group["forgotten"] | group["kept"], group["forget"])
    assert not (group["forgotten"] & group["kept"]).any() and (after[group["kept"]] == 1).all()
    assert group["overly"].any() and (truth[group["overly"]] != 1).all()
    assert (before == truth)[group["overly"]].all() and (after != truth)[group["overly"]].all()
    np.testing.assert_array_equal(group["unlike"], after != shown.probabilities["retrained"].argmax(1))


def test_without_retrained_networks_there_are_two_panels_and_no_verdict(engine: Engine) -> None:
    wanted = choice("small-resnet", (0, 6), "head_zeroing", {})
    scene = engine.prepare(wanted, silent)
    found = embed(engine, scene, engine.compute(scene, wanted, silent), "block3", "pca", silent)
    assert [panel.role for panel in found.panels] == ["original", "unlearned"]
    assert not found.group("unlike").any() and not found.aligned and "retrain" not in finding(found)
    np.testing.assert_array_equal(found.panels[0].xy, found.panels[1].xy)  # the head moved, not what it reads


def test_a_network_trained_afresh_is_aligned_wherever_it_is_shown(engine: Engine,
                                                                  answered: tuple[Scene, Settled]) -> None:
    scene, settled = answered
    afresh = replace(settled, choice=choice("small-resnet", (1,), "retrain", {}),
                     weights=subject("small-resnet").retrained(Request((1,)))[0].state_dict())
    found = embed(engine, scene, afresh, "block3", "umap", silent)
    assert found.aligned["unlearned"] == pytest.approx(found.aligned["retrained"])
    np.testing.assert_allclose(found.panels[2].xy, found.panels[1].xy, atol=1e-4)


def test_who_is_made_afresh_keeps_nothing_of_the_embedding_and_who_is_not_does(engine: Engine) -> None:
    """Measured, at the defaults: features before and after, image by image, are unrelated or they are not."""
    assert {name for name, found in METHODS.items() if found.afresh} == {"retrain", "noisy_fine_tuning"}
    for name, knobs, related in (("noisy_fine_tuning", {}, False), ("noisy_fine_tuning", {"centre": "zero"}, False),
                                    ("masked_small_gradients", {}, True), ("convolution_transpose", {}, True)):
        wanted = choice("people-resnet", (1,), name, knobs)
        scene = engine.prepare(wanted, silent)
        settled = engine.compute(scene, wanted, silent)
        after = engine.answers(wanted.network, wanted.forget, engine.weights(scene, settled)).features
        kept = ~scene.seen.forgotten
        alike = np.corrcoef(after[kept].ravel(), scene.seen.before.features[kept].ravel())[0, 1]
        assert (alike > 0.25) == related == (not METHODS[name].afresh), (name, knobs, alike)


def test_an_unknown_layer_is_refused(engine: Engine, answered: tuple[Scene, Settled]) -> None:
    with pytest.raises(ValueError, match="layer: one of stem, block1, block2, block3 expected, got 'norm'"):
        embed(engine, *answered, "norm", "umap", silent)


def test_the_blob_holds_a_row_for_every_panel_group_and_voice(shown: Embedding) -> None:
    assert shown.blob() == pack({
        "classes": list(shown.classes), "forget": [1], "n": 2000, "panels": ["original", "retrained", "unlearned"],
        "groups": list(GROUPS), "voices": ["original", "retrained", "unlearned"]}, {
        "xy": np.stack([(panel.xy * 65535).round() for panel in shown.panels]).astype(np.uint16),
        "klass": np.stack([panel.predicted for panel in shown.panels]).astype(np.uint8),
        "probability": np.stack([(p * 255).round() for p in shown.probabilities.values()]).astype(np.uint8),
        "truth": shown.truth.astype(np.uint8), "member": shown.member.astype(np.uint8),
        "forgotten": (shown.truth == 1).astype(np.uint8), "picture": shown.pictures.astype(np.int32),
        "group": np.stack([shown.group(name) for name in GROUPS]).astype(np.uint8)})


# -- a joint fit ------------------------------------------------------------------------------------------------

def child_that(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, does: str) -> list[subprocess.Popen[bytes]]:
    """Put another script in the fitting process's place; returns the processes that were started."""
    script = tmp_path / "child.py"
    script.write_text(f"import sys, time, numpy as np\nfolder = sys.argv[1]\n{does}\n")
    started: list[subprocess.Popen[bytes]] = []
    real = subprocess.Popen

    def start(command: list[str], **options: object) -> subprocess.Popen[bytes]:
        started.append(real([command[0], str(script), *command[3:]], **options))  # type: ignore[call-overload]
        return started[-1]

    monkeypatch.setattr(refit.subprocess, "Popen", start)
    return started


def test_a_joint_fit_reports_real_progress_and_its_result(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    child_that(monkeypatch, tmp_path, "print('[0.5, \"epoch 100 of 200\"]', flush=True); time.sleep(0.5)\n"
               "np.save(folder + '/positions.npy', np.load(folder + '/features.npy')[:, :2])")
    said: list[tuple[float, str]] = []
    features = cloud(0)
    np.testing.assert_array_equal(fit_together(features, 0, lambda *step: said.append(step)), features[:, :2])
    assert (0.5, "epoch 100 of 200") in said


def test_cancelling_a_joint_fit_ends_its_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    started = child_that(monkeypatch, tmp_path, "time.sleep(60)")

    def cancel(share: float, note: str) -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        fit_together(cloud(0), 0, cancel)
    assert started[0].returncode == -signal.SIGKILL


def test_a_joint_fit_that_fails_says_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    child_that(monkeypatch, tmp_path, "sys.exit('out of memory')")
    with pytest.raises(RuntimeError, match="The joint map could not be fitted: out of memory"):
        fit_together(cloud(0), 0, silent)


def test_umap_fits_together_in_a_process_of_its_own() -> None:
    said: list[str] = []
    features = np.concatenate([cloud(0), cloud(0) + 8])
    positions = fit_together(features, 0, lambda share, note: said.append(note))
    assert positions.shape == (240, 2) and positions.min() >= 0 and positions.max() <= 1
    assert any(note.startswith("epoch") for note in said)
    assert not {"umap", "numba"} & set(sys.modules)
    middle = positions[:120].mean(0), positions[120:].mean(0)
    assert np.linalg.norm(middle[0] - middle[1]) > 0.4  # two clouds far apart stay so
