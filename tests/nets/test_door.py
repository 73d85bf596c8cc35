"""What people bring: networks and image sets of kinds that once gave wrong numbers in silence or raw errors."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from unlearn_core import METHODS, Task, evaluation_set, forget_classes, outputs, read_gauges
from unlearn_core.measure.estimator import Estimator
from unlearn_core.measure.importance import importance
from unlearn_core.measure.recording import record_training
from unlearn_core.methods.base import Diverged, NotApplicable
from unlearn_core.nets import heads, models
from unlearn_core.nets.evaluate import Outputs
from unlearn_core.nets.images import ImageSet, torchvision_set
from unlearn_core.nets.request import Request, forget_images
from unlearn_core.nets.train import Recipe
from unlearn_core.progress import silent

CONVOLVING = {"convolution_transpose", "masked_small_gradients"}
"""Methods that refuse a network without convolutions; `tests/methods/test_convolutions.py` has what is asked here."""


def images(n: int = 48, classes: int = 4, size: int = 8, channels: int = 1) -> ImageSet:
    labels = torch.arange(n) % classes
    x = torch.randint(0, 60, (n, channels, size, size), generator=torch.Generator().manual_seed(0))
    x += 40 * labels.view(-1, 1, 1, 1)
    return ImageSet("made up", x.byte(), labels, tuple(f"class {i}" for i in range(classes)), (0.4,) * channels,
                    (0.25,) * channels)


def flat(*layers: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), *layers).eval()


# --- modules under two names --------------------------------------------------------------------------------------


class Repeated(nn.Module):
    """One block that runs twice, under one name or under two."""

    def __init__(self, names: int) -> None:
        super().__init__()
        self.stem, self.block = nn.Conv2d(1, 8, 3, 1, 1), nn.Conv2d(8, 8, 3, 1, 1)
        if names == 2:
            self.blocks = nn.ModuleList([self.block] * 2)
        self.head = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x).relu()
        for block in getattr(self, "blocks", [self.block] * 2):
            x = block(x).relu()
        logits: Tensor = self.head(x.mean((2, 3)))
        return logits


def test_a_block_under_two_names_is_measured_as_under_one() -> None:
    one, two = Repeated(1), Repeated(2)
    two.load_state_dict(one.state_dict(), strict=False)
    before = copy.deepcopy(two.state_dict())
    held = dict(two.named_parameters())
    data = images(100)
    batches = [(data.pixels(rows), data.labels[rows]) for rows in torch.split(torch.arange(100), 25)]
    estimator = Estimator("cross_entropy", "per_sample")
    expected, found = importance(one, batches, estimator), importance(two, batches, estimator)
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert all(torch.equal(value, before[name]) for name, value in two.state_dict().items())
    assert all(value is held[name] for name, value in two.named_parameters())
    selected = [[METHODS["ssd"].run(Task(model.eval(), data, forget_classes([1], 4)), {"alpha": alpha}, silent)
                 .trace["selected"] for alpha in (1.5, 2, 3)] for model in (one, two)]
    assert selected[0] == selected[1] and selected[0][0] > selected[0][2]


# --- image sets -----------------------------------------------------------------------------------------------------


def folders(root: Path, split: str, levels: dict[str, int], n: int = 4) -> None:
    for name, level in levels.items():
        (root / split / name).mkdir(parents=True)
        for i in range(n):
            Image.fromarray(np.full((8, 8, 3), level + i, np.uint8)).save(root / split / name / f"{i}.png")


def perfect(data: ImageSet, classes: ImageSet) -> Outputs:
    logits = np.eye(4, dtype=np.float32)[[classes.classes.index(data.classes[i]) for i in data.labels]] * 9
    return Outputs(logits + np.random.default_rng(0).random(logits.shape, np.float32), logits)


def test_classes_meet_by_name(tmp_path: Path) -> None:
    folders(tmp_path, "train", {"ant": 0, "bee": 60, "cat": 120, "dog": 180})
    folders(tmp_path, "test", {"ant": 0, "cat": 120, "dog": 180})
    train, test = (torchvision_set("ImageFolder", tmp_path, split) for split in ("train", "test"))  # type: ignore[arg-type]
    assert test.classes == train.classes and test.labels.unique().tolist() == [0, 2, 3]
    own = ImageSet("own", test.images, torch.arange(12) // 4, ("ant", "cat", "dog"), (0.1,) * 3, (0.9,) * 3)
    for part in (test, own):  # however the pair was made
        shown = evaluation_set(train, part, 4)
        assert (shown.images.mean, shown.images.std) == (train.mean, train.std)
        gauges = read_gauges(perfect(shown.images, train), shown.labels, shown.member, shown.labels == 1)
        assert gauges["retain"].value == 1.0
    stranger = replace(own, classes=("ant", "cat", "eel"))
    with pytest.raises(ValueError, match=r"^classes: those of the training set expected \(ant, bee, cat, dog\), each "
                                         r"name once, got images of eel$"):
        evaluation_set(train, stranger, 4)


def test_test_images_are_scaled_as_the_training_images_were(tmp_path: Path) -> None:
    folders(tmp_path, "train", {"ant": 100, "bee": 150})
    folders(tmp_path, "test", {"ant": 200, "bee": 250})
    train, test = (torchvision_set("ImageFolder", tmp_path, split) for split in ("train", "test"))  # type: ignore[arg-type]
    assert (test.mean, test.std) == (train.mean, train.std)
    assert torch.equal(test.pixels(), ((test.images.float() / 255 - train.mean[0]) / train.std[0]))
    handed = torchvision_set("ImageFolder", tmp_path, "test", train=replace(train, mean=(0.5,) * 3))
    assert handed.mean == (0.5,) * 3


@pytest.mark.parametrize("mode", ["RGBA", "CMYK", "P", "1", "L", "LA", "I;16", "RGB"])
def test_pictures_of_any_mode(mode: str, tmp_path: Path) -> None:
    folder = tmp_path / "train" / "ant"
    folder.mkdir(parents=True)
    picture = (Image.fromarray(np.full((8, 8), 128 * 257, np.uint16)) if mode == "I;16"
               else Image.fromarray(np.full((8, 8, 3), 255 if mode == "1" else 128, np.uint8))
               .convert("L" if mode == "P" else "RGB").convert(mode))
    picture.save(folder / ("a.tif" if mode == "CMYK" else "a.png"))
    found = torchvision_set("ImageFolder", tmp_path, "train")
    assert found.images.shape == (1, 3, 8, 8)
    assert (found.images.float() - (255 if mode == "1" else 128)).abs().max() <= 1


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int8, torch.int16, torch.int32])
def test_labels_of_any_whole_number(dtype: torch.dtype) -> None:
    data = images()
    given = replace(data, labels=data.labels.to(dtype))
    assert given.labels.dtype == torch.int64
    with pytest.raises(ValueError, match=r"^labels: whole numbers expected, got torch.float32$"):
        replace(data, labels=data.labels.float())


def test_a_class_without_images_is_a_sentence() -> None:
    train, test = images(), images()
    shown = evaluation_set(train.subset(torch.nonzero(train.labels != 1).flatten()), test, 5)
    said = perfect(shown.images, train)
    with pytest.raises(ValueError, match=r"got no training images to forget: their gauge cannot be read$"):
        read_gauges(said, shown.labels, shown.member, shown.labels == 1)


# --- networks -------------------------------------------------------------------------------------------------------


class Backwards(nn.Module):
    """Its layers are defined in another order than they run in."""

    def __init__(self) -> None:
        super().__init__()
        self.fc, self.embed = nn.Linear(16, 4), nn.Linear(64, 16)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.fc(self.embed(x.flatten(1)).relu())
        return logits


def test_the_head_is_what_gives_the_logits() -> None:
    task = Task(Backwards().eval(), images(), forget_classes([1], 4), recipe=Recipe("sgd", 1, 16, 0.01, 0.0))
    assert heads.head(task.model, task.example) is task.model.fc
    outcome = METHODS["head_zeroing"].run(task, {}, silent)
    before = dict(task.model.named_parameters())
    assert {name for name, value in outcome.parameters.items() if not torch.equal(value, before[name])} == {
        "fc.weight", "fc.bias"}
    said = outputs(task.model, task.train.pixels(), outcome.weights)
    assert said.features.shape == (48, 16) and not (said.predicted == 1).any()
    for name in sorted(METHODS.keys() - {"amnesiac", "partial_amnesiac", *CONVOLVING}):
        METHODS[name].run(task, {}, silent)


class Twofold(nn.Module):
    """Gives a second output in training, as GoogLeNet does."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(64, 4)

    def forward(self, x: Tensor) -> object:
        logits = self.fc(x.flatten(1))
        return (logits, logits) if self.training else logits


