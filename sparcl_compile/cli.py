"""The three commands. Heavy imports wait until a command really runs, so that --help is quick."""

import json
import logging
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from sparcl_compile import __version__
from sparcl_compile.command import Command
from sparcl_compile.errors import OptionError
from sparcl_compile.options import (
    DISTRIBUTIONS,
    INITS,
    LOSS_CLASSES,
    OPTIMIZERS,
    RECIPES,
    REPLAY_BATCHES,
    REPLAYS,
    CompileOptions,
)

DEFAULTS = CompileOptions()


@click.command(cls=Command, context_settings={"show_default": True})
@click.argument("model", type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Artifact folder.  [default: MODEL.sparcl]")
@click.option("--sparsity", type=float, default=DEFAULTS.sparsity, help="Share of the maskable weights that is zero.")
@click.option(
    "--gradient-sparsity",
    type=float,
    default=DEFAULTS.gradient_sparsity,
    help="Share of gradients not used; 0 turns it off.",
)
@click.option(
    "--data-removal",
    type=float,
    default=DEFAULTS.data_removal,
    help="Share of a task's samples removed while training; 0 turns it off.",
)
@click.option(
    "--distribution",
    type=click.Choice(DISTRIBUTIONS),
    default=DEFAULTS.distribution,
    help="How the sparsity is spread over the layers.",
)
@click.option("--replay", type=click.Choice(REPLAYS), default=DEFAULTS.replay, help="Replay method.")
@click.option(
    "--replay-batches",
    type=click.Choice(REPLAY_BATCHES),
    default=DEFAULTS.replay_batches,
    help="Replay batches as micro-steps of their own, or merged with the current batch.",
)
@click.option(
    "--loss-classes",
    type=click.Choice(LOSS_CLASSES),
    default=DEFAULTS.loss_classes,
    help="Classes that take part in the current task's loss.",
)
@click.option("--optimizer", type=click.Choice(OPTIMIZERS), default=DEFAULTS.optimizer, help="Optimizer.")
@click.option("--momentum", type=float, default=DEFAULTS.momentum, help="Momentum of sgd.")
@click.option("--weight-decay", type=float, default=DEFAULTS.weight_decay, help="Weight decay (decoupled for adamw).")
@click.option(
    "--recipe",
    type=click.Choice(RECIPES),
    default=DEFAULTS.recipe,
    help="SparCL as published, or as in the authors' code.",
)
@click.option("--dense", multiple=True, metavar="GLOB", help="Keep weights of this name dense; may be repeated.")
@click.option("--classes", type=int, help="Replace the model's head by one of so many classes.")
@click.option(
    "--init", type=click.Choice(INITS), default=DEFAULTS.init, help="Start from the file's weights or from fresh ones."
)
@click.option("--seed", type=int, default=DEFAULTS.seed, help="Seed of fresh weights.")
@click.option(
    "--dump-passes",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for the model after every pass (.onnx).",
)
@click.option("--print-after", metavar="PASS|all", help="Print the graph after this pass.")
@click.option("--json", "as_json", is_flag=True, help="Print the manifest as JSON instead of tables.")
@click.version_option(__version__)
def compile_command(
    model: Path, output: Path | None, dump_passes: Path | None, print_after: str | None, as_json: bool, **options: Any
) -> None:
    """Compile an ONNX classifier into an artifact that learns new classes with sparse weights."""
    _silence_libraries()
    from sparcl_compile import report
    from sparcl_compile.compiler import compile_model

    target = output or beside(model, ".onnx", ".sparcl")
    watch = [_printer(print_after)] if print_after else []
    artifact = compile_model(model, target, CompileOptions(**options), watch, dump_passes)
    if as_json:
        click.echo(json.dumps(artifact.manifest, indent=1))
        return
    report.print_compile_report(report.console(), artifact.manifest, artifact.folder)


def _printer(wanted: str) -> Callable[[Any, Any], None]:
    from sparcl_compile.inspect import known_pass
    from sparcl_compile.pipeline import pass_names
    from sparcl_compile.trace import graph_text

    if wanted != "all":
        known_pass(wanted, pass_names(), "--print-after")

    def show(trace: Any, model: Any) -> None:
        if wanted in ("all", trace.name):
            click.echo(f"# after {trace.name}", err=True)
            click.echo(graph_text(model), err=True)

    return show


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
    _silence_libraries()
    from sparcl_compile import artifact as artifacts
    from sparcl_compile.files import check_writable
    from sparcl_compile.runtime import checkpoint as checkpoints
    from sparcl_compile.runtime.config import RunConfig
    from sparcl_compile.runtime.loop import Run
    from sparcl_compile.runtime.progress import Reporter
    from sparcl_compile.runtime.report import console, result_table, write_json

    loaded = artifacts.load(artifact)
    rate = loaded.manifest["optimizer"]["learning_rate"] if learning_rate is None else learning_rate
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
            reporter.resumed(run.resume(learning_rate), run.learning_rate)
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


def beside(path: Path, suffix: str, replacement: str) -> Path:
    """The path with its suffix replaced; any other ending stays and the replacement is appended.

    Raises:
        OptionError: the path has no last part to change, as ``/``.
    """
    whole = path if path.name not in ("", "..") else path.resolve()
    if not whole.name:
        raise OptionError(f"{path}: is a directory; name a file or folder below it")
    return whole.with_name(whole.name.removesuffix(suffix) + replacement)


@click.command(cls=Command)
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--after", metavar="PASS", help="Print the graph after this pass.")
@click.option("--diff", nargs=2, metavar="PASS PASS", help="Show what changed from one pass to another.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.version_option(__version__)
def inspect_command(path: Path, after: str | None, diff: tuple[str, str] | None, as_json: bool) -> None:
    """Show the passes of an artifact, the graph after each, and what each one changed."""
    _silence_libraries()
    if not path.is_dir():
        _inspect_model(path, after, diff, as_json)
        return
    from sparcl_compile import inspect
    from sparcl_compile.artifact import read_manifest
    from sparcl_compile.report import console

    manifest = read_manifest(path)
    texts = {}
    if after:
        texts["after"] = inspect.text_after(path, manifest, after)
    if diff:
        texts["diff"] = inspect.diff(path, manifest, *diff)
    if as_json:
        click.echo(json.dumps({**inspect.facts(manifest), **texts}, indent=1))
    elif texts:
        inspect.write_text("".join(texts.values()))
    else:
        console().print(inspect.summary(manifest))


def _inspect_model(path: Path, after: str | None, diff: tuple[str, str] | None, as_json: bool) -> None:
    from sparcl_compile import inspect
    from sparcl_compile.report import console

    if after or diff:
        flag = "--after" if after else "--diff"
        raise OptionError(
            f"{flag}: {path} is not a compiled artifact; run sparcl-compile {path} and inspect its folder"
        )
    if as_json:
        click.echo(json.dumps(inspect.model_facts(path), indent=1))
        return
    console().print(inspect.model_summary(path))


def _silence_libraries() -> None:
    """Libraries warn and log about things that no user of this tool can change."""
    warnings.filterwarnings("ignore")
    logging.getLogger("onnx_ir").setLevel(logging.CRITICAL)
