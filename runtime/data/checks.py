"""Checks of the arrays of a data set. Every error is one line with the fix."""

import numpy as np

from sparcl_compile.interface.errors import DataError

MENDED_CLASSES = (
    "every class needs training and test samples (at least 5 where the test set is split off: every fifth of a class)"
)
MENDED_DTYPES = "save it as uint8 (0 to 255) or float32"


def one_line(error: BaseException) -> str:
    """A library's message about a broken file, for quoting in a one-line message."""
    return " ".join(str(error).split()) or type(error).__name__


def images(name: str, what: str, x: np.ndarray) -> np.ndarray:
    """Return images [N, C, H, W] as contiguous uint8 or float32.

    Args:
        name: the data source.
        what: which of its arrays this is.
        x: the array.

    Raises:
        DataError: wrong rank or type, no images, or values that are not finite.
    """
    if x.ndim != 4:
        raise DataError(f"{name}: {what} has {x.ndim} axes; give images [N, C, H, W]")
    if x.size == 0:
        raise DataError(f"{name}: {what} holds no images (shape {list(x.shape)}); {MENDED_CLASSES}")
    if x.dtype != np.uint8 and x.dtype.kind != "f":
        raise DataError(f"{name}: {what} is {x.dtype}; {MENDED_DTYPES}")
    return _finite(name, what, x)


def _finite(name: str, what: str, x: np.ndarray) -> np.ndarray:
    if x.dtype == np.uint8:
        return np.ascontiguousarray(x)
    with np.errstate(over="ignore"):  # a float64 beyond float32's range becomes inf and is refused below
        x = np.ascontiguousarray(x, np.float32)
    bad = ~np.isfinite(x)
    if bad.any():
        first = [int(i) for i in np.unravel_index(int(np.argmax(bad)), x.shape)]
        raise DataError(
            f"{name}: {what} holds {int(bad.sum())} values that are NaN or infinite in float32, the first at {first} "
            "[N, C, H, W]; remove or replace them"
        )
    return x


def labels(name: str, what: str, y: np.ndarray, samples: int) -> np.ndarray:
    """Return labels [N] or [N, 1] as int64 [N].

    Args:
        name: the data source.
        what: which of its arrays this is.
        y: the labels.
        samples: how many images they belong to.

    Raises:
        DataError: wrong shape or number, not integers, or negative.
    """
    if y.dtype.kind == "f" and np.any(y != np.floor(y)):
        first = y[y != np.floor(y)].flat[0]
        raise DataError(f"{name}: {what} holds {first:g}, and labels are integers from 0; give each sample its class")
    if y.dtype.kind not in "iu":
        raise DataError(f"{name}: {what} is {y.dtype}, and labels are integers from 0; save it as int64")
    if y.shape not in ((samples,), (samples, 1)):
        raise DataError(f"{name}: {what} has shape {list(y.shape)} for {samples} images; give one label an image")
    y = y.reshape(samples)
    bad = (y < 0) | (y > np.iinfo(np.int32).max)
    if bad.any():
        first = int(np.argmax(bad))
        raise DataError(f"{name}: {what}[{first}] is {y[first]}, out of range; number the classes from 0 without gaps")
    return np.ascontiguousarray(y, np.int64)


def same_form(name: str, x_train: np.ndarray, x_test: np.ndarray) -> None:
    """Raise DataError when training and test images differ in type or shape."""
    forms = [f"{x.dtype} {'x'.join(map(str, x.shape[1:]))}" for x in (x_train, x_test)]
    if forms[0] != forms[1]:
        raise DataError(f"{name}: training images are {forms[0]}, test images {forms[1]}; give both in one form")


def numbered_classes(name: str, y_train: np.ndarray, y_test: np.ndarray) -> tuple[str, ...]:
    """The classes' names when a source has only numbers for them.

    Raises:
        DataError: a number below the largest label is not used.
    """
    used = np.union1d(y_train, y_test)
    gaps = np.flatnonzero(used != np.arange(len(used)))
    if gaps.size:
        missing, largest = int(gaps[0]), int(used[-1])
        raise DataError(
            f"{name}: no sample has label {missing}, the largest label is {largest}; "
            "number the classes from 0 without gaps"
        )
    return tuple(str(label) for label in used)


def classes_filled(name: str, y_train: np.ndarray, y_test: np.ndarray, classes: tuple[str, ...]) -> None:
    """Check that each class has samples on both sides.

    Raises:
        DataError: a label beyond the classes, or a class without training or test samples.
    """
    for what, y in (("y_train", y_train), ("y_test", y_test)):
        if y.max() >= len(classes):
            first = int(np.argmax(y >= len(classes)))
            raise DataError(
                f"{name}: {what}[{first}] is {y[first]}, out of range for {len(classes)} classes; mend the labels"
            )
        empty = np.flatnonzero(np.bincount(y, minlength=len(classes)) == 0)
        if empty.size:
            raise DataError(f"{name}: class {classes[int(empty[0])]} has no samples in {what}; {MENDED_CLASSES}")
