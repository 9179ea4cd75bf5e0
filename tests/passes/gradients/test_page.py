"""docs/gradients.md: its table is that of the rules, and its example works."""

import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

import onnx.defs
import pytest

from sparcl_compile.interface.errors import UnsupportedOpsError
from sparcl_compile.passes.gradients import sparse, table
from sparcl_compile.passes.importing.rewrites import BY_TARGET
from tests.passes.importing.test_differentiable import rewritten_model
from tests.support.gradient_check import by_rules, imported, worst_gradient

PAGE = (Path(__file__).parents[3] / "docs" / "gradients.md").read_text()


def blocks(language: str) -> list[str]:
    """The code of a language on the page."""
    return re.findall(rf"```{language}\n(.*?)```", PAGE, flags=re.DOTALL)


def test_the_table_names_every_operator_with_a_rule() -> None:
    rows = [
        f"| [{name}](../passes/gradients/{name}.py) | {' '.join(f'`{op_type}`' for op_type in sorted(family.RULES))} |"
        for family in (*table.FAMILIES, sparse)
        for name in [family.__name__.rpartition(".")[2]]
    ]
    assert PAGE.partition("|---|---|\n")[2].partition("\n\n")[0].splitlines() == rows


def test_what_the_importer_rewrites_is_named() -> None:
    (listed,) = re.findall(r"The importer says these.*?: (.*?)\.\n", PAGE, flags=re.DOTALL)
    ruled = {op_type for _, op_type in table.RULES}
    assert re.findall(r"`(\w+)`", listed) == sorted(BY_TARGET["ort"].keys() - ruled)


def test_what_is_missing_is_missing() -> None:
    (listed,) = re.findall(r"\*\*Missing\*\*(.*?)\n\n", PAGE, flags=re.DOTALL)
    missing = set(re.findall(r"`(\w+)`", listed))
    assert missing <= {schema.name for schema in onnx.defs.get_all_schemas()}
    assert not missing & (BY_TARGET["ort"].keys() | {op_type for _, op_type in table.RULES})


@pytest.fixture
def example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The package of the page, as if it were installed."""
    ((code,), (lines,)) = blocks("python"), blocks("toml")
    points = tomllib.loads(lines)["project"]["entry-points"][table.GROUP]
    ((name, value),) = points.items()
    (tmp_path / f"{value.partition(':')[0]}.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(table, "entry_points", lambda group: [EntryPoint(name, value, group)])
    table._others.cache_clear()
    yield
    table._others.cache_clear()
    sys.modules.pop(value.partition(":")[0], None)


@pytest.mark.usefixtures("example")
def test_the_example_trains_its_operator() -> None:
    model = imported(rewritten_model(18, "y = Sinh(h)", {}), target="ort")
    worst, parameter = worst_gradient(model, by=by_rules)
    assert worst < 1e-3, parameter


def test_without_the_example_the_operator_is_refused() -> None:
    with pytest.raises(UnsupportedOpsError, match=r"1 operator.*Sinh \(.*docs/gradients.md"):
        imported(rewritten_model(18, "y = Sinh(h)", {}), target="ort")
