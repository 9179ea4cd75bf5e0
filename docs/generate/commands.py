"""docs/cli.md: the commands with their options, from the commands themselves and the notes beside this file."""

import inspect
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

import click

from sparcl_compile import cli
from sparcl_compile.cli.config_file import NEVER
from sparcl_compile.cli.guides import GUIDES, LOUD
from sparcl_compile.cli.help import long_name

NOTES = Path(__file__).with_name("notes.toml")
"""By command and option what there is to say beyond the option's line in ``--help``, in Markdown."""
HEAD = """# The commands

Every option of every command, from the commands themselves. `COMMAND --help` prints the same on a terminal,
`sparcl-doctor` what this machine lacks; `-q` and `-v` print less and more, and a command that is called with nothing
shows its first steps.

| command | what it does |
|---|---|
"""
CONFIG = """
## What one always types

A file `sparcl.toml`, or a table `[tool.sparcl]` in `pyproject.toml`, holds options for every call below its folder: a
table a command, without `sparcl-`, and in it the long options without their dashes. The nearest folder with such a
file counts, from the one that the command is called in upwards, and what is typed wins. A flag is `true` or `false`,
an option that may be repeated a list. What the file has wrong (a command or an option that there is not) is refused
with its line.

<!-- runs in tests/cli/test_config_file.py -->
```toml
[compile]
sparsity = 0.9
compress = true
freeze = ["backbone.*"]

[run]
data = "folder:photos"
epochs = 20
```

`COMMAND --help` then shows these as the defaults. In `pyproject.toml` the tables are `[tool.sparcl.compile]` and so on.

## Completion

`eval "$(sparcl-doctor --completion bash)"` in `~/.bashrc` completes the options of all commands and their values;
`zsh` and `fish` work alike.

## Colours

Colours are for terminals: what goes into a file or a pipe has none, nor has a terminal where `NO_COLOR` is set.
"""
SHARED = (*LOUD, *NEVER[:2])
"""Options that are the same everywhere."""


def command_of(name: str) -> click.Command:
    """A command by its name without ``sparcl-``."""
    found: click.Command = getattr(cli, f"{name}_command")
    return found


def notes() -> dict[str, dict[str, str]]:
    """The notes by command and option."""
    return tomllib.loads(NOTES.read_text(encoding="utf-8"))


def text() -> str:
    """The page."""
    every = notes()
    rows = (f"| [sparcl-{name}](#sparcl-{name}) | {_purpose(command_of(name))} |\n" for name in GUIDES)
    parts = "".join("".join(_command(name, every.get(name, {}))) for name in GUIDES)
    return HEAD + "".join(rows) + parts + CONFIG


def _purpose(command: click.Command) -> str:
    return inspect.cleandoc(command.help or "")


def _command(name: str, notes: Mapping[str, str]) -> Iterator[str]:
    command = command_of(name)
    options = {long_name(one): one for one in command.params if isinstance(one, click.Option)}
    words = " ".join(str(one.metavar or one.name).upper() for one in command.params if isinstance(one, click.Argument))
    yield f"\n## sparcl-{name}\n\n{_purpose(command)}\n\n"
    yield f"```text\nsparcl-{name} {f'{words} ' if words else ''}[OPTIONS]\n```\n"
    for heading, names in GUIDES[name].topics.items():
        own = [options[one] for one in names if one in options and one not in SHARED]
        if own:
            yield f"\n**{heading}**\n\n| option | default | meaning |\n|---|---|---|\n"
            yield from (_row(one, notes.get(long_name(one), "")) for one in own)
    yield "\n**Examples**\n\n"
    yield from (f"- {says}: `{line}`\n" for line, says in GUIDES[name].examples.items())


def _row(option: click.Option, note: str) -> str:
    names = [*option.opts, *option.secondary_opts]
    shown = ", ".join(f"`{one}`" for one in sorted(names, key=lambda one: one.startswith("--")))
    value = "" if option.is_flag else f" `{_value(option)}`"
    help_text, _, default = (option.help or "").partition("  [default: ")
    given = default.rstrip("]") if default else _default(option)
    return f"| {shown}{_escape(value)} | {_escape(given)} | {_escape(note or help_text)} |\n"


def _value(option: click.Option) -> str:
    if isinstance(option.type, click.Choice):
        return "|".join(str(choice) for choice in option.type.choices)
    return option.metavar or option.type.name.upper()


def _default(option: click.Option) -> str:
    if option.required:
        return "required"
    context = click.Context(click.Command("none"))
    value = option.get_default(context)
    plain = isinstance(value, str | int | float)
    if isinstance(value, bool):
        return (option.opts if value else option.secondary_opts or ("no",))[0].strip("-")
    return str(value) if plain else ""


def _escape(text: str) -> str:
    return text.replace("|", "\\|")
