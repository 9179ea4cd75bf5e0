"""Masks as flags and as pictures."""

import base64
import dataclasses
import io

import numpy as np
import pytest
from PIL import Image

from sparcl_compile.interface.channels import SpaceSpec
from sparcl_compile.interface.specs import WeightSpec
from sparcl_compile.runtime.reporting.masks import HEIGHT, WIDTH, kept_of, kept_units, png

MASKED = WeightSpec(
    weight="w", shape=(2, 3), stored="masked", reason="", scheme="unstructured", axes="", density=0.5, base=3,
    shrunk=2, grown=3, updated=3, rate=1.0, mask="w.mask", index=None, rows=None, gradient_mask=None,
    gradient_rows=None, accumulator="w.a", g1="w.g1", g2="w.g2",
)  # fmt: skip


def pixels(picture: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(picture))).convert("LA"))[..., 1]


def test_a_mask_is_its_flags() -> None:
    flags = kept_of(MASKED, {"w.mask": np.float32([[1, 0, 0], [0, 1, 1]])})
    assert flags.tolist() == [True, False, False, False, True, True]


def test_a_mask_that_is_not_there_yet_keeps_everything() -> None:
    assert kept_of(MASKED, {}).all()


def test_a_compressed_weight_keeps_its_live_positions() -> None:
    one = dataclasses.replace(MASKED, stored="rows", mask=None, index="w.index", rows="w.rows")
    state = {"w.index": np.array([1, 5, 0, 0]), "w.rows": np.array([0, 1, 2])}
    assert kept_of(one, state).tolist() == [False, True, False, False, False, True]


def test_channels_are_those_alive() -> None:
    space = SpaceSpec("w", 5, 2, 3, ("w",))
    state = {"channels.w.index": np.array([0, 3, 4]), "channels.w.live": np.float32([1, 0, 1])}
    assert kept_units(space, state).tolist() == [True, False, False, False, True]


def test_a_small_mask_has_a_cell_a_weight() -> None:
    kept = np.array([[[True, False]], [[False, True]]])
    assert pixels(png(kept)).tolist() == [[255, 0], [0, 255]]


def test_a_vector_is_one_row() -> None:
    assert pixels(png(np.array([True, False, True]))).tolist() == [[255, 0, 255]]


@pytest.mark.parametrize("shape", [(1000, 3, 3, 3), (7, 500, 3, 3), (HEIGHT + 1, WIDTH + 1)])
def test_the_cells_of_a_large_mask_show_the_share_that_is_kept(shape: tuple[int, ...]) -> None:
    kept = np.zeros(shape, bool)
    kept[: shape[0] // 2] = True
    shown = pixels(png(kept)).astype(float) / 255
    assert shown.shape == (min(shape[0], HEIGHT), min(int(np.prod(shape[1:])), WIDTH))
    assert shown.mean() == pytest.approx(kept.mean(), abs=0.02)
    assert (shown[0] == 1.0).all()
    assert (shown[-1] == 0.0).all()
