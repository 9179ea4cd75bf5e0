"""The runs that both machines make, and the detection of a difference."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sparcl_compile.runtime.session import kernel_library as kernels
from tests.runtime.kernels.arm64.compare import LIMIT, difference, faults, main
from tests.runtime.kernels.arm64.recorded import Recorded, load, save
from tests.runtime.kernels.arm64.runs import BATCHES, DENSITIES, convolutions, normalisations, random_cases
from tests.runtime.kernels.sparse import Array, Case, random_weight


@pytest.fixture(scope="module")
def recorded() -> list[Recorded]:
    case = Case(5, 3, 4, 6, 7)
    return [*convolutions(case, random_weight(case)), *normalisations((3, 4, 5, 6), 0, True, True)]


@pytest.fixture(scope="module")
def library() -> Path:
    found = kernels.library()
    assert found is not None
    return found


def test_the_same_machine_agrees_with_itself(
    recorded: list[Recorded], library: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save(tmp_path / "runs.npz", recorded)
    assert main(tmp_path / "runs.npz", library) == 0
    lines = [line.rsplit(maxsplit=2) for line in capsys.readouterr().out.splitlines() if line]
    assert ["SparseConvWeightGrad", "2", "0.0e+00"] in lines
    assert {run.op for run in recorded} <= {line[0] for line in lines}


@pytest.mark.parametrize("place", range(7))
def test_a_wrong_number_is_reported(
    recorded: list[Recorded], library: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], place: int
) -> None:
    results = [array.copy() for array in recorded[place].results]
    results[-1].flat[0] += 3 * LIMIT * max(1, np.abs(results[-1]).max())
    save(tmp_path / "runs.npz", [*recorded[:place], replace(recorded[place], results=results)])
    assert main(tmp_path / "runs.npz", library) == 1
    assert f"{recorded[place].op}, run {place}: differs by 3.0e-04, limit 1e-04" in capsys.readouterr().out


def test_the_file_keeps_everything(recorded: list[Recorded], tmp_path: Path) -> None:
    save(tmp_path / "runs.npz", recorded)
    for before, after in zip(recorded, load(tmp_path / "runs.npz"), strict=True):
        assert (after.op, after.model, list(after.threads)) == (before.op, before.model, list(before.threads))
        assert {name: a.tobytes() for name, a in after.feeds.items()} == {
            n: a.tobytes() for n, a in before.feeds.items()
        }
        assert difference(after.results, before.results) == 0


ONE = np.ones(3, dtype=np.float32)


@pytest.mark.parametrize(
    ("found", "expected", "largest"),
    [
        ([ONE], [ONE], 0),
        ([ONE * 1.5], [ONE], 0.5),
        ([ONE * 110], [ONE * 100], 0.1),
        ([ONE, ONE], [ONE, ONE * 0.75], 0.25),
        ([ONE[:0]], [ONE[:0]], 0),
        ([ONE[:2]], [ONE], np.inf),
        ([ONE], [ONE, ONE], np.inf),
    ],
)
def test_the_largest_difference(found: list[Array], expected: list[Array], largest: float) -> None:
    assert difference(found, expected) == pytest.approx(largest)


def test_a_nan_or_other_bits_between_threads_are_faults() -> None:
    run = Recorded("op", b"", {}, [ONE], (1, 2, 3))
    assert list(faults(run, [[ONE], [ONE], [ONE]])) == []
    assert list(faults(run, [[ONE * np.nan]] * 3)) == ["differs by nan, limit 1e-04"]
    assert list(faults(run, [[ONE], [ONE], [np.nextafter(ONE, 2)]])) == ["3 threads give other bits than 1"]
    assert list(faults(run, [[ONE], [-ONE * -1], [ONE + 1]])) == ["3 threads give other bits than 1"]


def test_the_cases_reach_everywhere() -> None:
    cases = list(random_cases())
    assert {(case.batch, case.density) for case in cases} == {(b, d) for b in BATCHES for d in DENSITIES}
    assert {case.strides for case in cases} >= {(1, 1), (2, 2), (3, 1)}
    assert any(case.pads[0] != case.pads[2] for case in cases)
    assert any(case.dilations != (1, 1) and case.kernel != (1, 1) for case in cases)
    assert all(min(case.out()) >= 1 for case in cases)
