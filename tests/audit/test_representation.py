"""Tests of what is left of a class: output distances, layer similarity, linear probe, relearn time."""

from __future__ import annotations

import copy
import math
import re
import threading
import warnings
from collections.abc import Callable
from dataclasses import replace
from itertools import permutations
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon
from scipy.special import softmax
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn
from torch.nn import functional as F

from tests.toys import generator, learnt
from unlearn_core.audit.accuracy import wilson
from unlearn_core.audit.distances import (
    Accuracies,
    activation_distance,
    agreement,
    jensen_shannon,
    mean_accuracy,
    mean_jensen_shannon,
    tug_of_war,
    zrf,
)
from unlearn_core.audit.probe import Probe
from unlearn_core.audit.probe import linear_probe as probe_of
from unlearn_core.audit.relearn import Relearning, RelearnRecipe, anamnesis, relearn
from unlearn_core.audit.similarity import cka, layer_features, layer_similarity, stages
from unlearn_core.measure.task import Task
from unlearn_core.methods import METHODS
from unlearn_core.methods.base import Diverged
from unlearn_core.nets import heads, models
from unlearn_core.nets.evaluate import outputs
from unlearn_core.nets.request import Request, forget_images
from unlearn_core.progress import Cancelled, silent

Array = npt.NDArray[Any]

P = softmax(np.array([[1, 2, 3], [0, 0, 0], [2, -1, 0], [0.5, 0.5, -2]]), axis=1)
Q = softmax(np.array([[3, 1, 1], [1, 0, -1], [2, -1, 0], [0, 1, 0]], float), axis=1)


def exactly(value: float) -> object:
    return pytest.approx(value, abs=1e-9)


# --- golden values (docs/methods.md, "Output distances" and "Mean accuracy") --------------------------


def test_golden_jensen_shannon() -> None:
    assert mean_jensen_shannon(P, Q) == exactly(0.10388620565838831)
    assert mean_jensen_shannon(P, Q) / math.log(2) == exactly(0.1498761137201278)
    assert mean_jensen_shannon(P, Q, "official") == exactly(0.04353652936977337)
    assert jensen_shannon(P, Q).shape == (4,) and jensen_shannon(P, Q).mean() == exactly(0.10388620565838831)


def test_golden_zrf_and_activation_distance() -> None:
    assert zrf(P, Q) == exactly(1 - 0.10388620565838831)
    assert zrf(P, Q, "official") == exactly(0.9564634706302266)
    assert activation_distance(P, Q) == exactly(0.41449059018809165)
    assert activation_distance(P, Q, "official") == exactly(0.5256425984975474)


def test_golden_mean_accuracy() -> None:
    right = np.array([1, 1, 1, 1, 0], bool)
    assert mean_accuracy(right) == exactly(0.8)
    assert mean_accuracy(right, "official", batch_size=2) == exactly(2 / 3)
    assert mean_accuracy(right, "official", batch_size=5) == mean_accuracy(right, "official", 256) == exactly(0.8)


def test_the_official_divergence_is_what_torch_makes_of_it() -> None:
    p, q = torch.from_numpy(P), torch.from_numpy(Q)
    m = (p + q) / 2
    with pytest.warns(UserWarning, match="batchmean"):
        made = (F.kl_div(p.log(), m) + F.kl_div(q.log(), m)) / 2
    assert mean_jensen_shannon(P, Q, "official") == exactly(float(made))


def test_a_shut_off_class_is_infinitely_far_in_the_official_form_alone() -> None:
    off = np.array([[0.0, 0.5, 0.5]])
    assert mean_jensen_shannon(off, np.full((1, 3), 1 / 3), "official") == math.inf
    assert zrf(off, np.full((1, 3), 1 / 3), "official") == -math.inf
    assert 0 < mean_jensen_shannon(off, np.full((1, 3), 1 / 3)) < math.log(2)
    both = np.array([[0.0, 0.2, 0.8]])  # where both say 0 nothing is added
    assert 0 < mean_jensen_shannon(off, both, "official") < math.inf


# --- output distances: properties ---------------------------------------------------------------------


@st.composite
def two_outputs(draw: st.DrawFn) -> tuple[Array, Array]:
    n, classes = draw(st.integers(1, 3)), draw(st.integers(1, 5))
    value = st.one_of(st.just(0.0), st.floats(1e-300, 1.0), st.floats(0.01, 1.0))
    both = np.array(draw(st.lists(value, min_size=2 * n * classes, max_size=2 * n * classes))).reshape(2, n, classes)
    both[..., 0] += both.sum(2) == 0
    both /= both.sum(2, keepdims=True)
    return both[0], both[1]


