"""The process that joblib tracks its temporary files with inherits a filter, and nobody else does."""

import os
import subprocess
import sys

import pytest

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
