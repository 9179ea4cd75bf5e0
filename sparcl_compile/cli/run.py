"""sparcl-run."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sparcl_compile.cli.command import Command
from sparcl_compile.cli.common import silence_libraries
from sparcl_compile.cli.loudness import is_quiet, is_verbose
from sparcl_compile.interface.version import __version__
from sparcl_compile.runtime.config import AUGMENTATIONS, NORMALISATIONS, RunConfig

if TYPE_CHECKING:
    from rich.console import Console


def dealing(text: str) -> int | tuple[int, ...]:
    """A number of tasks, or with commas the number of classes of each."""
    try:
        numbers = tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise click.BadParameter(f"{text!r} is neither a number nor numbers with commas between them.") from error
    return numbers if len(numbers) > 1 else numbers[0]


@click.command(cls=Command, context_settings={"show_default": True})
@click.argument("artifact", type=click.Path(path_type=Path))
@click.option(
    "--data",
    required=True,
    metavar="SOURCE",
    help="digits, cifar10:PATH, idx:DIR, folder:DIR, npz:FILE, csv:TABLE or parquet:TABLE.",
)
@click.option(
    "--tasks",
    type=dealing,
    default=str(RunConfig.tasks),
    metavar="N|N,N,...",
    help="Number of tasks that the classes are split over, or the number of classes of each, for example 4,3,3.",
)
@click.option("--epochs", type=int, default=RunConfig.epochs, help="Epochs a task.")
@click.option(
    "--batch-size",
    type=int,
    help="Samples a step, and samples a replay batch.  [default: 32, or 16 or 8 where a task would have fewer than 100 "
    "steps]",
)
@click.option("--buffer", "buffer_size", type=int, default=RunConfig.buffer_size, help="Samples in the replay buffer.")
@click.option(
    "--lr",
    "learning_rate",
    type=float,
    help="Learning rate; with --resume it holds from there on.  [default: the artifact's own, which sparcl-compile "
    "prints; with --resume the run's own]",
)
@click.option("--seed", type=int, default=RunConfig.seed, help="Seed of order, growth, replay and augmentation.")
@click.option("--class-order-seed", type=int, help="Shuffle the classes over the tasks.  [default: in order]")
@click.option(
    "--augment",
    type=click.Choice(AUGMENTATIONS),
    default=RunConfig.augment,
    help="Training augmentation: crops and mirrors of images, or jitter, shift and scale of series; auto is what the "
    "data ask for.",
)
@click.option(
    "--normalise",
    type=click.Choice(NORMALISATIONS),
    default=RunConfig.normalise,
    help="auto: mean 0, deviation 1; unit: x / 255; raw: as stored.",
)
@click.option("--threads", type=int, help="Threads of ONNX Runtime.  [default: the process's cores]")
@click.option(
    "--checkpoint",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of the run's state.  [default: ARTIFACT.run]",
)
@click.option(
    "--resume",
    is_flag=True,
    help="Continue the run in the checkpoint folder, to the same result as if it had not stopped. All options must be "
    "as they were, but --lr, --threads, --json, --report, --beside, --log-dir and the place of the data may differ.",
)
@click.option(
    "--json", "json_file", type=click.Path(path_type=Path, dir_okay=False), help="Write the result to this file."
)
@click.option(
    "--report",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write a page about the run to this .html file; with --resume also of a finished run that was recorded.",
)
@click.option(
    "--beside",
    type=click.Path(path_type=Path, file_okay=False),
    help="Another recorded run's checkpoint folder, which --report shows side by side.",
)
@click.option(
    "--log-dir",
    type=click.Path(path_type=Path, file_okay=False),
    help="Write curves to this folder: CSV tables, and TensorBoard events where tensorboardX is installed.",
)
@click.version_option(__version__)
def run_command(
    artifact: Path,
    checkpoint: Path | None,
    resume: bool,
    json_file: Path | None,
    report: Path | None,
    beside: Path | None,
    log_dir: Path | None,
    **options: Any,
) -> None:
    """Let a compiled artifact learn a stream of tasks, and measure what it keeps."""
    silence_libraries()
    from sparcl_compile.api.learning import learn
    from sparcl_compile.api.places import run_of
    from sparcl_compile.cli.recording import Recordings
    from sparcl_compile.interface.answers import answers_note
    from sparcl_compile.interface.artifact import check_outside, load
    from sparcl_compile.interface.files import check_writable
    from sparcl_compile.runtime.reporting.learning import learning_note
    from sparcl_compile.runtime.reporting.progress import Reporter
    from sparcl_compile.runtime.reporting.removal import removal_note
    from sparcl_compile.runtime.reporting.report import console

    loaded = load(artifact)
    if isinstance(options["tasks"], tuple):
        options["task_classes"] = options.pop("tasks")
    config = RunConfig(**options)
    folder = checkpoint or run_of(artifact)
    if json_file is not None:
        check_outside(artifact, json_file, "json_file")
        check_writable(json_file)
    recordings = Recordings.checked(loaded, folder, report, beside, log_dir)
    screen = console()
    reporter = Reporter(screen, config.tasks, config.epochs, quiet=is_quiet(), plain=is_verbose())
    click.get_current_context().obj = f"interrupted; continue after the last whole epoch, in {folder}, with --resume"
    with recordings.recording() as recorders:
        result = learn(loaded, config, folder, resume, reporter, recorders)
    _tell(result, json_file, screen)
    about = (learning_note(loaded.manifest, result), removal_note(loaded.manifest, result))
    for note in (*about, answers_note(loaded.manifest.program)):
        if note and not is_quiet():
            screen.print(f"note: {note}", soft_wrap=True)
    page = recordings.write_report(result)
    if page and not is_quiet():
        screen.print(f"Written to {page}", soft_wrap=True)


def _tell(result: Mapping[str, Any], json_file: Path | None, screen: "Console") -> None:
    """Print the result of a run, and write it to a file where one is named."""
    from sparcl_compile.runtime.reporting.report import result_table, write_json

    screen.print(result_table(result))
    if json_file is not None:
        write_json(json_file, result)
