import dataclasses
import itertools
import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import costs, filters
from benchmarks.files import write_json
from benchmarks.fitting import as_table, fitted, lines_of, measure_until
from sparcl_compile.passes.gradients.filter_costs import COUNTS


@dataclasses.dataclass(frozen=True)
class One:
    name: str
    shape: tuple[int, ...]


def test_rates_that_times_are_made_of_are_found_again() -> None:
    counts = np.random.default_rng(0).uniform(1, 100, (20, 3))
    rates, error = fitted(("a", "b", "unused"), counts.tolist(), (counts @ [2e-9, 3e-8, 0.0]).tolist())
    assert rates == pytest.approx({"a": 2.0, "b": 30.0, "unused": 0.0}, abs=1e-6)
    assert error < 1e-9
    assert as_table({"a": 2.0, "unused": 0.0}) == '{"a": 2}'


def test_what_was_measured_is_added_and_read_again(tmp_path: Path) -> None:
    data, numbers = tmp_path / "new" / "data.jsonl", itertools.count()
    for _ in range(2):
        measure_until(1e-3, data, lambda: One(f"layer {next(numbers)}", (3, 4)))
    found = [One(**line) for line in lines_of(data)]
    assert found == [One(f"layer {number}", (3, 4)) for number in range(next(numbers))]
    assert lines_of(tmp_path / "none") == []


def test_rows_are_written_into_a_folder_that_is_not_there(tmp_path: Path) -> None:
    write_json(tmp_path / "new" / "rows.json", [One("a", (1,))])
    assert json.loads((tmp_path / "new" / "rows.json").read_text()) == [{"name": "a", "shape": [1]}]


def test_layers_are_read_as_they_were_measured(tmp_path: Path) -> None:
    def seconds(layer: filters.Layer) -> dict[str, float]:
        return {form: 1.0 for form, count in COUNTS.items() if count(layer) is not None}

    row = filters.Measured(layer := filters.random_layer(np.random.default_rng(0)), seconds(layer))
    write(tmp_path / "filters.jsonl", row)
    assert filters.load(tmp_path / "filters.jsonl") == [row]
    work, batch = next(costs.random_layers())
    line = costs.Measured(work, batch, costs.Times(1.0, 2.0))
    write(tmp_path / "costs.jsonl", line)
    assert costs.load(tmp_path / "costs.jsonl") == [line]


def write(path: Path, row: object) -> None:
    path.write_text(json.dumps(dataclasses.asdict(row)) + "\n")  # type: ignore[call-overload]
