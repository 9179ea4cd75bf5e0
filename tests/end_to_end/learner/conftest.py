"""An artifact, and a learner in a copy of a state that has learned two tasks."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from sparcl_compile.interface.artifact import Artifact
from sparcl_compile.runtime.learner.learner import Learner
from tests.end_to_end.learner.content import EPOCHS, digits
from tests.support import story


@pytest.fixture(scope="session")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return story.compiled(tmp_path_factory.mktemp("learner"))


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture(scope="session")
def learned(artifact: Artifact, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The state of a learner that has learned two tasks of two classes each, without a stop."""
    state = tmp_path_factory.mktemp("learned") / "state"
    with story.opened(artifact, state) as learner:
        for task in ((0, 1), (2, 3)):
            assert learner.learn(*digits(artifact, *task), epochs=EPOCHS).reason == "done"
    return state


@pytest.fixture
def learner(artifact: Artifact, learned: Path, state: Path) -> Iterator[Learner]:
    """A learner in a copy of that state."""
    shutil.copytree(learned, state)
    with story.opened(artifact, state) as opened:
        yield opened
