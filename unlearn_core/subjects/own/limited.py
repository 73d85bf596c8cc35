"""Run as a script, with the numbers of two open files and of seconds: the process that reads for `converting`.

It imports nothing of the project, so that it starts quickly, and has little that could be misused.
"""

from __future__ import annotations

import io
import os
import resource
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import BinaryIO

import torch
from safetensors.torch import save
from torch import Tensor

MEMORY = 2**30
"""Bytes that the process may take beside four times the file."""
_NESTED = ("state_dict", "model_state_dict", "model", "net", "network", "weights")
"""Under which training scripts keep the weights in a table of other things."""
_WRAPPED = ("module.", "_orig_mod.")
"""What PyTorch's wrappers put before every name."""


def main() -> None:
    """Read and answer within the limits."""
    source, target = os.fdopen(int(sys.argv[1]), "rb"), os.fdopen(int(sys.argv[2]), "wb")
    rehearse()
    limit(os.fstat(source.fileno()).st_size, int(sys.argv[3]))
    print(converted(source, target), flush=True)
    os._exit(0)  # nothing more is to run here


def converted(source: BinaryIO, target: BinaryIO) -> str:
    """How many tensors were written, or ``refused:`` and why: the end of a sentence."""
    try:
        weights = _found(torch.load(source, map_location="cpu", weights_only=True))
        target.write(save(weights))
        target.flush()
        return str(len(weights))
    except MemoryError:
        return "refused: it asks for more memory than such a file needs"
    except Exception as error:  # a damaged or hostile file makes readers raise whatever they please
        text = str(error).strip().splitlines()
        return f"refused: {_why(text[0] if text else type(error).__name__)}"


def _why(text: str) -> str:
    if "weights_only" in text or "Weights only" in text or "Unsupported" in text:
        return "it holds more than weights, and the rest might be code; save the network's state_dict() instead"
    if "memory" in text or "alloc" in text:
        return "it asks for more memory than such a file needs"
    return f"a file that torch.save made of a network's state_dict() expected ({text})"


def rehearse() -> None:
    """Read small files of both kinds, so that all modules are imported before no file can be opened any more."""
    for kind in (True, False):
        stream = io.BytesIO()
        torch.save({"weight": torch.zeros(2, dtype=torch.bfloat16)}, stream, _use_new_zipfile_serialization=kind)
        stream.seek(0)
        save(_found(torch.load(stream, map_location="cpu", weights_only=True)))
    with suppress(Exception):
        torch.load(io.BytesIO(b"no such file"), weights_only=True)


def limit(size: int, seconds: int) -> None:
    """From here on: no new files or connections, no processes; memory and output bounded by the bytes of the file."""
    with open("/proc/self/statm", encoding="ascii") as stream:
        taken = int(stream.read().split()[0]) * resource.getpagesize()
    for kind, most in ((resource.RLIMIT_AS, taken + MEMORY + 4 * size), (resource.RLIMIT_CPU, seconds),
                       (resource.RLIMIT_FSIZE, 2 * size + 2**24), (resource.RLIMIT_CORE, 0),
                       (resource.RLIMIT_NPROC, 0), (resource.RLIMIT_NOFILE, 0)):
        resource.setrlimit(kind, (most, most))


def _found(said: object) -> dict[str, Tensor]:
    """The weights in what a file holds, by the names that the network itself gives them.

    Raises:
        ValueError: if there are none.
    """
    inside = [said[name] for name in _NESTED if name in said and isinstance(said[name], Mapping)] \
        if isinstance(said, Mapping) else []
    if len(inside) == 1:
        said = inside[0]
    if not isinstance(said, Mapping) or not said or not all(
            isinstance(name, str) and isinstance(value, Tensor) for name, value in said.items()):
        raise ValueError("a table of names and tensors expected, or one under state_dict or model")
    weights = {name: value.detach() for name, value in said.items()}
    if odd := [name for name, value in weights.items() if value.layout != torch.strided or value.is_quantized]:
        raise ValueError(f"{odd[0]}: an ordinary tensor expected")
    for prefix in _WRAPPED:
        if all(name.startswith(prefix) for name in weights):
            weights = {name.removeprefix(prefix): value for name, value in weights.items()}
    return {name: value.clone(memory_format=torch.contiguous_format) for name, value in weights.items()}


if __name__ == "__main__":
    main()
