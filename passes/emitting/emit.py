"""The finished graphs as files: training model, eval model, optimizer model and the initial state."""

import dataclasses
from pathlib import Path

import numpy as np
import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedOpsetsPass
from safetensors.numpy import save as to_bytes

from sparcl_compile.interface.names import Role
from sparcl_compile.interface.version import __version__
from sparcl_compile.passes.analysis.channels.plan import plan_of
from sparcl_compile.passes.analysis.features import feature_count, features_of, packed_weights
from sparcl_compile.passes.core.contract import IR_VERSION, OPSET, Pass
from sparcl_compile.passes.core.facts import DIFFERENTIATED, OPTIMIZER
from sparcl_compile.passes.core.inlining import inline_calls
from sparcl_compile.passes.core.marks import GRAPH_KEY
from sparcl_compile.passes.core.operators import OPTIMIZER_DOMAIN
from sparcl_compile.passes.core.phases import Phase
from sparcl_compile.passes.core.roles import role_of, values_with_role
from sparcl_compile.passes.core.unused import remove_unused
from sparcl_compile.passes.core.values import constant, dims
from sparcl_compile.passes.emitting.all_places import measure_all_places
from sparcl_compile.passes.emitting.first import pays, to_first
from sparcl_compile.passes.emitting.measure import to_measuring
from sparcl_compile.passes.emitting.packed import to_packed
from sparcl_compile.passes.emitting.score import scoring
from sparcl_compile.passes.lowering.sparse.expand import expanded
from sparcl_compile.passes.updating.optimizer_steps import FEEDS, Stepper

FILES = {
    "train": "train/training_model.onnx",
    "eval": "eval/eval_model.onnx",
    "optimizer": "optimizer/optimizer_model.onnx",
    "measure": "measure/measure_model.onnx",
}
ASKED = {
    "eval_of": "eval_of/eval_of_model.onnx",
    "score": "score/score_model.onnx",
    "features": "features/features_model.onnx",
    "train_first": "train_first/train_first_model.onnx",
}
"""Graphs that only some methods, or some networks, have."""
STATE_FILE = "state.safetensors"
NOTES = "pkg.onnxscript."
"""Metadata keys that onnxscript writes into every node that it makes, a third of a file."""
STORED = (Role.PARAMETER, Role.FROZEN, Role.MASK, Role.INDEX, Role.RUNNING_STAT)


