"""Kits that a driver without the training build can run: ``python -m tests.js.kits FOLDER`` puts them there.

Those of tests/conformance, where they are compiled for the target ``ort``; else the same recorded for it.
"""

import dataclasses
import json
import shutil
import sys
from pathlib import Path
from unittest import mock

from tests.conformance import record
from tests.conformance.kit import Kit, kits

TARGET = "ort"


def portable(folder: Path) -> dict[str, Kit]:
    """The kits by name, in a new folder."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name, kit in kits().items():
        if _target(kit) == TARGET:
            shutil.copytree(kit.folder, folder / name)
        else:
            _record(name, folder)
    return kits(folder)


def _target(kit: Kit) -> str:
    manifest = json.loads((kit.artifact / "manifest.json").read_text(encoding="utf-8"))
    return str(manifest["target"])


def _record(name: str, folder: Path) -> None:
    case = record.CASES[name]
    options = dataclasses.replace(case.options, target=TARGET)
    with mock.patch.dict(record.CASES, {name: dataclasses.replace(case, options=options)}):  # type: ignore[arg-type]
        record.record(name, folder)


if __name__ == "__main__":
    portable(Path(sys.argv[1]))
