"""The help of a command: options by topic, examples, and the first steps of a command that is called with nothing."""

import dataclasses
from collections.abc import Mapping

import click

OTHERS = "Others"
GAP = 4
"""Columns in front of an example and between it and its text."""


@dataclasses.dataclass(frozen=True)
class Guide:
    """The part of a command's help that says what belongs together and how to begin.

    Attributes:
        topics: headings with the long names of their options; what none names comes last under ``Others``.
        examples: command lines with a sentence each, the most frequent first.
        first: the sentence in front of the examples where the command is called with nothing.
    """

    topics: Mapping[str, tuple[str, ...]]
    examples: Mapping[str, str]
    first: str


def write_options(guide: Guide, command: click.Command, ctx: click.Context, formatter: click.HelpFormatter) -> None:
    """Write the options by topic, and the examples behind them."""
    records = {name: record for name, record in map(lambda one: _record(one, ctx), command.get_params(ctx)) if record}
    for heading, names in guide.topics.items():
        _section(formatter, heading, [records.pop(name) for name in names])
    _section(formatter, OTHERS, [*records.values()])
    write_examples(guide, formatter)


def _record(param: click.Parameter, ctx: click.Context) -> tuple[str, tuple[str, str] | None]:
    record = None if isinstance(param, click.Argument) else param.get_help_record(ctx)
    return long_name(param), record


def long_name(param: click.Parameter) -> str:
    """The long name of an option without its dashes; the name of an argument."""
    return next((name for name in param.opts if name.startswith("--")), param.name or "").removeprefix("--")


def _section(formatter: click.HelpFormatter, heading: str, records: list[tuple[str, str]]) -> None:
    if not records:
        return
    with formatter.section(_bold(heading)):
        formatter.write_dl(records)


def write_examples(guide: Guide, formatter: click.HelpFormatter) -> None:
    """Write each example below its sentence; a command line is never folded, so that it can be copied."""
    with formatter.section(_bold("Examples")):
        for line, text in guide.examples.items():
            formatter.write(f"{'':>{GAP // 2}}# {text}\n{'':>{GAP // 2}}{line}\n")


def _bold(text: str) -> str:
    """Bold on a terminal; click takes the codes out elsewhere."""
    return click.style(text, bold=True)


def first_steps(guide: Guide, ctx: click.Context) -> str:
    """The text for a command that is called with nothing."""
    formatter = ctx.make_formatter()
    formatter.write_text(guide.first)
    formatter.write_paragraph()
    write_examples(guide, formatter)
    formatter.write_paragraph()
    name = ctx.info_name
    formatter.write(f"All options: {name} --help. What this machine lacks: sparcl-doctor.\n")
    return formatter.getvalue().rstrip("\n")
