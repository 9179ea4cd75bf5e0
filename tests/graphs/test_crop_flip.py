import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparcl_compile.graphs import crop_flip
from sparcl_compile.interface.errors import OptionError
from sparcl_compile.interface.manifest import Layout
from sparcl_compile.interface.names import Role
from tests.support import harness

MEAN, STD = np.array([0.5, 0.25, 0.4], np.float32), np.array([0.2, 0.3, 0.25], np.float32)


@pytest.fixture(scope="module")
def graph() -> harness.Graph:
    return harness.Graph(crop_flip.build())


def images(samples: int, channels: int, height: int, width: int) -> harness.Array:
    # Never zero, so that padding can be told from pixels.
    return np.random.default_rng(samples).integers(1, 256, (samples, channels, height, width), dtype=np.uint8)


def expected(x: harness.Array, key: harness.Array, mean: harness.Array, std: harness.Array) -> harness.Array:
    height, width = x.shape[2:]
    out = np.zeros(x.shape, np.float32)
    for i, image in enumerate(x):
        canvas = np.zeros((x.shape[1], height + 8, width + 8), np.float32)
        canvas[:, 4:-4, 4:-4] = image
        top, left = (harness.element("augment", key, 3 * i + j) % 9 for j in range(2))
        crop = canvas[:, top : top + height, left : left + width]
        mirrored = harness.element("augment", key, 3 * i + 2) >> 31
        out[i] = np.flip(crop, axis=2) if mirrored else crop
    return standardised(out, mean, std)


def standardised(x: harness.Array, mean: harness.Array, std: harness.Array) -> harness.Array:
    return (x / np.float32(255) - mean[:, None, None]) / std[:, None, None]


def feeds(x: harness.Array, key: harness.Array) -> dict[str, harness.Array]:
    channels = x.shape[1]
    return {"x": x.astype(np.float32), "key": key, "data.mean": MEAN[:channels], "data.std": STD[:channels]}


def test_form(graph: harness.Graph) -> None:
    graph.check_form()
    assert graph.signature() == (
        {"x": "float[N,C,H,W]", "key": "int64[3]", "data.mean": "float[C]", "data.std": "float[C]"},
        {"x_ready": "float[N,C,H,W]"},
    )
    assert graph.roles == {"data.mean": Role.DATA, "data.std": Role.DATA}


@given(
    shape=st.tuples(st.integers(1, 6), st.integers(1, 3), st.integers(1, 9), st.integers(1, 9)),
    seed=st.integers(0, 2**31),
    step=st.integers(0, 10**6),
    draw=st.integers(0, 2),
)
def test_equals_cropping_each_image_by_hand(
    graph: harness.Graph, shape: tuple[int, int, int, int], seed: int, step: int, draw: int
) -> None:
    x, key = images(*shape), harness.key(seed, step, draw)
    found = graph(feeds(x, key))["x_ready"]
    assert found.dtype == np.float32
    channels = shape[1]
    np.testing.assert_array_equal(found, expected(x, key, MEAN[:channels], STD[:channels]))


def test_all_offsets_and_both_directions_occur(graph: harness.Graph) -> None:
    # One pixel of an otherwise black image says where the crop was taken.
    x = np.zeros((600, 1, 9, 9), np.float32)
    x[:, 0, 4, 3] = 255
    raw = {"data.mean": np.zeros(1, np.float32), "data.std": np.ones(1, np.float32)}
    found = graph({**feeds(x, harness.key(1)), **raw})["x_ready"]
    places = np.argwhere(found[:, 0] == 1)
    assert set(places[:, 1]) == set(range(9))
    # Column 3 lands on 7 - offset and mirrored on 1 + offset: only the unmirrored reach 0, only the mirrored reach 8.
    assert {(int(r), int(c)) for _, r, c in places} == {(r, c) for r in range(9) for c in range(9)}


def test_padding_is_black_before_standardisation(graph: harness.Graph) -> None:
    found = graph(feeds(images(64, 1, 4, 4), harness.key(2)))["x_ready"]
    assert found.min() == (np.float32(0) - MEAN[0]) / STD[0]


@pytest.mark.parametrize("dtype", [ir.DataType.FLOAT, ir.DataType.UINT8])
def test_bytes_and_floats_give_the_same(graph: harness.Graph, dtype: ir.DataType) -> None:
    x, key = images(5, 3, 8, 6), harness.key(3, 4, 1)
    given_x = feeds(x, key) | {"x": x.astype(dtype.numpy())}
    found = harness.Graph(crop_flip.build(dtype=dtype))(given_x)["x_ready"]
    np.testing.assert_array_equal(found, graph(feeds(x, key))["x_ready"])


@pytest.mark.parametrize(
    ("layout", "shape"), [("NCHW", "float[N,C,H,W]"), ("NHWC", "float[N,H,W,C]"), ("flat", "float[N,F]")]
)
def test_layouts(graph: harness.Graph, layout: Layout, shape: str) -> None:
    x, key = images(3, 3, 5, 4), harness.key(8, 1, 2)
    plain = graph(feeds(x, key))["x_ready"]
    wanted = {"NCHW": plain, "NHWC": np.moveaxis(plain, 1, 3), "flat": plain.reshape(3, -1)}
    arranged = harness.Graph(crop_flip.build(layout))
    assert arranged.signature()[1] == {"x_ready": shape}
    np.testing.assert_array_equal(arranged(feeds(x, key))["x_ready"], wanted[layout])


def test_steps_and_draws_differ(graph: harness.Graph) -> None:
    x = images(16, 1, 8, 8)
    keys = [harness.key(0), harness.key(1), harness.key(0, 1), harness.key(0, 0, 1), harness.key(0, 0, 2)]
    assert len({graph(feeds(x, key))["x_ready"].tobytes() for key in keys}) == len(keys)


def test_an_unknown_layout_is_refused() -> None:
    with pytest.raises(OptionError, match=r"unknown layout 'CHW'.*NCHW, NHWC, flat"):
        crop_flip.build("CHW")  # type: ignore[arg-type]
