"""Held-out training samples in the place of a test set, to choose options by: a test set chooses nothing."""

import dataclasses

from sparcl_compile.interface.errors import DataError
from sparcl_compile.runtime.data.dataset import Dataset
from sparcl_compile.runtime.data.split import EVERY, stratified


def held_out(dataset: Dataset) -> Dataset:
    """Return the data with every fifth training sample of a class as test set; the data's own is dropped, unused.

    Raises:
        DataError: no class has so many training samples.
    """
    (x_train, y_train), (x_test, y_test) = stratified(dataset.x_train, dataset.y_train)
    if not len(y_test):
        raise DataError(f"{dataset.name}: no class has {EVERY} training samples, so none is held out; give more data")
    return dataclasses.replace(dataset, x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test)
