"""sparcl-compile."""

import gc
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sparcl_compile.cli.after_passes import ALL, asked_for, printer, say_what_did_not_run
from sparcl_compile.cli.command import Command, seconds_so_far
from sparcl_compile.cli.common import silence_libraries
from sparcl_compile.cli.loudness import is_quiet, is_verbose
from sparcl_compile.interface.errors import OptionError
from sparcl_compile.interface.options import AUTO, STEP_LIMIT
from sparcl_compile.interface.version import __version__
from sparcl_compile.passes.schemes.names import SCHEMES, sparsity_for
from sparcl_compile.settings.methods import LOSS_CLASSES, METHODS
from sparcl_compile.settings.options import (
    ACTIVATIONS,
    DISTRIBUTIONS,
    GRADIENT_SCHEMES,
    INITS,
    OPTIMIZERS,
    RECIPES,
    REPLAY_BATCHES,
    SCALINGS,
    TARGETS,
    CompileOptions,
)
from sparcl_compile.settings.policies import FIRST_MASKS, GROWTHS, POLICIES

if TYPE_CHECKING:
    from sparcl_compile.interface.artifact import Artifact
    from sparcl_compile.interface.report import CompileReport

DEFAULTS = CompileOptions()
NEW_OBJECTS = 50_000
"""After so many new objects Python looks for cycles. A graph has millions that stay, and by Python's own number (700) a
third of a compilation would go into looking through them."""


class MethodName(click.Choice[str]):
    """The name of a method; ``none`` is what fine-tuning was called as a value of ``--replay``."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The name; raises BadParameter for one that there is not."""
        return super().convert("finetune" if value == "none" else value, param, ctx)


