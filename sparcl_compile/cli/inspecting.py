"""The output of sparcl-inspect: passes of an artifact, the graph after each, differences, plain models."""

import collections
import difflib
import os
import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import onnx_ir as ir
from rich.console import Group, RenderableType
from rich.text import Text

from sparcl_compile.cli.notes import notes
from sparcl_compile.cli.report import (
    change,
    channels_table,
    classes_line,
    flops_table,
    kernels_table,
    memory_table,
    mflops,
    note_lines,
    sparsity_table,
    table,
)
from sparcl_compile.compiling.carried import check_roles, drop_foreign_metadata
from sparcl_compile.compiling.load import (
    check_attributes,
    check_connected,
    constants_of,
    read,
    sorted_model,
)
from sparcl_compile.compiling.repairs import without_maps
from sparcl_compile.compiling.sparse import make_dense
from sparcl_compile.costs.flops import layer_costs, total_macs
from sparcl_compile.interface.artifact import read_manifest, read_report
from sparcl_compile.interface.codec import plain
from sparcl_compile.interface.errors import ArtifactError, ModelError, OptionError
from sparcl_compile.interface.files import readable
from sparcl_compile.interface.manifest import Manifest
from sparcl_compile.interface.report import CompileReport, PassTrace
from sparcl_compile.interface.specs import GraphSpec
from sparcl_compile.pages.artifact import Compiled
from sparcl_compile.passes.core.marks import PASS_KEY
from sparcl_compile.passes.core.phases import phase_named
from sparcl_compile.passes.registry import PHASES

PASSES_FOLDER = "passes"
LAYERS = 5
"""Number of layers with the most memory that the summary names."""


def summary(manifest: Manifest, log: CompileReport) -> RenderableType:
    """The passes with their node and operator counts, the graphs, the weights and the training FLOPs."""
    model, weights = manifest.model, manifest.weights
    shape = "x".join(str(length) for length in model.input_shape)
    head = Text(f"{model.name}: input {shape}, {model.classes} classes, {len(log.passes)} passes")
    return Group(
        head,
        Text(classes_line(model)),
        "",
        table("Passes", ("pass", ">nodes", "", ">after", "changed", "operators after"), map(_row, log.passes)),
        "",
        table("Graphs", ("graph", "files", ">inputs", ">outputs"), map(_graph_row, manifest.graphs.items())),
        "",
        sparsity_table(weights, manifest.dense),
        "",
        *((channels_table(manifest.channels), "") if manifest.channels else ()),
        *((kernels_table(weights, log.kernels), "") if log.kernels else ()),
        flops_table(manifest.flops),
        "",
        memory_table(log.memory, LAYERS),
        "",
        *note_lines(manifest, log),
        "One pass: --after PASS. What a pass did: --diff PASS PASS. A phase stands for its last pass.",
    )


def _row(trace: PassTrace) -> tuple[object, ...]:
    before, after = trace.ops_before, trace.ops_after
    return trace.name, sum(before.values()), "->", sum(after.values()), change(trace), op_counts(after, 6)


def _graph_row(item: tuple[str, GraphSpec]) -> tuple[object, ...]:
    name, graph = item
    files = graph.file if isinstance(graph.file, str) else ", ".join(graph.file.values())
    return name, files, len(graph.inputs), len(graph.outputs)


def op_counts(ops: Mapping[str, int], most: int | None = None) -> str:
    """Operators with their counts, the most frequent first: ``20 Conv, 17 Relu``; dots for those beyond ``most``."""
    ordered = sorted(ops.items(), key=lambda item: (-item[1], item[0]))
    text = ", ".join(f"{count} {op}" for op, count in ordered[:most])
    return f"{text}, ..." if most is not None and len(ordered) > most else text


def pass_names(log: CompileReport) -> list[str]:
    """The passes of an artifact in their order."""
    return [trace.name for trace in log.passes]


