"""sparcl-doctor."""

import json
import sys

import click

from sparcl_compile.cli.command import Command
from sparcl_compile.cli.common import silence_libraries
from sparcl_compile.cli.completion import SHELLS, script
from sparcl_compile.cli.loudness import is_quiet
from sparcl_compile.interface.version import __version__

BROKEN = 1
"""The exit code where the tool cannot work; what is optional and missing is no failure."""


def _print_script(ctx: click.Context, _: click.Parameter, shell: str | None) -> None:
    if shell and not ctx.resilient_parsing:
        click.echo(script(shell))
        ctx.exit()


@click.command(cls=Command)
@click.option(
    "--completion",
    type=click.Choice(SHELLS),
    is_eager=True,
    expose_value=False,
    callback=_print_script,
    help="Print the script with which this shell completes the options of all commands.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
@click.version_option(__version__)
def doctor_command(as_json: bool) -> None:
    """Say what is installed, what is missing and how to get it; the exit code is 1 where the tool cannot work."""
    silence_libraries()
    from sparcl_compile.cli.findings import findings, is_broken, print_findings

    found = findings()
    if as_json:
        click.echo(json.dumps([one.plain() for one in found], indent=1))
    else:
        print_findings([one for one in found if one.mend or not is_quiet()])
    sys.exit(BROKEN if is_broken(found) else 0)
