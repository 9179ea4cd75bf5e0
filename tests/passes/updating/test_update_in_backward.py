from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest

from sparcl_compile.compiling.compiler import compile_model
from sparcl_compile.interface.names import Role
from sparcl_compile.passes.analysis.liveness.in_place import overwritable
from sparcl_compile.passes.core.marks import PASS_KEY
from sparcl_compile.passes.core.roles import set_role, values_with_role
from sparcl_compile.passes.differentiating.attach_optimizer import AttachOptimizer
from sparcl_compile.passes.updating.update_in_backward import UpdateInBackward
from sparcl_compile.runtime.session import kernel_library as kernels
from sparcl_compile.settings.options import CompileOptions
from tests.support.form import Form, batches, write_small
from tests.support.small_model import changed_lines, run_twice
from tests.support.training_form import differentiated

STEPS = 4
TRAINING = """
<ir_version: 10, opset_import: ["" : 18, "com.microsoft" : 1]>
training (float[N,4] x, float[4,3] w, float[4,3] "w_grad.accumulation.buffer", bool[1] lazy_reset_grad)
=> (float loss, bool[1] "w_grad.accumulation.out")
<float loss_grad = {2.0}, float[N,3] y, float[N,4] dx>
{
  [forward] y = MatMul (x, w)
  [loss] loss = ReduceSumSquare <keepdims = 0> (y)
  [dy] dy = Mul (y, loss_grad)
  [dx] dx = com.microsoft.FusedMatMul <transB = 1> (dy, w)
  [dw] w_grad = com.microsoft.FusedMatMul <transA = 1> (x, dy)
  [dw_of_dx] dx_sum = ReduceSum <keepdims = 0> (dx)
  [add] "w_grad.accumulation.out" = com.microsoft.InPlaceAccumulatorV2
      ("w_grad.accumulation.buffer", w_grad, lazy_reset_grad)
}
"""


def one_weight(variant: str = "sgd") -> ir.Model:
    """A weight with an input gradient that is a node of its own, and that nothing puts before the weight's."""
    model = ir.from_onnx_text(TRAINING)
    roles = {"w": Role.PARAMETER, "w_grad.accumulation.buffer": Role.GRADIENT}
    for value in model.graph.inputs:
        if value.name in roles:
            set_role(value, roles[value.name])
    AttachOptimizer(optimizer=variant)(model)
    return model


def names(values: Any) -> list[str]:
    return [str(value.name) for value in values]


def test_the_accumulator_gives_way_to_the_step() -> None:
    model = one_weight()
    before = run_twice(UpdateInBackward(), model)
    assert changed_lines(before, model) == [
        '+["loss_grad.scaled"] "loss_grad.scaled" = Mul (learning_rate, loss_grad)',
        "-[dy] dy = Mul (y, loss_grad)",
        '+[dy] dy = Mul (y, "loss_grad.scaled")',
        '-[add] "w_grad.accumulation.out" = com.microsoft.InPlaceAccumulatorV2 ("w_grad.accumulation.buffer", w_grad, '
        "lazy_reset_grad)",
        '+["w.is_read.0.size"] "w.is_read.0.size" = Size (dx)',
        '+["w.is_read.0.done"] "w.is_read.0.done" = Cast <to: int = 9> ("w.is_read.0.size")',
        '+["w.is_read.0"] "w.is_read.0" = Where ("w.is_read.0.done", "w.is_read.shape", "w.is_read.shape")',
        '+["w.is_read.gradient"] "w.is_read.gradient" = Reshape (w_grad, "w.is_read.0")',
        '+["w.next"] "w.next" = Sub (w, "w.is_read.gradient")',
    ]
    assert names(model.graph.inputs) == ["x", "w", "learning_rate"]
    assert names(model.graph.outputs) == ["loss", "w.next"]
    made = [node.name for node in model.graph if node.metadata_props.get(PASS_KEY) == "update_in_backward"]
    assert len(made) == 6


def test_the_weight_may_be_written_over_only_because_the_step_waits() -> None:
    model = one_weight()
    UpdateInBackward()(model)
    assert overwritable(model.graph) == ["w"]
    step = next(node for node in model.graph if node.name == "w.next")
    gradient = next(value for value in (out for node in model.graph for out in node.outputs) if value.name == "w_grad")
    step.replace_input_with(1, gradient)
    assert overwritable(model.graph) == []


def test_an_optimizer_with_state_brings_it_along() -> None:
    model = one_weight("adamw")
    UpdateInBackward()(model)
    state = ["w.exp_avg", "w.exp_avg_sq"]
    assert names(model.graph.inputs) == ["x", "w", "learning_rate", "count", *state]
    assert names(values_with_role(model, Role.OPTIMIZER)) == state
    assert names(model.graph.outputs) == ["loss", *(f"{name}.next" for name in ("w", *state))]
    assert overwritable(model.graph) == ["w", *state]
    assert not model.functions
    assert not [node.name for node in model.graph if node.name == "loss_grad.scaled"]
    assert not UpdateInBackward()(model).modified


