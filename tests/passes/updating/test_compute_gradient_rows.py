from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sparcl_compile.compiling.pipeline import run
from sparcl_compile.interface.names import Role, gradient_mask_name, gradient_rows_name, mask_name
from sparcl_compile.passes.analysis.rows import kept_rows, output_axes
from sparcl_compile.passes.core.layers import masked_layers
from sparcl_compile.passes.core.marks import PASS_KEY
from sparcl_compile.passes.core.roles import values_with_role
from sparcl_compile.passes.core.values import dims
from sparcl_compile.passes.differentiating.insert_gradient_masks import InsertGradientMasks
from sparcl_compile.passes.differentiating.prune_backward import PruneBackward
from sparcl_compile.passes.emitting.emit import train_model
from sparcl_compile.passes.updating.compute_gradient_rows import ComputeGradientRows
from sparcl_compile.plan.compiled import Compiled
from sparcl_compile.settings.options import CompileOptions
from tests.support.small_model import changed_lines, run_twice
from tests.support.training_form import differentiated, gradients
from tests.support.zoo import CLASSES, ZOO, Net

BATCH = 3


def compiled(proto: onnx.ModelProto, folder: Path, sparsity: float = 0.5) -> Compiled:
    """All rows of the gradients, with gradient masks."""
    options = CompileOptions(sparsity=sparsity, gradient_sparsity=0.6)
    return run(ir.from_proto(proto), options, folder, lambda *_: None)


def feeds_of(made: Compiled, seed: int) -> dict[str, np.ndarray]:
    """Random data, the file's state, gradient masks equal to the weight masks, accumulators of zeros."""
    rng = np.random.default_rng(seed)
    stored = {n: v.const_value.numpy() for n, v in made.forward.graph.initializers.items() if v.const_value is not None}
    feeds = {}
    for value in made.training.graph.inputs:
        name = str(value.name)
        shape = [d if isinstance(d, int) else BATCH for d in value.shape or ()]
        numbers = {"labels": np.arange(BATCH) % CLASSES, "sample_id": np.arange(BATCH), "lazy_reset_grad": [True]}
        if name in numbers:
            feeds[name] = np.asarray(numbers[name])
        elif name in stored:
            feeds[name] = stored[name]
        elif name.endswith(".gradient_mask"):
            weight = name.removesuffix(".gradient_mask")
            feeds[name] = stored.get(mask_name(weight), np.ones(shape, np.float32))
        elif name.endswith("accumulation.buffer"):
            feeds[name] = np.zeros(shape, np.float32)
        else:
            kind = np.int64 if value.dtype is ir.DataType.INT64 else np.float32
            feeds[name] = (np.ones(shape) if name == "sample_keep" else rng.normal(size=shape)).astype(kind)
    return feeds


def grouped() -> onnx.ModelProto:
    net = Net(["batch", 4, 6, 6])
    net.conv("stem", 4, 8)
    net.op("Relu")
    net.conv("grouped", 8, 8, group=2)
    net.op("Relu")
    net.conv("plain", 8, 6, size=1)
    net.op("Relu")
    return net.head(6)


def attention() -> onnx.ModelProto:
    """A weight behind a batch of sequences: its gradient is a Gemm on reshaped operands."""
    net = Net(["batch", 5, 8])
    net.op("MatMul", net.weight("w1", 8, 12))
    net.op("Add", net.weight("b1", 12))
    net.op("Relu")
    net.op("MatMul", net.weight("w2", 12, 6))
    net.op("ReduceMean", net.ints("axes", 1), keepdims=0)
    net.op("Gemm", net.weight("fc.weight", CLASSES, 6), net.weight("fc.bias", CLASSES), transB=1)
    return net.model()


def first_conv_with_bias() -> onnx.ModelProto:
    """No gradient of the input is needed, that of the bias is."""
    net = Net(["batch", 3, 8, 8])
    net.op("Conv", net.weight("only.weight", 6, 3, 3, 3), net.weight("only.bias", 6), strides=[2, 2], pads=[1] * 4)
    net.op("Relu")
    return net.head(6)


