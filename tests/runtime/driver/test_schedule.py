import pytest

from sparcl_compile.interface.schedule import MaskUpdate, Removal, Schedule, Tasks
from sparcl_compile.runtime.driver.schedule import Agenda, agenda_for


def update(at: float, tasks: Tasks = "all") -> MaskUpdate:
    return MaskUpdate(at, tasks, "shrunk", "base")


UPDATES = (update(0.0, "later"), update(0.1, "first"), update(0.1, "later"), update(0.2, "all"))
REMOVALS = (Removal(0.1, 0.1), Removal(0.2, 0.2))
SCHEDULE = Schedule({}, UPDATES, REMOVALS, (), 0)


@pytest.mark.parametrize(("task", "wanted"), [(0, [1, 3]), (1, [0, 2, 3]), (7, [0, 2, 3])])
def test_a_task_gets_its_own_events(task: int, wanted: list[int]) -> None:
    agenda = agenda_for(SCHEDULE, task)
    assert agenda.mask_updates == [UPDATES[i] for i in wanted]
    assert agenda.removals == list(REMOVALS)


def test_events_come_once_and_in_order() -> None:
    agenda = agenda_for(SCHEDULE, 1)
    assert agenda.due_update(0.0) is UPDATES[0]
    assert agenda.due_update(0.0999) is None
    assert agenda.due_update(0.5) is UPDATES[2]
    assert agenda.due_update(0.5) is UPDATES[3]
    assert agenda.due_update(1.0) is None
    assert (agenda.updates_done, agenda.removals_done) == (3, 0)


def test_removals_have_their_own_count() -> None:
    agenda = agenda_for(SCHEDULE, 0)
    assert agenda.due_removal(0.05) is None
    assert agenda.due_removal(1.0) == REMOVALS[0]
    assert agenda.due_removal(0.15) is None
    assert agenda.due_removal(0.2) == REMOVALS[1]
    assert agenda.due_removal(1.0) is None


def test_a_fraction_that_floating_point_misses_by_a_hair() -> None:
    tenth = sum([0.1] * 3) - 0.2  # 0.10000000000000003
    assert tenth != 0.1
    assert Agenda([update(tenth)], []).due_update(0.1) is not None
    assert Agenda([update(0.3)], []).due_update((0 + 3 / 10) / 1) is not None
    assert Agenda([update(0.3)], []).due_update(0.2999999) is None


def test_nothing_scheduled() -> None:
    assert Agenda([], []).due_update(1.0) is None
    assert Agenda([], []).due_removal(1.0) is None
