"""A subject: a trained network with the images it was trained on, and every reference there is for it.

Everything that depends on one network or one set of images is asked here, by the subject's name. The bundled subjects
and those of one's own are read alike; what a subject lacks is None, or empty.
"""

from __future__ import annotations

import hashlib
import os
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import cache, cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from unlearn_core import assets
from unlearn_core.audit.lira import Shadows
from unlearn_core.audit.similarity import stages
from unlearn_core.maps.projection import FeatureMap, fit_linear
from unlearn_core.measure.estimator import Importance, Loss
from unlearn_core.measure.gram import Gram, Patches, measure_grams, square
from unlearn_core.measure.history import ClassHistory
from unlearn_core.measure.task import Measurement, measure
from unlearn_core.nets import models
from unlearn_core.nets.evaluate import EvaluationSet
from unlearn_core.nets.images import Groups, ImageSet
from unlearn_core.nets.request import Request
from unlearn_core.nets.train import RECIPES, Recipe
from unlearn_core.packing import class_numbers
from unlearn_core.progress import Progress
from unlearn_core.subjects.data import bundled_images
from unlearn_core.subjects.parts import Grid, Images
from unlearn_core.subjects.poison import Poison, poisoned

Float32 = npt.NDArray[np.float32]
DESCRIPTION = "subject.toml"
FOLDER = "LACUNA_SUBJECTS"
"""The environment variable that names the folder of one's own subjects."""


MOST_OF_A_NAME = 120


