"""What was worked out beforehand of a network on Fashion-MNIST: a function for each folder of assets."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from tqdm import tqdm

from unlearn_core import assets
from unlearn_core.audit.similarity import layer_features
from unlearn_core.bundle.make_fashion import SEEDS, all_retrained
from unlearn_core.bundle.work import in_processes, save_arrays, save_comparison, save_landscape, uncompared
from unlearn_core.maps.projection import fit_map
from unlearn_core.measure.estimator import Estimator, Loss
from unlearn_core.measure.gram import measure_grams
from unlearn_core.measure.recording import ClassRecorder
from unlearn_core.measure.task import Measurement, measure
from unlearn_core.nets.evaluate import evaluation_set, other_images, outputs
from unlearn_core.nets.request import Request
from unlearn_core.nets.train import MOMENTUM, RECIPES, seed_of, train
from unlearn_core.progress import silent
from unlearn_core.serving import remains
from unlearn_core.serving.choice import choice
from unlearn_core.serving.engine import Engine
from unlearn_core.serving.grid import ALPHAS
from unlearn_core.serving.landscape import ESTIMATORS, GRID_LAMBDAS, gauges
from unlearn_core.subjects.fashion import fashion_mnist
from unlearn_core.subjects.subject import subject

COMPARED_SEEDS = {"small-resnet": 3, "small-vit": 2}
RECORDED_EPOCHS, RECORDED_SHARES = 3, (0.01, 0.03, 0.1, 0.3)
LOSSES: tuple[Loss, ...] = ("cross_entropy", "squared_norm")


def make_references(architecture: str) -> None:
    """Outputs of every retrained network on the evaluation set."""
    pixels = evaluation_set(fashion_mnist("train"), fashion_mnist("test")).images.pixels()
    logits = {f"logits{left_out}": np.stack([outputs(model, pixels).logits for model in models])
              for left_out in tqdm(range(10), desc=f"references of {architecture}")
              if (models := all_retrained(architecture, left_out))}
    save_arrays(f"references/{architecture}.npz", logits)


def make_others(architecture: str) -> None:
    """Outputs of every retrained network on the audited images beyond the evaluation set, in half precision."""
    sets = fashion_mnist("train"), fashion_mnist("test")
    first = evaluation_set(*sets)
    for left_out in tqdm(range(10), desc=f"others of {architecture}"):
        name = f"others/{architecture}-{left_out}.npz"
        if (assets.ROOT / name).exists() or len(models := all_retrained(architecture, left_out)) < SEEDS[architecture]:
            continue
        forgotten = (sets[0].labels == left_out).numpy()
        pixels = torch.cat([sets[part == "test"].pixels(torch.from_numpy(rows))
                            for part, rows in other_images(*sets, first, forgotten)])
        save_arrays(name, {"logits": np.stack([outputs(model, pixels).logits for model in models]).astype(np.float16)})


def make_importances(architecture: str) -> None:
    """Per-sample importances of each class and, last, of all training images."""
    train_images = subject(architecture).images.train
    model = subject(architecture).original()
    (assets.ROOT / "importances").mkdir(parents=True, exist_ok=True)
    for loss in LOSSES:
        each = Measurement("forget", Estimator(loss, "per_sample"), 125, "given")
        found = [measure(model, train_images, Request((label,)), each, silent)
                 for label in tqdm(range(len(train_images.classes)), desc=f"importances of {architecture}, {loss}")]
        found.append(measure(model, train_images, Request(()), replace(each, part="all"), silent))
        save_file({name: torch.stack([part[name] for part in found]).contiguous() for name in found[0]},
                  assets.ROOT / f"importances/{architecture}-{loss}.safetensors")


def make_maps(architecture: str) -> None:
    """The original's maps, one a layer."""
    model = subject(architecture).original()
    features = layer_features(model, subject(architecture).evaluation.images.pixels())
    save_arrays(f"maps/{architecture}.npz", {
        layer: fit_map(features[layer], seed=seed_of("map", architecture, layer) % 2**31).astype(np.float16)
        for layer in tqdm(subject(architecture).layers, desc=f"maps of {architecture}")})


def _show(bar: tqdm[None], share: float, note: str = "") -> None:
    bar.update(round(100 * share) - bar.n)


def make_landscapes(architecture: str) -> None:
    """The (alpha, lambda) landscape of SSD's defaults for each class."""
    engine = Engine()
    for label in tqdm(range(10), desc=f"landscapes of {architecture}"):
        name = f"landscapes/{architecture}-{label}.npz"
        if (assets.ROOT / name).exists():
            continue
        save_landscape(name, engine, engine.prepare(choice(architecture, (label,), "ssd", {}), silent))