@given(two_outputs())
def test_jensen_shannon_is_symmetric_and_bounded(pair: tuple[Array, Array]) -> None:
    p, q = pair
    divergence = jensen_shannon(p, q)
    np.testing.assert_array_equal(divergence, jensen_shannon(q, p))
    assert ((divergence >= 0) & (divergence <= math.log(2))).all()
    assert (jensen_shannon(p, p) == 0).all()
    np.testing.assert_allclose(divergence, jensenshannon(p, q, axis=1) ** 2, atol=1e-9)
    official = mean_jensen_shannon(p, q, "official")
    assert official >= -1e-12 and official == mean_jensen_shannon(q, p, "official")


@given(two_outputs())
def test_activation_distance_is_bounded_and_the_official_form_never_smaller(pair: tuple[Array, Array]) -> None:
    near, far = activation_distance(*pair), activation_distance(*pair, "official")
    assert 0 <= near <= far + 1e-12 and far <= math.sqrt(2) + 1e-12
    assert activation_distance(pair[0], pair[0]) == 0


def test_disjoint_outputs_are_as_far_apart_as_can_be() -> None:
    p, q = np.eye(2), np.eye(2)[::-1]
    assert jensen_shannon(p, q).tolist() == [math.log(2)] * 2
    assert zrf(p, q) == exactly(1 - math.log(2)) and zrf(p, p) == 1
    assert activation_distance(p, q) == exactly(math.sqrt(2))


def test_single_precision_is_enough() -> None:
    assert mean_jensen_shannon(P.astype(np.float32), Q.astype(np.float32)) == pytest.approx(0.1038862056, abs=1e-7)
    rounded = 1.0005 * P  # as sums of half precision may be
    assert mean_jensen_shannon(P, rounded) < 1e-15 and activation_distance(P, rounded) < 1e-15


def test_agreement_and_tug_of_war() -> None:
    assert agreement(np.array([0, 1, 2, 2]), np.array([0, 1, 1, 2])) == 0.75
    ideal = Accuracies(0.0, 0.9, 0.8)
    assert tug_of_war(ideal, ideal) == 1
    assert tug_of_war(Accuracies(0.5, 0.8, 0.9), ideal) == exactly(0.5 * 0.9 * 0.9)
    assert tug_of_war(ideal, Accuracies(0.5, 0.8, 0.9)) == exactly(0.5 * 0.9 * 0.9)
    assert tug_of_war(Accuracies(1, 0.9, 0.8), ideal) == 0


BAD_OUTPUTS = [
    (P, Q[:3], r"probabilities: two equal shapes \(N, classes\) of at least one image expected, got \(4, 3\)"),
    (P[0], Q[0], "probabilities: two equal shapes"),
    (P[:0], Q[:0], "probabilities: two equal shapes"),
    (P, np.log(Q), "probabilities: numbers from 0 on that add up to 1 for each image expected, got values from -"),
    (P, 2 * Q, "probabilities: numbers from 0 on .* sums from 2 to 2"),
    (np.array([[1.5, -0.5]]), np.array([[0.5, 0.5]]), "probabilities: numbers from 0 on"),
    (P * np.nan, Q, "probabilities: numbers from 0 on"),
]


