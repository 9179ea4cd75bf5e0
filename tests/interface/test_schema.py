"""The committed schema of the manifest equals that of the dataclasses, and refuses the same mistakes."""

import dataclasses

import jsonschema
import pytest

from sparcl_compile.interface import manifest, schema
from sparcl_compile.interface.manifest import VERSION
from tests.support.schema import SCHEMA


def test_the_committed_schema_is_that_of_the_dataclasses() -> None:
    assert schema.FILE.read_text(encoding="utf-8") == schema.text(), "make schema writes it anew"


def test_it_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_every_field_is_required_explained_and_no_other_is_allowed() -> None:
    found = SCHEMA["$defs"]["Manifest"]
    fields = [field.name for field in dataclasses.fields(manifest.Manifest)]
    assert found["required"] == list(found["properties"]) == fields
    assert not found["additionalProperties"]
    assert all(part["description"] for part in found["properties"].values())
    assert found["properties"]["version"]["enum"] == [VERSION]


def test_defaults_of_options_do_not_make_them_optional() -> None:
    options = SCHEMA["$defs"]["Options"]
    assert options["required"] == list(options["properties"])
    assert not any("default" in part for part in options["properties"].values())


@pytest.mark.parametrize("name", [name for name, part in SCHEMA["$defs"].items() if "properties" in part])
def test_every_dataclass_says_what_it_is(name: str) -> None:
    description = SCHEMA["$defs"][name]["description"]
    assert description
    assert "Attributes" not in description
