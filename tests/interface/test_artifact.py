"""The artifact folder: every damage is noticed, other versions are refused with the right mend."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from sparcl_compile.interface import artifact as artifacts
from sparcl_compile.interface.errors import ArtifactError, OptionError
from tests.support.cli import call, check_refused, done, write_artifact, write_data, write_model


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_artifact(tmp_path_factory.mktemp("sound"))


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
    assert found.manifest["format"] == "sparcl-artifact"
    assert found.path("train") == sound / "train" / "training_model.onnx"
    everything = {p.relative_to(sound).as_posix() for p in sound.rglob("*") if p.is_file()}
    assert set(found.manifest["files"]) == everything - {"manifest.json", "manifest.sha256"}
    graphs = {"train", "eval", "score", "optimizer", "update_masks", "update_gradient_masks", "order"}
    assert set(found.manifest["graphs"]) == graphs | {
        "filter_samples", "augment", "normalise", "buffer_slots", "draw_replay"
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


OLDER, NEWER = "compile it again", "install a newer sparcl-compile"


@pytest.mark.parametrize(("version", "mend"), [(2, NEWER), (999, NEWER), (0, OLDER), ("x", OLDER), (None, OLDER)])
def test_another_version(version: object, mend: str, artifact: Path) -> None:
    change_manifest(artifact, version=version)
    outcome = call("run", artifact, "--data", "digits")
    check_refused(outcome, artifact / "manifest.json", f"version {version}", mend)
    check_refused(call("inspect", artifact), mend)


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
    done("compile", write_model(tmp_path), "--sparsity", "0.75", "-o", artifact)
    assert artifacts.load(artifact).identity == identity
    assert len(identity) == 64
    for changed in (["--replay", "er"], ["--recipe", "reference-code"]):
        done("compile", tmp_path / "cnn_bn.onnx", *changed, "-o", artifact)
        assert artifacts.load(artifact).identity != identity


def test_compiling_twice_gives_the_same_bytes(sound: Path, tmp_path: Path) -> None:
    again = write_artifact(tmp_path)
    names = [p.relative_to(sound) for p in sorted(sound.rglob("*")) if p.is_file() and "manifest" not in p.name]
    assert len(names) > 15
    for name in names:
        assert (again / name).read_bytes() == (sound / name).read_bytes(), name


def test_check_outside(artifact: Path, tmp_path: Path) -> None:
    artifacts.check_outside(artifact, tmp_path / "a.run", "--checkpoint")
    artifacts.check_outside(artifact, tmp_path, "--checkpoint")
    (tmp_path / "link").symlink_to(artifact)
    other = Path(shutil.copytree(artifact, tmp_path / "other"))
    places = (artifact, artifact / "train" / "x", artifact / ".." / artifact.name, tmp_path / "link" / "x")
    for inside in (*places, other, other / "eval" / "eval_model.onnx"):
        with pytest.raises(OptionError, match="--checkpoint"):
            artifacts.check_outside(artifact, inside, "--checkpoint")
