"""model.onnx to an artifact folder: the pipeline, the stand-alone graphs, the manifest, written as one."""

import dataclasses
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import onnx_ir as ir

from sparcl_compile import manifest, pipeline
from sparcl_compile.artifact import MANIFEST
from sparcl_compile.errors import OptionError
from sparcl_compile.files import sha256, staged_folder
from sparcl_compile.load import load_model
from sparcl_compile.options import CompileOptions
from sparcl_compile.passes.base import Pass
from sparcl_compile.passes.emit import save
from sparcl_compile.side_graphs import layout_of, side_graphs
from sparcl_compile.trace import PassTrace, compare, dump, dump_text, snapshot

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
) -> Artifact:
    """Compile an ONNX classifier into the artifact folder ``target``, which appears whole or not at all.

    Args:
        source: the .onnx file.
        target: the artifact folder; replaced when it is an artifact already.
        options: what to compile it to.
        watch: called after each pass.
        dumps: folder for the model after every pass, with its weights.

    Raises:
        SparclError: a user's mistake; nothing was written.
    """
    check_target(target)
    model = load_model(source)
    with staged_folder(target) as staging:
        recorder = _Recorder(model, staging / "passes", dumps, watch)
        compiled = pipeline.run(model, options, staging, recorder)
        layers = manifest.model_layers(compiled, options)
        layout = layout_of(manifest.input_shape(compiled))
        for name, graph in side_graphs(compiled, options, layers, layout).items():
            save(graph, staging / name / f"{name}.onnx")
        content = manifest.build(source, compiled, options, recorder.traces, staging)
        content["files"] = {
            str(path.relative_to(staging)): sha256(path) for path in sorted(staging.rglob("*")) if path.is_file()
        }
        (staging / MANIFEST).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return Artifact(target, content)


def check_target(target: Path) -> None:
    """Refuse to replace anything that is not an artifact; raises OptionError."""
    if not target.exists():
        return
    if not target.is_dir():
        raise OptionError(f"-o {target}: is a file; name a folder for the artifact")
    if any(target.iterdir()) and not (target / MANIFEST).is_file():
        raise OptionError(f"-o {target}: is a folder that holds something else; name a new one")


class _Recorder:
    """The one callback after each pass: times it, compares the graph, dumps it and tells the watchers."""

    def __init__(self, model: ir.Model, texts: Path, dumps: Path | None, watch: Sequence[Watcher]) -> None:
        self.traces: list[PassTrace] = []
        self._texts, self._dumps, self._watch = texts, dumps, watch
        self._before = snapshot(model)
        self._started = time.perf_counter()

    def __call__(self, made_by: Pass, model: ir.Model, modified: bool) -> None:
        seconds = time.perf_counter() - self._started
        after = snapshot(model)
        trace = compare(made_by.name, seconds, modified, self._before, after)
        index = len(self.traces) + 1
        self.traces.append(trace)
        dump_text(model, self._texts, index, made_by.name)
        if self._dumps is not None:
            dump(model, self._dumps, index, made_by.name)
        for watcher in self._watch:
            watcher(trace, model)
        self._before, self._started = after, time.perf_counter()