REFUSED = {
    "one output": (flat(nn.Linear(64, 1)), "an output for each of the 4 classes expected, got 1"),
    "too many": (flat(nn.Linear(64, 9)), "an output for each of the 4 classes expected, got 9"),
    "softmax": (flat(nn.Linear(64, 4), nn.Softmax(1)), "raw logits expected, got probabilities; take away the softmax"),
    "two outputs": (Twofold().eval(), "one output in training mode too expected, got tuple"),
    "map": (nn.Conv2d(1, 4, 1), r"logits of shape \(2, classes\), got torch.float32 of shape \(2, 4, 8, 8\)"),
    "other images": (flat(nn.Linear(7, 4)), r"takes images of shape \(1, 8, 8\) expected, got one that fails on them"),
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_no_classifier_is_refused_by_every_method(kind: str, method: str) -> None:
    model, sentence = REFUSED[kind]
    task = Task(model, images(), forget_classes([1], 4), recipe=Recipe("sgd", 1, 16, 0.01, 0.0))
    with pytest.raises(ValueError, match=f"^model: .*{sentence}"):
        METHODS[method].run(task, {}, silent)


def test_the_evaluation_refuses_probabilities() -> None:
    with pytest.raises(ValueError, match=r"^model: raw logits expected, got probabilities"):
        outputs(REFUSED["softmax"][0], images().pixels())
    with pytest.raises(ValueError, match=r"^labels: one of the network's 1 outputs expected for .*, got class 3$"):
        read_gauges(outputs(REFUSED["one output"][0], images().pixels()), images().labels.numpy(),
                    np.arange(48) < 24, images().labels.numpy() == 1)


def test_googlenet_trains_on_its_logits() -> None:
    model = models.build("googlenet", channels=3, classes=4, size=32, generator=torch.Generator().manual_seed(0))
    assert isinstance(model.train()(torch.randn(2, 3, 32, 32)), Tensor)


def test_the_check_leaves_no_trace() -> None:
    model = flat(nn.Linear(64, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 4))
    model[2].train()
    before, modes = copy.deepcopy(model.state_dict()), [module.training for module in model.modules()]
    state = torch.get_rng_state()
    heads.check(model, images().pixels(), 4)
    assert torch.equal(torch.get_rng_state(), state) and modes == [module.training for module in model.modules()]
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    model[4] = nn.Linear(8, 5)  # a network that was changed since is tried again
    with pytest.raises(ValueError, match=r"got 5$"):
        heads.check(model, images().pixels(), 4)


# --- frozen modules -------------------------------------------------------------------------------------------------


def half_frozen() -> nn.Sequential:
    """A frozen backbone with a batch norm of each kind, and a head that learns."""
    torch.manual_seed(0)
    backbone = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.BatchNorm1d(16), nn.ReLU(),
                             nn.BatchNorm1d(16, affine=False))
    backbone(images().pixels())  # statistics of its own
    backbone.requires_grad_(False)
    return nn.Sequential(backbone, nn.Linear(16, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 4)).eval()