MODELS = {
    **{
        name: ZOO[name]
        for name in ("cnn_bn", "cnn_folded", "mlp", "mlp_matmul", "mobilenet", "resnet", "conv_1d_fixed")
    },
    "grouped": grouped,
    "attention": attention,
    "first_conv_with_bias": first_conv_with_bias,
}
WHOLE = {"grouped": {"grouped.weight"}}


@pytest.mark.training_build
def test_conv_rows_in_text() -> None:
    """As the builder writes a convolution's gradient; `differentiate` writes it in standard operators."""
    _, model = differentiated("ort-training")
    for one in (InsertGradientMasks(), PruneBackward()):
        one(model)
    before = run_twice(ComputeGradientRows(gradient_sparsity=0.6), model)
    lines = changed_lines(before, model)
    assert lines[0].startswith('-["conv_Grad/ConvGrad_0"] "", "conv.weight.masked_grad" = com.microsoft.ConvGrad')
    text = "\n".join(lines)
    for expected in (
        '"conv.weight_grad.row_upstream" = Gather <axis: int = 1> (c_grad, "conv.weight.gradient_rows")',
        '"conv.weight_grad.row_filters" = Gather <axis: int = 0> ("conv.weight.masked", "conv.weight.gradient_rows")',
        '"", "conv.weight_grad.rows" = com.microsoft.ConvGrad',
        '("conv.weight_grad.row_upstream", x, "conv.weight_grad.row_filters")',
        '"conv.weight_grad.places" = ScatterElements <axis: int = 0> '
        '("rows.nowhere_2_1", "conv.weight.gradient_rows", "rows.numbers_1")',
        '"conv.weight_grad.padded_rows" = Pad ("conv.weight_grad.rows", "rows.one_more", "", "rows.axis_0")',
        '"conv.weight_grad.row_spread" = Gather <axis: int = 0> '
        '("conv.weight_grad.padded_rows", "conv.weight_grad.places")',
        '"conv.weight_grad.masked" = Mul ("conv.weight_grad.row_spread", "conv.weight.gradient_mask")',
    ):
        assert expected in text
    rows = list(values_with_role(model, Role.GRADIENT_ROWS))
    assert [(value.name, dims(value)) for value in rows] == [("conv.weight.gradient_rows", [1])]
    made = [node.op_type for node in model.graph if node.metadata_props.get(PASS_KEY) == "compute_gradient_rows"]
    assert made == ["Gather", "Gather", "ConvGrad", "ScatterElements", "Pad", "Gather"]


@pytest.fixture(scope="module", params=MODELS)
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Compiled, ir.Model]:
    made = compiled(MODELS[request.param](), tmp_path_factory.mktemp("model"))
    cut = train_model(made.training)
    run_twice(ComputeGradientRows(gradient_sparsity=0.5), cut)
    return request.param, made, cut


def test_which_gradients_are_cut(pair: tuple[str, Compiled, ir.Model]) -> None:
    name, made, cut = pair
    masked = {str(weight.name) for weight in masked_layers(made.training)}
    found = {str(v.name).removesuffix(".gradient_rows") for v in values_with_role(cut, Role.GRADIENT_ROWS)}
    assert found == masked - WHOLE.get(name, set())
    assert found
    before, after = (sum(node.op_type == "ConvGrad" for node in model.graph) for model in (made.training, cut))
    assert before <= after <= before + len(found)


@settings(max_examples=8)
@given(seed=st.integers(0, 2**20))
def test_only_the_chosen_rows_have_a_gradient_and_it_is_the_whole_ones(
    pair: tuple[str, Compiled, ir.Model], seed: int
) -> None:
    _, made, cut = pair
    rng = np.random.default_rng(seed)
    feeds = feeds_of(made, seed)
    whole = gradients(made.training, {name: value.copy() for name, value in feeds.items()})
    axes = output_axes(made.training.graph)
    chosen = {}
    for value in values_with_role(cut, Role.GRADIENT_ROWS):
        weight = str(value.name).removesuffix(".gradient_rows")
        channels = feeds[weight].shape[axes[weight]]
        assert dims(value) == [kept_rows(channels, 0.5)]
        chosen[weight] = np.sort(rng.choice(channels, dims(value)[0], replace=False))
        flags = np.zeros(channels, np.float32)
        flags[chosen[weight]] = 1
        shape = [channels if axis == axes[weight] else 1 for axis in range(feeds[weight].ndim)]
        feeds[gradient_mask_name(weight)] = feeds[gradient_mask_name(weight)] * flags.reshape(shape)
        feeds[gradient_rows_name(weight)] = chosen[weight]
    found = gradients(cut, {str(v.name): feeds[str(v.name)] for v in cut.graph.inputs})
    assert found.keys() == whole.keys()
    for name, gradient in whole.items():
        mask = feeds.get(gradient_mask_name(name), np.ones_like(gradient))
        scale = np.abs(gradient).max() + 1e-6
        np.testing.assert_allclose(found[name], gradient * mask, rtol=1e-5, atol=1e-5 * scale, err_msg=name)
        assert not found[name][mask == 0].any()


