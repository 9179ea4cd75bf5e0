import numpy as np
import onnx_ir as ir
import onnxruntime as ort
import pytest

from sparcl_compile.interface.errors import PassOrderError
from sparcl_compile.interface.names import NEXT
from sparcl_compile.passes.core.marks import PASS_KEY
from sparcl_compile.passes.differentiating.attach_loss import AttachLoss
from sparcl_compile.passes.differentiating.differentiate import Differentiate
from sparcl_compile.passes.differentiating.save_batch_statistics import SaveBatchStatistics
from sparcl_compile.passes.sparsifying.freeze_parameters import FreezeParameters
from tests.support.small_model import RUNNING, forward_model, run_twice

NEXT_STATISTICS = [f"{name}{NEXT}" for name in RUNNING]


def written(node: ir.Node) -> str:
    outputs, inputs = (", ".join(str(v.name) for v in values if v) for values in (node.outputs, node.inputs))
    return f"{outputs} = {node.op_type}({inputs})"


def changed() -> ir.Model:
    model = forward_model()
    SaveBatchStatistics()(model)
    return model


def results(model: ir.Model, names: list[str]) -> list[np.ndarray]:
    """Values of the graph, whose running statistics are fed as in a training graph.

    As constants they would be folded: the zeros of mean and variance became one tensor, which the kernel writes twice.
    """
    model = model.clone()
    statistics = [model.graph.initializers.pop(name) for name in RUNNING]
    model.graph.inputs.extend(statistics)
    feeds = {str(v.name): v.const_value.numpy() for v in statistics if v.const_value is not None}
    session = ort.InferenceSession(ir.to_proto(model).SerializeToString())
    x = np.random.default_rng(3).normal(loc=2.0, size=(5, 1, 4, 4)).astype(np.float32)
    return list(session.run(names, {"x": x, **feeds}))


def test_the_operator_gives_the_batch_s_statistics_and_the_next_ones_are_computed_behind_it() -> None:
    model = forward_model()
    before = run_twice(SaveBatchStatistics(), model)
    kept = {written(node) for node in before.graph}
    assert [written(node) for node in model.graph if written(node) not in kept] == [
        "bn.batch_mean.none = Sub(bn.mean, bn.mean)",
        "bn.batch_variance.none = Sub(bn.var, bn.var)",
        "b, bn.batch_mean, bn.batch_variance = "
        "BatchNormalization(c, bn.scale, bn.bias, bn.batch_mean.none, bn.batch_variance.none)",
        "bn.batch_variance.old = Mul(bn.var, statistics.number_0.8999999761581421)",
        "bn.batch_variance.own = Mul(bn.batch_variance, statistics.number_0.10000002384185791)",
        "bn.var.next = Add(bn.batch_variance.old, bn.batch_variance.own)",
        "bn.batch_mean.old = Mul(bn.mean, statistics.number_0.8999999761581421)",
        "bn.batch_mean.own = Mul(bn.batch_mean, statistics.number_0.10000002384185791)",
        "bn.mean.next = Add(bn.batch_mean.old, bn.batch_mean.own)",
    ]
    assert [str(v.name) for v in model.graph.outputs] == ["logits", *NEXT_STATISTICS]


@pytest.mark.parametrize("momentum", [None, 0.5, 0.99])
def test_logits_and_next_statistics_stay(momentum: float | None) -> None:
    model = forward_model()
    if momentum is not None:
        (norm,) = (node for node in model.graph if node.op_type == "BatchNormalization")
        norm.attributes["momentum"] = ir.AttrFloat32("momentum", momentum)
    expected = results(model, ["logits", *NEXT_STATISTICS])
    SaveBatchStatistics()(model)
    for found, wanted in zip(results(model, ["logits", *NEXT_STATISTICS]), expected, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-6)


def test_the_saved_statistics_are_those_of_the_batch() -> None:
    model = changed()
    norm = next(node for node in model.graph if node.op_type == "BatchNormalization")
    model.graph.outputs.extend([norm.inputs[0], *norm.outputs[1:]])  # type: ignore[list-item]
    x, mean, variance = results(model, ["c", "bn.batch_mean", "bn.batch_variance"])
    np.testing.assert_allclose(mean, x.mean(axis=(0, 2, 3)), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(variance, x.var(axis=(0, 2, 3)), rtol=1e-5, atol=1e-6)


def test_the_running_statistics_are_not_written_over() -> None:
    """ONNX Runtime's kernel writes what it returns over its inputs: the running statistics are none of them."""
    model = changed()
    model.graph.outputs.append(ir.Value(name="kept"))
    norm = next(node for node in model.graph if node.op_type == "BatchNormalization")
    assert not {str(v.name) for v in norm.inputs[3:] if v} & set(RUNNING)


def test_new_nodes_carry_the_name_of_the_pass_and_have_shapes() -> None:
    model = changed()
    made = [node for node in model.graph if node.metadata_props.get(PASS_KEY) == "save_batch_statistics"]
    assert len(made) == 8
    assert all(out.shape == ir.Shape([2]) and out.type is not None for node in made for out in node.outputs)


def test_a_norm_in_inference_form_is_left_alone() -> None:
    model = forward_model()
    FreezeParameters(freeze=("conv.*", "bn.*"))(model)
    assert not SaveBatchStatistics()(model).modified


def test_a_differentiated_graph_is_refused() -> None:
    model = forward_model()
    AttachLoss()(model)
    SaveBatchStatistics()(model)
    Differentiate()(model)
    with pytest.raises(PassOrderError, match="save_batch_statistics"):
        SaveBatchStatistics()(model)


def test_a_norm_without_running_statistics_cannot_be_read() -> None:
    model = forward_model()
    next(node for node in model.graph if node.op_type == "BatchNormalization").replace_input_with(3, None)
    with pytest.raises(ValueError, match="BatchNormalization bn lacks its running mean"):
        SaveBatchStatistics().call(model)
