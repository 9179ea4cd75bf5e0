"""Arrays that hold only the memory that they need: pages of their own, and the pages of a file."""

import ctypes
import json
import math
import mmap
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike

HEADER = 8
"""A safetensors file begins with the length of its JSON header, a little-endian integer of this many bytes."""
TYPES = {"F32": np.float32, "I32": np.int32, "I64": np.int64}
"""The types of state tensors, as safetensors names them."""


def pages(shape: Sequence[int], dtype: DTypeLike) -> np.ndarray:
    """Zeros of this shape in memory of their own.

    The system gives it page by page, when it is first written, and gets it back at once when the array goes: memory
    from an allocator is kept for the next request, which may never come. It begins on a page: vectorised reductions
    may sum in another order from another alignment, and a resumed run would then differ in the last bit.
    """
    size = math.prod(shape) * np.dtype(dtype).itemsize
    return np.ndarray(tuple(shape), dtype, buffer=mmap.mmap(-1, max(1, size), access=mmap.ACCESS_COPY))


def own_copy(array: np.ndarray) -> np.ndarray:
    """A copy of an array in memory of its own."""
    copy = pages(array.shape, array.dtype)
    copy[...] = array
    return copy


def stored(path: Path) -> Iterator[tuple[str, np.ndarray]]:
    """Each tensor of a safetensors file by name, read-only, its contents mapped and not read.

    The system reads a page when it is needed, and can drop it again at any time. safetensors' own functions copy.
    """
    with path.open("rb") as file:
        length = int.from_bytes(file.read(HEADER), "little")
        header = json.loads(file.read(length))
    for name, entry in header.items():
        if name != "__metadata__":
            place = HEADER + length + entry["data_offsets"][0]
            yield name, mapped(path, TYPES[entry["dtype"]], place, entry["shape"])


def mapped(path: Path, dtype: DTypeLike, place: int, shape: Sequence[int]) -> np.ndarray:
    """An array over the bytes of a file from ``place``."""
    if 0 in shape:
        return np.zeros(shape, dtype)
    return np.memmap(path, dtype, "r", place, tuple(shape))


def give_back_freed() -> None:
    """Hand memory that was freed back to the system, where the C library (glibc) keeps it and can be asked.

    ONNX Runtime makes and drops several copies of a graph's constants while it loads and optimises it.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
