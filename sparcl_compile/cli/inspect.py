"""sparcl-inspect."""

import json
import os
from pathlib import Path

import click

from sparcl_compile.cli.command import Command
from sparcl_compile.cli.common import silence_libraries
from sparcl_compile.cli.loudness import is_quiet
from sparcl_compile.interface.errors import OptionError
from sparcl_compile.interface.version import __version__


@click.command(cls=Command)
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--after", metavar="PASS|PHASE", help="Print the graph after this pass, or the last one of a phase.")
@click.option(
    "--diff", nargs=2, metavar="PASS|PHASE PASS|PHASE", help="Show what changed from after one to after another."
)
@click.option(
    "--html",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write a page about the artifact to this .html file, with the graph after every pass as a picture.",
)
@click.option("--beside", type=click.Path(path_type=Path), help="Another artifact, which --html shows side by side.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.version_option(__version__)
def inspect_command(
    path: Path,
    after: str | None,
    diff: tuple[str, str] | None,
    html: Path | None,
    beside: Path | None,
    as_json: bool,
) -> None:
    """Show the passes of an artifact, the graph after each, and what each one changed."""
    silence_libraries()
    if not os.path.isdir(path):
        given = {"--html": html, "--beside": beside, "--after": after, "--diff": diff}
        _inspect_model(path, next((flag for flag, value in given.items() if value), ""), as_json)
        return
    if beside and not html:
        raise OptionError(f"--beside {beside}: is shown on the page of --html FILE; add that or leave this out")
    from sparcl_compile.cli import inspecting as inspect
    from sparcl_compile.cli.report import console
    from sparcl_compile.interface.artifact import read_manifest, read_report

    manifest, log = read_manifest(path), read_report(path)
    texts = {"after": inspect.text_after(path, log, after)} if after else {}
    texts |= {"diff": inspect.diff(path, log, *diff)} if diff else {}
    if html:
        _write_page(path, html, beside)
    if as_json:
        click.echo(json.dumps({**inspect.facts(manifest, log), **texts}, indent=1))
    elif texts:
        inspect.write_text("".join(texts.values()))
    elif html:
        click.echo(html if is_quiet() else f"Written to {html}")
    else:
        console().print(inspect.summary(manifest, log))


def _write_page(path: Path, html: Path, beside: Path | None) -> None:
    from sparcl_compile.cli import inspecting as inspect
    from sparcl_compile.interface.artifact import check_outside
    from sparcl_compile.interface.files import check_name, check_writable, write_text
    from sparcl_compile.pages.artifact import artifact_page

    check_name(html, ".html", "html")
    for folder in (path, beside) if beside else (path,):
        check_outside(folder, html, "html")
    check_writable(html)
    write_text(html, artifact_page([inspect.compiled(folder) for folder in (path, beside) if folder]))


def _inspect_model(path: Path, flag: str, as_json: bool) -> None:
    from sparcl_compile.cli import inspecting as inspect
    from sparcl_compile.cli.report import console

    if flag:
        raise OptionError(
            f"{flag}: {path} is not a compiled artifact; run sparcl-compile {path} and inspect its folder"
        )
    if as_json:
        click.echo(json.dumps(inspect.model_facts(path), indent=1))
        return
    console().print(inspect.model_summary(path))
