"""The numerical check: the imported model says what the original said."""

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort

from sparcl_compile.errors import ModelError
from sparcl_compile.passes.importing import draws

RELATIVE, ABSOLUTE = 1e-3, 1e-4
ROWS = 3
RUNTIME_IR = 10


def softmax(logits: np.ndarray) -> np.ndarray:
    """Softmax over the classes of [N, C]."""
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=1, keepdims=True))


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """LogSoftmax over the classes of [N, C]."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)))


ACTIVATIONS = {"Softmax": softmax, "LogSoftmax": log_softmax, None: lambda logits: logits}


def random_input(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """Standard normal float32 of this shape."""
    return draws.generator(seed).normal(size=shape).astype(np.float32)


def session(model: onnx.ModelProto) -> ort.InferenceSession:
    """A quiet session without graph optimisation, so that every operator is really run."""
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def run(model: onnx.ModelProto, x: np.ndarray, output: str) -> np.ndarray:
    """One output of a model for one input; raises ModelError with the runtime's reason."""
    try:
        running = session(model)
        return np.asarray(running.run([output], {running.get_inputs()[0].name: x})[0])
    except RuntimeError as error:
        raise refused(error) from error
    except ort_failures() as error:
        raise refused(error) from error


def refused(error: BaseException) -> ModelError:
    """The runtime's complaint as a model error."""
    reason = " ".join(str(error).split())[:300]
    return ModelError(f"ONNX Runtime cannot run the model: {reason}")


def ort_failures() -> tuple[type[BaseException], ...]:
    """The exception classes of the runtime; they share no base class of their own."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    return tuple(value for value in vars(state).values() if isinstance(value, type) and issubclass(value, Exception))


def runnable(model: ir.Model) -> onnx.ModelProto:
    """A copy that the installed runtime accepts: its IR version capped."""
    proto = ir.to_proto(model)
    proto.ir_version = min(proto.ir_version, RUNTIME_IR)
    return proto


def reference(original: onnx.ModelProto, x: np.ndarray, batch: int, output: str) -> np.ndarray:
    """The original's answers [rows, C] for ``x``, fed in batches of the size it was exported for."""
    rows = [run(original, x[i : i + batch], output).reshape(batch, -1) for i in range(0, len(x), batch)]
    return np.concatenate(rows)


def check_same(
    original: onnx.ModelProto, imported: ir.Model, *, batch: int, output: str, activation: str | None
) -> None:
    """Raise ModelError unless both models agree.

    Args:
        original: The model as it was given.
        imported: The model in inference form with input ``x`` [N, ...] and first output ``logits`` [N, C].
        batch: The batch size the original was exported for.
        output: The original's output to compare with.
        activation: The operator that the import removed from the head.
    """
    (value,) = imported.graph.inputs
    rest = tuple(int(d) for d in list(value.shape or ())[1:])  # type: ignore[arg-type]
    x = random_input((ROWS * batch, *rest))
    wanted = reference(original, x, batch, output)
    got = ACTIVATIONS[activation](run(runnable(imported), x, "logits"))
    if got.shape != wanted.shape:
        raise ModelError(f"the import changed the answer's shape from {wanted.shape} to {got.shape}")
    scale = float(np.nanmax(np.abs(wanted), initial=0.0))
    if not np.allclose(got, wanted, rtol=RELATIVE, atol=ABSOLUTE * max(scale, 1e-3), equal_nan=True):
        difference = float(np.nanmax(np.abs(got - wanted)))
        raise ModelError(
            f"the imported model answers a batch of {ROWS} differently from the original row by row (by up to "
            f"{difference:.2g}): the model mixes the rows of a batch; export it with a symbolic batch size"
        )
