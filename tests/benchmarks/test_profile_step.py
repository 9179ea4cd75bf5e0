from pathlib import Path

import onnx_ir as ir
import pytest

from benchmarks.alone import BATCH
from benchmarks.contestants import Setting, artifact_folder, compiled
from benchmarks.profile_step import Machine, Work, fastest_of, profiled, table, work_of
from tests.support.training_form import TARGETS

WIDTH = 16


def test_the_limit_is_the_longer_one_of_arithmetic_and_memory() -> None:
    machine = Machine(operations=100.0, bytes=10.0)
    assert machine.seconds(Work(operations=200.0, bytes=10.0)) == 2.0
    assert machine.seconds(Work(operations=200.0, bytes=30.0)) == 3.0
    assert machine.seconds(Work()) == 0.0


def test_an_operator_stands_beside_its_share_of_the_limit() -> None:
    shown = table({"A": 0.004, "B": 0.0}, {"A": Work(200.0)}, Machine(operations=1e5, bytes=1.0), least=0.0)
    columns = {str(column.header): list(column.cells) for column in shown.columns}
    assert columns["operator"] == ["A", "B", "all"]
    assert columns["ms at the limit"] == ["2.00", "0.00", "2.00"]
    assert columns["share of it"] == ["0.50", "-", "0.50"]


def test_work_counts_products_and_bytes_of_a_batch_and_no_views() -> None:
    model = ir.from_onnx_text("""<ir_version: 10, opset_import: ["" : 18]>
    g (float[N,6] x, float[6,5] w) => (float[N,5] y) <int64[2] shape = {-1, 5}, float[N,5] z> {
        z = MatMul (x, w)
        y = Reshape (z, shape)
    }""")
    assert work_of(model) == {"MatMul": Work(2.0 * BATCH * 6 * 5, 4.0 * (BATCH * 6 + 6 * 5 + BATCH * 5))}


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(("sparsity", "method"), [(0.0, "der++"), (0.5, "der++"), (0.5, "finetune")])
def test_the_profile_of_a_step_has_its_products_and_its_optimizer(
    sparsity: float, method: str, target: str, tmp_path: Path
) -> None:
    """The optimizer is a graph of its own where gradients are stored between batches of replay."""
    form = {"net": "mlp", "width": WIDTH, "method": method, "target": target}
    setting = Setting("small", compiled, "unstructured", sparsity, sparsity, **form)  # type: ignore[arg-type]
    seconds = profiled(setting, 1, 3, tmp_path)
    assert "Sub" in seconds
    assert ("InPlaceAccumulatorV2" in seconds) == (method == "der++" and target == "ort-training")
    assert all(value >= 0.0 for value in seconds.values())
    assert 0.0 < sum(seconds.values()) < 1.0
    work = work_of(ir.load(artifact_folder(setting, tmp_path) / "train" / "training_model.onnx"))
    layers = 784 * WIDTH + WIDTH * WIDTH + WIDTH * 10
    # Forward, both gradients of every layer; the input gradient of the first one is not computed.
    assert sum(one.operations for one in work.values()) == 2 * BATCH * (3 * layers - 784 * WIDTH)
    shown = table(seconds, work, Machine(1e12, 1e11), least=0.0)
    assert shown.row_count == len(seconds) + 1


def test_a_node_s_time_is_its_fastest_run() -> None:
    def event(op: str, node: str, dur: int, name: str = "n_kernel_time") -> dict[str, object]:
        return {"cat": "Node", "name": name, "dur": dur, "args": {"op_name": op, "node_index": node}}

    runs = [event("Add", "0", 30), event("Add", "1", 8), event("Add", "0", 20), event("Add", "1", 9)]
    others = [event("Add", "0", 1, "n_fence_before"), {"cat": "Session", "name": "model_run", "dur": 99}]
    assert fastest_of([*runs, event("Mul", "2", 5), *others]) == pytest.approx({"Add": 28e-6, "Mul": 5e-6})
