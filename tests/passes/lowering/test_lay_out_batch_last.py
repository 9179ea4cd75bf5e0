import numpy as np
import onnx_ir as ir
import pytest
from onnx_ir.passes.common import LiftConstantsToInitializersPass

from sparcl_compile.compiling.verify import verify
from sparcl_compile.interface.names import Role
from sparcl_compile.passes.core.edit import int_attribute
from sparcl_compile.passes.core.layers import weighted_layers
from sparcl_compile.passes.core.marks import PASS_KEY
from sparcl_compile.passes.core.roles import role_of
from sparcl_compile.passes.core.values import value_named
from sparcl_compile.passes.importing.import_forward import ImportForward
from sparcl_compile.passes.lowering.batch_last.fuse import fuse_norms
from sparcl_compile.passes.lowering.lay_out_batch_last import LayOutBatchLast
from tests.support.batch_last import answers, conversions, model_of, operators, with_dense, with_sparse
from tests.support.gradient_check import Gradients, by_builder, by_rules, worst_gradient
from tests.support.small_model import changed_lines, run_twice
from tests.support.zoo import ZOO

CLOSE = {"rtol": 1e-4, "atol": 1e-4}
"""Sums of at most a few hundred products in float32, in another order, through up to four normalisations."""

PARTS = ("scale", "bias", "mean", "var")
STEM = "[c1] a = Conv <pads = [1, 1, 1, 1]> (x, w1)"
W1 = "float[4,3,3,3] w1"
W2 = "float[4,4,3,3] w2"


def parameters(name: str, channels: int = 4) -> str:
    """The tensors of a BatchNormalization, as graph inputs."""
    return ", ".join(f'float[{channels}] "{name}.{part}"' for part in PARTS)


def advanced(*names: str, channels: int = 4) -> str:
    """The next statistics of normalisations, as graph outputs."""
    return ", ".join(f'float[{channels}] "{name}.{part}.next"' for name in names for part in PARTS[2:])


def norm(name: str, x: str, y: str) -> str:
    """A BatchNormalization in training form."""
    inputs = ", ".join(f'"{name}.{part}"' for part in PARTS)
    return (
        f'[{name}] {y}, "{name}.mean.next", "{name}.var.next" = BatchNormalization <training_mode = 1> ({x}, {inputs})'
    )


def second(x: str, y: str) -> str:
    """A convolution that keeps the shape."""
    return f"[c2] {y} = Conv <pads = [1, 1, 1, 1]> ({x}, w2)"


def graph(inputs: list[str], outputs: list[str], *nodes: str, x: str = "float[N,3,6,6] x") -> ir.Model:
    return model_of(f"g ({', '.join([x, *inputs])}) => ({', '.join(outputs)}) {{ {' '.join(nodes)} }}")


def laid_out(model: ir.Model) -> tuple[list[str], ir.Model]:
    """Run the pass, twice, and check its promises; returns what changed in the text, and the model."""
    expected = answers(model)
    before = run_twice(LayOutBatchLast(), model)
    changed = changed_lines(before, model)
    check_promises(before, model, expected)
    return changed, model


def check_promises(before: ir.Model, model: ir.Model, expected: dict[str, np.ndarray]) -> None:
    for node in model.graph:
        assert PASS_KEY not in node.metadata_props or all(map(is_stated, node.outputs)), node.name
    check_names(model)
    assert {name: role_of(v) for name, v in before.graph.initializers.items()}.items() <= {
        name: role_of(v) for name, v in model.graph.initializers.items()
    }.items()
    assert conversions(model) <= conversions(before)
    verify(model, LayOutBatchLast())
    found = answers(model)
    assert list(found) == list(expected)
    for name, result in expected.items():
        np.testing.assert_allclose(found[name], result, **CLOSE, err_msg=name)


def is_stated(value: ir.Value) -> bool:
    return value.type is not None and value.shape is not None and not value.shape.has_unknown_dim()


def check_names(model: ir.Model) -> None:
    values = [value.name for node in model.graph for value in node.outputs if value.name]
    nodes = [node.name for node in model.graph]
    assert len(set(values)) == len(values)
    assert len(set(nodes)) == len(nodes)


def left_alone(model: ir.Model) -> None:
    before = model.clone()
    assert not LayOutBatchLast().call(model).modified
    assert not changed_lines(before, model)


