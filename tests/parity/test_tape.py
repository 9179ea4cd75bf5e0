from pathlib import Path

import numpy as np
import pytest

from tests.parity import tape

VALUES = {
    "a": np.arange(6, dtype=np.float32).reshape(2, 3),
    "b": np.array(7, np.int64),
    "c": np.zeros((0, 4), np.float64),
    "d": np.array([True, False]),
    "e": np.asfortranarray(np.arange(6, dtype=np.int32).reshape(2, 3)),
    "f": np.arange(3, dtype=np.uint8),
}


def test_results_come_back_as_they_were(tmp_path: Path) -> None:
    tape.write_results(tmp_path, VALUES)
    found = tape.results(tmp_path)
    assert [name for name, _ in found] == list(VALUES)
    for (_, array), wanted in zip(found, VALUES.values(), strict=True):
        assert (array.dtype, array.shape) == (wanted.dtype, wanted.shape)
        assert array.tobytes() == wanted.tobytes()


def test_a_name_may_come_again(tmp_path: Path) -> None:
    with tape.Writer(tmp_path, tape.RESULTS) as writer:
        writer.value("a", VALUES["a"])
        writer.value("a", VALUES["b"])
    assert [(name, array.shape) for name, array in tape.results(tmp_path)] == [("a", (2, 3)), ("a", ())]


def test_equal_bytes_are_stored_once_and_all_are_aligned(tmp_path: Path) -> None:
    with tape.Writer(tmp_path) as writer:
        for name in "xyz":
            writer.value(name, VALUES["a"] + (name == "y"))
    offsets = [int(parts[4]) for parts in tape.instructions(tmp_path)]
    assert offsets[0] == offsets[2] != offsets[1]
    assert all(offset % tape.ALIGNED == 0 for offset in offsets)


@pytest.mark.parametrize("parts", [("write", "state:a"), ("join", "v", "1/loss", "2/loss"), ("end",)])
def test_an_instruction_is_a_line(tmp_path: Path, parts: tuple[str, ...]) -> None:
    with tape.Writer(tmp_path) as writer:
        writer.line(*parts)
    assert list(tape.instructions(tmp_path)) == [list(parts)]
