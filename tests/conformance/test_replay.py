"""The kits accept this project's driver, a driver that rounds otherwise, and none that does something else."""

import copy
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from sparcl_compile.interface import program as ops
from sparcl_compile.runtime.driver import interpreter
from sparcl_compile.runtime.driver.interpreter import Interpreter
from sparcl_compile.runtime.session.engine import Engine
from tests.conformance.compare import main as compare
from tests.conformance.kit import FOLDER, Kit, kits
from tests.conformance.replay import learn, prepared, replayed
from tests.conformance.trace import differences, to_text
from tests.support.cli import ENVIRONMENT

KITS = kits()


NAMES = [
    pytest.param(name, marks=pytest.mark.training_build if one.target == "ort-training" else ())
    for name, one in KITS.items()
]


@pytest.fixture(scope="module", params=NAMES)
def kit(request: pytest.FixtureRequest) -> Kit:
    return KITS[request.param]


def test_this_projects_driver_is_accepted(kit: Kit, tmp_path: Path) -> None:
    assert list(differences(replayed(kit, tmp_path), kit.trace)) == []


@pytest.mark.parametrize("seed", [0, 1])
def test_a_driver_that_rounds_otherwise_is_accepted(seed: int, kit: Kit, tmp_path: Path) -> None:
    """Every number of the first state is rounded ten times as coarsely as float32 rounds."""
    told = kit.trace["run"]
    run, random = prepared(kit, told, tmp_path), np.random.default_rng(seed)
    for name in run.engine.names("parameter"):
        array = run.engine.array(name)
        array *= (1 + 1e-6 * random.uniform(-1, 1, array.shape)).astype(np.float32)
    found = learn(run, told)
    assert json.dumps(found) != json.dumps(kit.trace)
    assert list(differences(found, kit.trace)) == []


def test_all_kits_together_have_every_form(root: Path) -> None:
    """Every verb, every way of replay and both types of samples are in one of them."""
    assert len(KITS) == 5
    manifests = [json.loads((kit.artifact / "manifest.json").read_text()) for kit in KITS.values()]
    text = "".join(json.dumps(found["program"]) for found in manifests)
    verbs = {"run", "when", "each", "rows", "slice", "gather", "reset", "set", "count", "due", "fail", "call"}
    assert all(f'"do": "{verb}"' in text for verb in verbs)
    options = [found["options"] for found in manifests]
    assert {one["target"] for one in options} == {"ort", "ort-training"}
    assert {one["replay_batches"] for one in options} == {"separate", "merged"}
    assert {one["method"] for one in options} == {"der++", "er", "joint"}
    assert {one["scheme"] for one in options} == {"unstructured", "channel"}
    assert {one["recipe"] for one in options} == {"paper", "reference-code"}
    assert {str(kit.samples["x_train"].dtype) for kit in KITS.values()} == {"uint8", "float32"}
    told = [kit.trace["run"] for kit in KITS.values()]
    assert {one["class_order_seed"] is None for one in told} == {True, False}
    assert {one["augment"] for one in told} == {0, 1}
    graphs = {call["graph"] for kit in KITS.values() for call in kit.trace["calls"]}
    assert {"update_masks", "update_gradient_masks", "remove_samples", "replay_batch", "write_buffer"} <= graphs
    assert '"graph": "train_first"' in text


def test_a_kit_is_small(kit: Kit) -> None:
    assert sum(path.stat().st_size for path in kit.folder.rglob("*") if path.is_file()) < 900_000


WITHOUT_COMPILER = """
import sys
for module in ("torch", "onnx", "onnx_ir", "onnxscript", "sparcl_compile.compiling", "sparcl_compile.passes"):
    sys.modules[module] = None
from pathlib import Path
from tests.conformance.kit import kits
from tests.conformance.replay import replayed
from tests.conformance.trace import differences
kit = kits()["der"]
print(len(list(differences(replayed(kit, Path(sys.argv[1])), kit.trace))))
"""


def test_it_needs_no_compiler(root: Path, tmp_path: Path) -> None:
    environment = {**ENVIRONMENT, "PYTHONPATH": str(root)}
    command = [sys.executable, "-c", WITHOUT_COMPILER, str(tmp_path)]
    found = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path)
    assert (found.returncode, found.stdout) == (0, "0\n"), found.stderr


