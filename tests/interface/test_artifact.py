"""The artifact folder: every damage is noticed, other versions are refused with the right advice."""

import dataclasses
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from sparcl_compile.interface import artifact as artifacts
from sparcl_compile.interface.codec import to_json
from sparcl_compile.interface.errors import ArtifactError, FieldError
from sparcl_compile.interface.files import sha256
from tests.support.cli import call, check_refused, done, write_artifact, write_data, write_model
from tests.support.schema import check_schema


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_artifact(tmp_path_factory.mktemp("sound"), "--replay-batches", "separate")


@pytest.fixture
def artifact(sound: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sound, tmp_path / "a.sparcl"))


def change_manifest(artifact: Path, **changed: object) -> None:
    path = artifact / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changed}))


def flip(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


def test_a_sound_artifact(sound: Path) -> None:
    found = artifacts.load(sound)
    assert found.manifest.format == "sparcl-artifact"
    assert found.path("train") == sound / "train" / "training_model.onnx"
    everything = {p.relative_to(sound).as_posix() for p in sound.rglob("*") if p.is_file()}
    assert set(found.manifest.files) == everything - {"manifest.json", "report.json", "manifest.sha256"}
    assert found.path("standardise", "float32") == sound / "standardise" / "float32.onnx"
    assert set(found.manifest.graphs) == {
        "train", "measure", "eval", "optimizer", "update_masks", "update_gradient_masks", "order", "batch",
        "remove_samples", "crop_flip", "standardise", "replay_batch", "write_buffer", "class_order", "sum_pixels",
        "sum_squares", "statistics", "check_loss", "check_state", "count_correct", "record", "summary", "sparsity",
        "flops", "decay", "probabilities", "count_by_class", "class_accuracy", "resize",
    }  # fmt: skip


def test_the_manifest_can_be_checked_without_this_program(sound: Path) -> None:
    subprocess.run(["sha256sum", "--check", "--strict", "--quiet", "manifest.sha256"], cwd=sound, check=True)


def test_one_flipped_bit_in_any_file_is_noticed(artifact: Path) -> None:
    for path in sorted(p for p in artifact.rglob("*") if p.is_file()):
        for at in (0, path.stat().st_size // 2, path.stat().st_size - 1):
            flip(path, at)
            with pytest.raises(ArtifactError, match=str(artifact)):
                artifacts.load(artifact)
            flip(path, at)
    artifacts.load(artifact)


def test_one_missing_file_is_noticed(artifact: Path) -> None:
    for path in sorted(p for p in artifact.rglob("*") if p.is_file()):
        path.rename(artifact / "elsewhere")
        with pytest.raises(ArtifactError, match=path.name):
            artifacts.load(artifact)
        (artifact / "elsewhere").rename(path)
    artifacts.load(artifact)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"format": "other"}', "\x00\xff", "null", "{}"])
def test_a_manifest_that_is_none(content: str, artifact: Path) -> None:
    (artifact / "manifest.json").write_text(content, encoding="latin-1")
    with pytest.raises(ArtifactError, match=r"manifest\.json"):
        artifacts.load(artifact)


OLDER, NEWER = "compile the model again", "install a newer sparcl-compile"


OTHERS = [(3, NEWER), (999, NEWER), (1, OLDER), (0, OLDER), ("x", OLDER), (None, OLDER)]


@pytest.mark.parametrize(("version", "mend"), OTHERS)
def test_another_version(version: object, mend: str, artifact: Path) -> None:
    change_manifest(artifact, version=version)
    outcome = call("run", artifact, "--data", "digits")
    check_refused(outcome, artifact / "manifest.json", f"version {version}", mend)
    check_refused(call("inspect", artifact), mend)


def sealed(artifact: Path, content: object) -> None:
    """Another manifest under a right checksum."""
    path = artifact / "manifest.json"
    path.write_text(json.dumps(content))
    sums = [f"{sha256(artifact / name)}  {name}\n" for name in ("manifest.json", "report.json")]
    (artifact / "manifest.sha256").write_text("".join(sums))


WRONG: dict[str, tuple[Callable[[Any], object], str]] = {
    "missing": (lambda found: found.pop("program"), "missing required field `program`"),
    "a default": (
        lambda found: found["options"].pop("seed"),
        "missing required field `seed` - at `$.options`",
    ),
    "unknown": (lambda found: found["graphs"]["eval"].update(speed=1), "unknown field `speed` - at `$.graphs.eval`"),
    "a type": (lambda found: found["state"][3].update(shape=["N", 1.5]), "$.state[3].shape[1]"),
    "a role": (lambda found: found["state"][0].update(role="mystery"), "Invalid enum value 'mystery' - at `$.state[0]"),
    "null": (lambda found: found["model"].update(classes=None), "Expected `int`, got `null` - at `$.model.classes`"),
    "a verb": (
        lambda found: found["program"]["blocks"]["step"][0].update(do="dance"),
        "Invalid value 'dance' - at `$.program.blocks[...][0].do`",
    ),
    "a verb's field": (
        lambda found: found["program"]["blocks"]["begin_task"][0].update(speed=1),
        "unknown field `speed` - at `$.program.blocks[...][0]`",
    ),
    "a verb's missing field": (
        lambda found: found["program"]["blocks"]["begin_task"][0].pop("state"),
        "missing required field `state` - at `$.program.blocks[...][0]`",
    ),
    "an event": (
        lambda found: found["program"]["events"]["removals"][0].update(tasks="none"),
        "Invalid enum value 'none' - at `$.program.events[...][0].tasks`",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_field_that_is_wrong_is_damage_and_named_by_its_path(name: str, artifact: Path, tmp_path: Path) -> None:
    change, message = WRONG[name]
    content = json.loads((artifact / "manifest.json").read_text())
    sealed(artifact, content)
    artifacts.load(artifact)
    change(content)
    sealed(artifact, content)
    with pytest.raises(jsonschema.ValidationError):
        check_schema(artifact)
    refused = call("run", artifact, "--data", write_data(tmp_path))
    check_refused(refused, artifact / "manifest.json", "is damaged", message, "compile the model again")


def test_the_report_is_read_strictly_and_is_no_part_of_the_identity(artifact: Path) -> None:
    identity, report = artifacts.load(artifact).identity, artifacts.read_report(artifact)
    assert report.passes[3].name == "import_forward"
    slower = dataclasses.replace(report, passes=report.passes[:1])
    (artifact / "report.json").write_text(to_json(slower))
    with pytest.raises(ArtifactError, match=r"report\.json: is damaged"):
        artifacts.load(artifact)
    sealed(artifact, json.loads((artifact / "manifest.json").read_text()))
    assert artifacts.load(artifact).identity == identity
    assert artifacts.read_report(artifact) == slower


def test_identity_is_the_checksum_of_the_manifest(sound: Path) -> None:
    line = (sound / "manifest.sha256").read_text().splitlines()[0]
    assert line == f"{artifacts.load(sound).identity}  manifest.json"


@pytest.mark.parametrize("name", ["manifest.json", "state.safetensors", "train/training_model.onnx"])
def test_the_command_refuses_damage_before_anything_else(name: str, artifact: Path, tmp_path: Path) -> None:
    flip(artifact / name, 900)
    outcome = call("run", artifact, "--data", write_data(tmp_path))
    check_refused(outcome, artifact / name, "damaged", "compile the model again")
    assert not (tmp_path / "a.run").exists()


def test_a_damaged_artifact_is_replaced_by_compiling_again(artifact: Path) -> None:
    model = write_model(artifact.parent)
    flip(artifact / "manifest.json", 900)
    (artifact / "stray").touch()
    done("compile", model, "-o", artifact)
    artifacts.load(artifact)
    assert not (artifact / "stray").exists()


def test_identity_is_that_of_the_content(sound: Path, artifact: Path, tmp_path: Path) -> None:
    identity = artifacts.load(sound).identity
    given = ("--sparsity", "0.75", "--replay-batches", "separate")
    done("compile", write_model(tmp_path), *given, "-o", artifact)
    assert artifacts.load(artifact).identity == identity
    assert len(identity) == 64
    for changed in (["--method", "er"], ["--recipe", "reference-code"]):
        done("compile", tmp_path / "cnn_bn.onnx", "--replay-batches", "separate", *changed, "-o", artifact)
        assert artifacts.load(artifact).identity != identity


def test_compiling_twice_gives_the_same_bytes(sound: Path, tmp_path: Path) -> None:
    again = write_artifact(tmp_path, "--replay-batches", "separate")
    timed = ("report.json", "manifest.sha256")
    names = [p.relative_to(sound) for p in sorted(sound.rglob("*")) if p.is_file() and p.name not in timed]
    assert len(names) > 15
    for name in names:
        assert (again / name).read_bytes() == (sound / name).read_bytes(), name


def test_check_outside(artifact: Path, tmp_path: Path) -> None:
    artifacts.check_outside(artifact, tmp_path / "a.run", "checkpoint")
    artifacts.check_outside(artifact, tmp_path, "checkpoint")
    (tmp_path / "link").symlink_to(artifact)
    other = Path(shutil.copytree(artifact, tmp_path / "other"))
    places = (artifact, artifact / "train" / "x", artifact / ".." / artifact.name, tmp_path / "link" / "x")
    for inside in (*places, other, other / "eval" / "eval_model.onnx"):
        with pytest.raises(FieldError, match=r"^`checkpoint` .*name another place$"):
            artifacts.check_outside(artifact, inside, "checkpoint")
