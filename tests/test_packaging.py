"""The wheel: what a user's site-packages get."""

import configparser
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

PACKAGES = {"sparcl_compile": "sparcl_compile", "passes": "sparcl_compile/passes", "runtime": "sparcl_compile/runtime"}
"""Folder of the repository to folder in the wheel."""


def build_wheel(source: Path, target: Path) -> zipfile.ZipFile:
    """Build a wheel with the installed setuptools, so without a network."""
    options = ["--no-deps", "--no-build-isolation", "--disable-pip-version-check", "--quiet"]
    command = [sys.executable, "-m", "pip", "wheel", *options, "--wheel-dir", str(target), str(source)]
    subprocess.run(command, check=True, capture_output=True, text=True)
    return zipfile.ZipFile(next(target.glob("*.whl")))


def copy_source(root: Path, target: Path) -> Path:
    """Copy what a wheel is made of: in the tree itself, an old build/lib would smuggle deleted modules in."""
    target.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(root / name, target)
    for folder in PACKAGES:
        shutil.copytree(root / folder, target / folder, ignore=shutil.ignore_patterns("__pycache__"))
    return target


@pytest.fixture(scope="module")
def wheel(root: Path, tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    folder = tmp_path_factory.mktemp("wheel")
    return build_wheel(copy_source(root, folder / "source"), folder / "dist")


def missing_modules(root: Path, wheel: zipfile.ZipFile) -> list[str]:
    """Python files of the repository's packages that the wheel lacks."""
    expected = {
        f"{package}/{path.relative_to(root / folder).as_posix()}"
        for folder, package in PACKAGES.items()
        for path in (root / folder).rglob("*.py")
    }
    return sorted(expected - set(wheel.namelist()))


def test_only_one_top_level_package(wheel: zipfile.ZipFile) -> None:
    tops = {name.split("/")[0] for name in wheel.namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"sparcl_compile"}


def test_every_module_is_inside(root: Path, wheel: zipfile.ZipFile) -> None:
    assert not missing_modules(root, wheel), "add the subpackage to [tool.setuptools] packages in pyproject.toml"


def test_a_forgotten_subpackage_is_noticed(root: Path, tmp_path: Path) -> None:
    source = copy_source(root, tmp_path / "source")
    forgotten = source / "runtime" / "forgotten" / "__init__.py"
    forgotten.parent.mkdir()
    forgotten.touch()
    assert missing_modules(source, build_wheel(source, tmp_path / "dist")) == [
        "sparcl_compile/runtime/forgotten/__init__.py"
    ]


def metadata(wheel: zipfile.ZipFile, name: str) -> str:
    """The text of one file of the wheel's .dist-info."""
    path = next(n for n in wheel.namelist() if n.endswith(f".dist-info/{name}"))
    return wheel.read(path).decode()


def test_console_scripts(wheel: zipfile.ZipFile) -> None:
    parser = configparser.ConfigParser()
    parser.read_string(metadata(wheel, "entry_points.txt"))
    assert set(parser["console_scripts"]) == {"sparcl-compile", "sparcl-run", "sparcl-inspect"}


def test_no_onnxruntime_without_an_extra(wheel: zipfile.ZipFile) -> None:
    lines = [line for line in metadata(wheel, "METADATA").splitlines() if line.startswith("Requires-Dist: onnxruntime")]
    assert [line.partition("; ")[2].replace('"', "'") for line in lines] == ["extra == 'cpu'", "extra == 'cuda'"]


def test_the_licence_is_inside(wheel: zipfile.ZipFile) -> None:
    assert "Apache License" in metadata(wheel, "licenses/LICENSE")
