"""The kits accept the driver in JavaScript on every runtime, and none of its faulty ones."""

import json
from pathlib import Path

import pytest

from tests.conformance.kit import Kit
from tests.conformance.trace import differences
from tests.js import tools

KITS = ("der", "er_channels", "er_dense")
FAULTS = {
    "der": (
        *("skippedEvent", "lateEvents", "wrongOrder", "movedFirst", "batchesBeforeFeeds", "intoOne"),
        "noRunningStatistics",
    ),
    "er_channels": ("skippedEvent", "lateEvents", "wrongOrder", "alwaysTheFirstStep", "noRunningStatistics"),
    "er_dense": ("intoOne",),
}
"""Faults of runtime/js/test/faults.ts, by the kit that must notice them."""


def found(kit: Kit, trace: Path) -> list[str]:
    """The differences of a trace from the kit's."""
    return list(differences(json.loads(trace.read_text(encoding="utf-8")), kit.trace))


@pytest.mark.parametrize("runtime", tools.RUNTIMES, indirect=True)
@pytest.mark.parametrize("name", KITS)
def test_the_driver_is_accepted(name: str, runtime: str, portable_kits: dict[str, Kit], trace: Path) -> None:
    kit = portable_kits[name]
    tools.learn(kit.folder.parent, name, trace, runtime)
    assert found(kit, trace) == []


@pytest.mark.parametrize(("name", "fault"), [(name, fault) for name, faults in FAULTS.items() for fault in faults])
def test_a_driver_with_a_fault_is_refused(name: str, fault: str, portable_kits: dict[str, Kit], trace: Path) -> None:
    kit = portable_kits[name]
    tools.learn(kit.folder.parent, name, trace, tools.RUNTIMES[0], fault)
    assert found(kit, trace)


def test_every_fault_is_noticed_by_a_kit() -> None:
    source = (tools.PACKAGE / "test" / "faults.ts").read_text(encoding="utf-8")
    listed = source.split("FAULTS")[1].split("{")[1].split("}")[0]
    assert {name.strip() for name in listed.split(",") if name.strip()} == {
        fault for faults in FAULTS.values() for fault in faults
    }
