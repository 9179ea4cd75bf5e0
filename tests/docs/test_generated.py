"""The pages that are made from the code are those of this code, and say all of it."""

from pathlib import Path

import click
import pytest

from docs.generate import commands, contract, passes
from docs.generate.pages import MADE, PAGES, page
from sparcl_compile.cli.guides import GUIDES
from sparcl_compile.cli.help import long_name
from sparcl_compile.interface.schema import schema
from sparcl_compile.passes.registry import pass_names


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_what_the_code_gives(name: str, root: Path) -> None:
    """After a change of options, docstrings or the manifest: make pages."""
    assert (root / "docs" / name).read_text(encoding="utf-8") == page(name)
    assert page(name).startswith(MADE)


def section(text: str, heading: str) -> str:
    return text.partition(f"\n{heading}\n")[2].partition(f"\n{heading.partition(' ')[0]} ")[0]


@pytest.mark.parametrize("name", GUIDES)
def test_a_command_has_all_its_options(name: str) -> None:
    told = section(commands.text(), f"## sparcl-{name}")
    options = [one for one in commands.command_of(name).params if isinstance(one, click.Option)]
    for option in options:
        if long_name(option) not in commands.SHARED:
            assert f"`--{long_name(option)}`" in told
    assert all(f"`{line}`" in told for line in GUIDES[name].examples)


def test_a_note_is_of_an_option_that_there_is() -> None:
    for name, notes in commands.notes().items():
        options = {long_name(one) for one in commands.command_of(name).params}
        assert notes.keys() <= options, name


@pytest.mark.parametrize(("option", "row"), [
    ("fold", "| `--fold`, `--no-fold` | fold |"),
    ("sparsity", "| `--sparsity` `FLOAT` | 0.8; 1 - N/M for scheme N:M |"),
    ("recompute", "| `--recompute` | no |"),
    ("output", "| `-o`, `--output` `PATH` | MODEL.sparcl |"),
    ("target", "| `--target` `ort\\|ort-training` | ort |"),
])  # fmt: skip
def test_a_row_says_names_value_and_default(option: str, row: str) -> None:
    assert f"\n{row} " in section(commands.text(), "## sparcl-compile"), option


def test_every_pass_with_its_rules_and_options() -> None:
    text = passes.text()
    assert all(f"\n### {name}\n" in text for name in pass_names())
    masks = section(text, "### insert_weight_masks")
    assert "\n1. " in masks
    assert "| `sparsity` | number | `0.8` |" in masks or "| `density` | " in masks
    assert "``" not in text.replace("```", "")


def test_every_part_of_the_manifest_with_its_fields() -> None:
    text = contract.text()
    for name, part in schema()["$defs"].items():
        told = section(text, f"## {name}")
        assert told, name
        assert all(f"\n| `{field}` | " in told for field in part.get("properties", ())), name
    assert "anything" not in text