def test_an_activation_between_two_sparse_convolutions_stays_in_the_layout() -> None:
    model = graph([W1, W2], ["float[N,4,6,6] y"], STEM, "[relu] b = Relu (a)", second("b", "y"))
    changed, model = laid_out(with_sparse(model, "c1", "c2"))
    assert [line for line in changed if "SparseConv" not in line] == [
        '-["c1.leave"] a = Transpose <perm: ints = [3, 0, 1, 2]> ("c1.y")',
        "-[relu] b = Relu (a)",
        '-["c2.enter"] "c2.x" = Transpose <perm: ints = [1, 2, 3, 0]> (b)',
        '+[relu] "b.batch_last" = Relu ("c1.y")',
    ]
    assert value_named(model.graph, "b.batch_last").shape == ir.Shape([4, 6, 6, "N"])
    assert [node.name for node in model.graph if node.metadata_props.get(PASS_KEY) == "lay_out_batch_last"] == ["relu"]


def test_two_sparse_convolutions_in_a_row_lose_the_transposes_between() -> None:
    model = with_sparse(graph([W1, W2], ["float[N,4,6,6] y"], STEM, second("a", "y")), "c1", "c2")
    _, model = laid_out(model)
    assert operators(model) == ["Transpose", "SparseConv", "SparseConv", "Transpose"]


def test_a_norm_takes_in_the_relu_behind_it() -> None:
    inputs = [W1, parameters("bn"), "float[4,1,3,3] depthwise"]
    nodes = [STEM, norm("bn", "a", "b"), "[relu] r = Relu (b)", "[d] y = Conv <group = 4> (r, depthwise)"]
    changed, model = laid_out(with_sparse(graph(inputs, ["float[N,4,4,4] y", advanced("bn")], *nodes), "c1"))
    added = [line for line in changed if line.startswith("+")]
    assert added == [
        '+[bn] "r.batch_last", "bn.mean.next", "bn.var.next", "bn.saved_mean", "bn.saved_inv_std" = '
        "sparcl.BatchNormTraining <epsilon: float = 1e-05, momentum: float = 0.9, relu: int = 1> "
        '("c1.y", "bn.scale", "bn.bias", "", "bn.mean", "bn.var")',
        '+["r.batch_first"] r = Transpose <perm: ints = [3, 0, 1, 2]> ("r.batch_last")',
    ]
    assert operators(model) == ["Transpose", "SparseConv", "BatchNormTraining", "Transpose", "Conv"]


def test_the_settings_of_a_norm_are_kept() -> None:
    nodes = [STEM, norm("bn", "a", "y")]
    model = with_sparse(graph([W1, parameters("bn")], ["float[N,4,6,6] y", advanced("bn")], *nodes), "c1")
    bn = next(node for node in model.graph if node.name == "bn")
    bn.attributes["epsilon"] = ir.AttrFloat32("epsilon", 0.25)
    bn.attributes["momentum"] = ir.AttrFloat32("momentum", 0.5)
    laid_out(model)


def resnet_block() -> ir.Model:
    inputs = [W1, "float[8,4,3,3] w2", "float[8,8,3,3] w3", "float[8,4,1,1] ws", "float[8,5] head", parameters("bn1")]
    inputs += [parameters(name, 8) for name in ("bn2", "bn3", "bns")]
    outputs = ["float[N,5] logits", advanced("bn1"), advanced("bn2", "bn3", "bns", channels=8)]
    return graph(
        inputs,
        outputs,
        STEM,
        norm("bn1", "a", "b"),
        "[relu1] r1 = Relu (b)",
        "[c2] d = Conv <pads = [1, 1, 1, 1], strides = [2, 2]> (r1, w2)",
        norm("bn2", "d", "e"),
        "[relu2] r2 = Relu (e)",
        "[c3] f = Conv <pads = [1, 1, 1, 1]> (r2, w3)",
        norm("bn3", "f", "h"),
        "[shortcut] s = Conv <strides = [2, 2]> (r1, ws)",
        norm("bns", "s", "t"),
        "[add] u = Add (t, h)",
        "[relu3] v = Relu (u)",
        "[pool] p = GlobalAveragePool (v)",
        "[flatten] q = Flatten (p)",
        "[head] logits = MatMul (q, head)",
    )


