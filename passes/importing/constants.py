"""What a file says of its constants: which of them are no parameters."""

import contextlib
import dataclasses
import re
from collections.abc import Iterable, Iterator, Mapping, Set

import numpy as np
import onnx_ir as ir

from sparcl_compile.passes.core.contract import CONSTANTS, PRODUCER
from sparcl_compile.passes.core.edit import array_of, is_float_constant

FIXED = "sparcl.fixed"
"""Key in a value's ``meta``: made of nothing that could be a parameter."""
IN_NODE = "sparcl.in_node"
"""Key in a value's ``meta``: it stood in a Constant node of a file that stores weights elsewhere."""
SOURCE = "sparcl.source"
"""Key in a value's ``meta``: the name in the model of the one parameter that it is made of."""
SAYS = "sparcl.says"
"""Key in a graph's ``meta``: what its file says (:class:`Said`)."""
KIND = "pkg.torch.export.graph_signature.InputSpec.kind"
SIGNATURE = "pkg.torch.export.ExportedProgram.graph_signature"
FOLDED_FROM = "pkg.onnxscript.optimizer.folded_from"
PARAMETER = "PARAMETER"
TARGETS = re.compile(r": ([A-Z_]+) target='([^']*)'")
QUOTED = re.compile(r"'([^']*)'")
"""Metadata of PyTorch's exporter with ``dynamo=True``: of a value, of a graph, and of a value that was folded."""
COUNTED = re.compile(r"val_\d+")
"""Names that it gives to what is no parameter, buffer or result of the program: literals, and what it folded."""
PYTORCH, TF2ONNX = "pytorch", "tf2onnx"
"""Names of exporters."""
PURE = {"Conv": (1, 2), "ConvTranspose": (1, 2), "Gemm": (1, 2), "LayerNormalization": (1, 2)}
"""By operator the inputs that hardly ever are anything but parameters."""


@dataclasses.dataclass(frozen=True)
class Said:
    """What a file says.

    Attributes:
        fixed: names of initializers that are no parameters.
        nodes: whether what stands in nodes (Constant, ConstantOfShape) is no parameter either.
        all: whether what is neither is one.
        shared: whether a weight that several nodes read is one: nothing merged several that happened to be equal.
        stored: whether Constant nodes are where weights are stored.
        folded: by name of an initializer that the exporter folded from one parameter, the name of that.
        unclear: names of those of ``fixed`` that the exporter folded from values of which it names no parameter.
        given: names of all initializers that the file has; None where they are not known.
    """

    fixed: frozenset[str] = frozenset()
    nodes: bool = False
    all: bool = False
    shared: bool = False
    stored: bool = False
    folded: Mapping[str, str] = dataclasses.field(default_factory=dict)
    unclear: frozenset[str] = frozenset()
    given: frozenset[str] | None = None


def said(model: ir.Model) -> Said:
    """Read what the file of a model says, before anything rewrites it.

    1. PyTorch's exporter with ``dynamo=True`` writes beside each initializer whether it was a parameter, a buffer or a
       constant of the program, and of those it folded, from which ones. What has neither is its own where it is a
       single number or has a name that it counts: the half of a GELU, the exponent of a power, the scale of an
       attention; else its optimiser made it of a layer's weight. What it folded from values without a parameter among
       them is a constant (a table of positions that is computed), and said to be.
    2. PyTorch's older exporter stores parameters and persistent buffers alike, but what is neither stands in Constant
       nodes. That holds unless layers find their weights there, too, as those of a frozen script do.
    3. Other files say nothing: some exporters write all weights as Constant nodes, which is seen where layers read such
       ones, or where no initializer could be a weight.
    4. A weight that several nodes read is one where the newer exporter lists no parameter that the file lacks, in a
       file of tf2onnx, since Keras draws every layer's weights, and in an export of this project, where what trained
       apart is apart. PyTorch's older exporter also merges equal ones, which a freshly copied encoder has in every
       layer.
    5. An export of this project lists its constants: all else was learned, and learns again.
    6. No file says anything of the numbers that came into it when one of ONNX Runtime's operators was said in others
       (:func:`brought`), or that the import adds: these are constants.
    """
    given = frozenset(str(name) for name in model.graph.initializers)
    found, values = _said(model), model.graph.initializers.values()
    made = {str(value.name) for value in values if value.meta.get(FIXED, False)}
    return dataclasses.replace(found, fixed=found.fixed | made, given=given)


