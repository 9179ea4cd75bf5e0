"""The facts about an export, as JSON-ready data."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sparcl_compile.exporting.export import Exported
from sparcl_compile.interface.answers import answers_note
from sparcl_compile.interface.codec import plain
from sparcl_compile.interface.manifest import Manifest
from sparcl_compile.interface.names import Role
from sparcl_compile.interface.report import CompileReport
from sparcl_compile.passes.core.contract import IR_VERSION, OPSET

NUMBERS = ("nodes", "parameters", "macs_per_sample")


def facts_of(
    manifest: Manifest,
    log: CompileReport,
    exported: Exported,
    origin: Mapping[str, Any],
    files: Mapping[Path, bytes],
) -> dict[str, Any]:
    """Return the facts about an export.

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
        "note": answers_note(manifest.program),
        **origin,
        "passes": plain(exported.passes),
    }


def _parameters(manifest: Manifest) -> int:
    """The elements of the parameters that the evaluation graph computes with."""
    trained = {spec.name for spec in manifest.state if spec.role is Role.PARAMETER}
    inputs = (one for one in manifest.graphs["eval"].inputs if one.name in trained)
    return sum(math.prod(int(length) for length in one.shape) for one in inputs)
