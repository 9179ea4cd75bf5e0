"""A recorded run, replayed in this ONNX Runtime, and in those that `make parity` has fetched."""

import dataclasses
import shutil
from pathlib import Path

import pytest
from safetensors.numpy import save_file

from models.export import export
from sparcl_compile.compiling.compiler import compile_model
from sparcl_compile.interface.artifact import load
from tests.android import phone
from tests.conformance.kit import SAMPLES, Kit
from tests.conformance.record import CASES, SHAPE, network, samples
from tests.conformance.replay import learn, prepared
from tests.parity import node, replay, tape
from tests.parity.compare import compare, graphs, last, same
from tests.parity.recorder import GRAPHS, LEARNING, Recorder
from tests.parity.replayers import Replayer, needs_kernels
from tests.runtime.kernels.arm64.machine import Unready

CASE = CASES["er_channels"]
STEPS = 12


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recorded")
    kit = Kit(folder / "kit")
    kit.folder.mkdir()
    export(network(CASE.widths), SHAPE, folder / "network.onnx")
    compile_model(folder / "network.onnx", kit.artifact, dataclasses.replace(CASE.options, ort_format=True))
    save_file(samples(CASE.samples), kit.folder / SAMPLES)
    run = prepared(kit, CASE.run, folder)
    with Recorder(run.engine, run.trainer._interpreter, load(kit.artifact), folder):
        learn(run, CASE.run)
    return folder


@pytest.fixture(scope="module")
def replayed(recorded: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("replayed")
    for name in (GRAPHS, LEARNING):
        replay.main(recorded / name, folder / name)
    return folder


def test_a_replayed_run_is_the_run(recorded: Path, replayed: Path) -> None:
    found, wanted = (tape.results(folder / LEARNING) for folder in (replayed, recorded))
    difference = compare(found, wanted, STEPS)
    assert (difference.steps, difference.unequal) == (STEPS, "")
    assert difference.loss <= 1e-6
    assert [name for name, _ in found] == [name for name, _ in wanted]
    assert last(found, "class_il") == pytest.approx(last(wanted, "class_il"))


def test_every_graph_of_the_run_is_on_the_other_tape(recorded: Path, replayed: Path) -> None:
    ran = {parts[1] for parts in tape.instructions(recorded / LEARNING) if parts[0] == "run"}
    found = graphs(replayed / GRAPHS, recorded / GRAPHS)
    assert {one.graph for one in found} == ran
    assert {"train", "update_masks", "write_buffer", "order"} <= ran
    assert all(one.fine for one in found)


def test_graphs_in_ort_format_give_the_same_bits(recorded: Path, tmp_path: Path) -> None:
    shutil.copytree(recorded / GRAPHS, tmp_path / "tape")
    text = (tmp_path / "tape/tape.tsv").read_text(encoding="utf-8")
    assert text.count(".onnx\t") > 15
    (tmp_path / "tape/tape.tsv").write_text(text.replace(".onnx\t", ".ort\t"), encoding="utf-8")
    replay.main(tmp_path / "tape", tmp_path / "found")
    replay.main(recorded / GRAPHS, tmp_path / "wanted")
    found, wanted = (tape.results(tmp_path / name) for name in ("found", "wanted"))
    assert [name for name, _ in found] == [name for name, _ in wanted]
    assert [name for (name, one), (_, two) in zip(found, wanted, strict=True) if not same(one, two)] == []


def test_the_losses_are_the_replayed_graphs_own(recorded: Path) -> None:
    """A tape that carried the recorded losses along would agree with everything."""
    lines = list(tape.instructions(recorded / LEARNING))
    checks = [number for number, parts in enumerate(lines) if parts == ["run", "check_loss"]]
    assert checks
    given = {parts[2] for number in checks for parts in lines[number + 1 : number + 4] if parts[1] == "losses"}
    values = {parts[1] for parts in lines if parts[0] == "value"}
    assert given
    assert not given & values


def test_another_first_state_is_found(recorded: Path, tmp_path: Path) -> None:
    shutil.copytree(recorded / LEARNING, tmp_path / "tape")
    weight = next(parts for parts in tape.instructions(recorded / LEARNING) if parts[1].endswith("weight"))
    raw = bytearray((tmp_path / "tape/tape.bin").read_bytes())
    raw[int(weight[4]) + 3] ^= 0x80  # the sign of the first weight
    (tmp_path / "tape/tape.bin").write_bytes(raw)
    replay.main(tmp_path / "tape", tmp_path / "found")
    found, wanted = tape.results(tmp_path / "found"), tape.results(recorded / LEARNING)
    assert compare(found, wanted, STEPS).loss > 1e-4


BUILD = Path(__file__).resolve().parents[2] / "build"


@pytest.fixture(params=[*node.PACKAGES, "Android x86_64", "Linux x86_64, C API"])
def replayer(request: pytest.FixtureRequest, tmp_path: Path) -> Replayer:
    fetched, name = BUILD / ("parity/node" if request.param in node.PACKAGES else "android/package"), request.param
    if not fetched.exists():
        pytest.skip(f"needs what `make parity` fetches into {fetched.relative_to(BUILD.parent)}")
    try:
        if name in node.PACKAGES:
            return node.replayer(name, fetched)
        (tmp_path / "package").symlink_to(fetched)
        return phone.android("x86_64", tmp_path) if name.startswith("Android") else phone.linux(tmp_path)
    except Unready as error:
        pytest.skip(str(error))


def test_other_languages_give_the_same(recorded: Path, tmp_path: Path, replayer: Replayer) -> None:
    replayer.replay(recorded / GRAPHS, tmp_path / "graphs")
    replayer.replay(recorded / LEARNING, tmp_path / "found", STEPS)
    assert all(one.fine for one in graphs(tmp_path / "graphs", recorded / GRAPHS))
    found = tape.results(tmp_path / "found")
    difference = compare(found, tape.results(recorded / LEARNING), STEPS)
    assert (difference.steps, difference.unequal) == (STEPS, "")
    assert difference.loss <= 1e-4
    assert sum(name.endswith("/loss") for name, _ in found) == STEPS


def test_a_runtime_without_custom_operators_says_so(tmp_path: Path) -> None:
    with tape.Writer(tmp_path) as writer:
        writer.line("graph", "train", "train.onnx", 1)
    assert needs_kernels(tmp_path)
    with pytest.raises(Unready, match=r"^no custom operators$"):
        Replayer("x", "1", ("false",), None, "no custom operators").replay(tmp_path, tmp_path / "found")


def test_a_program_that_fails_is_quoted(tmp_path: Path) -> None:
    with tape.Writer(tmp_path) as writer:
        writer.line("mark")
    command = ("sh", "-c", "echo first >&2; echo last >&2; exit 3")
    with pytest.raises(Unready, match=r"^exit code 3: last$"):
        Replayer("x", "1", command, None, "").replay(tmp_path, tmp_path / "found")
