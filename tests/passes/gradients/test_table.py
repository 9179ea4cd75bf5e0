"""The table of rules: all of its operators are tried, and other packages add to it."""

import re
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

import onnx
import onnx_ir as ir
import pytest

from sparcl_compile.interface.errors import OptionError
from sparcl_compile.passes.gradients import table
from sparcl_compile.passes.gradients.gradient import Gradient

HERE = Path(__file__).parent


def tried() -> set[str]:
    """Every operator that a test of this folder names."""
    texts = [path.read_text() for path in HERE.glob("test_*.py") if path != Path(__file__)]
    return {word for text in texts for word in re.findall(r'[".](\w+)(?=["<])', text)}


def test_every_operator_of_the_table_is_tried() -> None:
    missing = {op_type for _, op_type in table.RULES} - tried()
    assert not missing


def test_every_operator_of_the_table_is_standard_or_ours() -> None:
    for domain, op_type in table.RULES:
        assert domain == "sparcl" or onnx.defs.has(op_type, max_inclusive_version=18), op_type


def test_an_operator_has_a_rule_or_none_by_definition() -> None:
    assert not {op_type for _, op_type in table.RULES} & table.STOPS
    assert all(onnx.defs.has(op_type, max_inclusive_version=18) for op_type in table.STOPS)


def doubled(g: Gradient) -> list[ir.Value | None]:
    """A rule of another package."""
    return [g.scaled(g.dy, 2.0)]


@pytest.fixture
def points(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[EntryPoint]]:
    """Entry points of other packages."""
    found: list[EntryPoint] = []
    monkeypatch.setattr(table, "entry_points", lambda group: found if group == table.GROUP else [])
    table._others.cache_clear()
    yield found
    table._others.cache_clear()


@pytest.mark.parametrize(("name", "domain", "op_type"), [("Det", "", "Det"), ("my.domain.Twice", "my.domain", "Twice")])
def test_another_package_adds_a_rule(points: list[EntryPoint], name: str, domain: str, op_type: str) -> None:
    points.append(EntryPoint(name, f"{__name__}:doubled", table.GROUP))
    assert table.rule_for(ir.Node(domain, op_type, [])) is doubled
    assert table.rule_for(ir.Node("other", op_type, [])) is None


def test_another_package_s_rule_goes_before_ours(points: list[EntryPoint]) -> None:
    assert table.rule_for(ir.Node("", "Relu", [])) is table.RULES["", "Relu"]
    table._others.cache_clear()
    points.append(EntryPoint("Relu", f"{__name__}:doubled", table.GROUP))
    assert table.rule_for(ir.Node("", "Relu", [])) is doubled


@pytest.mark.parametrize("value", ["no_such_module:rule", f"{__name__}:no_such_rule"])
def test_a_rule_that_cannot_be_loaded_is_named(points: list[EntryPoint], value: str) -> None:
    points.append(EntryPoint("Det", value, table.GROUP))
    with pytest.raises(OptionError, match=rf"^Det: the entry point {value} cannot be loaded \(.*\); mend or remove"):
        table.rule_for(ir.Node("", "Det", []))


def test_an_operator_without_a_rule_has_none(points: list[EntryPoint]) -> None:
    assert table.rule_for(ir.Node("", "Det", [])) is None
