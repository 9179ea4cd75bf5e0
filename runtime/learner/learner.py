"""A learner: an artifact that goes on learning inside of an app (docs/learner.md)."""

import contextlib
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from numpy.typing import ArrayLike

from sparcl_compile.interface.artifact import Artifact, check_outside, in_use, load
from sparcl_compile.interface.errors import DataError
from sparcl_compile.runtime.config import BATCH_SIZES
from sparcl_compile.runtime.learner.budget import Budget, Clock
from sparcl_compile.runtime.learner.folder import StateFolder
from sparcl_compile.runtime.learner.forms import Samples
from sparcl_compile.runtime.learner.opening import Opening, check_epochs, check_for_apps
from sparcl_compile.runtime.learner.report import reported
from sparcl_compile.runtime.learner.results import Evaluation, Learned, Predictions, Progress, Report
from sparcl_compile.runtime.learner.standing import NO_SAMPLES, Standing
from sparcl_compile.runtime.session.running import running

EPOCHS = 5
"""Of a task, where an app names none."""


class Learner:
    """An artifact that learns tasks one after the other, answers in between, and keeps its state in a folder.

    ``Learner.open`` makes one. It is for one thread at a time; a progress function may ask it, save, and observe with
    ``steps`` 0.
    """

    def __init__(self, standing: Standing, clock: Clock, stack: contextlib.ExitStack) -> None:
        self._own, self._clock, self._stack = standing, clock, stack
        self._closed = False

    @property
    def _standing(self) -> Standing:
        """Where it stands; raises DataError behind ``close``, when another learner may have the state."""
        if self._closed:
            raise DataError(f"{self.state}: this learner is closed; open it again with `Learner.open`")
        return self._own

    @property
    def artifact(self) -> Artifact:
        """The artifact that learns."""
        return self._own.artifact

    @property
    def state(self) -> Path:
        """The folder of the state."""
        return self._own.folder.path

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes, by place of the head."""
        return self._standing.classes.names

    @property
    def tasks(self) -> int:
        """How many tasks are learned."""
        return self._standing.tasks

    @property
    def under_way(self) -> bool:
        """Whether a task is begun and not finished, which ``learn()`` goes on with."""
        return self._standing.under_way

    @property
    def waiting(self) -> int:
        """How many observed samples wait for their task."""
        return len(self._standing.pending.names)

    @property
    def observed(self) -> int:
        """How many samples were ever observed."""
        return self._standing.pending.observed

    @classmethod
    def open(
        cls,
        artifact: str | Path | Artifact,
        state: str | Path,
        *,
        seed: int | None = None,
        buffer: int | None = None,
        batch: int | None = None,
        learning_rate: float | None = None,
        augment: str | None = None,
        normalise: str | None = None,
        threads: int | None = None,
        clock: Clock = time.monotonic,
    ) -> Self:
        """Open a learner, which takes up where it was, or starts.

        Args:
            artifact: its folder, or as ``load`` gives it.
            state: the folder of its state; made when missing. One of a finished run of the artifact serves as well.
            seed: of order, growth, replay and augmentation; 0 where there is no state yet.
            buffer: samples in the replay buffer; 200 where there is no state yet.
            batch: samples a step; 32, 16 or 8, by the size of a task, without it.
            learning_rate: the artifact's own without it.
            augment: ``none``, the artifact's augmentation, or ``auto``: that of images in colours.
            normalise: ``auto`` by the first task's samples, ``unit`` by 255, ``raw`` not at all.
            threads: of ONNX Runtime; all cores without it.
            clock: tells seconds, for budgets.

        Raises:
            ArtifactError: the artifact is damaged, or is being replaced.
            CheckpointError: the state is damaged, of another artifact, has other options, or another learner holds it.
            FieldError: an option is out of its range, or ``state`` lies in an artifact.
            WriteError: the state cannot be written there.
        """
        opening = Opening(seed, buffer, batch, learning_rate, augment, normalise, threads)
        # An app may change its folder, and a learner opens files as it needs them.
        made = artifact if isinstance(artifact, Artifact) else load(Path(artifact).absolute())
        folder = StateFolder(Path(state).absolute())
        check_outside(made.folder, folder.path, "state")
        check_for_apps(made)
        opening.check(made.manifest)
        with contextlib.ExitStack() as stack:
            stack.enter_context(in_use(made))
            stack.enter_context(folder.held())
            standing = Standing(made, folder, opening)
            return cls(standing, clock, stack.pop_all())

    def __enter__(self) -> Self:
        """Return the learner."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def close(self) -> None:
        """Save what is not saved, and give the state folder to others; nothing can be called behind it.

        Raises DataError while a call learns, and WriteError where the state cannot be written.
        """
        self._own.turn.check()
        try:
            if self._own.unsaved and not self._closed:
                self.save()
        finally:
            self._closed = True
            self._stack.close()

    def learn(
        self,
        samples: Samples | None = None,
        labels: ArrayLike | Sequence[str] | None = None,
        *,
        epochs: int = EPOCHS,
        steps: int | None = None,
        seconds: float | None = None,
        progress: Progress | None = None,
    ) -> Learned:
        """Learn one task; without samples go on with the one under way, and then with what was observed.

        Args:
            samples: images [N, C, H, W], [N, H, W, C] or, grey, [N, H, W], uint8 or float; vectors [N, D]; others in
                the model's own axes. Images of other sizes are resized, also of several sizes in a sequence.
            labels: a name for each, a text or a whole number; a new one takes a free place of the head.
            epochs: how often each sample is presented.
            steps: at most so many steps in this call.
            seconds: no step begins when they are over; one is made in any case.
            progress: called after each step; cancels by returning False.

        Returns:
            Why it ended, how many steps were made, and the last loss. A task that is not finished stays under way.

        Raises:
            DataError: samples or labels do not fit, a task is under way, the head is full, or another call learns.
            TrainingError: the loss is not a number; the learner stands where its last save was.
            WriteError: the state cannot be written.
        """
        budget = Budget(steps, seconds, progress, self._clock)
        check_epochs(epochs)
        standing = self._standing
        if samples is not None:
            standing.refuse_under_way()
            standing.begin(*standing.labelled(samples, labels), epochs)
        learned = standing.study(budget, epochs, least=1)
        if standing.unsaved:
            standing.save()
        return learned

    def observe(
        self,
        sample: ArrayLike,
        label: str | int,
        *,
        epochs: int = EPOCHS,
        steps: int | None = None,
        seconds: float | None = None,
        progress: Progress | None = None,
    ) -> Learned:
        """Keep one sample, which is safe on disk then, and go on learning within a budget.

        As many samples as a batch has become a task of their own when none is under way; ``learn()`` takes fewer.

        Args:
            sample: one, as ``learn`` takes several.
            label: its name.
            epochs: of a task that begins here.
            steps: at most so many steps in this call; 0 for none.
            seconds: as in ``learn``.
            progress: as in ``learn``.

        Returns:
            As ``learn``; with ``steps`` 0 no step was made.

        Raises:
            DataError: the sample does not fit, the head is full, or another call learns and steps are not 0.
            TrainingError: as ``learn``.
            WriteError: the sample cannot be written.
        """
        budget = Budget(steps or None, seconds, progress, self._clock)
        check_epochs(epochs)
        standing = self._standing
        if steps != 0:
            standing.turn.check()
        standing.keep(sample, label)
        if steps == 0:
            return budget.ended(finished=True)
        return standing.study(budget, epochs, least=standing.batch or BATCH_SIZES[-1])

    def end_task(self) -> None:
        """End the task under way as it stands; what its other epochs would have learned is left out.

        Raises:
            DataError: no task is under way, or a call learns.
        """
        self._standing.end_task()

    def predict(
        self, samples: Samples, *, classes: Sequence[str | int] | None = None, task: int | None = None
    ) -> Predictions:
        """Return names and probabilities of samples, by the method's own answers: iCaRL's nearest mean of exemplars.

        Args:
            samples: as ``learn`` takes them.
            classes: the names to choose among; all that there are without it.
            task: a learned task, from 0, whose classes are to choose among.

        Raises:
            DataError: the samples do not fit, a class or task is not known, or nothing is learned yet.
        """
        standing = self._standing
        course, places = standing.active(), standing.chosen(classes, task)
        raw, _ = standing.asked(samples)
        with running(standing.artifact):
            probabilities, best = course.answer(raw, places)
        names = standing.classes.names
        return Predictions(
            tuple(names[place] for place in best), tuple(names[place] for place in places), probabilities
        )

    def evaluate(
        self,
        samples: Samples,
        labels: ArrayLike | Sequence[str],
        *,
        classes: Sequence[str | int] | None = None,
        task: int | None = None,
    ) -> Evaluation:
        """Return the accuracy over samples; the arguments are those of ``predict``, and a name for each sample.

        Raises:
            DataError: as ``predict``; or a label has no place of the head yet.
        """
        standing = self._standing
        course, places = standing.active(), standing.chosen(classes, task)
        raw, own = standing.asked(samples, labels)
        if not len(own):
            raise DataError(NO_SAMPLES)
        with running(standing.artifact):
            course.score(raw, own, places)
        standing.unsaved = True
        found = self.report()
        return Evaluation(found.accuracy or 0.0, found.accuracy_by_class, len(own))

    def report(self) -> Report:
        """Return what is known: accuracy of the last evaluation, sparsity, FLOPs, counters, memory.

        Raises:
            DataError: nothing is learned yet.
        """
        with running(self._standing.artifact):
            return reported(self._standing.active(), self._standing.classes)

    def save(self) -> None:
        """Write the state as it is, also in the middle of an epoch; whole or not at all.

        Raises:
            WriteError: the file system refuses; the state before stays.
        """
        self._standing.save()
