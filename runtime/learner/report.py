"""What is known of a learner."""

import math
import re
import sys
from pathlib import Path

from sparcl_compile.runtime.learner.classes import Classes
from sparcl_compile.runtime.learner.course import Course
from sparcl_compile.runtime.learner.results import Report, TrainingFlops

FLOPS = ("paper_dense", "paper_sparse", "true_dense", "true_sparse")
SHARES = ("overall", "gradient_overall", "all_parameters")
KIB = 1024
UNIT = 1 if sys.platform == "darwin" else KIB
"""Bytes of the unit in which a system tells a process's memory."""
STATUS = Path("/proc/self/status")
PEAK = re.compile(r"VmHWM:\s*(\d+) kB")


def reported(course: Course, classes: Classes) -> Report:
    """The report of a course, from the results of the program's block of that name."""
    trainer = course.trainer
    trainer.call("report")
    numbers = {name: trainer.number(f"result.{name}") for name in (*FLOPS, *SHARES, "accuracy")}
    by_class = zip(classes.names, trainer.result("result.by_class").tolist(), strict=False)
    return Report(
        classes=classes.names,
        places=classes.size,
        tasks=len(course.by_task),
        accuracy=None if math.isnan(numbers["accuracy"]) else numbers["accuracy"],
        accuracy_by_class={name: share for name, share in by_class if not math.isnan(share)},
        sparsity=numbers["overall"],
        gradient_sparsity=numbers["gradient_overall"],
        all_parameters=numbers["all_parameters"],
        training_flops=TrainingFlops(**{name: numbers[name] for name in FLOPS}),
        steps=trainer["step"],
        samples_seen=trainer["samples_seen"],
        samples_replayed=trainer["samples_replayed"],
        samples_removed=trainer["samples_removed"],
        seconds=trainer.seconds,
        state_bytes=sum(array.nbytes for array in course.engine.saved().values()),
        process_bytes=_process_bytes(),
    )


def _process_bytes() -> int | None:
    """The most memory that this process has had; on Linux ``getrusage`` begins at that of what started the process."""
    found = PEAK.search(STATUS.read_text(encoding="ascii", errors="replace")) if STATUS.exists() else None
    if found:
        return int(found[1]) * KIB
    try:
        import resource
    except ImportError:  # Windows
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * UNIT
