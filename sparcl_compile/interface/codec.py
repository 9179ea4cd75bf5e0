"""Dataclasses as JSON and back, strictly. With program.py the one file that needs a library (msgspec)."""

import dataclasses
import json
from typing import Any, TypeVar

import msgspec

Kind = TypeVar("Kind")


def plain(value: object) -> Any:
    """A dataclass, with all that it holds, as JSON-ready data: dicts, lists, texts, numbers and None."""
    return msgspec.json.decode(msgspec.json.encode(value))


def to_json(value: object) -> str:
    """The text of a JSON file; the same for equal dataclasses."""
    return json.dumps(plain(value), indent=1) + "\n"


def from_plain(kind: type[Kind], data: object) -> Kind:
    """The dataclass that JSON-ready data stand for.

    Raises:
        ValueError: a field is missing, unknown or of another type; the message names it by its path.
    """
    found = msgspec.convert(data, kind, str_keys=True)
    _check_fields(data, found, "$")
    return found


def json_schema(kind: type[object]) -> dict[str, Any]:
    """The JSON Schema of a dataclass and of all that it holds, as msgspec gives it."""
    return msgspec.json.schema(kind)


def _check_fields(given: Any, found: Any, path: str) -> None:
    """Refuse two faults that msgspec accepts: an unknown field, and a missing one that has a default."""
    if isinstance(found, tuple):
        for index, (one, other) in enumerate(zip(given, found, strict=True)):
            _check_fields(one, other, f"{path}[{index}]")
    if isinstance(found, dict):
        for (key, one), other in zip(given.items(), found.values(), strict=True):
            _check_fields(one, other, f"{path}.{key}")
    if dataclasses.is_dataclass(found):
        names = [field.name for field in dataclasses.fields(found)]
        for name in given.keys() ^ names:
            fault = "contains unknown" if name in given else "missing required"
            raise ValueError(f"Object {fault} field `{name}` - at `{path}`")
        for name in names:
            _check_fields(given[name], getattr(found, name), f"{path}.{name}")
