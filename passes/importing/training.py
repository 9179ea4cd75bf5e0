"""Training form: BatchNormalization with running statistics that advance, fresh parameters, Dropout removed."""

import numpy as np
import onnx_ir as ir

from sparcl_compile.interface.names import Role
from sparcl_compile.passes.core import draws
from sparcl_compile.passes.core.edit import Names, array_of, int_attribute, is_read, remove, replace_uses, set_array
from sparcl_compile.passes.core.layers import RECURRENT
from sparcl_compile.passes.core.roles import role_of, values_with_role
from sparcl_compile.passes.core.values import FLOAT

ONES, ZEROS = "ones", "zeros"
FIXED_STARTS = {
    ("BatchNormalization", 1): ONES,
    ("BatchNormalization", 2): ZEROS,
    ("BatchNormalization", 3): ZEROS,
    ("BatchNormalization", 4): ONES,
    ("LayerNormalization", 1): ONES,
    ("LayerNormalization", 2): ZEROS,
    ("InstanceNormalization", 1): ONES,
    ("InstanceNormalization", 2): ZEROS,
    ("GroupNormalization", 1): ONES,
    ("GroupNormalization", 2): ZEROS,
}
EMBEDDING_SCALE = 0.02
PRELU_SLOPE = 0.25
NORMALS = {"Gather", "Concat", "Expand", "Tile"}


def to_inference_form(model: ir.Model) -> None:
    """Let a model that was exported for training answer as in inference, local functions included.

    BatchNormalization takes its running statistics, whose next values nothing reads then, and Dropout goes. In training
    form an answer depends on the other rows of its batch and on chance, so that no import could be compared with it.
    """
    outputs = [out for out in model.graph.outputs if not _is_next_statistic(out)]
    if len(outputs) < len(model.graph.outputs):
        model.graph.outputs.clear()
        model.graph.outputs.extend(outputs)
    for graph in graphs_of(model):
        drop_dropout(graph)
        for node in [node for node in graph if node.op_type == "BatchNormalization"]:
            _normalise_by_statistics(node)


def _normalise_by_statistics(node: ir.Node) -> None:
    node.attributes.pop("training_mode", None)
    if len(node.outputs) > 1 and not any(is_read(value) for value in node.outputs[1:]):
        node.resize_outputs(1)


def graphs_of(model: ir.Model) -> list[ir.Graph]:
    """The graph of a model and those of its local functions, each with its branches."""
    own = [model.graph, *(function.graph for function in model.functions.values())]
    attributes = (one for graph in own for node in graph.all_nodes() for one in node.attributes.values())
    return [*own, *(one.as_graph() for one in attributes if one.type is ir.AttributeType.GRAPH)]


def _is_next_statistic(value: ir.Value) -> bool:
    node = value.producer()
    return node is not None and node.op_type == "BatchNormalization" and value is not node.outputs[0]


def drop_dropout(graph: ir.Graph) -> bool:
    """Remove Dropout: its randomness would come from a platform's generator, and no run could be repeated."""
    dropouts = [node for node in graph if node.op_type == "Dropout" and not any(is_read(v) for v in node.outputs[1:])]
    for node in dropouts:
        replace_uses(graph, node.outputs[0], node.inputs[0])  # type: ignore[arg-type]
        remove(graph, node)
    return bool(dropouts)


def to_training_form(graph: ir.Graph) -> None:
    """BatchNormalization normalises by the batch and returns its next running statistics as graph outputs.

    LayerNormalization gets its two optional outputs, which the gradient builder reads.
    """
    names = Names(graph)
    for node in [node for node in graph if node.op_type == "LayerNormalization" and len(node.outputs) < 3]:
        node.resize_outputs(3)
        for output, suffix in zip(node.outputs[1:], ("mean", "inverse_deviation"), strict=True):
            output.name = output.name or names.fresh(f"{node.name}.{suffix}")
            output.shape, output.type = _statistics_shape(node), FLOAT
    for node in [node for node in graph if node.op_type == "BatchNormalization"]:
        if int_attribute(node, "training_mode", 0) != 1:
            _normalise_by_batch(graph, node)


