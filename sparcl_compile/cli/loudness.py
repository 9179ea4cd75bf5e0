"""The amount that a command prints: ``--quiet`` its result alone, ``--verbose`` also what it does on the way."""

from collections.abc import Callable
from typing import Any

import click

QUIET, VERBOSE = "quiet", "verbose"
META = "sparcl.loudness"
"""Key of the amount in click's context."""


def _keep(ctx: click.Context, param: click.Parameter, wanted: bool) -> None:
    if not wanted:
        return
    if ctx.meta.get(META, param.name) != param.name:
        raise click.UsageError("--quiet and --verbose contradict each other: give one of them.")
    ctx.meta[META] = param.name


def _flag(short: str, name: str, text: str) -> click.Option:
    return click.Option([short, f"--{name}"], is_flag=True, expose_value=False, callback=_keep, help=text)


def loudness_options() -> list[click.Option]:
    """The two options, which every command has."""
    return [
        _flag("-q", QUIET, "Print the result alone: no progress, no hints."),
        _flag("-v", VERBOSE, "Print also each stage, the libraries' warnings, and the traceback of an error."),
    ]


def is_quiet() -> bool:
    """Whether the current command was given ``--quiet``."""
    return _current() == QUIET


def is_verbose() -> bool:
    """Whether the current command was given ``--verbose``."""
    return _current() == VERBOSE


def _current() -> str | None:
    context = click.get_current_context(silent=True)
    return context.meta.get(META) if context else None


def progress_lines() -> Callable[[str], Any]:
    """A function that prints a line of progress on the standard error, or nothing under ``--quiet``."""
    return (lambda line: None) if is_quiet() else (lambda line: click.echo(line, err=True))