@pytest.mark.parametrize("options", [{}, {"scheme": "channel"}, {"optimizer": "adamw"}], ids=str)
def test_no_constant_is_left_that_nothing_reads(options: dict[str, Any], tmp_path: Path) -> None:
    """ONNX Runtime warns of each."""
    write_small("resnet", tmp_path / "model.onnx", 0)
    compile_model(tmp_path / "model.onnx", tmp_path / "a.sparcl", CompileOptions(replay_batches="merged", **options))
    graph = ir.load(tmp_path / "a.sparcl" / "train" / "training_model.onnx").graph
    assert [name for name, value in graph.initializers.items() if not value.uses()] == []


def test_a_graph_without_accumulators_is_left_alone() -> None:
    forward, _ = differentiated()
    AttachOptimizer()(forward)
    assert not UpdateInBackward().call(forward).modified


def trained(folder: Path, method: str, steps: int = STEPS, **options: Any) -> Form:
    """A model after a few steps of one batch each, with gradients chosen before every step and stored or not."""
    chosen = CompileOptions(method=method, **{"gradient_sparsity": 0.9, **options})
    made = Form(folder / "model.onnx", folder / f"{method}.sparcl", chosen)
    shape = tuple(made.manifest.model.input_shape)
    for seed in range(steps):
        current, _ = batches(seed, shape)
        made.step(current, [], rate=0.003)
    return made


@pytest.mark.parametrize("gradient_scheme", ["unstructured", "channel"])
@pytest.mark.parametrize("method", ["finetune", "der++"])
def test_measuring_changes_no_state(method: str, gradient_scheme: str, tmp_path: Path) -> None:
    write_small("resnet", tmp_path / "model.onnx", seed=0)
    form = trained(tmp_path, method, steps=1, gradient_scheme=gradient_scheme)
    # What it adds to are the accumulators alone, in whose place a run gives it what it measures into.
    assert set(form.manifest.graphs["measure"].updates.values()) <= {one.accumulator for one in form.manifest.weights}
    measured = form.engine.names("measured")
    assert len(measured) == 2 * len(form.manifest.weights)
    state = {name: form.engine.array(name).copy() for name in form.engine.state if name not in measured}
    current, replayed = batches(9, tuple(form.manifest.model.input_shape))
    form.measure(current, replayed)
    for name, before in state.items():
        np.testing.assert_array_equal(form.engine.array(name), before, err_msg=name)
    for weight in form.manifest.weights:
        assert form.engine.array(weight.g1).any()
        assert form.engine.array(weight.g2).any() == (method == "der++")


CASES = [
    ("resnet", {}),
    ("resnet", {"gradient_sparsity": 0.8}),
    ("resnet", {"update": "last:1", "sparsity": 0.0, "gradient_sparsity": 0.0}),
    ("resnet", {"scheme": "channel", "momentum": 0.9}),
    ("resnet", {"gradient_scheme": "channel", "optimizer": "adamw", "weight_decay": 0.01}),
    ("resnet", {"recompute": True}),
    ("mlp", {"sparsity": 0.0, "gradient_sparsity": 0.0}),
    ("mlp", {"momentum": 0.9, "weight_decay": 0.001}),
    ("depthwise", {"sparsity": 0.0}),
    ("transformer", {"sparsity": 0.0, "gradient_sparsity": 0.0, "momentum": 0.9}),
    ("transformer", {"gradient_scheme": "channel"}),
]


@pytest.mark.parametrize(("model", "options"), CASES)
def test_the_numbers_are_those_of_stored_gradients(model: str, options: dict[str, Any], tmp_path: Path) -> None:
    write_small(model, tmp_path / "model.onnx", seed=0)
    check_equal(tmp_path, options)


@pytest.mark.skipif(kernels.library() is None, reason=f"the sparse kernels were not built: {kernels.reason()}")
@pytest.mark.parametrize("model", ["resnet", "transformer"])
def test_compressed_weights_too(model: str, tmp_path: Path) -> None:
    write_small(model, tmp_path / "model.onnx", seed=0)
    check_equal(tmp_path, {"compress": True, "select_kernels": False, "sparsity": 0.75, "momentum": 0.9})


def check_equal(folder: Path, options: dict[str, Any]) -> None:
    stored, direct = (trained(folder, method, **options) for method in ("der++", "finetune"))
    assert "optimizer" in stored.manifest.graphs
    assert "optimizer" not in direct.manifest.graphs
    assert not direct.engine.names("gradient")
    written_over = direct.manifest.graphs["train"].in_place
    moved = [*direct.engine.names("parameter"), *direct.engine.names("optimizer")]
    assert set(moved) <= set(written_over)
    for name in moved + direct.engine.names("running_stat") + direct.engine.names("gradient_mask"):
        wanted = stored.engine.array(name)
        np.testing.assert_allclose(direct.engine.array(name), wanted, rtol=1e-4, atol=1e-5, err_msg=name)
    first = direct.engine.array(moved[0]).copy()
    direct.engine.reset_all()
    assert not np.array_equal(first, direct.engine.array(moved[0]))
