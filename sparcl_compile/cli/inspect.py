"""sparcl-inspect."""

import json
import os
from pathlib import Path

import click

from sparcl_compile.cli.command import Command
from sparcl_compile.cli.common import silence_libraries
from sparcl_compile.interface.errors import OptionError
from sparcl_compile.interface.version import __version__


@click.command(cls=Command)
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--after", metavar="PASS|PHASE", help="Print the graph after this pass, or the last one of a phase.")
@click.option(
    "--diff", nargs=2, metavar="PASS|PHASE PASS|PHASE", help="Show what changed from after one to after another."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.version_option(__version__)
def inspect_command(path: Path, after: str | None, diff: tuple[str, str] | None, as_json: bool) -> None:
    """Show the passes of an artifact, the graph after each, and what each one changed."""
    silence_libraries()
    if not os.path.isdir(path):
        _inspect_model(path, after, diff, as_json)
        return
    from sparcl_compile.cli import inspecting as inspect
    from sparcl_compile.cli.report import console
    from sparcl_compile.interface.artifact import read_manifest, read_report

    manifest, log = read_manifest(path), read_report(path)
    texts = {}
    if after:
        texts["after"] = inspect.text_after(path, log, after)
    if diff:
        texts["diff"] = inspect.diff(path, log, *diff)
    if as_json:
        click.echo(json.dumps({**inspect.facts(manifest, log), **texts}, indent=1))
    elif texts:
        inspect.write_text("".join(texts.values()))
    else:
        console().print(inspect.summary(manifest, log))


def _inspect_model(path: Path, after: str | None, diff: tuple[str, str] | None, as_json: bool) -> None:
    from sparcl_compile.cli import inspecting as inspect
    from sparcl_compile.cli.report import console

    if after or diff:
        flag = "--after" if after else "--diff"
        raise OptionError(
            f"{flag}: {path} is not a compiled artifact; run sparcl-compile {path} and inspect its folder"
        )
    if as_json:
        click.echo(json.dumps(inspect.model_facts(path), indent=1))
        return
    console().print(inspect.model_summary(path))
