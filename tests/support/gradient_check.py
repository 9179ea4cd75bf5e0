"""Gradients of a forward graph, by the builder or by rules, against differences in float64 by onnx.reference."""

import copy
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from sparcl_compile.interface.names import Role, accumulator_name
from sparcl_compile.passes.core.marks import DENSE_KEY
from sparcl_compile.passes.core.roles import values_with_role
from sparcl_compile.passes.differentiating.differentiate import Differentiate
from sparcl_compile.passes.differentiating.ort_training.differentiate_by_builder import silent_stderr
from sparcl_compile.passes.differentiating.save_batch_statistics import SaveBatchStatistics
from sparcl_compile.passes.importing.import_forward import ImportForward
from sparcl_compile.passes.sparsifying.mark_dense_weights import MarkDenseWeights

Gradients = Callable[[ir.Model, dict[str, Any]], dict[str, Any]]
"""Computes the gradients of a model's parameters from its feeds."""
STEPS = (1e-5, 1e-3)
"""Small enough to stay on one side of a kink, or large enough to rise above operators the evaluator does in float32."""
BATCH = 3
TINY = 1e-4
"""A gradient this much smaller than the whole is compared with the whole: float32 cannot do better."""


def imported(proto: onnx.ModelProto, dense: tuple[str, ...] = (), **options: Any) -> ir.Model:
    """The model imported, with the reasons of the weights that stay dense."""
    model = ir.from_proto(proto)
    ImportForward(**options)(model)
    MarkDenseWeights(dense)(model)
    return model


def dense_reasons(model: ir.Model) -> dict[str, str | None]:
    """The weights of the layers that train, and why they stay dense."""
    return {
        str(v.name): v.metadata_props.get(DENSE_KEY)
        for v in values_with_role(model, Role.PARAMETER)
        if v.metadata_props.get(DENSE_KEY) != "elementwise"
    }


def with_loss(model: ir.Model) -> onnx.ModelProto:
    """The forward model with loss = sum(logits * direction) as its first output."""
    proto = copy.deepcopy(ir.to_proto(model))
    logits = proto.graph.output[0]
    direction = proto.graph.input.add(name="direction")
    direction.type.CopyFrom(logits.type)
    proto.graph.node.append(helper.make_node("Mul", [logits.name, "direction"], ["weighed"], "loss_mul"))
    proto.graph.node.append(helper.make_node("ReduceSum", ["weighed"], ["loss"], "loss_sum", keepdims=0))
    proto.graph.output.insert(0, helper.make_tensor_value_info("loss", TensorProto.FLOAT, []))
    return proto


def by_runtime(proto: onnx.ModelProto, params: list[str], frozen: list[str], feeds: dict[str, Any]) -> dict[str, Any]:
    """All gradients, computed by ONNX Runtime for a symbolic batch."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from onnxruntime.training.onnxblock import _training_graph_utils as builder
    weights = {t.name: numpy_helper.to_array(t) for t in proto.graph.initializer}
    outputs = [output.name for output in proto.graph.output]
    with silent_stderr():
        training, _ = builder.build_gradient_graph(copy.deepcopy(proto), set(params), set(frozen), outputs)
        options = ort.SessionOptions()
        options.log_severity_level = 4
        options.intra_op_num_threads = 1
        session = ort.InferenceSession(training.SerializeToString(), options)
        known = {**weights, **feeds, "loss_grad": np.ones([], np.float32)}
        inputs = {i.name: known[i.name] for i in session.get_inputs()}
        names = [f"{name}_grad" for name in params]
        return dict(zip(params, session.run(names, inputs), strict=True))


def in_float64(proto: onnx.ModelProto, params: list[str]) -> tuple[ReferenceEvaluator, dict[str, Any]]:
    """An evaluator of the same graph whose floats are doubles and whose parameters are inputs, and their values."""
    wide = copy.deepcopy(proto)
    values = {t.name: numpy_helper.to_array(t) for t in wide.graph.initializer}
    doubles = {k: v.astype(np.float64) if v.dtype == np.float32 else v for k, v in values.items()}
    del wide.graph.initializer[:]
    wide.graph.initializer.extend(numpy_helper.from_array(v, k) for k, v in doubles.items() if k not in params)
    wide.graph.input.extend(helper.make_tensor_value_info(k, TensorProto.DOUBLE, None) for k in params)
    for node in wide.graph.node:
        if node.op_type == "Cast" and node.attribute[0].i == TensorProto.FLOAT:
            node.attribute[0].i = TensorProto.DOUBLE
    return ReferenceEvaluator(wide), {k: doubles[k] for k in params}


def by_builder(model: ir.Model, feeds: dict[str, Any]) -> dict[str, Any]:
    """The gradients of all parameters by ONNX Runtime's builder."""
    params = [str(v.name) for v in values_with_role(model, Role.PARAMETER)]
    frozen = [str(v.name) for v in values_with_role(model, Role.RUNNING_STAT)]
    return by_runtime(with_loss(model), params, frozen, feeds)


