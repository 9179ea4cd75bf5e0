"""The time of each operator in a training step, and the limit of the machine.

``python -m benchmarks.profile_step [NAME]`` runs a contestant of benchmarks.step under ONNX Runtime's profiler and
prints for each operator its milliseconds a step, the floating-point operations of its products and the bytes of its
inputs and outputs. Beside them stands the limit: the longer one of the operations at the speed of a large matrix
product and the bytes at the speed of a large copy, both of PyTorch on this machine with as many threads; and the share
of the limit that the operator reaches, 1 where it is as fast as that.

The profile is in wall-clock time. On a machine that others use most steps are disturbed somewhere, and few nodes are
disturbed in every step: a node's time is the least of all steps, an operator's the sum of its nodes'.
"""

import collections
import dataclasses
import itertools
import json
import math
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import click
import onnx_ir as ir
from rich.console import Console
from rich.table import Table

from benchmarks.alone import BATCH
from benchmarks.contestants import CONTESTANTS, Setting, artifact_folder, compiled
from sparcl_compile.costs.flops import layer_costs
from sparcl_compile.interface.onnx_runtime import ort
from sparcl_compile.passes.analysis.liveness.executor import VIEWS
from sparcl_compile.passes.analysis.liveness.sizes import at_batch, bytes_of

COMPILED = tuple(setting.name for setting in CONTESTANTS if setting.make is compiled)
SIDE = 2048
"""Rows and columns of the matrices whose product is timed."""
COPIED = 1 << 28
"""Bytes of the tensor whose copy is timed: larger than a cache."""
SECONDS = 0.5
"""Seconds for which each of the two is timed."""


@dataclasses.dataclass(frozen=True)
class Work:
    """The work of one operator in a step: floating-point operations of its products, bytes that it reads and writes."""

    operations: float = 0.0
    bytes: float = 0.0


@dataclasses.dataclass(frozen=True)
class Machine:
    """Floating-point operations and bytes a second."""

    operations: float
    bytes: float

    def seconds(self, work: Work) -> float:
        """The least time for this work."""
        return max(work.operations / self.operations, work.bytes / self.bytes)


def machine(threads: int) -> Machine:
    """Measure the speeds of this machine."""
    import torch

    from benchmarks.kernels import fastest

    torch.set_num_threads(threads)
    a, b = torch.ones(SIDE, SIDE), torch.ones(SIDE, SIDE)
    source = torch.ones(COPIED // 4)
    target = torch.empty_like(source)
    product, copy = fastest([lambda: a @ b, lambda: target.copy_(source)], SECONDS, threads)
    return Machine(2.0 * SIDE**3 / product, 2.0 * COPIED / copy)


def work_of(model: ir.Model) -> dict[str, Work]:
    """The work of a training graph for a batch, by operator; views do none."""
    moved: collections.Counter[str] = collections.Counter()
    for node in at_batch(model, BATCH).graph:
        if node.op_type not in VIEWS:
            moved[node.op_type] += sum(bytes_of(v) or 0 for v in (*node.inputs, *node.outputs) if v is not None)
    operations: collections.Counter[str] = collections.Counter()
    for cost in layer_costs(model):
        operations[cost.op_type] += 2 * cost.macs * BATCH
    return {op: Work(operations[op], moved[op]) for op in moved}


def profiled(setting: Setting, threads: int, steps: int, folder: Path) -> dict[str, float]:
    """Seconds a step by operator, of all graphs that every step runs; of each node the fastest run."""
    make, sessions = ort.InferenceSession, list[ort.InferenceSession]()

    def watched(path: str, options: ort.SessionOptions, **others: object) -> ort.InferenceSession:
        options.enable_profiling = True
        # By itself a file has the second in its name, and sessions made in the same one share it.
        options.profile_file_prefix = str(folder / f"profile_{len(sessions)}")
        sessions.append(make(path, options, **others))
        return sessions[-1]

    with mock.patch.object(ort, "InferenceSession", watched):
        step = setting.make(setting, BATCH, threads, folder)
        for _ in range(steps):
            step()
    told = [json.loads(Path(session.end_profiling()).read_text(encoding="utf-8")) for session in sessions]
    every_step = [events for events in told if sum(event["name"] == "model_run" for event in events) >= steps]
    seconds: dict[str, float] = {}
    for op, took in itertools.chain.from_iterable(fastest_of(events).items() for events in every_step):
        seconds[op] = seconds.get(op, 0.0) + took
    return seconds


def fastest_of(events: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Seconds by operator: of each node of a graph the fastest run that the profile's events tell of."""
    least: dict[tuple[str, str], float] = {}
    for event in events:
        if event["cat"] == "Node" and event["name"].endswith("_kernel_time"):
            node = (event["args"]["op_name"], event["args"]["node_index"])
            least[node] = min(event["dur"] * 1e-6, least.get(node, math.inf))
    seconds: dict[str, float] = {}
    for (op, _), took in least.items():
        seconds[op] = seconds.get(op, 0.0) + took
    return seconds


def table(seconds: Mapping[str, float], work: Mapping[str, Work], limits: Machine, least: float) -> Table:
    """One line for each operator above a number of seconds, the slowest first, and their sum."""
    made = Table("operator", box=None)
    for column in ("ms", "GFLOP", "MB", "ms at the limit", "share of it"):
        made.add_column(column, justify="right")
    done = {op: work.get(op, Work()) for op in seconds}
    bounds = {op: limits.seconds(one) for op, one in done.items()}
    for op in sorted(seconds, key=lambda one: -seconds[one]):
        if seconds[op] >= least:
            made.add_row(op, *_cells(seconds[op], done[op], bounds[op]))
    everything = Work(sum(one.operations for one in work.values()), sum(one.bytes for one in work.values()))
    made.add_row("all", *_cells(sum(seconds.values()), everything, sum(bounds.values())))
    return made


def _cells(seconds: float, work: Work, bound: float) -> tuple[str, ...]:
    share = f"{bound / seconds:.2f}" if seconds > 0.0 else "-"
    operations, moved = f"{work.operations / 1e9:.2f}", f"{work.bytes / 1e6:.0f}"
    return f"{1e3 * seconds:.2f}", operations, moved, f"{1e3 * bound:.2f}", share


@click.command()
@click.argument("name", default="compressed-0.95", type=click.Choice(COMPILED), metavar="[NAME]")
@click.option("--threads", default=2, show_default=True, help="Threads of the step.")
@click.option("--steps", default=60, show_default=True, help="Steps to take.")
@click.option("--least", default=0.5, show_default=True, help="Milliseconds that an operator takes to be shown.")
def main(name: str, threads: int, steps: int, least: float) -> None:
    """Profile the step of a contestant of benchmarks.step."""
    setting = next(one for one in CONTESTANTS if one.name == name)
    limits = machine(threads)
    with tempfile.TemporaryDirectory() as folder:
        seconds = profiled(setting, threads, steps, Path(folder))
        work = work_of(ir.load(artifact_folder(setting, Path(folder)) / "train" / "training_model.onnx"))
    click.echo(f"{limits.operations / 1e9:.0f} GFLOP/s, {limits.bytes / 1e9:.1f} GB/s")
    Console().print(table(seconds, work, limits, least / 1e3))


if __name__ == "__main__":
    main()
