"""The backward graph by rules: its text, its refusals, and whole models against differences and the builder."""

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
import pytest

from sparcl_compile.interface.errors import PassOrderError, UnsupportedOpsError
from sparcl_compile.interface.names import NEXT, Role, accumulator_name
from sparcl_compile.passes.core.marks import PASS_KEY
from sparcl_compile.passes.core.roles import role_of, set_role
from sparcl_compile.passes.differentiating.attach_loss import AttachLoss
from sparcl_compile.passes.differentiating.differentiate import RESET, Differentiate, path_to_loss
from sparcl_compile.passes.differentiating.save_batch_statistics import SaveBatchStatistics
from sparcl_compile.passes.sparsifying.insert_weight_masks import InsertWeightMasks
from tests.support.gradient_check import (
    by_builder,
    by_rules,
    imported,
    random_feeds,
    worst_gradient,
)
from tests.support.small_model import changed_lines, forward_model, run_twice
from tests.support.zoo import ZOO
from tests.support.zoo_ort import ONLY_ORT, only_ort

TOLERANCE = 1e-3
TEXT = """
<ir_version: 10, opset_import: ["" : 18]>
tried (float[N,2] x, float[2,3] w, float[3] c, float[1] ce_weight) => (float loss)
<float[N,3] p, float[N,3] r, float[N,3] s, float[N,2] h, bool[N,3] z, float[3] q>
{
  [product] p = MatMul (x, w)
  [relu] r = Relu (p)
  [sum] s = Add (r, p)
  [total] loss = ReduceSum <keepdims = 0> (s)
}
"""


def small(text: str = TEXT, parameters: tuple[str, ...] = ("w",)) -> ir.Model:
    """A model whose first output is a loss; the named inputs are parameters, ``c`` is a constant."""
    model = ir.from_onnx_text(text)
    for value in [v for v in model.graph.inputs if v.name in (*parameters, "c")]:
        model.graph.inputs.remove(value)
        value.const_value = ir.tensor(np.ones([int(d) for d in value.shape or ()], np.float32), name=value.name)
        model.graph.register_initializer(value)
        if value.name in parameters:
            set_role(value, Role.PARAMETER)
    for node in model.graph:
        for out in node.outputs:
            out.type = out.type or ir.TensorType(ir.DataType.FLOAT)
    return model


