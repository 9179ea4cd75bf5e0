"""The process that joblib tracks its temporary files with inherits a filter, and nobody else does."""

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import joblib
import pytest

from sparcl_compile.bench import pool
from sparcl_compile.bench.jobs import Job
from sparcl_compile.bench.pool import quiet_tracker

WARNING = "import warnings; warnings.warn('resource_tracker: /gone: FileNotFoundError(2)'); warnings.warn('another')"


@pytest.mark.parametrize("before", [None, "default"])
def test_a_file_that_is_gone_is_no_matter_and_other_warnings_stay(
    before: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTHONWARNINGS", raising=False)
    if before is not None:
        monkeypatch.setenv("PYTHONWARNINGS", before)
    with quiet_tracker():
        told = subprocess.run([sys.executable, "-c", WARNING], capture_output=True, text=True, check=True).stderr
    assert "resource_tracker" not in told.replace(WARNING, "")
    assert "UserWarning: another" in told
    assert os.environ.get("PYTHONWARNINGS") == before


@pytest.mark.parametrize(("cores", "threads", "together"), [(1, 1, 1), (2, 1, 2), (3, 1, 3), (3, 2, 1), (4, 2, 2)])
def test_as_many_runs_go_on_at_once_as_the_cores_hold(
    cores: int, threads: int, together: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Threads stand for the processes, so that the test sees them: a run ends once all that may be are on their way."""
    gate, lock = threading.Barrier(together), threading.Lock()
    most: list[int] = []
    running: list[Job] = []

    def counted(job: Job, **given: Any) -> dict[str, Any]:
        with lock:
            running.append(job)
            most.append(len(running))
        gate.wait(timeout=60)
        with lock:
            running.remove(job)
        return {"job": job, **given}

    asked: list[dict[str, Any]] = []

    def threads_for(backend: str, **options: Any) -> Any:
        asked.append({"backend": backend, **options})
        return config("threading", n_jobs=options["n_jobs"])

    config = joblib.parallel_config
    monkeypatch.setattr(pool, "perform", counted)
    monkeypatch.setattr(joblib, "parallel_config", threads_for)
    jobs: list[Any] = [f"run {n}" for n in range(6 * together)]
    found = list(pool.outcomes(jobs, cores, threads, None, tmp_path))
    assert max(most) == together
    assert {one["job"] for one in found} == set(jobs)
    assert {one["threads"] for one in found} == {threads}
    assert asked == [{"backend": "loky", "n_jobs": together, "inner_max_num_threads": threads}]