def known_pass(name: str, known: Sequence[str], option: str) -> str:
    """Return a pass's name if it is known; for a phase, the name of its last pass.

    Raises:
        OptionError: it is not; the message has the option, the nearest name and all names.
    """
    if name in known:
        return name
    last = {str(PHASES[one]): one for one in known if one in PHASES}
    if name in last:
        return last[name]
    if phase_named(name):
        raise OptionError(f"{option} {name}: no pass of this phase runs here; give one of {', '.join(known)}")
    near = difflib.get_close_matches(name, [*known, *last], 1, 0.5)
    meant = f"did you mean {near[0]}? " if near else ""
    raise OptionError(f"{option} {name}: no such pass; {meant}give one of {', '.join(known)}")


MANIFEST_FACTS = ("format", "version", "model", "options", "graphs", "weights", "dense", "channels", "flops")


def facts(manifest: Manifest, log: CompileReport) -> dict[str, Any]:
    """The content of :func:`summary` as JSON data (``sparcl-inspect --json``)."""
    return {**{key: plain(getattr(manifest, key)) for key in MANIFEST_FACTS}, **plain(log)}


def text_after(folder: Path, log: CompileReport, pass_name: str, option: str = "--after") -> str:
    """The graph after a pass or a phase in ONNX text, without its weights; a message names ``option``.

    Raises:
        OptionError: the artifact has no such pass or phase; the message lists them.
        ArtifactError: the text is missing or unreadable.
    """
    path = _text_file(folder, known_pass(pass_name, pass_names(log), option))
    try:
        with readable(path, ArtifactError, plain=True):
            return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ArtifactError(f"{path}: the graph's text cannot be read; compile the model again") from error


def compiled(folder: Path) -> Compiled:
    """An artifact with all that its page shows; raises ArtifactError."""
    log = read_report(folder)
    texts = [(_text_file(folder, name), text_after(folder, log, name)) for name in pass_names(log)]
    manifest = read_manifest(folder)
    return Compiled(folder.name or str(folder), manifest, log, texts, notes(manifest, log))


def _text_file(folder: Path, pass_name: str) -> Path:
    pattern = re.compile(rf"\d+_{re.escape(pass_name)}\.txt")
    place = folder / PASSES_FOLDER
    # A link could lead out of the artifact.
    found = sorted(path for path in place.glob("*.txt") if pattern.fullmatch(path.name) and not path.is_symlink())
    if not found:
        raise ArtifactError(f"{place}: the graph after {pass_name} is missing; compile the model again")
    return found[-1]


def diff(folder: Path, log: CompileReport, a: str, b: str) -> str:
    """The changes of the graph from after ``a`` to after ``b``: a unified diff, then the operator counts.

    Args:
        folder: of the artifact.
        log: the log of its compilation.
        a: a pass, or a phase for its last pass.
        b: another one.

    Raises:
        OptionError: the artifact has no such pass or phase; the message lists them.
        ArtifactError: a text is missing or unreadable.
    """
    a, b = (known_pass(name, pass_names(log), "--diff") for name in (a, b))
    old, new = (text_after(folder, log, name, "--diff").splitlines() for name in (a, b))
    lines = list(difflib.unified_diff(old, new, f"after {a}", f"after {b}", n=1, lineterm=""))
    before, after = (collections.Counter(_trace(log, name).ops_after) for name in (a, b))
    return "\n".join((*(lines or ["no difference"]), "", *_op_changes(a, b, before, after))) + "\n"


def _op_changes(a: str, b: str, before: collections.Counter[str], after: collections.Counter[str]) -> list[str]:
    changed = [op for op in sorted(before | after) if before[op] != after[op]]
    head = f"nodes: {before.total()} after {a}, {after.total()} after {b}"
    return [head, *(f"  {op}: {before[op]} -> {after[op]} ({after[op] - before[op]:+d})" for op in changed)]


def _trace(log: CompileReport, name: str) -> PassTrace:
    return next(trace for trace in reversed(log.passes) if trace.name == name)


