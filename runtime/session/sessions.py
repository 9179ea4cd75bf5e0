"""Opens sessions of ONNX Runtime: without its warnings, and with options that save memory without costing time."""

import contextlib
import functools
import os
from collections.abc import Mapping
from pathlib import Path

from sparcl_compile.interface.artifact import Artifact
from sparcl_compile.interface.cores import usable_cores
from sparcl_compile.interface.errors import ArtifactError
from sparcl_compile.interface.onnx_runtime import check_training_build, failures, ort
from sparcl_compile.interface.specs import GraphSpec
from sparcl_compile.runtime.session import kernel_library as kernels
from sparcl_compile.runtime.session.tensors import give_back_freed

TRAINING = "ort-training"
"""The target whose graphs hold operators of the training build alone."""
FATAL_ONLY = 4
"""Errors come as exceptions too; printed beside the one line that a command ends with, they would only confuse."""
FIRST_BLOCK = 1 << 25
"""Bytes of the pool's first block. A tensor lies in one block, and the small ones that a pool begins with by itself
leave holes that the gradient of a large weight does not fit into. Pages that nothing was written to take no memory."""
BATCH = "N"
"""The first dimension of inputs that have a row for each sample of a batch."""
LARGEST_REST = 1 << 12
"""Bytes by which a piece of a block may exceed its tensor; a longer one is divided. What is not divided is lost while
the tensor lives: with a mebibyte here, a step of ResNet-18 in half precision took a third more than its tensors."""
SMALL = 1 << 20
"""Bytes up to which a next value of state has memory of its own, beside the pool."""


def check_build(artifact: Artifact) -> None:
    """Raise RuntimeBuildError where an artifact needs the training build, and the installed ONNX Runtime is another.

    The stock package has the same name, and lacks the gradient operators.
    """
    if artifact.manifest.target == TRAINING:
        check_training_build(f"{artifact.folder}: target {TRAINING}", "compile the model again with --target ort")


def check_kernels(artifact: Artifact) -> None:
    """Raise ArtifactError where a graph needs the kernel library, and there is none."""
    if artifact.manifest.kernels and kernels.library() is None:
        raise ArtifactError(
            f"{artifact.folder}: needs sparse kernels, and {kernels.reason()}; or compile the model without compression"
        )


@functools.cache
def _share_arena() -> None:
    """Register one pool of memory for all sessions: the optimizer's takes the memory that the training graph freed."""
    place = ort.OrtMemoryInfo("Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT)
    # A program around us may have registered a pool; then that one is shared.
    with contextlib.suppress(RuntimeError):
        ort.create_and_register_allocator(place, ort.OrtArenaCfg(0, 0, FIRST_BLOCK, LARGEST_REST))


def session_options(threads: int) -> ort.SessionOptions:
    """The options of every session.

    A memory pattern is one block that holds a whole run's values *beside* the pool that the first run filled. A planned
    reuse of buffers keeps a freed one until the next value of its shape comes, and the forward's would wait for the
    backward; the pool hands memory on at once.
    """
    _share_arena()
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = FATAL_ONLY
    options.enable_mem_pattern = False
    options.enable_mem_reuse = False
    options.add_session_config_entry("session.use_env_allocators", "1")
    # Constants would take the pool's blocks, which grow by powers of two.
    options.add_session_config_entry("session.use_device_allocator_for_initializers", "1")
    # Every session has threads of its own. Those of the optimizer would go on spinning for milliseconds, on the cores
    # of the next training step.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    # With more threads than cores, one that waits would spin on the core of one that works.
    if threads > usable_cores():
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def open_session(path: Path, threads: int | None, spec: GraphSpec) -> ort.InferenceSession:
    """Load a graph.

    Args:
        path: its file.
        threads: how many; None for all cores that the process may use.
        spec: the manifest's entry of it.

    Raises:
        ArtifactError: it cannot be loaded, or has other inputs or outputs than the manifest says.
    """
    options = session_options(threads or usable_cores())
    if spec.kernels:
        kernels.register(options)
    try:
        session = ort.InferenceSession(os.fspath(path), options, providers=["CPUExecutionProvider"])
    except failures() as error:
        reason = " ".join(str(error).split())
        raise ArtifactError(f"{path}: ONNX Runtime cannot load it ({reason}); compile the model again") from error
    _check_signature(path, session, spec)
    give_back_freed()
    return session


def check_samples(artifact: Artifact, graph: str, given: Mapping[str, ort.OrtValue]) -> None:
    """Raise ArtifactError where a graph is given a batch of no samples, which no program of the compiler does.

    ONNX Runtime's kernels divide by a batch's size, and a division of integers by 0 ends the process.
    """
    rows = [one.name for one in artifact.manifest.graphs[graph].inputs if one.shape[:1] == (BATCH,)]
    empty = next((name for name in rows if name in given and 0 in given[name].shape()[:1]), None)
    if empty:
        where = f"{artifact.folder}: its program"
        raise ArtifactError(f"{where} gives the graph {graph} no samples (input {empty}); compile the model again")


def _check_signature(path: Path, session: ort.InferenceSession, spec: GraphSpec) -> None:
    found = ({one.name for one in session.get_inputs()}, {one.name for one in session.get_outputs()})
    wanted = ({one.name for one in spec.inputs}, set(spec.outputs))
    lost = sorted((found[0] ^ wanted[0]) | (found[1] ^ wanted[1]))
    if lost:
        raise ArtifactError(f"{path}: is damaged (it differs from the manifest in {lost[0]}); compile the model again")
