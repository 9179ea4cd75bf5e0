"""Products of matrices, transposed, broadcast and scaled, against PyTorch and ONNX Runtime's builder."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sparcl_compile.interface.errors import UnsupportedOpsError
from tests.support.gradient_rules import FEW, LENGTHS, SEEDS, Operator, by_rule, check, normal

pytestmark = pytest.mark.builder_too

FACTORS = st.floats(0.25, 2.0, width=16)
BIASES = ("none", "vector", "row", "column", "scalar", "whole")


@FEW
@given(LENGTHS, LENGTHS, st.booleans(), FACTORS, FACTORS, st.sampled_from(BIASES), SEEDS)
def test_gemm(inner: int, columns: int, turned: bool, alpha: float, beta: float, bias: str, seed: int) -> None:
    shapes = {"vector": (columns,), "row": (1, columns), "column": (3, 1), "scalar": (), "whole": (3, columns)}
    arrays = [normal(3, inner, seed=seed), normal(*((columns, inner) if turned else (inner, columns)), seed=seed + 1)]
    batch = {0: 0, 2: 0} if bias in ("column", "whole") else {0: 0}
    if bias != "none":
        arrays.append(normal(*shapes[bias], seed=seed + 2))

    def function(a: torch.Tensor, b: torch.Tensor, *c: torch.Tensor) -> torch.Tensor:
        return alpha * (a @ (b.T if turned else b)) + (beta * c[0] if c else 0.0)

    attributes = {"alpha": alpha, "beta": beta, "transB": int(turned)}
    check(Operator("Gemm", arrays, attributes, batch=batch), function, builder=bias in ("none", "vector"))


@pytest.mark.parametrize("turned", [False, True])
def test_gemm_whose_first_factor_is_transposed(turned: bool) -> None:
    arrays = [normal(4, 3), normal(2, 4, seed=1) if turned else normal(4, 2, seed=1)]
    tried = Operator("Gemm", arrays, {"transA": 1, "transB": int(turned), "alpha": 0.5}, batch={0: 1})
    check(tried, lambda a, b: 0.5 * (a.T @ (b.T if turned else b)))


SHAPES_OF_PRODUCTS = {
    "matrix": ((3, 4), (4, 2)),
    "tokens": ((3, 5, 4), (4, 2)),
    "left": ((2, 5), (3, 5, 4)),
    "both": ((3, 5, 4), (3, 4, 2)),
    "heads": ((3, 2, 5, 4), (3, 2, 4, 5)),
    "shared heads": ((3, 2, 5, 4), (2, 4, 3)),
    "one head": ((3, 2, 5, 4), (3, 1, 4, 3)),
    "one row": ((3, 1, 1), (1, 4)),
    "broadcast left": ((1, 2, 4), (3, 4, 5)),
}


@pytest.mark.parametrize("name", SHAPES_OF_PRODUCTS)
def test_products_of_any_ranks(name: str) -> None:
    shapes = SHAPES_OF_PRODUCTS[name]
    arrays = [normal(*shape, seed=number) for number, shape in enumerate(shapes)]
    batch = {n: 0 for n, shape in enumerate(shapes) if shape[0] == 3}
    check(Operator("MatMul", arrays, batch=batch), torch.matmul)


@pytest.mark.parametrize("shapes", [((3, 4), (4,)), ((4,), (4, 3))])
def test_a_vector_is_refused(shapes: tuple[tuple[int, ...], ...]) -> None:
    tried = Operator("MatMul", [normal(*shape) for shape in shapes], batch={})
    with pytest.raises(UnsupportedOpsError, match=r"MatMul \(tried\) multiplies by a vector, and cannot be trained"):
        by_rule(tried, {0: np.ones(3, np.float32)})
