"""model.onnx to an artifact folder: the pipeline, the stand-alone graphs, the manifest, written as one."""

import dataclasses
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import onnx_ir as ir

from sparcl_compile import manifest, pipeline
from sparcl_compile.artifact import is_artifact, write_manifest
from sparcl_compile.errors import OptionError
from sparcl_compile.files import staged_folder
from sparcl_compile.load import load_model
from sparcl_compile.options import CompileOptions
from sparcl_compile.passes.base import Pass
from sparcl_compile.passes.emit import save
from sparcl_compile.pipeline import Compiled
from sparcl_compile.side_graphs import layout_of, side_graphs
from sparcl_compile.trace import PassTrace, compare, dump, dump_name, dump_text, snapshot

Watcher = Callable[[PassTrace, ir.Model], None]
"""Called after each pass with what it did and the model."""


@dataclasses.dataclass(frozen=True)
class Artifact:
    """A written artifact."""

    folder: Path
    manifest: dict[str, Any]


def compile_model(
    source: Path,
    target: Path,
    options: CompileOptions,
    watch: Sequence[Watcher] = (),
    dumps: Path | None = None,
    check_passes: bool = False,
) -> Artifact:
    """Compile an ONNX classifier into the artifact folder ``target``, which appears whole or not at all.

    Args:
        source: the .onnx file.
        target: the artifact folder; replaced when it is an artifact already.
        options: what to compile it to.
        watch: called after each pass.
        dumps: folder for the model after every pass, with its weights.
        check_passes: check the whole graph after every pass, not only at the end of each part of the pipeline.

    Raises:
        SparclError: a user's mistake; nothing was written.
    """
    check_places(source, target, dumps)
    model = load_model(source)
    with staged_folder(target) as staging:
        recorder = Recorder(model, staging / "passes", dumps, watch)
        compiled = pipeline.run(model, options, staging, recorder, check_passes)
        content = _build(source, compiled, options, staging, recorder.traces)
    return Artifact(target, content)


def _build(
    source: Path, compiled: Compiled, options: CompileOptions, folder: Path, traces: Sequence[PassTrace]
) -> dict[str, Any]:
    layers = manifest.model_layers(compiled, options)
    layout = layout_of(manifest.input_shape(compiled))
    for name, graph in side_graphs(compiled, options, layers, layout).items():
        save(graph, folder / name / f"{name}.onnx")
    content = manifest.build(source, compiled, options, layers, traces, folder)
    write_manifest(folder, content)
    return content


def check_places(source: Path, target: Path, dumps: Path | None) -> None:
    """Refuse to replace anything that is not an artifact, or the model itself; raises OptionError."""
    if target.is_symlink() and not target.exists():
        raise OptionError(f"-o {target}: is a link to nowhere; remove it or name another folder")
    if target.exists() and not target.is_dir():
        raise OptionError(f"-o {target}: is a file; name a folder for the artifact")
    inside = [path for path in (source, dumps) if path is not None and path.resolve().is_relative_to(target.resolve())]
    if inside and not source.is_dir():
        raise OptionError(f"-o {target}: would replace {inside[0]}, which lies in it; name another folder")
    if target.exists() and any(target.iterdir()) and not is_artifact(target):
        raise OptionError(f"-o {target}: is a folder that holds something else; name a new one")


class Recorder:
    """The one callback after each pass: times it, compares the graph, dumps it where asked to, tells the watchers."""

    def __init__(
        self, model: ir.Model, texts: Path | None = None, dumps: Path | None = None, watch: Sequence[Watcher] = ()
    ) -> None:
        self.traces: list[PassTrace] = []
        self._texts, self._dumps, self._watch = texts, dumps, watch
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
        if self._dumps is not None:
            dump(model, self._dumps, index, made_by.name)
        for watcher in self._watch:
            watcher(trace, model)
        self._before, self._started = after, time.perf_counter()

    def _dump_text(self, model: ir.Model, folder: Path, index: int, pass_name: str, modified: bool) -> Path:
        if modified or self._last_text is None:
            return dump_text(model, folder, index, pass_name)
        return Path(shutil.copyfile(self._last_text, folder / dump_name(index, pass_name, ".txt")))
