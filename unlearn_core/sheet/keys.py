"""Keyed hashes of images: who holds the key can show that an image was among them, nobody else can tell anything."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from unlearn_core.nets.images import ImageSet

KEY_FILE = "LACUNA_EVIDENCE_KEY"
"""The environment variable that names the key's file on a server. It stays with the operator."""
_BYTES = 32


def load_key(file: Path) -> bytes:
    """The key in a file.

    Raises:
        ValueError: if the file holds none.
        OSError: if it cannot be read.
    """
    with file.open("rb") as stream:
        text = stream.read(4 * _BYTES).strip()
    try:
        key = bytes.fromhex(text.decode("ascii"))
    except ValueError:
        key = b""
    if len(key) != _BYTES:
        raise ValueError(f"key: a file with {2 * _BYTES} hexadecimal digits expected, got {file}")
    return key


def keep_key(file: Path) -> bytes:
    """The key in a file, which is made, for its owner alone to read, if there is none.

    Raises:
        ValueError: as `load_key`.
        OSError: if it can be neither read nor written.
    """
    try:
        number = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return load_key(file)
    key = secrets.token_bytes(_BYTES)
    with os.fdopen(number, "w", encoding="ascii") as stream:
        stream.write(key.hex() + "\n")
    return key


def server_key() -> bytes | None:
    """The key of the server's operator; None if none was set."""
    file = os.environ.get(KEY_FILE)
    return load_key(Path(file)) if file else None


def image_hash(key: bytes, image: Tensor) -> str:
    """HMAC-SHA-256 of one image's shape and bytes.

    Args:
        key: the operator's.
        image: (C, H, W) uint8.
    """
    return hmac.new(key, f"{tuple(image.shape)}".encode() + image.numpy().tobytes(), hashlib.sha256).hexdigest()


def manifest(key: bytes, train: ImageSet, rows: Tensor) -> list[str]:
    """The hashes of these images in the order of the hashes, which tells nothing of the images' places."""
    return sorted(image_hash(key, train.images[row]) for row in rows.tolist())


def manifest_hash(key: bytes, hashes: Sequence[str]) -> str:
    """One keyed hash of them all."""
    return hmac.new(key, "\n".join(hashes).encode("ascii"), hashlib.sha256).hexdigest()
