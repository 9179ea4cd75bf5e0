"""Compiling a model."""

from collections.abc import Collection, Sequence
from pathlib import Path

from sparcl_compile.api.places import artifact_of
from sparcl_compile.compiling import compiler
from sparcl_compile.interface.artifact import Artifact
from sparcl_compile.settings.options import CompileOptions


def compile_model(
    model: str | Path,
    options: CompileOptions | None = None,
    output: str | Path | None = None,
    watch: Sequence[compiler.Watcher] = (),
    dumps: Path | None = None,
    dumped: Collection[str] | None = None,
    check_passes: bool = False,
) -> Artifact:
    """Compile an ONNX classifier into an artifact folder, which appears whole or not at all.

    Args:
        model: the .onnx file.
        options: what to compile it to; the defaults of ``sparcl-compile`` without it.
        output: the artifact folder, replaced when it is an artifact already; ``MODEL.sparcl`` beside the model
            without it.
        watch: called after each pass with the log of its work and the model.
        dumps: folder for the model after the passes ``dumped``.
        dumped: names of passes; all without it.
        check_passes: check the whole graph after every pass, which takes longer.

    Raises:
        SparclError: the model cannot be compiled, or an option does not fit; nothing was written.
    """
    source = Path(model)
    target = artifact_of(source) if output is None else Path(output)
    return compiler.compile_model(source, target, options or CompileOptions(), watch, dumps, dumped, check_passes)
