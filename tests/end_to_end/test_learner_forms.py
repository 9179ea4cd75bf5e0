"""A learner of any form of artifact goes on in the middle of an epoch as if it had not stopped."""

from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import load_file

from sparcl_compile.interface.artifact import Artifact
from sparcl_compile.runtime.session.kernel_library import library
from tests.support import story

TASKS = ((0, 1), (2, 3))
EPOCHS = 2
FORMS: dict[str, dict[str, Any]] = {
    "channels folded, er merged, adamw": {
        "scheme": "channel",
        "sparsity": 0.5,
        "method": "er",
        "replay_batches": "merged",
        "optimizer": "adamw",
    },
    "kept weights alone, momentum": {"compress": True, "momentum": 0.9, "sparsity": 0.9},
    "without replay, reference code": {"method": "finetune", "recipe": "reference-code"},
    "first masks by gradients": {"mask_policy": "snip"},
    "dense, fine-tuning": {"method": "finetune", "sparsity": 0.0, "gradient_sparsity": 0.0, "data_removal": 0.0},
}


def learned(artifact: Artifact, state: Path, steps: int | None) -> dict[str, bytes]:
    """The state behind both tasks, learned at once or so many steps at a time, each part in a learner of its own."""
    folder, going_on = artifact.folder.parent, True
    while going_on:
        with story.opened(artifact, state, augment="crop_flip") as learner:
            given = () if learner.under_way else story.digits(folder, TASKS[learner.tasks], each=16)
            learner.learn(*given, epochs=EPOCHS, steps=steps)
            going_on = learner.under_way or learner.tasks < len(TASKS)
    with story.opened(artifact, state) as learner:
        images, names = story.digits(folder, (0, 1, 2, 3), each=8)
        assert len(learner.evaluate(images, names).by_class) == 4
        assert learner.report().steps >= 2 * EPOCHS * len(TASKS)
    return {name: array.tobytes() for name, array in load_file(state / "state.safetensors").items()}


@pytest.mark.parametrize("name", FORMS)
def test_steps_by_steps(name: str, tmp_path: Path) -> None:
    if FORMS[name].get("compress") and library() is None:
        pytest.skip("there is no kernel library")
    artifact = story.compiled(tmp_path, **FORMS[name])
    whole = learned(artifact, tmp_path / "whole", None)
    parts = learned(artifact, tmp_path / "parts", 5)
    assert whole.keys() == parts.keys()
    assert [one for one in whole if whole[one] != parts[one]] == []
