import numpy as np
import onnx_ir as ir
import pytest

from sparcl_compile.graphs import standardise
from sparcl_compile.interface.errors import OptionError
from sparcl_compile.interface.manifest import Layout
from sparcl_compile.interface.names import Role
from tests.support import harness

MEAN, STD = np.array([0.1, 0.5], np.float32), np.array([0.3, 0.7], np.float32)
PIXELS = np.arange(2 * 2 * 3 * 4, dtype=np.uint8).reshape(2, 2, 3, 4) * 5


def expected() -> harness.Array:
    return (PIXELS.astype(np.float32) / np.float32(255) - MEAN[:, None, None]) / STD[:, None, None]


@pytest.mark.parametrize(("dtype", "text"), [(ir.DataType.FLOAT, "float"), (ir.DataType.UINT8, "uint8")])
@pytest.mark.parametrize(
    ("layout", "shape"), [("NCHW", "float[N,C,H,W]"), ("NHWC", "float[N,H,W,C]"), ("flat", "float[N,F]")]
)
def test_layouts_and_types(layout: Layout, shape: str, dtype: ir.DataType, text: str) -> None:
    graph = harness.Graph(standardise.build(layout, dtype))
    graph.check_form()
    inputs = {"x": f"{text}[N,C,H,W]", "data.mean": "float[C]", "data.std": "float[C]"}
    assert graph.signature() == (inputs, {"x_ready": shape})
    assert graph.roles == {"data.mean": Role.DATA, "data.std": Role.DATA}
    found = graph({"x": PIXELS.astype(dtype.numpy()), "data.mean": MEAN, "data.std": STD})["x_ready"]
    wanted = {"NCHW": expected(), "NHWC": np.moveaxis(expected(), 1, 3), "flat": expected().reshape(2, -1)}
    np.testing.assert_array_equal(found, wanted[layout])


VOLUME = np.arange(2 * 2 * 6 * 4, dtype=np.float32).reshape(2, 2, 6, 4)


@pytest.mark.parametrize(
    ("layout", "sample", "shape", "raw", "wanted"),
    [
        ("NCT", (2, 6), "float[N,C,T]", VOLUME[..., :1], VOLUME[..., 0]),
        ("NTC", (6, 2), "float[N,T,C]", VOLUME[..., :1], VOLUME[..., 0].transpose(0, 2, 1)),
        ("NCDHW", (2, 3, 2, 4), "float[N,C,D,H,W]", VOLUME, VOLUME.reshape(2, 2, 3, 2, 4)),
        ("NCDHW", (2, None, 2, None), "float[N,C,D,H,W]", VOLUME, VOLUME.reshape(2, 2, 3, 2, 4)),
        ("NDHWC", (3, 2, 4, 2), "float[N,D,H,W,C]", VOLUME, np.moveaxis(VOLUME.reshape(2, 2, 3, 2, 4), 1, 4)),
    ],
)
def test_sequences_and_volumes(
    layout: Layout, sample: tuple[int | None, ...], shape: str, raw: harness.Array, wanted: harness.Array
) -> None:
    graph = harness.Graph(standardise.build(layout, sample=sample))
    graph.check_form()
    assert graph.signature()[1] == {"x_ready": shape}
    mean, std = np.array([1, 2], np.float32) / 255, np.array([3, 4], np.float32) / 255
    found = graph({"x": raw, "data.mean": mean, "data.std": std})["x_ready"]
    axis = wanted.shape.index(2, 1) if layout.startswith("NC") else wanted.ndim - 1
    by_channel = [1, *[2 if one == axis else 1 for one in range(1, wanted.ndim)]]
    np.testing.assert_allclose(
        found, (wanted - np.reshape([1, 2], by_channel)) / np.reshape([3, 4], by_channel), rtol=1e-5, atol=1e-5
    )


def test_raw_values_pass_through_mean_zero_and_std_one_255th() -> None:
    graph = harness.Graph(standardise.build())
    x = np.linspace(-3, 3, 24, dtype=np.float32).reshape(1, 2, 3, 4)
    unit = {"data.mean": np.zeros(2, np.float32), "data.std": np.full(2, 1 / 255, np.float32)}
    np.testing.assert_allclose(graph({"x": x, **unit})["x_ready"], x, rtol=3e-7)


def test_an_unknown_layout_is_refused() -> None:
    with pytest.raises(OptionError, match=r"unknown layout 'nchw'.*NCHW, NHWC, flat"):
        standardise.build("nchw")  # type: ignore[arg-type]