@dataclass(frozen=True, eq=False)
class Subject:
    """A network with its images.

    Attributes:
        name: in addresses, on the command line, in keys.
        title: for people.
        about: what the images show, for people.
        architecture: as `models.build` knows it.
        classes: their names.
        recipe: how the network was trained; None if that is not known, so that it cannot be retrained.
        mark: makes the fingerprint.
        file: the path of a reference of some kind, by its name's end, or None where there is none. See `assets`.
        read: the images.
        model: the weights' file.
        named_layers: names for people by stage; empty for a network whose stages are called as in its code.
        licence: what may be done with the images, for people; empty where nobody said.
        credit: whose they are, likewise.
        origin: of everything but its retrained networks; empty for a bundled subject, which never changes.
    """

    name: str
    title: str
    about: str
    architecture: str
    classes: tuple[str, ...]
    recipe: Recipe | None
    mark: Callable[[], str]
    file: Callable[[str, str], Path | None]
    read: Callable[[], Images]
    model: Callable[[], Path]
    named_layers: Mapping[str, str] = field(default_factory=dict)
    licence: str = ""
    credit: str = ""
    origin: str = ""

    @cached_property
    def fingerprint(self) -> str:
        """Of everything that decides what the subject answers; a part of every key."""
        return self.mark()

    @cached_property
    def images(self) -> Images:
        """Read once."""
        return self.read()

    @property
    def evaluation(self) -> EvaluationSet:
        """The images that gauges and maps show."""
        return self.images.evaluation

    @property
    def groups(self) -> Mapping[str, Groups]:
        """Further ways to group the training images, by kind; none where the images cannot be read."""
        try:
            return self.images.train.groups
        except (assets.AssetError, OSError):
            return {}

    @cached_property
    def layers(self) -> dict[str, str]:
        """Stages of the network (see `audit.similarity.stages`) that maps are drawn of, and their names for people."""
        return dict(self.named_layers) or {name: name for name in stages(self.original())[:-1]}

    # -- networks ---------------------------------------------------------------------------------------------

    def network(self, weights: Mapping[str, Tensor]) -> nn.Module:
        """The architecture with these weights, in evaluation mode."""
        model = models.build(self.architecture, channels=self.images.train.images.shape[1], classes=len(self.classes),
                             size=self.images.train.images.shape[-1], generator=torch.Generator())
        model.load_state_dict(weights)
        return model.eval().requires_grad_(True)

    def original(self) -> nn.Module:
        """The network trained on everything.

        Raises:
            assets.AssetError: if its file is missing or altered.
        """
        return self.network(assets.read_tensors(self.model()))

    def retrained(self, request: Request) -> list[nn.Module]:
        """Networks retrained from a fresh start without what is to be forgotten, one per seed; possibly none."""
        return self._numbered(self._file_of("networks", "-without-", request, ".safetensors"))

    def _file_of(self, kind: str, between: str, request: Request, end: str) -> Path | None:
        name = f"{between}{request.slug}{end}"
        return None if len(name) > MOST_OF_A_NAME else self.file(kind, name)  # of a hundred images there is none

    def _numbered(self, file: Path | None) -> list[nn.Module]:
        """The networks of one file, in the order of their numbers."""
        stored: dict[int, dict[str, Tensor]] = {}
        for key, value in (assets.read_tensors(file) if file else {}).items():
            number, parameter = key.split("/")
            stored.setdefault(int(number), {})[parameter] = value
        return [self.network(stored[number]) for number in sorted(stored)]

    def retrained_logits(self, request: Request) -> Float32 | None:
        """(seeds, N, classes) outputs of the retrained networks on the evaluation set; None if there are none."""
        file = self.file("references", ".npz")
        return None if file is None else _references(file).get(f"logits{request.slug}")

    def retrained_others(self, request: Request) -> Float32 | None:
        """(seeds, N, classes) their outputs on `evaluate.other_images` of the request; None if there are none."""
        file = self._file_of("others", "-", request, ".npz")
        return None if file is None else assets.read_arrays(file)["logits"].astype(np.float32)

    def shadows(self) -> Shadows | None:
        """What the shadow models say of the evaluation set. See `unlearn_core.serving.shadows`."""
        file = self.file("shadows", ".npz")
        if file is None:
            return None
        table = assets.read_arrays(file)
        return Shadows(table["margins"].astype(np.float32), table["inside"].astype(np.bool_))

    def shadow_networks(self) -> list[nn.Module]:
        """Shadow models themselves, the first of those in `shadows`; possibly none."""
        return self._numbered(self.file("shadows", ".safetensors"))

    def sharded(self) -> list[list[dict[str, Tensor]]]:
        """By shard, the state after each slice of networks that were trained in shards (see `nets.sharded`); possibly
        none.
        """
        file = self.file("sharded", ".safetensors")
        stored: dict[int, dict[int, dict[str, Tensor]]] = {}
        for key, value in (assets.read_tensors(file) if file else {}).items():
            shard, part, name = key.split("/")
            stored.setdefault(int(shard), {}).setdefault(int(part), {})[name] = value
        return [[stored[shard][part] for part in sorted(stored[shard])] for shard in sorted(stored)]

    # -- statistics of the training images ----------------------------------------------------------------------

    def shipped_importance(self, request: Request, wanted: Measurement) -> Importance | None:
        """That importance if it follows from what is at hand: per sample, of any classes or of all images.

        An average over samples is the mean of those of its classes, which are equally large where this is bundled.
        """
        file = self.file("importances", f"-{wanted.estimator.loss}.safetensors")
        if file is None or wanted.estimator.unit != "per_sample" or not (request.classes or wanted.part == "all"):
            return None
        forgotten = list(request.classes)
        kept = [label for label in range(len(self.classes)) if label not in forgotten]
        classes = {"all": [-1], "forget": forgotten, "retain": kept}[wanted.part]
        return {layer: rows[classes].double().mean(0).to(rows.dtype)
                for layer, rows in _per_sample(file, wanted.estimator.loss).items()}

    def importances(self, model: nn.Module, train: ImageSet, request: Request, wanted: Measurement,
                    progress: Progress) -> Importance:
        """Importances as they are at hand when a request comes: those over all training images are.

        Those of the forget set are measured: nobody knows beforehand what will be asked to be forgotten.
        """
        shipped = self.shipped_importance(request, wanted) if wanted.part == "all" else None
        return measure(model, train, request, wanted, progress) if shipped is None else shipped

    def grams(self, model: nn.Module, train: ImageSet, positions: Tensor | None, patches: Patches,
              progress: Progress) -> Gram:
        """Gram matrices of the layers' inputs; those over all training images may be at hand."""
        file = self.file("grams", ".safetensors") if positions is None and patches == "exact" else None
        if file is None:
            return measure_grams(model, train, positions, patches, progress)
        stored = assets.read_tensors(file)
        return {layer: square(stored[layer]) for layer, _ in model.named_modules() if layer in stored}

    @cached_property
    def history(self) -> ClassHistory | None:
        """What was recorded while the original was trained."""
        file = self.file("histories", ".safetensors")
        return None if file is None else ClassHistory(assets.read_tensors(file))

    # -- pictures ---------------------------------------------------------------------------------------------

    def feature_map(self, layer: str, features: Float32) -> FeatureMap:
        """The map of the original's features of the evaluation set at one of `layers`: fitted beforehand, or else the
        plane of their two principal components.
        """
        file = self.file("maps", ".npz")
        if file is None:
            return FeatureMap(features, fit_linear(features).place(features))
        return FeatureMap(features, assets.read_arrays(file)[layer].astype(np.float32))

    def landscape(self, request: Request) -> Grid | None:
        """The evaluated landscape of SSD's default estimator."""
        file = self._file_of("landscapes", "-", request, ".npz")
        if file is None:
            return None
        table = assets.read_arrays(file)
        return Grid(table["index"].astype(np.uint16), table["gauges"].astype(np.float32),
                    table["xy"].astype(np.uint8), class_numbers(table["predicted"], len(self.classes)))

    def estimators(self) -> dict[str, Float32]:
        """Gauges for each of `landscape.ESTIMATORS`; possibly none.

        Returns:
            By title (classes, alphas, lambdas, 3), at `serving.grid.ALPHAS` and `landscape.GRID_LAMBDAS`.
        """
        file = self.file("landscapes", "-estimators.npz")
        table = {} if file is None else assets.read_arrays(file)
        return {title: values.astype(np.float32) for title, values in table.items()}


