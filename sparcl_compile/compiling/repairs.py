"""What exporters leave in a file that onnx refuses or that no pass takes: mended before it is read as a graph."""

import onnx

from sparcl_compile.passes.importing.original import RUNTIME, UNNAMED


def without_maps(graph: onnx.GraphProto) -> None:
    """Replace the outputs of ZipMap, sequences of maps, by the arrays they are made from (scikit-learn's converter)."""
    zipped = {name: node for node in graph.node if node.op_type == "ZipMap" for name in node.output}
    if not zipped:
        return
    arrays = {output.name for output in graph.output}
    for output in [output for output in graph.output if output.name in zipped]:
        array = zipped[output.name].input[0]
        graph.output.remove(output)
        if array not in arrays:
            kind = graph.output.add(name=array).type.tensor_type
            kind.elem_type = onnx.TensorProto.FLOAT
            kind.shape.dim.extend([onnx.TensorShapeProto.Dimension(), onnx.TensorShapeProto.Dimension()])
    for node in [node for node in graph.node if node.op_type == "ZipMap"]:
        graph.node.remove(node)
    for info in [info for info in graph.value_info if info.name in zipped]:
        graph.value_info.remove(info)


def name_domains(proto: onnx.ModelProto) -> None:
    """Put the operators that ONNX Runtime's optimiser leaves in the standard domain, which lacks them, into its own."""
    versions = {one.domain: one.version for one in proto.opset_import}
    version = versions.get("", versions.get("ai.onnx", 1))
    strays = [node for node in proto.graph.node if node.domain == "" and node.op_type in UNNAMED]
    strays = [node for node in strays if not onnx.defs.has(node.op_type, max_inclusive_version=version)]
    for node in strays:
        node.domain = RUNTIME
    if strays and RUNTIME not in versions:
        proto.opset_import.add(domain=RUNTIME, version=1)


def drop_untyped(graph: onnx.GraphProto) -> None:
    """Remove statements about values that state no type, which the onnx checker refuses only later."""
    for info in [info for info in graph.value_info if not info.type.WhichOneof("value")]:
        graph.value_info.remove(info)
