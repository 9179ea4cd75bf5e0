"""An artifact and a learned state to a plain ONNX model for inference, checked against the artifact's own answers."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from onnx_ir.passes.common import (
    ClearMetadataAndDocStringPass,
    IdentityEliminationPass,
    NameFixPass,
    RemoveUnusedNodesPass,
    RemoveUnusedOpsetsPass,
    ShapeInferencePass,
)
from onnxscript.rewriter import RewritePass
from onnxscript.rewriter.rules.common import add_0_rule, div_by_1_rule, mul_by_1_rule, sub_0_rule

from sparcl_compile.compiling import pipeline
from sparcl_compile.compiling.compiler import Recorder
from sparcl_compile.compiling.load import load_written
from sparcl_compile.compiling.verify import check_given, check_graph
from sparcl_compile.interface.artifact import Artifact
from sparcl_compile.interface.errors import ArtifactError, CheckpointError, ModelError
from sparcl_compile.interface.onnx_runtime import failures
from sparcl_compile.interface.report import PassTrace
from sparcl_compile.interface.version import __version__
from sparcl_compile.passes.core.contract import CONSTANTS, IR_VERSION, OPSET, PRODUCER
from sparcl_compile.passes.core.model_input import ModelInput
from sparcl_compile.passes.core.values import dims
from sparcl_compile.passes.exporting.freeze_state import state_inputs
from sparcl_compile.passes.exporting.remove_idle_channels import removed_channels
from sparcl_compile.passes.importing import verify

TOLERANCE = 1e-4
"""Largest difference of two logits that a correct export may show, as a share of the largest logit."""
BATCHES, ROWS = 3, 8
FREE_DIMENSION = 32
"""Length in the check of a dimension that may vary."""
STANDARD = ("", "ai.onnx")
NO_OPS = (*mul_by_1_rule.commute(), *add_0_rule.commute(), sub_0_rule, div_by_1_rule)


@dataclasses.dataclass(frozen=True)
class Exported:
    """A finished model.

    Attributes:
        content: the bytes of the .onnx file; the same for the same artifact and state.
        passes: the log of each pass.
        nodes: how many are left.
        input_shape: of ``x``, the batch included.
        removed: by space how many channels are gone.
        check: how the model was compared and what came out; see ``compare``.
    """

    content: bytes
    passes: tuple[PassTrace, ...]
    nodes: int
    input_shape: list[int | str | None]
    removed: dict[str, int]
    check: dict[str, float]


def export_model(
    artifact: Artifact, state: Mapping[str, np.ndarray], notes: Mapping[str, str], batch: int | None = None
) -> Exported:
    """Convert a learned model to plain ONNX.

    Args:
        artifact: a checked artifact.
        state: the learned tensors by name, those that its graph ``eval`` reads.
        notes: keys and texts for the model's metadata, as ``normalise.mean``.
        batch: a fixed batch size; None leaves it open.

    Raises:
        CheckpointError: the state lacks a tensor, has one of another shape, or does not give finite logits.
        ArtifactError: its graph cannot be run.
        ModelError: the graph is damaged, the result answers differently, or a part of it is not plain ONNX.
    """
    path = artifact.path("eval")
    model = load_written(path)
    check_given(model, path)
    state = _state_of(model, state)
    answers = _answers(path, samples(artifact), state)
    if not all(np.isfinite(one).all() for one in answers):
        raise CheckpointError("the state's logits are not finite; export an earlier checkpoint, or run again")
    recorder = Recorder(model)
    pipeline.export(model, state, recorder, kind_of(artifact).type)
    removed = removed_channels(model)
    finish(model, artifact.manifest.model.name, notes, batch)
    proto = ir.to_proto(model)
    check = compare(answers, [_answer_in(proto, x, batch) for x in samples(artifact)])
    shape = [d if isinstance(d, int) else d.value for d in model.graph.inputs[0].shape or ()]
    content = proto.SerializeToString(deterministic=True)
    return Exported(content, tuple(recorder.traces), len(model.graph), shape, removed, check)


def _state_of(model: ir.Model, state: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The tensors of the state that the graph reads; raises CheckpointError where one does not fit."""
    found = {}
    for value in state_inputs(model.graph):
        name = str(value.name)
        if name not in state or list(state[name].shape) != dims(value):
            raise CheckpointError(f"the state holds no {name} of shape {dims(value)}; run sparcl-run on this artifact")
        found[name] = state[name]
    return found


