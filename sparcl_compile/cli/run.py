"""sparcl-run."""

from pathlib import Path
from typing import Any

import click

from sparcl_compile import __version__
from sparcl_compile.cli.command import Command
from sparcl_compile.cli.common import beside, silence_libraries


@click.command(cls=Command, context_settings={"show_default": True})
@click.argument("artifact", type=click.Path(path_type=Path))
@click.option("--data", required=True, metavar="SOURCE", help="digits, cifar10:PATH, idx:DIR, folder:DIR or npz:FILE.")
@click.option("--tasks", "tasks", type=int, default=5, help="Number of tasks that the classes are split over.")
@click.option("--epochs", type=int, default=5, help="Epochs a task.")
@click.option("--batch-size", type=int, default=32, help="Samples a step, and samples a replay batch.")
@click.option("--buffer", "buffer_size", type=int, default=200, help="Samples in the replay buffer.")
@click.option(
    "--lr",
    "learning_rate",
    type=float,
    help="Learning rate; with --resume it holds from there on.  [default: 0.03 for sgd, 0.001 for adamw; with --resume "
    "the run's own]",
)
@click.option("--seed", type=int, default=0, help="Seed of order, growth, replay and augmentation.")
@click.option("--class-order-seed", type=int, help="Shuffle the classes over the tasks.  [default: in order]")
@click.option(
    "--augment",
    type=click.Choice(("auto", "none", "crop_flip")),
    default="auto",
    help="Training augmentation; auto is what the data ask for.",
)
@click.option(
    "--normalise",
    type=click.Choice(("auto", "unit", "raw")),
    default="auto",
    help="auto: mean 0, deviation 1; unit: x / 255; raw: as stored.",
)
@click.option("--threads", type=int, help="Threads of ONNX Runtime.  [default: all cores]")
@click.option(
    "--checkpoint",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of the run's state.  [default: ARTIFACT.run]",
)
@click.option(
    "--resume",
    is_flag=True,
    help="Continue the run in the checkpoint folder, to the same result as if it had not stopped. All options must be "
    "as they were, but --lr, --threads and --json may differ.",
)
@click.option(
    "--json", "json_file", type=click.Path(path_type=Path, dir_okay=False), help="Write the result to this file."
)
@click.version_option(__version__)
def run_command(
    artifact: Path,
    checkpoint: Path | None,
    resume: bool,
    json_file: Path | None,
    learning_rate: float | None,
    **options: Any,
) -> None:
    """Let a compiled artifact learn a stream of tasks, and measure what it keeps."""
    silence_libraries()
    from sparcl_compile.interface import artifact as artifacts
    from sparcl_compile.interface.files import check_writable
    from sparcl_compile.runtime import checkpoint as checkpoints
    from sparcl_compile.runtime.config import RunConfig
    from sparcl_compile.runtime.driver.loop import Run
    from sparcl_compile.runtime.reporting.progress import Reporter
    from sparcl_compile.runtime.reporting.report import console, result_table, write_json

    loaded = artifacts.load(artifact)
    rate = loaded.manifest.optimizer.learning_rate if learning_rate is None else learning_rate
    config = RunConfig(learning_rate=rate, **options)
    folder = checkpoint or beside(artifact, ".sparcl", ".run")
    artifacts.check_outside(artifact, folder, "--checkpoint")
    screen = console()
    run = Run(loaded, config, folder)
    if json_file is not None:
        artifacts.check_outside(artifact, json_file, "--json")
        check_writable(json_file)
    with Reporter(screen, config.tasks, config.epochs, config.batch_size) as reporter:
        if resume:
            reporter.resumed(run.resume(learning_rate), run.trainer.number("learning_rate"))
        else:
            checkpoints.set_aside(folder)
        checkpoints.prepare(folder)
        click.get_current_context().obj = (
            f"interrupted; continue after the last whole epoch, in {folder}, with --resume"
        )
        result = run.train(reporter)
    screen.print(result_table(result))
    if json_file is not None:
        write_json(json_file, result)
