"""The numerical check: the imported model says what the original said."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import onnx
import onnx_ir as ir
from onnx.reference import ReferenceEvaluator

from sparcl_compile.interface.errors import ModelError
from sparcl_compile.interface.onnx_runtime import failures, ort
from sparcl_compile.passes.core import draws
from sparcl_compile.passes.core.model_input import ModelInput, input_of
from sparcl_compile.passes.importing.outputs import BINARY_SIGMOID, SHARED_SIGMOID, SIGMOID

RELATIVE, ABSOLUTE = 1e-3, 1e-4
HALVES = {onnx.TensorProto.FLOAT16: 0.01, onnx.TensorProto.BFLOAT16: 0.08}
"""What the rounding of a file in half precision leaves of an answer, as a share of the largest: 20 units in the last
place, since the import computes in float32 what the file computes in halves."""
ROWS = 3
RUNTIME_IR = 10
BYTES, WHOLE_NUMBERS = 256, 5
"""Ends of the random numbers for an input of bytes, and of whole numbers of which no more is known."""


def softmax(logits: np.ndarray) -> np.ndarray:
    """Softmax over the classes of [N, C]."""
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=1, keepdims=True))


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """LogSoftmax over the classes of [N, C]."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)))


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """Sigmoid of every logit."""
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * logits)))


def shared_sigmoid(logits: np.ndarray) -> np.ndarray:
    """Sigmoid of every logit, as a share of their sum."""
    chances = sigmoid(logits)
    return np.asarray(chances / chances.sum(axis=1, keepdims=True))


def second_class(logits: np.ndarray) -> np.ndarray:
    """The probability of the second of two classes."""
    return softmax(logits)[:, 1:]


def unchanged(logits: np.ndarray) -> np.ndarray:
    """No activation."""
    return logits


ACTIVATIONS: dict[str | None, Callable[[np.ndarray], np.ndarray]] = {
    "Softmax": softmax,
    "LogSoftmax": log_softmax,
    SIGMOID: sigmoid,
    BINARY_SIGMOID: second_class,
    SHARED_SIGMOID: shared_sigmoid,
    None: unchanged,
}


