"""What the tests of a learner share: samples of digits, and the content of its state."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open

from sparcl_compile.interface.artifact import Artifact
from tests.support import story

EPOCHS = 3
STATE = "state.safetensors"
Part = tuple[np.ndarray, list[str]]


def digits(artifact: Artifact, *classes: int, **more: int) -> Part:
    return story.digits(artifact.folder.parent, classes, **more)


def content(state: Path) -> tuple[dict[str, np.ndarray], dict[str, Any], dict[str, Any]]:
    """The tensors of a state, its progress but for the time that it took, and its identity."""
    with safe_open(state / STATE, framework="numpy") as file:
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
        progress, identity = (json.loads(file.metadata()[name]) for name in ("progress", "identity"))
    del progress["seconds"]
    return arrays, progress, identity


def check_same(state: Path, other: Path) -> None:
    """Check that two states are equal to the bit."""
    one, two = content(state), content(other)
    assert one[1:] == two[1:]
    assert one[0].keys() == two[0].keys()
    assert [name for name in one[0] if one[0][name].tobytes() != two[0][name].tobytes()] == []