@pytest.mark.parametrize("method", sorted(METHODS.keys() - CONVOLVING))
@pytest.mark.parametrize("preset", ["", "official"])
def test_frozen_modules_stay_as_they_are(method: str, preset: str) -> None:
    model, data = half_frozen(), images()
    chosen = METHODS[method].presets[preset].settings if preset in METHODS[method].presets else {}
    recorded = copy.deepcopy(model)
    history = record_training(recorded, torch.optim.SGD(recorded.parameters(), 0.01), data,
                              [torch.split(torch.arange(48), 16)])
    task = Task(model, data, forget_classes([1], 4), history=history, recipe=Recipe("sgd", 2, 16, 0.01, 0.0))
    outcome = METHODS[method].run(task, chosen, silent)
    changed = copy.deepcopy(model)
    changed.load_state_dict(outcome.state_dict(model))
    with torch.no_grad():
        assert torch.equal(changed[0](data.pixels()), model[0](data.pixels()))


def test_relearning_and_fresh_networks_leave_frozen_modules_alone() -> None:
    model = half_frozen()
    new = models.fresh(model, torch.Generator().manual_seed(1))
    assert all(torch.equal(a, b) for a, b in zip(new[0].state_dict().values(), model[0].state_dict().values(),
                                                 strict=True))
    assert not torch.equal(new[1].weight, model[1].weight)
    modes = [module.training for module in models.in_training(model)]
    assert modes == [False, True, True, True, True] and not model[0][4].training


# --- a batch of one, and other precisions ---------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_a_single_image_is_forgotten_or_refused_in_a_sentence(method: str) -> None:
    model = flat(nn.Linear(64, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 4))
    task = Task(model, images(), forget_images([5], 48), recipe=Recipe("sgd", 1, 16, 0.01, 0.0))
    for settings in [{}, *(preset.settings for preset in METHODS[method].presets.values())][:2]:
        try:
            METHODS[method].run(task, settings, silent)
        except NotApplicable as refusal:
            assert str(refusal).endswith(".")


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("method", sorted(METHODS.keys() - {"amnesiac", "partial_amnesiac", *CONVOLVING}))
def test_weights_of_any_precision(method: str, dtype: torch.dtype) -> None:
    model = flat(nn.Linear(64, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 4)).to(dtype)
    task = Task(model, images(), Request((1,)), recipe=Recipe("sgd", 1, 16, 0.01, 0.0))
    try:
        outcome = METHODS[method].run(task, {}, silent)
    except Diverged:
        assert dtype == torch.float16  # Adam's smallest divisor is 0 in so few bits
        return
    assert all(value.dtype == dtype for value in outcome.parameters.values())
    assert outputs(model, task.train.pixels(), outcome.weights).logits.dtype == np.float32
