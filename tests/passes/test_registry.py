"""Every pass by its name, those of other packages as well."""

import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from sparcl_compile.interface.errors import OptionError
from sparcl_compile.passes import registry
from sparcl_compile.passes.differentiating.attach_loss import AttachLoss
from sparcl_compile.passes.sparsifying.insert_weight_masks import InsertWeightMasks
from tests.support.cli import SCRIPTS, check_refused, spawn, write_model

THIRD = '''
"""A pass of another package."""

import dataclasses

import onnx_ir as ir

from sparcl_compile.passes.core.contract import Pass
from sparcl_compile.passes.core.facts import MARKED
from sparcl_compile.passes.core.phases import Phase


@dataclasses.dataclass(frozen=True)
class RenameGraph(Pass):
    """Give the graph a name."""

    phase = Phase.LOWERING
    needs = (MARKED,)

    to: str = "renamed"

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        changed = model.graph.name != self.to
        model.graph.name = self.to
        return ir.passes.PassResult(model, changed)
'''
POINTS = """[sparcl_compile.passes]
rename_graph = third:RenameGraph
broken = third:Absent
attach_loss = third:RenameGraph
"""


def points(*given: tuple[str, str]) -> dict[str, EntryPoint]:
    return {name: EntryPoint(name, value, registry.GROUP) for name, value in given}


def test_names_are_in_the_order_of_a_compilation() -> None:
    names = registry.pass_names()
    assert names[3:7] == ["import_forward", "mark_dense_weights", "freeze_parameters", "raise_signal"]
    assert names.index("differentiate") < names.index("order_backward") < names.index("emit")


def test_a_list_becomes_passes() -> None:
    text = "insert_weight_masks{sparsity=0.5,scheme=2:4},attach_loss"
    assert registry.passes_from(text) == [InsertWeightMasks(0.5, scheme="2:4"), AttachLoss()]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("atach_loss", r"^atach_loss: no such pass; did you mean attach_loss\? give one of fix_input, "),
        ("zzz", r"^zzz: no such pass; give one of fix_input, .*, fuse_normalisation$"),
        ("attach_loss,emit", r"^emit: runs inside of .* only, which gives it its forward; leave it out$"),
        ("freeze_state", r"^freeze_state: runs inside of .* only, which gives it its state; leave it out$"),
        ("compress_weights{places=1}", r"^compress_weights: places cannot be written"),
    ],
)
def test_what_cannot_be_had_is_refused(text: str, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        registry.passes_from(text)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("no_such_module:Pass", "cannot be loaded"),
        ("pathlib:NoSuchClass", "cannot be loaded"),
        ("pathlib:Path", "is no pass with a phase"),
        ("pathlib", "is no pass with a phase"),
        ("sparcl_compile.passes.core.contract:Pass", "is no pass with a phase"),
        ("sparcl_compile.passes.differentiating.attach_loss:AttachLoss", "is the pass attach_loss; give the entry"),
    ],
)
def test_an_entry_point_that_is_no_pass_is_refused(value: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "entry_points", lambda group: points(("theirs", value)).values())
    assert registry.pass_names()[-1] == "theirs"
    with pytest.raises(OptionError, match=message) as caught:
        registry.pass_class("theirs")
    assert str(caught.value).startswith(f"theirs: the entry point {value}")


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """Another package that is installed beside this one."""
    (tmp_path / "third.py").write_text(THIRD)
    made = tmp_path / "third-1.0.dist-info"
    made.mkdir()
    (made / "METADATA").write_text("Metadata-Version: 2.1\nName: third\nVersion: 1.0\n")
    (made / "entry_points.txt").write_text(POINTS)
    return tmp_path


def test_another_package_s_pass_runs_like_ours(package: Path) -> None:
    given = {"env": {"PATH": str(SCRIPTS), "PYTHONPATH": str(package), "OMP_NUM_THREADS": "1"}}
    model = write_model(package)
    shown = spawn("opt", model, "-p", "import_forward,rename_graph{to=other}", **given)
    assert shown.code == 0, shown.err
    assert "\nother (" in shown.out
    check_refused(
        spawn("opt", model, "-p", "rename_graph", **given), "rename_graph: the graph has no marked parameters"
    )
    check_refused(spawn("opt", model, "-p", "broken", **given), "broken: the entry point third:Absent cannot be loaded")
    listed = spawn("opt", "--list", **given)
    assert listed.code == 0, listed.err
    lowering = listed.out.partition("\nlowering: ")[2].partition("\ndifferentiating: ")[0]
    assert "  rename_graph{to=renamed}\n      Give the graph a name.\n      needs: import_forward\n" in lowering
    assert "broken: the entry point third:Absent cannot be loaded" in listed.out
    assert listed.out.count("  attach_loss{distance=") == 1


def test_a_pass_s_module_is_imported_when_it_is_asked_for() -> None:
    code = (
        "import sys; from sparcl_compile.passes import registry; registry.passes_from('attach_loss');"
        "print(*sorted(n for n in registry.MODULES.values() if n in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["sparcl_compile.passes.differentiating.attach_loss"]