@click.command(cls=Command, context_settings={"show_default": True})
@click.argument("model", type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Artifact folder.  [default: MODEL.sparcl]")
@click.option(
    "--target",
    type=click.Choice(TARGETS),
    default=DEFAULTS.target,
    help="Runtime that trains: any build of ONNX Runtime, or its training build with its own gradients.",
)
@click.option(
    "--sparsity",
    type=float,
    help=f"Share of the maskable weights that is zero.  [default: {DEFAULTS.sparsity}; 1 - N/M for scheme N:M]",
)
@click.option(
    "--gradient-sparsity",
    type=float,
    default=DEFAULTS.gradient_sparsity,
    help="Share of gradients not used, pruned weights included; up to --sparsity it is off, for channels at 0.",
)
@click.option(
    "--data-removal",
    type=float,
    default=DEFAULTS.data_removal,
    help="Share of a task's samples removed while training; 0 turns it off.",
)
@click.option(
    "--scheme",
    metavar=f"[{'|'.join(SCHEMES)}|N:M]",
    default=DEFAULTS.scheme,
    help="What the weight masks remove: single weights, whole channels, blocks of 4 output channels, whole kernels, "
    "all but 4 entries of a 3x3 kernel, or all but N of M consecutive weights.",
)
@click.option(
    "--gradient-scheme",
    type=click.Choice(GRADIENT_SCHEMES),
    default=DEFAULTS.gradient_scheme,
    help="What the gradient masks choose: single weights, or whole output channels.",
)
@click.option(
    "--distribution",
    type=click.Choice(DISTRIBUTIONS),
    default=DEFAULTS.distribution,
    help="How the sparsity is spread over the layers.",
)
@click.option(
    "--mask-policy",
    type=click.Choice([AUTO, *POLICIES]),
    default=DEFAULTS.mask_policy,
    help="How weight masks are chosen: as suits the model (tdm, or rigl where the classifier is its only layer), by "
    "SparCL's task-aware dynamic masks, masks that stay, SET, RigL, SNIP, gradual pruning, GraNet, MEST with a hard or "
    "a soft bound, AC/DC, or SR-STE for N:M.",
)
@click.option(
    "--growth",
    type=click.Choice(GROWTHS),
    help="How weights that grow are chosen.  [default: gradient for rigl and granet, else random]",
)
@click.option(
    "--first-mask",
    type=click.Choice(FIRST_MASKS),
    default=DEFAULTS.first_mask,
    help="The weights that the first masks keep: the largest, or some by --seed.",
)
@click.option(
    "--scaling",
    type=click.Choice(SCALINGS),
    default=DEFAULTS.scaling,
    help="Scale weights and learning rates of masked layers by their density, so that a dense network's learning rate "
    "suits them, and raise untrained weights of deep networks without normalisation.",
)
@click.option(
    "--method",
    "--replay",
    type=MethodName([*METHODS]),
    default=DEFAULTS.method,
    help="Method of continual learning (docs/methods.md).",
)
@click.option(
    "--logit-weight",
    type=float,
    help="Weight of the distance between the logits of replayed samples and the stored ones: DER's alpha.  [default: "
    "the method's]",
)
@click.option(
    "--label-weight",
    type=float,
    help="Weight of the loss of replayed samples: DER++'s beta.  [default: the method's]",
)
@click.option(
    "--replay-batches",
    type=click.Choice([AUTO, *REPLAY_BATCHES]),
    default=DEFAULTS.replay_batches,
    help="Replay batches as micro-steps of their own, or merged with the current batch; auto merges those that a "
    "BatchNormalization would normalise apart.",
)
@click.option(
    "--loss-classes",
    type=click.Choice(LOSS_CLASSES),
    help="Classes in the current task's loss: all, its own, or all, weighed by how often a step shows them.  [default: "
    "balanced for er and der++, else all]",
)
@click.option("--optimizer", type=click.Choice(OPTIMIZERS), default=DEFAULTS.optimizer, help="Optimizer.")
@click.option("--momentum", type=float, default=DEFAULTS.momentum, help="Momentum of sgd.")
@click.option("--weight-decay", type=float, default=DEFAULTS.weight_decay, help="Weight decay (decoupled for adamw).")
@click.option(
    "--step-limit",
    type=float,
    metavar="SHARE",
    help="Largest step of a layer under sgd, as a share of the norm that its weight begins with: "
    f"{STEP_LIMIT} unless given; 0 for none.",
)
@click.option(
    "--rate-decay",
    type=float,
    default=DEFAULTS.rate_decay,
    help="Share of a task, from its end, over which the learning rate falls to nothing; 0 keeps it.",
)
@click.option(
    "--recipe",
    type=click.Choice(RECIPES),
    default=DEFAULTS.recipe,
    help="SparCL as published, or as in the authors' code.",
)
@click.option("--dense", multiple=True, metavar="GLOB", help="Keep weights of this name dense; may be repeated.")
@click.option("--fold/--no-fold", default=DEFAULTS.fold, help="Compute with the kept channels only (scheme channel).")
@click.option(
    "--compress/--no-compress",
    default=DEFAULTS.compress,
    help="Store the kept weights alone and compute with sparse kernels (needs the kernel library).",
)
@click.option(
    "--select-kernels/--no-select-kernels",
    default=DEFAULTS.select_kernels,
    help="Leave layers masked that are faster so (with --compress).",
)
@click.option("--measure-kernels", is_flag=True, help="Choose kernels by times measured here, not by estimates.")
@click.option(
    "--activations",
    type=click.Choice(ACTIVATIONS),
    default=DEFAULTS.activations,
    help="How sparse kernels keep activations: in float32, or in half precision, at least for the backward.",
)
@click.option(
    "--batch-size",
    type=int,
    default=DEFAULTS.batch_size,
    help="New samples a step, beside those replayed, that layers are chosen and memory is estimated for; a hint, any "
    "number trains.",
)
@click.option("--freeze", multiple=True, metavar="GLOB", help="Do not train parameters of this name; may be repeated.")
@click.option(
    "--update",
    metavar="all|last:K|bias|norm",
    default=DEFAULTS.update,
    help="Train everything, the last K stages, the biases or the normalisations; the classifier always.",
)
@click.option("--recompute", is_flag=True, help="Recompute cheap activations in the backward pass to save memory.")
@click.option("--classes", type=int, help="Replace the model's head by one of so many classes.")
@click.option("--logits", metavar="NAME", help="Value with the class scores.  [default: the output below most layers]")
@click.option(
    "--input-shape",
    metavar="N,C,H,W",
    help="Lengths of an input that the file leaves open, the batch first, for example N,3,224,224.",
)
@click.option(
    "--init", type=click.Choice(INITS), default=DEFAULTS.init, help="Start from the file's weights or from fresh ones."
)
@click.option(
    "--ort-format",
    is_flag=True,
    help="Also write every graph in ORT format, and the config of their operators, for a minimal ONNX Runtime.",
)
@click.option("--seed", type=int, default=DEFAULTS.seed, help="Seed of fresh weights and random masks.")
@click.option(
    "--dump-passes",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for the model after every pass (.onnx).",
)
@click.option("--dump-after", metavar="PASS|PHASE|all", help="What --dump-passes writes.  [default: all]")
@click.option("--print-after", metavar="PASS|PHASE|all", help="Print the graph after this pass, or after a phase.")
@click.option("--check-passes", is_flag=True, help="Check the whole graph after every pass; slower.")
@click.option("--json", "as_json", is_flag=True, help="Print manifest and report as JSON instead of tables.")
@click.version_option(__version__)
def compile_command(
    model: Path,
    output: Path | None,
    dump_passes: Path | None,
    dump_after: str | None,
    print_after: str | None,
    check_passes: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Compile an ONNX classifier into an artifact that learns new classes with sparse weights."""
    silence_libraries()
    gc.set_threshold(NEW_OBJECTS)
    from sparcl_compile.api.compiling import compile_model
    from sparcl_compile.compiling.kernel_library import MASKED_FORM, without_library
    from sparcl_compile.interface.artifact import read_report
    from sparcl_compile.interface.codec import plain

    options["sparsity"] = sparsity_for(options["scheme"], options["sparsity"], DEFAULTS.sparsity)
    wanted, reason = without_library(CompileOptions(**options))
    if reason:
        click.echo(f"note: --compress: {reason}; compiling {MASKED_FORM}", err=True)
    if dump_after and dump_passes is None:
        raise OptionError(f"--dump-after {dump_after}: says what --dump-passes DIR writes; add that or leave this out")
    watch: list[Callable[[Any, Any], None]] = [_say_pass] if is_verbose() else []
    printed = asked_for(print_after, wanted, "--print-after") if print_after else ()
    dumped = asked_for(dump_after or ALL, wanted, "--dump-after")
    watch += [printer(printed)] if printed else []
    artifact = compile_model(model, wanted, output, watch, dump_passes, dumped, check_passes)
    log = read_report(artifact.folder)
    say_what_did_not_run(f"--print-after {print_after}", printed if print_after != ALL else (), log.passes)
    say_what_did_not_run(f"--dump-after {dump_after}", dumped if dump_after not in (None, ALL) else (), log.passes)
    if as_json:
        click.echo(json.dumps({**plain(artifact.manifest), **plain(log)}, indent=1))
    elif is_quiet():
        click.echo(artifact.folder)
    else:
        _print_report(artifact, log)


def _print_report(artifact: "Artifact", log: "CompileReport") -> None:
    from sparcl_compile.cli import report

    report.print_compile_report(report.console(), artifact.manifest, log, artifact.folder, seconds_so_far)


def _say_pass(trace: Any, _: Any) -> None:
    click.echo(f"{trace.name}: {1000 * trace.seconds:.0f} ms, {sum(trace.ops_after.values())} nodes", err=True)
