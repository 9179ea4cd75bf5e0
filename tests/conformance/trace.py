"""Traces of runs, and their comparison: whether two of them are of the same run."""

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from sparcl_compile.interface.onnx_runtime import ort
from sparcl_compile.runtime.driver.trainer import Trainer
from sparcl_compile.runtime.session.engine import Engine

RELATIVE, ABSOLUTE = 1e-4, 1e-6
"""Largest difference of a number with a fraction from the recorded one."""

RESULTS: Mapping[str, tuple[str, ...]] = {
    "order": ("order", "length", "steps"),
    "replay_batch": ("slot",),
    "write_buffer": ("slot",),
    "check_loss": ("loss", "mean"),
    "update_masks": (),
    "update_gradient_masks": (),
    "remove_samples": ("new_order", "new_position", "length", "steps", "removed_now", "removed_total"),
    "check_state": ("broken",),
    "record": ("class_mean", "task_mean"),
}
"""The graphs behind which something is written down, and their results that are."""
DIGESTS: Mapping[str, tuple[str, ...]] = {
    "write_buffer": ("buffer.x", "buffer.labels"),
    "update_masks": ("mask", "gradient_mask", "channel"),
    "update_gradient_masks": ("gradient_mask",),
    "remove_samples": ("sample_keep",),
}
"""State tensors, by name or all of a role, whose checksum is written down behind a graph."""
ENDED = ("mask", "gradient_mask", "channel", "buffer.x", "buffer.labels", "buffer.seen", "sample_keep")
MATRICES = ("accuracy.class", "accuracy.task")
OF_THE_DATA = ("data.mean", "data.std")
RESULT = "result."


class Recorder:
    """Watches every graph of a run and records results that a driver cannot get right by chance."""

    def __init__(self, engine: Engine, trainer: Trainer) -> None:
        self.calls: list[dict[str, Any]] = []
        self._engine, self._trainer = engine, trainer

    def __call__(self, graph: str, results: Mapping[str, ort.OrtValue]) -> None:
        """Write down one call."""
        if graph not in RESULTS:
            return
        at = [self._trainer[name] for name in ("task", "epoch", "task_step")]
        found = {name: plain(results[name].numpy()) for name in RESULTS[graph]}
        self.calls.append({"graph": graph, "at": at, **found, **digests(self._engine, DIGESTS.get(graph, ()))})


def digests(engine: Engine, names: tuple[str, ...]) -> dict[str, str]:
    """The checksums of state tensors, by name or by role; those that an artifact does not have are left out."""
    of_role = {name: [name] if name in engine.state else engine.names(name) for name in names}
    return {name: digest(engine, tensors) for name, tensors in of_role.items() if tensors}


def digest(engine: Engine, names: list[str]) -> str:
    """SHA-256 of the elements of these tensors, one after the other, little-endian and in C order."""
    made = hashlib.sha256()
    for name in names:
        array = engine.array(name)
        made.update(array.astype(array.dtype.newbyteorder("<"), order="C").tobytes())
    return made.hexdigest()


def plain(value: Any) -> Any:
    """Numbers as JSON has them; NaN, which it lacks, is null."""
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, list):
        return [plain(one) for one in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def to_text(trace: Mapping[str, Any]) -> str:
    """The text of a trace's file: a line for each call, so that two of them can be compared by eye."""
    parts = {name: json.dumps(part) for name, part in trace.items() if name != "calls"}
    calls = ",\n  ".join(json.dumps(call) for call in trace["calls"])
    parts["calls"] = f"[\n  {calls}\n ]"
    return "{\n " + ",\n ".join(f"{json.dumps(name)}: {parts[name]}" for name in trace) + "\n}\n"


def differences(found: Any, wanted: Any, path: str = "") -> Iterator[str]:
    """One line for each place in which a trace is not the recorded one, in order.

    Numbers that are recorded with a fraction may differ a little (``RELATIVE``, ``ABSOLUTE``), all else not at all.
    """
    if isinstance(wanted, dict) and isinstance(found, dict):
        for name in dict.fromkeys((*wanted, *found)):
            yield from differences(found.get(name), wanted.get(name), f"{path}.{name}" if path else name)
    elif isinstance(wanted, list) and isinstance(found, list) and len(found) == len(wanted):
        for number, (one, other) in enumerate(zip(found, wanted, strict=True)):
            yield from differences(one, other, f"{path}[{number}]{_which(other)}")
    elif not _same(found, wanted):
        yield f"{path}: {_short(found)}, recorded is {_short(wanted)}"


def _which(entry: Any) -> str:
    """What an entry is: a graph that has run, or a call of a learner."""
    if not isinstance(entry, dict):
        return ""
    return f" ({entry['graph']} at {entry['at']})" if "graph" in entry else f" ({entry['do']})" if "do" in entry else ""


def _same(found: Any, wanted: Any) -> bool:
    if isinstance(wanted, float) and isinstance(found, int | float) and not isinstance(found, bool):
        return math.isclose(found, wanted, rel_tol=RELATIVE, abs_tol=ABSOLUTE)
    return type(found) is type(wanted) and found == wanted


def _short(value: Any) -> str:
    text = f"{len(value)} entries" if isinstance(value, list) else json.dumps(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