@dataclasses.dataclass(frozen=True)
class Emit(Pass):
    """Write the graphs and the initial state of a compiled model into a folder.

    1. ``train``: the training graph as it stands, without the optimizer function.
    2. ``eval``: the forward graph before the loss, BatchNormalization back in inference form, with the *running*
       statistics as inputs. ORT's own eval model does not load when BatchNormalization has its three training outputs.
    3. ``optimizer``: the optimizer function applied to every parameter, inlined; not where ``train`` updates itself.
    4. Every file is IR version 10 and imports only the opsets it uses: ORT 1.19.2 refuses newer ones.
    5. The state file holds parameters (frozen ones too), masks, running statistics and channel numbers as safetensors,
       which any platform can read.
    6. ``measure``: where a run measures gradients, what ``to_measuring`` makes of the training graph as it was before
       it updated the parameters itself or computed chosen rows of their gradients only. The first rows in the state
       file are the first channels; a run chooses its own before it trains. Where the gradients of pruned weights are
       wanted, those of compressed layers are what ``measure_all_places`` makes of them.
    7. Where weights are compressed, ``eval`` scatters them into their full shapes and has standard operators only: it
       runs where no sparse kernels are, and an export is plain ONNX.
    8. ``features``: where they are asked for, ``eval`` with what the last layer reads, as vectors [N, D], beside the
       logits.
    9. ``score``: where it is asked for, what ``scoring`` makes of the forward graph.
    10. ``eval_of``: where it is asked for, ``eval`` of the network of each task, as ``to_packed`` makes it.
    11. ``train_first``: where a step has several batches and it pays, what ``to_first`` makes of ``train``.
    12. The model itself is not changed; ``whole`` is, into ``measure``.

    Options:
        folder: where to write; must exist.
        forward: the model as it was before ``attach_loss``, which still holds its data.
        whole: the training graph before ``compute_gradient_rows`` and ``update_in_backward``; None when no run measures
            gradients.
        masked: the forward graph before ``compress_weights``; None when no weights were compressed.
        pruned_gradients: whether ``measure`` gives the gradients of pruned weights, too.
        features: whether there is a graph ``features``.
        score: whether there is a graph ``score``.
        packed: whether there is a graph ``eval_of``.
        several: whether a step has several batches, whose gradients are stored.
        smooth: whether ``measure`` smooths them over the steps.
    """

    phase = Phase.EMITTING
    needs = (DIFFERENTIATED, OPTIMIZER)

    folder: Path
    forward: ir.Model
    whole: ir.Model | None = None
    masked: ir.Model | None = None
    pruned_gradients: bool = False
    features: bool = False
    score: bool = False
    packed: bool = False
    several: bool = False
    smooth: bool = False

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Write everything. OSError from the file system is left to the caller, which owns the folder."""
        plain = expanded(self, self.masked, self.forward) if self.masked else self.forward.clone()
        graphs = {"train": train_model(model), "eval": plain}
        if self.features:
            graphs["features"] = self._with_features(plain)
        if self.score:
            graphs["score"] = scoring(self, plain)
        if self.packed:
            graphs["eval_of"] = self._of_task(plain)
        to_evaluation(plain)
        rows = first_rows(model)
        accumulates = any(values_with_role(model, Role.GRADIENT))
        if accumulates:
            graphs["optimizer"] = optimizer_model(self, model)
        if self.several and pays(self.forward, model):
            to_first(self, graphs.setdefault("train_first", train_model(model)))
        if self.whole is not None and self.pruned_gradients:
            measure_all_places(self, self.whole)
        if self.whole is not None:
            to_measuring(self.whole, self.pruned_gradients, self.inserter(self.whole.graph) if self.smooth else None)
            graphs["measure"] = self.whole
        for name, graph in graphs.items():
            save(graph, self.folder / {**FILES, **ASKED}[name])
        # Not safetensors' own save_file: it reports a full disk as an error of its own, without the errno.
        (self.folder / STATE_FILE).write_bytes(to_bytes({**initial_state(self.forward), **rows}))
        return ir.passes.PassResult(model, False)

    def _of_task(self, forward: ir.Model) -> ir.Model:
        copy, packed = forward.clone(), packed_weights(forward)
        to_evaluation(copy)
        to_packed(self, copy, packed)
        return copy

    def _with_features(self, forward: ir.Model) -> ir.Model:
        copy = forward.clone()
        graph, features, count = copy.graph, features_of(copy.graph), feature_count(copy.graph)
        shape = constant(graph, "features.shape", np.array([-1, count], np.int64))
        vector = self.inserter(graph).op("Reshape", features, shape, name="features", shape=["N", count])
        to_evaluation(copy, vector)
        return copy


def save(model: ir.Model, path: Path) -> None:
    """Check a model and write it in the form that ORT 1.19.2 loads, without what says nothing to anybody."""
    RemoveUnusedOpsetsPass()(model)
    for node in model.graph:
        for key in [key for key in node.metadata_props if key.startswith(NOTES)]:
            del node.metadata_props[key]
    model.ir_version = IR_VERSION
    model.metadata_props[GRAPH_KEY] = __version__
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(ir.to_proto(model).SerializeToString())


def train_model(model: ir.Model) -> ir.Model:
    """A copy of the training graph without functions."""
    copy = model.clone()
    copy.functions.clear()
    return copy


def first_rows(model: ir.Model) -> dict[str, np.ndarray]:
    """The first output channels of every weight whose gradient is computed by rows: int64 [K] by state name."""
    return {str(v.name): np.arange(dims(v)[0], dtype=np.int64) for v in values_with_role(model, Role.GRADIENT_ROWS)}


def eval_model(forward: ir.Model) -> ir.Model:
    """A copy of the forward graph as :func:`to_evaluation` turns it."""
    copy = forward.clone()
    to_evaluation(copy)
    return copy


def to_evaluation(model: ir.Model, *others: ir.Value) -> None:
    """Turn a forward graph in place: x to logits, the state as inputs, BatchNormalization in inference form.

    Args:
        model: the graph.
        others: more values that it is to give.
    """
    graph = model.graph
    graph.outputs[1:] = others
    for node in graph:
        if node.op_type == "BatchNormalization":
            node.attributes.pop("training_mode", None)
            node.resize_outputs(1)
    for value in [v for v in graph.initializers.values() if role_of(v)]:
        graph.initializers.pop(str(value.name))
        value.const_value = None
        graph.inputs.append(value)
    remove_unused(model)


def optimizer_model(made_by: Pass, model: ir.Model) -> ir.Model:
    """The optimizer step of every parameter: from parameters, accumulators and optimizer state to their next values."""
    graph = ir.Graph([], [], nodes=[], opset_imports={"": OPSET, OPTIMIZER_DOMAIN: 1}, name="optimizer")
    result = ir.Model(graph, ir_version=IR_VERSION, functions=[f.clone() for f in model.functions.values()])
    stepper = Stepper(made_by, model, graph)
    for weight in values_with_role(model, Role.PARAMETER):
        stepper.append_fed(str(weight.name), dims(weight))
    for function in list(result.functions.values()):
        inline_calls(result, function)
    remove_unused(result)
    used = {value.name for node in graph for value in node.inputs if value is not None}
    graph.inputs[:] = [v for v in graph.inputs if v.name in used or v.name in FEEDS]
    return result


def initial_state(forward: ir.Model) -> dict[str, np.ndarray]:
    """Data of the parameters, frozen ones too, masks, statistics and channels by name; pruned weights are already 0."""
    values = [value for role in STORED for value in values_with_role(forward, role)]
    stored = {str(v.name): np.asarray(v.const_value.numpy(), order="C") for v in values if v.const_value is not None}
    plan = plan_of(forward)
    return {**stored, **plan.state()} if plan else stored
