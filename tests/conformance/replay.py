"""This project's driver as one that is to be accepted: it learns the samples of a kit and writes its trace down.

Without the compiler: artifact, samples and what is told of the run are all that it gets.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sparcl_compile.interface.artifact import load
from sparcl_compile.runtime.config import RunConfig
from sparcl_compile.runtime.reporting.progress import Reporter
from sparcl_compile.runtime.reporting.report import console
from sparcl_compile.runtime.reporting.result import FLOPS, METRICS
from sparcl_compile.runtime.runs.run import Run
from tests.conformance import trace
from tests.conformance.kit import Kit

COUNTERS = ("step", "mask_updates", "samples_seen", "samples_replayed", "samples_measured", "samples_removed")


def prepared(kit: Kit, told: Mapping[str, Any], folder: Path) -> Run:
    """A run of a kit that has not begun: its state can still be changed.

    Args:
        kit: whose artifact and samples.
        told: the part ``run`` of its trace.
        folder: where samples and checkpoints go.
    """
    np.savez(folder / "samples.npz", **kit.samples)
    config = RunConfig(
        data=f"npz:{folder / 'samples.npz'}",
        learning_rate=told["learning_rate"],
        tasks=told["tasks"],
        epochs=told["epochs"],
        batch_size=told["batch"],
        buffer_size=told["buffer"],
        seed=told["seed"],
        class_order_seed=told["class_order_seed"],
        augment="crop_flip" if told["augment"] else "none",
        threads=1,
    )
    return Run(load(kit.artifact), config, folder / "run")


def learn(run: Run, told: Mapping[str, Any]) -> dict[str, Any]:
    """Let the run learn, and return its trace."""
    recorder = trace.Recorder(run.engine, run.trainer)
    run.trainer.watch(recorder)
    begin = {
        "classes_by_task": [list(task.classes) for task in run.tasks],
        **{name: trace.plain(run.engine.array(name)) for name in trace.OF_THE_DATA},
    }
    with Reporter(console(), told["tasks"], told["epochs"], quiet=True) as reporter:
        run.train(reporter)
    results = (*METRICS, *FLOPS, "overall", "gradient_overall", "all_parameters")
    end = {
        **{name: run.trainer[name] for name in COUNTERS},
        **{name: trace.plain(run.engine.array(name)) for name in trace.MATRICES},
        **{name: trace.plain(run.trainer.result(f"result.{name}")) for name in results},
        **trace.digests(run.engine, trace.ENDED),
    }
    return {"run": dict(told), "begin": begin, "calls": recorder.calls, "end": end}


def replayed(kit: Kit, folder: Path) -> dict[str, Any]:
    """The trace of this driver with a kit; ``folder`` is scratch."""
    told = kit.trace["run"]
    return learn(prepared(kit, told, folder), told)