# Drivers with one fault each

Patch = Callable[[pytest.MonkeyPatch], None]


def into_the_accumulators(patch: pytest.MonkeyPatch) -> None:
    """The second gradient lands where the first one is."""
    run = Engine.run

    def faulty(engine: Engine, graph: str, feeds: Any, instead: Any = None) -> Any:
        return run(engine, graph, feeds, instead and {name: to.replace(".g2", ".g1") for name, to in instead.items()})

    patch.setattr(Engine, "run", faulty)


def all_gradients_in_one(patch: pytest.MonkeyPatch) -> None:
    """The flag that overwrites the accumulators is never set: gradients of all steps add up."""
    run = Engine.run

    def faulty(engine: Engine, graph: str, feeds: Any, instead: Any = None) -> Any:
        return run(
            engine, graph, {**feeds, **({"lazy_reset_grad": np.array([False])} if graph == "train" else {})}, instead
        )

    patch.setattr(Engine, "run", faulty)


def late_events(patch: pytest.MonkeyPatch) -> None:
    """Events come a step late."""

    def faulty(at: tuple[int, int], epoch: int, epochs: int, done: int, total: int) -> bool:
        numerator, denominator = at
        return (epoch * total + done - 1) * denominator >= numerator * total * epochs

    patch.setattr(interpreter, "reached", faulty)


def batches_before_feeds(patch: pytest.MonkeyPatch) -> None:
    """A batch's own values go before the feeds: the current batch is measured over all classes."""
    original = Interpreter._run

    def faulty(self: Interpreter, op: ops.Run) -> None:
        feeds = {name: source for name, source in op.feeds.items() if f"{op.take}.{name}" not in self.values}
        original(self, ops.Run(op.graph, op.take, feeds, op.give, op.results, op.into))

    patch.setitem(interpreter.VERBS, ops.Run, faulty)  # type: ignore[arg-type]


def always_the_first_step(patch: pytest.MonkeyPatch) -> None:
    """The optimizer's steps are not counted."""
    original = Interpreter._count

    def faulty(self: Interpreter, op: ops.Count) -> None:
        if op.name != "count":
            original(self, op)

    patch.setitem(interpreter.VERBS, ops.Count, faulty)  # type: ignore[arg-type]


def no_running_statistics(patch: pytest.MonkeyPatch) -> None:
    """The next running statistics are not taken over."""
    run = Engine.run

    def faulty(engine: Engine, graph: str, feeds: Any, instead: Any = None) -> Any:
        held = {name: engine.array(name).copy() for name in engine.names("running_stat")}
        found = run(engine, graph, feeds, instead)
        for name, array in held.items():
            engine.array(name)[...] = array
        return found

    patch.setattr(Engine, "run", faulty)


def samples_that_come_back(patch: pytest.MonkeyPatch) -> None:
    """A sample that is removed in a task is removed until the next epoch only."""
    original = Interpreter.call

    def faulty(self: Interpreter, block: str) -> None:
        if block == "begin_epoch":
            self._engine.reset(["sample_keep"])
        original(self, block)

    patch.setattr(Interpreter, "call", faulty)


FAULTS: dict[str, tuple[Patch, ...]] = {
    "der": (
        into_the_accumulators,
        all_gradients_in_one,
        late_events,
        batches_before_feeds,
        no_running_statistics,
        samples_that_come_back,
    ),
    "er_channels": (late_events, always_the_first_step, no_running_statistics),
    "er_dense": (into_the_accumulators, batches_before_feeds),
}


