"""Graphs over named state: the one place that calls ONNX Runtime."""

import contextlib
import dataclasses
import functools
import importlib.util
import os
from collections.abc import Iterable, Mapping

import numpy as np

from sparcl_compile.interface.artifact import Artifact
from sparcl_compile.interface.errors import ArtifactError, OptionError
from sparcl_compile.interface.manifest import Manifest
from sparcl_compile.interface.names import Role
from sparcl_compile.interface.onnx_runtime import FRONT_END, ort
from sparcl_compile.interface.specs import GraphSpec, StateSpec
from sparcl_compile.runtime.session import kernel_library as kernels
from sparcl_compile.runtime.session.tensors import give_back_freed, own_copy, pages, stored

ERRORS_ONLY = 3
READ_ONLY = (Role.FROZEN,)
"""Roles of state that no graph changes: the artifact's file serves as their memory."""
FIRST_BLOCK = 1 << 25
"""Bytes of the pool's first block. A tensor lies in one block, and the small ones that a pool begins with by itself
leave holes that the gradient of a large weight does not fit into. Pages that nothing was written to take no memory."""
LARGEST_REST = 1 << 20
"""Bytes that a block may have more than the tensor that it is given to; otherwise it is divided."""
FILLED = {"ones": 1.0, "nan": np.nan}
"""First values of state tensors that are the same everywhere and not 0."""
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


@functools.cache
def _share_arena() -> None:
    """One pool of memory for the sessions of this process: what the training graph has freed serves the optimizer's."""
    place = ort.OrtMemoryInfo("Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT)
    # A program around us may have registered a pool; then that one is shared.
    with contextlib.suppress(RuntimeError):
        ort.create_and_register_allocator(place, ort.OrtArenaCfg(0, 0, FIRST_BLOCK, LARGEST_REST))


def session_options(threads: int) -> ort.SessionOptions:
    """How every graph runs: quietly, with as little memory as costs no time.

    A memory pattern is one block that holds a whole run's values *beside* the pool that the first run filled. A planned
    reuse of buffers keeps a freed one until the next value of its shape comes, and the forward's would wait for the
    backward; the pool hands memory on at once.
    """
    _share_arena()
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = ERRORS_ONLY
    options.enable_mem_pattern = False
    options.enable_mem_reuse = False
    options.add_session_config_entry("session.use_env_allocators", "1")
    # Constants would take the pool's blocks, which grow by powers of two.
    options.add_session_config_entry("session.use_device_allocator_for_initializers", "1")
    # Every session has threads of its own. Those of the optimizer would go on spinning for milliseconds, on the cores
    # of the next training step.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    return options


@dataclasses.dataclass
class Sizes:
    """The part of the state's form that the data and the options of a run decide.

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
        ImportError: the installed ONNX Runtime is not the training build.
        ArtifactError: a graph needs the kernel library, and there is none.
    """

    def __init__(self, artifact: Artifact, threads: int | None = None, sizes: Sizes | None = None) -> None:
        if importlib.util.find_spec(FRONT_END) is None:
            # The stock package has the same name, and lacks the gradient operators.
            raise ImportError("this onnxruntime has no training operators", name=FRONT_END)
        if artifact.manifest.kernels and kernels.library() is None:
            raise ArtifactError(
                f"{artifact.folder}: was compiled with --compress, and {kernels.reason()}; "
                "or compile it with --no-compress"
            )
        self._artifact = artifact
        self._graphs: dict[str, GraphSpec] = dict(artifact.manifest.graphs)
        self._sessions: dict[str, ort.InferenceSession] = {}
        self._threads = threads or os.cpu_count() or 1
        self._specs = {spec.name: spec for spec in artifact.manifest.state}
        self.sizes = sizes or Sizes()
        self.state: dict[str, ort.OrtValue] = {}
        self._arrays: dict[str, np.ndarray] = {}
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
            OptionError: the replay buffer does not fit into the memory.
        """
        self.state, self._arrays = {}, {}
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
            raise OptionError(f"--buffer {shape[0]}: does not fit into the memory; give fewer samples") from error
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
        """Return what a checkpoint holds of the state, by name."""
        return {name: self.array(name) for name, spec in self._specs.items() if spec.saved and name in self.state}

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Take back what ``saved`` gave; tensors that no graph changes stay the artifact's."""
        for name, array in arrays.items():
            if self._specs[name].role not in READ_ONLY:
                self.set_array(name, array)

    def array(self, name: str) -> np.ndarray:
        """Return a state tensor as a view of its memory, which graphs may overwrite."""
        return self._arrays[name]

    def set_array(self, name: str, array: np.ndarray) -> None:
        """Replace a state tensor."""
        self._hold(name, own_copy(array))

    def run(
        self,
        graph: str,
        feeds: Mapping[str, np.ndarray | ort.OrtValue],
        instead: Mapping[str, str] | None = None,
    ) -> dict[str, ort.OrtValue]:
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
        for one in spec.inputs:
            binding.bind_ortvalue_input(one.name, self._input(one.name, given, instead or {}))
        places = {output: self._place(name, name in spec.in_place) for output, name in spec.updates.items()}
        for output in spec.outputs:
            if place := places.get(output):
                binding.bind_ortvalue_output(output, place)
            else:
                binding.bind_output(output)
        session.run_with_iobinding(binding)
        values = dict(zip(spec.outputs, binding.get_outputs(), strict=True))
        for output, name in spec.updates.items():
            if name not in spec.in_place:
                self.array(name)[...] = values[output].numpy()
        return {name: values[name] for name in spec.results}

    def arrays(self, graph: str, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Run a graph and return its results as arrays of their own."""
        return {name: value.numpy().copy() for name, value in self.run(graph, feeds).items()}

    def _place(self, name: str, in_place: bool) -> ort.OrtValue | None:
        """Memory for a next value: the current one's, or for a small one memory of its own; None for the pool.

        A run's small results wait in the pool until its end, and would divide the blocks that large values need.
        """
        if in_place:
            return self.state[name]
        array = self.array(name)
        if array.nbytes > LARGEST_REST:
            return None
        if name not in self._small:
            self._small[name] = ort.OrtValue.ortvalue_from_numpy(pages(array.shape, array.dtype))
        return self._small[name]

    def _input(self, name: str, feeds: Mapping[str, ort.OrtValue], instead: Mapping[str, str]) -> ort.OrtValue:
        if name in feeds:
            return feeds[name]
        held = instead.get(name, name)
        if held not in self.state:
            raise KeyError(f"graph input {name} is neither state nor fed")
        return self.state[held]

    def _session(self, graph: str) -> ort.InferenceSession:
        if graph not in self._sessions:
            options = session_options(self._threads)
            if self._graphs[graph].kernels:
                kernels.register(options)
            path = os.fspath(self._artifact.path(graph, self.sizes.sample))
            self._sessions[graph] = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
            give_back_freed()
        return self._sessions[graph]
