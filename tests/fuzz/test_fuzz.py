"""The fuzzer itself, and a fixed handful of its cases through every command."""

import itertools
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import numpy as np
import pytest

from sparcl_compile.runtime import tensor_files
from tests.fuzz import material, worker
from tests.fuzz.judge import faults_of, leftovers
from tests.fuzz.models import MODELS, mutated_model
from tests.fuzz.targets import ALL, FIRST_LATER, LATER, LEARNER, TARGETS, numbers, prepared, target_of
from tests.fuzz.tensors import ARRAYS, mutate_arrays, sealed
from tests.fuzz.values import BYTES, JSON, mutate_json, mutated_bytes, places
from tests.support.cli import COMMANDS, Outcome, contents
from tests.support.zoo import ZOO

CASES = [*range(16 * len(TARGETS)), *range(FIRST_LATER, FIRST_LATER + 16 * len(LATER))]
REFUSED = Outcome(2, "", "error: no\n")


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sound")
    material.make(folder)
    return folder


@pytest.fixture(scope="module")
def runner(sound: Path) -> Iterator[worker.Worker]:
    one = worker.Worker(sound, seed=0)
    yield one
    one.stop()


def test_no_case_is_a_fault(runner: worker.Worker) -> None:
    found = [runner.run(number) for number in CASES]
    faults = {number: verdict.faults for number, verdict in zip(CASES, found, strict=True) if verdict.faults}
    assert not faults
    assert {verdict.target for verdict in found} == set(ALL)
    assert {verdict.code for verdict in found} == {0, 2}


LEARNS_AS_LONG_AS_IT_SAYS = "bench"
"""No target: a changed digit of a grid is another number of epochs. ``tests/bench`` has the grids that are refused."""


READS_NO_FILE = "doctor"


def test_every_command_is_a_target() -> None:
    without = {LEARNS_AS_LONG_AS_IT_SAYS, READS_NO_FILE}
    assert {target.command for target in TARGETS.values()} == set(COMMANDS) - without
    assert {target.command for target in LATER.values()} == {LEARNER}


def test_cases_of_later_targets_have_numbers_of_their_own() -> None:
    found = list(itertools.islice(numbers(0), 2 * len(TARGETS) + 2))
    assert [number for number in found if number < FIRST_LATER] == list(range(2 * len(TARGETS)))
    assert [number for number in found if number >= FIRST_LATER] == [FIRST_LATER, FIRST_LATER + 1]
    assert [target_of(number) for number in range(len(TARGETS))] == list(TARGETS)
    assert {target_of(FIRST_LATER + number) for number in range(len(LATER))} == set(LATER)
    assert next(numbers(FIRST_LATER + 7)) == FIRST_LATER + 7
    assert {target_of(number, "learner") for number in range(9)} == set(LATER)


ONE_OF_EACH = {**dict(enumerate(TARGETS)), **{FIRST_LATER + number: name for number, name in enumerate(LATER)}}