def test_rows_equal_pytorch(tmp_path: Path) -> None:
    """Conv with stride and bias, a layer [O, I] and the cross-entropy, against autograd."""
    torch.manual_seed(0)
    conv, inner, head = torch.nn.Conv2d(3, 6, 3, 2, 1), torch.nn.Linear(96, 8), torch.nn.Linear(8, CLASSES)
    net = Net(["batch", 3, 8, 8])
    net.op(
        "Conv",
        net.array("c.w", conv.weight.detach()),
        net.array("c.b", conv.bias.detach()),
        strides=[2, 2],
        pads=[1] * 4,
    )
    net.op("Relu")
    net.op("Flatten")
    net.op("Gemm", net.array("i.w", inner.weight.detach()), net.array("i.b", inner.bias.detach()), transB=1)
    net.op("Relu")
    net.op("Gemm", net.array("h.w", head.weight.detach()), net.array("h.b", head.bias.detach()), transB=1)
    made = compiled(net.model(), tmp_path, sparsity=0.0)
    cut = train_model(made.training)
    ComputeGradientRows(gradient_sparsity=0.5)(cut)
    feeds = feeds_of(made, 5)
    feeds |= {
        "class_mask": np.zeros((BATCH, CLASSES), np.float32),
        "ce_weight": np.full(BATCH, 1 / BATCH, np.float32),
        "distill_weight": np.zeros(BATCH, np.float32),
    }
    relu = torch.nn.functional.relu
    logits = head(relu(inner(relu(conv(torch.from_numpy(feeds["x"]))).flatten(1))))
    torch.nn.functional.cross_entropy(logits, torch.from_numpy(feeds["labels"])).backward()
    rows = {str(v.name): np.arange(1, 1 + dims(v)[0]) for v in values_with_role(cut, Role.GRADIENT_ROWS)}
    assert set(rows) == {"i.w.gradient_rows"} | ({"c.w.gradient_rows"} if "c.w.gradient_mask" in feeds else set())
    found = gradients(cut, {str(v.name): {**feeds, **rows}[str(v.name)] for v in cut.graph.inputs})
    for name, layer in (("c.w", conv), ("i.w", inner), ("h.w", head)):
        wanted = layer.weight.grad.numpy().copy()
        if gradient_rows_name(name) in rows:
            wanted[np.setdiff1d(np.arange(len(wanted)), rows[gradient_rows_name(name)])] = 0
        np.testing.assert_allclose(found[name], wanted, rtol=1e-4, atol=1e-6, err_msg=name)
    np.testing.assert_allclose(found["c.b"], conv.bias.grad.numpy(), rtol=1e-4, atol=1e-6)


def test_without_gradient_masks_nothing_is_cut() -> None:
    _, model = differentiated()
    PruneBackward()(model)
    assert not ComputeGradientRows(gradient_sparsity=0.6).call(model).modified


def test_when_all_channels_are_kept_nothing_is_cut() -> None:
    _, model = differentiated()
    for one in (InsertGradientMasks(), PruneBackward()):
        one(model)
    assert not ComputeGradientRows(gradient_sparsity=0.1)(model).modified


@pytest.mark.parametrize(
    ("channels", "q", "kept"), [(10, 0.8, 2), (10, 0.85, 2), (10, 0.99, 1), (3, 0.5, 2), (1, 0.9, 1)]
)
def test_how_many_channels_are_kept(channels: int, q: float, kept: int) -> None:
    assert kept_rows(channels, q) == kept
