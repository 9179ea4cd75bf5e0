"""Samples for a model whose input is of whole numbers or scales them itself: tokens, bytes."""

import dataclasses

import numpy as np

from sparcl_compile.interface.errors import DataError
from sparcl_compile.interface.manifest import Model
from sparcl_compile.runtime.data.dataset import Dataset

EXACT = 2**24
"""Whole numbers up to it are exact in float32."""
BYTES, BYTE_END = "uint8", 256


def takes_whole(model: Model | None) -> bool:
    """Whether the input of a model is of whole numbers."""
    return model is not None and model.input_type.startswith(("int", "uint"))


def as_samples(source: str, what: str, x: np.ndarray, model: Model | None) -> np.ndarray:
    """An array of whole numbers as samples: uint8 for a model of bytes, float32 for one of other whole numbers.

    Anything else stays as it is.

    Raises:
        DataError: a number is beyond what the type holds.
    """
    if model is None or not takes_whole(model) or x.dtype.kind not in "iu" or not x.size:
        return x
    end = BYTE_END if model.input_type == BYTES else EXACT
    low, high = int(x.min()), int(x.max())
    if low < -EXACT or high >= end or (model.input_type == BYTES and low < 0):
        raise DataError(
            f"{source}: {what} holds numbers from {low} to {high}, and the model takes 0 to {end - 1}; mend them"
        )
    return x.astype(np.uint8 if model.input_type == BYTES else np.float32)


def checked(dataset: Dataset, model: Model) -> Dataset:
    """The data for the kind of input that a model has, with a note where samples are fed as they are.

    Raises:
        DataError: bytes are wanted and floats given, numbers are not whole, or a token is beyond the table.
    """
    if not model.raw:
        return dataset
    if model.input_type == BYTES and dataset.x_train.dtype != np.uint8:
        given = f"{dataset.name} gives {dataset.x_train.dtype}"
        raise DataError(f"{given}, and the model takes bytes: save it as uint8 (0 to 255)")
    x_train, x_test = dataset.x_train, dataset.x_test
    if takes_whole(model) and model.input_type != BYTES:
        x_train, x_test = (x.astype(np.float32) for x in (x_train, x_test))
        for what, x in (("x_train", x_train), ("x_test", x_test)):
            _check_whole(dataset.name, what, x, model.rows)
    note = "the model was made for values as they are: samples are not normalised"
    notes, tokens = (*dataset.notes, note), model.rows is not None
    return dataclasses.replace(dataset, x_train=x_train, x_test=x_test, raw=True, tokens=tokens, notes=notes)


def _check_whole(name: str, what: str, x: np.ndarray, rows: int | None) -> None:
    broken = x != np.rint(x)
    if broken.any():
        raise DataError(f"{name}: {what} {_at(x, broken)}, and the model takes whole numbers; save it as int64")
    wrong = (x < 0) | (x >= rows) if rows is not None else np.zeros(1, bool)
    if wrong.any():
        mend = f"give numbers from 0 to {int(rows or 0) - 1}, or compile a model with a larger table"
        raise DataError(f"{name}: {what} {_at(x, wrong)}, and the model's table has {rows} rows; {mend}")


def _at(x: np.ndarray, bad: np.ndarray) -> str:
    sample, *_ = place = np.unravel_index(int(np.argmax(bad)), x.shape)
    return f"holds {x[place]:g} in sample {int(sample)}"
