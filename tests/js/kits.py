"""Kits that a driver of a learner can run: ``python -m tests.js.kits FOLDER`` puts them there."""

import shutil
import sys
from pathlib import Path

from tests.conformance.kit import Kit, for_apps, kits


def portable(folder: Path) -> dict[str, Kit]:
    """The kits by name, in a new folder."""
    shutil.rmtree(folder, ignore_errors=True)
    for name, kit in for_apps().items():
        shutil.copytree(kit.folder, folder / name)
    return kits(folder)


if __name__ == "__main__":
    portable(Path(sys.argv[1]))
