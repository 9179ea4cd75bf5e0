"""Refusals that need no arithmetic: what kind of model can be imported at all."""

from collections.abc import Iterable, Iterator, Sequence

import onnx
import onnx_ir as ir

from sparcl_compile.interface.errors import ModelError, UnsupportedOpsError
from sparcl_compile.passes.analysis.heads import above, has_weight
from sparcl_compile.passes.core.edit import lengths_from
from sparcl_compile.passes.core.layers import RECURRENT

OLDEST_OPSET, NEWEST_OPSET = 7, onnx.defs.onnx_opset_version()
"""The newest is the newest that the installed onnx package knows."""
QUANTISED = ("QLinear", "Quantize", "DequantizeLinear", "DynamicQuantize", "ConvInteger", "MatMulInteger")
QUANTISING = ("QLinear", "Quantize", "Integer", "QAttention", "QGemm", "QEmbed", "NBits", "Bnb4")
"""Parts of the names of ONNX Runtime's own operators that compute with quantised weights."""
MENDS = {
    "com.microsoft": (
        "take the model as it was before ONNX Runtime's optimiser wrote it (or let that stop at "
        "GraphOptimizationLevel.ORT_ENABLE_BASIC, which writes standard operators)"
    ),
    "ai.onnx.ml": (
        "of that domain only Scaler, Normalizer and LinearClassifier (with post_transform NONE, SOFTMAX or LOGISTIC) "
        "stand for layers: train an MLPClassifier in its place, and export that"
    ),
}
"""By the beginning of a domain the way to a model without it."""
PREPARING = {
    "ArrayFeatureExtractor",
    "Binarizer",
    "CategoryMapper",
    "DictVectorizer",
    "FeatureVectorizer",
    "Imputer",
    "LabelEncoder",
    "OneHotEncoder",
}
"""Operators of ai.onnx.ml that prepare the values in front of a classifier, which may be one that can be trained."""
LINEAR = {"LinearClassifier", "LinearRegressor"}
"""Operators of ai.onnx.ml that are layers; a model of neighbours has none, and nothing behind what it prepares."""
SHOWN = 5
"""Names in a message."""
RANDOM = {"RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Multinomial", "Bernoulli"}
CONTROL_FLOW = {"Loop", "Scan", "SequenceMap"}
STANDARD = ("", "ai.onnx")
VECTORS = {"Conv": (2,), "BatchNormalization": (1, 2, 3, 4), "InstanceNormalization": (1, 2)}
"""By operator the inputs that have one number a channel."""
CHANNELS = {"Conv": (1, 0)}
"""By operator the input and its axis that count the channels, where that is not axis 1 of the first input."""


def check_opset(model: ir.Model) -> None:
    """Refuse operators of foreign sets, by name, and opsets that are too old or unknown; raises ModelError."""
    foreign = [node for node in model.graph if node.domain not in STANDARD]
    if foreign:
        domains = ", ".join(sorted({node.domain for node in foreign}))
        culprits = ", ".join(f"{node.op_type} ({node.name})" for node in foreign[:SHOWN])
        more = f" and {len(foreign) - SHOWN} more" if len(foreign) > SHOWN else ""
        trains = any(has_weight(node) or node.op_type in LINEAR for node in model.graph)
        raise ModelError(f"operators of the custom domain {domains}: {culprits}{more}; {mend_of(foreign[0], trains)}")
    check_version(model)


def mend_of(node: ir.Node, trains: bool) -> str:
    """The way to a model without this operator of a foreign set; ``trains`` says whether the model has any layer."""
    if any(part in node.op_type for part in QUANTISING):
        return "it computes with quantised weights: use the float32 model"
    layers = any(map(has_weight, above(node.outputs[0])))
    if node.domain.startswith("ai.onnx.ml") and node.op_type in PREPARING and trains and not layers:
        return "it prepares the values: do that to the data, and export the classifier behind it alone"
    mends = [mend for domain, mend in MENDS.items() if node.domain.startswith(domain)]
    return (
        mends[0] if mends else "export with standard ONNX operators only (and without a runtime's graph optimisation)"
    )


def check_version(model: ir.Model) -> None:
    """Refuse opsets before 7 and those that the onnx package does not know; raises ModelError."""
    version = opset_of(model)
    if not OLDEST_OPSET <= version <= NEWEST_OPSET:
        raise ModelError(
            f"opset {version} is outside {OLDEST_OPSET} to {NEWEST_OPSET}: export again with opset_version=18"
        )


def opset_of(model: ir.Model) -> int:
    """The version of the standard operator set that the model imports."""
    imports = model.opset_imports
    version = imports.get("", imports.get("ai.onnx"))
    if version is None:
        raise ModelError("the model imports no version of the standard operator set: export it again")
    return version


def check_nodes(nodes: Iterable[ir.Node], target: str = "ort") -> None:
    """Refuse operators that no later step of a target could handle, all in one message; raises UnsupportedOpsError."""
    found = ((node, refusal(node) or refusal_by(target, node)) for node in nodes)
    problems = [f"{node.op_type} ({node.name}): {reason}" for node, reason in found if reason]
    if problems:
        raise UnsupportedOpsError(f"cannot import {len(problems)} operator(s): {'; '.join(problems)}")


