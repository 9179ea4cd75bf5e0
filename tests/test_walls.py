"""The walls between the packages, read from the import statements of every file."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

PACKAGES = {"sparcl_compile": "sparcl_compile", "passes": "sparcl_compile.passes", "runtime": "sparcl_compile.runtime"}
"""Folder to import package."""

PROTO_LIBRARIES = ("onnx", "onnx_ir", "onnxscript")
LEAVES = ("sparcl_compile.errors", "sparcl_compile.files", "sparcl_compile.artifact", "sparcl_compile.onnx_runtime")
"""Modules that know nothing of the rest and that everybody may use."""
GRADIENT_BUILDER = ("onnxruntime.training.artifacts", "onnxruntime.training.onnxblock")


@dataclass(frozen=True)
class Wall:
    """What the files of one folder must not import, but for the exceptions."""

    folder: str
    forbidden: tuple[str, ...]
    allowed: tuple[str, ...] = ()
    doors: tuple[str, ...] = ()
    """Files that the wall does not hold for."""


WALLS = (
    Wall("passes", ("sparcl_compile",), allowed=(*LEAVES, "sparcl_compile.passes")),
    Wall("passes", ("onnxruntime.training",), doors=("passes/differentiate.py",)),
    Wall(
        "passes",
        ("onnxruntime", "sparcl_compile.onnx_runtime"),
        doors=("passes/differentiate.py", "passes/importing/verify.py"),
    ),
    Wall("runtime", ("sparcl_compile",), allowed=(*LEAVES, "sparcl_compile.runtime")),
    Wall("runtime", (*PROTO_LIBRARIES, *GRADIENT_BUILDER, "torch")),
    # sparcl-run is the runtime; sparcl-export reads the state that a run has left; the gradient builder loads the
    # library of kernels that the runtime does; layers are timed in sessions as the runtime makes them.
    Wall(
        "sparcl_compile",
        ("sparcl_compile.runtime",),
        doors=(
            "sparcl_compile/cli/run.py",
            "sparcl_compile/cli/export.py",
            "sparcl_compile/kernels.py",
            "sparcl_compile/kernel_times.py",
        ),
    ),
    Wall("sparcl_compile", ("onnxruntime.training",)),
    Wall(
        "sparcl_compile/graphs",
        ("sparcl_compile",),
        # How weights are cut into groups, and what a channel space is, is said once, for the first masks and for the
        # graphs that update them.
        allowed=(
            *LEAVES,
            "sparcl_compile.graphs",
            "sparcl_compile.passes.base",
            "sparcl_compile.passes.channels",
            "sparcl_compile.passes.schemes",
        ),
    ),
    Wall("sparcl_compile/errors.py", ("sparcl_compile",)),
    Wall("sparcl_compile/files.py", ("sparcl_compile",), allowed=LEAVES),
    Wall("sparcl_compile/artifact.py", ("sparcl_compile",), allowed=LEAVES),
    Wall("sparcl_compile/onnx_runtime.py", ("sparcl_compile",)),
    *(Wall(folder, tuple(PACKAGES.keys() - {"sparcl_compile"})) for folder in PACKAGES),
)


def below(module: str, packages: tuple[str, ...]) -> bool:
    """Whether a module is one of these packages or inside of one."""
    return any(module == package or module.startswith(f"{package}.") for package in packages)


def imported_modules(source: str, module: str) -> Iterator[str]:
    """The absolute names that a file imports; ``from a import b`` counts as ``a.b``, which may be a module."""
    package = module.split(".")
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = (
                [*package[: len(package) - node.level], *filter(None, [node.module])] if node.level else [node.module]
            )
            yield from (".".join([*map(str, base), alias.name]) for alias in node.names)


def module_name(path: Path) -> str:
    """The import name of a file given relative to the root."""
    folder, *rest = path.with_suffix("").parts
    return ".".join([PACKAGES[folder], *rest])


def breaches(path: Path, source: str, walls: tuple[Wall, ...] = WALLS) -> list[str]:
    """One line for every import of this file (a path relative to the root) that a wall forbids."""
    found = []
    for wall in walls:
        if not path.is_relative_to(wall.folder) or path.as_posix() in wall.doors:
            continue
        imports = imported_modules(source, module_name(path))
        bad = [name for name in imports if below(name, wall.forbidden) and not below(name, wall.allowed)]
        found += [f"{path} imports {name}" for name in bad]
    return found


def test_no_file_breaks_a_wall(root: Path) -> None:
    files = [path for folder in PACKAGES for path in (root / folder).rglob("*.py")]
    assert len(files) > 10
    assert not [line for path in files for line in breaches(path.relative_to(root), path.read_text(encoding="utf-8"))]


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("passes/emit.py", "import sparcl_compile.runtime.loop"),
        ("passes/emit.py", "from sparcl_compile import cost"),
        ("passes/emit.py", "from sparcl_compile.runtime import loop"),
        ("passes/emit.py", "def late():\n    from sparcl_compile.pipeline import compile_model"),
        ("passes/emit.py", "from .. import runtime"),
        ("passes/emit.py", "import onnxruntime"),
        ("passes/emit.py", "from sparcl_compile.onnx_runtime import ort"),
        ("passes/importing/verify.py", "from onnxruntime.training import artifacts"),
        ("passes/emit.py", "import passes.base"),
        ("runtime/data/digits.py", "from sparcl_compile.passes.base import Role"),
        ("runtime/data/digits.py", "import sparcl_compile"),
        ("runtime/loop.py", "import onnx"),
        ("runtime/loop.py", "import torch"),
        ("runtime/loop.py", "from onnx_ir import Model"),
        ("runtime/loop.py", "if True:\n    import onnxscript.optimizer"),
        ("sparcl_compile/pipeline.py", "from sparcl_compile.runtime.loop import run"),
        ("sparcl_compile/export.py", "from sparcl_compile.runtime.checkpoint import read"),
        ("sparcl_compile/pipeline.py", "import onnxruntime.training"),
        ("sparcl_compile/graphs/order.py", "from sparcl_compile.pipeline import compile_model"),
        ("sparcl_compile/files.py", "from sparcl_compile.options import Options"),
    ],
)
def test_a_made_up_breach_is_found(path: str, source: str) -> None:
    assert breaches(Path(path), source)


@pytest.mark.parametrize(
    ("path", "source"),
    [
        (
            "passes/emit.py",
            "import onnx\nfrom sparcl_compile.errors import ModelError\nfrom sparcl_compile.passes import base",
        ),
        ("passes/differentiate.py", "from onnxruntime.training import artifacts"),
        ("runtime/loop.py", "import onnxruntime\nfrom sparcl_compile.runtime.data import digits"),
        ("runtime/loop.py", "import onnx_tool_of_another_name"),
        ("sparcl_compile/cli/run.py", "from sparcl_compile.runtime.loop import run"),
        ("sparcl_compile/graphs/order.py", "from sparcl_compile.passes.base import constant"),
    ],
)
def test_what_is_allowed_is_not_reported(path: str, source: str) -> None:
    assert not breaches(Path(path), source)


def modules_after(code: str) -> set[str]:
    """The top-level names in sys.modules of a fresh interpreter that ran this code."""
    report = "\nimport sys; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", code + report], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines()[-1].split())


HEAVY = {"numpy", "torch", "onnx", "onnx_ir", "onnxscript", "onnxruntime", "sklearn", "PIL", "rich"}


def test_importing_the_package_is_light() -> None:
    assert not modules_after("import sparcl_compile, sparcl_compile.errors") & HEAVY


def test_the_check_of_light_imports_can_fail() -> None:
    assert "numpy" in modules_after("import sparcl_compile, numpy")


@pytest.mark.parametrize("command", ["compile_command", "run_command", "inspect_command", "export_command"])
def test_help_does_not_wait_for_torch(command: str) -> None:
    code = f"from sparcl_compile.cli import {command} as command; command(['--help'], standalone_mode=False)"
    assert not modules_after(code) & {"torch", "onnxruntime", "sklearn", "matplotlib"}


def test_a_compilation_loads_no_library_that_it_does_not_use(root: Path, tmp_path: Path) -> None:
    model, artifact = root / "models" / "digits_cnn.onnx", tmp_path / "digits.sparcl"
    code = f"""from sparcl_compile.cli import compile_command as command
command([{str(model)!r}, "-o", {str(artifact)!r}], standalone_mode=False)"""
    assert not modules_after(code) & {"torch", "scipy", "sklearn", "PIL", "matplotlib"}
    assert artifact.is_dir()
