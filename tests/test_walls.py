"""The walls between the packages, read from the import statements of every file."""

import ast
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

PACKAGES = {"sparcl_compile": "sparcl_compile", "passes": "sparcl_compile.passes", "runtime": "sparcl_compile.runtime"}
"""The import package of each folder."""
LINKS = ("sparcl_compile/passes", "sparcl_compile/runtime")
"""The two packages below sparcl_compile, where an import finds them; their files lie at the top."""

PROTO_LIBRARIES = ("onnx", "onnx_ir", "onnxscript")
INTERFACE = "sparcl_compile.interface"
"""The leaf that knows nothing of the rest and that every package may use."""
CODEC = "sparcl_compile/interface/codec.py"
"""The file of the leaf that reads and writes its dataclasses, with msgspec."""
PROGRAM = "sparcl_compile/interface/program.py"
"""Operations are told apart by a tag, which msgspec has and dataclasses lack."""
ONNX_RUNTIME = "sparcl_compile/interface/onnx_runtime.py"
"""The door of compiler and runtime to ONNX Runtime."""
GRADIENT_BUILDER = ("onnxruntime.training.artifacts", "onnxruntime.training.onnxblock")
DIFFERENTIATE = "passes/differentiating/ort_training/differentiate_by_builder.py"

PHASES = ("importing", "sparsifying", "lowering", "differentiating", "scheduling", "updating", "emitting", "exporting")
"""The folders of ``passes`` that hold passes, in the order in which they run."""
STAIRS = {
    "sparcl_compile.passes": ("core", "schemes", "analysis", "gradients", *PHASES),
    "sparcl_compile.runtime": ("data", "session", "reporting", "driver", "learner", "runs"),
    "sparcl_compile": (
        "interface",
        "passes",
        "runtime",
        "graphs",
        "settings",
        "program",
        "plan",
        "costs",
        "targets",
        "compiling",
        "exporting",
        "api",
        "bench",
        "pages",
        "cli",
    ),
}
"""The folders of each package from the lowest up: a folder imports itself and those below it."""


@dataclass(frozen=True)
class Wall:
    """Packages that the files of one folder must not import, with exceptions."""

    folder: str
    forbidden: tuple[str, ...]
    allowed: tuple[str, ...] = ()
    doors: tuple[str, ...] = ()
    """Files that the wall does not hold for."""


def steps(package: str, folders: tuple[str, ...]) -> tuple[Wall, ...]:
    """One wall a step: a folder imports none that lies above it."""
    path = package.removeprefix("sparcl_compile.").replace(".", "/")
    return tuple(
        Wall(
            folder if package == "sparcl_compile" and folder in PACKAGES else f"{path}/{folder}",
            tuple(f"{package}.{above}" for above in folders[number:]),
        )
        for number, folder in enumerate(folders, start=1)
        if number < len(folders)
    )


