"""What sparcl-export says of its result, as JSON-ready facts and as text."""

import json
import math
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.filesize import decimal

from sparcl_compile.cli.report import passes_table, share, table
from sparcl_compile.exporting.export import Exported
from sparcl_compile.interface.codec import plain
from sparcl_compile.interface.manifest import Manifest
from sparcl_compile.interface.names import Role
from sparcl_compile.interface.report import CompileReport, PassTrace
from sparcl_compile.passes.core.contract import IR_VERSION, OPSET

NUMBERS = ("nodes", "parameters", "macs_per_sample")
UNKNOWN = "unknown: the run is of an older version; look at its --data and --normalise"


def facts(
    manifest: Manifest,
    log: CompileReport,
    exported: Exported,
    origin: Mapping[str, Any],
    files: Mapping[Path, bytes],
) -> dict[str, Any]:
    """Everything known of an export.

    Args:
        manifest: the artifact's.
        log: that of its compilation.
        exported: the model.
        origin: where its state came from; ``samples`` says how the run prepared its input.
        files: path to content, the .onnx file first.
    """
    first, last = exported.passes[0], exported.passes[-1]
    source = log.passes[0].ops_before
    given = (sum(source.values()), manifest.model.parameters, int(manifest.flops.forward_dense / 2))
    before = (sum(first.ops_before.values()), _parameters(manifest), first.macs_before)
    after = (exported.nodes, last.parameters, last.macs_after)
    return {
        "file": str(next(iter(files))),
        "files": {str(path): len(content) for path, content in files.items()},
        "opset": OPSET,
        "ir_version": IR_VERSION,
        "given": dict(zip(NUMBERS, given, strict=True)),
        "before": dict(zip(NUMBERS, before, strict=True)),
        "after": dict(zip(NUMBERS, after, strict=True)),
        "removed_channels": exported.removed,
        "check": exported.check,
        "input": {"name": "x", "shape": exported.input_shape, "layout": manifest.model.layout},
        "output": {"name": "logits", "classes": manifest.model.classes},
        **origin,
        "passes": plain(exported.passes),
    }


def _parameters(manifest: Manifest) -> int:
    """The elements of the parameters that the evaluation graph computes with."""
    trained = {spec.name for spec in manifest.state if spec.role is Role.PARAMETER}
    inputs = (one for one in manifest.graphs["eval"].inputs if one.name in trained)
    return sum(math.prod(int(length) for length in one.shape) for one in inputs)


def print_facts(target: Console, found: Mapping[str, Any], passes: Sequence[PassTrace]) -> None:
    """Print the facts as tables, then where the files lie and a command to go on with, which is never folded."""
    target.print(tables(found, passes))
    for path, size in found["files"].items():
        target.print(f"Written to {path} ({decimal(size)})", soft_wrap=True)
    target.print(f"Next: {next_command(found)}", soft_wrap=True)


def tables(found: Mapping[str, Any], passes: Sequence[PassTrace]) -> RenderableType:
    """The log of the passes, the model before and after, and how it was checked.

    Three models are compared: the one given to sparcl-compile, the artifact's evaluation graph, the exported one.
    """
    stages = [found["given"], found["before"], found["after"]]
    rows = [
        (key.replace("_", " "), *(_number(stage[key]) for stage in stages), _share(stages[2][key], stages[0][key]))
        for key in NUMBERS
    ]
    sizes = table("Model", ("", ">given", ">artifact", ">exported", ">exported / given"), rows)
    return Group(passes_table(passes), "", sizes, "", table("Facts", ("", ""), _lines(found)), "")


def _number(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"


def _share(part: int | None, whole: int | None) -> str:
    return "-" if part is None or whole is None else share(part, whole)


def _lines(found: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    check, shape = found["check"], found["input"]["shape"]
    yield "state", _state(found)
    yield "input", f"x {shape}, {found['input']['layout']}"
    yield from _preparation(found)
    yield "output", f"logits of {found['output']['classes']} classes"
    yield "removed channels", ", ".join(f"{space} {n}" for space, n in found["removed_channels"].items()) or "none"
    yield (
        "check",
        f"{check['samples']} random samples, logits differ by at most {check['deviation']:.1e} of the largest "
        f"(allowed {check['tolerance']:g})",
    )


def _state(found: Mapping[str, Any]) -> str:
    if "tasks_learned" not in found:
        return str(found["state"])
    return f"{found['state']}: {found['tasks_learned']} tasks and {found['epochs_of_the_next']} epochs of the next"


def _preparation(found: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """How a sample becomes the model's input, which the model does not do itself."""
    if "samples" not in found:
        return
    samples = found["samples"]
    if samples is None:
        yield "normalisation", UNKNOWN
        return
    mean, std = (json.dumps([round(v, 6) for v in samples["normalise"][key]]) for key in ("mean", "std"))
    yield "normalisation", f"(x / {samples['normalise']['scale']:g} - mean) / std, mean {mean}, std {std}, a channel"
    yield "classes", ", ".join(samples["classes"])
    yield "learned in the order", json.dumps(samples["classes_by_task"])


def next_command(found: Mapping[str, Any]) -> str:
    """A command that works on the exported file."""
    return f"sparcl-inspect {shlex.quote(found['file'])}"
