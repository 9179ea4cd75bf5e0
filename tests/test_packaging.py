"""The wheel: what a user's site-packages get."""

import configparser
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from sparcl_compile.interface.runtime_builds import STOCK, TRAINING, training_mend
from sparcl_compile.runtime.session import kernel_library as kernels

PACKAGES = {"sparcl_compile": "sparcl_compile", "passes": "sparcl_compile/passes", "runtime": "sparcl_compile/runtime"}
"""Folder of the repository to folder in the wheel."""
IGNORED = shutil.ignore_patterns("__pycache__", "_kernels*")


def build_wheel(source: Path, target: Path) -> zipfile.ZipFile:
    """Build a wheel with the installed setuptools, so without a network."""
    options = ["--no-deps", "--no-build-isolation", "--disable-pip-version-check", "--quiet"]
    command = [sys.executable, "-m", "pip", "wheel", *options, "--wheel-dir", str(target), str(source)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return zipfile.ZipFile(next(target.glob("*.whl")))


def copy_source(root: Path, target: Path) -> Path:
    """Copy what a wheel is made of: in the tree itself, an old build/lib would smuggle deleted modules in."""
    target.mkdir()
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(root / name, target)
    for folder in PACKAGES:
        shutil.copytree(root / folder, target / folder, symlinks=True, ignore=IGNORED)
    return target


@pytest.fixture(scope="module")
def wheel(root: Path, tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    folder = tmp_path_factory.mktemp("wheel")
    return build_wheel(copy_source(root, folder / "source"), folder / "dist")


def modules(root: Path) -> set[str]:
    """The Python files of the repository's packages, as paths in a wheel."""
    return {
        f"{package}/{path.relative_to(root / folder).as_posix()}"
        for folder, package in PACKAGES.items()
        for path in (root / folder).rglob("*.py")
    }


def missing_modules(root: Path, wheel: zipfile.ZipFile) -> list[str]:
    """Python files of the repository's packages that the wheel lacks."""
    return sorted(modules(root) - set(wheel.namelist()))


def test_only_one_top_level_package(wheel: zipfile.ZipFile) -> None:
    tops = {name.split("/")[0] for name in wheel.namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"sparcl_compile"}


def test_every_module_is_inside(root: Path, wheel: zipfile.ZipFile) -> None:
    assert not missing_modules(root, wheel), "add the subpackage to [tool.setuptools] packages in pyproject.toml"


def test_the_schema_of_the_manifest_is_inside(root: Path, wheel: zipfile.ZipFile) -> None:
    name = "sparcl_compile/interface/manifest.schema.json"
    assert wheel.read(name) == (root / name).read_bytes()


def test_the_parts_of_the_pages_are_inside(root: Path, wheel: zipfile.ZipFile) -> None:
    folder = "sparcl_compile/pages/static"
    for path in (root / folder).iterdir():
        assert wheel.read(f"{folder}/{path.name}") == path.read_bytes()


def test_a_forgotten_subpackage_is_noticed(root: Path, tmp_path: Path) -> None:
    source = copy_source(root, tmp_path / "source")
    forgotten = source / "runtime" / "forgotten" / "__init__.py"
    forgotten.parent.mkdir()
    forgotten.touch()
    assert missing_modules(source, build_wheel(source, tmp_path / "dist")) == [
        "sparcl_compile/runtime/forgotten/__init__.py"
    ]


def test_the_links_lead_to_the_packages(root: Path) -> None:
    for name in ("passes", "runtime"):
        link = root / "sparcl_compile" / name
        assert link.is_symlink()
        assert link.readlink() == Path("..") / name


def test_the_source_distribution_holds_files_where_the_links_are(root: Path, tmp_path: Path) -> None:
    source = copy_source(root, tmp_path / "source")
    command = [sys.executable, "setup.py", "--quiet", "sdist", "--dist-dir", str(tmp_path / "dist")]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    with tarfile.open(next((tmp_path / "dist").glob("*.tar.gz"))) as archive:
        archive.extractall(tmp_path / "unpacked", filter="data")
    unpacked = next((tmp_path / "unpacked").iterdir())
    assert not [path for path in unpacked.rglob("*") if path.is_symlink()]
    assert {path.relative_to(unpacked).as_posix() for path in unpacked.rglob("*.py")} >= modules(root)
    sources = {path.name for path in (unpacked / "sparcl_compile" / "runtime" / "kernels").rglob("*.cc")}
    assert sources == {path.name for path in (root / "runtime" / "kernels").rglob("*.cc")}


def test_without_a_compiler_the_wheel_has_no_library(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXX", "/nonexistent")
    names = build_wheel(copy_source(root, tmp_path / "source"), tmp_path / "dist").namelist()
    assert not [name for name in names if "/_kernels" in name]


@pytest.mark.skipif(kernels.library() is None, reason=kernels.reason())
def test_the_kernel_library_is_inside(wheel: zipfile.ZipFile) -> None:
    assert len([name for name in wheel.namelist() if name.startswith("sparcl_compile/runtime/session/_kernels")]) == 1


def metadata(wheel: zipfile.ZipFile, name: str) -> str:
    """The text of one file of the wheel's .dist-info."""
    path = next(n for n in wheel.namelist() if n.endswith(f".dist-info/{name}"))
    return wheel.read(path).decode()


def test_console_scripts(wheel: zipfile.ZipFile) -> None:
    parser = configparser.ConfigParser()
    parser.read_string(metadata(wheel, "entry_points.txt"))
    assert set(parser["console_scripts"]) == {
        "sparcl-compile",
        "sparcl-run",
        "sparcl-inspect",
        "sparcl-export",
        "sparcl-opt",
        "sparcl-bench",
        "sparcl-doctor",
    }


def required(wheel: zipfile.ZipFile) -> list[Requirement]:
    """What the wheel asks for."""
    lines = metadata(wheel, "METADATA").splitlines()
    return [Requirement(line.partition(": ")[2]) for line in lines if line.startswith("Requires-Dist: ")]


def test_a_plain_installation_brings_the_stock_onnxruntime_alone(wheel: zipfile.ZipFile) -> None:
    """A second distribution of ONNX Runtime would be installed over it, so no extra has one either."""
    runtimes = [one for one in required(wheel) if one.name.startswith("onnxruntime")]
    assert [(one.name, one.marker) for one in runtimes] == [(STOCK, None)]
    assert all(runtimes[0].specifier.contains(version) for version in ("1.18.0", "1.32.0"))


def test_torch_is_for_those_who_export_or_develop(wheel: zipfile.ZipFile) -> None:
    extras = {str(one.marker) for one in required(wheel) if one.name == "torch"}
    assert extras == {'extra == "torch"', 'extra == "dev"'}


def test_the_pins_of_the_builds_agree(root: Path) -> None:
    assert {pins(root)[name] for name in TRAINING} == {"1.19.2"}
    assert "1.19.2" in training_mend({})


def test_the_classifiers_are_the_versions_that_are_allowed(root: Path) -> None:
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    prefix = "Programming Language :: Python :: 3."
    minors = [int(one.removeprefix(prefix)) for one in project["classifiers"] if one.startswith(prefix)]
    allowed = SpecifierSet(project["requires-python"])
    assert minors == [minor for minor in range(100) if allowed.contains(f"3.{minor}")]


def test_the_licence_is_inside(wheel: zipfile.ZipFile) -> None:
    assert "Apache License" in metadata(wheel, "licenses/LICENSE")


def pins(root: Path) -> dict[str, str]:
    """Distribution to exact version, from constraints.txt."""
    lines = (root / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pairs = (line.split("==") for line in lines if line and not line.startswith("#"))
    return {canonicalize_name(name): version for name, version in pairs}


def unpinned(declared: list[str], pinned: dict[str, str]) -> list[str]:
    """The requirements without a pin, or with one outside of their range."""
    requirements = [Requirement(text) for text in declared]
    return [str(r) for r in requirements if not r.specifier.contains(pinned.get(canonicalize_name(r.name), "0"))]


def test_every_dependency_is_pinned(root: Path) -> None:
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = [*project["dependencies"], *(r for extra in project["optional-dependencies"].values() for r in extra)]
    assert not unpinned(declared, pins(root))


def test_a_missing_or_wrong_pin_is_noticed() -> None:
    assert unpinned(["absent>=1", "old>=2", "right>=1"], {"old": "1.9", "right": "1.0"}) == ["absent>=1", "old>=2"]
