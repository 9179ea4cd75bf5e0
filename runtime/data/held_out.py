"""Held-out training samples in the place of a test set, to choose options by: a test set chooses nothing."""

import dataclasses

import numpy as np

from sparcl_compile.interface.errors import DataError
from sparcl_compile.runtime.data.dataset import Dataset
from sparcl_compile.runtime.data.split import EVERY, stratified


def held_out(dataset: Dataset) -> Dataset:
    """Return the data with every fifth training sample of a class as test set; the data's own is dropped, unused.

    Raises:
        DataError: a class has too few training samples, so that none of it would be tested.
    """
    _check_counts(dataset)
    (x_train, y_train), (x_test, y_test) = stratified(dataset.x_train, dataset.y_train)
    held = dataset.held + len(y_test)
    return dataclasses.replace(dataset, x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test, held=held)


def _check_counts(dataset: Dataset) -> None:
    for name, count in zip(dataset.classes, np.bincount(dataset.y_train).tolist(), strict=True):
        if count < EVERY:
            raise DataError(
                f"{dataset.name}: class {name} has {count} training samples, and every fifth of a class is held out: "
                f"it needs at least {EVERY}; give more, or leave the class out"
            )
