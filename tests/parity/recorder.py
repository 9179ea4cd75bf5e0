"""Records the tapes of a run: the whole of it, and each graph by itself."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sparcl_compile.interface.artifact import Artifact
from sparcl_compile.interface.onnx_runtime import ort
from sparcl_compile.interface.program import Source
from sparcl_compile.interface.specs import InputSpec
from sparcl_compile.runtime.driver.interpreter import Interpreter
from sparcl_compile.runtime.session.engine import Engine, Feeds
from tests.conformance.trace import DIGESTS
from tests.conformance.trace import RESULTS as WATCHED
from tests.parity import tape

KEPT: Mapping[str, tuple[str, ...]] = {**WATCHED, "summary": ("class_il",)}
"""The graphs of whose calls something is written to the results, and their results that are."""
LEARNING, GRAPHS = "learning", "graphs"
"""Folders of the two tapes: state goes from call to call; every graph once, from inputs that are all given."""


class Recorder:
    """Takes the place of an engine's methods that change state, and writes down every call.

    What the driver makes of results (slices of an order, rows of the data, counters) is on the tape as it was; a result
    that a later graph is fed with as it is, and all state, comes from the graphs themselves when the tape is replayed.
    """

    def __init__(self, engine: Engine, interpreter: Interpreter, artifact: Artifact, folder: Path) -> None:
        self._engine, self._interpreter, self._artifact = engine, interpreter, artifact
        self._learning, self._graphs = tape.Writer(folder / LEARNING), tape.Writer(folder / GRAPHS)
        self._found = tape.Writer(folder / LEARNING, tape.RESULTS)
        self._expected: dict[str, tape.Array] = {}
        self._folder = folder / GRAPHS
        self._names: dict[int, str] = {}
        self._kept: list[object] = []
        self._seen: set[str] = set()
        self._calls = 0
        self._joined: dict[int, list[str]] = {}
        self._tensor: Callable[[Source, InputSpec], tape.Array | ort.OrtValue] = interpreter._tensor
        self._run: Callable[..., dict[str, ort.OrtValue]] = engine.run
        self._reset: Callable[[Iterable[str]], None] = engine.reset

    def __enter__(self) -> "Recorder":
        for name in self._engine.state:
            self._state(name)
        self._engine.run = self.run  # type: ignore[method-assign]
        self._engine.reset = self.reset  # type: ignore[method-assign]
        self._interpreter._tensor = self.tensor  # type: ignore[method-assign]
        return self

    def __exit__(self, *_: object) -> None:
        for writer in (self._learning, self._found, self._graphs):
            writer.__exit__(None, None, None)
        tape.write_results(self._folder, self._expected)

    def reset(self, names: Iterable[str]) -> None:
        """Reset state, and write its first values down."""
        given = list(names)
        self._reset(given)
        for name in given:
            self._state(name)

    def tensor(self, source: Source, spec: InputSpec) -> tape.Array | ort.OrtValue:
        """The value of a source; remember which results a vector is made of, as that of the losses of a step is."""
        made = self._tensor(source, spec)
        parts = [self._interpreter.values.get(part) if isinstance(part, str) else None for part in _parts(source)]
        names = [self._names.get(id(part), "") for part in parts]
        if parts and all(names):
            self._joined[id(made)] = names
            self._kept.append(made)
        return made

    def run(self, graph: str, feeds: Feeds, instead: Mapping[str, str] | None = None) -> dict[str, ort.OrtValue]:
        """Run a graph, and write the call down."""
        self._calls += 1
        first = graph not in self._seen
        if first:
            self._declare(graph)
            self._alone(graph, feeds, instead or {})
        self._call(graph, feeds, instead or {})
        found = self._run(graph, feeds, instead)
        if first:
            self._expect(graph, found, instead or {})
        for name, value in found.items():
            self._names[id(value)] = self._result(name)
        self._kept += found.values()  # an identity is one only as long as its object lives
        self._watch(graph, found)
        return found

    def _declare(self, graph: str) -> None:
        self._seen.add(graph)
        samples, spec = self._engine.sizes.sample, self._engine.spec(graph)
        path = self._artifact.path(graph, samples)
        for writer in (self._learning, self._graphs):
            writer.line("graph", graph, path, int(spec.kernels), spec.profile(samples))

    def _alone(self, graph: str, feeds: Feeds, instead: Mapping[str, str]) -> None:
        """Write the graph's call with all its inputs given."""
        spec = self._engine.spec(graph)
        values = {one.name: self._array(one.name, feeds, instead) for one in spec.inputs}
        for name, array in values.items():
            self._graphs.value(f"{graph}:{name}", array)
        inputs = {name: f"{graph}:{name}" for name in values}
        outputs = [*spec.results, *spec.updates]
        write_call(self._graphs, graph, inputs, {name: f"{graph}/{name}" for name in outputs})
        for name in outputs:
            self._graphs.line("write", f"{graph}/{name}")

    def _array(self, name: str, feeds: Feeds, instead: Mapping[str, str]) -> tape.Array:
        value: Any = feeds.get(name)
        if value is None:
            return self._engine.array(instead.get(name, name))
        return np.asarray(value.numpy() if isinstance(value, ort.OrtValue) else value)

    def _expect(self, graph: str, found: Mapping[str, ort.OrtValue], instead: Mapping[str, str]) -> None:
        spec = self._engine.spec(graph)
        arrays = {name: value.numpy() for name, value in found.items()}
        arrays |= {output: self._engine.array(instead.get(name, name)) for output, name in spec.updates.items()}
        self._expected |= {f"{graph}/{name}": np.array(array) for name, array in arrays.items()}

    def _call(self, graph: str, feeds: Feeds, instead: Mapping[str, str]) -> None:
        """Write the call with its state, and with results of earlier calls, by name."""
        spec = self._engine.spec(graph)
        inputs = {one.name: self._source(one.name, feeds, instead) for one in spec.inputs}
        outputs = {name: self._result(name) for name in spec.results}
        outputs |= {output: f"state:{instead.get(name, name)}" for output, name in spec.updates.items()}
        write_call(self._learning, graph, inputs, outputs)

    def _source(self, name: str, feeds: Feeds, instead: Mapping[str, str]) -> str:
        value: Any = feeds.get(name)
        if value is None:
            return f"state:{instead.get(name, name)}"
        if id(value) in self._names:
            return self._names[id(value)]
        given = f"given:{name}"
        if id(value) in self._joined:
            self._learning.line("join", given, *self._joined[id(value)])
            return given
        self._learning.value(given, self._array(name, feeds, instead))
        return given

    def _result(self, name: str) -> str:
        return f"{self._calls}/{name}"

    def _state(self, name: str) -> None:
        self._learning.value(f"state:{name}", self._engine.array(name))

    def _watch(self, graph: str, found: Mapping[str, ort.OrtValue]) -> None:
        """Have written what a trace has of this call (tests/conformance/README.md)."""
        kept = {self._result(name): np.asarray(found[name].numpy()) for name in KEPT.get(graph, ())}
        kept |= {f"state:{name}": self._engine.array(name) for name in watched_state(self._engine, graph)}
        for name, array in kept.items():
            self._learning.line("write", name)
            self._found.value(name, array)
        if graph == "check_loss":
            self._learning.line("mark")


def _parts(source: Source) -> tuple[object, ...]:
    return source if isinstance(source, tuple) else ()


def write_call(writer: tape.Writer, graph: str, inputs: Mapping[str, str], outputs: Mapping[str, str]) -> None:
    """Write a call; inputs and outputs with the names of their values."""
    writer.line("run", graph)
    for name, value in inputs.items():
        writer.line("in", name, value)
    for name, value in outputs.items():
        writer.line("out", name, value)
    writer.line("end")


def watched_state(engine: Engine, graph: str) -> list[str]:
    """The state tensors that a trace has behind a graph."""
    found = [[name] if name in engine.state else engine.names(name) for name in DIGESTS.get(graph, ())]
    return [name for names in found for name in names]
