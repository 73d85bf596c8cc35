"""What is bundled: networks, their true retrainings, reference importances, feature maps, landscapes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from unlearn_core import assets, models
from unlearn_core.audit.lira import Shadows
from unlearn_core.data import ImageSet, fashion_mnist
from unlearn_core.gram import Gram, GramSource, Patches, measure_grams
from unlearn_core.history import ClassHistory, History
from unlearn_core.importance import Importance, Loss
from unlearn_core.progress import Progress
from unlearn_core.projection import FeatureMap
from unlearn_core.scenario import Scenario
from unlearn_core.task import Importances, Measurement, measure

TITLES = {"small-resnet": "Small ResNet", "small-vit": "Small vision transformer"}
"""The bundled networks and their names for people."""

LAYERS = {
    "small-resnet": {"stem": "First convolution", "block1": "Block 1", "block2": "Block 2",
                     "block3": "Block 3, the last"},
    "small-vit": {"patch": "Patches", "blocks.0": "Block 1", "blocks.1": "Block 2", "blocks.2": "Block 3",
                  "blocks.3": "Block 4", "norm": "Norm, the last"},
}
"""The stages (see `audit.similarity.stages`) that maps are bundled for, first to last, and their names for people."""


@dataclass(frozen=True, eq=False)
class Grid:
    """Evaluated points of an (alpha, lambda) landscape, in the order of evaluation.

    Attributes:
        index: (P,) uint16, position alpha * len(lambdas) + lambda on the grid.
        gauges: (P, 3) float32 forget accuracy, retain accuracy, membership score.
        xy: (P, N, 2) uint8 map positions, 0..255.
        predicted: (P, N) uint8 most likely class.
    """

    index: npt.NDArray[np.uint16]
    gauges: npt.NDArray[np.float32]
    xy: npt.NDArray[np.uint8]
    predicted: npt.NDArray[np.uint8]


def image_sets() -> tuple[ImageSet, ImageSet]:
    """The training and the test images of the bundled networks."""
    return fashion_mnist("train"), fashion_mnist("test")


def network(name: str, weights: dict[str, Tensor]) -> nn.Module:
    """A bundled architecture with the given weights (half precision as shipped), in evaluation mode."""
    model = models.build(name, channels=1, classes=10, size=28, generator=torch.Generator())
    model.load_state_dict(weights)
    return model.eval().requires_grad_(True)


def original(name: str) -> nn.Module:
    """The network trained on everything.

    Raises:
        assets.AssetError: if its file is missing or altered.
    """
    return network(name, assets.tensors(f"networks/{name}.safetensors"))


def retrained(name: str, left_out: int) -> list[nn.Module]:
    """The networks retrained from a fresh initialisation without one class, one per seed."""
    return _numbered(name, f"networks/{name}-without-{left_out}.safetensors")


def _numbered(name: str, file: str) -> list[nn.Module]:
    """The networks of one file, in the order of their numbers."""
    stored: dict[int, dict[str, Tensor]] = {}
    for key, value in assets.tensors(file).items():
        number, parameter = key.split("/")
        stored.setdefault(int(number), {})[parameter] = value
    return [network(name, stored[number]) for number in sorted(stored)]


@lru_cache(32)  # every scene of a class shows the same
def retrained_logits(name: str, scenario: Scenario) -> npt.NDArray[np.float32] | None:
    """(seeds, N, classes) outputs of the retrained networks on the evaluation set; None if none are bundled."""
    file, key = f"references/{name}.npz", f"logits{'-'.join(map(str, scenario.forget_classes))}"
    table = assets.arrays(file) if file in assets.manifest().files else {}
    if key not in table:
        return None
    logits = table[key].astype(np.float32)
    logits.flags.writeable = False
    return logits


def retrained_others(name: str, scenario: Scenario) -> npt.NDArray[np.float32] | None:
    """(seeds, N, classes) their outputs on `evaluate.other_images` of the request; None if none are bundled."""
    file = f"others/{name}-{'-'.join(map(str, scenario.forget_classes))}.npz"
    return assets.arrays(file)["logits"].astype(np.float32) if file in assets.manifest().files else None


def shadows(name: str) -> Shadows | None:
    """What the shadow models say of the evaluation set; None if none are bundled. See `unlearn_core.shadows`."""
    file = f"shadows/{name}.npz"
    if file not in assets.manifest().files:
        return None
    table = assets.arrays(file)
    return Shadows(table["margins"].astype(np.float32), table["inside"].astype(np.bool_))


def shadow_networks(name: str) -> list[nn.Module]:
    """Shadow models themselves, the first of those in `shadows`; empty if none are bundled."""
    file = f"shadows/{name}.safetensors"
    return _numbered(name, file) if file in assets.manifest().files else []


@lru_cache(4)
def _per_sample(name: str, loss: Loss) -> Importance:
    """(classes + 1, ...) each: of the images of each class and, last, of all."""
    return assets.tensors(f"importances/{name}-{loss}.safetensors")


def shipped_importance(name: str, scenario: Scenario, wanted: Measurement) -> Importance | None:
    """That importance if it follows from what is bundled: per sample, of any classes or of all images.

    An average over samples is the mean of those of its classes, which are equally large in the bundled training set.
    """
    if wanted.estimator.unit != "per_sample":
        return None
    forgotten = list(scenario.forget_classes)
    classes = {"all": [-1], "forget": forgotten, "retain": [c for c in range(10) if c not in forgotten]}[wanted.part]
    table = _per_sample(name, wanted.estimator.loss)
    return {layer: rows[classes].double().mean(0).to(rows.dtype) for layer, rows in table.items()}


def importances(name: str) -> Importances:
    """Importances of a bundled network as they are at hand when a request comes: over all training images.

    Those of the forget set are measured, as they must be where it is not known beforehand.
    """
    def provide(model: nn.Module, train: ImageSet, scenario: Scenario, wanted: Measurement,
                progress: Progress) -> Importance:
        shipped = shipped_importance(name, scenario, wanted) if wanted.part == "all" else None
        return measure(model, train, scenario, wanted, progress) if shipped is None else shipped

    return provide


def grams(name: str) -> GramSource:
    """Gram matrices of a bundled network's layer inputs: those over all training images are shipped."""
    def provide(model: nn.Module, train: ImageSet, positions: Tensor | None, patches: Patches,
                progress: Progress) -> Gram:
        if positions is None and patches == "exact":
            stored = assets.tensors(f"grams/{name}.safetensors")
            return {layer: _square(stored[layer]) for layer, _ in model.named_modules() if layer in stored}
        return measure_grams(model, train, positions, patches, progress)

    return provide