def differentiated(model: ir.Model) -> ir.Model:
    """The model with loss = sum(logits * direction) and its backward graph by rules."""
    made = ir.from_proto(with_loss(model))
    logits = model.graph.outputs[0]
    for node in list(made.graph)[-2:-1]:
        node.outputs[0].shape, node.outputs[0].type = logits.shape, logits.type
    SaveBatchStatistics()(made)
    Differentiate().call(made)
    return made


def by_rules(model: ir.Model, feeds: dict[str, Any]) -> dict[str, Any]:
    """The gradients of all parameters by rules: the accumulators after one step."""
    params = [str(v.name) for v in values_with_role(model, Role.PARAMETER)]
    proto = ir.to_proto(differentiated(model))
    onnx.checker.check_model(proto, full_check=True)
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(proto.SerializeToString(), options)
    state = {n: v.const_value.numpy() for n, v in model.graph.initializers.items() if v.const_value is not None}
    known = {**state, **feeds, "lazy_reset_grad": np.array([True])}
    inputs = {i.name: known[i.name] if i.name in known else np.ones(i.shape, np.float32) for i in session.get_inputs()}
    return dict(zip(params, session.run([f"{accumulator_name(n)}.next" for n in params], inputs), strict=True))


def random_feeds(model: ir.Model, random: np.random.Generator) -> dict[str, np.ndarray]:
    """An input and the direction of its logits."""
    x_shape, out_shape = ([int(d) for d in list(v.shape)[1:]] for v in (model.graph.inputs[0], model.graph.outputs[0]))
    return {
        "x": random.normal(size=(BATCH, *x_shape)).astype(np.float32),
        "direction": random.normal(size=(BATCH, *out_shape)).astype(np.float32),
    }


def worst_gradient(model: ir.Model, seed: int = 0, by: Gradients = by_rules) -> tuple[float, str]:
    """The largest relative error over all parameters, along one random direction each, and the parameter."""
    random = np.random.default_rng(seed)
    params = [str(v.name) for v in values_with_role(model, Role.PARAMETER)]
    proto = with_loss(model)
    feeds = random_feeds(model, random)
    got = by(model, feeds)
    evaluator, base = in_float64(proto, params)
    base.update({name: value.astype(np.float64) for name, value in feeds.items()})
    whole = float(np.sqrt(sum((gradient**2).sum() for gradient in got.values())))
    errors = [(error(evaluator, base, name, got[name], whole, random), name) for name in params]
    return max(errors)


def error(
    evaluator: ReferenceEvaluator, base: dict[str, Any], name: str, gradient: Any, whole: float, random: Any
) -> float:
    assert gradient.shape == base[name].shape
    step = random.normal(size=gradient.shape)
    step /= np.linalg.norm(step)
    slope = float((gradient.astype(np.float64) * step).sum())
    differences = []
    for size in STEPS:
        ends = [evaluator.run(["loss"], {**base, name: base[name] + sign * size * step})[0] for sign in (1, -1)]
        differences.append(abs(float(ends[0] - ends[1]) / (2 * size) - slope))
    return min(differences) / max(float(np.linalg.norm(gradient)), TINY * whole, 1e-6)
