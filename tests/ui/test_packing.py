"""Tests of unlearn_core.packing: what a reader written from the description finds in it."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unlearn_core.packing import pack

KINDS = {"f4": np.float32, "u1": np.uint8, "u2": np.uint16, "i4": np.int32}


def unpack(message: bytes) -> tuple[dict[str, object], dict[str, np.ndarray]]:
    """The browser's reader: offsets count from the end of the header."""
    length = int.from_bytes(message[:4], "little")
    header = json.loads(message[4 : 4 + length])
    data, arrays = message[4 + length :], {}
    for name, entry in header.pop("arrays").items():
        count = math.prod(entry["shape"])
        values = np.frombuffer(
            data, np.dtype(KINDS[entry["dtype"]]).newbyteorder("<"), count, entry["offset"]
        )
        arrays[name] = values.reshape(entry["shape"])
    return header, arrays


ARRAYS = st.builds(
    lambda kind, shape, seed: np.random.default_rng(seed).integers(0, 200, shape).astype(kind),
    st.sampled_from(list(KINDS.values())),
    st.lists(st.integers(0, 4), max_size=3),
    st.integers(0, 9),
)


@given(arrays=st.dictionaries(st.text(max_size=5), ARRAYS, max_size=5), note=st.text(max_size=9))
def test_round_trip(arrays: dict[str, np.ndarray], note: str) -> None:
    header, found = unpack(pack({"note": note, "n": 3, "share": 0.5}, arrays))
    assert header == {"note": note, "n": 3, "share": 0.5}
    assert list(found) == list(arrays)
    for name, values in arrays.items():
        assert found[name].dtype == values.dtype and found[name].shape == values.shape
        np.testing.assert_array_equal(found[name], values)


@given(sizes=st.lists(st.integers(0, 20), max_size=6), note=st.text(max_size=20))
def test_everything_starts_at_a_multiple_of_eight(sizes: list[int], note: str) -> None:
    message = pack({"note": note}, {str(i): np.zeros(n, np.uint8) for i, n in enumerate(sizes)})
    length = int.from_bytes(message[:4], "little")
    assert (4 + length) % 8 == 0
    entries = json.loads(message[4 : 4 + length])["arrays"].values()
    assert all(entry["offset"] % 8 == 0 for entry in entries)


@pytest.mark.parametrize("dtype", [">f4", ">u2", ">i4", "<f4"])
def test_byte_order_and_memory_layout_of_the_source_do_not_matter(dtype: str) -> None:
    values = np.arange(24).reshape(2, 3, 4).astype(dtype)
    for view in (values, values.T, values[:, ::2], np.asfortranarray(values)):
        _, found = unpack(pack({}, {"x": view}))
        np.testing.assert_array_equal(found["x"], view)


def test_special_values_survive_in_arrays() -> None:
    values = np.array([np.nan, np.inf, -np.inf, -0.0, 1e-45], np.float32)
    assert unpack(pack({}, {"x": values}))[1]["x"].tobytes() == values.tobytes()


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_numbers_unknown_to_json_are_refused_in_the_header(bad: float) -> None:
    with pytest.raises(ValueError):
        pack({"nested": {"value": [1, bad]}}, {})


@pytest.mark.parametrize("dtype", [np.float64, np.int64, np.float16, bool, np.complex64, object, "U3"])
def test_unknown_dtypes_are_refused(dtype: object) -> None:
    with pytest.raises(KeyError):
        pack({}, {"x": np.zeros(2, dtype)})  # type: ignore[call-overload]
