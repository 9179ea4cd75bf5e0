"""The Java driver is accepted by every conformance kit, and with a fault in its interpreter refused."""

import json
import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.conformance.kit import Kit, for_apps
from tests.conformance.trace import differences
from tests.java.jvm import FETCH, Jvm

KITS = for_apps()
FAULTS = {"der": ("wrong-order", "skipped-event"), "er_channels": ("wrong-order",), "er_dense": ("no-into",)}
MORE_FAULTS = {"der": ("no-into", "no-feeds-first", "uncounted-rows"), "er_channels": ("skipped-event",)}
"""Tried by ``make test-java`` only."""


def found(jvm: Jvm, kit: Kit, folder: Path, *fault: str) -> list[str]:
    """What differs in the driver's trace from the recorded one."""
    jvm.run("Conformance", kit.folder, folder / "trace.json", *fault)
    return list(differences(json.loads((folder / "trace.json").read_text(encoding="utf-8")), kit.trace))


def pairs(faults: Mapping[str, tuple[str, ...]]) -> list[tuple[str, str]]:
    return [(name, fault) for name, of_kit in faults.items() for fault in of_kit]


def test_there_is_a_fault_for_every_kit() -> None:
    assert FAULTS.keys() == KITS.keys()


@pytest.mark.parametrize("name", KITS)
def test_it_is_accepted_on_the_build_for_linux(name: str, linux: Jvm, tmp_path: Path) -> None:
    assert found(linux, KITS[name], tmp_path) == []


@pytest.mark.parametrize("name", KITS)
def test_it_is_accepted_on_the_build_for_android(name: str, android: Jvm, tmp_path: Path) -> None:
    assert found(android, KITS[name], tmp_path) == []


@pytest.mark.parametrize(("name", "fault"), pairs(FAULTS))
def test_a_fault_in_the_interpreter_is_refused(name: str, fault: str, linux: Jvm, tmp_path: Path) -> None:
    assert found(linux, KITS[name], tmp_path, fault)


@pytest.mark.skipif(FETCH not in os.environ, reason="`make test-java` tries these faults")
@pytest.mark.parametrize(("name", "fault"), pairs(MORE_FAULTS))
def test_more_faults_are_refused(name: str, fault: str, linux: Jvm, tmp_path: Path) -> None:
    assert found(linux, KITS[name], tmp_path, fault)
