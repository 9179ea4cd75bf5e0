"""Graphs over named state: the one place that calls ONNX Runtime."""

import contextlib
import functools
import importlib.util
import math
import os
from collections.abc import Mapping

import numpy as np

from sparcl_compile.interface.artifact import Artifact
from sparcl_compile.interface.errors import ArtifactError
from sparcl_compile.interface.manifest import Manifest
from sparcl_compile.interface.names import NEXT, Role
from sparcl_compile.interface.specs import GraphSpec, StateSpec
from sparcl_compile.runtime.session import kernel_library as kernels
from sparcl_compile.runtime.session.backend import FRONT_END, ort
from sparcl_compile.runtime.session.tensors import give_back_freed, own_copy, pages, stored

ERRORS_ONLY = 3
READ_ONLY = (Role.FROZEN,)
"""Roles of state that no graph changes: the artifact's file serves as their memory."""
FIRST_BLOCK = 1 << 25
"""Bytes of the pool's first block. A tensor lies in one block, and the small ones that a pool begins with by itself
leave holes that the gradient of a large weight does not fit into. Pages that nothing was written to take no memory."""
LARGEST_REST = 1 << 20
"""Bytes that a block may have more than the tensor that it is given to; otherwise it is divided."""


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


class Engine:
    """Sessions and state of one artifact.

    A graph input that is the name of a state tensor is fed from the state, any other from the caller; an output
    ``NAME.next`` replaces state ``NAME``, any other is a result (docs/interfaces.md).

    Raises:
        ImportError: the installed ONNX Runtime is not the training build.
        ArtifactError: a graph needs the kernel library, and there is none.
    """

    def __init__(self, artifact: Artifact, threads: int | None = None) -> None:
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
        self.state: dict[str, ort.OrtValue] = {}
        self._arrays: dict[str, np.ndarray] = {}
        self._small: dict[str, ort.OrtValue] = {}

    @property
    def manifest(self) -> Manifest:
        """The manifest of the artifact."""
        return self._artifact.manifest

    def reset(self) -> None:
        """Put every state tensor to its initial value; those of a task's samples wait for ``reset_samples``."""
        self.state, self._arrays = {}, {}
        for name, array in stored(self._artifact.folder / self.manifest.state_file):
            self._hold(name, array if self._specs[name].role in READ_ONLY else own_copy(array))
        for name, spec in self._specs.items():
            if name not in self.state and all(isinstance(length, int) for length in spec.shape):
                self._hold(name, self._initial(spec))

    def reset_samples(self, samples: int) -> None:
        """Start the counters of a task with this many samples."""
        for name, spec in self._specs.items():
            if spec.role is Role.SAMPLE:
                self._hold(name, self._initial(spec, samples))

    def _initial(self, spec: StateSpec, samples: int = 0) -> np.ndarray:
        if spec.init.startswith("copy:"):
            return own_copy(self.array(spec.init.removeprefix("copy:")))
        made = pages([length if isinstance(length, int) else samples for length in spec.shape], spec.dtype)
        if spec.init == "ones":
            made[...] = 1
        return made

    def _hold(self, name: str, array: np.ndarray) -> None:
        self._small.pop(name, None)
        self._arrays[name] = array
        self.state[name] = ort.OrtValue.ortvalue_from_numpy(array)

    def names(self, role: str) -> list[str]:
        """State tensors of a role, in the manifest's order."""
        return [name for name, spec in self._specs.items() if spec.role == role]

    def full_size(self, name: str) -> int:
        """The elements of a state tensor, those that are folded away included."""
        spec = self._specs[name]
        return math.prod(spec.full_shape or (length for length in spec.shape if isinstance(length, int)))

    def array(self, name: str) -> np.ndarray:
        """A state tensor as a view of its memory, which graphs may overwrite."""
        return self._arrays[name]

    def set_array(self, name: str, array: np.ndarray) -> None:
        """Replace a state tensor."""
        self._hold(name, own_copy(array))

    def run(
        self,
        graph: str,
        feeds: Mapping[str, np.ndarray | ort.OrtValue],
        overrides: Mapping[str, ort.OrtValue] | None = None,
        commit: bool = True,
    ) -> dict[str, np.ndarray]:
        """Run a graph.

        Args:
            graph: its name in the manifest.
            feeds: every input that is not state; what the graph does not read is ignored.
            overrides: state to use instead of the current one, by input name.
            commit: whether ``NAME.next`` outputs replace the state.

        Returns:
            The results, by output name.
        """
        session, spec = self._session(graph), self._graphs[graph]
        binding = session.io_binding()
        names = [one.name for one in spec.inputs]
        read = {name: feeds[name] for name in names if name in feeds}
        given = {name: v if isinstance(v, ort.OrtValue) else device_copy(np.asarray(v)) for name, v in read.items()}
        for name in names:
            binding.bind_ortvalue_input(name, self._input(name, given, overrides or {}))
        following = [name.removesuffix(NEXT) for name in spec.outputs if name.endswith(NEXT)] if commit else []
        places = {f"{n}{NEXT}": self.state[n] if n in spec.in_place else self._apart(n) for n in following}
        for output in spec.outputs:
            if place := places.get(output):
                binding.bind_ortvalue_output(output, place)
            else:
                binding.bind_output(output)
        session.run_with_iobinding(binding)
        values = dict(zip(spec.outputs, binding.get_outputs(), strict=True))
        for name in following:
            if name not in spec.in_place:
                self.array(name)[...] = values[f"{name}{NEXT}"].numpy()
        # numpy() is a view of memory that goes with the OrtValue.
        return {name: values[name].numpy().copy() for name in spec.results}

    def _apart(self, name: str) -> ort.OrtValue | None:
        """Memory of its own for a small next value that cannot be written over the current one; None for the pool.

        A run's small results wait in the pool until its end, and would divide the blocks that large values need.
        """
        array = self.array(name)
        if array.nbytes > LARGEST_REST:
            return None
        if name not in self._small:
            self._small[name] = ort.OrtValue.ortvalue_from_numpy(pages(array.shape, array.dtype))
        return self._small[name]

    def _input(
        self, name: str, feeds: Mapping[str, ort.OrtValue], overrides: Mapping[str, ort.OrtValue]
    ) -> ort.OrtValue:
        for source in (feeds, overrides, self.state):
            if name in source:
                return source[name]
        raise KeyError(f"graph input {name} is neither state nor fed")

    def _session(self, graph: str) -> ort.InferenceSession:
        if graph not in self._sessions:
            options = session_options(self._threads)
            if self._graphs[graph].kernels:
                kernels.register(options)
            path = os.fspath(self._artifact.path(graph))
            self._sessions[graph] = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
            give_back_freed()
        return self._sessions[graph]