@pytest.mark.parametrize("number", ONE_OF_EACH, ids=ONE_OF_EACH.values())
def test_a_case_is_its_seed_and_its_number(number: int, sound: Path, tmp_path: Path) -> None:
    made = []
    for _ in range(2):
        case = prepared(sound, tmp_path, 3, number)
        made.append((case, contents(tmp_path)))
        for path in sorted(tmp_path.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
    assert made[0] == made[1]


@pytest.mark.parametrize("seed", range(20))
def test_mutations_are_the_generator_s(seed: int) -> None:
    content = ZOO["cnn_bn"]().SerializeToString()
    for change in (mutated_bytes, mutated_model):
        assert change(content, Random(seed)) == change(content, Random(seed))


@pytest.mark.parametrize("name", MODELS)
def test_a_mutation_of_a_model_mostly_changes_it(name: str) -> None:
    changed = 0
    for seed in range(10):
        model = ZOO["cnn_bn"]()
        before = model.SerializeToString(deterministic=True)
        MODELS[name](model, Random(seed))
        changed += model.SerializeToString(deterministic=True) != before
    assert changed >= 2


@pytest.mark.parametrize("name", BYTES)
def test_a_mutation_of_bytes_changes_them(name: str) -> None:
    before = Random(0).randbytes(200)
    changed = []
    for seed in range(10):
        content = bytearray(before)
        BYTES[name](content, Random(seed))
        changed.append(bytes(content) != before)
    assert sum(changed) >= 5


@pytest.mark.parametrize("name", JSON)
def test_a_mutation_of_json_changes_a_place(name: str) -> None:
    changed = 0
    for seed in range(10):
        content = {"a": [1, 2, {"b": "x"}], "c": 1.5, "d": "y"}
        before, found = repr(content), places(content)
        JSON[name](found[seed % len(found)], found, Random(seed))
        changed += repr(content) != before
    assert changed >= 2


def test_json_with_empty_parts_is_mutated() -> None:
    for seed in range(200):
        content = {"a": [1, 2, {"b": "x"}], "c": {}}
        mutate_json(content, Random(seed))


@pytest.mark.parametrize("name", ARRAYS)
def test_a_mutation_of_arrays(name: str) -> None:
    changed = 0
    for seed in range(10):
        arrays = {"x": np.arange(6.0).reshape(2, 3), "y": np.arange(2)}
        before = repr(arrays)
        ARRAYS[name](arrays, Random(seed))
        changed += repr(arrays) != before
    assert changed >= 3


def test_arrays_may_run_out() -> None:
    arrays = {"x": np.arange(2)}
    for seed in range(100):
        mutate_arrays(arrays, Random(seed))


def test_a_checkpoint_of_the_material_is_sound_and_a_changed_one_gets_past_its_checksum(sound: Path) -> None:
    """Else no case would reach what is behind it."""
    path = next(sound.glob("*.run/state.safetensors"))
    arrays, texts = tensor_files.read(path, "no", ("progress", "identity"))
    name = next(name for name, array in arrays.items() if array.dtype == np.float32)
    path.with_name("other").write_bytes(sealed({**arrays, name: arrays[name] + 1}, texts))
    again, _ = tensor_files.read(path.with_name("other"), "no", ("progress", "identity"))
    np.testing.assert_array_equal(again[name], arrays[name] + 1)
    path.with_name("other").unlink()


@pytest.mark.parametrize(
    ("outcome", "left", "noise", "kinds"),
    [
        (Outcome(0, "fine\n", "note: so\nand so\n"), [], "library", []),
        (REFUSED, [], "", []),
        (Outcome(1, "", "no"), [], "", ["exit code 1"]),
        (Outcome(2, "", "error: a\nerror: b\n"), [], "", ["a refusal is not one line"]),
        (Outcome(2, "", ""), [], "", ["a refusal is not one line"]),
        (REFUSED, [], "[W:onnxruntime", ["a library writes to stderr"]),
        (REFUSED, ["out.onnx"], "", ["leaves half-written output"]),
        (Outcome(0, "Traceback (most", ""), [], "", ["says Traceback"]),
        (Outcome(2, "", "error: x; please report this\n"), [], "", ["says please report"]),
    ],
)
def test_what_a_fault_is(outcome: Outcome, left: list[str], noise: str, kinds: list[str]) -> None:
    assert list(faults_of(outcome, left, noise)) == kinds


@pytest.mark.parametrize(
    ("command", "code", "after", "left"),
    [
        ("compile", 2, {"a": "1"}, []),
        ("compile", 2, {"a": "1", ".a.sparcl.x": ""}, [".a.sparcl.x"]),
        ("compile", 2, {"a": "2"}, ["a"]),
        ("compile", 2, {}, ["a"]),
        ("compile", 0, {"a": "1", "b": ""}, []),
        ("compile", 0, {"a": "1", ".b.x": ""}, [".b.x"]),
        ("run", 2, {"a": "1", "a.run": "", "a.run/state.safetensors": "1"}, []),
        (
            "run",
            2,
            {"a": "1", "a.run/.state.safetensors.x": "1", "r.json": ""},
            ["a.run/.state.safetensors.x", "r.json"],
        ),
    ],
)
def test_what_is_left_over(command: str, code: int, after: dict[str, str], left: list[str]) -> None:
    assert leftovers(command, code, {"a": "1"}, after) == left


def _kill(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def _hang(*_: object) -> None:
    signal.pause()


@pytest.mark.parametrize(
    ("end", "seconds", "kind"), [(_kill, 60, "ends with SIGSEGV"), (_hang, 1, "takes more than 1 s")]
)
def test_a_crash_and_a_hang_are_seen_and_the_next_case_runs(
    end: Callable[..., None], seconds: float, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "_serve", end)
    monkeypatch.setattr(worker.Worker, "_start", _start_without_waiting)
    one = worker.Worker(tmp_path, seed=0, seconds=seconds)
    try:
        assert [list(one.run(number).faults) for number in range(2)] == [[kind]] * 2
    finally:
        one.stop()


def _start_without_waiting(self: worker.Worker) -> None:
    self._connection, other = worker.CONTEXT.Pipe()
    self._process = worker.CONTEXT.Process(target=worker._serve, args=(other, *self._settings), daemon=True)
    self._process.start()
    other.close()