def _square(triangle: Tensor) -> Tensor:
    """(groups, d, d) symmetric matrices from their (groups, d (d + 1) / 2) lower triangles, as shipped."""
    size = int((8 * triangle.shape[1] + 1) ** 0.5) // 2
    rows, columns = torch.tril_indices(size, size)
    square = triangle.new_empty(len(triangle), size, size)
    square[:, rows, columns] = square[:, columns, rows] = triangle
    return square


@cache
def history(name: str) -> History | None:
    """What was recorded while the original was trained; None if nothing was."""
    file = f"histories/{name}.safetensors"
    return ClassHistory(assets.tensors(file)) if file in assets.manifest().files else None


def feature_map(name: str, layer: str, features: npt.NDArray[np.float32]) -> FeatureMap:
    """The map fitted on the original's features of the evaluation set at one of `LAYERS`; positions are bundled."""
    return FeatureMap(features, assets.arrays(f"maps/{name}.npz")[layer].astype(np.float32))


def landscape(name: str, scenario: Scenario) -> Grid | None:
    """The bundled landscape of SSD's default estimator; None if none is bundled."""
    file = f"landscapes/{name}-{'-'.join(map(str, scenario.forget_classes))}.npz"
    if file not in assets.manifest().files:
        return None
    table = assets.arrays(file)
    return Grid(table["index"].astype(np.uint16), table["gauges"].astype(np.float32),
                table["xy"].astype(np.uint8), table["predicted"].astype(np.uint8))


def estimators(name: str) -> dict[str, npt.NDArray[np.float32]]:
    """Bundled gauges for each of `landscape.ESTIMATORS`; empty if there are none.

    Returns:
        By title (classes, alphas, lambdas, 3), at `engine.ALPHAS` and `landscape.GRID_LAMBDAS`.
    """
    file = f"landscapes/{name}-estimators.npz"
    table = assets.arrays(file) if file in assets.manifest().files else {}
    return {title: values.astype(np.float32) for title, values in table.items()}