def test_a_residual_block_is_one_region() -> None:
    _, model = laid_out(with_sparse(resnet_block(), "c2", "c3"))
    assert operators(model) == [
        *("Conv", "Transpose", "BatchNormTraining", "SparseConv", "BatchNormTraining", "SparseConv"),
        *("Slice", "Reshape", "Reshape", "MatMul", "Reshape", "BatchNormTraining", "BatchNormTraining"),
        *("ReduceMean", "Transpose", "Flatten", "MatMul"),
    ]
    fused = {node.name: (node.inputs[3], int_attribute(node, "relu", 0)) for node in model.graph if node.domain}
    assert fused["bn1"] == fused["bn2"] == (None, 1)
    assert fused["bns"] == (None, 0)
    assert fused["bn3"] == (value_named(model.graph, "t.batch_last"), 1)
    assert value_named(model.graph, "s.product").shape == ir.Shape([8, "9*N"])
    weight = model.graph.initializers["ws"]
    assert (role_of(weight), weight.shape) == (Role.PARAMETER, ir.Shape([8, 4, 1, 1]))


def fused_norms(
    *nodes: str, outputs: tuple[str, ...] = ("float[N,4,6,6] y",), inputs: tuple[str, ...] = ()
) -> ir.Model:
    """Lower a sparse convolution and a norm ``b`` of its output with these nodes after them."""
    body = [STEM, norm("bn", "a", "b"), *nodes]
    model = graph([W1, parameters("bn"), *inputs], [*outputs, advanced("bn")], *body)
    return laid_out(with_sparse(model, "c1"))[1]


def test_a_norm_with_two_readers_keeps_its_relu_apart() -> None:
    model = fused_norms("[relu] r = Relu (b)", "[sigmoid] s = Sigmoid (b)", "[add] y = Add (r, s)")
    assert operators(model)[2:] == ["BatchNormTraining", "Relu", "Sigmoid", "Add", "Transpose"]


def test_a_norm_that_is_an_output_keeps_its_relu_apart() -> None:
    nodes = [STEM, norm("bn", "a", "b"), "[relu] r = Relu (b)", second("r", "y")]
    outputs = ["float[N,4,6,6] y", "float[N,4,6,6] b", advanced("bn")]
    _, model = laid_out(with_sparse(graph([W1, W2, parameters("bn")], outputs, *nodes), "c1", "c2"))
    assert operators(model) == [
        *("Transpose", "SparseConv", "BatchNormTraining", "Transpose", "Relu", "SparseConv", "Transpose"),
    ]


def test_a_sum_with_two_readers_is_taken_in_without_the_relu() -> None:
    model = fused_norms("[add] s = Add (b, a)", "[relu] r = Relu (s)", "[join] y = Add (r, s)")
    assert operators(model)[2:] == ["BatchNormTraining", "Relu", "Add", "Transpose"]


def test_a_second_sum_stays() -> None:
    model = fused_norms("[add] s = Add (a, b)", "[again] y = Add (s, a)")
    assert operators(model)[2:] == ["BatchNormTraining", "Add", "Transpose"]


def test_a_relu_before_the_sum_is_taken_in_and_the_sum_stays() -> None:
    model = fused_norms("[relu] r = Relu (b)", "[add] y = Add (r, a)")
    assert operators(model)[2:] == ["BatchNormTraining", "Add", "Transpose"]


@pytest.mark.parametrize("other", ["pooled", "const", "b"])
def test_a_sum_of_other_shapes_or_of_a_norm_with_itself_stays(other: str) -> None:
    nodes = ["[pool] pooled = GlobalAveragePool (a)"] * (other == "pooled")
    model = fused_norms(*nodes, f"[add] y = Add (b, {other})", inputs=("float[4,1,1] const",))
    assert "Add" in operators(model)


@pytest.mark.parametrize("shape", ["", "1", "4,1,1", "1,4,1,1", "6", "6,1", "4,6,6", "1,4,6,6", "1,1,1,6"])
@pytest.mark.parametrize("op_type", ["Add", "Mul", "Sub", "PRelu"])
def test_operands_without_a_batch_are_reshaped(shape: str, op_type: str) -> None:
    operand = f"float[{shape}] p" if shape else "float p"
    model = graph([W1, W2, operand], ["float[N,4,6,6] y"], STEM, f"[e] b = {op_type} (a, p)", second("b", "y"))
    _, model = laid_out(with_sparse(model, "c1", "c2"))
    assert operators(model).count("Reshape") == (shape not in ("", "1"))
    assert conversions(model) == 2


@pytest.mark.parametrize(
    "node",
    ["LeakyRelu <alpha = 0.1> (a)", "Sigmoid (a)", "Tanh (a)", "HardSwish (a)", "Clip (a, low, high)", "Add (low, a)"],
)
def test_elementwise_operators_take_the_layout(node: str) -> None:
    bounds = ["float low", "float high"]
    model = graph([W1, W2, *bounds], ["float[N,4,6,6] y"], STEM, f"[e] b = {node}", second("b", "y"))
    _, model = laid_out(with_sparse(model, "c1", "c2"))
    assert operators(model)[2] == node.split()[0]
    assert conversions(model) == 2


