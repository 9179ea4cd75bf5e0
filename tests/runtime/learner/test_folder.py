"""The folder of a state: a learner removes what is its own, and nothing else."""

from pathlib import Path

from sparcl_compile.runtime import checkpoint
from sparcl_compile.runtime.learner.folder import StateFolder

OTHERS = {"samples-train.safetensors", "photos.new.20261130", ".photos.new.20261130", "readme.txt"}
LEFT = {
    ".pending.safetensors.new.0123abcd",
    ".samples-0123456789abcdef.safetensors.new.0123abcd",
    ".samples-HASH.safetensors.new.0123abcd",
    ".state.safetensors.new.0123abcd",
}
TASK = "samples-0123456789abcdef.safetensors"


def test_other_files_are_left_alone(tmp_path: Path) -> None:
    for name in {*OTHERS, *LEFT, TASK}:
        (tmp_path / name).write_text(name)
    folder = StateFolder(tmp_path)
    with folder.held():
        folder.tidy({"learning": {"file": TASK}})
        assert {path.name for path in tmp_path.iterdir()} == {*OTHERS, TASK, ".lock"}
        folder.tidy({"learning": None})
    assert OTHERS <= {path.name for path in tmp_path.iterdir()} <= {*OTHERS, ".lock"}


def test_what_a_damaged_state_may_name_is_left_alone(tmp_path: Path) -> None:
    for name in (TASK, checkpoint.PREVIOUS):
        (tmp_path / name).write_text(name)
    StateFolder(tmp_path).tidy({"learning": None})
    assert (tmp_path / TASK).exists()
