"""docs/contract.md: the fields of an artifact's manifest, from its JSON Schema."""

from collections.abc import Iterator, Mapping
from typing import Any

from sparcl_compile.interface.schema import schema

REF = "#/$defs/"
HEAD = """# The contract

What a driver reads of an artifact: `manifest.json`, field by field, from its JSON Schema
([manifest.schema.json](../sparcl_compile/interface/manifest.schema.json)). Every field is there, `null` where it does
not apply, and none besides. [Interfaces between the parts](interfaces.md) says how the graphs and the program are
run.

"""


def text() -> str:
    """The page: the manifest first, then its parts by name."""
    parts = schema()["$defs"]
    first = schema()["$ref"].removeprefix(REF)
    order = [first, *sorted(name for name in parts if name != first)]
    index = "Parts: " + ", ".join(f"[{name}](#{name.lower()})" for name in order) + ".\n"
    return HEAD + index + "".join("".join(_part(name, parts[name])) for name in order)


def _part(name: str, part: Mapping[str, Any]) -> Iterator[str]:
    yield f"\n## {name}\n\n{_plain(part.get('description', ''))}\n"
    if "properties" not in part:
        yield f"\nIt is {_type(part)}.\n"
        return
    yield "\n| field | type | meaning |\n|---|---|---|\n"
    for field, found in part["properties"].items():
        yield f"| `{field}` | {_type(found)} | {_plain(found.get('description', '')).replace('|', chr(92) + '|')} |\n"


def _plain(text: str) -> str:
    return text.replace("``", "`").strip()


def _type(found: Mapping[str, Any]) -> str:
    """The type of a field in words, parts as links."""
    if "$ref" in found:
        name = found["$ref"].removeprefix(REF)
        return f"[{name}](#{name.lower()})"
    if "anyOf" in found:
        return " or ".join(map(_type, found["anyOf"]))
    if "enum" in found:
        return " or ".join(f"`{value}`" if value is not None else "null" for value in found["enum"])
    if found.get("type") == "array":
        return _list(found)
    if "additionalProperties" in found and found.get("type") == "object":
        return f"map of text to {_type(found['additionalProperties'])}"
    return {"null": "null", "string": "text", "integer": "integer", "number": "number", "boolean": "true or false"}.get(
        str(found.get("type")), "anything"
    )


def _list(found: Mapping[str, Any]) -> str:
    if "prefixItems" in found:
        return f"list of {', '.join(map(_type, found['prefixItems']))}"
    return f"list of {_type(found['items'])}" if found.get("items") else "list"
