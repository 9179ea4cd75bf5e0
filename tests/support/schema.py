"""The manifest of every artifact that a test makes against the committed schema, by another library than the tool's."""

import json
from pathlib import Path

import jsonschema

from sparcl_compile.interface.schema import FILE

SCHEMA = json.loads(FILE.read_text(encoding="utf-8"))


def check_schema(artifact: Path) -> None:
    """Raises ValidationError where the manifest of an artifact folder does not follow the schema."""
    manifest = json.loads((artifact / "manifest.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator(SCHEMA).validate(manifest)
