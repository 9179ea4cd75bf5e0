"""Files of tensors and texts with a checksum: safetensors, as docs/learner.md says (The state)."""

import dataclasses
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
from safetensors import SafetensorError, safe_open

from sparcl_compile.interface.errors import CheckpointError
from sparcl_compile.interface.files import readable, write_atomically

VERSION = "3"
SUM = "sha256"
MARK = b'"sha256":"'
"""What stands in front of the checksum in a header."""
NO_SUM = "0" * 64
"""Stands for the checksum while it is computed."""
LENGTH, ALIGNED = 8, 8
"""Bytes of the header's length; the tensors begin at a multiple of so many."""
LONGEST_HEADER = 100_000_000
"""Bytes, as in safetensors' own reader."""
TYPES = {
    "float32": "F32",
    "float64": "F64",
    "int32": "I32",
    "int64": "I64",
    "uint8": "U8",
    "bool": "BOOL",
}
"""The types of tensors by NumPy's names."""
CHUNK = 1 << 20
Arrays = dict[str, np.ndarray]
Texts = dict[str, str]


@dataclasses.dataclass(frozen=True, eq=False)
class Sealed:
    """A file before it is written: its header, the tensors without a copy of them, and the checksum."""

    head: bytes
    parts: Sequence[np.ndarray]
    checksum: str

    def write(self, path: Path, aside: Path | None = None) -> None:
        """Write the file, which appears whole or not at all; one that stands there gets the name ``aside``.

        Raises:
            WriteError: the file system refuses; the file before stays.
        """
        write_atomically(path, self._fill, aside)

    def _fill(self, temporary: Path) -> None:
        with temporary.open("wb") as file:
            file.write(self.head)
            for part in self.parts:
                file.write(_bytes(part))


def sealed(arrays: Mapping[str, np.ndarray], texts: Mapping[str, str]) -> Sealed:
    """Make a file of tensors by their names, a scalar staying one, and of texts."""
    parts = [np.asarray(array, order="C") for array in arrays.values()]
    head = _head(dict(zip(arrays, parts, strict=True)), {**texts, "version": VERSION, SUM: NO_SUM})
    digest = hashlib.sha256(head)
    for part in parts:
        digest.update(_bytes(part))
    return Sealed(_with_sum(head, digest.hexdigest()), parts, digest.hexdigest())


def _head(arrays: Mapping[str, np.ndarray], texts: Mapping[str, str]) -> bytes:
    """The length and the header, which begins with the texts."""
    header: dict[str, object] = {"__metadata__": texts}
    end = 0
    for name, array in arrays.items():
        start, end = end, end + array.nbytes
        header[name] = {"dtype": TYPES[str(array.dtype)], "shape": array.shape, "data_offsets": (start, end)}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-(LENGTH + len(text)) % ALIGNED)
    return len(text).to_bytes(LENGTH, "little") + text


def _bytes(array: np.ndarray) -> memoryview:
    return array.reshape(-1).view(np.uint8).data


def _with_sum(head: bytes, checksum: str) -> bytes:
    """A header with its checksum, which is the same header but for that; raises ValueError where none has a place."""
    before, mark, behind = head.partition(MARK)
    if not mark:
        raise ValueError("it has no checksum")
    return before + mark + checksum.encode() + behind[len(NO_SUM) :]


def sum_of(file: BinaryIO) -> str:
    """The checksum of a whole file, opened at its begin: that of its bytes with zeros for the checksum itself.

    Raises:
        ValueError: it has no header, or that no checksum.
    """
    start = file.read(LENGTH)
    length = int.from_bytes(start, "little")
    if length > LONGEST_HEADER:
        raise ValueError("its header is too long")
    digest = hashlib.sha256(_with_sum(start + file.read(length), NO_SUM))
    for chunk in _chunks(file):
        digest.update(chunk)
    return digest.hexdigest()


def _chunks(file: BinaryIO) -> Iterator[bytes]:
    while chunk := file.read(CHUNK):
        yield chunk


def read(path: Path, mend: str, wanted: Sequence[str]) -> tuple[Arrays, Texts]:
    """Read a file whole.

    Args:
        path: the file.
        mend: what to do where it is damaged, for the message.
        wanted: names of the texts that it must have, beside the version and the checksum.

    Raises:
        CheckpointError: it is damaged or of another version.
    """
    with readable(path, CheckpointError, plain=True):
        pass
    try:
        with safe_open(path, framework="numpy") as file:
            texts = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
        version, given, *_ = [texts[key] for key in ("version", SUM, *wanted)]
        with path.open("rb") as opened:
            sound = given == sum_of(opened)
    except (SafetensorError, KeyError, ValueError, TypeError, AttributeError, OSError, MemoryError) as error:
        raise CheckpointError(f"{path}: is damaged ({error}); {mend}") from error
    if version != VERSION:
        raise CheckpointError(
            f"{path}: has checkpoint version {version}, this program reads version {VERSION}; "
            f"use it with the program that wrote it, or {mend}"
        )
    if not sound:
        raise CheckpointError(f"{path}: is damaged (its checksum differs); {mend}")
    return arrays, texts