@lru_cache(8)
def _references(file: Path) -> dict[str, Float32]:
    found = {name: values.astype(np.float32) for name, values in assets.read_arrays(file).items()}
    for values in found.values():
        values.flags.writeable = False
    return found


@lru_cache(4)
def _per_sample(file: Path, loss: Loss) -> Importance:
    """(classes + 1, ...) each: of the images of each class and, last, of all."""
    return assets.read_tensors(file)


# -- which there are ------------------------------------------------------------------------------------------------


@cache
def bundled(data: str | None = None) -> dict[str, Subject]:
    """The subjects that come with the project, by name, or only those of one image set; the first is the default."""
    found = _described()[0]
    return {name: one for name, (place, kind, one) in sorted(found.items(), key=lambda item: (item[1][0], item[0]))
            if data in (None, kind)}


def left_out() -> tuple[str, ...]:
    """A sentence for each bundled subject whose description cannot be used: it is not among `bundled`."""
    return _described()[1]


@cache
def _described() -> tuple[dict[str, tuple[int, str, Subject]], tuple[str, ...]]:
    """Place in the list, image set and subject by name; and what could not be read."""
    found, faults = {}, []
    for file in (assets.ROOT / "subjects").glob(f"*/{DESCRIPTION}"):
        name = file.parent.name
        try:
            said = tomllib.loads(file.read_text("utf-8"))
            found[name] = int(said.get("place", 0)), str(said["data"]), _bundled(name, said)
        except (OSError, ValueError, KeyError, TypeError) as error:
            faults.append(f"assets/subjects/{name}/{DESCRIPTION} cannot be used ({assets.reason(error)}), so this "
                          "network is left out. Restore it from the repository.")
    if not found:
        raise assets.AssetError("assets/subjects: at least one subject expected, got none that can be read. Restore "
                                "the folder from the repository.")
    return found, tuple(faults)


def _bundled(name: str, said: dict[str, Any]) -> Subject:
    def file(kind: str, end: str) -> Path | None:
        wanted = f"{kind}/{name}{end}"
        return assets.path(wanted) if wanted in assets.manifest().files else None

    def fingerprint() -> str:
        try:
            sums = [known.sha256 for key, known in sorted(assets.manifest().files.items())
                    if key == f"networks/{name}.safetensors" or key.startswith(f"data/{said['data']}-")]
        except assets.AssetError:
            sums = []  # nothing can be computed, and so nothing kept, without the manifest
        return hashlib.sha256(repr((said, sums)).encode()).hexdigest()[:16]

    def read() -> Images:
        images, planted = _bundled_images(said["data"]), said.get("poison")
        return images if planted is None else Images(*poisoned(images.train, images.test, Poison(**planted)),
                                                     images.read)

    recipe = Recipe(**(asdict(RECIPES[said["architecture"]]) | said.get("recipe", {})))
    return Subject(name, said["title"], said["about"], said["architecture"], tuple(said["classes"]),
                   recipe, fingerprint, file, read,
                   lambda: assets.path(f"networks/{name}.safetensors"), said["layers"])


@cache
def _bundled_images(data: str) -> Images:
    def validation() -> ImageSet | None:
        return bundled_images(data, "validation") if f"data/{data}-validation.npz" in assets.manifest().files else None

    return Images(bundled_images(data, "train"), bundled_images(data, "test"), validation)


@cache
def subjects() -> dict[str, Subject]:
    """All subjects by name: the bundled ones, then the prepared ones in the folder of one's own, if there is one."""
    if (folder := own_folder()) is None:
        return bundled()
    from unlearn_core.subjects import own  # which makes subjects

    return bundled() | own.in_use(folder, frozenset(bundled()))


def own_folder() -> Path | None:
    """The folder of one's own subjects that the operator named."""
    return Path(folder) if (folder := os.environ.get(FOLDER)) else None


def look_again() -> list[str]:
    """Take up what was prepared since this process began.

    Returns:
        The names of known subjects that have other retrained networks than before: see `Engine.look_again`.
    """
    from unlearn_core.subjects import own

    if (folder := own_folder()) is None:
        return []
    others = own.take_up(folder, frozenset(bundled()))
    subjects.cache_clear()
    return others


def subject(name: str) -> Subject:
    """The subject of that name.

    Raises:
        ValueError: if there is none.
    """
    if name not in subjects():
        look_again()  # another process may have prepared it
    found = subjects().get(name)
    if found is None:
        raise ValueError(f"network: one of {', '.join(subjects())} expected, got {name!r}")
    return found
