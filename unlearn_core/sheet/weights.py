"""The weights of an outcome: their fingerprint, and the file that carries them with the recipe in its header."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

from safetensors.torch import save
from torch import Tensor, nn

from unlearn_core.methods.base import Cost, Outcome
from unlearn_core.serving.choice import VERSION, Choice


def state(model: nn.Module, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Everything `load_state_dict` takes: the original's with these in their place.

    Zero has no sign in it, so that two ways to the same network have the same bytes.
    """
    found = Outcome(dict(weights), {}, (), Cost()).state_dict(model)
    return {name: (value + 0.0 if value.is_floating_point() else value).detach().contiguous()
            for name, value in found.items()}


def fingerprint(weights: Mapping[str, Tensor]) -> str:
    """SHA-256 over names, types, shapes and values in the order of the names, whatever file they stand in."""
    found = hashlib.sha256()
    for name, value in sorted(weights.items()):
        found.update(repr((name, str(value.dtype), tuple(value.shape))).encode())
        found.update((value + 0.0 if value.is_floating_point() else value).detach().contiguous().numpy().tobytes())
    return found.hexdigest()


def packed(chosen: Choice, weights: Mapping[str, Tensor]) -> bytes:
    """A safetensors file; its header says what the weights were made by, as JSON.

    The recipe is one entry of the header: safetensors writes several in any order, and equal weights must have equal
    files.
    """
    recipe = {"key": chosen.key, "version": VERSION, "network": chosen.network, "forget": str(chosen.forget),
              "method": chosen.method, "settings": dict(chosen.settings), "seed": chosen.seed}
    return save({name: value.contiguous() for name, value in weights.items()},
                {"recipe": json.dumps(recipe)})