def _said(model: ir.Model) -> Said:
    listed = model.metadata_props.get(CONSTANTS) if model.producer_name == PRODUCER else None
    if listed is not None:
        return Said(frozenset(listed.splitlines()), nodes=True, all=True, shared=True)
    values = model.graph.initializers.values()
    kinds = {str(value.name): value.metadata_props.get(KIND) for value in values}
    if any(kinds.values()):
        targets = {name: kind for kind, name in TARGETS.findall(model.graph.metadata_props.get(SIGNATURE, ""))}
        other = {name for name, kind in kinds.items() if kind not in (None, PARAMETER)}
        own = {str(value.name) for value in values if _is_exporters(value)}
        folded = {str(value.name) for value in values if _is_folded_constant(value, targets)}
        unclear = {str(value.name) for value in values if _is_unclear(value, targets)}
        parameters = {name for name, kind in targets.items() if kind == PARAMETER}
        merged = parameters - {*kinds, *(name for value in values for name in _sources(value))}
        return Said(
            frozenset(other | own | folded | unclear),
            nodes=True,
            all=True,
            shared=bool(targets) and not merged,
            folded=_single_sources(values, parameters),
            unclear=frozenset(unclear - folded),
        )
    stored = _weights_in_nodes(model.graph) or not any(map(_could_be_weight, values))
    nodes = model.producer_name == PYTORCH and not stored
    return Said(nodes=nodes, shared=model.producer_name in (TF2ONNX, PRODUCER), stored=stored)


def _single_sources(values: Iterable[ir.Value], parameters: Set[str]) -> dict[str, str]:
    """The one parameter that an initializer was folded from, of those with just one."""
    found = {str(value.name): [name for name in _sources(value) if name in parameters] for value in values}
    return {name: sources[0] for name, sources in found.items() if len(sources) == 1}


def _is_exporters(value: ir.Value) -> bool:
    """Whether nothing is said of an initializer that is a single number, or has a name that the exporter counts."""
    if value.metadata_props.get(KIND) or _sources(value):
        return False
    single = value.const_value is not None and value.const_value.size == 1
    return single or COUNTED.fullmatch(str(value.name)) is not None


def _is_folded_constant(value: ir.Value, targets: Mapping[str, str]) -> bool:
    """Whether the exporter folded an initializer from constants, or made it for a normalisation without parameters."""
    kinds = [targets.get(name) for name in _sources(value)]
    if not kinds or PARAMETER in kinds:
        return False
    data = array_of(value)
    return None not in kinds or (data is not None and data.size > 0 and np.ptp(data) == 0)


def _is_unclear(value: ir.Value, targets: Mapping[str, str]) -> bool:
    """Whether an initializer was folded from values of which some are unknown and none is a parameter."""
    kinds = [targets.get(name) for name in _sources(value)]
    return bool(targets) and None in kinds and PARAMETER not in kinds


def _sources(value: ir.Value) -> list[str]:
    """The names of the values that an initializer was folded from; none where that is unknown."""
    return QUOTED.findall(value.metadata_props.get(FOLDED_FROM, ""))


def _weights_in_nodes(graph: ir.Graph) -> bool:
    """Whether layers read Constant nodes; the ones and zeros of a normalisation without parameters do not count."""
    read = (value for node in graph for slot in PURE.get(node.op_type, ()) for value in node.inputs[slot : slot + 1])
    tensors = (ir.convenience.get_const_tensor(value) for value in read if value is not None and value.producer())
    return any(tensor is not None and np.ptp(tensor.numpy()) > 0 for tensor in tensors)


def _could_be_weight(value: ir.Value) -> bool:
    """Whether an initializer has the type and the axes of a layer's weight, and not those of a mean or a scale."""
    lengths = list(value.shape or ())
    column = len(lengths) == 2 and any(usage.node.op_type in ("Gemm", "MatMul", "Transpose") for usage in value.uses())
    axes = column or sum(length != 1 for length in lengths) > 1
    return axes and value.dtype is not None and value.dtype.is_floating_point()


def mark(graph: ir.Graph, what: Said) -> None:
    """Mark the initializers of a graph that its file calls constants, and those that an import has added."""
    graph.meta[SAYS] = what
    for value in graph.initializers.values():
        added = what.given is not None and value.name not in what.given
        value.meta[FIXED] = added or value.name in what.fixed
        value.meta[SOURCE] = what.folded.get(str(value.name))


@contextlib.contextmanager
def brought(graph: ir.Graph) -> Iterator[None]:
    """Mark the initializers that are made inside, before a file's own are read, as constants."""
    before = set(graph.initializers)
    yield
    for name in graph.initializers.keys() - before:
        graph.initializers[name].meta[FIXED] = True


def is_fixed(graph: ir.Graph, node: ir.Node) -> bool:
    """Whether a node that depends on no input of the graph computes from what its file calls constants alone."""
    floats = [value for value in node.inputs if is_float_constant(value)]
    return said_of(graph).nodes and all(value is not None and value.meta.get(FIXED, False) for value in floats)


def may_be_weight(graph: ir.Graph, node: ir.Node, data: np.ndarray) -> bool:
    """Whether a node holds numbers that could be a weight, as an initializer's could, and its file does not deny it."""
    several = data.dtype.kind == "f" and data.size > 1 and bool(np.ptp(data) > 0)
    return several and node.op_type == "Constant" and not said_of(graph).nodes


def said_of(graph: ir.Graph) -> Said:
    """What :func:`mark` noted of a graph; nothing where it did not."""
    found = graph.meta.get(SAYS)
    return found if isinstance(found, Said) else Said()
