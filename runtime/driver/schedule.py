"""Which events of a task are due: the schedule is in fractions of a task, so that it scales with the epochs."""

import dataclasses
from typing import Any

TOLERANCE = 1e-9


@dataclasses.dataclass
class Agenda:
    """The events of one task, in order, and how many of them have run.

    Attributes:
        mask_updates: the task's mask updates, by rising fraction.
        removals: the task's data removal stages.
        updates_done: mask updates run so far.
        removals_done: removal stages run so far.
    """

    mask_updates: list[dict[str, Any]]
    removals: list[dict[str, Any]]
    updates_done: int = 0
    removals_done: int = 0

    def due_update(self, progress: float) -> dict[str, Any] | None:
        """The next mask update if its fraction is reached; counts it as run."""
        if self.updates_done == len(self.mask_updates) or not _reached(self.mask_updates[self.updates_done], progress):
            return None
        self.updates_done += 1
        return self.mask_updates[self.updates_done - 1]

    def due_removal(self, progress: float) -> dict[str, Any] | None:
        """The next removal stage if its fraction is reached; counts it as run."""
        if self.removals_done == len(self.removals) or not _reached(self.removals[self.removals_done], progress):
            return None
        self.removals_done += 1
        return self.removals[self.removals_done - 1]


def agenda_for(schedule: dict[str, Any], task: int) -> Agenda:
    """The events of one task: ``tasks`` says whether an update belongs to the first, the later or all tasks."""
    kinds = ("all", "first" if task == 0 else "later")
    return Agenda([u for u in schedule["mask_updates"] if u["tasks"] in kinds], list(schedule["removals"]))


def _reached(event: dict[str, Any], progress: float) -> bool:
    return bool(event["at"] <= progress + TOLERANCE)
