"""The examples in Python, run as a new user would: the lines of their README.md and of the project's."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file

from tests.support.cli import ENVIRONMENT, write_artifact

CLASSES = ("apple", "bread", "cheese")
EACH = 8
BLOCK = "```python\n"


@pytest.fixture(scope="module")
def examples(root: Path) -> Path:
    return root / "examples" / "python"


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An artifact, and photos of several sizes, each class of one colour."""
    folder = tmp_path_factory.mktemp("photos")
    write_artifact(folder, "--target", "ort")
    rng = np.random.default_rng(0)
    for number, name in enumerate(CLASSES):
        (folder / "photos" / name).mkdir(parents=True)
        for photo in range(EACH):
            pixels = rng.integers(0, 90, (*rng.integers(9, 30, 2), 3), dtype=np.uint8)
            pixels[..., number] += 120
            Image.fromarray(pixels).save(folder / "photos" / name / f"{photo}.jpg")
    return folder


def ran(examples: Path, material: Path, state: Path, *more: str) -> "subprocess.CompletedProcess[str]":
    arguments = [str(material / "cnn_bn.sparcl"), str(material / "photos"), "--state", str(state), "--epochs", "12"]
    command = [sys.executable, str(examples / "photos.py"), *arguments, *more]
    return subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True)


def same(one: Path, other: Path) -> bool:
    a, b = (load_file(folder / "state.safetensors") for folder in (one, other))
    return a.keys() == b.keys() and all(a[name].tobytes() == b[name].tobytes() for name in a)


def test_photos_that_are_learned_through_a_kill(examples: Path, material: Path, tmp_path: Path) -> None:
    killed = ran(examples, material, tmp_path / "state", "--kill-after", "17")
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert killed.stdout.count("Step(") == 17
    went_on = ran(examples, material, tmp_path / "state")
    assert went_on.returncode == 0, went_on.stderr
    assert "going on with the task that was under way" in went_on.stdout
    whole = ran(examples, material, tmp_path / "whole")
    assert whole.returncode == 0, whole.stderr
    accuracies = dict(line.split() for line in whole.stdout.splitlines() if line.startswith(CLASSES))
    assert accuracies.keys() == set(CLASSES)
    assert np.mean([float(share) for share in accuracies.values()]) > 60
    assert same(tmp_path / "state", tmp_path / "whole")
    assert os.listdir(tmp_path / "state") == ["state.safetensors"]


def test_the_demonstration_kills_itself_and_goes_on(examples: Path, material: Path, tmp_path: Path) -> None:
    done = ran(examples, material, tmp_path / "state", "--demo")
    assert done.returncode == 0, done.stderr
    assert "killed; going on" in done.stdout


def test_a_folder_without_an_artifact_ends_in_one_error(examples: Path, material: Path, tmp_path: Path) -> None:
    shutil.copytree(material / "photos", tmp_path / "photos")
    done = ran(examples, tmp_path, tmp_path / "state")
    assert done.returncode == 1
    assert "ArtifactError" in done.stderr.splitlines()[-1]


def test_the_ten_lines_run(examples: Path, root: Path, tmp_path: Path) -> None:
    (tmp_path / "models").symlink_to(root / "models")
    done = subprocess.run(
        [sys.executable, str(examples / "ten_lines.py")], cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "app.onnx").exists()
    again = subprocess.run(
        [sys.executable, str(examples / "ten_lines.py")], cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True
    )
    assert "is a state of another artifact" not in again.stderr
    assert again.returncode == 0, again.stderr


def test_the_ten_lines_are_those_of_the_readme(examples: Path, root: Path) -> None:
    assert BLOCK + (examples / "ten_lines.py").read_text() in (root / "README.md").read_text()