def test_a_gate_of_one_number_a_channel_is_laid_out() -> None:
    """Squeeze and excitation."""
    nodes = ["[pool] p = GlobalAveragePool (a)", "[down] q = Conv (p, ws, bias)", "[s] r = Sigmoid (q)"]
    inputs = [W1, W2, "float[4,4,1,1] ws", "float[4] bias"]
    model = graph(inputs, ["float[N,4,6,6] y"], STEM, *nodes, "[gate] b = Mul (a, r)", second("b", "y"))
    _, model = laid_out(with_sparse(model, "c1", "c2"))
    assert conversions(model) == 2
    assert value_named(model.graph, "q.product").shape == ir.Shape([4, "N"])


def pointwise(
    weight: str = "float[3,4,1,1] ws", attributes: str = "", source: str = "ws", before: str = ""
) -> ir.Model:
    conv = f"[p] y = Conv {attributes} (a, {source}, bias)"
    model = graph([W1, weight, "float[3] bias"], ["float[N,c,h,w] y"], STEM, before, conv)
    return with_sparse(model, "c1")


def test_a_pointwise_convolution_becomes_a_product() -> None:
    changed, _ = laid_out(pointwise())
    assert [line for line in changed if line.startswith("+")] == [
        '+["c1.y.rows"] "c1.y.rows" = Reshape ("c1.y", "layout.ints_4_-1")',
        '+["ws.matrix"] "ws.matrix" = Reshape (ws, "layout.ints_3_4")',
        '+["y.product"] "y.product" = MatMul ("ws.matrix", "c1.y.rows")',
        '+["bias.column"] "bias.column" = Reshape (bias, "layout.ints_3_1")',
        '+["y.sum"] "y.sum" = Add ("y.product", "bias.column")',
        '+["y.sum.maps"] "y.batch_last" = Reshape ("y.sum", "layout.ints_3_6_6_-1")',
        '+["y.batch_first"] y = Transpose <perm: ints = [3, 0, 1, 2]> ("y.batch_last")',
    ]


def test_a_masked_pointwise_convolution_reads_its_masked_weight() -> None:
    inputs = [W1, "float[4,4,1,1] ws", "float[4,4,1,1] mask"]
    mask, conv = '[m] "ws.masked" = Mul (ws, mask)', '[p] y = Conv <strides = [2, 3]> (a, "ws.masked")'
    model = graph(inputs, ["float[N,4,3,2] y"], STEM, mask, conv)
    _, model = laid_out(with_sparse(model, "c1"))
    assert operators(model).count("MatMul") == 1
    assert value_named(model.graph, "ws.masked").producer() is not None
    assert not list(weighted_layers(model.graph))


@pytest.mark.parametrize(
    ("weight", "attributes"),
    [
        ("float[3,4,1,1] ws", "<pads = [1, 0, 0, 0]>"),
        ("float[3,4,1,1] ws", '<auto_pad = "SAME_UPPER", strides = [2, 2]>'),
        ("float[3,4,1,2] ws", ""),
        ("float[3,4,3,3] ws", ""),
    ],
)
def test_other_dense_convolutions_stay_batch_first(weight: str, attributes: str) -> None:
    left_alone(pointwise(weight, attributes))


def test_a_pointwise_convolution_with_groups_stays_batch_first() -> None:
    inputs = [W1, "float[4,2,1,1] ws"]
    left_alone(with_sparse(graph(inputs, ["float[N,4,6,6] y"], STEM, "[p] y = Conv <group = 2> (a, ws)"), "c1"))


def test_depthwise_convolutions_are_boundaries() -> None:
    """A block of MobileNet: expansion and projection are sparse."""
    inputs = ["float[4,3,1,1] w1", "float[4,1,3,3] wd", "float[3,4,1,1] w2", parameters("bn1"), parameters("bnd")]
    inputs += [parameters("bn2", 3), "float low", "float high"]
    nodes = ["[c1] a = Conv (x, w1)", norm("bn1", "a", "b"), "[clip1] c = Clip (b, low, high)"]
    nodes += ["[d] d = Conv <pads = [1, 1, 1, 1], group = 4> (c, wd)", norm("bnd", "d", "e")]
    nodes += ["[clip2] f = Clip (e, low, high)", "[c2] g = Conv (f, w2)", norm("bn2", "g", "h"), "[add] y = Add (h, x)"]
    outputs = ["float[N,3,6,6] y", advanced("bn1", "bnd"), advanced("bn2", channels=3)]
    _, model = laid_out(with_sparse(graph(inputs, outputs, *nodes), "c1", "c2"))
    assert operators(model) == [
        *("Transpose", "SparseConv", "BatchNormTraining", "Clip", "Transpose", "Conv"),
        *("Transpose", "BatchNormTraining", "Clip", "SparseConv", "BatchNormTraining", "Transpose"),
    ]


