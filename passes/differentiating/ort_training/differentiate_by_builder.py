"""The backward graph from ONNX Runtime's gradient builder. The only file that talks to it."""

import contextlib
import dataclasses
import functools
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedOpsetsPass

from sparcl_compile.interface.errors import FieldError, ModelError
from sparcl_compile.interface.names import Role, accumulator_name, gradient_name
from sparcl_compile.interface.onnx_runtime import bindings, check_training_build, ort
from sparcl_compile.passes.core.accumulation import RESET
from sparcl_compile.passes.core.contract import IR_VERSION, Pass
from sparcl_compile.passes.core.facts import ACCUMULATING, DIFFERENTIATED, LOSS, MARKED
from sparcl_compile.passes.core.marks import PASS_KEY
from sparcl_compile.passes.core.operators import SPARSE_DOMAIN, sparse_nodes
from sparcl_compile.passes.core.phases import Phase
from sparcl_compile.passes.core.roles import role_of, set_role, values_with_role
from sparcl_compile.passes.core.values import BOOL, INT64, constant
from sparcl_compile.passes.differentiating.ort_training.sparse_gradients import GRADIENTS, complete

STATE_ROLES = (Role.PARAMETER, Role.FROZEN, Role.MASK, Role.INDEX, Role.RUNNING_STAT)


@dataclasses.dataclass(frozen=True)
class DifferentiateByBuilder(Pass):
    """Append the backward graph and one gradient accumulator a parameter, in ORT's on-device-training form.

    1. Every initializer with a role becomes a graph input: parameters require a gradient, masks and running statistics
       do not. Their data leave the graph; ``emit`` takes them from the forward graph.
    2. The builder needs a proto, so the model makes a round trip; roles and provenance are put back by name, and what
       the builder made is tagged with this pass.
    3. Accumulators ``W_grad.accumulation.buffer`` and the flag ``lazy_reset_grad`` come from the builder: micro-steps
       add up in place without a copy of the gradients.
    4. IR version and opset imports are set back to what ORT 1.19.2 loads: the builder copies whatever the onnx package
       of the day writes.
    5. Frozen parameters have no gradient, and the backward graph ends where nothing below trains. The builder sees them
       as inputs, so that its own optimizations leave them alone; afterwards they are constants again, which ONNX
       Runtime prepacks, lays out and fuses as in inference.
    6. MaxPoolGrad gets its indices from 0 up: for a window of NaN MaxPool writes an index in front of its plane (ORT
       1.19.2), and the gradient would be added to memory that is not its own. Training that diverges must end in a
       message, not in a crash.
    7. Sparse operators (domain ``sparcl``) get their gradients from a table; the builder needs the library that has
       them. It skips an operator of which one input needs no gradient, so the gradient of the model's input is asked
       for as well, and dropped; what computes it goes with ``prune_backward``.
    8. A graph with ``lazy_reset_grad`` is already differentiated and left alone.

    Options:
        library: the library of the sparse operators; None where the graph has none.
    """

    phase = Phase.DIFFERENTIATING
    needs = (MARKED, LOSS)
    gives = (DIFFERENTIATED, ACCUMULATING)

    library: Path | None = None

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Differentiate.

        Raises:
            ModelError: the builder refuses the graph.
            FieldError: the graph has sparse operators, and there is no library of them.
        """
        if any(value.name == RESET for value in model.graph.inputs):
            return ir.passes.PassResult(model, False)
        roles = {str(v.name): role for v in _state(model) if (role := role_of(v))}
        marks = {str(v.name): dict(v.metadata_props) for v in _state(model)}
        frozen = {str(v.name): v.const_value for v in values_with_role(model, Role.FROZEN)}
        origins = {str(node.name): node.metadata_props.get(PASS_KEY) for node in model.graph}
        sparse = bool(sparse_nodes(model.graph))
        if sparse and self.library is None:
            problem, mend = "is missing, but the graph has sparse operators", "give the file of their kernels"
            raise FieldError("library", None, problem, mend)
        also, library = (("x",), self.library) if sparse else ((), None)
        training = ir.from_proto(build_training_model(_with_fed_state(model), roles, also, library))
        for name in also:
            _drop_gradient(training.graph, name)
        for value in training.graph.inputs:
            value.metadata_props.update(marks.get(str(value.name), {}))
        constants = [value for value in training.graph.inputs if value.name in frozen]
        training.graph.inputs[:] = [value for value in training.graph.inputs if value.name not in frozen]
        for value in constants:
            value.const_value = frozen[str(value.name)]
            training.graph.register_initializer(value)
        accumulators = {accumulator_name(name) for name, role in roles.items() if role is Role.PARAMETER}
        for value in [value for value in training.graph.inputs if value.name in accumulators]:
            set_role(value, Role.GRADIENT)
        for node in training.graph:
            self._mark_origin(node, origins)
        complete(training.graph)
        for node in [node for node in training.graph if node.op_type == "MaxPoolGrad"]:
            self._clamp_indices(training.graph, node)
        _replace(model, training)
        return ir.passes.PassResult(model, True)

    def _clamp_indices(self, graph: ir.Graph, node: ir.Node) -> None:
        indices = node.inputs[1]
        first = constant(graph, "first_index", np.array(0, np.int64))
        insert = self.inserter(graph).before(node)
        clamp = insert.op("Max", indices, first, name=f"{node.name}.indices", like=indices, dtype=INT64)
        node.replace_input_with(1, clamp)

    def _mark_origin(self, node: ir.Node, origins: dict[str, str | None]) -> None:
        if node.name not in origins:
            self.tag(node)
        elif origin := origins[str(node.name)]:
            node.metadata_props[PASS_KEY] = origin


def _drop_gradient(graph: ir.Graph, name: str) -> None:
    """Remove the accumulator of a value that does not train."""
    buffer = next(value for value in graph.inputs if value.name == accumulator_name(name))
    node = next(iter(buffer.uses())).node
    graph.outputs[:] = [value for value in graph.outputs if value is not node.outputs[0]]
    graph.remove(node, safe=True)
    graph.inputs.remove(buffer)


def build_training_model(
    forward: onnx.ModelProto, roles: dict[str, Role], also: Sequence[str] = (), library: Path | None = None
) -> onnx.ModelProto:
    """ORT's training model for a forward model whose first output is the loss.

    The steps are those of ``onnxruntime.training.onnxblock``, which loads PyTorch and copies the weights seven times.

    Args:
        forward: model with loss first among its outputs; shapes of all outputs known; the initializers that are inputs
            of the training model are inputs of this one.
        roles: role by input name; ``parameter`` is trained, the others are fixed.
        also: inputs of the model whose gradients are made too.
        library: custom operators.

    Raises:
        ModelError: ORT's gradient builder refuses the graph; the message is its own first line.
        RuntimeBuildError: the installed ONNX Runtime is not the training build.
    """
    check_training_build("target ort-training", "give --target ort")
    trained = {name for name, role in roles.items() if role is Role.PARAMETER} | set(also)
    outputs = [output.name for output in forward.graph.output]
    forward.ir_version = IR_VERSION
    try:
        with silent_stderr():
            training = onnx.load_model_from_string(_gradient_model(forward, trained, outputs[0], library))
    except (RuntimeError, onnx.shape_inference.InferenceError) as error:
        first = str(error).strip().splitlines()[0]
        raise ModelError(f"ONNX Runtime's gradient builder refuses this graph: {first}") from error
    _accumulate(training.graph, outputs, trained)
    training.ir_version = IR_VERSION
    return training


def _gradient_model(forward: onnx.ModelProto, trained: set[str], loss: str, library: Path | None) -> bytes:
    options = ort.SessionOptions()
    if library is not None:
        _register_gradients()
        options.register_custom_ops_library(os.fspath(library))
    # Values between foreign operators have no shape yet.
    inferred = onnx.shape_inference.infer_shapes(forward)
    optimized = bindings.get_optimized_model(inferred.SerializeToString(), trained, options)
    builder = bindings.GradientGraphBuilder(optimized, {loss}, trained, loss, options)
    builder.build()
    made: bytes = builder.get_model()
    return made


def _accumulate(graph: onnx.GraphProto, outputs: Sequence[str], trained: set[str]) -> None:
    """Add an accumulator for each gradient, in the order of the inputs; the outputs are the model's and theirs."""
    made = {output.name: output for output in graph.output}
    gradients = [gradient_name(value.name) for value in graph.input if value.name in trained]
    ordered = [onnx.ValueInfoProto.FromString(made[name].SerializeToString()) for name in outputs]
    for number, name in enumerate(gradients, len(outputs)):
        buffer, done = f"{name}.accumulation.buffer", f"{name}.accumulation.out"
        graph.node.append(
            onnx.NodeProto(
                op_type="InPlaceAccumulatorV2",
                domain="com.microsoft",
                name=f"GradientAccumulator{number}",
                input=[buffer, name, RESET],
                output=[done],
            )
        )
        graph.input.append(made[name])
        graph.input[-1].name = buffer
        ordered.append(_flag(done))
    graph.input.append(_flag(RESET))
    del graph.output[:]
    graph.output.extend(ordered)


