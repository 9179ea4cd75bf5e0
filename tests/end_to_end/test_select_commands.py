"""The choice of kernels through the commands: the compressed layers, the output and the refusals."""

import json
from pathlib import Path

import pytest

from sparcl_compile.compiling.compiler import compile_model
from sparcl_compile.costs import kernel_times
from sparcl_compile.interface.artifact import Artifact, load, read_report
from sparcl_compile.interface.codec import plain
from sparcl_compile.interface.errors import OptionError
from sparcl_compile.interface.report import KernelChoices, Times
from sparcl_compile.passes.lowering.choice.work import Work
from sparcl_compile.passes.lowering.select_kernels import SLOWER
from sparcl_compile.runtime.session import kernel_library as kernels
from sparcl_compile.settings.options import CompileOptions
from tests.support.cli import SMALL_RUN, call, check_refused, contents, done, write_data, write_model

pytestmark = pytest.mark.skipif(kernels.library() is None, reason=kernels.reason())

DENSE, SPARSE = Times(1.0, 2.0), Times(2.0, 0.01)


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return write_model(tmp_path, "resnet")


def compiled(model: Path, *options: object) -> Artifact:
    done("compile", model, "--compress", "--replay-batches", "separate", *options)
    return load(model.with_suffix(".sparcl"))


def choices(made: Artifact) -> KernelChoices:
    found = read_report(made.folder).kernels
    assert found is not None
    return found


def stub(monkeypatch: pytest.MonkeyPatch, times: Times) -> None:
    monkeypatch.setattr(kernel_times, "measure", lambda work, batch: times)


def test_manifest_and_report_hold_form_reason_and_times(model: Path) -> None:
    made = compiled(model, "--batch-size", "8")
    found = choices(made)
    layers = {layer.weight: layer for layer in found.layers}
    assert found.batch == read_report(made.folder).memory.batch == 8
    assert layers
    for weight in made.manifest.weights:
        assert weight.stored in ("masked", "rows", "transposed")
        assert bool(weight.reason) == (weight.stored == "masked")
        chosen = layers[weight.weight]
        assert chosen.reason == weight.reason
        assert chosen.measured is None
        assert min(chosen.estimated.dense, chosen.estimated.sparse, chosen.transposes) > 0
    larger = choices(compiled(model, "--batch-size", "64")).layers
    for before, after in zip(found.layers, larger, strict=True):
        assert before.estimated.dense < after.estimated.dense


def test_layers_that_measure_slower_stay_masked_and_the_artifact_learns(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stub(monkeypatch, DENSE)
    found = compiled(model, "--measure-kernels").manifest
    assert {(weight.stored, weight.reason) for weight in found.weights} == {("masked", SLOWER)}
    assert not found.kernels
    folder = model.with_suffix(".sparcl")
    printed = done("inspect", folder).out
    assert "measured dense" in printed
    assert SLOWER in printed
    done("run", folder, "--data", write_data(tmp_path), *SMALL_RUN)


def test_layers_that_measure_faster_are_compressed(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stub(monkeypatch, SPARSE)
    printed = done("compile", model, "--compress", "--measure-kernels").out
    made = load(model.with_suffix(".sparcl"))
    count = len(made.manifest.weights)
    assert {(weight.stored, weight.reason) for weight in made.manifest.weights} == {("rows", "")}
    assert f"Sparse kernels in {count} of {count} masked layers: the fastest for batches of 96 as measured" in printed
    assert "2,000.00" in printed
    for layer in choices(made).layers:
        assert layer.measured == Times(dense=2.0, sparse=0.01)


def test_the_clock_is_no_part_of_the_identity(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    identities = []
    for run, times in enumerate((SPARSE, Times(3.0, 0.01), DENSE)):
        monkeypatch.setenv("XDG_CACHE_HOME", str(model.parent / f"cache{run}"))
        stub(monkeypatch, times)
        identities.append(compiled(model, "--measure-kernels").identity)
    assert identities[0] == identities[1] != identities[2]


def test_measured_layers_come_from_the_cache_the_second_time(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Work] = []

    def measure(work: Work, batch: int) -> Times:
        seen.append(work)
        return SPARSE

    monkeypatch.setattr(kernel_times, "measure", measure)
    compiled(model, "--measure-kernels")
    assert seen
    assert len(seen) == len(set(seen))
    once = len(seen)
    compiled(model, "--measure-kernels")
    assert len(seen) == once


def test_inspect_shows_the_times_of_every_layer(model: Path) -> None:
    made = compiled(model)
    folder = made.folder
    lines = done("inspect", folder).out.splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("Kernels, estimated ms"))
    for offset, layer in enumerate(made.manifest.weights):
        weight, dense, sparse, transposes, form = lines[start + 2 + offset].split()[:5]
        assert weight == layer.weight
        assert min(float(dense), float(sparse), float(transposes)) >= 0
        assert form == ("dense" if layer.stored == "masked" else "sparse")
    assert json.loads(done("inspect", folder, "--json").out)["kernels"] == plain(choices(made))


def test_without_the_choice_everything_is_compressed(model: Path) -> None:
    made = compiled(model, "--no-select-kernels")
    folder = made.folder
    assert read_report(folder).kernels is None
    assert {weight.stored for weight in made.manifest.weights} == {"rows"}
    assert "Kernels, estimated" not in done("inspect", folder).out
    assert "select_kernels" not in done("inspect", folder).out


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        (("--compress", "--batch-size", "0"), ("--batch-size 0", "from 1")),
        (("--compress", "--batch-size", "many"), ("--batch-size",)),
        (("--measure-kernels",), ("--measure-kernels", "--compress")),
        (("--compress", "--no-select-kernels", "--measure-kernels"), ("--measure-kernels", "--compress")),
    ],
)
def test_refusals(options: tuple[str, ...], parts: tuple[str, ...], tmp_path: Path) -> None:
    path = write_model(tmp_path)
    before = contents(tmp_path)
    check_refused(call("compile", path, *options), *parts)
    assert contents(tmp_path) == before


def no_pass(trace: object, model: object) -> None:
    """A watcher that must not be called."""
    pytest.fail(f"{trace} ran")


def test_missing_kernels_are_noticed_before_any_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "_find", lambda: (None, "the sparse kernels were not built"))
    with pytest.raises(OptionError, match="`compress`: the sparse kernels were not built"):
        compile_model(write_model(tmp_path), tmp_path / "x.sparcl", CompileOptions(compress=True), [no_pass])