def model_facts(path: Path) -> dict[str, Any]:
    """A model that is not compiled, as JSON data: inputs, outputs, opsets, operators, parameters, MACs per sample.

    ``macs`` is None where they cannot be counted, and ``macs_unknown`` then says why.

    Raises:
        ModelError: the file is missing or is no ONNX model.
    """
    model = _load(path)
    graph = model.graph
    ops = collections.Counter(node.op_type for node in graph.all_nodes())
    constants = [node.outputs[0] for node in constants_of(model, path)]
    tensors = [ir.convenience.get_const_tensor(value) for value in (*graph.initializers.values(), *constants)]
    macs, unknown = _countable_macs(model)
    return {
        "file": str(path),
        "ir_version": model.ir_version,
        "opsets": {domain or "ai.onnx": version for domain, version in model.opset_imports.items()},
        "inputs": [_describe(v) for v in graph.inputs if not v.is_initializer()],
        "outputs": [_describe(v) for v in graph.outputs],
        "ops": dict(ops.most_common()),
        "parameters": sum(t.size for t in tensors if t is not None and t.dtype.is_floating_point()),
        "macs": macs,
        "macs_unknown": unknown,
        "passes": sorted({node.metadata_props.get(PASS_KEY, "") for node in graph} - {""}),
    }


def _countable_macs(model: ir.Model) -> tuple[int | None, str]:
    try:
        return total_macs(layer_costs(model)), ""
    except ModelError as error:
        return None, str(error)


def _load(path: Path) -> ir.Model:
    if not path.exists():
        raise ModelError(f"{path}: no such file; give an ONNX model or an artifact folder")
    proto = read(path)
    make_dense(proto.graph, path)
    without_maps(proto.graph)
    model = sorted_model(proto, path)
    check_attributes(model, path)
    drop_foreign_metadata(model)
    check_roles(model, path)
    if not len(model.graph):
        raise ModelError(f"{path}: not an ONNX file, or a model without nodes; export the model again")
    check_connected(model, path)
    return model


def _describe(value: ir.Value) -> dict[str, Any]:
    shape = [d if isinstance(d, int) else str(d) for d in value.shape] if value.shape is not None else None
    return {"name": value.name, "shape": shape, "dtype": value.dtype.name if value.dtype is not None else None}


def model_summary(path: Path) -> RenderableType:
    """The text of :func:`model_facts` with the command that compiles the model; raises ModelError."""
    found = model_facts(path)
    rows = [
        *(("input", _signature(value)) for value in found["inputs"]),
        *(("output", _signature(value)) for value in found["outputs"]),
        ("opset", ", ".join(f"{domain} {version}" for domain, version in found["opsets"].items())),
        ("IR version", found["ir_version"]),
        ("parameters", f"{found['parameters']:,}"),
        ("MFLOPs/sample", found["macs_unknown"] or mflops(found["macs"])),
        ("nodes", sum(found["ops"].values())),
        ("operators", op_counts(found["ops"])),
    ]
    end = f"Not compiled yet. Compile it: sparcl-compile {shlex.quote(str(path))} --sparsity 0.8"
    if found["passes"]:
        end = "A graph between passes. To compile, give the model that it was made from."
    return Group(table(str(path), ("", ""), rows), "", Text(end, overflow="ignore", no_wrap=True))


def _signature(value: Mapping[str, Any]) -> str:
    shape: Sequence[object] | None = value["shape"]
    sizes = "of unknown shape" if shape is None else f"[{', '.join(str(d) for d in shape)}]"
    return f"{value['name']} {value['dtype']} {sizes}"


def write_text(text: str, file: IO[str] | None = None) -> None:
    """Write to a file, by default the standard output; a reader that closes its pipe early (``| head``) is no error."""
    target = sys.stdout if file is None else file
    try:
        target.write(text)
        target.flush()
    except BrokenPipeError:
        # The interpreter flushes the standard output once more when it ends, and would fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), target.fileno())