def refusal(node: ir.Node) -> str | None:
    """Why this operator cannot be imported, or None."""
    if node.domain not in STANDARD:
        return f"an operator of the custom domain {node.domain}; export with standard ONNX operators only"
    if node.op_type in CONTROL_FLOW:
        return (
            "control flow; export with fixed control flow (PyTorch: by tracing; Keras: recurrent layers with "
            "unroll=True, or LSTM without masks and recurrent_dropout)"
        )
    if node.op_type.startswith(QUANTISED):
        return "quantised arithmetic; use the float32 model"
    if node.op_type in RANDOM:
        return "a platform's random generator"
    if node.op_type.startswith(("Sequence", "Optional", "SplitToSequence", "ConcatFromSequence")):
        return "sequence or optional values"
    if node.op_type.startswith("String") or node.op_type == "TfIdfVectorizer":
        return "strings"
    return None if known(node.op_type) else "not an operator of ONNX"


def refusal_by(target: str, node: ir.Node) -> str | None:
    """Why a target cannot train this operator, which another can, or None."""
    if target == "ort-training" and node.op_type in RECURRENT:
        return "a recurrent layer, which ONNX Runtime's builder has no gradient for; give --target ort, which has"
    return None


def known(op_type: str) -> bool:
    """Whether the standard operator set defines this operator."""
    return onnx.defs.has(op_type, max_inclusive_version=NEWEST_OPSET)


def single_input(model: ir.Model) -> ir.Value:
    """Find the only input, float32 with a batch axis and otherwise fixed sizes; raises ModelError for any other."""
    graph = model.graph
    inputs = list(graph.inputs)
    if len(inputs) != 1:
        names = ", ".join(str(value.name) for value in inputs) or "none"
        raise ModelError(f"a classifier has one input; this model's inputs: {names}; {one_input(inputs)}")
    value = inputs[0]
    if value.dtype is not ir.DataType.FLOAT:
        kind = value.dtype.name.lower() if value.dtype is not None else "not a tensor"
        raise ModelError(f"input {value.name} is {kind}: export the model with a float32 input")
    if value.shape is None or len(value.shape) < 2:
        raise ModelError(f"input {value.name} has shape {value.shape}: a batch axis and at least one more are needed")
    free = [str(d) for d in list(value.shape)[1:] if not isinstance(d, int)]
    if free:
        raise ModelError(
            f"input {value.name} has free dimensions ({', '.join(free)}) besides the batch: export with a fixed size"
        )
    return value


def one_input(inputs: Sequence[ir.Value]) -> str:
    """The way to a model with one input."""
    lost = [value for value in inputs if value.shape is not None and value.shape.is_static() and value.shape[0] == 1]
    if len(inputs) - len(lost) != 1:
        return (
            "export one that takes the others apart from it (PyTorch: by slices; Keras: by Lambda or Cropping layers)"
        )
    each = " and ".join(str(value.name) for value in lost)
    return (
        f"{each} seem to be constants whose values the exporter lost, as tf2onnx loses those of Keras's Normalization: "
        "export the model without that layer, since a run normalises samples itself, or with Rescaling(1 / std, "
        "-mean / std) in its place"
    )


def check_vectors(graph: ir.Graph) -> None:
    """Refuse biases, scales and statistics of another length than their layer has channels; raises ModelError.

    ONNX Runtime runs some of them (a convolution's bias of length 0) and fails in the backward pass.
    """
    for node in graph:
        channels = channels_of(node) if node.op_type in VECTORS else None
        vectors = [node.inputs[index] for index in VECTORS.get(node.op_type, ()) if index < len(node.inputs)]
        wrong = [v for v in vectors if v is not None and v.shape is not None and list(v.shape) != [channels]]
        if channels is not None and wrong:
            problem = f"{wrong[0].name} has shape {wrong[0].shape}, and the layer has {channels} channels"
            raise ModelError(f"{node.op_type} ({node.name}): {problem}: export the model again")


def channels_of(node: ir.Node) -> int | None:
    """The number of channels that a layer's vectors have an element for; None where it is unknown."""
    place, axis = CHANNELS.get(node.op_type, (0, 1))
    lengths = lengths_from(node.inputs[place], axis)
    return lengths[0] if lengths else None


def check_float32(model: ir.Model) -> None:
    """Refuse weights in another float type than float32, by name; raises ModelError."""
    wrong = [f"{value.name} ({value.dtype.name.lower()})" for value in odd_floats(model) if value.dtype is not None]
    if wrong:
        raise ModelError(
            f"only float32 weights can be trained; found {', '.join(wrong[:5])}"
            f"{' and more' if len(wrong) > 5 else ''}: export the model in float32"
        )


def odd_floats(model: ir.Model) -> Iterator[ir.Value]:
    """Initializers that hold floats of another width, or four-bit and eight-bit floats."""
    for value in model.graph.initializers.values():
        if value.dtype is not None and value.dtype.is_floating_point() and value.dtype is not ir.DataType.FLOAT:
            yield value