def make_estimators(architecture: str) -> None:
    """The gauges over alpha and lambda for each class and each way to measure importances."""
    engine, name = Engine(), f"landscapes/{architecture}-estimators.npz"
    empty = np.full((10, len(ALPHAS), len(GRID_LAMBDAS), 3), np.nan, np.float32)
    made = {title: empty.copy() for title in ESTIMATORS}
    if (assets.ROOT / name).exists():
        with np.load(assets.ROOT / name, allow_pickle=False) as table:
            made |= {title: table[title] for title in table.files}
    for label in tqdm(range(10), desc=f"estimators of {architecture}"):
        for title, (method_name, settings) in ESTIMATORS.items():
            values = made[title][label]
            for i, j in zip(*np.isnan(values[..., 0]).nonzero(), strict=True):
                at = {**settings, "alpha": ALPHAS[i], "lambda": GRID_LAMBDAS[j]}
                values[i, j] = gauges(engine, choice(architecture, (label,), method_name, at), silent)
            save_arrays(name, made)


def make_grams(architecture: str) -> None:
    """Gram matrices of every layer's inputs over all training images: lower triangles, in double precision."""
    with tqdm(desc=f"grams of {architecture}", total=100) as bar:
        found = measure_grams(subject(architecture).original(), fashion_mnist("train"), None, "exact",
                              partial(_show, bar))
    (assets.ROOT / "grams").mkdir(parents=True, exist_ok=True)
    triangles = {name: gram[:, *torch.tril_indices(*gram.shape[1:])].contiguous() for name, gram in found.items()}
    save_file(triangles, assets.ROOT / f"grams/{architecture}.safetensors")


def make_histories(architecture: str) -> None:
    """Train the original once more, bit by bit the same, and record how each class moved it in the last epochs."""
    recipe = RECIPES[architecture]
    if recipe.optimiser != "sgd":
        return  # only an SGD step is a sum of one part per class
    torch.set_num_threads(1)
    first = recipe.epochs - RECORDED_EPOCHS
    recorder: ClassRecorder | None = None
    with tqdm(desc=f"history of {architecture}", total=100) as bar:
        def watch(epoch: int, model: nn.Module, logits: Tensor, labels: Tensor, lr: float) -> None:
            nonlocal recorder
            if epoch >= first:
                recorder = recorder or ClassRecorder(model, MOMENTUM, 10, RECORDED_EPOCHS, RECORDED_SHARES)
                recorder.step(epoch - first, logits, labels, lr)

        model = train(architecture, fashion_mnist("train"), seed=seed_of("train", architecture, None, 0),
                      progress=partial(_show, bar), watch=watch)
    assert recorder is not None
    shipped_weights = subject(architecture).original().parameters()
    for (name, again), shipped in zip(model.named_parameters(), shipped_weights, strict=True):
        if not torch.equal(again, shipped):
            raise RuntimeError(f"{architecture}: {name} differs from the shipped network, so this is not its history; "
                               "remake the networks on this machine first")
    (assets.ROOT / "histories").mkdir(parents=True, exist_ok=True)
    save_file(recorder.tables(), assets.ROOT / f"histories/{architecture}.safetensors")


def make_comparisons(architecture: str, jobs: int) -> None:
    """Compare all methods for each class; what is there is kept, and completed by methods that are newer."""
    (assets.ROOT / "comparisons").mkdir(parents=True, exist_ok=True)
    todo = uncompared(architecture, [Request((label,)) for label in range(10)])
    if not todo:
        return
    torch.set_num_threads(1)
    started = time.perf_counter()
    retained = fashion_mnist("train")
    train(architecture, retained.subset(torch.nonzero(retained.labels != 0).flatten()), seed=0)
    seconds = time.perf_counter() - started
    in_processes(save_comparison, [(architecture, one, COMPARED_SEEDS[architecture], seconds) for one in todo], jobs,
                 f"comparisons of {architecture}")


def look_inside(architecture: str, label: int) -> None:
    """Look inside the original, head zeroing and every retrained network of one class."""
    sets = fashion_mnist("train"), fashion_mnist("test")
    found = remains.measure_reference(subject(architecture).original(), all_retrained(architecture, label), sets[0],
                                      evaluation_set(*sets), Request((label,)), remains.RELEARN[architecture])
    remains.save(found, assets.ROOT / f"remains/{architecture}-{label}.json")


def make_remains(architecture: str, jobs: int) -> None:
    """What remains of each class, for reference; finished files are kept."""
    (assets.ROOT / "remains").mkdir(parents=True, exist_ok=True)
    todo = [(architecture, label) for label in range(10)
            if not (assets.ROOT / f"remains/{architecture}-{label}.json").exists()]
    in_processes(look_inside, todo, jobs, f"remains of {architecture}")
