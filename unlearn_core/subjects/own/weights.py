"""The network of a subject: whether its architecture can be built, and whether a file holds its weights."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from unlearn_core.audit.similarity import stages
from unlearn_core.nets import heads, models
from unlearn_core.subjects.own.description import DESCRIPTION, limited, opened, reason, shown
from unlearn_core.subjects.own.pictures import Shape

MODEL = "model.safetensors"
RETRAINED, END = "retrained-", ".safetensors"
"""Files of networks that never saw what is to be forgotten begin and end so; what that is, and a number, stand
between."""
_MOST_RETRAINED = 1000
_MOST_HEADER = 2**20
_BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "F8_E4M3": 1, "F8_E5M2": 1,
          "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}
_OTHERS = {torch.int64: "I64", torch.int32: "I32", torch.int16: "I16", torch.int8: "I8", torch.uint8: "U8",
           torch.bool: "BOOL"}


def built(architecture: str, wanted: Shape, classes: int, layers: Mapping[str, str]) -> tuple[
        dict[str, Tensor] | None, list[str]]:
    """Build a network without its numbers and run it, as when it is used and as when it is trained.

    Returns:
        Its weights and buffers by name, on the meta device; None with faults that leave it of no use.
    """
    try:
        with torch.device("meta"):
            model = _build(architecture, wanted, classes)
            calls = heads.watched(model)
            answers = [model.train(trained)(torch.empty(2, wanted.channels, wanted.size, wanted.size))
                       for trained in (False, True)]
    except Exception as error:  # torchvision's networks say in many ways that they cannot take such images
        return None, [f"{DESCRIPTION}: architecture: one for {_images(wanted, classes)} expected, got "
                      f"{shown(architecture)} ({reason(error).splitlines()[0]})."]
    if any(not isinstance(answer, Tensor) or answer.shape != (2, classes) for answer in answers) or (
            not calls or calls[-1][2].shape != (2, classes)):
        return None, [f"{DESCRIPTION}: architecture: one expected that answers with one number a class, got "
                      f"{shown(architecture)}."]
    known = stages(model)[:-1]
    faults = [f"{DESCRIPTION}: layers: stages of the network ({', '.join(known)}) expected, got {shown(name)}."
              for name in layers if name not in known]
    return model.state_dict(), limited(faults, "stages")


def _build(architecture: str, wanted: Shape, classes: int) -> nn.Module:
    return models.build(architecture, channels=wanted.channels, classes=classes, size=wanted.size,
                        generator=torch.Generator(device="cpu"))


def _images(wanted: Shape, classes: int) -> str:
    return f"{wanted.size} x {wanted.size} pixels, {wanted.channels} channels and {classes:,} classes"


def retrained_files(folder: Path) -> list[str]:
    """Names of the files of retrained networks in a folder, sorted."""
    try:
        with os.scandir(folder) as entries:
            found = sorted(entry.name for entry in entries
                           if entry.name.startswith(RETRAINED) and entry.name.endswith(END))
    except OSError:
        return []
    return found[:_MOST_RETRAINED]


def unfit(file: Path, expected: dict[str, Tensor] | None) -> list[str]:
    """What is wrong with a file of weights.

    Args:
        file: in the subject's folder.
        expected: from `built`; None if that is not known, and only the file's own form can be checked.

    Returns:
        A sentence a fault; the first kind of fault ends the check, since what follows builds upon it.
    """
    name = shown(file.name)
    try:
        with opened(file) as stream:
            size = os.fstat(stream.fileno()).st_size
            length = int.from_bytes(stream.read(8), "little")
            if size < 10:
                return [f"{name}: a safetensors file expected, got {size} bytes."]
            if not 2 <= length <= min(_MOST_HEADER, size - 8):
                return [f"{name}: a header of at most 1 MiB, inside the file, expected; it says {length:,} bytes."]
            header = json.loads(stream.read(length).decode("utf-8"))
    except OSError as error:
        return [f"{name} cannot be read: {reason(error)}."]
    except (ValueError, RecursionError) as error:
        return [f"{name}: its header is not JSON: {reason(error)}."]
    if not isinstance(header, dict):
        return [f"{name}: its header is not a table."]
    header.pop("__metadata__", None)
    if expected is None:
        return []
    if faults := _other_names(name, header, expected):
        return faults
    total = 8 + length + sum(prod(said["shape"]) * _BYTES[said["dtype"]] for said in header.values())
    if total != size:
        return [f"{name}: {total:,} bytes expected, as its header says, got {size:,}."]
    return []


def _other_names(file: str, header: dict[str, Any], expected: dict[str, Tensor]) -> list[str]:
    """Weights that are missing, too many, or of another shape or kind."""
    faults = [f"{file}: {shown(name)} is missing." for name in expected if name not in header]
    for name, said in header.items():
        if name not in expected:
            faults.append(f"{file}: the network has no {shown(name)}.")
            continue
        wanted = expected[name]
        shape, kind = (said.get("shape"), said.get("dtype")) if isinstance(said, dict) else (None, None)
        if shape != list(wanted.shape) or not all(type(length) is int for length in shape):
            faults.append(f"{file}: {name}: shape {list(wanted.shape)} expected, got {shown(str(shape))}.")
        elif not (_is_float(kind) if wanted.is_floating_point() else kind == _OTHERS.get(wanted.dtype)):
            right = "a floating-point type" if wanted.is_floating_point() else _OTHERS.get(wanted.dtype)
            faults.append(f"{file}: {name}: {right} expected, got {shown(str(kind))}.")
    return limited(faults, f"weights of {file}")


def _is_float(kind: object) -> bool:
    return isinstance(kind, str) and kind in _BYTES and kind[0] in "FB" and kind != "BOOL"


def loaded(file: Path, architecture: str, wanted: Shape, classes: int) -> nn.Module:
    """The network with a file's weights, which `unfit` found no fault with, tried on two images of noise.

    Raises:
        ValueError: if the weights cannot be read, or make no network; the message is a sentence.
    """
    try:
        weights = load_file(file)
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{shown(file.name)} cannot be read: {reason(error)}.") from error
    for name, value in weights.items():
        if value.is_floating_point() and not bool(value.float().isfinite().all()):
            raise ValueError(f"{shown(file.name)}: {shown(name)} has numbers that are not finite.")
    model = _build(architecture, wanted, classes)
    try:
        model.load_state_dict(weights)
        with torch.no_grad():
            tried = torch.randn(2, wanted.channels, wanted.size, wanted.size, generator=torch.Generator())
            answer = model.eval()(tried)
    except Exception as error:  # whatever a network makes of weights that do not suit it
        raise ValueError(f"{shown(file.name)}: the network does not run: {reason(error)}.") from error
    if not bool(answer.isfinite().all()):
        raise ValueError(f"{shown(file.name)}: the network's answers are not finite.")
    return model.requires_grad_(True)