def _flag(name: str) -> onnx.ValueInfoProto:
    return ir.serde.serialize_value(ir.Value(name=name, type=BOOL, shape=ir.Shape([1])))


@functools.cache
def _register_gradients() -> None:
    """Tell the builder of this process the gradients of the sparse operators."""
    for op_type, nodes in GRADIENTS.items():
        definition = []
        for made in nodes:
            node = bindings.GradientNodeDefinition()
            node.op_type, node.domain = made.op_type, SPARSE_DOMAIN
            node.inputs, node.outputs, node.attributes = list(made.inputs), list(made.outputs), []
            definition.append(node)
        bindings.register_gradient_definition(f"{SPARSE_DOMAIN}::{op_type}", definition)


@contextlib.contextmanager
def silent_stderr() -> Iterator[None]:
    """The builder's C++ logs every transformer that it tries, at any severity; its errors come as exceptions."""
    sys.stderr.flush()
    kept = os.dup(2)
    sink = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(sink, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(sink)


def _with_fed_state(model: ir.Model) -> onnx.ModelProto:
    """The model's proto with the state as inputs; the data stay in the forward graph."""
    graph = model.graph
    for value in [value for value in graph.initializers.values() if role_of(value) in STATE_ROLES]:
        graph.initializers.pop(str(value.name))
        value.const_value = None
        graph.inputs.append(value)
    return ir.to_proto(model)


def _state(model: ir.Model) -> list[ir.Value]:
    roles = (*STATE_ROLES, Role.SAMPLE)
    return [value for role in roles for value in values_with_role(model, role)]


def _replace(model: ir.Model, other: ir.Model) -> None:
    """Make ``model`` hold the graph of ``other`` in place; a graph brings its opset imports along.

    What is known of the model's channels and kernels stays.
    """
    other.graph.meta.update(model.graph.meta)
    model.graph = other.graph
    RemoveUnusedOpsetsPass()(model)
    model.ir_version = IR_VERSION
