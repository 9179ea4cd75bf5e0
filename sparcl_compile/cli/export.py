"""sparcl-export."""

import json
from pathlib import Path

import click

from sparcl_compile.cli.command import Command
from sparcl_compile.cli.common import silence_libraries
from sparcl_compile.cli.loudness import is_quiet
from sparcl_compile.interface.version import __version__


@click.command(cls=Command)
@click.argument("artifact", type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="The .onnx file.  [default: ARTIFACT.learned.onnx]"
)
@click.option(
    "--checkpoint",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of the run whose state is exported.  [default: ARTIFACT.run]",
)
@click.option("--initial", is_flag=True, help="Export the state before any training.")
@click.option("--batch", type=click.IntRange(1), help="Fix the batch size.  [default: any]")
@click.option(
    "--ort-format", is_flag=True, help="Also write the model in ORT format, and the config of its operators, beside it."
)
@click.option("--json", "as_json", is_flag=True, help="Print the facts as JSON instead of tables.")
@click.version_option(__version__)
def export_command(
    artifact: Path,
    output: Path | None,
    checkpoint: Path | None,
    initial: bool,
    batch: int | None,
    ort_format: bool,
    as_json: bool,
) -> None:
    """Give the learned model as plain ONNX for inference: masks folded, idle channels gone, BatchNorm fused."""
    silence_libraries()
    from sparcl_compile.api.exporting import export_model
    from sparcl_compile.cli.export_report import print_facts
    from sparcl_compile.cli.report import console
    from sparcl_compile.interface.artifact import load

    facts = export_model(load(artifact), output, checkpoint, initial, batch, ort_format)
    if as_json:
        click.echo(json.dumps(facts, indent=1))
    elif is_quiet():
        click.echo("\n".join(facts["files"]))
    else:
        print_facts(console(), facts)