def test_a_concatenation_of_channels_stays_in_the_layout() -> None:
    """Two layers of a DenseNet block, of which the dense stem is read by both."""
    inputs = ["float[4,3,3,3] w0", "float[4,4,3,3] w1", "float[2,8,3,3] w2", parameters("bn1"), parameters("bn2", 8)]
    nodes = ["[c0] s = Conv <pads = [1, 1, 1, 1]> (x, w0)", norm("bn1", "s", "b1"), "[r1] r1 = Relu (b1)"]
    nodes += ["[c1] a = Conv <pads = [1, 1, 1, 1]> (r1, w1)", "[j1] j1 = Concat <axis = 1> (s, a)"]
    nodes += [norm("bn2", "j1", "b2"), "[r2] r2 = Relu (b2)", "[c2] c = Conv <pads = [1, 1, 1, 1]> (r2, w2)"]
    nodes += ["[j2] y = Concat <axis = -3> (j1, c)"]
    outputs = ["float[N,10,6,6] y", advanced("bn1"), advanced("bn2", channels=8)]
    _, model = laid_out(with_sparse(graph(inputs, outputs, *nodes), "c1", "c2"))
    assert conversions(model) == 2
    assert [int_attribute(node, "axis", -1) for node in model.graph if node.op_type == "Concat"] == [0, 0]


@pytest.mark.parametrize(("axis", "there"), [(2, 1), (-1, 2)])
def test_a_concatenation_along_the_plane_takes_its_own_axis(axis: int, there: int) -> None:
    nodes = [STEM, f"[j] j = Concat <axis = {axis}> (a, a)", "[c2] y = Conv (j, w2)"]
    _, model = laid_out(with_sparse(graph([W1, W2], ["float[N,4,h,w] y"], *nodes), "c1", "c2"))
    assert [int_attribute(node, "axis", -1) for node in model.graph if node.op_type == "Concat"] == [there]


def test_a_concatenation_of_samples_stays() -> None:
    left_alone(with_sparse(graph([W1], ["float[M,4,6,6] y"], STEM, "[j] y = Concat <axis = 0> (a, a)"), "c1"))


def pooled(pool: str) -> ir.Model:
    """A pool between two sparse convolutions, laid out."""
    nodes = [STEM, norm("bn", "a", "b"), "[relu] r = Relu (b)", pool, second("p", "y")]
    model = graph([W1, W2, parameters("bn")], ["float[N,4,h,w] y", advanced("bn")], *nodes)
    return laid_out(with_sparse(model, "c1", "c2"))[1]


@pytest.mark.parametrize(
    "attributes",
    ["kernel_shape = [2, 2]", "kernel_shape = [3, 2], strides = [2, 1], pads = [1, 0, 0, 1], dilations = [1, 2]"],
)
def test_a_max_pool_stays_in_the_layout(attributes: str) -> None:
    model = pooled(f"[pool] p = MaxPool <{attributes}> (r)")
    assert operators(model) == [
        *("Transpose", "SparseConv", "BatchNormTraining", "MaxPoolBatchLast", "SparseConv", "Transpose"),
    ]


@pytest.mark.parametrize(
    "pool",
    [
        "[pool] p = AveragePool <kernel_shape = [2, 2], strides = [2, 2]> (r)",
        "[pool] p = MaxPool <kernel_shape = [2, 2], strides = [3, 3], ceil_mode = 1> (r)",
        '[pool] p = MaxPool <kernel_shape = [2, 2], auto_pad = "SAME_UPPER"> (r)',
        "[pool] p = MaxPool <kernel_shape = [2, 2], strides = [17, 17]> (r)",
    ],
    ids=["average", "ceil", "auto_pad", "stride"],
)
def test_other_pools_are_boundaries(pool: str) -> None:
    made = operators(pooled(pool))
    assert made[:4] == ["Transpose", "SparseConv", "BatchNormTraining", "Transpose"]
    assert made[5:] == ["Transpose", "SparseConv", "Transpose"]


