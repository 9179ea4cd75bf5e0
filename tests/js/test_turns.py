"""A run that begins in Python goes on in Node and ends in Python, and the other way round, as if it had stayed."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from sparcl_compile.interface.artifact import Artifact
from sparcl_compile.runtime.learner.learner import Learner
from tests.js import tools
from tests.support.story import DATA, compiled

Orders = Sequence[Sequence[Any]]
EPOCHS = 3
OF_A_TASK, TESTED = 48, 60
RATE = 0.02
"""Below the artifact's own, at which a rounding parts two runtimes (docs/portability.md)."""
TURNS: Sequence[Orders] = (
    [("learn", 0, OF_A_TASK, {"epochs": EPOCHS, "steps": 5})],
    [("learn", None, None, {}), ("learn", OF_A_TASK, 2 * OF_A_TASK, {"epochs": EPOCHS, "steps": 4})],
    [("learn", None, None, {}), *(("observe", 96 + row, None, {"epochs": EPOCHS}) for row in range(5))],
    [*(("observe", 101 + row, None, {"epochs": EPOCHS}) for row in range(3)), ("evaluate", 104, 104 + TESTED)],
)
"""Two tasks of two digits, the first and the second of them broken off in an epoch, and one of observed samples."""


@pytest.fixture(scope="module")
def artifact(built: None, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    folder = tmp_path_factory.mktemp("turns")
    made = compiled(folder)
    with np.load(folder / DATA) as data:
        images, labels = data["images"], data["labels"]
    rows = [np.flatnonzero(np.isin(labels, classes)) for classes in ((0, 1), (2, 3), range(6))]
    chosen = np.concatenate([rows[0][:OF_A_TASK], rows[1][:OF_A_TASK], rows[2][:8], rows[2][-TESTED:]])
    save_file({"x": images[chosen], "labels": labels[chosen].astype(np.int64)}, folder / "samples.safetensors")
    return made


def samples(artifact: Artifact) -> Path:
    return artifact.folder.parent / "samples.safetensors"


def in_python(artifact: Artifact, state: Path, orders: Orders) -> list[dict[str, Any]]:
    """The results of calls of Python's learner, with the names that JavaScript has for them."""
    tensors = load_file(samples(artifact))
    x, labels = tensors["x"], tensors["labels"]
    found = []
    with Learner.open(artifact, state, learning_rate=RATE, threads=1) as learner:
        for call, start, stop, *budget in orders:
            given = budget[0] if budget else {}
            if call == "evaluate":
                scored = learner.evaluate(x[start:stop], labels[start:stop])
                found.append({"accuracy": scored.accuracy, "byClass": dict(scored.by_class)})
                continue
            if call == "observe":
                ended = learner.observe(x[start], labels[start], **given)
            else:
                ended = learner.learn(*(() if start is None else (x[start:stop], labels[start:stop])), **given)
            found.append({"reason": ended.reason, "steps": ended.steps, "loss": ended.loss})
    return found


def in_node(artifact: Artifact, state: Path, orders: Orders) -> list[dict[str, Any]]:
    given = (artifact.folder, state, samples(artifact), json.dumps(orders), str(RATE))
    text = tools.run("node", "dist/test/turns.js", *given)
    found: list[dict[str, Any]] = json.loads(text)
    return found


@pytest.mark.parametrize("first", [in_python, in_node])
def test_a_run_that_changes_its_language_ends_as_one_that_stays(first: Any, artifact: Artifact, tmp_path: Path) -> None:
    stayed = [one for orders in TURNS for one in in_python(artifact, tmp_path / "stayed", orders)]
    languages = [in_python, in_node] if first is in_python else [in_node, in_python]
    changed = [
        one for turn, orders in enumerate(TURNS) for one in languages[turn % 2](artifact, tmp_path / "changed", orders)
    ]
    for own, other in zip(changed[:-1], stayed[:-1], strict=True):
        assert (own["reason"], own["steps"]) == (other["reason"], other["steps"])
        assert own["loss"] == pytest.approx(other["loss"], abs=1e-3)
    assert changed[-1]["accuracy"] == pytest.approx(stayed[-1]["accuracy"], abs=1.0)
    states = [load_file(tmp_path / name / "state.safetensors") for name in ("stayed", "changed")]
    assert states[0].keys() == states[1].keys()
    for name, array in states[0].items():
        if array.dtype.kind in "iu" or "mask" in name or name == "sample_keep":
            np.testing.assert_array_equal(states[1][name], array, err_msg=name)
        else:
            np.testing.assert_allclose(states[1][name], array, rtol=1e-3, atol=1e-3, err_msg=name)
    assert sorted(path.name for path in (tmp_path / "changed").iterdir()) == ["state.safetensors"]


def test_a_folder_is_held_against_the_other_language(artifact: Artifact, tmp_path: Path) -> None:
    in_node(artifact, tmp_path, TURNS[0])
    with (
        Learner.open(artifact, tmp_path, threads=1),
        pytest.raises(tools.Unready, match=r"StateError: .* is in use by .*pytest"),
    ):
        in_node(artifact, tmp_path, TURNS[1])