@pytest.mark.parametrize(("name", "fault"), [(name, fault) for name, faults in FAULTS.items() for fault in faults])
def test_a_driver_with_a_fault_is_refused(
    name: str, fault: Patch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fault(monkeypatch)
    assert list(differences(replayed(KITS[name], tmp_path), KITS[name].trace))


# The comparison


def change(trace: dict[str, Any], *path: Any, to: Any) -> dict[str, Any]:
    """A copy of a trace with another value in one place."""
    made = copy.deepcopy(trace)
    place: Any = made
    for part in path[:-1]:
        place = place[part]
    place[path[-1]] = to
    return made


MADE = {
    "run": {"seed": 3},
    "calls": [
        {"graph": "order", "at": [0, 0, 0], "order": [2, 0, 1], "steps": 3},
        {"graph": "check_loss", "at": [0, 0, 0], "loss": 1.5},
        {"graph": "update_masks", "at": [0, 0, 1], "mask": "abc"},
    ],
    "end": {"class_il": 50.0, "accuracy.class": [[50.0, None], [0.0, 25.0]]},
}


@pytest.mark.parametrize(
    ("path", "to"),
    [
        (("calls", 1, "loss"), 1.5001),
        (("calls", 1, "loss"), 1.49992),
        (("end", "class_il"), 50),
        (("end", "accuracy.class", 1, 0), 9e-7),
    ],
)
def test_a_number_with_a_fraction_may_be_a_little_off(path: tuple[Any, ...], to: Any) -> None:
    assert list(differences(change(MADE, *path, to=to), MADE)) == []


@pytest.mark.parametrize(
    ("path", "to", "line"),
    [
        (("calls", 1, "loss"), 1.501, "calls[1] (check_loss at [0, 0, 0]).loss: 1.501, recorded is 1.5"),
        (("calls", 1, "loss"), None, "calls[1] (check_loss at [0, 0, 0]).loss: null, recorded is 1.5"),
        (("calls", 0, "order"), [0, 2, 1], "calls[0] (order at [0, 0, 0]).order[0]: 0, recorded is 2"),
        (("calls", 0, "order"), [2, 0], "calls[0] (order at [0, 0, 0]).order: 2 entries, recorded is 3 entries"),
        (("calls", 0, "steps"), 3.0, "calls[0] (order at [0, 0, 0]).steps: 3.0, recorded is 3"),
        (("calls", 0, "steps"), True, "calls[0] (order at [0, 0, 0]).steps: true, recorded is 3"),
        (("calls", 2, "mask"), "abd", 'calls[2] (update_masks at [0, 0, 1]).mask: "abd", recorded is "abc"'),
        (("calls",), [], "calls: 0 entries, recorded is 3 entries"),
        (("end", "accuracy.class", 0, 1), 0.0, "end.accuracy.class[0][1]: 0.0, recorded is null"),
        (("end", "class_il"), True, "end.class_il: true, recorded is 50.0"),
        (("end", "more"), 1, "end.more: 1, recorded is null"),
    ],
)
def test_all_else_is_a_difference(path: tuple[Any, ...], to: Any, line: str) -> None:
    assert next(differences(change(MADE, *path, to=to), MADE)) == line


def test_what_is_missing_is_a_difference() -> None:
    made = copy.deepcopy(MADE)
    del made["end"]
    assert next(differences(made, MADE)).startswith("end: null, recorded is {")


def test_a_trace_is_written_line_by_line_and_read_as_it_was() -> None:
    text = to_text(MADE)
    assert json.loads(text) == MADE
    assert len(text.splitlines()) == 9


def test_the_command_says_whether_a_driver_is_accepted(tmp_path: Path) -> None:
    kit, path = KITS["der"], tmp_path / "trace.json"
    path.write_text(json.dumps(kit.trace))
    accepted = CliRunner().invoke(compare, ["der", str(path)])
    assert (accepted.exit_code, accepted.output) == (0, "der: accepted\n")
    path.write_text(json.dumps(change(kit.trace, "calls", 0, "length", to=7)))
    refused = CliRunner().invoke(compare, ["der", str(path)])
    assert refused.exit_code == 1
    assert refused.output.splitlines()[0].startswith("calls[0] (order at [0, 0, 0]).length: 7, recorded is ")
    assert "der: 1 differences" in refused.output


@pytest.mark.parametrize(
    ("kit_name", "content", "message"), [("der", "{", "is no JSON"), ("dor", "{}", "'dor' is not")]
)
def test_the_command_refuses_what_it_cannot_compare(kit_name: str, content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "trace.json").write_text(content)
    refused = CliRunner().invoke(compare, [kit_name, str(tmp_path / "trace.json")])
    assert refused.exit_code == 2
    assert message in refused.output


def test_the_readme_names_the_parts(root: Path) -> None:
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert all(f"`{name}`" in text for name in KITS)
