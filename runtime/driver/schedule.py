"""Which events of a task are due: the schedule is in fractions of a task, so that it scales with the epochs."""

import dataclasses

from sparcl_compile.interface.schedule import MaskUpdate, Removal, Schedule

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

    mask_updates: list[MaskUpdate]
    removals: list[Removal]
    updates_done: int = 0
    removals_done: int = 0

    def due_update(self, progress: float) -> MaskUpdate | None:
        """The next mask update if its fraction is reached; counts it as run."""
        if self.updates_done == len(self.mask_updates) or not _reached(self.mask_updates[self.updates_done], progress):
            return None
        self.updates_done += 1
        return self.mask_updates[self.updates_done - 1]

    def due_removal(self, progress: float) -> Removal | None:
        """The next removal stage if its fraction is reached; counts it as run."""
        if self.removals_done == len(self.removals) or not _reached(self.removals[self.removals_done], progress):
            return None
        self.removals_done += 1
        return self.removals[self.removals_done - 1]


def agenda_for(schedule: Schedule, task: int) -> Agenda:
    """The events of one task: ``tasks`` says whether an update belongs to the first, the later or all tasks."""
    kinds = ("all", "first" if task == 0 else "later")
    return Agenda([one for one in schedule.mask_updates if one.tasks in kinds], list(schedule.removals))


def _reached(event: MaskUpdate | Removal, progress: float) -> bool:
    return event.at <= progress + TOLERANCE
