"""Settings that every test shares."""

import importlib.util
import os
import sys
from collections.abc import Mapping
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


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A case that has the target ``ort-training`` among its parameters needs that build, as one that is marked does."""
    for item in items:
        if _names_builder(getattr(getattr(item, "callspec", None), "params", {})):
            item.add_marker("training_build")


def _names_builder(value: object) -> bool:
    if isinstance(value, Mapping):
        return any(map(_names_builder, value.values()))
    if isinstance(value, tuple | list):
        return any(map(_names_builder, value))
    return isinstance(value, str) and value == "ort-training"


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Tests of the training build have an environment of their own: it installs over the stock package."""
    if not item.get_closest_marker("training_build") or importlib.util.find_spec("onnxruntime.training"):
        return
    reason = "this is not ONNX Runtime's training build: make test-training"
    if os.environ.get("SPARCL_TRAINING_REQUIRED"):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository's root folder."""
    return ROOT


@pytest.fixture(scope="session")
def console_scripts() -> Path:
    """The folder of the installed console scripts, those of the Python that runs the tests."""
    return SCRIPTS
