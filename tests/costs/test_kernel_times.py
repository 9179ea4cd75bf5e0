import json
import os
from pathlib import Path

import pytest

from sparcl_compile.costs import kernel_times
from sparcl_compile.costs.kernel_times import KernelTimes
from sparcl_compile.interface.report import Times
from sparcl_compile.passes.lowering.choice.work import CONV, Work
from sparcl_compile.runtime.session import kernel_library as kernels

WORK = Work(CONV, (4, 3, 3, 3), (8, 8), (8, 8), (1, 1), (1, 1, 1, 1), (1, 1), 20, 20, True)
OTHER = Work(CONV, (4, 3, 3, 3), (8, 8), (8, 8), (1, 1), (1, 1, 1, 1), (1, 1), 21, 21, True)


@pytest.fixture
def library(tmp_path: Path) -> Path:
    path = tmp_path / "library.so"
    path.write_bytes(b"kernels")
    return path


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Work, int]]:
    """Record the measured layers; the seconds count up."""
    seen: list[tuple[Work, int]] = []

    def measure(work: Work, batch: int) -> Times:
        seen.append((work, batch))
        return Times(float(len(seen)), 0.5)

    monkeypatch.setattr(kernel_times, "measure", measure)
    return seen


def test_a_layer_is_measured_once(library: Path, tmp_path: Path, counted: list[tuple[Work, int]]) -> None:
    times = KernelTimes(library, tmp_path / "cache")
    assert times(WORK, 32) == times(WORK, 32) == Times(1.0, 0.5)
    assert times(OTHER, 32) == Times(2.0, 0.5)
    assert times(WORK, 16) == Times(3.0, 0.5)
    again = KernelTimes(library, tmp_path / "cache")
    assert again(WORK, 32) == Times(1.0, 0.5)
    assert counted == [(WORK, 32), (OTHER, 32), (WORK, 16)]


def test_another_library_processor_or_version_has_its_own_file(
    library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [KernelTimes(library, tmp_path).path]
    monkeypatch.setattr(kernel_times, "processor", lambda: "another one")
    paths.append(KernelTimes(library, tmp_path).path)
    monkeypatch.setattr(kernel_times.ort, "__version__", "1.0")
    paths.append(KernelTimes(library, tmp_path).path)
    library.write_bytes(b"better kernels")
    paths.append(KernelTimes(library, tmp_path).path)
    assert len(set(paths)) == 4


DAMAGED = (
    b"",
    b"{",
    b"\xff\xfe",
    b"[]",
    b"{}",
    b'{"times": []}',
    b'{"times": {"a": 1}}',
    b'{"times": {"a": {"dense": 1}}}',
    b'{"times": {"a": {"dense": "1", "sparse": 1}}}',
    b'{"times": {"a": {"dense": -1, "sparse": 1}}}',
    b'{"times": {"a": {"dense": NaN, "sparse": 1}}}',
)


@pytest.mark.parametrize("content", DAMAGED)
def test_a_damaged_cache_is_written_anew(
    content: bytes, library: Path, tmp_path: Path, counted: list[tuple[Work, int]]
) -> None:
    path = KernelTimes(library, tmp_path).path
    path.write_bytes(content)
    assert KernelTimes(library, tmp_path)(WORK, 32) == Times(1.0, 0.5)
    assert list(json.loads(path.read_text())["times"].values()) == [{"dense": 1.0, "sparse": 0.5}]
    assert counted == [(WORK, 32)]


def test_a_place_that_cannot_be_written_costs_the_cache_alone(
    library: Path, tmp_path: Path, counted: list[tuple[Work, int]]
) -> None:
    (tmp_path / "cache").write_text("a file where a folder is needed")
    times = KernelTimes(library, tmp_path / "cache")
    assert times(WORK, 32) == times(WORK, 32) == Times(1.0, 0.5)


def test_the_cache_lies_where_the_system_keeps_caches(
    library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", os.fspath(tmp_path))
    assert KernelTimes(library).path.parent == tmp_path / "sparcl-compile"


def test_the_processor_has_a_name() -> None:
    assert len(kernel_times.processor()) > 3


@pytest.mark.skipif(kernels.library() is None, reason=kernels.reason())
def test_times_are_times() -> None:
    small, large = (kernel_times.measure(work, 16, seconds=0.01) for work in (WORK, larger()))
    assert 0 < small.dense < large.dense < 60
    assert 0 < small.sparse < large.sparse < 60


def larger() -> Work:
    """A layer with a thousand times the work."""
    return Work(CONV, (64, 64, 3, 3), (16, 16), (16, 16), (1, 1), (1, 1, 1, 1), (1, 1), 20_000, 20_000, True)
