"""Environments with several distributions of ONNX Runtime, or with another one than is needed."""

import subprocess
import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from sparcl_compile.interface import onnx_runtime, runtime_builds
from sparcl_compile.interface.errors import RuntimeBuildError, SparclError
from sparcl_compile.interface.runtime_builds import check_one_build, installed_builds, named, training_mend


def with_builds(monkeypatch: pytest.MonkeyPatch, **versions: str) -> None:
    """Let these distributions be installed, with - for _ in their names."""

    def version(name: str) -> str:
        if name.replace("-", "_") not in versions:
            raise PackageNotFoundError(name)
        return versions[name.replace("-", "_")]

    monkeypatch.setattr(runtime_builds, "version", version)


def test_this_environment_has_one() -> None:
    assert len(installed_builds()) == 1
    check_one_build()


def test_two_of_them_are_named_with_the_mend(monkeypatch: pytest.MonkeyPatch) -> None:
    with_builds(monkeypatch, onnxruntime="1.32.0", onnxruntime_training_cpu="1.19.2")
    with pytest.raises(RuntimeBuildError) as caught:
        check_one_build()
    assert str(caught.value) == (
        "onnxruntime 1.32.0 and onnxruntime-training-cpu 1.19.2 are installed over one another, since all are the "
        "package onnxruntime; pip uninstall -y onnxruntime onnxruntime-training-cpu, then pip install the one that you "
        "want: onnxruntime, or onnxruntime-training-cpu==1.19.2 for the target ort-training"
    )


def test_a_build_without_metadata_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that was compiled from source, say."""
    with_builds(monkeypatch)
    check_one_build()
    assert named(installed_builds()) == ""


def test_the_mend_takes_out_what_is_there() -> None:
    assert "pip uninstall -y onnxruntime-gpu, then" in training_mend({"onnxruntime-gpu": "1.32.0"})
    assert "pip uninstall -y onnxruntime, then" in training_mend({})


def test_the_stock_package_is_no_training_build(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, onnx_runtime.FRONT_END, None)
    with_builds(monkeypatch, onnxruntime="1.32.0")
    with pytest.raises(SparclError, match=r"^it needs .* and onnxruntime 1\.32\.0 is installed; leave it, or take the"):
        onnx_runtime.check_training_build("it", "leave it")


def test_both_at_once_end_a_command_in_one_line(tmp_path: Path) -> None:
    """The metadata of a second distribution lies in a folder on the path; its files are no matter."""
    other = "onnxruntime_training_cpu" if "onnxruntime" in installed_builds() else "onnxruntime"
    found = tmp_path / f"{other}-9.9.dist-info"
    found.mkdir()
    (found / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {other.replace('_', '-')}\nVersion: 9.9\n")
    code = f"""
import sys
sys.path.append({str(tmp_path)!r})
sys.argv = ["sparcl-run", "a.sparcl", "--data", "digits"]
from sparcl_compile.cli import run_command
run_command()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1
    assert "are installed over one another" in done.stderr
