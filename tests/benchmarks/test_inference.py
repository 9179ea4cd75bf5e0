"""The inference benchmark compares like with like: what is left of a pruned network is a network of those widths."""

from pathlib import Path

import onnxruntime as ort
import pytest

from benchmarks.contestants import batch_of, module_of
from benchmarks.inference import DENSE, exported, graph_of, inference, narrowed, weights_of
from sparcl_compile.settings.options import CompileOptions


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_pruned_network_is_the_one_made_by_hand(tmp_path: Path) -> None:
    pruning = CompileOptions(sparsity=0.75, gradient_sparsity=0.0, scheme="channel")
    pruned = exported(module_of(4), pruning, tmp_path / "pruned.onnx")
    by_hand = exported(narrowed(module_of(4), weights_of(pruned)), DENSE, tmp_path / "by-hand.onnx")
    assert weights_of(pruned) == weights_of(by_hand)
    assert graph_of(pruned) == graph_of(by_hand)
    assert {op for op, *_ in graph_of(pruned)} == {"Conv", "Relu", "Add", "GlobalAveragePool", "Flatten", "Gemm"}
    answers = [inference(model, 2, 1)() for model in (pruned, by_hand)]
    expected = ort.InferenceSession(pruned).run(None, {"x": batch_of(2)[0]})
    assert answers[0][0].tolist() == expected[0].tolist()  # type: ignore[index]
    assert answers[1][0].shape == expected[0].shape  # type: ignore[index]
