"""Times a layer's training step on this machine, dense and sparse, and keeps the measurements in a cache."""

import dataclasses
import hashlib
import json
import math
import platform
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import onnx_ir as ir
from platformdirs import user_cache_path

from sparcl_compile.costs.layer_graphs import LayerGraph, dense_step, sparse_step
from sparcl_compile.interface.errors import WriteError
from sparcl_compile.interface.files import sha256, write_text
from sparcl_compile.interface.onnx_runtime import ort
from sparcl_compile.interface.report import Times
from sparcl_compile.passes.lowering.choice.work import Work
from sparcl_compile.runtime.session import kernel_library as kernels
from sparcl_compile.runtime.session.engine import device_copy
from sparcl_compile.runtime.session.sessions import session_options

SECONDS = 0.5
"""Seconds for which a layer is timed."""

LEAST = 5
"""Least number of runs of each form."""

PROCESSOR_LINES = ("model name", "CPU part")
"""Keys of the processor's name in /proc/cpuinfo: on x86, on arm64."""

Run = Callable[[], object]


class KernelTimes:
    """Times of layers, called as ``times(work, batch)``: from the cache, else measured and added to it.

    The cache is one file a machine in the user's cache folder (``XDG_CACHE_HOME`` and its likes): it belongs to the
    kernel library, the processor and the version of ONNX Runtime. A damaged file is ignored.
    """

    def __init__(self, library: Path, folder: Path | None = None) -> None:
        """Read the cache that belongs to a library of kernels; ``folder`` is for another place than the user's."""
        self._machine = {"library": sha256(library), "processor": processor(), "onnxruntime": ort.__version__}
        digest = hashlib.sha256(json.dumps(self._machine).encode()).hexdigest()
        self.path = (folder or user_cache_path("sparcl-compile")) / f"kernel_times_{digest[:16]}.json"
        self._known = _read(self.path)

    def __call__(self, work: Work, batch: int) -> Times:
        """The seconds of both forms of a layer's training step."""
        key = json.dumps([batch, dataclasses.asdict(work)])
        if key not in self._known:
            self._known[key] = measure(work, batch)
            self._write()
        return self._known[key]

    def _write(self) -> None:
        times = {key: dataclasses.asdict(value) for key, value in self._known.items()}
        try:
            write_text(self.path, json.dumps({"machine": self._machine, "times": times}, indent=1) + "\n")
        except WriteError:
            # Only the next compilation is slower without it.
            return


def _read(path: Path) -> dict[str, Times]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))["times"]
        return {str(key): _times(**value) for key, value in found.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _times(dense: float, sparse: float) -> Times:
    if not (0 < dense < math.inf and 0 < sparse < math.inf):
        raise ValueError(f"times of {dense} and {sparse} seconds")
    return Times(dense, sparse)


def processor() -> str:
    """The processor's name, as far as the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith(PROCESSOR_LINES)]
    return " ".join([platform.machine(), *(named[:1] or [platform.processor()])])


def measure(work: Work, batch: int, seconds: float = SECONDS) -> Times:
    """Time both forms of a layer in turns on one thread.

    The clock is the processor's, which does not count other processes, and the fastest of all runs counts: on a shared
    machine other processes slow the rest down.
    """
    return Times(*fastest([session_run(make(work, batch)) for make in (dense_step, sparse_step)], seconds))


def session_run(graph: LayerGraph) -> Run:
    """A session of one thread with its inputs and outputs bound, so that no copy is timed."""
    options = session_options(threads=1)
    kernels.register(options)
    content = ir.to_proto(graph.model).SerializeToString()
    session = ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    binding = session.io_binding()
    for name, array in graph.feeds.items():
        binding.bind_ortvalue_input(name, device_copy(array))
    for output in session.get_outputs():
        binding.bind_output(output.name)
    return lambda: session.run_with_iobinding(binding)


def fastest(runs: Sequence[Run], seconds: float) -> list[float]:
    """The least seconds of each, in turns after one run of each, until the time is over."""
    for run in runs:
        run()
    best = [math.inf] * len(runs)
    end, rounds = time.perf_counter() + seconds, 0
    while time.perf_counter() < end or rounds < LEAST:
        rounds += 1
        for number, run in enumerate(runs):
            started = time.thread_time()
            run()
            best[number] = min(best[number], time.thread_time() - started)
    return best