def random_input(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """Standard normal float32 of this shape."""
    return draws.generator(seed).normal(size=shape).astype(np.float32)


def samples(shape: tuple[int, ...], kind: ModelInput, seed: int = 0) -> np.ndarray:
    """Random float32 samples of the kind that a model takes: rows of its table, bytes, whole or normal numbers."""
    if kind.type.startswith(("int", "uint")):
        end = kind.rows or (BYTES if kind.type == "uint8" else WHOLE_NUMBERS)
        return draws.generator(seed).integers(0, end, shape).astype(np.float32)
    return random_input(shape, seed)


def samples_of(model: ir.Model, rows: int) -> np.ndarray:
    """Random samples [rows, ...] of the kind and shape that a model of one input takes."""
    (value,) = model.graph.inputs
    rest = tuple(int(d) for d in list(value.shape or ())[1:])  # type: ignore[arg-type]
    return samples((rows, *rest), input_of(model))


def in_type_of(model: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    """Samples in the type of a model's input, the first one that is no initializer."""
    stored = {tensor.name for tensor in model.graph.initializer}
    kind = next(one.type.tensor_type.elem_type for one in model.graph.input if one.name not in stored)
    return x.astype(ir.DataType(kind).numpy())


def session(model: onnx.ModelProto) -> ort.InferenceSession:
    """A quiet session without graph optimisation, so that every operator is really run."""
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def first_taken(model: onnx.ModelProto, shapes: Sequence[tuple[int, ...]], kind: ir.DataType) -> int | None:
    """The place of the first of these input shapes with which a model of one input runs; None where none does."""
    try:
        running = session(model)
    except failures():
        return None
    name = running.get_inputs()[0].name
    return next((at for at, shape in enumerate(shapes) if _runs(running, {name: np.zeros(shape, kind.numpy())})), None)


def _runs(running: ort.InferenceSession, feeds: dict[str, np.ndarray]) -> bool:
    try:
        running.run(None, feeds)
    except failures():
        return False
    return True


def run(model: onnx.ModelProto, x: np.ndarray, output: str, batch: int | None = None) -> np.ndarray:
    """One output of a model as [rows, C] for ``x``, fed in batches (default: all rows as one).

    Raises:
        ModelError: the runtime cannot run the model, with its reason.
    """
    size = batch or len(x)
    try:
        running = session(model)
        name = running.get_inputs()[0].name
        parts = [running.run([output], {name: x[i : i + size]})[0] for i in range(0, len(x), size)]
    except failures() as error:
        raise refused(error) from error
    return np.concatenate([np.asarray(part).reshape(size, -1) for part in parts])


def ask(running: ort.InferenceSession, feeds: Mapping[str, np.ndarray], output: str) -> np.ndarray:
    """One output of a session, from what that output needs; raises ModelError as ``run``."""
    asked = ort.RunOptions()
    asked.only_execute_path_to_fetches = True
    try:
        (found,) = running.run([output], dict(feeds), asked)
    except failures() as error:
        raise refused(error) from error
    return np.asarray(found)


def refused(error: BaseException) -> ModelError:
    """The runtime's complaint as a model error."""
    reason = " ".join(str(error).split())[:300]
    return ModelError(f"ONNX Runtime cannot run the model: {reason}")


def runnable(model: ir.Model) -> onnx.ModelProto:
    """A copy that the installed runtime accepts: its IR version capped."""
    proto = ir.to_proto(model)
    proto.ir_version = min(proto.ir_version, RUNTIME_IR)
    return proto


def _second_opinions(model: onnx.ModelProto, x: np.ndarray, output: str, batch: int) -> Iterator[np.ndarray]:
    """What the runtime answers, where it can run the model, and then what ONNX's definition does."""
    with contextlib.suppress(ModelError):
        yield run(model, x, output, batch)
    yield run_by_definition(model, x, output, batch)


def check_same(
    original: onnx.ModelProto, imported: ir.Model, *, batch: int, output: str, activation: str | None, mend: str
) -> None:
    """Raise ModelError unless both models agree.

    Args:
        original: The model as it was given.
        imported: The model in inference form with input ``x`` [N, ...] and first output ``logits`` [N, C].
        batch: The batch size the original was exported for.
        output: The original's output to compare with.
        activation: The operator that the import removed from the head.
        mend: The way to a model that takes any batch.
    """
    x = samples_of(imported, ROWS * batch)
    got = ACTIVATIONS[activation](run(runnable(imported), x, "logits"))
    difference, share = 0.0, _share_of_rounding(original)
    for wanted in _second_opinions(original, in_type_of(original, x), output, batch):
        if agree(got, wanted, share):
            return
        difference = difference or distance(got, wanted)
    raise ModelError(
        f"the imported model answers a batch of {ROWS} differently from the original row by row (by up to "
        f"{difference:.2g}): the model mixes the rows of a batch; {mend}"
    )


def run_by_definition(model: onnx.ModelProto, x: np.ndarray, output: str, batch: int) -> np.ndarray:
    """As ``run``, by ONNX's reference evaluator.

    It is slow and asked only when the runtime disagrees or refuses: ONNX Runtime 1.19.2 divides an AveragePool with
    ``ceil_mode`` and ``count_include_pad`` by more than the definition and PyTorch do.
    """
    try:
        evaluator = ReferenceEvaluator(model)
        name = evaluator.input_names[0]
        parts = [next(iter(evaluator.run([output], {name: x[i : i + batch]}))) for i in range(0, len(x), batch)]
    except (RuntimeError, ValueError, TypeError, IndexError, NotImplementedError, ArithmeticError) as error:
        raise refused(error) from error
    return np.concatenate([np.asarray(part).reshape(batch, -1) for part in parts])


def _share_of_rounding(model: onnx.ModelProto) -> float | None:
    """The share of ``HALVES`` for a model that stores numbers in half precision, else None."""
    found = [HALVES[tensor.data_type] for tensor in model.graph.initializer if tensor.data_type in HALVES]
    return max(found, default=None)


def agree(got: np.ndarray, wanted: np.ndarray, share: float | None = None) -> bool:
    """Whether two answers are equal up to float32 rounding in a deep network, or up to a share of the largest."""
    if got.shape != wanted.shape:
        return False
    scale = float(np.max(np.abs(np.nan_to_num(wanted)), initial=0.0))
    relative, absolute = (RELATIVE, ABSOLUTE) if share is None else (share, share)
    return np.allclose(got, wanted, rtol=relative, atol=absolute * max(scale, 1e-3), equal_nan=True)


def distance(got: np.ndarray, wanted: np.ndarray) -> float:
    """The largest difference; infinite for different shapes."""
    return float(np.max(np.abs(np.nan_to_num(got - wanted)))) if got.shape == wanted.shape else float("inf")
