"""The files that benchmarks write."""

import dataclasses
import json
from pathlib import Path


def write_json(output: Path, found: object) -> None:
    """Write what was measured, rows of a table too, into a folder that is made where it is missing."""
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(found, indent=1, default=dataclasses.asdict) + "\n", encoding="utf-8")
