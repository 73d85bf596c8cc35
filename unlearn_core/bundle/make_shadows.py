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
from unlearn_core.nets.evaluate import outputs
from unlearn_core.nets.train import seed_of, train
from unlearn_core.serving.shadows import NETWORKS, audited_rows, shadow_half, shadow_pool
from unlearn_core.subjects.subject import subject

SHADOWS = 64


def shadow_file(network: str, number: int) -> Path:
    """Where a finished shadow model is kept."""
    return WORK.parent / "shadows" / f"{network}-{number}.npz"


def run_shadow(network: str, number: int) -> None:
    """Train one shadow model and keep it, with its outputs on the audited images."""
    own = subject(network)
    pool = shadow_pool(own.images.train, own.evaluation)
    inside = shadow_half(number, len(pool))
    model = train(own.architecture, pool.subset(torch.nonzero(inside).flatten()),
                  seed=seed_of("shadow training", number), recipe=own.recipe)
    with replacing(shadow_file(network, number)) as file, file.open("wb") as stream:
        np.savez_compressed(stream, logits=outputs(model, own.evaluation.images.pixels()).logits.astype(np.float16),
                            inside=inside.numpy()[audited_rows(len(own.images.train), own.evaluation)],
                            **{f"weights/{name}": value.numpy() for name, value in model.state_dict().items()})


def make_shadows(network: str, jobs: int) -> None:
    """Train the shadow models of a subject that are not there yet, and put them into the assets.

    Packed are each audited image's margin in all of them, and the weights of the first.
    """
    shadow_file(network, 0).parent.mkdir(parents=True, exist_ok=True)
    in_processes(run_shadow, [(network, number) for number in range(SHADOWS)
                              if not shadow_file(network, number).exists()], jobs, "shadow models")
    found = [np.load(shadow_file(network, number), allow_pickle=False) for number in range(SHADOWS)]
    labels = subject(network).evaluation.labels
    save_arrays(f"shadows/{network}.npz", {
        "margins": np.stack([statistics(one["logits"], labels)["margin"] for one in found]).astype(np.float16),
        "inside": np.stack([one["inside"] for one in found])})
    save_file({f"{number}/{name.removeprefix('weights/')}": half(torch.from_numpy(one[name]))
               for number, one in enumerate(found[:NETWORKS])
               for name in one.files if name.startswith("weights/")},
              assets.ROOT / f"shadows/{network}.safetensors")