@pytest.mark.parametrize(("p", "q", "message"), BAD_OUTPUTS)
@pytest.mark.parametrize("measure", [jensen_shannon, mean_jensen_shannon, zrf, activation_distance])
def test_distances_refuse_what_is_no_pair_of_outputs(measure: Callable[..., object], p: Array, q: Array,
                                                     message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        measure(p, q)


def test_other_measures_refuse_what_they_cannot_use() -> None:
    with pytest.raises(ValueError, match=r"^predicted: one class per image .* got shapes \(2,\) and \(1,\)$"):
        agreement(np.array([0, 1]), np.array([0]))
    with pytest.raises(ValueError, match=r"^predicted: .* at least one image"):
        agreement(np.array([], int), np.array([], int))
    with pytest.raises(ValueError, match=r"^right: .* at least one image expected, got shape \(0,\)$"):
        mean_accuracy(np.array([], bool))
    with pytest.raises(ValueError, match=r"^batch_size: at least 1 expected, got 0$"):
        mean_accuracy(np.array([True]), "official", 0)
    with pytest.raises(ValueError, match=r"^retain: a share in \[0, 1\] expected, got 90$"):
        Accuracies(0.5, 90, 0.5)


# --- CKA ----------------------------------------------------------------------------------------------


def noise(*shape: int, seed: int = 0) -> npt.NDArray[np.float64]:
    return np.random.default_rng(seed).normal(size=shape)


def hsic_by_definition(k: Array, m: Array) -> float:
    """The U-statistic: the mean of K_ij (L_ij + L_qr - 2 L_iq) over all ordered quadruples of different images."""
    terms = [k[i, j] * (m[i, j] + m[q, r] - 2 * m[i, q]) for i, j, q, r in permutations(range(len(k)), 4)]
    return float(np.mean(terms))


@pytest.mark.parametrize(("n", "widths"), [(7, (3, 2)), (6, (40, 50)), (4, (2, 5))])
def test_cka_is_what_its_definition_says(n: int, widths: tuple[int, int]) -> None:
    """Both the narrow and the wide form; offsets make centring matter."""
    x, y = noise(n, widths[0]) + 3, noise(n, widths[1], seed=1) - 1
    y[:, 0] += x[:, 0]
    k, m = x @ x.T, y @ y.T
    expected = hsic_by_definition(k, m) / math.sqrt(hsic_by_definition(k, k) * hsic_by_definition(m, m))
    assert cka(x, y) == exactly(expected)


def test_the_narrow_and_the_wide_form_agree() -> None:
    """Columns of zeros change nothing but the choice of the form."""
    x, y = noise(30, 5), noise(30, 4, seed=1)
    y[:, :3] += x[:, :3]
    wide = [np.pad(part, ((0, 0), (0, 200))) for part in (x, y)]
    assert 0.3 < cka(x, y) < 0.9
    assert cka(wide[0], wide[1]) == exactly(cka(x, y))


@given(seed=st.integers(0, 10**6), scale=st.floats(1e-6, 1e6), shift=st.floats(-10, 10))
@settings(max_examples=25)
def test_cka_does_not_see_rotations_scale_and_shift(seed: int, scale: float, shift: float) -> None:
    x, y = noise(20, 4, seed=seed), noise(20, 6, seed=seed + 1)
    y[:, :4] += x
    rotation = np.linalg.qr(noise(6, 6, seed=seed + 2))[0]
    assert cka(x, scale * (y @ rotation + shift)) == pytest.approx(cka(x, y), abs=1e-7)
    assert cka(x, y) == exactly(cka(y, x))
    assert cka(x, scale * x + shift) == pytest.approx(1, abs=1e-9)
    assert -1 <= cka(x, y) <= 1


def test_cka_sees_other_invertible_maps() -> None:
    x = noise(50, 4)
    assert cka(x, x * np.array([1, 1, 1, 30])) < 0.8


def test_unrelated_wide_representations_are_not_alike() -> None:
    """With 20 images and 500 features each, the biased estimate would be near 1."""
    values = [cka(noise(20, 500, seed=i), noise(20, 500, seed=100 + i)) for i in range(40)]
    assert abs(np.mean(values)) < 0.03 and min(values) < 0


def test_cka_of_features_that_hardly_vary_is_not_a_number() -> None:
    x = noise(10, 3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for nothing in (np.full((10, 3), 0.1, np.float32), np.zeros((10, 2))):
            assert math.isnan(cka(x, nothing)) and math.isnan(cka(nothing, x))
        for n in range(4, 40):
            single = noise(1, 7, seed=n).repeat(n, 0)
            single[3] += noise(7)  # only one image differs: its kernel has nothing off the diagonal
            assert math.isnan(cka(noise(n, 3), single))
    assert cka(1e-200 * x, 1e200 * x) == exactly(1)
    assert cka(x.astype(np.float32), x.astype(np.float32) + 1000) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize(("x", "y"), [
    (noise(5, 2), noise(6, 2)), (noise(3, 2), noise(3, 2)), (noise(5), noise(5)), (noise(5, 0), noise(5, 2))])
def test_cka_refuses_what_does_not_fit(x: Array, y: Array) -> None:
    with pytest.raises(ValueError, match=r"^features: two matrices of the same images, at least 4, expected, got "):
        cka(x, y)


def test_cka_refuses_what_is_not_finite() -> None:
    with pytest.raises(ValueError, match=r"^features: finite numbers expected, got NaN or infinity"):
        cka(noise(5, 2) * np.inf, noise(5, 2))


# --- features layer by layer --------------------------------------------------------------------------


def small(name: str, seed: int = 0) -> nn.Module:
    """A network whose batch norms have seen something, left in training mode."""
    model = models.build(name, channels=1, classes=10, size=12, generator=generator(seed))
    model.train()(pixels(32, seed=9))
    return model


def pixels(n: int, seed: int = 0) -> Tensor:
    return torch.randn(n, 1, 12, 12, generator=generator(seed))


def test_stages_of_known_networks() -> None:
    assert stages(small("small-resnet")) == ("stem", "block1", "block2", "block3", "head")
    assert stages(small("small-vit")) == (
        "patch", "position", "blocks.0", "blocks.1", "blocks.2", "blocks.3", "norm", "head")


def test_stages_of_torchvisions_networks() -> None:
    import torchvision

    with torch.device("meta"):
        resnet, mobile = torchvision.models.resnet18(), torchvision.models.mobilenet_v2()
        google = torchvision.models.GoogLeNet(aux_logits=False, init_weights=False)
        vgg = torchvision.models.vgg11(init_weights=False)
        vit = torchvision.models.VisionTransformer(32, 8, 3, 2, 16, 32)
    assert stages(resnet) == ("conv1", "bn1", "relu", "maxpool", *(f"layer{i}.{j}" for i in (1, 2, 3, 4)
                                                                  for j in (0, 1)), "avgpool", "fc")
    assert stages(vit) == ("conv_proj", *(f"encoder.layers.encoder_layer_{i}" for i in range(3)), "encoder.ln", "heads")
    assert stages(vgg) == (*(f"features.{i}" for i in range(21)), "avgpool", "classifier")
    assert stages(mobile)[:2] == ("features.0", "features.1") and stages(mobile)[-1] == "classifier"
    assert "inception3a" in stages(google) and "dropout" not in stages(google)


def test_features_of_the_small_networks() -> None:
    model, x = small("small-resnet"), pixels(6)
    found = layer_features(model, x)
    assert list(found) == ["stem", "block1", "block2", "block3", "head"]
    assert [values.shape for values in found.values()] == [(6, 16), (6, 16), (6, 32), (6, 64), (6, 10)]
    whole = outputs(model, x)
    np.testing.assert_allclose(found["block3"], whole.features, atol=1e-6)
    np.testing.assert_allclose(found["head"], whole.logits, atol=1e-6)
    still = copy.deepcopy(model).eval()
    np.testing.assert_allclose(found["stem"], still.stem(x).mean((2, 3)).detach(), atol=1e-6)  # type: ignore[operator]
    vit = small("small-vit")
    tokens = layer_features(vit, x)
    np.testing.assert_allclose(tokens["norm"], outputs(vit, x).features, atol=1e-6)
    assert tokens["patch"].shape == (6, 64) and list(tokens) == list(stages(vit))
    assert all(values.dtype == np.float32 for values in (*found.values(), *tokens.values()))


def test_features_come_in_batches_and_leave_the_network_alone() -> None:
    model, x = small("small-resnet"), pixels(251)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    found = layer_features(model, x)
    assert model.training and not any(module._forward_hooks for module in model.modules())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert {len(values) for values in found.values()} == {251}
    np.testing.assert_allclose(found["block2"][250:], layer_features(model, x[250:])["block2"], atol=1e-6)


def test_features_with_other_weights_and_statistics() -> None:
    model, other, x = small("small-resnet"), small("small-resnet", seed=5), pixels(8)
    swapped = layer_features(model, x, other.state_dict())
    for name, values in layer_features(other, x).items():
        np.testing.assert_array_equal(swapped[name], values)
    assert not np.allclose(swapped["stem"], layer_features(model, x)["stem"])


def test_features_are_those_before_a_layer_overwrites_them() -> None:
    model, x = nn.Sequential(nn.Flatten(), nn.Linear(144, 5), nn.ReLU(inplace=True), nn.Linear(5, 2)), pixels(9)
    found = layer_features(model, x)
    assert found["1"].min() < 0 and found["2"].min() == 0
    np.testing.assert_array_equal(np.maximum(found["1"], 0), found["2"])


class Total(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x[..., 0].T  # images last


class Odd(nn.Module):
    """Runs its layers out of order, one twice, one never, and one whose output is a pair."""

    def __init__(self) -> None:
        super().__init__()
        self.never = nn.Linear(3, 3)
        self.last = nn.Linear(144, 2)
        self.twice = nn.ReLU()
        self.pair = nn.LSTM(144, 4)
        self.flat = nn.Flatten()
        self.drop = nn.Dropout()
        self.turned = nn.Unflatten(1, (144, 1))
        self.sum = Total()

    def forward(self, x: Tensor) -> Tensor:
        x = self.twice(self.flat(x))
        self.pair(x)
        self.sum(self.turned(x))
        found: Tensor = self.twice(self.last(self.drop(x)) - 1)
        return found


def test_features_of_an_odd_network() -> None:
    model, x = Odd(), pixels(253)
    found = layer_features(model, x)
    assert list(found) == ["flat", "turned", "last", "twice"] and found["twice"].shape == (253, 2)
    np.testing.assert_array_equal(found["flat"], x.flatten(1))


def test_features_of_two_threads_do_not_mix() -> None:
    model, x = small("small-resnet"), pixels(20)
    states = [small("small-resnet", seed=i).state_dict() for i in range(4)]
    expected = [layer_features(model, x, state)["block3"] for state in states]
    found: dict[int, Array] = {}

    def work(i: int) -> None:
        for _ in range(3):
            found[i] = layer_features(model, x, states[i])["block3"]

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for i, values in enumerate(expected):
        np.testing.assert_array_equal(found[i], values)


def test_features_refuse_what_they_cannot_read() -> None:
    model = small("small-resnet")
    with pytest.raises(ValueError, match=r"^pixels: at least one image expected, got none$"):
        layer_features(model, pixels(0))
    damaged = {name: value * torch.nan for name, value in model.named_parameters() if "block2" in name}
    with pytest.raises(ValueError, match=r"^model: finite outputs expected, got NaN or infinity in block2;"):
        layer_features(model, pixels(4), damaged)
    with pytest.raises(ValueError, match=r"^model: a network of at least one layer expected, got Linear without any$"):
        layer_features(nn.Linear(2, 2), pixels(4))


def test_layer_similarity_compares_the_right_images_and_networks() -> None:
    forgotten = np.arange(40) % 4 == 0
    nets = [{"a": noise(40, 3, seed=i), "b": noise(40, 5, seed=10 + i)} for i in range(4)]
    nets[0]["a"] = nets[1]["a"].copy()
    nets[0]["a"][forgotten] = noise(10, 3, seed=77)
    found = layer_similarity(nets[0], nets[1], nets[2:], forgotten)  # type: ignore[arg-type]
    assert list(found) == ["forget", "retain"] and found["forget"].layers == ("a", "b")
    assert found["retain"].original[0] == exactly(1) and found["forget"].original[0] < 0.9
    for part, chosen in (("forget", forgotten), ("retain", ~forgotten)):
        read = found[part]  # type: ignore[index]
        expected = [[cka(nets[0][k][chosen], nets[i][k][chosen]) for k in "ab"] for i in (2, 3)]
        np.testing.assert_allclose(read.retrained, expected)
        np.testing.assert_allclose(read.among_retrained, [[cka(nets[2][k][chosen], nets[3][k][chosen]) for k in "ab"]])
    alone = layer_similarity(nets[0], nets[1], [], forgotten)["forget"]  # type: ignore[arg-type]
    assert alone.retrained.shape == alone.among_retrained.shape == (0, 2)
    with pytest.raises(ValueError, match=r"^features: the layers a, b expected of every network, got a$"):
        layer_similarity(nets[0], {"a": nets[1]["a"]}, [], forgotten)  # type: ignore[arg-type]


# --- linear probe -------------------------------------------------------------------------------------


def probed(width: int = 8, n: int = 600, hidden: bool = False) -> tuple[Array, Array, Array]:
    """Features of four classes that differ in the first features; `hidden`: class 0 looks like class 1."""
    labels, member = np.arange(n) % 4, np.arange(n) < n // 2
    centres = 4 * np.eye(4, width)
    if hidden:
        centres[0] = centres[1]
    return noise(n, width) + centres[labels], labels, member


def linear_probe(features: Array, labels: Array, member: Array, classes: tuple[int, ...], **given: float) -> Probe:
    """The probe of whole classes."""
    return probe_of(features, labels, member, np.isin(labels, classes), **given)


def test_the_probe_finds_a_part_of_the_classes() -> None:
    """A group across classes, such as a person: told from the rest where a feature holds it, not where none does."""
    features, labels, member = probed()
    group = np.random.default_rng(3).random(600) < 0.2
    assert probe_of(features, labels, member, group).auc.value < 0.65
    features[group, 7] += 4
    found = probe_of(features, labels, member, group)
    assert found.auc.value > 0.98 and found.recovered.value > 0.8 and found.tested == 300
    with pytest.raises(ValueError, match=r"^labels: at least one unseen image of what was to be forgotten expected"):
        probe_of(features, labels, member, group & member)


def test_the_probe_finds_what_is_there_and_not_what_is_not() -> None:
    there = linear_probe(*probed(), (0,))
    assert there.recovered.value > 0.93 and there.others.value > 0.93 and there.auc.value > 0.98
    assert (there.fitted, there.tested) == (300, 300)
    gone = linear_probe(*probed(hidden=True), (0,))
    assert 0.3 < gone.recovered.value < 0.7 and gone.auc.value < 0.9
    labels = np.random.default_rng(1).integers(0, 4, 600)
    chance = linear_probe(noise(600, 8), labels, np.arange(600) < 300, (2,))
    assert chance.recovered.value < 0.5 and chance.auc.interval[0] < 0.5 < chance.auc.interval[1]


def test_the_probe_reads_the_unseen_images_of_the_right_classes() -> None:
    """Features of unseen images of class 0 are those of class 2: training images must not be read, nor the others."""
    features, labels, member = probed()
    features[~member & (labels == 0)] -= 4 * np.eye(4, 8)[0] - 4 * np.eye(4, 8)[2]
    probe = linear_probe(features, labels, member, (0,))
    assert probe.recovered.value < 0.1 and probe.others.value > 0.93 and probe.auc.value < 0.6
    both = linear_probe(features, labels, member, (0, 1))
    assert 0.4 < both.recovered.value < 0.6
    assert probe.recovered.interval == wilson(round(75 * probe.recovered.value), 75)
    assert both.recovered.interval == wilson(round(150 * both.recovered.value), 150)
    assert probe.others.interval == wilson(round(225 * probe.others.value), 225)


def test_the_probe_knows_classes_by_their_numbers() -> None:
    features, labels, member = probed()
    renamed = np.array([7, 2, 9, 4])[labels]
    assert linear_probe(features, renamed, member, (7,)) == linear_probe(features, labels, member, (0,))


def test_the_probe_does_not_depend_on_the_scale_of_a_feature_and_is_not_random() -> None:
    features, labels, member = probed(hidden=True)
    once = linear_probe(features, labels, member, (0,))
    assert once == linear_probe(features.copy(), labels, member, (0,))
    other = linear_probe(features * np.geomspace(1e-4, 1e4, 8) + 5, labels, member, (0,))
    assert other.auc.value == pytest.approx(once.auc.value, abs=1e-3)
    weak = linear_probe(features, labels, member, (0,), strength=1e-4)
    assert weak.auc.value != once.auc.value


def test_the_probes_auc_and_its_interval() -> None:
    from unlearn_core.audit.probe import auc

    high, low = np.round(noise(60) + 1, 1), np.round(noise(90, seed=1), 1)  # rounded: with ties
    truth = np.repeat([1, 0], [60, 90])
    assert auc(high, low).value == exactly(roc_auc_score(truth, np.concatenate([high, low])))
    pulled = np.random.default_rng(2)
    resampled = [auc(pulled.choice(high, 60), pulled.choice(low, 90)).value for _ in range(500)]
    width = np.diff(auc(high, low).interval)[0] / (2 * 1.96)
    assert width == pytest.approx(np.std(resampled), rel=0.15)
    assert auc(np.array([2.0]), np.array([1.0])).interval == (1, 1)


@pytest.mark.parametrize(("change", "message"), [
    (lambda f, y, m: (f[:5], y, m, (0,)), "features: one row, one label and one membership per image expected"),
    (lambda f, y, m: (f[:, 0], y, m, (0,)), "features: one row"),
    (lambda f, y, m: (f * np.nan, y, m, (0,)), "features: finite numbers expected"),
    (lambda f, y, m: (np.ones_like(f) * m[:, None], y, m, (0,)), "features: at least one that varies"),
    (lambda f, y, m: (f, y, m, (7,)), "forgotten: at least one image expected, got none"),
    (lambda f, y, m: (f, y, m & (y > 0), (0,)), "labels: at least one training image of class 0 expected, got none"),
    (lambda f, y, m: (f, y, m | (y == 0), (0,)), "labels: at least one unseen image of class 0 expected"),
    (lambda f, y, m: (f, y, m, (0, 1, 2, 3)), "labels: at least one training image of the rest expected"),
    (lambda f, y, m: (f, y, m | (y > 0), (0,)), "labels: at least one unseen image of the rest expected"),
])
def test_the_probe_refuses_what_it_cannot_judge(change: Callable[..., Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        linear_probe(*change(*probed()))


# --- relearn time -------------------------------------------------------------------------------------

QUICK = RelearnRecipe(lr=0.01, batch_size=25, epochs=10, checked=40)


def weights_of(method: str, **knobs: float) -> dict[str, Tensor]:
    chosen = METHODS[method]
    return chosen.run(learnt(), chosen.settings(knobs), silent).weights


def course(weights: dict[str, Tensor], recipe: RelearnRecipe = QUICK, task: Task | None = None, seed: int = 0,
           **given: Any) -> Relearning:
    task = task or learnt()
    return relearn(task.model, weights, task.train, task.request, generator(seed), recipe, **given)


def retrained() -> dict[str, Tensor]:
    return weights_of("retrain", epochs=10)


def test_a_retrained_network_takes_longer_than_one_that_only_hides() -> None:
    hidden, fresh = weights_of("head_zeroing"), replace(QUICK, fresh_rows=True)
    mine, theirs = course(hidden, fresh), course(retrained(), fresh)
    assert mine.steps is not None and theirs.steps is not None
    assert 0 < mine.steps < theirs.steps
    index = anamnesis(mine, theirs)
    assert index.value == exactly(mine.steps / theirs.steps) and index.known == "exactly" and index.value < 1


def test_nothing_is_to_be_relearnt_of_the_original() -> None:
    found = course({})
    assert found.steps == found.images == 0 and len(found.accuracy) == 1 and found.target == exactly(
        0.95 * found.accuracy[0])
    assert found.checked == 40


def test_rows_pushed_far_down_hide_a_network_that_knows_all() -> None:
    """The reason for fresh rows: Adam moves a bias by its learning rate a step, wherever it starts."""
    found = course(weights_of("head_zeroing"), replace(QUICK, epochs=2))
    assert found.steps is None and found.images is None and found.taken == 20 and set(found.accuracy) == {0.0}
    assert anamnesis(found, Relearning((0, 1.0), (0, 25), found.target, 40)).known == "at least"


def test_the_course_is_that_of_adam_on_all_training_images() -> None:
    task = learnt()
    by_hand = models.fresh(task.model, generator(1))
    start = copy.deepcopy(by_hand.state_dict())
    optimiser, source = torch.optim.Adam(by_hand.parameters(), 0.003), generator(3)
    order = torch.cat([torch.randperm(250, generator=source) for _ in range(2)]).split(25)
    shown = torch.nonzero(task.train.labels == 1).flatten()[:40]
    accuracy = []
    for step in range(18):
        by_hand.eval()
        accuracy.append(float((by_hand(task.train.pixels(shown)).argmax(1) == 1).double().mean()))
        by_hand.train()
        optimiser.zero_grad()
        F.cross_entropy(by_hand(task.train.pixels(order[step])), task.train.labels[order[step]]).backward()
        optimiser.step()
    found = course(start, replace(QUICK, lr=0.003, epochs=1.7, share=1.02), seed=3)
    assert found.accuracy == pytest.approx(accuracy) and len(set(accuracy)) > 8
    assert found.seen == tuple(range(0, 450, 25))


def gradients(model: nn.Module) -> list[Tensor | None]:
    return [value.grad for value in model.parameters()]


def test_the_course_is_seeded_and_leaves_all_it_was_given_alone() -> None:
    task, start = learnt(), retrained()
    kept = {name: value.clone() for name, value in start.items()}
    before = {name: value.clone() for name, value in task.model.state_dict().items()}
    state, grads = torch.get_rng_state(), gradients(task.model)
    one, two = course(start), course(start)
    assert one == two and one != course(start, seed=1)
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(value, before[name]) for name, value in task.model.state_dict().items())
    assert all(torch.equal(value, kept[name]) for name, value in start.items())
    assert not task.model.training and all(a is b for a, b in zip(grads, gradients(task.model), strict=True))


def test_fresh_rows_are_those_of_the_forgotten_classes_alone() -> None:
    from unlearn_core.audit.relearn import draw_rows

    model = copy.deepcopy(learnt().model)
    images = learnt().example
    before = copy.deepcopy(heads.head(model, images))
    draw_rows(model, images, (1, 3), generator())
    for value, old in zip(heads.head(model, images).parameters(), before.parameters(), strict=True):
        assert (value != old).reshape(5, -1).all(1).tolist() == [False, True, False, True, False]
        assert (value == old).reshape(5, -1).all(1).tolist() == [True, False, True, False, True]


def test_a_network_in_training_mode_stays_so() -> None:
    task = replace(learnt(), model=copy.deepcopy(learnt().model).train())
    found = course({}, task=task)
    assert found == course({}) and all(module.training for module in task.model.modules())


def test_dropout_is_drawn_from_the_generator_that_was_given() -> None:
    task = learnt()
    model = nn.Sequential(*copy.deepcopy(task.model), nn.Dropout(0.5))
    state = torch.get_rng_state()
    start = {name: value * 0.2 for name, value in model.named_parameters()}
    found = [course(start, replace(QUICK, share=1.0, epochs=0.4), replace(task, model=model)) for _ in range(2)]
    assert found[0] == found[1] and torch.equal(state, torch.get_rng_state())


def test_frozen_weights_stay() -> None:
    task = replace(learnt(), model=copy.deepcopy(learnt().model))
    task.model.requires_grad_(False)
    with pytest.raises(ValueError, match=r"^original: a network with at least one weight that is not frozen expected"):
        course({}, task=task)
    heads.head(task.model, task.example).bias.requires_grad_(True)
    bias = {"4.bias": torch.tensor([0.0, -30.0, 0.0, 0.0, 0.0])}
    found = course(bias, replace(QUICK, epochs=0.5), task)
    assert found.taken == 5 and found.accuracy[0] == 0


def test_every_step_is_told_and_may_cancel() -> None:
    heard: list[tuple[float, str]] = []
    course(weights_of("head_zeroing"), replace(QUICK, epochs=0.3), progress=lambda s, n: heard.append((s, n)))
    assert [share for share, _ in heard] == pytest.approx([1 / 3, 2 / 3, 1, 1])
    assert heard[0][1] == "relearning, step 1 of at most 3, accuracy 0%"

    def stop(share: float, note: str) -> None:
        heard.append((share, note))
        raise Cancelled

    heard.clear()
    with pytest.raises(Cancelled):
        course(weights_of("head_zeroing"), progress=stop)
    assert len(heard) == 1


def test_the_checked_images_are_shared_among_the_classes() -> None:
    from unlearn_core.audit.relearn import checked_positions

    train = learnt().train
    train = train.subset(torch.argsort(train.labels, stable=True))
    chosen = checked_positions(train, Request((1, 3)), 21)
    assert torch.bincount(train.labels[chosen], minlength=5).tolist() == [0, 11, 0, 10, 0]
    assert len(checked_positions(train, Request((1, 3)), 1000)) == 100
    some = forget_images([3, 4, 9], 250)
    assert sorted(checked_positions(train, some, 9).tolist()) == [3, 4, 9]
    single = replace(learnt(), request=some)
    assert course({}, task=single).checked == 3


def test_relearning_refuses_what_it_cannot_do() -> None:
    task = learnt()
    for weights in ({"5.bias": torch.zeros(5)}, {"4.bias": torch.zeros(4)}):
        with pytest.raises(ValueError, match=r"^weights: names and shapes of the network's expected, got \d.bias of"):
            course(weights)
    with pytest.raises(ValueError, match=r"^fresh_rows: a request that forgets whole classes expected"):
        course({}, replace(QUICK, fresh_rows=True), replace(task, request=forget_images([3], 250)))
    with pytest.raises(ValueError, match=r"^request: at least one training image to forget expected, got none$"):
        course({}, task=replace(task, train=task.train.subset(torch.nonzero(task.train.labels != 1).flatten())))
    ignorant = copy.deepcopy(task.model)
    with torch.no_grad():
        heads.head(ignorant, task.example).bias[1] = -1e4
    with pytest.raises(ValueError, match=r"^original: a network that recognises the forget set expected, got an accur"):
        course({}, task=replace(task, model=ignorant))
    with pytest.raises(Diverged, match=re.escape("(relearning, step 1)")):
        course({"4.bias": torch.full((5,), torch.nan)})


@pytest.mark.parametrize(("name", "value"), [
    ("lr", 0.0), ("lr", math.nan), ("epochs", -1.0), ("share", 0.0), ("batch_size", 0), ("checked", 0)])
def test_a_recipe_refuses_what_makes_no_sense(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=rf"^{name}: .* expected, got {value}$"):
        RelearnRecipe(**{name: value})  # type: ignore[arg-type]
    assert RelearnRecipe() == RelearnRecipe(1e-3, 256, 10.0, 0.95)


def test_the_anamnesis_index() -> None:
    def ran(steps: int, reached: bool, target: float = 0.9) -> Relearning:
        return Relearning((*(0.0,) * steps, 0.95 if reached else 0.5), tuple(range(steps + 1)), target, 10)

    for mine, theirs, value, known in [
        (ran(3, True), ran(6, True), 0.5, "exactly"), (ran(0, True), ran(6, True), 0.0, "exactly"),
        (ran(9, False), ran(6, True), 1.5, "at least"), (ran(3, True), ran(9, False), 1 / 3, "at most"),
    ]:
        found = anamnesis(mine, theirs)
        assert found.value == exactly(value) and found.known == known
    for mine, theirs in [(ran(9, False), ran(9, False)), (ran(3, True), ran(0, True))]:
        assert math.isnan(anamnesis(mine, theirs).value) and anamnesis(mine, theirs).known == "unknown"
    with pytest.raises(ValueError, match=r"^target: the same for both networks expected, got 0\.9 and 0\.8$"):
        anamnesis(ran(3, True), ran(3, True, 0.8))
