"""The names of classes and their places in a model's head."""

from collections.abc import Iterable, Sequence

from sparcl_compile.interface.artifact import Artifact
from sparcl_compile.interface.errors import DataError
from sparcl_compile.runtime.learner.forms import names_of
from sparcl_compile.runtime.learner.opening import check_whole


class Classes:
    """Names by place of the head: a new name takes the next free place.

    Attributes:
        size: how many places the head has.
    """

    def __init__(self, artifact: Artifact, names: Iterable[str]) -> None:
        self._artifact, self.size = artifact, artifact.manifest.model.classes
        self._places = {name: place for place, name in enumerate(names)}

    @property
    def names(self) -> tuple[str, ...]:
        """The names in the order of their places."""
        return tuple(self._places)

    def check_room(self, names: Sequence[str]) -> None:
        """Raise DataError where there are more new names than free places."""
        new = [name for name in dict.fromkeys(names) if name not in self._places]
        needed = len(self._places) + len(new)
        if needed > self.size:
            raise DataError(
                f"labels: {new[self.size - len(self._places)]!r} is new, and the head of {self._artifact.folder} has "
                f"{self.size} classes, all taken; compile the model again with sparcl-compile --classes {needed}"
            )

    def take(self, names: Sequence[str]) -> None:
        """Give places to the names that have none."""
        self.check_room(names)
        for name in names:
            self._places.setdefault(name, len(self._places))

    def places(self, names: Sequence[str]) -> list[int]:
        """The place of each name; raises DataError for one that has none."""
        for name in names:
            if name not in self._places:
                known = ", ".join(self._places) or "none"
                raise DataError(f"labels: {name!r} is no class that was learned; there are: {known}")
        return [self._places[name] for name in names]

    def chosen(
        self, names: Sequence[str | int] | None, task: int | None, by_task: Sequence[Sequence[int]]
    ) -> list[int]:
        """The places to choose among, ascending: of some names, of a task, or all.

        Raises:
            DataError: there is no such name or task, or both are given.
        """
        if names is not None and task is not None:
            raise DataError("classes: they and a task are given; give one of them")
        if isinstance(names, str):
            raise DataError(f"classes: {names!r} is one name; give a list of names")
        if names is not None:
            found = sorted(set(self.places(names_of(list(names), len(names)))))
        elif task is not None:
            found = list(self._of_task(task, by_task))
        else:
            found = list(range(len(self._places)))
        if not found:
            raise DataError("classes: there are none to choose among; give at least one")
        return found

    def _of_task(self, task: int, by_task: Sequence[Sequence[int]]) -> Sequence[int]:
        check_whole("task", task)
        if not 0 <= task < len(by_task):
            raise DataError(f"task {task}: {len(by_task)} tasks are learned, counted from 0; give one of them")
        return by_task[task]
