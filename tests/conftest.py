"""Settings that every test shares."""

import os
import sys
from pathlib import Path

# Before any library starts its thread pool: under xdist every process would otherwise take all cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import hypothesis
import pytest

ROOT = Path(__file__).resolve().parent.parent
SCRIPTS = Path(sys.executable).parent

# The same examples on every machine, and no failure because a shared machine was slow for a moment.
hypothesis.settings.register_profile("repeatable", derandomize=True, deadline=None, print_blob=True)
hypothesis.settings.load_profile("repeatable")


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository's root folder."""
    return ROOT


@pytest.fixture(scope="session")
def console_scripts() -> Path:
    """The folder of the installed console scripts, those of the Python that runs the tests."""
    return SCRIPTS
