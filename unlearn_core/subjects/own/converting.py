"""`convert`: the weights of a .pt or .pth file as safetensors, read in a limited process.

Such a file is a pickle, which can carry code. It is read with ``weights_only``, by which PyTorch builds tensors and
plain tables alone and refuses everything else; there is no other way in. Whatever a fault in that reader might let
through meets a process that has neither names of files nor the right to open one, or a connection, and little memory
and time; it is handed the file and a place for the answer, both opened.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from unlearn_core.subjects.own import limited
from unlearn_core.subjects.own.derived import written
from unlearn_core.subjects.own.description import opened, reason, shown

SECONDS = 300
_MOST_BYTES = 2**35


def convert(source: Path, target: Path) -> int:
    """Write the weights of a file of PyTorch's as safetensors.

    Args:
        source: made by ``torch.save`` of a ``state_dict()``, or of a table that holds one.
        target: must not be there yet.

    Returns:
        How many weights, counted as named tensors, were written.

    Raises:
        ValueError: if the file holds anything else, or takes too much; the message is a sentence.
        OSError: if the target cannot be written.
    """
    name = shown(source.name)
    if os.path.lexists(target):
        raise ValueError(f"{shown(target.name)} is there already; remove it, or choose another name with --out.")
    try:
        stream = opened(source)
    except OSError as error:
        raise ValueError(f"{name} cannot be read: {reason(error)}.") from error
    with stream, written(target) as answer:
        size = os.fstat(stream.fileno()).st_size
        if size > _MOST_BYTES:
            raise ValueError(f"{name}: at most {_MOST_BYTES >> 30} GiB expected, got {size / 2**30:.1f}.")
        files = stream.fileno(), answer.fileno()
        environment = {"PATH": os.environ.get("PATH", ""), "OMP_NUM_THREADS": "1"}
        ended = subprocess.run(
            [sys.executable, "-I", limited.__file__, *map(str, (*files, SECONDS))], pass_fds=files,
            stdin=subprocess.DEVNULL, capture_output=True, cwd="/", env=environment, check=False)
        said = ended.stdout.decode("utf-8", "replace").strip()
        if ended.returncode != 0 or not said.isdecimal():
            why = said.removeprefix("refused: ") if said.startswith("refused: ") else (
                f"reading it took more than {SECONDS} seconds or more memory than such a file needs, or it broke the "
                "reader")
            raise ValueError(f"{name}: {shown(why)}.")
    return int(said)
