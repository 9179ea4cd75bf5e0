import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparcl_compile.graphs import sparsity
from sparcl_compile.graphs.tensors import Tensor
from sparcl_compile.interface.names import Role
from tests.support import harness

KEPT = (
    Tensor("conv.weight.mask", (3, 2, 2, 2), Role.MASK),
    Tensor("folded.weight.mask", (2, 5), Role.MASK, full_size=40),
    Tensor("fc.weight.rows", (5,), Role.INDEX, full_size=60),
)
UPDATED = (
    Tensor("conv.weight.gradient_mask", (3, 2, 2, 2), Role.GRADIENT_MASK),
    Tensor("fc.weight.gradient_mask", (7,), Role.GRADIENT_MASK, full_size=60),
)
WEIGHTS = (
    Tensor("conv.weight", (3, 2, 2, 2), Role.PARAMETER),
    Tensor("folded.weight", (2, 5), Role.PARAMETER, full_size=40),
    Tensor("fc.weight", (7,), Role.PARAMETER, full_size=60),
    Tensor("conv.bias", (3,), Role.FROZEN),
)


@pytest.fixture(scope="module")
def graph() -> harness.Graph:
    return harness.Graph(sparsity.build(KEPT, UPDATED, WEIGHTS))


def state(seed: int) -> dict[str, harness.Array]:
    rng = np.random.default_rng(seed)
    density = rng.random()
    found = {t.name: (rng.random(t.shape) < density).astype(np.float32) for t in (*KEPT, *UPDATED, *WEIGHTS)}
    for weight in WEIGHTS:
        # Far below what an integer holds, so that a number that is not 0 cannot be cut off.
        found[weight.name] *= rng.normal(size=weight.shape).astype(np.float32) * np.float32(1e-30)
    found["fc.weight.rows"] = np.cumsum([0, *rng.integers(0, 3, 4)]).astype(np.int32)
    return found


def zeros(values: dict[str, harness.Array], tensors: tuple[Tensor, ...]) -> tuple[list[float], float]:
    """The share of zeros of each tensor, and over all of them."""
    arrays = [values[tensor.name] for tensor in tensors]
    kept = [int(a[-1]) if a.dtype == np.int32 else int(np.count_nonzero(a)) for a in arrays]
    sizes = [tensor.size for tensor in tensors]
    return [1.0 - k / size for k, size in zip(kept, sizes, strict=True)], 1.0 - sum(kept) / sum(sizes)


def test_form(graph: harness.Graph) -> None:
    graph.check_form()
    inputs, outputs = graph.signature()
    assert set(inputs) == {tensor.name for tensor in (*KEPT, *UPDATED, *WEIGHTS)}
    assert inputs["fc.weight.rows"] == "int32[5]"
    assert graph.roles == {tensor.name: tensor.role for tensor in (*KEPT, *UPDATED, *WEIGHTS)}
    assert outputs == {
        "overall": "double[]",
        "per_layer": "double[3]",
        "gradient_overall": "double[]",
        "gradient_per_layer": "double[2]",
        "all_parameters": "double[]",
    }


@given(st.integers(0, 2**20))
def test_zeros_are_counted(graph: harness.Graph, seed: int) -> None:
    values = state(seed)
    found = {name: value.tolist() for name, value in graph(values).items()}
    assert (found["per_layer"], found["overall"]) == zeros(values, KEPT)
    assert (found["gradient_per_layer"], found["gradient_overall"]) == zeros(values, UPDATED)
    assert found["all_parameters"] == zeros(values, WEIGHTS)[1]


def test_where_pruned_weights_train_too_no_gradient_is_left_out() -> None:
    graph = harness.Graph(sparsity.build(KEPT, None, WEIGHTS))
    graph.check_form()
    values = {name: array for name, array in state(7).items() if name in graph.inputs}
    found = {name: value.tolist() for name, value in graph(values).items()}
    assert (found["per_layer"], found["overall"]) == zeros(values, KEPT)
    assert (found["gradient_per_layer"], found["gradient_overall"]) == ([0.0] * len(KEPT), 0.0)


def test_more_weights_than_float32_counts() -> None:
    tensor = Tensor("w.mask", (2**24 + 3,), Role.MASK)
    session = harness.session(sparsity.build([tensor], [], [Tensor("b", (1,), Role.PARAMETER)]))
    mask = np.ones(tensor.shape, np.float32)
    mask[0] = 0.0
    assert session.run(["overall"], {"w.mask": mask, "b": np.ones(1, np.float32)}) == [1.0 - (2**24 + 2) / (2**24 + 3)]


def test_a_dense_model_has_no_layers() -> None:
    graph = harness.Graph(sparsity.build([], [], WEIGHTS[3:]))
    found = {name: value.tolist() for name, value in graph({"conv.bias": np.array([1, 0, 2], np.float32)}).items()}
    empty = {"overall": 0.0, "per_layer": [], "gradient_overall": 0.0, "gradient_per_layer": []}
    assert found == {**empty, "all_parameters": 1.0 - 2 / 3}


def test_no_parameters_are_refused() -> None:
    with pytest.raises(ValueError, match="no parameters to count"):
        sparsity.build(KEPT, UPDATED, [])