def test_a_max_pool_whose_indices_are_read_is_a_boundary() -> None:
    nodes = [STEM, "[pool] y, i = MaxPool <kernel_shape = [2, 2]> (a)"]
    left_alone(with_sparse(graph([W1], ["float[N,4,5,5] y", "int64[N,4,5,5] i"], *nodes), "c1"))


@pytest.mark.parametrize(
    "mean", ["GlobalAveragePool (a)", "ReduceMean <keepdims = 1> (a, axes)", "ReduceMean <keepdims = 0> (a, axes)"]
)
def test_the_mean_of_a_plane_is_taken_in_the_layout(mean: str) -> None:
    rank = "float[N,4] y" if "= 0" in mean else "float[N,4,1,1] y"
    axes = "[axes] axes = Constant <value = int64[2] {-1, 2}> ()" if "axes" in mean else ""
    model = graph([W1], [rank], axes, STEM, f"[m] y = {mean}")
    lift(model)
    _, model = laid_out(with_sparse(model, "c1"))
    last = next(node for node in model.graph if node.op_type == "ReduceMean")
    assert last.inputs[0] is value_named(model.graph, "c1.y")
    assert last.outputs[0].shape == ir.Shape([4, 1, 1, "N"])


@pytest.mark.parametrize("axes", ["{1}", "{1, 2, 3}", "{3}"])
def test_other_means_stay(axes: str) -> None:
    count = axes.count(",") + 1
    nodes = [f"[axes] axes = Constant <value = int64[{count}] {axes}> ()", STEM, "[m] y = ReduceMean (a, axes)"]
    model = graph([W1], ["float[N,c,h,w] y"], *nodes)
    lift(model)
    left_alone(with_sparse(model, "c1"))


def lift(model: ir.Model) -> None:
    LiftConstantsToInitializersPass(size_limit=0)(model)


def test_a_value_that_is_also_an_output_keeps_its_name_and_form() -> None:
    outputs = ["float[N,4,6,6] y", "float[N,4,6,6] b", "float[N,4,6,6] a"]
    model = graph([W1, W2], outputs, STEM, "[relu] b = Relu (a)", second("b", "y"))
    _, model = laid_out(with_sparse(model, "c1", "c2"))
    assert conversions(model) == 4
    assert [value.shape for value in model.graph.outputs] == [ir.Shape(["N", 4, 6, 6])] * 3


def test_a_batch_last_output_of_the_model_keeps_its_transpose() -> None:
    nodes = [STEM, "[relu] b = Relu (a)", "[t] z = Transpose <perm = [1, 2, 3, 0]> (b)", second("b", "y")]
    _, model = laid_out(with_sparse(graph([W1, W2], ["float[N,4,6,6] y", "float[4,6,6,N] z"], *nodes), "c1", "c2"))
    assert value_named(model.graph, "z").producer().op_type == "Transpose"  # type: ignore[union-attr]


@pytest.mark.parametrize(("outputs", "taken"), [(["y", "b"], False), (["y"], True)])
def test_a_batch_last_norm_that_is_an_output_takes_nothing_in(outputs: list[str], taken: bool) -> None:
    made = 'b, m, v, sm, si = sparcl.BatchNormTraining <relu = 0> (x, "bn.scale", "bn.bias", "", "bn.mean", "bn.var")'
    shapes = [f"float[4,6,6,N] {name}" for name in outputs]
    model = graph([parameters("bn")], shapes, made, "y = Relu (b)", x="float[4,6,6,N] x")
    assert fuse_norms(model.graph) == taken
    assert operators(model) == ["BatchNormTraining", *["Relu"] * (not taken)]


