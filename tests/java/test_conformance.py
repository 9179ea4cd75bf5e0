"""The Java driver is accepted by every conformance kit, and with a fault in its interpreter refused."""

import dataclasses
import json
import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.conformance import record
from tests.conformance.kit import FOLDER, Kit, kits
from tests.conformance.trace import differences
from tests.java.jvm import FETCH, Jvm

TARGET = "ort"
"""The target whose artifacts run in a stock ONNX Runtime, as that for Java is."""
KITS = tuple(kits())
FAULTS = {"der": ("wrong-order", "skipped-event"), "er_channels": ("wrong-order",)}
MORE_FAULTS = {"der": ("no-into", "no-feeds-first", "uncounted-rows"), "er_channels": ("skipped-event",)}
"""Tried by ``make test-java`` only."""


@pytest.fixture(scope="session")
def portable(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Kit]:
    """The kits, made again for the target ``ort`` where those at hand are for another one."""
    found = kits()
    if all(_target(kit) == TARGET for kit in found.values()):
        return found
    folder = tmp_path_factory.mktemp("kits")
    with pytest.MonkeyPatch.context() as patch:
        for name, case in record.CASES.items():
            options = dataclasses.replace(case.options, target=TARGET)
            patch.setitem(record.CASES, name, dataclasses.replace(case, options=options))  # type: ignore[arg-type]
            record.record(name, folder)
    return kits(folder)


def _target(kit: Kit) -> str:
    return str(json.loads((kit.artifact / "manifest.json").read_text(encoding="utf-8"))["target"])


def found(jvm: Jvm, kit: Kit, folder: Path, *fault: str) -> list[str]:
    """What differs in the driver's trace from the recorded one."""
    jvm.run("Conformance", kit.folder, folder / "trace.json", *fault)
    return list(differences(json.loads((folder / "trace.json").read_text(encoding="utf-8")), kit.trace))


def pairs(faults: Mapping[str, tuple[str, ...]]) -> list[tuple[str, str]]:
    return [(name, fault) for name, of_kit in faults.items() for fault in of_kit]


def test_there_is_a_fault_for_every_kit() -> None:
    assert FAULTS.keys() == {path.parent.name for path in FOLDER.glob("*/trace.json")}


@pytest.mark.parametrize("name", KITS)
def test_it_is_accepted_on_the_build_for_linux(name: str, linux: Jvm, portable: dict[str, Kit], tmp_path: Path) -> None:
    assert found(linux, portable[name], tmp_path) == []


@pytest.mark.parametrize("name", KITS)
def test_it_is_accepted_on_the_build_for_android(
    name: str, android: Jvm, portable: dict[str, Kit], tmp_path: Path
) -> None:
    assert found(android, portable[name], tmp_path) == []


@pytest.mark.parametrize(("name", "fault"), pairs(FAULTS))
def test_a_fault_in_the_interpreter_is_refused(
    name: str, fault: str, linux: Jvm, portable: dict[str, Kit], tmp_path: Path
) -> None:
    assert found(linux, portable[name], tmp_path, fault)


@pytest.mark.skipif(FETCH not in os.environ, reason="`make test-java` tries these faults")
@pytest.mark.parametrize(("name", "fault"), pairs(MORE_FAULTS))
def test_more_faults_are_refused(name: str, fault: str, linux: Jvm, portable: dict[str, Kit], tmp_path: Path) -> None:
    assert found(linux, portable[name], tmp_path, fault)
