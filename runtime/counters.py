"""Where a run stands."""

import dataclasses


@dataclasses.dataclass
class Counters:
    """Where a run stands; saved with every checkpoint.

    Attributes:
        task: current task, from 0.
        epoch: epochs of this task that are done.
        step: optimizer steps of the run.
        task_step: optimizer steps of the task.
        removed: samples removed in this task.
        samples_seen: presentations of current samples in the run.
        samples_replayed: presentations of buffer samples in the run.
        samples_measured: samples of the extra passes that measure gradients.
        samples_removed: samples removed in the run.
        seconds: time spent in training, evaluation apart.
    """

    task: int = 0
    epoch: int = 0
    step: int = 0
    task_step: int = 0
    removed: int = 0
    samples_seen: int = 0
    samples_replayed: int = 0
    samples_measured: int = 0
    samples_removed: int = 0
    seconds: float = 0.0
