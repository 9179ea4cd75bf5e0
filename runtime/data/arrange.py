"""Samples in the axes of a model as [N, C, H, W], the form of all raw samples."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from sparcl_compile.interface.manifest import SERIES, Layout, Model
from sparcl_compile.runtime.data.dataset import Dataset

FORMS: Mapping[Layout, Callable[[np.ndarray], np.ndarray]] = {
    "NCT": lambda x: x[..., np.newaxis],
    "NTC": lambda x: x.transpose(0, 2, 1)[..., np.newaxis],
    "NCDHW": lambda x: x.reshape(*x.shape[:2], x.shape[2] * x.shape[3], x.shape[4]),
    "NDHWC": lambda x: FORMS["NCDHW"](x.transpose(0, 4, 1, 2, 3)),
}
"""The raw samples of those in the model's axes, by layout, where images [N, C, H, W] say nothing of them."""


def has_axes(shape: Sequence[int], taken: Sequence[int | None]) -> bool:
    """Whether a sample of this shape is one that a model takes; None is any length."""
    return len(shape) == len(taken) and all(length in (own, None) for own, length in zip(shape, taken, strict=True))


def in_model_axes(x: np.ndarray, model: Model | None) -> bool:
    """Whether samples [N, ...] lie in the axes of a model whose samples are no images."""
    return model is not None and model.layout in FORMS and has_axes(x.shape[1:], model.input_shape)


def arranged(dataset: Dataset, model: Model) -> Dataset:
    """The data for a model whose samples have two axes, where they have these and else axes of length 1."""
    if _is_raw(dataset.sample_shape, model):
        return dataset
    lengths = [length for length in model.input_shape if length != 1]
    shape = [length for length in dataset.sample_shape if length != 1]
    if model.layout not in SERIES or not has_axes(shape, lengths):
        return dataset
    rest = iter(shape)
    sample = [1 if length == 1 else next(rest) for length in model.input_shape]
    form = FORMS[model.layout]
    x_train, x_test = (
        np.ascontiguousarray(form(x.reshape(len(x), *sample))) for x in (dataset.x_train, dataset.x_test)
    )
    return dataclasses.replace(dataset, x_train=x_train, x_test=x_test)


def _is_raw(sample: Sequence[int], model: Model) -> bool:
    """Whether a sample is a raw sequence already: as many steps as channels do not say in which order they lie."""
    own = model.input_shape[::-1] if model.layout == "NTC" else model.input_shape
    return model.layout in SERIES and has_axes(sample, (*own, 1))


def layouts_of(sample: Sequence[int], taken: Sequence[int | None]) -> list[Layout]:
    """The layouts in which raw samples [C, H, W] fit a model, the likeliest last."""
    channels, height, width = sample
    shapes: dict[Layout, tuple[int, ...]] = {
        "flat": (channels * height * width,),
        "NHWC": (height, width, channels),
        "NCHW": (channels, height, width),
        **({"NTC": (height, channels), "NCT": (channels, height)} if width == 1 else {}),
        **_volumes(sample, taken),
    }
    return [layout for layout, shape in shapes.items() if has_axes(shape, taken)]


def _volumes(sample: Sequence[int], taken: Sequence[int | None]) -> dict[Layout, tuple[int, ...]]:
    """The shapes with four axes: depth and height lie in one of a raw sample's."""
    channels, planes, width = sample
    if len(taken) != 4:
        return {}
    lengths = {"NDHWC": taken[:2], "NCDHW": taken[1:3]}
    cut = {layout: _cut(planes, depth, height) for layout, (depth, height) in lengths.items()}
    return {
        "NDHWC": (*cut["NDHWC"], width, channels),
        "NCDHW": (channels, *cut["NCDHW"], width),
    }


def _cut(planes: int, depth: int | None, height: int | None) -> tuple[int, int]:
    known = depth or (planes // height if height else planes)
    return known, planes // known if planes % known == 0 else 0