def test_a_perceptron_stays_in_the_layout_between_its_products() -> None:
    """Vectors are [N, C], sparse operators see [C, 1, 1, N]."""
    nodes = ["[u1] a0 = Unsqueeze (x, axes)", "[c1] a1 = Conv (a0, w1)", "[s1] a2 = Squeeze (a1, axes)"]
    nodes += ["[bias] a3 = Add (a2, b1)", "[relu] a4 = Relu (a3)", "[u2] a5 = Reshape (a4, shape)"]
    nodes += [
        "[c2] a6 = Conv (a5, w2)",
        "[s2] a7 = Flatten (a6)",
        "[relu2] a8 = Relu (a7)",
        "[head] y = MatMul (a8, w3)",
    ]
    constants = ["[axes] axes = Constant <value = int64[2] {2, 3}> ()"]
    constants += ["[shape] shape = Constant <value = int64[4] {0, -1, 1, 1}> ()"]
    inputs = ["float[8,6,1,1] w1", "float[8] b1", "float[7,8,1,1] w2", "float[7,5] w3"]
    model = graph(inputs, ["float[N,5] y"], *constants, *nodes, x="float[N,6] x")
    lift(model)
    _, model = laid_out(with_sparse(model, "c1", "c2"))
    assert operators(model) == [
        *("Unsqueeze", "Transpose", "SparseConv", "Reshape", "Add", "Relu"),
        *("SparseConv", "Relu", "Transpose", "Squeeze", "MatMul"),
    ]
    assert value_named(model.graph, "a4.batch_last").shape == ir.Shape([8, 1, 1, "N"])


def test_a_norm_of_vectors_is_fused_as_well() -> None:
    constants = "[axes] axes = Constant <value = int64[2] {2, 3}> ()"
    nodes = [
        "[u1] p = Unsqueeze (x, axes)",
        "[c1] a = Conv (p, w1)",
        "[s1] b = Squeeze (a, axes)",
        norm("bn", "b", "c"),
    ]
    nodes += ["[relu] d = Relu (c)", "[head] y = MatMul (d, w2)"]
    inputs = ["float[4,6,1,1] w1", "float[4,5] w2", parameters("bn")]
    model = graph(inputs, ["float[N,5] y", advanced("bn")], constants, *nodes, x="float[N,6] x")
    lift(model)
    _, model = laid_out(with_sparse(model, "c1"))
    assert operators(model)[2:] == ["SparseConv", "BatchNormTraining", "Transpose", "Squeeze", "MatMul"]


def test_a_vector_from_outside_enters_as_a_plane() -> None:
    constants = "[axes] axes = Constant <value = int64[2] {2, 3}> ()"
    nodes = [
        "[c1] a = Conv (p, w1)",
        "[s1] b = Squeeze (a, axes)",
        "[add] c = Add (b, x)",
        "[u2] d = Unsqueeze (c, axes)",
    ]
    nodes = ["[double] e = Mul (x, x)", "[u1] p = Unsqueeze (e, axes)", *nodes, "[c2] y = Conv (d, w2)"]
    model = graph(["float[6,6,1,1] w1", "float[6,6,1,1] w2"], ["float[N,6,1,1] y"], constants, *nodes, x="float[N,6] x")
    lift(model)
    _, model = laid_out(with_sparse(model, "c1", "c2"))
    assert operators(model) == ["Unsqueeze", "Transpose", "Mul", "SparseConv", "Add", "SparseConv", "Transpose"]


def test_equal_transposes_are_shared() -> None:
    nodes = [STEM, "[c2] b = Conv <pads = [1, 1, 1, 1]> (x, w2)", "[add] y = Add (a, b)"]
    _, model = laid_out(with_sparse(graph([W1, "float[4,3,3,3] w2"], ["float[N,4,6,6] y"], *nodes), "c1", "c2"))
    assert operators(model) == ["Transpose", "SparseConv", "SparseConv", "Add", "Transpose"]


def test_a_region_that_does_not_pay_is_not_made() -> None:
    """A Transpose in front of the sum and one behind, in place of one."""
    nodes = [STEM, "[dense] b = Conv <pads = [1, 1, 1, 1]> (x, wd)", "[add] c = Add (a, b)"]
    nodes += ["[pool] y = AveragePool <kernel_shape = [2, 2]> (c)"]
    left_alone(with_sparse(graph([W1, "float[4,3,3,3] wd"], ["float[N,4,5,5] y"], *nodes), "c1"))


def test_the_smaller_activation_is_transposed() -> None:
    nodes = ["[c1] a = Conv (x, w1)", "[relu] b = Relu (a)", "[p] c = Conv <strides = [2, 2]> (b, ws)"]
    nodes += ["[pool] y = AveragePool <kernel_shape = [2, 2]> (c)"]
    _, small = laid_out(
        with_sparse(graph(["float[4,3,1,1] w1", "float[2,4,1,1] ws"], ["float[N,2,2,2] y"], *nodes), "c1")
    )
    assert operators(small)[-4:] == ["MatMul", "Reshape", "Transpose", "AveragePool"]
    _, large = laid_out(
        with_sparse(graph(["float[4,3,1,1] w1", "float[32,4,1,1] ws"], ["float[N,32,2,2] y"], *nodes), "c1")
    )
    assert operators(large)[-5:] == ["SparseConv", "Relu", "Transpose", "Conv", "AveragePool"]


