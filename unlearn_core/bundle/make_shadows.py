"""How the shadow models that LiRA needs were trained."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from unlearn_core import assets
from unlearn_core.audit.membership import statistics
from unlearn_core.bundle.make_fashion import WORK
from unlearn_core.bundle.work import half, in_processes, save_arrays
from unlearn_core.files import replacing
from unlearn_core.nets.evaluate import evaluation_set, outputs
from unlearn_core.nets.train import seed_of, train
from unlearn_core.serving.shadows import NETWORKS, audited_rows, shadow_half, shadow_pool
from unlearn_core.subjects.fashion import fashion_mnist

SHADOWED, SHADOWS = "small-resnet", 64


def shadow_file(number: int) -> Path:
    """Where a finished shadow model is kept."""
    return WORK.parent / "shadows" / f"{number}.npz"


def run_shadow(number: int) -> None:
    """Train one shadow model and keep it, with its outputs on the audited images."""
    train_images, test_images = fashion_mnist("train"), fashion_mnist("test")
    audited = evaluation_set(train_images, test_images)
    pool = shadow_pool(train_images, audited)
    inside = shadow_half(number, len(pool))
    model = train(SHADOWED, pool.subset(torch.nonzero(inside).flatten()), seed=seed_of("shadow training", number))
    with replacing(shadow_file(number)) as file, file.open("wb") as stream:
        np.savez_compressed(stream, logits=outputs(model, audited.images.pixels()).logits.astype(np.float16),
                            inside=inside.numpy()[audited_rows(len(train_images), audited)],
                            **{f"weights/{name}": value.numpy() for name, value in model.state_dict().items()})


def make_shadows(jobs: int) -> None:
    """Train the shadow models that are not there yet."""
    shadow_file(0).parent.mkdir(parents=True, exist_ok=True)
    in_processes(run_shadow, [(number,) for number in range(SHADOWS) if not shadow_file(number).exists()], jobs,
                 "shadow models")


def pack_shadows() -> None:
    """Put the finished shadow models into the assets: each audited image's margin in all, the weights of the first."""
    found = [np.load(file, allow_pickle=False) for number in range(SHADOWS) if (file := shadow_file(number)).exists()]
    labels = evaluation_set(fashion_mnist("train"), fashion_mnist("test")).labels
    save_arrays(f"shadows/{SHADOWED}.npz", {
        "margins": np.stack([statistics(one["logits"], labels)["margin"] for one in found]).astype(np.float16),
        "inside": np.stack([one["inside"] for one in found])})
    save_file({f"{number}/{name.removeprefix('weights/')}": half(torch.from_numpy(one[name]))
               for number, one in enumerate(found[:NETWORKS])
               for name in one.files if name.startswith("weights/")},
              assets.ROOT / f"shadows/{SHADOWED}.safetensors")
