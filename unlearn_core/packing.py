"""Arrays for the browser: a length, a JSON header, and raw little-endian arrays.

Layout: uint32 header length H, then H bytes of JSON padded so that the data starts at a multiple of 8, then
the arrays, each at a multiple of 8. `header["arrays"]` tells each array's dtype, shape and offset.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

ClassNumbers = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]
_KINDS = {"float32": "f4", "uint8": "u1", "uint16": "u2", "int32": "i4"}


def pack(header: Mapping[str, object], arrays: Mapping[str, npt.NDArray[np.generic]]) -> bytes:
    """Pack arrays of float32, uint8, uint16 or int32 behind a JSON header.

    Raises:
        KeyError: for any other dtype.
        ValueError: if the header holds a number that JSON does not know (NaN or infinity).
    """
    directory, body = {}, bytearray()
    for name, array in arrays.items():
        body += b"\0" * (-len(body) % 8)
        directory[name] = {"dtype": _KINDS[array.dtype.name], "shape": list(array.shape), "offset": len(body)}
        body += np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<")).tobytes()
    text = json.dumps({**header, "arrays": directory}, allow_nan=False).encode()
    text += b" " * (-(4 + len(text)) % 8)
    return len(text).to_bytes(4, "little") + text + bytes(body)


def class_numbers(labels: npt.NDArray[np.generic], classes: int) -> ClassNumbers:
    """Numbers of classes in as few bytes as there are classes for."""
    return labels.astype(np.uint8) if classes <= 256 else labels.astype(np.uint16)
