"""The content of an artifact's files, read without the libraries that made them: tensors of the state, weights outside.

Checksums show damage. These checks are for a folder whose maker may mean harm, or had a fault.
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sparcl_compile.interface.specs import StateSpec

LENGTH = 8
"""A safetensors file begins with the length of its JSON header, a little-endian integer of this many bytes."""
MOST_HEADER = 10**8
TYPES: Mapping[str, tuple[str, int]] = {"F32": ("float32", 4), "I32": ("int32", 4), "I64": ("int64", 8)}
"""The manifest's name and the bytes of an element, by safetensors' name of a type."""

DEPTH = 64
"""Graphs within graphs."""
TENSOR, PLACE, OUTSIDE = "tensor", 14, 13
"""TensorProto: ``data_location`` is 1 where the values lie in another file, and ``external_data`` names it."""
INSIDE: Mapping[str, Mapping[int, str]] = {
    "model": {7: "graph", 25: "function"},
    "graph": {1: "node", 5: TENSOR, 15: "sparse"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {5: TENSOR, 6: "graph", 10: TENSOR, 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: TENSOR, 2: TENSOR},
    TENSOR: {},
}
"""The messages of onnx.proto that may hold a tensor, by message and number of their field."""
DIMS, DATA_TYPE, RAW_DATA = 1, 2, 9
"""Fields of TensorProto."""
ELEMENTS: Mapping[int, int] = {1: 4, 2: 1, 3: 1, 4: 2, 5: 2, 6: 4, 7: 8, 9: 1, 10: 2, 11: 8, 12: 4, 13: 8, 16: 2}
"""Bytes of an element in ``raw_data``, by TensorProto's number of a type; types of less than a byte are left out."""
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5


def check_state(path: Path, specs: Mapping[str, StateSpec]) -> None:
    """Check that a state file holds the tensors of the manifest, and nothing else.

    Raises:
        ValueError: it does not; the message says why.
        OSError: it cannot be read.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(LENGTH), "little")
        if length > min(size, MOST_HEADER):
            raise ValueError("its header is longer than the file")
        header: Any = json.loads(file.read(length))
    if not isinstance(header, dict):
        raise ValueError("its header is no table")
    header.pop("__metadata__", None)
    for name in header.keys() ^ specs.keys():
        raise ValueError(f"{name!r} is {'not in the manifest' if name in header else 'missing'}")
    for name, entry in header.items():
        _check_entry(name, entry, specs[name], size - LENGTH - length)
    # As safetensors' own functions want it: every byte is one tensor's.
    spans = sorted(entry["data_offsets"] for entry in header.values())
    ends = [0, *(end for _, end in spans)]
    if [*(start for start, _ in spans), size - LENGTH - length] != ends:
        raise ValueError("its tensors leave bytes out, or lie in one another")


def _check_entry(name: str, entry: Any, spec: StateSpec, size: int) -> None:
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise ValueError(f"the entry of {name!r} is damaged")
    dtype, bytes_each = TYPES.get(str(entry["dtype"]), ("", 0))
    if dtype != spec.dtype or entry["shape"] != list(spec.shape):
        raise ValueError(f"{name!r} is {entry['dtype']} {entry['shape']}, the manifest has {spec.dtype} {spec.shape}")
    due = math.prod(entry["shape"]) * bytes_each
    offsets = entry["data_offsets"]
    whole = isinstance(offsets, list) and len(offsets) == 2 and all(type(offset) is int for offset in offsets)
    if not whole or not 0 <= offsets[0] <= offsets[1] <= size or offsets[1] - offsets[0] != due:
        raise ValueError(f"{name!r} does not lie in the file")


def check_graph(path: Path) -> None:
    """Check that an ONNX file keeps all its weights in itself, each with as much data as its shape says.

    ONNX Runtime 1.19.2 reads on behind data that are too short.

    Raises:
        ValueError: a weight lies in another file or has other data than its shape, or the file is no ONNX model.
        OSError: it cannot be read.
    """
    content = path.read_bytes()
    if _reaches_out(content, 0, len(content), "model", DEPTH):
        raise ValueError("a weight lies in another file")


def _reaches_out(content: bytes, at: int, end: int, kind: str, depth: int) -> bool:
    if depth < 0:
        raise ValueError("it is nested too deep")
    while at < end:
        key, at = _varint(content, at, end)
        number, wire = key >> 3, key & 7
        start, at = _field(content, at, end, wire)
        outside = number == OUTSIDE or (number == PLACE and _varint(content, start, end)[0] != 0)
        if kind == TENSOR and outside:
            return True
        inner = INSIDE[kind].get(number)
        if inner == TENSOR and wire == BYTES:
            _check_data(content, start, at)
        if inner and wire == BYTES and _reaches_out(content, start, at, inner, depth - 1):
            return True
    return False


def _check_data(content: bytes, at: int, end: int) -> None:
    """Check the length of a tensor's raw data against its shape; other forms of data ONNX Runtime checks itself."""
    size, element, given = 1, None, None
    while at < end:
        key, at = _varint(content, at, end)
        number, wire = key >> 3, key & 7
        start, at = _field(content, at, end, wire)
        if number == DIMS:
            size *= math.prod(_varints(content, start, at))
        elif number == DATA_TYPE:
            element = ELEMENTS.get(_varint(content, start, at)[0])
        elif number == RAW_DATA:
            given = at - start
    if given is not None and element is not None and given != size * element:
        raise ValueError("a tensor has other data than its shape says")


def _varints(content: bytes, at: int, end: int) -> list[int]:
    """The numbers of a field that holds one, or several packed."""
    found = []
    while at < end:
        value, at = _varint(content, at, end)
        found.append(value)
    return found


def _field(content: bytes, at: int, end: int, wire: int) -> tuple[int, int]:
    """The start of a field's value and the place behind it."""
    start = at
    if wire == VARINT:
        at = _varint(content, at, end)[1]
    elif wire == BYTES:
        length, start = _varint(content, at, end)
        at = start + length
    elif wire in (FIXED64, FIXED32):
        at += 8 if wire == FIXED64 else 4
    else:
        raise ValueError("it is no ONNX model")
    if at > end:
        raise ValueError("it is cut short")
    return start, at


def _varint(content: bytes, at: int, end: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= end:
            raise ValueError("it is cut short")
        byte = content[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
    raise ValueError("it is no ONNX model")
