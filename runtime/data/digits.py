"""The handwritten digits that scikit-learn ships: 1797 grey images of 8x8 pixels, 10 classes.

Source: E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits", UCI, 1998 (its test set).
"""

import numpy as np

from sparcl_compile.interface.errors import DataError
from sparcl_compile.runtime.data import split
from sparcl_compile.runtime.data.dataset import Dataset, build

DEEPEST = 16
"""The grey values of the source run from 0 to 16."""


def load(source: str) -> Dataset:
    """Read the digits; a value v from 0 to 16 becomes round(v * 255 / 16), every fifth image of a class is for testing.

    Raises:
        DataError: scikit-learn is not installed.
    """
    try:
        # Here and not above: it takes a second to import, and the other sources do without it.
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise DataError(
            f"{source}: scikit-learn is not installed; pip install scikit-learn, or give another data source"
        ) from error
    raw = load_digits()
    images = np.rint(raw.images * 255.0 / DEEPEST).astype(np.uint8)
    train, test = split.stratified(images[:, np.newaxis], raw.target.astype(np.int64))
    return build(source, train, test)
