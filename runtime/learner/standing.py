"""Where a learner stands: in memory, and on disk."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from sparcl_compile.interface.artifact import Artifact
from sparcl_compile.interface.errors import CheckpointError, DataError
from sparcl_compile.runtime.checkpoint import ANOTHER, FILE
from sparcl_compile.runtime.data.dataset import Dataset
from sparcl_compile.runtime.data.tables import Table
from sparcl_compile.runtime.interrupt import Interrupt
from sparcl_compile.runtime.learner import forms
from sparcl_compile.runtime.learner.budget import Budget, ProgressFailed, Watch
from sparcl_compile.runtime.learner.classes import Classes
from sparcl_compile.runtime.learner.course import Course, Task
from sparcl_compile.runtime.learner.folder import Labelled, StateFolder
from sparcl_compile.runtime.learner.forms import Form, Samples
from sparcl_compile.runtime.learner.opening import Opening
from sparcl_compile.runtime.learner.pending import Pending
from sparcl_compile.runtime.learner.results import Learned, Step
from sparcl_compile.runtime.learner.turn import Turn
from sparcl_compile.runtime.progress import Learning
from sparcl_compile.runtime.session.running import running

NOTHING = {"taken": 0, "samples": {"classes": [], "classes_by_task": []}}
"""The progress of a learner that has no state."""
NO_SAMPLES = "samples: there are none; give at least one"


class Standing:
    """The state of a learner between two calls.

    Attributes:
        artifact: that it learns with.
        folder: of the state.
        batch: samples a step, where the app names it.
        turn: of the call that learns.
        pending: the observed samples that wait.
        classes: by place of the head.
        unsaved: whether something has changed that a save would write.
    """

    def __init__(self, artifact: Artifact, folder: StateFolder, opening: Opening) -> None:
        self.artifact, self._model = artifact, artifact.manifest.model
        self.folder, self._opening, self.batch, self.turn = folder, opening, opening.batch, Turn(folder.path)
        self._take_up()

    def _take_up(self) -> None:
        """Read everything from the disk."""
        found = self.folder.read(self.artifact)
        progress: dict[str, Any] = found.progress if found else NOTHING
        samples = progress["samples"]
        _check_classes(self.folder.path, samples, self._model.classes)
        self.classes = Classes(self.artifact, samples["classes"])
        self._identity, self._config = self._opening.joined(self.artifact, self.folder.path, found)
        self._course: Course | None = None
        self.unsaved = False
        if found is not None:
            with running(self.artifact):
                self._course = self._begun(Form(samples["type"], tuple(samples["shape"])))
                self._course.restore(found, self._task_of(progress["learning"]))
        self.folder.tidy(progress)
        self.pending = Pending(self.folder, progress["taken"])
        self.classes.take(self.pending.names)
        if self._course is None and self.pending.samples:
            self._fitted([np.stack(self.pending.samples)])

    def _task_of(self, learning: dict[str, Any] | None) -> Task | None:
        if learning is None:
            return None
        found = self.folder.read_samples(learning["file"])
        if len(found.x) < 1 or found.names != self.classes.names[: len(found.names)]:
            raise CheckpointError(f"{self.folder.path / learning['file']}: has other classes than the state; {ANOTHER}")
        rate = self._config.learning_rate or learning["learning_rate"]
        return Task(_table(found.x, found.labels), Learning(**{**learning, "learning_rate": rate}))

    def _begun(self, form: Form) -> Course:
        return Course(self.artifact, self._config, form, forms.augments(form, self._config.augment, self._model.layout))

    def active(self) -> Course:
        """The course; raises DataError where no task has begun, before which no sample can be normalised."""
        if self._course is None or not self.begun:
            raise DataError(f"{self.folder.path}: nothing is learned yet; call `learn` first")
        return self._course

    @property
    def begun(self) -> bool:
        """Whether there was any task yet."""
        return self._course is not None and self._course.formula is not None

    @property
    def tasks(self) -> int:
        """How many tasks are learned."""
        return len(self._course.by_task) if self._course is not None else 0

    @property
    def under_way(self) -> bool:
        """Whether a task is begun and not finished."""
        return self._course is not None and self._course.task is not None

    def refuse_under_way(self) -> None:
        """Raise DataError where a task is under way, or another call learns."""
        self.turn.check()
        if self.under_way:
            raise DataError(
                f"{self.folder.path}: a task is under way; finish it with `learn()`, or end it as it is with "
                "`end_task()`, before another one begins"
            )

    def labelled(self, samples: Samples, labels: object) -> tuple[Dataset, list[str]]:
        """Samples and their names, for which there is room.

        Raises:
            DataError: they do not fit, or the head has no place left.
        """
        blocks = forms.blocks_of(samples, self._model)
        names = forms.names_of(labels, sum(map(len, blocks)))
        if not names:
            raise DataError(NO_SAMPLES)
        self.classes.check_room(names)
        return self._fitted(blocks), names

    def asked(self, samples: Samples, labels: object = None) -> tuple[np.ndarray, np.ndarray]:
        """Samples [N, C, H, W] in the learner's form, and the places of their labels where there are any.

        Raises:
            DataError: they do not fit, or a label has no place.
        """
        blocks = forms.blocks_of(samples, self._model)
        names = [] if labels is None else forms.names_of(labels, sum(map(len, blocks)))
        places = np.array(self.classes.places(names), np.int64)
        form = self.active().form
        return self._fitted(blocks).x_train if blocks else np.zeros((0, *form.shape), form.type), places

    def chosen(self, names: Sequence[str | int] | None, task: int | None) -> list[int]:
        """The places of the head to choose among; raises DataError where there is no such name or task."""
        return self.classes.chosen(names, task, self.active().by_task)

    def _fitted(self, blocks: list[np.ndarray]) -> Dataset:
        """Samples in the form of all; the first ones decide it."""
        form = forms.form_of(blocks, self._model)
        if self._course is not None and form != self._course.form:
            raise DataError(f"samples: they are {form}, this learner has learned {self._course.form}; give that form")
        with running(self.artifact):
            course = self._course or self._begun(form)
            dataset = forms.fitted(forms.joined(blocks, form, course.resized), self._model)
        self._course = course
        return dataset

    def keep(self, sample: ArrayLike, label: str | int) -> None:
        """Keep an observed sample, on disk too.

        Raises:
            DataError: it does not fit, or the head has no place left.
            WriteError: it cannot be written; it is not kept.
        """
        dataset, (name,) = self.labelled(forms.alone(sample, self._model), [label])
        self.pending.add(dataset.x_train[0], name)
        self.classes.take([name])

    def begin(self, dataset: Dataset, names: Sequence[str], epochs: int) -> None:
        """Put a task under way, on disk too.

        Raises:
            WriteError: it cannot be written; nothing has changed.
        """
        try:
            self._begin(dataset, names, epochs)
        except BaseException:
            self._take_up()
            raise

    def _begin(self, dataset: Dataset, names: Sequence[str], epochs: int) -> None:
        course = self._course or self.active()
        self.classes.take(names)
        labels = np.array(self.classes.places(names), np.int64)
        if course.formula is None:
            with running(self.artifact):
                course.normalise(dataset)
        file = self.folder.write_samples(Labelled(dataset.x_train, labels, self.classes.names))
        course.take(Task(_table(dataset.x_train, labels), course.learning(len(labels), epochs, file)))
        self.save()

    def _begin_pending(self, epochs: int) -> None:
        x, names = self.pending.take()
        self.begin(self._fitted([x]), names, epochs)
        self.pending.forget()

    def study(self, budget: Budget, epochs: int, least: int) -> Learned:
        """Learn what is under way, and then what waits where that is as much as ``least``, within a budget.

        Raises:
            DataError: another call learns.
            TrainingError: the program fails; everything is as on disk then.
            WriteError: the state cannot be written.
            KeyboardInterrupt: Ctrl-C, between two steps.
        """
        try:
            with self.turn.held(), Interrupt() as interrupt, running(self.artifact):
                watch = Watch(budget, self._stepped, self._end_epoch, interrupt)
                return budget.ended(self._study_tasks(budget, watch, epochs, max(least, 1)))
        except ProgressFailed as failed:
            raise failed.error from None

    def _study_tasks(self, budget: Budget, watch: Watch, epochs: int, least: int) -> bool:
        """Learn until nothing is left, which is True, or the budget ends."""
        while self.under_way or len(self.pending.names) >= least:
            if not budget.go_on():
                return False
            if not self.under_way:
                self._begin_pending(epochs)
            self._study_task(watch)
        return True

    def _study_task(self, watch: Watch) -> None:
        course = self.active()
        try:
            finished = course.study(watch)
        except BaseException:
            if not course.trainer.sound:
                self._take_up()
            raise
        if finished:
            self.save()

    def _stepped(self) -> Step:
        self.unsaved = True
        return self.active().step()

    def _end_epoch(self) -> None:
        trainer = self.active().trainer
        if trainer["epoch"] < trainer["epochs"]:
            self.save()

    def end_task(self) -> None:
        """End the task under way as it stands; raises DataError where there is none, or no step of it was made.

        Nor may another call learn.
        """
        self.turn.check()
        if not self.under_way:
            raise DataError(f"{self.folder.path}: no task is under way, so that none can be ended")
        # The next task would replay from a buffer that nothing has filled.
        if not self.active().trainer["samples_seen"]:
            raise DataError(f"{self.folder.path}: nothing of the task under way is learned yet; call `learn()` first")
        self.active().close_task()
        self.save()

    def save(self) -> None:
        """Write the state; raises WriteError."""
        if not self.begun:
            return  # observed samples are on disk already
        course = self.active()
        progress = course.progress(self.classes.names, self.pending.taken)
        self.folder.write(course.arrays(), progress, self._identity)
        self.unsaved = False


def _table(x: np.ndarray, labels: np.ndarray) -> Table:
    return Table(x, labels, np.unique(labels).tolist())


def _check_classes(folder: Path, samples: Mapping[str, Any], places: int) -> None:
    """Raise CheckpointError for more classes than places, one name twice, and tasks of classes that are not there."""
    names, of_tasks = samples["classes"], {place for task in samples["classes_by_task"] for place in task}
    if len(names) > places or len(set(names)) < len(names) or not of_tasks <= {*range(len(names))}:
        raise CheckpointError(f"{folder / FILE}: is damaged (its classes do not fit the head); {ANOTHER}")
