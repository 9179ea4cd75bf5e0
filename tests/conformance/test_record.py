"""The committed kits are what the compiler and the runtime make today: they cannot go stale."""

import json
from pathlib import Path

import pytest

from sparcl_compile.interface.files import sha256
from tests.conformance.kit import Kit, kits
from tests.conformance.record import CASES, FOR_TRAINING, record
from tests.conformance.trace import differences

KITS = kits()
AGAIN = "python -m tests.conformance.record makes it anew; look at what has changed"
TIMES = ("report.json", "manifest.sha256")
"""Files with times in them, and of these a checksum."""


def files(kit: Kit) -> dict[str, str]:
    """The checksums of all files by path, but of those with times in them, of the manifest, the trace and of locks.

    A test that runs beside this one may hold the lock of a kit that it reads.
    """
    found = (path for path in kit.folder.rglob("*") if path.name not in TIMES and path.suffix != ".lock")
    return {
        path.relative_to(kit.folder).as_posix(): sha256(path)
        for path in found
        if path.is_file() and path.name not in ("manifest.json", "trace.json")
    }


def manifest(kit: Kit) -> dict[str, object]:
    """The manifest without the versions of the programs that made it."""
    found: dict[str, object] = json.loads((kit.artifact / "manifest.json").read_text(encoding="utf-8"))
    return {name: value for name, value in found.items() if name != "made_by"}


def test_every_kit_is_recorded() -> None:
    assert KITS.keys() == CASES.keys()


NAMES = [pytest.param(one, marks=pytest.mark.training_build if one in FOR_TRAINING else ()) for one in CASES]


@pytest.mark.parametrize("name", NAMES)
def test_a_kit_recorded_anew_is_the_committed_one(name: str, tmp_path: Path) -> None:
    made, committed = record(name, tmp_path), KITS[name]
    assert list(differences(made.trace, committed.trace)) == [], AGAIN
    assert manifest(made) == manifest(committed), AGAIN
    assert files(made) == files(committed), AGAIN
