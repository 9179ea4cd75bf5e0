"""Training by a program: tasks, epochs and steps. The loop, the tests and the benchmarks make their steps here."""

import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from sparcl_compile.interface.errors import TrainingError
from sparcl_compile.interface.program import Program
from sparcl_compile.runtime.data.tables import Tables
from sparcl_compile.runtime.driver.interpreter import Interpreter, Value, Watch
from sparcl_compile.runtime.session.engine import Engine


class Trainer:
    """Calls the blocks of a program in the order that interface/program.py says.

    Attributes:
        seconds: time spent in steps.
        in_epoch: whether an epoch has begun and not ended.
        sound: whether no block was broken off in its middle.
    """

    def __init__(self, engine: Engine, program: Program, tables: Tables, options: Mapping[str, Value]) -> None:
        self._program = program
        self._interpreter = Interpreter(engine, program, tables, options)
        self.seconds = 0.0
        self.in_epoch, self.sound = False, True

    def __getitem__(self, name: str) -> int:
        """An integer value by its name, a counter for example."""
        return self._interpreter.integer(name)

    def number(self, name: str) -> float:
        """A result of one element by its name."""
        return float(self._interpreter.array(name))

    def integers(self, name: str) -> list[int]:
        """A vector of integers by its name."""
        return [int(number) for number in self._interpreter.array(name)]

    def result(self, name: str) -> np.ndarray:
        """A result by its name, a view."""
        return self._interpreter.array(name)

    def set(self, values: Mapping[str, Value]) -> None:
        """Give values, options for example."""
        self._interpreter.values.update(values)

    def watch(self, seen: Watch) -> None:
        """Call a function with the results of every graph, right after it."""
        self._interpreter.watch = seen

    def call(self, block: str) -> None:
        """Run a block.

        Raises:
            TrainingError: the program fails; the message names the step and a fix.
        """
        self.sound = False
        try:
            self._interpreter.call(block)
        except TrainingError as error:
            raise TrainingError(f"{error} in {self._where()}; lower `learning_rate` (now {self._rate():g})") from error
        self.sound = True

    def begin_task(self) -> None:
        """Begin the current task."""
        self._interpreter.fired = dict.fromkeys(self._interpreter.fired, 0)
        self.call("begin_task")

    def begin_epoch(self) -> None:
        """Begin an epoch, the first one with the task."""
        if self["epoch"] == 0:
            self.begin_task()
        self.call("begin_epoch")
        self.in_epoch = True

    def end_epoch(self) -> None:
        """End the epoch."""
        self.call("end_epoch")
        self.in_epoch = False

    @property
    def more(self) -> bool:
        """Whether this epoch has another step."""
        return self["done"] < self["total"]

    def step(self) -> None:
        """Make one step and run the events that are due after it; raises TrainingError."""
        started = time.perf_counter()
        self.call("step")
        self.seconds += time.perf_counter() - started

    def progress(self) -> dict[str, Any]:
        """Return the part of a checkpoint that is not state."""
        counters = {name: self[name] for name in self._program.counters}
        return {"counters": counters, "fired": dict(self._interpreter.fired), "seconds": self.seconds}

    def kept(self) -> dict[str, np.ndarray]:
        """Return what the next steps of an epoch need beside the state; nothing between two epochs."""
        return {name: self.result(name) for name in self._program.kept} if self.in_epoch else {}

    def restore(self, progress: Mapping[str, Any], kept: Mapping[str, np.ndarray] | None = None) -> None:
        """Restore the results of ``progress`` and ``kept``."""
        self.set({**progress["counters"], **(kept or {})})
        self.in_epoch, self.sound = bool(kept), True
        self._interpreter.fired, self.seconds = dict(progress["fired"]), progress["seconds"]

    def _where(self) -> str:
        return f"task {self['task'] + 1}, epoch {self['epoch'] + 1}, step {self['task_step'] + 1}"

    def _rate(self) -> float:
        return self.number("learning_rate")