def test_dense_stretches_are_left_alone() -> None:
    nodes = [norm("bn", "x", "b"), "[relu] r = Relu (b)", "[pool] p = AveragePool <kernel_shape = [2, 2]> (r)"]
    nodes += ["[c1] y = Conv (p, w1)"]
    inputs, outputs = [W1, parameters("bn", 3)], ["float[N,4,3,3] y", advanced("bn", channels=3)]
    left_alone(with_sparse(graph(inputs, outputs, *nodes), "c1"))


def test_a_graph_without_sparse_operators_is_left_alone() -> None:
    left_alone(resnet_block())


def test_transposes_of_the_model_are_its_own_where_nothing_is_sparse() -> None:
    nodes = ["[t] a = Transpose <perm = [1, 2, 3, 0]> (x)", "[relu] b = Relu (a)"]
    left_alone(graph([], ["float[N,3,6,6] y"], *nodes, "[u] y = Transpose <perm = [3, 0, 1, 2]> (b)"))


def test_a_norm_in_inference_form_is_a_boundary() -> None:
    nodes = [STEM, '[bn] y = BatchNormalization (a, "bn.scale", "bn.bias", "bn.mean", "bn.var")']
    left_alone(with_sparse(graph([W1, parameters("bn")], ["float[N,4,6,6] y"], *nodes), "c1"))


def test_lengths_that_are_not_known_are_a_boundary() -> None:
    model = graph([W1, "float[4,1,1] p"], ["float[N,4,6,6] y"], STEM, "[e] y = Mul (a, p)")
    model.graph.initializers["p"].shape = None
    left_alone(with_sparse(model, "c1"))


@pytest.mark.parametrize("node", ["GlobalAveragePool (x)", "Conv <strides = [9, 9]> (x, ws)"])
def test_planes_of_unknown_size_are_a_boundary(node: str) -> None:
    inputs, outputs = ["float[4,3,1,1] w1", "float[4,3,1,1] ws"], ["float[N,4,1,1] y"]
    model = graph(inputs, outputs, f"[u] a = {node}", "[c1] y = Conv (a, w1)", x="float[N,3,h,w] x")
    value_named(model.graph, "a").shape = ir.Shape(["N", 3, 1, 1])
    left_alone(with_sparse(model, "c1"))


@pytest.mark.parametrize("by", [by_rules, pytest.param(by_builder, marks=pytest.mark.training_build)])
def test_what_is_moved_is_differentiated(by: Gradients) -> None:
    """All that the layout is written with in standard operators; sparse operators have their own test."""
    nodes = [STEM, "[e] b = Mul (a, channel)", "[l] c = Sigmoid (b)", "[p] d = Conv <strides = [2, 2]> (c, ws, bias)"]
    nodes += ["[j] e = Concat <axis = 1> (d, d)", "[c2] f = Conv (e, w2)", "[g] h = GlobalAveragePool (f)"]
    nodes += ["[s] q = Flatten (h)", "[z] r = Sigmoid (q)", "[head] logits = MatMul (r, w3)"]
    inputs = [W1, "float[4,1,1] channel", "float[4,4,1,1] ws", "float[4] bias", "float[3,8,1,1] w2", "float[3,5] w3"]
    _, model = laid_out(with_sparse(graph(inputs, ["float[N,5] logits"], *nodes), "c1", "c2"))
    used = {"Transpose", "Mul", "Sigmoid", "Slice", "Reshape", "MatMul", "Add", "Concat", "ReduceMean", "Squeeze"}
    assert set(operators(model)) == {*used, "SparseConv"}
    worst, name = worst_gradient(with_dense(model), by=by)
    assert worst < 1e-4, name


@pytest.mark.parametrize("name", ZOO)
def test_models_of_the_zoo_answer_as_before(name: str) -> None:
    model = ir.from_proto(ZOO[name]())
    ImportForward()(model)
    convs = [node for node in model.graph if node.op_type == "Conv" and int_attribute(node, "group", 1) == 1]
    planes = [str(node.name) for node in convs if len(node.outputs[0].shape or ()) == 4]
    expected = answers(model)
    with_sparse(model, *planes[-2:])
    before = model.clone()
    first = LayOutBatchLast()(model).modified
    assert first == bool(changed_lines(before, model))
    check_promises(before, model, expected)
    assert not LayOutBatchLast()(model).modified