def finish(model: ir.Model, name: str, notes: Mapping[str, str], batch: int | None) -> None:
    """Leave nothing but a standard model: no no-ops, no traces of the compiler, known shapes; in place.

    Raises:
        ModelError: an operator is not in the standard domain, or the graph is not valid.
    """
    constants = model.metadata_props[CONSTANTS]
    RewritePass(NO_OPS)(model)
    for one in (IdentityEliminationPass(), RemoveUnusedNodesPass(), RemoveUnusedOpsetsPass(), NameFixPass()):
        one(model)
    ClearMetadataAndDocStringPass()(model)
    graph = model.graph
    foreign = sorted({f"{node.domain}.{node.op_type}" for node in graph if node.domain not in STANDARD})
    if foreign:
        raise ModelError(f"{name}: {foreign[0]} is not a standard ONNX operator; compile the model without it")
    for value in (*graph.inputs, *graph.outputs):
        value.shape = ir.Shape([batch or "N", *(value.shape or ())[1:]])
    inner = [out for node in graph for out in node.outputs if not out.is_graph_output()]
    for value in inner:
        value.shape = None
    for value in (*graph.inputs, *graph.initializers.values(), *graph.outputs, *inner):
        value.metadata_props.clear()
    graph.name, model.doc_string = name, f"{name} as learned; logits [{batch or 'N'}, classes] from normalised input"
    model.ir_version, model.producer_name, model.producer_version = IR_VERSION, PRODUCER, __version__
    model.metadata_props.clear()
    model.metadata_props.update({**notes, CONSTANTS: constants})
    _check(model, name)


def _check(model: ir.Model, name: str) -> None:
    if model.opset_imports != {"": OPSET}:
        raise ModelError(f"{name}: has opsets {dict(model.opset_imports)}, not {OPSET}; compile the model again")
    ShapeInferencePass()(model)
    check_graph(model, f"{name}: the exported graph is not valid")


def kind_of(artifact: Artifact) -> ModelInput:
    """The kind of the exported model's input: the file's whole numbers where they are fed as they are, else floats."""
    given = artifact.manifest.model
    whole = given.raw and given.input_type.startswith(("int", "uint"))
    return ModelInput(given.input_type, True, given.rows) if whole else ModelInput()


def samples(artifact: Artifact) -> list[np.ndarray]:
    """Random inputs of the model's shape and kind, float32 [ROWS, ...] each; the same at every call."""
    shape = [FREE_DIMENSION if d is None else d for d in artifact.manifest.model.input_shape]
    return [verify.samples((ROWS, *shape), kind_of(artifact), seed) for seed in range(BATCHES)]


def _answers(path: Path, inputs: list[np.ndarray], state: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    """The logits of the artifact's own graph, no operator optimised away."""
    try:
        session = verify.session(onnx.load(path))
        return [np.asarray(session.run(["logits"], {"x": x, **state})[0]) for x in inputs]
    except failures() as error:
        reason = " ".join(str(error).split())
        raise ArtifactError(f"{path}: ONNX Runtime cannot run it ({reason}); compile the model again") from error


def _answer_in(proto: onnx.ModelProto, x: np.ndarray, batch: int | None) -> np.ndarray:
    """The logits of the exported model, whose batch may be fixed to another number of rows."""
    x = verify.in_type_of(proto, x)
    if batch is None:
        return verify.run(proto, x, "logits")
    filled = np.resize(x, (-(-len(x) // batch) * batch, *x.shape[1:]))
    return verify.run(proto, filled, "logits", batch)[: len(x)]


def compare(expected: list[np.ndarray], found: list[np.ndarray]) -> dict[str, float]:
    """The largest difference of a logit over all samples, and its share of the largest logit in magnitude.

    Raises:
        ModelError: the share is above ``TOLERANCE``.
    """
    wanted, given = np.concatenate(expected), np.concatenate(found)
    difference = float(np.abs(wanted - given).max())
    largest = float(np.abs(wanted).max())
    deviation = difference / largest if largest else difference
    if not deviation <= TOLERANCE:
        raise ModelError(
            f"the exported model answers differently from the artifact (largest difference {difference:.3g} at logits "
            f"up to {largest:.3g}, allowed are {TOLERANCE:g} of it); nothing was written, please report this"
        )
    return {
        "samples": len(wanted),
        "largest_difference": difference,
        "largest_logit": largest,
        "deviation": deviation,
        "tolerance": TOLERANCE,
    }


def _float32(numbers: float | list[float]) -> Any:
    """The numbers as float32 has them: 1 is exactly 1 again, and a token divided by it stays the token."""
    return np.asarray(numbers, np.float32).tolist()


def notes_of(samples: Mapping[str, Any] | None, layout: str) -> dict[str, str]:
    """Metadata for the model's callers: facts that the model itself cannot hold.

    Args:
        samples: a checkpoint's ``samples``: how the run normalised, its classes and their order; None when unknown.
        layout: how the model takes a sample.
    """
    notes = {"input.layout": layout}
    if samples is None:
        return notes
    normalise = samples["normalise"]
    return {
        **notes,
        "normalise.formula": "(x / scale - mean) / std",
        **{f"normalise.{key}": json.dumps(_float32(normalise[key])) for key in ("scale", "mean", "std")},
        "classes": json.dumps(samples["classes"]),
        "classes_by_task": json.dumps(samples["classes_by_task"]),
    }
