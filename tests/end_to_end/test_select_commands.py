"""The choice of kernels through the commands: what is compressed, what is shown, what is refused."""

from pathlib import Path
from typing import Any

import pytest

from sparcl_compile.compiling.compiler import compile_model
from sparcl_compile.costs import kernel_times
from sparcl_compile.interface.artifact import load
from sparcl_compile.interface.errors import OptionError
from sparcl_compile.passes.lowering.choice.costs import Times
from sparcl_compile.passes.lowering.choice.work import Work
from sparcl_compile.passes.lowering.select_kernels import SLOWER
from sparcl_compile.runtime.session import kernel_library as kernels
from sparcl_compile.settings.options import CompileOptions
from tests.support.cli import SMALL_RUN, call, check_refused, contents, done, read_json, write_data, write_model

pytestmark = pytest.mark.skipif(kernels.library() is None, reason=kernels.reason())

DENSE, SPARSE = Times(1.0, 2.0), Times(2.0, 0.01)


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return write_model(tmp_path, "resnet")


def compiled(model: Path, *options: object) -> dict[str, Any]:
    done("compile", model, "--compress", *options)
    return dict(read_json(model.with_suffix(".sparcl") / "manifest.json"))


def stub(monkeypatch: pytest.MonkeyPatch, times: Times) -> None:
    monkeypatch.setattr(kernel_times, "measure", lambda work, batch: times)


def test_the_manifest_holds_form_reason_and_times(model: Path) -> None:
    found = compiled(model, "--batch-size", "8")
    layers = {layer["weight"]: layer for layer in found["kernels"]["layers"]}
    assert found["kernels"]["batch"] == found["memory"]["batch"] == 8
    assert layers
    for mask in found["masks"]:
        assert mask["stored"] in ("masked", "rows", "transposed")
        assert bool(mask["reason"]) == (mask["stored"] == "masked")
        chosen = layers[mask["weight"]]
        assert chosen["reason"] == mask["reason"]
        assert chosen["measured"] is None
        assert min(*chosen["estimated"].values(), chosen["transposes"]) > 0
    larger = compiled(model, "--batch-size", "64")["kernels"]["layers"]
    for before, after in zip(found["kernels"]["layers"], larger, strict=True):
        assert before["estimated"]["dense"] < after["estimated"]["dense"]


def test_layers_that_measure_slower_stay_masked_and_the_artifact_learns(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stub(monkeypatch, DENSE)
    found = compiled(model, "--measure-kernels")
    assert {(mask["stored"], mask["reason"]) for mask in found["masks"]} == {("masked", SLOWER)}
    assert not found["sparse_kernels"]
    folder = model.with_suffix(".sparcl")
    printed = done("inspect", folder).out
    assert "measured dense" in printed
    assert SLOWER in printed
    done("run", folder, "--data", write_data(tmp_path), *SMALL_RUN)


def test_layers_that_measure_faster_are_compressed(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stub(monkeypatch, SPARSE)
    printed = done("compile", model, "--compress", "--measure-kernels").out
    found = read_json(model.with_suffix(".sparcl") / "manifest.json")
    count = len(found["masks"])
    assert {(mask["stored"], mask["reason"]) for mask in found["masks"]} == {("rows", "")}
    assert f"Sparse kernels in {count} of {count} masked layers: the fastest for batches of 32 as measured" in printed
    assert "2,000.00" in printed
    for layer in found["kernels"]["layers"]:
        assert layer["measured"] == {"dense": 2.0, "sparse": 0.01}


def test_the_clock_is_no_part_of_the_identity(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    identities = []
    for run, times in enumerate((SPARSE, Times(3.0, 0.01), DENSE)):
        monkeypatch.setenv("XDG_CACHE_HOME", str(model.parent / f"cache{run}"))
        stub(monkeypatch, times)
        compiled(model, "--measure-kernels")
        identities.append(load(model.with_suffix(".sparcl")).identity)
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
    found = compiled(model)
    folder = model.with_suffix(".sparcl")
    lines = done("inspect", folder).out.splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("Kernels, estimated ms"))
    for offset, mask in enumerate(found["masks"]):
        weight, dense, sparse, transposes, form = lines[start + 2 + offset].split()[:5]
        assert weight == mask["weight"]
        assert min(float(dense), float(sparse), float(transposes)) >= 0
        assert form == ("dense" if mask["stored"] == "masked" else "sparse")
    assert read_json_of(folder)["kernels"] == found["kernels"]


def read_json_of(folder: Path) -> dict[str, Any]:
    import json

    return dict(json.loads(done("inspect", folder, "--json").out))


def test_without_the_choice_everything_is_compressed(model: Path) -> None:
    found = compiled(model, "--no-select-kernels")
    assert "kernels" not in found
    assert {mask["stored"] for mask in found["masks"]} == {"rows"}
    folder = model.with_suffix(".sparcl")
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
    with pytest.raises(OptionError, match="--compress: the sparse kernels were not built"):
        compile_model(write_model(tmp_path), tmp_path / "x.sparcl", CompileOptions(compress=True), [no_pass])