def run(model: ir.Model, names: list[str], feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
    """Values of a model by ONNX Runtime."""
    session = ort.InferenceSession(ir.to_proto(model).SerializeToString())
    wanted = {one.name for one in session.get_inputs()}
    return list(session.run(names, {name: array for name, array in feeds.items() if name in wanted}))


def written(node: ir.Node) -> str:
    """A node in one line, without its attributes."""
    outputs, inputs = (", ".join(str(v.name) for v in values if v) for values in (node.outputs, node.inputs))
    return f"{outputs} = {node.op_type}({inputs})"


def with_loss() -> ir.Model:
    model = forward_model()
    for one in (InsertWeightMasks(sparsity=0.5), AttachLoss(), SaveBatchStatistics()):
        one(model)
    return model


def test_the_backward_graph_stands_behind_the_forward_graph() -> None:
    model = small()
    before = run_twice(Differentiate(), model)
    made = list(model.graph)[len(before.graph) :]
    assert [written(node) for node in made] == [
        "total.gradient.unsqueeze = Unsqueeze(loss_grad, gradient.ints_0_1)",
        "total.gradient.shape = Shape(s)",
        "s_grad = Expand(total.gradient.unsqueeze, total.gradient.shape)",
        "relu.gradient.hardsigmoid = HardSigmoid(r)",
        "relu.gradient.mul = Mul(s_grad, relu.gradient.hardsigmoid)",
        "p_grad = Sum(s_grad, relu.gradient.mul)",
        "product.gradient.transpose = Transpose(x)",
        "w_grad = MatMul(product.gradient.transpose, p_grad)",
        "accumulate.is_further = Not(lazy_reset_grad)",
        "accumulate.keep = Cast(accumulate.is_further)",
        "accumulate.keep_2 = Unsqueeze(accumulate.keep, accumulate.axes_2)",
        "w_grad.accumulation.buffer.kept = Mul(w_grad.accumulation.buffer, accumulate.keep_2)",
        "w_grad.accumulation.buffer.next = Add(w_grad.accumulation.buffer.kept, w_grad)",
    ]
    assert not [line for line in changed_lines(before, model) if line.startswith("-")]


def test_every_node_is_of_opset_18_or_ours_and_has_its_origin() -> None:
    model = with_loss()
    before = {node.name for node in model.graph}
    Differentiate()(model)
    made = [node for node in model.graph if node.name not in before]
    assert made
    assert {node.metadata_props.get(PASS_KEY) for node in made} == {"differentiate"}
    assert {node.domain for node in model.graph} == {""}
    assert dict(model.opset_imports) == {"": 18}
    assert all(onnx.defs.get_schema(node.op_type, 18) for node in made)


def test_parameters_get_accumulators_and_roles_survive() -> None:
    model = with_loss()
    run_twice(Differentiate(), model)
    roles = {str(v.name): role_of(v) for v in model.graph.inputs}
    assert not [name for name in ("conv.weight", "head.bias") if roles[name] is not Role.PARAMETER]
    assert roles["conv.weight.mask"] is Role.MASK
    assert roles["bn.mean"] is Role.RUNNING_STAT
    assert roles[accumulator_name("conv.weight")] is Role.GRADIENT
    assert accumulator_name("bn.mean") not in roles
    outputs = [str(v.name) for v in model.graph.outputs]
    assert outputs[0] == "loss"
    assert outputs[-1] == f"{accumulator_name('head.bias')}{NEXT}"


def test_every_value_has_its_shape_and_type() -> None:
    model = with_loss()
    Differentiate()(model)
    values = [out for node in model.graph for out in node.outputs if out.name]
    assert not [v.name for v in values if v.shape is None or v.type is None]


@pytest.mark.parametrize("reset", [True, False])
def test_a_gradient_is_added_to_the_accumulator_or_takes_its_place(reset: bool) -> None:
    model = small()
    Differentiate()(model)
    name = accumulator_name("w")
    feeds = {
        "x": np.array([[1.0, 2.0]], np.float32),
        "ce_weight": np.ones(1, np.float32),
        "w": np.ones((2, 3), np.float32),
        name: np.full((2, 3), 10.0, np.float32),
        RESET: np.array([reset]),
    }
    (found,) = run(model, [f"{name}{NEXT}"], feeds)
    expected = np.array([[2.0] * 3, [4.0] * 3]) + (0.0 if reset else 10.0)
    np.testing.assert_array_equal(found, expected)


def test_a_parameter_that_the_loss_does_not_depend_on_has_a_gradient_of_zeros() -> None:
    text = TEXT.replace("float[3] c", "float[3] c, float[3] v").replace("loss = Red", "q = Relu(v) [whole] loss = Red")
    model = small(text, ("w", "v"))
    Differentiate()(model)
    buffers = {accumulator_name(n): np.ones(s, np.float32) for n, s in (("w", (2, 3)), ("v", 3))}
    feeds = {"x": np.ones((1, 2), np.float32), "w": np.ones((2, 3), np.float32), "v": np.ones(3, np.float32)}
    feeds |= {"ce_weight": np.ones(1, np.float32), RESET: np.array([True]), **buffers}
    (found,) = run(model, [f"{accumulator_name('v')}{NEXT}"], feeds)
    assert not found.any()


def test_what_is_frozen_stays_a_constant_and_nothing_below_is_differentiated() -> None:
    model = with_loss()
    for name in ("conv.weight", "bn.scale", "bn.bias"):
        set_role(model.graph.initializers[name], Role.FROZEN)
    Differentiate()(model)
    assert "conv.weight" in model.graph.initializers
    gradients = [str(out.name) for node in model.graph for out in node.outputs if str(out.name).endswith("_grad")]
    assert not [name for name in gradients if name in ("c_grad", "b_grad", "r_grad", "conv.weight_grad")]


def test_operators_without_a_rule_are_named_at_once() -> None:
    text = TEXT.replace("Relu (p)", "Det (p)").replace("Add (r, p)", "Hardmax (r)")
    with pytest.raises(UnsupportedOpsError) as caught:
        Differentiate()(small(text))
    assert str(caught.value) == (
        "2 operator(s) between the weights and the logits cannot be trained: Det (relu), Hardmax (sum); replace them "
        "in the model before exporting it, or add their gradients (docs/gradients.md)"
    )


def test_operators_off_the_path_need_no_rule() -> None:
    text = TEXT.replace("r = Relu (p)", "h = Hardmax (x) [second] r = MatMul (h, w)")
    model = small(text)
    Differentiate()(model)
    assert [node.op_type for node in path_to_loss(small(text).graph)] == ["MatMul", "MatMul", "Add", "ReduceSum"]


def test_what_a_comparison_decides_has_no_gradient() -> None:
    """The path ends at an operator whose result is no function to train through."""
    text = TEXT.replace("r = Relu (p)", "z = Greater (p, c) [choice] r = Where (z, p, c)")
    model = small(text)
    assert [node.op_type for node in path_to_loss(model.graph)] == ["MatMul", "Where", "Add", "ReduceSum"]


def test_a_whole_number_has_no_gradient() -> None:
    """A Cast to an integer and back is a step, whatever the rule of Cast passes on."""
    text = TEXT.replace("r = Relu (p)", "k = Cast <to = 7> (p) [back] r = Cast <to = 1> (k)").replace(
        "bool[N,3] z", "int64[N,3] k"
    )
    model = small(text)
    assert [node.op_type for node in path_to_loss(model.graph)] == ["MatMul", "Add", "ReduceSum"]


def test_a_graph_without_a_loss_is_refused() -> None:
    with pytest.raises(PassOrderError, match="has no loss"):
        Differentiate()(forward_model())


@pytest.mark.parametrize("name", ZOO)
def test_whole_models_have_the_right_gradients(name: str) -> None:
    """Against differences in float64, and the builder where the model needs no operator that it lacks."""
    model = imported(ZOO[name](), target="ort")
    worst, parameter = worst_gradient(model, by=by_rules)
    assert worst < TOLERANCE, parameter


@pytest.mark.training_build
@pytest.mark.parametrize("name", ZOO)
def test_whole_models_have_the_gradients_of_the_builder(name: str) -> None:
    model = imported(ZOO[name](), target="ort-training")
    feeds = random_feeds(model, np.random.default_rng(1))
    found, expected = by_rules(model, feeds), by_builder(model, feeds)
    whole = np.sqrt(sum((one**2).sum() for one in expected.values()))
    for parameter, one in expected.items():
        size = max(np.linalg.norm(one), 1e-4 * whole)
        assert np.linalg.norm(found[parameter] - one) / size < TOLERANCE, parameter


@pytest.mark.parametrize("name", ONLY_ORT)
def test_what_this_target_alone_can_train(name: str) -> None:
    model = imported(only_ort(name), target="ort")
    worst, parameter = worst_gradient(model, by=by_rules)
    assert worst < TOLERANCE, parameter


@pytest.mark.parametrize("name", ONLY_ORT)
def test_the_other_target_names_the_one_that_can(name: str) -> None:
    with pytest.raises(UnsupportedOpsError, match=r"(LSTM|GRU|RNN|ConvTranspose).*give --target ort, which has"):
        imported(only_ort(name), target="ort-training")