def _normalise_by_batch(graph: ir.Graph, node: ir.Node) -> None:
    node.attributes["training_mode"] = ir.AttrInt64("training_mode", 1)
    node.resize_outputs(3)
    for statistic, output in zip(node.inputs[3:5], node.outputs[1:], strict=True):
        if statistic is None:
            raise ValueError(f"BatchNormalization {node.name} lacks a statistic")
        output.name = f"{statistic.name}.next"
        output.shape, output.type = statistic.shape, statistic.type
        graph.outputs.append(output)


def _statistics_shape(node: ir.Node) -> ir.Shape | None:
    """Shape of a LayerNormalization's mean: its input's, with 1 for the normalised axes."""
    shape = node.outputs[0].shape
    if shape is None:
        return None
    first = int_attribute(node, "axis", -1) % len(shape)
    return ir.Shape([*shape[:first], *[1] * (len(shape) - first)])


def initialise(model: ir.Model, seed: int) -> None:
    """Draw all parameters and statistics anew, as PyTorch would by the operator that reads them, in graph order."""
    generator = draws.generator(seed)
    done: set[ir.Value] = set()
    fans: dict[ir.Value, int] = {}
    reads = ((node, slot, value) for node in model.graph for slot, value in enumerate(node.inputs))
    for node, slot, value in reads:
        if value is None or role_of(value) is None or value in done:
            continue
        done.add(value)
        data = array_of(value)
        if data is not None:
            set_array(value, fresh(node, slot, data, generator, fans).astype(np.float32))


def fresh(
    node: ir.Node, slot: int, data: np.ndarray, generator: draws.Generator, fans: dict[ir.Value, int]
) -> np.ndarray:
    """New contents for the parameter that a node reads at this input.

    Conv, Gemm and MatMul: U(+-1/sqrt(fan_in)), which is kaiming_uniform(a=sqrt(5)), and the same bound for their
    biases, including an Add after a MatMul. A recurrent layer of H units: U(+-1/sqrt(H)). Norms: 1 and 0. Tables,
    tokens and positions: N(0, 0.02).
    """
    fixed = FIXED_STARTS.get((node.op_type, slot))
    if fixed is not None:
        return np.ones_like(data) if fixed == ONES else np.zeros_like(data)
    if node.op_type in RECURRENT:
        bound = 1.0 / np.sqrt(int_attribute(node, "hidden_size", 1))
        return generator.uniform(-bound, bound, data.shape)
    if node.op_type in ("Conv", "ConvTranspose", "Gemm", "MatMul"):
        fan = fan_in(node, slot, data)
        bound = 1.0 / np.sqrt(fan)
        fans[node.outputs[0]] = fan
        return generator.uniform(-bound, bound, data.shape)
    if node.op_type == "PRelu":
        return np.full_like(data, PRELU_SLOPE)
    before = [fans[v] for v in node.inputs if v is not None and v in fans]
    if node.op_type == "Add" and before:
        return generator.uniform(-1.0 / np.sqrt(before[0]), 1.0 / np.sqrt(before[0]), data.shape)
    if node.op_type in NORMALS or (node.op_type == "Add" and data.ndim > 1 and np.ptp(data) > 0):
        return generator.normal(0.0, EMBEDDING_SCALE, data.shape)
    return np.ones_like(data) if node.op_type in ("Mul", "Div") else np.zeros_like(data)


def fan_in(node: ir.Node, slot: int, data: np.ndarray) -> int:
    """Number of inputs that one output of the layer sums; a bias has that of the weight beside it."""
    if slot == 2:
        weight = array_of(node.inputs[1])
        return fan_in(node, 1, weight) if weight is not None else max(1, data.size)
    if node.op_type in ("Conv", "ConvTranspose"):
        return int(np.prod(data.shape[1:]))
    if node.op_type == "Gemm":
        return int(data.shape[1] if slot == 0 or int_attribute(node, "transB", 0) else data.shape[0])
    return int(data.shape[-1] if slot == 0 or data.ndim == 1 else data.shape[-2])


def parameter_count(model: ir.Model) -> int:
    """Number of initializers that are parameters."""
    return len(list(values_with_role(model, Role.PARAMETER)))
