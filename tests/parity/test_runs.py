from pathlib import Path

import pytest

from sparcl_compile.interface.errors import OptionError
from sparcl_compile.runtime.session import kernel_library
from tests.parity import runs
from tests.parity.forms import FORMS, STEPS
from tests.parity.rows import Row
from tests.runtime.kernels.arm64.machine import Unready

ROW = Row("masked", "x", "1")


@pytest.mark.parametrize("error", [Unready("no such tool"), OptionError("no such tool"), ImportError("no such tool")])
def test_what_cannot_run_is_said_in_its_place(error: Exception) -> None:
    def fail() -> Row:
        raise error

    assert runs.tried(ROW, fail) == Row("masked", "x", "1", note="no such tool")


def test_a_fault_of_ours_is_not_swallowed() -> None:
    def fail() -> Row:
        raise KeyError("a graph")

    with pytest.raises(KeyError):
        runs.tried(ROW, fail)


def test_a_form_that_needs_kernels_says_why_there_are_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel_library, "library", lambda: None)
    monkeypatch.setattr(kernel_library, "reason", lambda: "the sparse kernels were not built")
    with pytest.raises(Unready, match="not built"):
        runs.record("compressed", tmp_path)


def test_a_module_that_fails_is_quoted(tmp_path: Path) -> None:
    with pytest.raises(Unready, match="No such file"):
        runs.run("tests.parity.replay", runs.installed(), tmp_path / "none", tmp_path / "results", "0")


def test_the_forms_cover_what_is_compared() -> None:
    options = [form.options for form in FORMS.values()]
    assert {one.method for one in options} == {"er", "der++"}
    assert {one.replay_batches for one in options} == {"separate", "merged"}
    assert {one.compress for one in options} == {False, True}
    assert any(one.scheme == "channel" and one.fold for one in options)
    assert any(one.gradient_sparsity > one.sparsity for one in options)
    assert all(form.told["tasks"] * form.told["epochs"] * 7 > STEPS for form in FORMS.values())
