import math

import numpy as np
import onnxruntime as ort
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparcl_compile.graphs import check_state
from sparcl_compile.graphs.tensors import Tensor
from sparcl_compile.interface.names import Role
from tests.support import harness

TENSORS = (
    Tensor("conv.weight", (3, 2, 2, 2), Role.PARAMETER),
    Tensor("scale", (), Role.PARAMETER),
    Tensor("conv.weight.momentum", (3, 2, 2, 2), Role.OPTIMIZER),
    Tensor("norm.mean", (5,), Role.RUNNING_STAT),
)
BROKEN = (math.nan, -math.nan, math.inf, -math.inf)


def state(seed: int) -> dict[str, harness.Array]:
    rng = np.random.default_rng(seed)
    return {t.name: np.asarray(rng.normal(size=t.shape) * 10.0 ** rng.integers(-45, 38), np.float32) for t in TENSORS}


@pytest.fixture(scope="module")
def graph() -> harness.Graph:
    return harness.Graph(check_state.build(TENSORS))


@pytest.fixture(scope="module")
def session() -> ort.InferenceSession:
    """ONNX Runtime alone: NumPy, under onnx.reference, warns of an infinity less itself."""
    return harness.session(check_state.build(TENSORS))


def broken(session: ort.InferenceSession, values: dict[str, harness.Array]) -> int:
    return int(session.run(["broken"], values)[0])


def test_form(graph: harness.Graph) -> None:
    graph.check_form()
    inputs = {
        "conv.weight": "float[3,2,2,2]",
        "scale": "float[]",
        "conv.weight.momentum": "float[3,2,2,2]",
        "norm.mean": "float[5]",
    }
    assert graph.signature() == (inputs, {"broken": "int64[]"})
    assert graph.roles == {tensor.name: tensor.role for tensor in TENSORS}


@given(st.integers(0, 2**20))
def test_all_numbers_are_fine(graph: harness.Graph, seed: int) -> None:
    assert int(graph(state(seed))["broken"]) == -1


@given(seed=st.integers(0, 2**20), holes=st.dictionaries(st.integers(0, 3), st.sampled_from(BROKEN), min_size=1))
def test_the_first_broken_tensor_is_named_by_its_number(
    session: ort.InferenceSession, seed: int, holes: dict[int, float]
) -> None:
    values = state(seed)
    for number, value in holes.items():
        flat = values[TENSORS[number].name].reshape(-1)
        flat[seed % flat.size] = value
    assert broken(session, values) == min(holes)


def test_the_largest_and_the_smallest_numbers_are_numbers(session: ort.InferenceSession) -> None:
    ends = np.finfo(np.float32)
    values = state(0)
    values["norm.mean"] = np.array([ends.max, ends.min, ends.tiny, ends.smallest_subnormal, -0.0], np.float32)
    assert broken(session, values) == -1


def test_a_tensor_without_elements_is_fine() -> None:
    graph = harness.Graph(check_state.build([Tensor("w", (0,), Role.PARAMETER)]))
    assert int(graph({"w": np.zeros(0, np.float32)})["broken"]) == -1


def test_nothing_to_check_is_refused() -> None:
    with pytest.raises(ValueError, match="no state tensor to check"):
        check_state.build([])