WALLS = (
    *(wall for package, folders in STAIRS.items() for wall in steps(package, folders)),
    Wall("sparcl_compile/interface", ("sparcl_compile", *PROTO_LIBRARIES, "numpy"), allowed=(INTERFACE,)),
    Wall("passes", ("sparcl_compile",), allowed=(INTERFACE, "sparcl_compile.passes")),
    Wall("passes", ("onnxruntime.training",), doors=(DIFFERENTIATE,)),
    Wall(
        "passes",
        ("onnxruntime", "sparcl_compile.interface.onnx_runtime"),
        doors=(DIFFERENTIATE, "passes/importing/verify.py"),
    ),
    Wall("runtime", ("sparcl_compile",), allowed=(INTERFACE, "sparcl_compile.runtime")),
    Wall("runtime", (*PROTO_LIBRARIES, *GRADIENT_BUILDER, "torch")),
    # sparcl-run is the runtime; sparcl-export reads the state that a run has left; the gradient builder loads the
    # library of kernels that the runtime does; layers are timed in sessions as the runtime makes them; sparcl-bench
    # makes whole runs; a learner is the runtime's but for its export.
    Wall(
        "sparcl_compile",
        ("sparcl_compile.runtime",),
        doors=(
            "sparcl_compile/cli/recording.py",
            "sparcl_compile/cli/run.py",
            "sparcl_compile/pages/run.py",
            "sparcl_compile/__init__.py",
            "sparcl_compile/api/exporting.py",
            "sparcl_compile/api/learner.py",
            "sparcl_compile/api/learning.py",
            "sparcl_compile/bench/churn.py",
            "sparcl_compile/bench/settings.py",
            "sparcl_compile/bench/work.py",
            "sparcl_compile/compiling/kernel_library.py",
            "sparcl_compile/costs/kernel_times.py",
        ),
    ),
    Wall("sparcl_compile", ("onnxruntime.training",)),
    Wall(
        "sparcl_compile/graphs",
        ("sparcl_compile",),
        # How weights are cut into groups, and what a channel space is, is said once, for the first masks and for the
        # graphs that update them.
        allowed=(
            INTERFACE,
            "sparcl_compile.graphs",
            "sparcl_compile.passes.core",
            "sparcl_compile.passes.analysis.channels",
            "sparcl_compile.passes.schemes",
        ),
    ),
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


def source_files(root: Path) -> list[Path]:
    """Every Python file of the packages, relative to the root, once: not again behind the links."""
    found = [path.relative_to(root) for folder in PACKAGES for path in (root / folder).rglob("*.py")]
    return [path for path in found if not any(path.is_relative_to(link) for link in LINKS)]


def folder_arrows(sources: Mapping[Path, str]) -> dict[str, set[str]]:
    """The packages that a package's own files import, by package, under their import names."""
    packages = {module_name(path).rpartition(".")[0] for path in sources}
    arrows: dict[str, set[str]] = {package: set() for package in packages}
    for path, source in sources.items():
        own = module_name(path).rpartition(".")[0]
        for name in imported_modules(source, module_name(path)):
            parts = name.split(".")
            holders = (".".join(parts[:length]) for length in range(len(parts), 0, -1))
            reached = next((holder for holder in holders if holder in packages), own)
            arrows[own] |= {reached} - {own}
    return arrows


def circles(arrows: Mapping[str, set[str]]) -> list[str]:
    """The folders that reach themselves by way of others."""

    def reachable(start: str) -> set[str]:
        waiting, seen = [*arrows[start]], set[str]()
        while waiting:
            folder = waiting.pop()
            if folder not in seen:
                seen.add(folder)
                waiting += arrows[folder]
        return seen

    return sorted(folder for folder in arrows if folder in reachable(folder))


def libraries(path: Path, source: str) -> set[str]:
    """The top-level names that a file imports from outside of the standard library and of the leaf itself."""
    names = {name for name in imported_modules(source, module_name(path)) if not below(name, (INTERFACE,))}
    return {name.partition(".")[0] for name in names} - sys.stdlib_module_names


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
    files = source_files(root)
    assert len(files) > 10
    assert not [line for path in files for line in breaches(path, (root / path).read_text(encoding="utf-8"))]


def test_the_leaf_needs_the_standard_library_only_but_for_three_files(root: Path) -> None:
    files = [path for path in source_files(root) if path.is_relative_to("sparcl_compile/interface")]
    found = {path.as_posix(): libraries(path, (root / path).read_text(encoding="utf-8")) for path in files}
    assert len(found) > 10
    assert {path: names for path, names in found.items() if names} == {
        CODEC: {"msgspec"},
        PROGRAM: {"msgspec"},
        ONNX_RUNTIME: {"onnxruntime"},
    }


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import msgspec.json", {"msgspec"}),
        ("from onnx_ir import Model", {"onnx_ir"}),
        ("from sparcl_compile import __version__", {"sparcl_compile"}),
        ("import json\nfrom collections.abc import Mapping\nfrom sparcl_compile.interface.names import Role", set()),
    ],
)
def test_a_made_up_library_of_the_leaf_is_found(source: str, found: set[str]) -> None:
    assert libraries(Path("sparcl_compile/interface/names.py"), source) == found


def test_no_folder_reaches_itself_by_way_of_another(root: Path) -> None:
    arrows = folder_arrows({path: (root / path).read_text(encoding="utf-8") for path in source_files(root)})
    assert len(arrows) > 10
    assert not circles(arrows)


def test_a_made_up_circle_of_folders_is_found() -> None:
    sources = {
        Path("passes/core/edit.py"): "from sparcl_compile.passes.schemes.axes import axes_of",
        Path("passes/schemes/axes.py"): "from sparcl_compile.passes.analysis import heads",
        Path("passes/analysis/heads.py"): "import sparcl_compile.passes.core.edit",
        Path("passes/lowering/fold_channels.py"): "from sparcl_compile.passes.core import edit",
    }
    analysis, core, schemes = (f"sparcl_compile.passes.{name}" for name in ("analysis", "core", "schemes"))
    assert circles(folder_arrows(sources)) == [analysis, core, schemes]


def test_every_folder_has_a_step(root: Path) -> None:
    for package, folders in STAIRS.items():
        path = root / package.replace(".", "/")
        found = {file.parent.name for file in path.glob("*/__init__.py")}
        assert found == set(folders), f"add the folder to STAIRS[{package!r}]"


