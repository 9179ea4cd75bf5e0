"""sparcl-export."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sparcl_compile import __version__
from sparcl_compile.cli.command import Command
from sparcl_compile.cli.common import beside, silence_libraries
from sparcl_compile.interface.errors import CheckpointError, OptionError

if TYPE_CHECKING:
    import numpy as np

    from sparcl_compile.interface.artifact import Artifact


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
    from sparcl_compile.cli import export_report
    from sparcl_compile.cli.report import console
    from sparcl_compile.exporting.export import export_model, notes_of
    from sparcl_compile.exporting.export_files import check_place, contents, write
    from sparcl_compile.interface import artifact as artifacts

    if initial and checkpoint is not None:
        raise OptionError(f"--initial: contradicts --checkpoint {checkpoint}; give one of them")
    loaded = artifacts.load(artifact)
    target = output or beside(artifact, ".sparcl", ".learned.onnx")
    check_place(target, loaded)
    folder = None if initial else checkpoint or beside(artifact, ".sparcl", ".run")
    state, origin = _initial_state(loaded) if folder is None else _learned_state(loaded, folder)
    samples = origin.get("samples")
    exported = export_model(loaded, state, notes_of(samples, loaded.manifest.model.layout), batch)
    files = contents(exported.content, target, ort_format)
    facts = export_report.facts(loaded.manifest, artifacts.read_report(artifact), exported, origin, files)
    write(files)
    if as_json:
        click.echo(json.dumps(facts, indent=1))
        return
    export_report.print_facts(console(), facts, exported.passes)


def _initial_state(artifact: "Artifact") -> "tuple[Mapping[str, np.ndarray], dict[str, Any]]":
    from safetensors.numpy import load_file

    return load_file(artifact.folder / artifact.manifest.state_file), {"state": "initial"}


def _learned_state(artifact: "Artifact", folder: Path) -> "tuple[Mapping[str, np.ndarray], dict[str, Any]]":
    """The arrays of a run of this artifact, and what is known of it."""
    from sparcl_compile.runtime import checkpoint as checkpoints

    if not checkpoints.exists(folder):
        raise CheckpointError(
            f"{folder}: holds no run; run sparcl-run {artifact.folder} first, or give --checkpoint, "
            "or --initial to export the untrained state"
        )
    found = checkpoints.read(folder)
    if found.identity.get("artifact") != artifact.identity:
        raise CheckpointError(
            f"{folder}: is a run of another artifact than {artifact.folder}; "
            "give the artifact that was run, or its run with --checkpoint"
        )
    counters = found.progress["counters"]
    return found.arrays, {
        "state": str(folder),
        "tasks_learned": counters["task"],
        "epochs_of_the_next": counters["epoch"],
        "samples": found.progress.get("samples"),
    }
