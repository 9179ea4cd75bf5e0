"""The JSON Schema of the manifest, for drivers in other languages.

``python -m sparcl_compile.interface.schema`` writes the file.
"""

import inspect
import json
from pathlib import Path
from typing import Any

from sparcl_compile.interface.codec import json_schema
from sparcl_compile.interface.manifest import Manifest

FILE = Path(__file__).with_name("manifest.schema.json")
DIALECT = "https://json-schema.org/draft/2020-12/schema"
ATTRIBUTES = "\n\nAttributes:\n"


def schema() -> dict[str, Any]:
    """The schema, as the dataclasses and their docstrings give it.

    Every field is required, but for those of a program that are left out where they have their default; no other is
    allowed.
    """
    made = json_schema(Manifest)
    parts = {name: _strict(part) if "properties" in part else part for name, part in made["$defs"].items()}
    return {"$schema": DIALECT, "$ref": made["$ref"], "$defs": parts}


def _strict(part: dict[str, Any]) -> dict[str, Any]:
    text, _, attributes = inspect.cleandoc(part.get("description", "")).partition(ATTRIBUTES)
    notes = _notes(attributes)
    fields = {
        name: {**({"description": notes[name]} if name in notes else {}), **field}
        for name, field in part["properties"].items()
    }
    head = {"title": part["title"], "description": text, "type": "object"}
    if "additionalProperties" in part:  # a part of a program, which is strict by itself
        return {**part, **head, "properties": fields}
    for field in fields.values():
        field.pop("default", None)
    return {**head, "properties": fields, "required": list(fields), "additionalProperties": False}


def _notes(attributes: str) -> dict[str, str]:
    """The line of each field in a docstring's attributes, folded lines joined, by field."""
    lines = attributes.replace("\n        ", " ").splitlines()
    pairs = (line.strip().partition(": ") for line in lines)
    return {name: text for name, _, text in pairs}


def text() -> str:
    """The content of the schema's file."""
    return json.dumps(schema(), indent=1) + "\n"


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
