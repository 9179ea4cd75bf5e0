"""model.onnx to an artifact folder: the pipeline, the stand-alone graphs, the manifest, written as one."""

import os
import shutil
import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

import onnx_ir as ir

from sparcl_compile.compiling import describe, pipeline
from sparcl_compile.compiling import kernel_library as kernels
from sparcl_compile.compiling.load import load_model
from sparcl_compile.compiling.ort_format import convert_folder
from sparcl_compile.compiling.side_graphs import side_graphs
from sparcl_compile.compiling.trace import compare, dump, dump_name, dump_text, snapshot
from sparcl_compile.interface import locks
from sparcl_compile.interface.artifact import Artifact, is_artifact, write
from sparcl_compile.interface.errors import FieldError, WriteError
from sparcl_compile.interface.files import readable, staged_folder
from sparcl_compile.interface.manifest import Manifest
from sparcl_compile.interface.report import PassTrace
from sparcl_compile.passes.core.contract import Pass
from sparcl_compile.passes.emitting.emit import save
from sparcl_compile.plan.compiled import Compiled
from sparcl_compile.settings.options import CompileOptions

Watcher = Callable[[PassTrace, ir.Model], None]
"""Called after each pass with what it did and the model."""


def compile_model(
    source: Path,
    target: Path,
    options: CompileOptions,
    watch: Sequence[Watcher] = (),
    dumps: Path | None = None,
    dumped: Collection[str] | None = None,
    check_passes: bool = False,
) -> Artifact:
    """Compile an ONNX classifier into the artifact folder ``target``, which appears whole or not at all.

    Args:
        source: the .onnx file.
        target: the artifact folder; replaced when it is an artifact already.
        options: what to compile it to.
        watch: called after each pass.
        dumps: folder for the model after every pass, with its weights.
        dumped: the passes behind which it is written there; None for all.
        check_passes: check the whole graph after every pass, not only at the end of each part of the pipeline.

    Raises:
        SparclError: a user's mistake; nothing was written.
    """
    check_places(source, target, dumps)
    model = load_model(source)
    alone = locks.writing(locks.beside(target), target, lambda holders: _in_use(target, holders))
    with alone, staged_folder(target) as staging:
        recorder = Recorder(model, staging / "passes", dumps, watch, dumped)
        compiled = pipeline.run(model, options, staging, recorder, check_passes)
        manifest = _build(source, compiled, staging, recorder.traces)
    return Artifact(target, manifest)


def _in_use(target: Path, holders: str) -> FieldError:
    mend = "wait for its end, or name another folder"
    return FieldError("output", target, f"is in use by {holders}", mend)


def _build(source: Path, compiled: Compiled, folder: Path, traces: Sequence[PassTrace]) -> Manifest:
    facts, options = describe.facts_of(compiled), compiled.options
    for name, graph in side_graphs(compiled, options, facts).items():
        variants = graph if isinstance(graph, dict) else {name: graph}
        for file, variant in variants.items():
            save(variant, folder / name / f"{file}.onnx")
    if options.ort_format:
        convert_folder(folder, source.name, kernels.installed() if options.compress else None)
    manifest = describe.build(source, compiled, options, facts, folder)
    return write(folder, manifest, describe.report(compiled, options, facts, traces))


def check_places(source: Path, target: Path, dumps: Path | None) -> None:
    """Refuse to replace anything that is not an artifact, or the model itself; raises FieldError."""
    if os.path.islink(target) and not os.path.exists(target):
        raise FieldError("output", target, "is a link to nowhere", "remove it or name another folder")
    if os.path.exists(target) and not os.path.isdir(target):
        raise FieldError("output", target, "is a file", "name a folder for the artifact")
    given, whole = (path for path in (source, dumps) if path is not None), os.path.realpath(target)
    inside = [path for path in given if Path(os.path.realpath(path)).is_relative_to(whole)]
    if inside and not os.path.isdir(source):
        raise FieldError("output", target, f"would replace {inside[0]}, which lies in it", "name another folder")
    if not os.path.isdir(target):
        return
    with readable(target, WriteError):
        empty = not any(target.iterdir())
    if not empty and not is_artifact(target):
        raise FieldError("output", target, "is a folder that holds something else", "name a new one")


class Recorder:
    """The one callback after each pass: times it, compares the graph, dumps it where asked to, tells the watchers."""

    def __init__(
        self,
        model: ir.Model,
        texts: Path | None = None,
        dumps: Path | None = None,
        watch: Sequence[Watcher] = (),
        dumped: Collection[str] | None = None,
    ) -> None:
        self.traces: list[PassTrace] = []
        self._texts, self._dumps, self._watch, self._dumped = texts, dumps, watch, dumped
        self._before = snapshot(model)
        self._last_text: Path | None = None
        self._started = time.perf_counter()

    def __call__(self, made_by: Pass, model: ir.Model, modified: bool) -> None:
        """Record what the pass ``made_by`` did."""
        seconds = time.perf_counter() - self._started
        after = snapshot(model) if modified else self._before
        trace = compare(made_by.name, seconds, modified, self._before, after)
        index = len(self.traces) + 1
        self.traces.append(trace)
        if self._texts is not None:
            self._last_text = self._dump_text(model, self._texts, index, made_by.name, modified)
        if self._dumps is not None and (self._dumped is None or made_by.name in self._dumped):
            dump(model, self._dumps, index, made_by.name)
        for watcher in self._watch:
            watcher(trace, model)
        self._before, self._started = after, time.perf_counter()

    def _dump_text(self, model: ir.Model, folder: Path, index: int, pass_name: str, modified: bool) -> Path:
        if modified or self._last_text is None:
            return dump_text(model, folder, index, pass_name)
        return Path(shutil.copyfile(self._last_text, folder / dump_name(index, pass_name, ".txt")))
