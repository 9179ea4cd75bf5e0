"""Graphs over named state: the one place that calls ONNX Runtime."""

import contextlib
import functools
import importlib.util
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from sparcl_compile.interface.artifact import Artifact
from sparcl_compile.interface.errors import ArtifactError
from sparcl_compile.runtime.session import kernel_library as kernels
from sparcl_compile.runtime.session.backend import FRONT_END, ort
from sparcl_compile.runtime.session.tensors import give_back_freed, own_copy, pages, stored

ERRORS_ONLY = 3
NEXT = ".next"
READ_ONLY = ("frozen",)
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


@dataclasses.dataclass
class Sizes:
    """What the data and the options of a run decide of the state's form.

    Attributes:
        sample: dtype of raw samples.
        dimensions: lengths by the names that the manifest gives them; ``samples`` changes from task to task.
    """

    sample: np.typing.DTypeLike
    dimensions: dict[str, int]


class Engine:
    """Sessions and state of one artifact.

    A graph input that is the name of a state tensor is fed from the state, any other from the caller; an output
    ``NAME.next`` replaces state ``NAME``, any other is a result (docs/interfaces.md).

    Raises:
        ImportError: the installed ONNX Runtime is not the training build.
    """

    def __init__(self, artifact: Artifact, threads: int | None = None, sizes: Sizes | None = None) -> None:
        if importlib.util.find_spec(FRONT_END) is None:
            # The stock package has the same name, and lacks the gradient operators.
            raise ImportError("this onnxruntime has no training operators", name=FRONT_END)
        self._artifact = artifact
        self._sizes = sizes or Sizes(np.float32, {})
        self._sessions: dict[str, ort.InferenceSession] = {}
        self._threads = threads or os.cpu_count() or 1
        self._specs = {spec.name: spec for spec in artifact.manifest.state}
        self.state: dict[str, ort.OrtValue] = {}
        self._arrays: dict[str, np.ndarray] = {}
        self._small: dict[str, ort.OrtValue] = {}

    def reset_all(self) -> None:
        """Put every state tensor whose size is known to its initial value."""
        self.state, self._arrays = {}, {}
        for name, array in stored(self._artifact.folder / self._artifact.manifest.state_file):
            self._hold(name, array if self._specs[name].role in READ_ONLY else own_copy(array))
        self.reset(name for name, spec in self._specs.items() if name not in self.state and self._known(spec))

    def reset(self, names: Iterable[str]) -> None:
        """Put some state tensors to their initial values, in the sizes that hold now."""
        for name in names:
            self._hold(name, self._initial(self._specs[name]))

    def _known(self, spec: StateSpec) -> bool:
        return all(isinstance(d, int) or d in self._sizes.dimensions for d in spec.shape)

    def _initial(self, spec: StateSpec) -> np.ndarray:
        if spec.init.startswith("copy:"):
            return own_copy(self.array(spec.init.removeprefix("copy:")))
        shape = [d if isinstance(d, int) else self._sizes.dimensions[d] for d in spec.shape]
        made = pages(shape, self._sizes.sample if spec.dtype == "sample" else spec.dtype)
        if spec.init in FILLED:
            made[...] = FILLED[spec.init]
        return made

    def _hold(self, name: str, array: np.ndarray) -> None:
        self._small.pop(name, None)
        self._arrays[name] = array
        self.state[name] = ort.OrtValue.ortvalue_from_numpy(array)

    def names(self, role: str) -> list[str]:
        """State tensors of a role, in the manifest's order."""
        return [name for name, spec in self._specs.items() if spec.role == role]

    def saved(self) -> dict[str, np.ndarray]:
        """What a checkpoint holds of the state, by name."""
        return {name: self.array(name) for name, spec in self._specs.items() if spec.saved and name in self.state}

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Take back what ``saved`` gave; what no graph changes is the artifact's."""
        for name, array in arrays.items():
            if self._specs[name].role not in READ_ONLY:
                self.set_array(name, array)

    def array(self, name: str) -> np.ndarray:
        """A state tensor as a view of its memory, which graphs may overwrite."""
        return self._arrays[name]

    def set_array(self, name: str, array: np.ndarray) -> None:
        """Replace a state tensor."""
        self._hold(name, own_copy(array))

    def spec(self, graph: str) -> GraphSpec:
        """What the manifest says of a graph."""
        return self._artifact.manifest.graphs[graph]

    def run(
        self, graph: str, feeds: Mapping[str, np.ndarray | ort.OrtValue], into: Mapping[str, str] | None = None
    ) -> dict[str, ort.OrtValue]:
        """Run a graph.

        Args:
            graph: its name in the manifest.
            feeds: every input that is not state; what the graph does not read is ignored.
            into: names of the state tensors that some inputs are fed from, in place of their own.

        Returns:
            The results, by output name.
        """
        session, spec = self._session(graph), self.spec(graph)
        binding = session.io_binding()
        for one in spec.inputs:
            binding.bind_ortvalue_input(one.name, self._input(one.name, feeds, into or {}))
        following = [output for output in spec.outputs if output.state]
        in_place = set(spec.in_place)
        places = {output.name: self._place(output.state, in_place) for output in following}
        for output in spec.outputs:
            if place := places.get(output.name):
                binding.bind_ortvalue_output(output.name, place)
            else:
                binding.bind_output(output.name)
        session.run_with_iobinding(binding)
        values = dict(zip([output.name for output in spec.outputs], binding.get_outputs(), strict=True))
        for output in following:
            if output.state not in in_place:
                self.array(output.state)[...] = values[output.name].numpy()
        return {output.name: values[output.name] for output in spec.outputs if output.result}
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
            if self._artifact.manifest.get("sparse_kernels") and not kernels.register(options):
                raise ArtifactError(
                    f"{self._artifact.folder}: was compiled with --compress, and {kernels.reason()}; "
                    "or compile it with --no-compress"
                )
            path = os.fspath(self._artifact.path(graph))
            self._sessions[graph] = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
            give_back_freed()
        return self._sessions[graph]
