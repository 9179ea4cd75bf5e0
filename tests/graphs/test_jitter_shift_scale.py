"""Shift, scale and noise of series, computed a second time in NumPy."""

import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparcl_compile.graphs import jitter_shift_scale
from sparcl_compile.interface.errors import OptionError
from sparcl_compile.interface.manifest import Layout
from sparcl_compile.interface.names import Role
from tests.support import harness

ROOT = np.sqrt(3)


@pytest.fixture(scope="module")
def graph() -> harness.Graph:
    return harness.Graph(jitter_shift_scale.build())


def series(samples: int, channels: int, steps: int) -> harness.Array:
    return np.random.default_rng(samples).normal(size=(samples, channels, steps, 1)).astype(np.float32)


def moments(channels: int) -> tuple[harness.Array, harness.Array]:
    return np.linspace(-0.5, 0.5, channels, dtype=np.float32), np.linspace(0.2, 2, channels, dtype=np.float32)


def feeds(x: harness.Array, key: harness.Array) -> dict[str, harness.Array]:
    mean, std = moments(x.shape[1])
    return {"x": x, "key": key, "data.mean": mean, "data.std": std}


def uniform(word: int) -> float:
    return 2 * word / 2**32 - 1


def expected(x: harness.Array, key: harness.Array) -> harness.Array:
    samples, channels, steps, _ = x.shape
    mean, std = moments(channels)
    out = np.zeros((samples, channels, steps), np.float32)
    for i, sample in enumerate(x[..., 0]):
        words = iter(harness.element("augment", key, i * (1 + channels + channels * steps) + n) for n in range(10**9))
        most = steps // 10
        shift = next(words) % (2 * most + 1) - most
        factors = [np.float32(1 + uniform(next(words)) * 0.1 * ROOT) for _ in range(channels)]
        for c in range(channels):
            for t in range(steps):
                value = sample[c, min(max(t + shift, 0), steps - 1)]
                ready = (value / np.float32(255) - mean[c]) / std[c]
                out[i, c, t] = ready * factors[c] + np.float32(uniform(next(words)) * 0.05 * ROOT)
    return out


def test_form(graph: harness.Graph) -> None:
    graph.check_form()
    assert graph.signature() == (
        {"x": "float[N,C,H,W]", "key": "int64[3]", "data.mean": "float[C]", "data.std": "float[C]"},
        {"x_ready": "float[N,C,T]"},
    )
    assert graph.roles == {"data.mean": Role.DATA, "data.std": Role.DATA}


@given(
    shape=st.tuples(st.integers(1, 4), st.integers(1, 3), st.integers(1, 25)),
    seed=st.integers(0, 2**31),
    step=st.integers(0, 10**6),
    draw=st.integers(0, 2),
)
def test_equals_what_is_done_by_hand(
    graph: harness.Graph, shape: tuple[int, int, int], seed: int, step: int, draw: int
) -> None:
    x, key = series(*shape), harness.key(seed, step, draw)
    found = graph(feeds(x, key))["x_ready"]
    assert found.dtype == np.float32
    # A product and a sum may be rounded once in place of twice: an ulp of values of about 10.
    np.testing.assert_allclose(found, expected(x, key), rtol=1e-6, atol=1e-6)


def test_last_channels_and_bytes(graph: harness.Graph) -> None:
    x, key = (series(3, 2, 12) * 40 + 128).clip(0, 255).astype(np.uint8), harness.key(3, 4, 1)
    plain = graph(feeds(x.astype(np.float32), key))["x_ready"]
    turned = harness.Graph(jitter_shift_scale.build("NTC", ir.DataType.UINT8))
    assert turned.signature()[1] == {"x_ready": "float[N,T,C]"}
    np.testing.assert_array_equal(turned(feeds(x, key))["x_ready"], plain.transpose(0, 2, 1))


def test_deviations_and_shifts_are_those_of_the_page(graph: harness.Graph) -> None:
    x = np.zeros((4000, 2, 20, 1), np.float32)
    x[:, :, 10] = 255
    raw = {"data.mean": np.zeros(2, np.float32), "data.std": np.ones(2, np.float32)}
    found = graph({**feeds(x, harness.key(5)), **raw})["x_ready"]
    places = found.argmax(axis=2)
    np.testing.assert_array_equal(places[:, 0], places[:, 1])
    assert set(places[:, 0]) == {8, 9, 10, 11, 12}
    noise = found[found < 0.5]
    peaks = found.max(axis=2)
    assert noise.std() == pytest.approx(0.05, rel=0.02)
    assert noise.mean() == pytest.approx(0, abs=1e-3)
    assert np.abs(noise).max() <= 0.0867
    assert peaks.std() == pytest.approx(np.hypot(0.1, 0.05), rel=0.05)
    assert abs(np.corrcoef(peaks.T)[0, 1]) < 0.05


def test_steps_and_draws_differ(graph: harness.Graph) -> None:
    x = series(4, 2, 30)
    keys = [harness.key(0), harness.key(1), harness.key(0, 1), harness.key(0, 0, 1), harness.key(0, 0, 2)]
    assert len({graph(feeds(x, key))["x_ready"].tobytes() for key in keys}) == len(keys)


@pytest.mark.parametrize("layout", ["NCHW", "flat", "NCDHW", "CT"])
def test_samples_that_are_no_series_are_refused(layout: Layout) -> None:
    with pytest.raises(OptionError, match=f"samples of layout '{layout}' are no series; choose one of NCT, NTC"):
        jitter_shift_scale.build(layout)
