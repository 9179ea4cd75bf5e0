"""The driver of runtime/js, built once, and the kits that it can run."""

import os
from pathlib import Path

import pytest

from tests.conformance.kit import Kit
from tests.js import tools
from tests.js.kits import portable


@pytest.fixture(scope="session")
def built() -> None:
    if reason := tools.missing():
        pytest.skip(reason)
    tools.build()


@pytest.fixture(scope="session")
def portable_kits(built: None, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Kit]:
    return portable(tmp_path_factory.mktemp("kits") / "all")


@pytest.fixture
def runtime(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    if name != tools.RUNTIMES[0] and tools.ALL not in os.environ:
        pytest.skip(f"{name} takes long; `make test-js` runs it")
    if reason := tools.missing(name):
        pytest.skip(reason)
    return name


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    return tmp_path / "trace.json"
