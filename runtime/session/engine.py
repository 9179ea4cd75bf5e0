"""Graphs over named state: the one place that calls ONNX Runtime."""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import TypeAlias

import numpy as np

from sparcl_compile.interface.artifact import Artifact
from sparcl_compile.interface.errors import FieldError
from sparcl_compile.interface.manifest import Manifest
from sparcl_compile.interface.names import Role
from sparcl_compile.interface.onnx_runtime import ort
from sparcl_compile.interface.specs import GraphSpec, StateSpec
from sparcl_compile.interface.values import UnknownValue, Values
from sparcl_compile.runtime.session.sessions import (
    SMALL,
    check_build,
    check_kernels,
    check_samples,
    open_session,
)
from sparcl_compile.runtime.session.tensors import own_copy, pages, stored

READ_ONLY = (Role.FROZEN,)
"""Roles of state that no graph changes: the artifact's file serves as their memory."""
FILLED = {"ones": 1.0, "nan": np.nan}
"""First values of state tensors that are the same everywhere and not 0."""
Feeds: TypeAlias = "Mapping[str, np.ndarray | ort.OrtValue]"
SUMS = {"uint8": "int64", "float32": "float64"}
"""The type of sums over raw samples by the samples' own."""


def device_copy(array: np.ndarray) -> ort.OrtValue:
    """A copy of an array in memory that ORT allocated.

    ORT's own allocation is aligned, a NumPy array's need not be, and vectorised reductions may sum in another order
    from another alignment: a resumed run would then differ in the last bit.
    """
    value = ort.OrtValue.ortvalue_from_shape_and_type(array.shape, array.dtype, "cpu")
    value.update_inplace(np.asarray(array, order="C"))
    return value


@dataclasses.dataclass
class Sizes:
    """The sizes and types of the state that depend on the data and the options of a run.

    Attributes:
        sample: type of the raw samples, ``uint8`` or ``float32``.
        dimensions: lengths by the names that the manifest gives them; ``samples`` changes from task to task.
    """

    sample: str = "float32"
    dimensions: dict[str, int] = dataclasses.field(default_factory=dict)

    def dtype(self, name: str) -> str:
        """Return the type of elements that the manifest's name stands for."""
        return {"sample": self.sample, "sum": SUMS[self.sample]}.get(name, name)


