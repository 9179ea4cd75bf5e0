import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from sparcl_compile.graphs import resize
from tests.support import harness

HEIGHT, WIDTH = 6, 9
TYPES = {"uint8": ir.DataType.UINT8, "float": ir.DataType.FLOAT}


@pytest.fixture(scope="module")
def graphs() -> dict[str, harness.Graph]:
    return {name: harness.Graph(resize.build(HEIGHT, WIDTH, dtype)) for name, dtype in TYPES.items()}


def resized(graph: harness.Graph, x: harness.Array) -> harness.Array:
    # The reference evaluator rounds bytes otherwise than ONNX Runtime, whose arithmetic is Pillow's.
    found: harness.Array = graph._session.run(["resized"], {"x": x})[0]
    return found


def by_pillow(x: harness.Array) -> harness.Array:
    images = (Image.fromarray(plane) for image in x for plane in image)
    planes = [np.asarray(one.resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR)) for one in images]
    return np.stack(planes).reshape(*x.shape[:2], HEIGHT, WIDTH)


@pytest.mark.parametrize("name", TYPES)
def test_form(graphs: dict[str, harness.Graph], name: str) -> None:
    graphs[name].check_form()
    assert graphs[name].signature() == ({"x": f"{name}[N,C,h,w]"}, {"resized": f"{name}[N,C,{HEIGHT},{WIDTH}]"})
    assert graphs[name].roles == {}


@settings(deadline=None)
@given(
    seed=st.integers(0, 2**20), channels=st.sampled_from([1, 3]), height=st.integers(1, 40), width=st.integers(1, 40)
)
def test_pixels_are_those_of_pillow(
    graphs: dict[str, harness.Graph], seed: int, channels: int, height: int, width: int
) -> None:
    x = np.random.default_rng(seed).integers(0, 256, (2, channels, height, width), dtype=np.uint8)
    wanted = by_pillow(x).astype(int)
    assert np.abs(resized(graphs["uint8"], x).astype(int) - wanted).max() <= 1
    # Pillow rounds after the columns and again after the rows.
    assert np.abs(resized(graphs["float"], x.astype(np.float32)) - wanted).max() <= 1.01


def test_images_of_the_right_size_stay(graphs: dict[str, harness.Graph]) -> None:
    x = np.random.default_rng(0).integers(0, 256, (2, 3, HEIGHT, WIDTH), dtype=np.uint8)
    np.testing.assert_array_equal(resized(graphs["uint8"], x), x)


def test_no_pixel_of_a_large_image_is_passed_over(graphs: dict[str, harness.Graph]) -> None:
    x = np.zeros((1, 1, HEIGHT * 8, WIDTH * 8), np.float32)
    x[0, 0, 3, 3] = 1000.0
    assert resized(graphs["float"], x).max() > 1.0
