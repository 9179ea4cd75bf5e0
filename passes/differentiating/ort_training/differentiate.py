"""The backward graph from ONNX Runtime's gradient builder. The only file that talks to it."""

import contextlib
import dataclasses
import functools
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedOpsetsPass

from sparcl_compile.interface.errors import ModelError, OptionError
from sparcl_compile.interface.names import Role, accumulator_name
from sparcl_compile.passes.core.contract import IR_VERSION, Pass
from sparcl_compile.passes.core.facts import ACCUMULATING, DIFFERENTIATED, LOSS, MARKED
from sparcl_compile.passes.core.marks import PASS_KEY
from sparcl_compile.passes.core.operators import SPARSE_DOMAIN, sparse_nodes
from sparcl_compile.passes.core.phases import Phase
from sparcl_compile.passes.core.roles import role_of, set_role, values_with_role
from sparcl_compile.passes.core.values import INT64, constant
from sparcl_compile.passes.differentiating.ort_training.sparse_gradients import GRADIENTS, complete

STATE_ROLES = (Role.PARAMETER, Role.FROZEN, Role.MASK, Role.INDEX, Role.RUNNING_STAT)


@dataclasses.dataclass(frozen=True)
class Differentiate(Pass):
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
            OptionError: the graph has sparse operators, and there is no library of them.
        """
        if any(value.name == "lazy_reset_grad" for value in model.graph.inputs):
            return ir.passes.PassResult(model, False)
        roles = {str(v.name): role for v in _state(model) if (role := role_of(v))}
        marks = {str(v.name): dict(v.metadata_props) for v in _state(model)}
        frozen = {str(v.name): v.const_value for v in values_with_role(model, Role.FROZEN)}
        origins = {str(node.name): node.metadata_props.get(PASS_KEY) for node in model.graph}
        sparse = bool(sparse_nodes(model.graph))
        if sparse and self.library is None:
            raise OptionError(
                "--library: is missing, but the graph has sparse operators; give the file of their kernels"
            )
        also, library = (("x",), self.library) if sparse else ((), None)
        training = ir.from_proto(build_training_model(ir.to_proto(model), roles, also, library))
        for name in also:
            _drop_gradient(training.graph, name)
        for value in training.graph.inputs:
            value.metadata_props.update(marks.get(str(value.name), {}))
        for value in [v for v in training.graph.inputs if v.name in frozen]:
            training.graph.inputs.remove(value)
            value.const_value = frozen[str(value.name)]
            training.graph.register_initializer(value)
        for weight in [n for n, role in roles.items() if role is Role.PARAMETER]:
            accumulator = next(v for v in training.graph.inputs if v.name == accumulator_name(weight))
            set_role(accumulator, Role.GRADIENT)
        for node in training.graph:
            self._mark_origin(node, origins)
        complete(training.graph)
        for node in [node for node in training.graph if node.op_type == "MaxPoolGrad"]:
            self._clamp_indices(training.graph, node)
        _replace(model, training)
        return ir.passes.PassResult(model, True)

    def _clamp_indices(self, graph: ir.Graph, node: ir.Node) -> None:
        indices = node.inputs[1]
        clamp = self.node("Max", [indices, constant(graph, "first_index", np.array(0, np.int64))])
        out = clamp.outputs[0]
        clamp.name = out.name = f"{node.name}.indices"
        out.shape, out.type = (indices.shape if indices else None), INT64
        graph.insert_before(node, clamp)
        node.replace_input_with(1, out)

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

    Args:
        forward: model with loss first among its outputs; shapes of all outputs known.
        roles: role by initializer name; ``parameter`` is trained, the others are fixed.
        also: inputs of the model whose gradients are made too.
        library: custom operators.

    Raises:
        ModelError: ORT's gradient builder refuses the graph; the message is its own first line.
    """
    onnxblock = _quiet_onnxblock()

    class WholeGraph(onnxblock.TrainingBlock):  # type: ignore[misc, name-defined]
        def build(self, *outputs: str) -> tuple[str, ...]:
            return outputs

    block = WholeGraph()
    for name, role in roles.items():
        if role in STATE_ROLES:
            block.requires_grad(name, role is Role.PARAMETER)
    for name in also:
        block.requires_grad(name)
    forward.ir_version = IR_VERSION
    try:
        with silent_stderr(), onnxblock.base(forward), _custom_operators(onnxblock, library):
            block(*[output.name for output in forward.graph.output])
            training, _ = block.to_model_proto()
    except RuntimeError as error:
        first = str(error).strip().splitlines()[0]
        raise ModelError(f"ONNX Runtime's gradient builder refuses this graph: {first}") from error
    training.ir_version = IR_VERSION
    typed: onnx.ModelProto = training
    return typed


def _custom_operators(onnxblock: Any, library: Path | None) -> contextlib.AbstractContextManager[object]:
    if library is None:
        return contextlib.nullcontext()
    _register_gradients()
    made: contextlib.AbstractContextManager[object] = onnxblock.custom_op_library(library)
    return made


@functools.cache
def _register_gradients() -> None:
    """Tell the builder of this process the gradients of the sparse operators."""
    from onnxruntime.capi import _pybind_state as builder

    for op_type, nodes in GRADIENTS.items():
        definition = []
        for made in nodes:
            node = builder.GradientNodeDefinition()
            node.op_type, node.domain = made.op_type, SPARSE_DOMAIN
            node.inputs, node.outputs, node.attributes = list(made.inputs), list(made.outputs), []
            definition.append(node)
        builder.register_gradient_definition(f"{SPARSE_DOMAIN}::{op_type}", definition)


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


def _quiet_onnxblock() -> Any:
    """Importing the training package warns about torch and CUDA, which concerns nobody here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from onnxruntime.training import onnxblock
    return onnxblock


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
