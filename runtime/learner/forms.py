"""Samples and labels as an app has them, in the form that a program's tables have."""

import dataclasses
from collections.abc import Callable, Sequence
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from sparcl_compile.interface.errors import DataError
from sparcl_compile.interface.manifest import IMAGES, Model, image_size
from sparcl_compile.runtime.data import checks
from sparcl_compile.runtime.data.arrange import FORMS, arranged, in_model_axes
from sparcl_compile.runtime.data.dataset import Dataset
from sparcl_compile.runtime.data.fitting import check_form
from sparcl_compile.runtime.data.kinds import as_samples, checked

NAME = "the array"
"""Stands for a data source in messages."""
COLOURS = 3
Samples = ArrayLike | Sequence[ArrayLike]


@dataclasses.dataclass(frozen=True)
class Form:
    """The form of all samples of a learner: their type, and channels, height and width."""

    type: str
    shape: tuple[int, int, int]

    def __str__(self) -> str:
        return f"{self.type} {'x'.join(map(str, self.shape))}"


def blocks_of(samples: Samples, model: Model) -> list[np.ndarray]:
    """Return samples as arrays [N, C, h, w] of uint8 or float32, one where they have one size, else one for each.

    Args:
        samples: images [N, C, H, W], [N, H, W, C] or, grey, [N, H, W]; vectors [N, D]; others in the model's own axes.
            A sequence may hold images of several sizes.
        model: that they are for.

    Raises:
        DataError: they have another type, no axes that fit, or no finite values.
    """
    if samples is None or isinstance(samples, str | bytes | PathLike):
        raise DataError(f"samples: {samples!r} is no array; give one, or a list of them")
    if isinstance(samples, np.ndarray):
        return [_arranged(samples, model)] if len(samples) else []
    each = [np.asarray(one) for one in samples]  # type: ignore[union-attr]
    if len({(one.shape, one.dtype) for one in each}) > 1:
        return [_arranged(one[np.newaxis], model) for one in each]
    return [_arranged(np.stack(each), model)] if each else []


def alone(sample: ArrayLike, model: Model) -> list[np.ndarray]:
    """Return one sample in a list; raises DataError where it is an array of samples."""
    x = np.asarray(sample)
    if not _fits([x], model) and _fits(x, model):
        raise DataError(f"sample: {list(x.shape)} is an array of samples; give one of them, without the first axis")
    return [x]


def _fits(samples: Samples, model: Model) -> bool:
    try:
        blocks_of(samples, model)
    except DataError:
        return False
    return True


def _arranged(x: np.ndarray, model: Model) -> np.ndarray:
    x = as_samples("samples", NAME, x, model)
    x = FORMS[model.layout](x) if in_model_axes(x, model) else _as_images(x, model)
    return arranged(_dataset(checks.images("samples", NAME, x)), model).x_train


def _as_images(x: np.ndarray, model: Model) -> np.ndarray:
    channels = channels_of(model)
    if channels is None:
        return x[..., np.newaxis, np.newaxis] if x.ndim == 2 else x[:, np.newaxis] if x.ndim == 3 else x
    if x.ndim == 3 and channels == 1:
        return x[:, np.newaxis]
    if x.ndim == 4 and channels in (x.shape[1], x.shape[3]):
        return x if x.shape[1] == channels else x.transpose(0, 3, 1, 2)
    grey, plural = ("[N, height, width], ", "") if channels == 1 else ("", "s")
    raise DataError(
        f"samples: the model takes images with {channels} channel{plural}, and the array is {list(x.shape)}; give "
        f"{grey}[N, {channels}, height, width] or [N, height, width, {channels}]"
    )


def channels_of(model: Model) -> int | None:
    """The channels of the images that a model takes; None where it takes no images, or any number."""
    return {"NCHW": model.input_shape[0], "NHWC": model.input_shape[-1]}.get(model.layout)


def form_of(blocks: Sequence[np.ndarray], model: Model) -> Form:
    """The form that samples have when they are resized; raises DataError where they have several, or none that fits."""
    size = image_size(model.layout, model.input_shape)
    forms = {Form(str(x.dtype), (x.shape[1], *(size or x.shape[2:]))) for x in blocks}
    first, *others = sorted(forms, key=str)
    if others:
        raise DataError(f"samples: some are {first} and others {others[0]}; give one type and size")
    check_form(_dataset(np.zeros((1, *first.shape), first.type)), model)
    return first


def fitted(x: np.ndarray, model: Model) -> Dataset:
    """Samples [N, C, H, W] as a data set for a model; raises DataError for values that it cannot take."""
    return checked(_dataset(x), model)


def _dataset(x: np.ndarray) -> Dataset:
    labels = np.zeros(len(x), np.int64)
    colour = x.dtype == np.uint8 and x.shape[1] == COLOURS
    return Dataset(NAME, x, labels, x[:0], labels[:0], (), augment="crop_flip" if colour else "none")


def joined(blocks: Sequence[np.ndarray], form: Form, resize: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """The samples as one array [N, C, H, W], those of another height or width resized."""
    parts = [x if x.shape[1:] == form.shape else resize(x) for x in blocks]
    return np.concatenate([np.zeros((0, *form.shape), form.type), *parts])


def names_of(labels: Any, count: int) -> list[str]:
    """Return labels as names, one a sample.

    Raises:
        DataError: one is neither a text nor a whole number, or there are not as many as samples.
    """
    names = [_name(one) for one in np.asarray(labels, object).reshape(-1).tolist()]
    if len(names) != count:
        raise DataError(f"labels: there are {len(names)} for {count} samples; give one a sample")
    return names


def _name(label: object) -> str:
    if isinstance(label, str) and label:
        return str(label)
    if isinstance(label, int | np.integer) and not isinstance(label, bool):
        return str(int(label))
    raise DataError(f"labels: {label!r} is no name; give texts or whole numbers")


def augments(form: Form, wanted: str, layout: str) -> bool:
    """Whether training batches of samples of a form are changed at random; ``auto`` is for images in colours."""
    if wanted == "auto" and layout not in IMAGES:
        return False
    return _dataset(np.zeros((0, *form.shape), form.type)).augments(wanted)
