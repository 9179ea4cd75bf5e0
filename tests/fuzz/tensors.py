"""Mutations of arrays by name, which .npz files and checkpoints hold."""

import json
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from random import Random

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save

from sparcl_compile.runtime import tensor_files
from tests.fuzz.values import ODD_TEXTS

Arrays = dict[str, np.ndarray]
DTYPES = ("uint8", "int8", "int32", "int64", "uint64", "float16", "float32", "float64", "bool")
NPZ_DTYPES = (*DTYPES, "complex64", "U3", "datetime64[s]", "O")
VALUES = (0, 1, -1, 255, 2**31, 2**62, -(2**62), float("nan"), float("inf"), -float("inf"), 1e30)


def _name(arrays: Arrays, rng: Random) -> str:
    return rng.choice(sorted(arrays) or ["added"])


def _remove(arrays: Arrays, rng: Random) -> None:
    arrays.pop(_name(arrays, rng), None)


def _rename(arrays: Arrays, rng: Random) -> None:
    name = _name(arrays, rng)
    arrays[rng.choice((*ODD_TEXTS[:4], *arrays))] = arrays.pop(name, np.zeros(1))


def _dtype(arrays: Arrays, rng: Random) -> None:
    name = _name(arrays, rng)
    with np.errstate(all="ignore"):
        arrays[name] = arrays[name].astype(rng.choice(DTYPES))


def _value(arrays: Arrays, rng: Random) -> None:
    """A value at one place, or everywhere; those that the type cannot hold wrap around."""
    name = _name(arrays, rng)
    found = np.array(arrays[name])
    flat = found.reshape(-1)
    if flat.size == 0:
        return
    where = slice(None) if rng.random() < 0.2 else rng.randrange(flat.size)
    with np.errstate(all="ignore"):
        flat[where] = np.asarray(rng.choice(VALUES)).astype(found.dtype)
    arrays[name] = found


def _shape(arrays: Arrays, rng: Random) -> None:
    name = _name(arrays, rng)
    found = arrays[name]
    changed = (lambda: found[None], lambda: found.reshape(-1), lambda: found.T, lambda: found[..., None])
    arrays[name] = rng.choice(changed)()


def _length(arrays: Arrays, rng: Random) -> None:
    name = _name(arrays, rng)
    found = np.atleast_1d(arrays[name])
    arrays[name] = rng.choice((found[:0], found[:1], found[:-1], np.concatenate([found, found])))


def _swap(arrays: Arrays, rng: Random) -> None:
    one, other = _name(arrays, rng), _name(arrays, rng)
    arrays[one], arrays[other] = arrays[other], arrays[one]


ARRAYS: dict[str, Callable[[Arrays, Random], None]] = {
    "dtype": _dtype,
    "length": _length,
    "remove": _remove,
    "rename": _rename,
    "shape": _shape,
    "swap": _swap,
    "value": _value,
}


def mutate_arrays(arrays: Arrays, rng: Random) -> None:
    """Change arrays in place, once or twice."""
    for _ in range(rng.choice((1, 1, 2))):
        if arrays:
            ARRAYS[rng.choice(sorted(ARRAYS))](arrays, rng)


def read(path: Path) -> tuple[Arrays, dict[str, str]]:
    """The tensors and the texts of a .safetensors file."""
    with safe_open(path, framework="numpy") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, dict(file.metadata())  # noqa: SIM118 - not a dict


def saved(arrays: Arrays, texts: dict[str, str]) -> bytes:
    """The content of a .safetensors file, which is the same every time: the library writes texts in any order."""
    content = save({name: np.asarray(array, order="C") for name, array in arrays.items()}, texts)
    length = int.from_bytes(content[:8], "little")
    head = json.dumps(json.loads(content[8 : 8 + length]), sort_keys=True, separators=(",", ":")).encode()
    head += b" " * (-len(head) % 8)
    return len(head).to_bytes(8, "little") + head + content[8 + length :]


def sealed(arrays: Arrays, texts: dict[str, str]) -> bytes:
    """The content of a file with its right checksum, as anyone can write it."""
    content = saved(arrays, {**texts, tensor_files.SUM: tensor_files.NO_SUM})
    checksum = tensor_files.sum_of(BytesIO(content))
    mark = tensor_files.MARK
    return content.replace(mark + tensor_files.NO_SUM.encode(), mark + checksum.encode(), 1)
