"""The small graphs that are timed compute one layer's training step, and the same one in both forms."""

import dataclasses

import numpy as np
import onnxruntime
import pytest

from sparcl_compile.costs.layer_graphs import LayerGraph, dense_step, sparse_step
from sparcl_compile.passes.lowering.batch_last.forms import BATCH_FIRST
from sparcl_compile.passes.lowering.choice.work import CONV, PRODUCT, Work
from sparcl_compile.runtime.session import kernel_library as kernels
from tests.runtime.kernels.sparse import session

pytestmark = pytest.mark.skipif(kernels.library() is None, reason=kernels.reason())

BATCH = 5
STRIDED = Work(CONV, (6, 4, 3, 3), (7, 8), (4, 3), (2, 3), (1, 1, 1, 1), (1, 1), 40, 40, True)
DILATED = Work(CONV, (3, 2, 3, 3), (9, 9), (5, 5), (1, 1), (0, 0, 0, 0), (2, 2), 20, 7, True)
VECTORS = Work(PRODUCT, (5, 9, 1, 1), (1, 1), (1, 1), (1, 1), (0, 0, 0, 0), (1, 1), 12, 5, True)
TOKENS = Work(PRODUCT, (5, 9, 1, 1), (1, 4), (1, 4), (1, 1), (0, 0, 0, 0), (1, 1), 12, 12, True)


def results(graph: LayerGraph) -> dict[str, np.ndarray]:
    import onnx_ir as ir

    made: onnxruntime.InferenceSession = session(ir.to_proto(graph.model).SerializeToString())
    names = [output.name for output in made.get_outputs()]
    return dict(zip(names, made.run(None, dict(graph.feeds)), strict=True))


def batch_first(array: np.ndarray, like: np.ndarray) -> np.ndarray:
    """[C, H, W, N] as the dense form has it: images, or rows of tokens."""
    images = array.transpose(BATCH_FIRST)
    return images if like.ndim == 4 else images.transpose(0, 2, 3, 1).reshape(like.shape)


@pytest.mark.parametrize("work", [STRIDED, DILATED, VECTORS, TOKENS])
def test_both_forms_make_the_same_step(work: Work) -> None:
    dense, sparse = results(dense_step(work, BATCH)), results(sparse_step(work, BATCH))
    assert dense.keys() == sparse.keys() == {"y", "dx", "sum", "next"}
    # Sums of at most some hundred products of normal numbers.
    for name in ("y", "dx"):
        np.testing.assert_allclose(batch_first(sparse[name], dense[name]), dense[name], rtol=0, atol=1e-4)
    index = sparse_step(work, BATCH).feeds["index"]
    assert len(index) == work.places
    for name in ("sum", "next"):
        np.testing.assert_allclose(sparse[name], dense[name].reshape(-1)[index], rtol=0, atol=1e-4)
        assert not np.delete(dense[name].reshape(-1), index).any()


@pytest.mark.parametrize("work", [STRIDED, VECTORS])
def test_a_first_layer_has_no_input_gradient(work: Work) -> None:
    first = dataclasses.replace(work, input_gradient=False)
    whole = [len(make(work, BATCH).model.graph) for make in (dense_step, sparse_step)]
    for make, nodes in zip((dense_step, sparse_step), whole, strict=True):
        graph = make(first, BATCH)
        assert results(graph).keys() == {"y", "sum", "next"}
        assert len(graph.model.graph) == nodes - 1


def test_gradients_are_computed_where_they_are_updated() -> None:
    graph = sparse_step(DILATED, BATCH)
    assert np.count_nonzero(graph.feeds["chosen"]) == DILATED.updated
    changed = results(graph)["sum"] != graph.feeds["accumulated"]
    assert np.count_nonzero(changed) == DILATED.updated
