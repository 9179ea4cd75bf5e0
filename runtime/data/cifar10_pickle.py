"""CIFAR-10's python version, read without trusting it: no pickle can run code or reach numpy's own reconstruction.

A pickled numpy array names a few functions of numpy. They are replaced here by stand-ins that accept plain numbers
only; every other name in the file is refused.
"""

import io
import pickle
import pickletools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from sparcl_compile.interface.errors import DataError
from sparcl_compile.runtime.data.checks import one_line

PIXELS = 3072
SCALARS = {f"{kind}{size}" for kind in "iu" for size in (1, 2, 4, 8)}
ORDERS = ("|", "<", ">")
BROKEN = (
    pickle.UnpicklingError,
    EOFError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    OverflowError,
    MemoryError,
    ImportError,
    RecursionError,
)
"""Exceptions that a damaged pickle raises; the pickle module lists no complete set."""


class _Dtype:
    """Stands in for numpy.dtype."""

    def __init__(self, name: str | bytes, *_flags: object) -> None:
        text = name.decode("ascii") if isinstance(name, bytes) else name
        if text not in SCALARS:
            raise pickle.UnpicklingError(f"arrays of {text} are not read")
        self.dtype = np.dtype(text)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        order = state[1].decode("ascii") if isinstance(state[1], bytes) else state[1]
        if order not in ORDERS:
            raise pickle.UnpicklingError(f"arrays of byte order {order} are not read")
        self.dtype = np.dtype(order + self.dtype.str[1:])


class _Array:
    """Stands in for numpy.ndarray."""

    def __init__(self) -> None:
        self.values = np.empty(0, np.uint8)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _version, shape, kind, fortran, raw = state
        self.values = np.frombuffer(raw, kind.dtype).reshape(shape, order="F" if fortran else "C")


def _reconstruct(*_arguments: object) -> _Array:
    return _Array()


def _frombuffer(raw: bytes, kind: _Dtype, shape: tuple[int, ...], order: str) -> _Array:
    array = _Array()
    array.__setstate__((1, shape, kind, order == "F", raw))
    return array


def _encode(text: str, _encoding: str) -> bytes:
    """Stands in for the function by which old pickle protocols write bytes."""
    return text.encode("latin1")


ALLOWED: dict[tuple[str, str], Callable[..., object]] = {
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Dtype,
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy.core.numeric", "_frombuffer"): _frombuffer,
    ("numpy._core.numeric", "_frombuffer"): _frombuffer,
    ("_codecs", "encode"): _encode,
}
"""The stand-ins, by module and name in the pickle."""


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Callable[..., object]:
        if (module, name) not in ALLOWED:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which no CIFAR-10 file does")
        return ALLOWED[module, name]


TUPLES = ("TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "FROZENSET")
MOST_PARTS = 1000
"""Parts of a tuple, those of its tuples included; a file of CIFAR-10 has tuples of seven."""
MOST_NAMES = 10**7
"""Largest number that a pickle may give a part for later; the reader takes memory for all below it."""


def _check_parts(data: bytes) -> None:
    """Refuse tuples that are so deep or so often shared that to hash them would end the process, or not end.

    The opcodes are followed without making anything: by place on the stack the parts of a tuple, 1 for all else.
    """
    stack: list[int] = []
    marks: list[int] = []
    memo: dict[int, int] = {}
    for opcode, argument, _ in pickletools.genops(data):
        name = opcode.name
        if name == "MARK":
            marks.append(len(stack))
        elif "PUT" in name or name == "MEMOIZE":
            number = _number(argument, memo)
            memo[number] = stack[-1]
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            stack.append(memo[int(argument or 0)])
        else:
            _follow(opcode, stack, marks)


def _number(argument: Any, memo: Mapping[int, int]) -> int:
    number = len(memo) if argument is None else int(argument)
    if number > MOST_NAMES:
        raise pickle.UnpicklingError(f"it numbers a part {number}")
    return number


def _follow(opcode: pickletools.OpcodeInfo, stack: list[int], marks: list[int]) -> None:
    before = list(opcode.stack_before)
    marked = pickletools.markobject in before
    start = marks.pop() if marked else len(stack)
    start -= before.index(pickletools.markobject) if marked else len(before)
    if start < 0:
        raise pickle.UnpicklingError("it takes what is not there")
    parts = stack[start:]
    del stack[start:]
    size = 1 + sum(parts) if opcode.name in TUPLES else max(parts, default=1)
    if size > MOST_PARTS:
        raise pickle.UnpicklingError(f"a tuple has more than {MOST_PARTS} parts")
    stack += [size] * len(opcode.stack_after)


def parse_pickle(what: str, data: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Read a batch of the python version.

    Args:
        what: the file, for messages.
        data: its bytes.

    Returns:
        x: uint8 [N, 3072].
        labels: int64 [N].

    Raises:
        DataError: not a pickle of a CIFAR-10 batch.
    """
    try:
        _check_parts(data)
        # Strings of Python 2 arrive as bytes, those of Python 3 as str.
        loaded = _Unpickler(io.BytesIO(data), encoding="bytes").load()
    except BROKEN as error:
        raise DataError(f"{what} is no whole pickle of CIFAR-10 ({one_line(error)}); download it again") from error
    entries = {_text(key): value for key, value in loaded.items()} if isinstance(loaded, dict) else {}
    x, labels = _plain(entries.get("data")), _plain(entries.get("labels"))
    if x is None or labels is None or x.dtype != np.uint8 or x.ndim != 2 or x.shape[1] != PIXELS:
        raise DataError(f"{what} holds no data of uint8 [N, {PIXELS}] with labels; give a batch file of CIFAR-10")
    if labels.dtype.kind not in "iu" or labels.shape != (len(x),) or len(x) == 0:
        raise DataError(f"{what} does not hold one whole number as label for each image; download it again")
    if labels.min() < 0:
        raise DataError(f"{what}: label {labels.min()} is not one of CIFAR-10's 0 to 9; download it again")
    return x, labels.astype(np.int64)


def _plain(value: object) -> np.ndarray | None:
    if isinstance(value, _Array):
        return value.values
    if not isinstance(value, list) or not all(type(item) is int for item in value):
        return None
    try:
        return np.array(value, np.int64)
    except OverflowError:
        return None


def _text(key: object) -> object:
    return key.decode("latin1") if isinstance(key, bytes) else key
