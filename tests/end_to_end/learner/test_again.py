"""A learner meets a class again."""

from pathlib import Path

import numpy as np

from tests.end_to_end.learner.content import content, digits
from tests.support import story

BUFFER, EACH = 20, 12
TASKS = ((0, 1), (2, 3), (0, 1), (0, 4), (0,))


def test_exemplars_of_a_class_that_comes_again_have_room(tmp_path: Path) -> None:
    """iCaRL: as many exemplars of each class as it may have, whose ranks tell in which order they leave."""
    artifact, seen = story.compiled(tmp_path, method="icarl"), set[int]()
    state = tmp_path / "state"
    for task in TASKS:
        with story.opened(artifact, state, buffer=BUFFER) as learner:
            learner.learn(*digits(artifact, *task, each=EACH), epochs=1)
        seen |= set(task)
        arrays = content(state)[0]
        filled = int(arrays["buffer.seen"])
        labels, ranks = (arrays[f"buffer.{name}"][:filled] for name in ("labels", "rank"))
        assert np.bincount(labels).tolist() == [min(BUFFER // len(seen), EACH)] * len(seen)
        for label in seen:
            assert sorted(ranks[labels == label]) == list(range(BUFFER // len(seen)))