class Engine:
    """Sessions and state of one artifact.

    A graph input that is the name of a state tensor is fed from the state, any other from the caller; an output that
    the manifest calls the next value of a state tensor replaces it (docs/interfaces.md).

    Args:
        artifact: a checked artifact.
        threads: of ONNX Runtime; None for all cores.
        sizes: lengths and types that the artifact leaves open.

    Raises:
        RuntimeBuildError: the artifact needs the training build, and the installed ONNX Runtime is another.
        ArtifactError: a graph needs the kernel library, and there is none.
    """

    def __init__(self, artifact: Artifact, threads: int | None = None, sizes: Sizes | None = None) -> None:
        check_build(artifact)
        check_kernels(artifact)
        self._artifact = artifact
        self._graphs: dict[str, GraphSpec] = dict(artifact.manifest.graphs)
        self._sessions: dict[str, ort.InferenceSession] = {}
        self._threads = threads
        self._specs = {spec.name: spec for spec in artifact.manifest.state}
        self.sizes = sizes or Sizes()
        self.state: dict[str, ort.OrtValue] = {}
        self._arrays: Values[np.ndarray] = Values()
        self._small: dict[str, ort.OrtValue] = {}

    @property
    def manifest(self) -> Manifest:
        """The manifest of the artifact."""
        return self._artifact.manifest

    def spec(self, graph: str) -> GraphSpec:
        """Return the manifest's entry of a graph."""
        return self._graphs[graph]

    def reset_all(self) -> None:
        """Put every state tensor whose size is known to its initial value.

        Raises:
            FieldError: the replay buffer does not fit into the memory.
        """
        self.state, self._arrays = {}, Values()
        for name, array in stored(self._artifact.folder / self.manifest.state_file):
            self._hold(name, array if self._specs[name].role in READ_ONLY else own_copy(array))
        known = (name for name, spec in self._specs.items() if self._is_known(spec))
        self.reset(name for name in known if name not in self.state)

    def reset(self, names: Iterable[str]) -> None:
        """Put some state tensors to their initial values, in the sizes that hold now."""
        for name in names:
            self._hold(name, self._initial(self._specs[name]))

    def _is_known(self, spec: StateSpec) -> bool:
        return all(isinstance(length, int) or length in self.sizes.dimensions for length in spec.shape)

    def _initial(self, spec: StateSpec) -> np.ndarray:
        if spec.init.startswith("copy:"):
            return own_copy(self.array(spec.init.removeprefix("copy:")))
        shape = [length if isinstance(length, int) else self.sizes.dimensions[length] for length in spec.shape]
        try:
            made = pages(shape, self.sizes.dtype(spec.dtype))
        except (MemoryError, ValueError, OSError, OverflowError) as error:
            if spec.role is not Role.BUFFER:
                raise
            raise FieldError("buffer_size", shape[0], "does not fit into the memory", "give fewer samples") from error
        if spec.init in FILLED:
            made[...] = FILLED[spec.init]
        return made

    def _hold(self, name: str, array: np.ndarray) -> None:
        self._small.pop(name, None)
        self._arrays[name] = array
        self.state[name] = ort.OrtValue.ortvalue_from_numpy(array)

    def names(self, role: str) -> list[str]:
        """Return the state tensors of a role, in the manifest's order."""
        return [name for name, spec in self._specs.items() if spec.role == role]

    def saved(self) -> dict[str, np.ndarray]:
        """Return the state tensors that a checkpoint holds, by name."""
        return {name: self.array(name) for name, spec in self._specs.items() if spec.saved and name in self.state}

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Restore the tensors that ``saved`` returned; tensors that no graph changes stay the artifact's."""
        for name, array in arrays.items():
            if self._specs[name].role not in READ_ONLY:
                self.set_array(name, array)

    def array(self, name: str) -> np.ndarray:
        """Return a state tensor as a view of its memory, which graphs may overwrite."""
        return self._arrays[name]

    def set_array(self, name: str, array: np.ndarray) -> None:
        """Replace a state tensor."""
        self._hold(name, own_copy(array))

    def run(self, graph: str, feeds: Feeds, instead: Mapping[str, str] | None = None) -> dict[str, ort.OrtValue]:
        """Run a graph.

        Args:
            graph: its name in the manifest.
            feeds: every input that is not state.
            instead: by input the state tensor that feeds it in place of the one of its name.

        Returns:
            The results, by output name.
        """
        session, spec = self._session(graph), self._graphs[graph]
        binding = session.io_binding()
        given = {name: v if isinstance(v, ort.OrtValue) else device_copy(np.asarray(v)) for name, v in feeds.items()}
        check_samples(self._artifact, graph, given)
        for one in spec.inputs:
            binding.bind_ortvalue_input(one.name, self._input(one.name, given, instead or {}))
        held = {output: (instead or {}).get(name, name) for output, name in spec.updates.items()}
        places = {output: self._place(held[output], name in spec.in_place) for output, name in spec.updates.items()}
        for output in spec.outputs:
            if place := places.get(output):
                binding.bind_ortvalue_output(output, place)
            else:
                binding.bind_output(output)
        session.run_with_iobinding(binding)
        values = dict(zip(spec.outputs, binding.get_outputs(), strict=True))
        for output, name in spec.updates.items():
            if name not in spec.in_place:
                self.array(held[output])[...] = values[output].numpy()
        return {name: values[name] for name in spec.results}

    def _place(self, name: str, in_place: bool) -> ort.OrtValue | None:
        """Memory for a next value: the current one's, or for a small one memory of its own; None for the pool.

        A run's small results wait in the pool until its end, and would divide the blocks that large values need.
        """
        if in_place:
            return self.state[name]
        array = self.array(name)
        if array.nbytes > SMALL:
            return None
        if name not in self._small:
            self._small[name] = ort.OrtValue.ortvalue_from_numpy(pages(array.shape, array.dtype))
        return self._small[name]

    def _input(self, name: str, feeds: Mapping[str, ort.OrtValue], instead: Mapping[str, str]) -> ort.OrtValue:
        if name in feeds:
            return feeds[name]
        held = instead.get(name, name)
        if held not in self.state:
            raise UnknownValue(f"graph input {name} is neither state nor fed")
        return self.state[held]

    def _session(self, graph: str) -> ort.InferenceSession:
        if graph not in self._sessions:
            path = self._artifact.path(graph, self.sizes.sample)
            self._sessions[graph] = open_session(path, self._threads, self._graphs[graph])
        return self._sessions[graph]