BREACHES = (
    ("passes/emitting/emit.py", "import sparcl_compile.runtime.driver.loop"),
    ("passes/emitting/emit.py", "from sparcl_compile.costs import flops"),
    ("passes/emitting/emit.py", "from sparcl_compile.runtime.driver import loop"),
    ("passes/emitting/emit.py", "def late():\n    from sparcl_compile.compiling.pipeline import run"),
    ("passes/emitting/emit.py", "from ... import runtime"),
    ("passes/emitting/emit.py", "import onnxruntime"),
    ("passes/emitting/emit.py", "from sparcl_compile.interface.onnx_runtime import ort"),
    ("passes/importing/verify.py", "from onnxruntime.training import artifacts"),
    ("passes/emitting/emit.py", "import passes.core.contract"),
    ("runtime/data/digits.py", "from sparcl_compile.passes.core.contract import Pass"),
    ("runtime/data/digits.py", "import sparcl_compile"),
    ("runtime/driver/loop.py", "import onnx"),
    ("runtime/driver/loop.py", "import torch"),
    ("runtime/driver/loop.py", "from onnx_ir import Model"),
    ("runtime/driver/loop.py", "if True:\n    import onnxscript.optimizer"),
    ("sparcl_compile/compiling/pipeline.py", "from sparcl_compile.runtime.driver.loop import Run"),
    ("sparcl_compile/exporting/export.py", "from sparcl_compile.runtime.checkpoint import read"),
    ("sparcl_compile/compiling/pipeline.py", "import onnxruntime.training"),
    ("sparcl_compile/graphs/order.py", "from sparcl_compile.compiling.compiler import compile_model"),
    ("sparcl_compile/interface/files.py", "from sparcl_compile.settings.options import CompileOptions"),
    ("sparcl_compile/interface/names.py", "import numpy"),
)


@pytest.mark.parametrize(("path", "source"), BREACHES)
def test_a_made_up_breach_is_found(path: str, source: str) -> None:
    assert breaches(Path(path), source)


@pytest.mark.parametrize(
    ("wall", "module"), [(wall, module) for p, f in STAIRS.items() for wall in steps(p, f) for module in wall.forbidden]
)
def test_a_made_up_step_up_is_found(wall: Wall, module: str) -> None:
    path = Path(wall.folder) / "made_up.py"
    assert f"{path} imports {module}.something" in breaches(path, f"from {module} import something", (wall,))


@pytest.mark.parametrize(
    ("path", "source"),
    [
        (
            "passes/emitting/emit.py",
            "import onnx\nfrom sparcl_compile.interface import errors\nfrom sparcl_compile.passes.core import edit",
        ),
        (DIFFERENTIATE, "from onnxruntime.training import artifacts"),
        ("passes/exporting/freeze_state.py", "from sparcl_compile.passes.lowering import shrink_channels"),
        ("runtime/driver/loop.py", "import onnxruntime\nfrom sparcl_compile.runtime.data import digits"),
        ("runtime/driver/loop.py", "import onnx_tool_of_another_name"),
        ("sparcl_compile/cli/run.py", "from sparcl_compile.runtime.driver.loop import Run"),
        ("sparcl_compile/graphs/order.py", "from sparcl_compile.passes.core.values import constant"),
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
    assert not modules_after("import sparcl_compile, sparcl_compile.interface.errors") & HEAVY


def test_the_check_of_light_imports_can_fail() -> None:
    assert "numpy" in modules_after("import sparcl_compile, numpy")


@pytest.mark.parametrize(
    "command",
    [
        "compile_command",
        "run_command",
        "inspect_command",
        "export_command",
        "opt_command",
        "bench_command",
        "doctor_command",
    ],
)
def test_help_does_not_wait_for_torch(command: str) -> None:
    code = f"from sparcl_compile.cli import {command} as command; command(['--help'], standalone_mode=False)"
    assert not modules_after(code) & {"torch", "onnxruntime", "sklearn", "matplotlib"}


def test_a_compilation_loads_no_library_that_it_does_not_use(root: Path, tmp_path: Path) -> None:
    model, artifact = root / "models" / "digits_cnn.onnx", tmp_path / "digits.sparcl"
    code = f"""from sparcl_compile.cli import compile_command as command
command([{str(model)!r}, "-o", {str(artifact)!r}], standalone_mode=False)"""
    assert not modules_after(code) & {"torch", "scipy", "sklearn", "PIL", "matplotlib"}
    assert artifact.is_dir()
