"""The output of sparcl-compile: passes, sparsity per layer, training FLOPs, the artifact and the next command.

Tables have no borders, so that they read the same on a terminal, in a file and in a pipe; names from a model are never
taken for markup.
"""

import math
import shlex
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import IO

from rich.console import Console, Group, RenderableType
from rich.filesize import decimal
from rich.table import Table
from rich.text import Text

from sparcl_compile.cli.notes import MASKS_ONLY, gradients_line, masks_only, notes, replay_line
from sparcl_compile.interface.channels import ChannelSpec, Stop
from sparcl_compile.interface.manifest import IMAGES, Flops, Manifest, Model, Update
from sparcl_compile.interface.report import Choice, CompileReport, KernelChoices, Memory, PassTrace, Recomputation
from sparcl_compile.interface.specs import MASKED, DenseSpec, OptimizerSpec, WeightSpec

PLAIN_WIDTH = 200
UNSTRUCTURED = "unstructured"
UNSEEN = "order, values, types or notes"  # what a pass changed that left each operator as often as it was

# A source whose samples have this many numbers; what the models of the papers' benchmarks take.
SOURCES = {64: ("digits", 10), 784: ("idx:DIR", 0), 3072: ("cifar10:PATH", 10)}  # and the classes of each
OWN_DATA, PHOTOS = "npz:FILE", "folder:DIR"


def console(file: IO[str] | None = None) -> Console:
    """A console for the commands: as wide as the terminal, and wide enough not to fold a line where there is none."""
    # The runtime has one of its own, which the compiler's commands do not import.
    made = Console(file=file, highlight=False, markup=False, emoji=False)
    if not made.is_terminal:
        made.width = max(made.width, PLAIN_WIDTH)
    return made


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> RenderableType:
    """A titled table without borders; a column whose name starts with ``>`` is aligned to the right."""
    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=any(columns))
    for column in columns:
        right = column.startswith(">")
        header = Text(column.removeprefix(">"))
        made.add_column(header, justify="right" if right else "left", no_wrap=right, overflow="fold")
    for row in rows:
        made.add_row(*(Text(str(cell)) for cell in row))
    # Not the table's own title, which folds at the table's width.
    return Group(Text(title, style="bold"), made)


def share(part: float, whole: float) -> str:
    """A percentage with one digit, or a dash for a share of nothing."""
    return f"{100 * part / whole:.1f} %" if whole else "-"


def mflops(macs: int | None) -> str:
    """Multiply-accumulates as 10^6 floating-point operations, or a dash where they are unknown."""
    return "-" if macs is None else f"{2 * macs / 1e6:,.2f}"


def passes_table(passes: Sequence[PassTrace]) -> RenderableType:
    """One line a pass: time, nodes, parameters and cost afterwards."""
    columns = ("pass", ">ms", ">nodes", ">added", ">removed", ">parameters", ">MFLOPs/sample", "changed")
    return table("Passes", columns, (_pass_row(trace) for trace in passes))


def _pass_row(trace: PassTrace) -> tuple[str, ...]:
    added, removed = sum(trace.nodes_added.values()), sum(trace.nodes_removed.values())
    return (
        trace.name,
        f"{1000 * trace.seconds:.0f}",
        str(sum(trace.ops_after.values())),
        f"+{added}" if added else "0",
        f"-{removed}" if removed else "0",
        f"{trace.parameters:,}",
        mflops(trace.macs_after),
        change(trace),
    )


def change(trace: PassTrace) -> str:
    """The operators that a pass added and removed in a few words: ``+3 Mul -1 Identity``, the most frequent first."""
    signed = [("+", trace.nodes_added), ("-", trace.nodes_removed)]
    parts = [(sign, count, op) for sign, counts in signed for op, count in sorted(counts.items(), key=_frequent)[:4]]
    text = " ".join(f"{sign}{count} {op}" for sign, count, op in parts)
    more = " ..." if any(len(counts) > 4 for _, counts in signed) else ""
    return text + more or (UNSEEN if trace.modified else "nothing")


def _frequent(item: tuple[str, int]) -> tuple[int, str]:
    return -item[1], item[0]


def sparsity_table(weights: Sequence[WeightSpec], dense: Sequence[DenseSpec]) -> RenderableType:
    """One line a weight, and a line for all of them together."""
    columns = ("weight", "shape", ">kept", ">size", ">density", ">updated", "scheme, or dense because")
    masked = [(one.weight, one.shape, (one.base, one.updated, one.size), _scheme(one)) for one in weights]
    whole = [(one.weight, one.shape, (one.size, one.size, one.size), one.reason) for one in dense]
    layers = [*masked, *whole]
    rows = [(weight, _shape(shape), *_counts(*counts), reason) for weight, shape, counts, reason in layers]
    totals = [sum(counts[part] for _, _, counts, _ in layers) for part in range(3)]
    return table("Weights", columns, [*rows, ("all", "", *_counts(*totals), "")])


def _scheme(layer: WeightSpec) -> str:
    """The scheme of a layer's masks, or nothing for single weights."""
    return "" if layer.scheme == UNSTRUCTURED else layer.scheme


def _shape(lengths: Iterable[int]) -> str:
    return "x".join(str(length) for length in lengths)


def _counts(kept: int, updated: int, size: int) -> tuple[str, str, str, str]:
    return f"{kept:,}", f"{size:,}", share(kept, size), share(updated, size)


def channels_table(channels: ChannelSpec) -> RenderableType:
    """One line a space of channels, and one for everything that stays whole."""
    columns = ("space", ">kept", ">of", ">places", "weights")
    rows = ((one.name, one.base, one.size, one.capacity, ", ".join(one.members)) for one in channels.spaces)
    return Group(table("Channels", columns, rows), *(Text(stop_line(stop)) for stop in channels.stops))


def stop_line(stop: Stop) -> str:
    """The line about the weights that keep channels whole, and the node that causes it."""
    operator = f" ({stop.op_type})" if stop.op_type else ""
    return f"kept whole: {', '.join(stop.weights)} because {stop.node}{operator}: {stop.reason}"


COUNTED = "Conv, Gemm and MatMul; other operators count as 0"


def flops_table(flops: Flops) -> RenderableType:
    """Training FLOPs of one sample, dense and sparse."""
    rows = ((name, f"{all_ / 1e6:,.2f}", f"{some / 1e6:,.2f}", share(some, all_)) for name, all_, some in flops.parts)
    return table(f"Training MFLOPs per sample ({COUNTED})", ("", ">dense", ">sparse", ">ratio"), rows)


def kernels_line(weights: Sequence[WeightSpec], kernels: KernelChoices) -> str:
    """The number of layers that compute at their kept weights alone."""
    sparse = sum(layer.stored != MASKED for layer in weights)
    how = "as measured" if kernels.measured else "by estimate"
    return (
        f"Sparse kernels in {sparse} of {len(weights)} masked layers: the fastest for batches of {kernels.batch} {how}"
    )


def kernels_table(weights: Sequence[WeightSpec], kernels: KernelChoices) -> RenderableType:
    """One line a masked layer: its times in both forms, and why it is masked where it is."""
    columns = ["weight", ">dense", ">sparse", ">transposes", "kernels", "masked because"]
    if kernels.measured:
        columns[4:4] = [">measured dense", ">measured sparse"]
    choices = {choice.weight: choice for choice in kernels.layers}
    rows = (_kernels_row(layer, choices.get(layer.weight), len(columns)) for layer in weights)
    note = "transposes: what sparse takes beside dense neighbours"
    title = f"Kernels, estimated ms of a training step of {kernels.batch} samples on one thread ({note})"
    return table(title, columns, rows)


def _kernels_row(layer: WeightSpec, choice: Choice | None, columns: int) -> tuple[str, ...]:
    form = ("dense" if layer.stored == MASKED else "sparse", layer.reason)
    if choice is None:
        return (layer.weight, *["-"] * (columns - 3), *form)
    both = [times for times in (choice.estimated, choice.measured) if times is not None]
    dense, sparse, *measured = [_milliseconds(seconds) for times in both for seconds in (times.dense, times.sparse)]
    return (layer.weight, dense, sparse, _milliseconds(choice.transposes), *measured, *form)


def _milliseconds(seconds: float) -> str:
    return f"{1000 * seconds:,.2f}"


def classes_line(model: Model) -> str:
    """The number of classes, and where in the file their scores are."""
    return f"Learning {model.classes} classes by output {model.output}"


def update_line(update: Update) -> str:
    """The part that trains: parameters, and the stages where some are frozen."""
    line = f"Training {update.trained:,} of {update.parameters:,} parameters"
    if update.trained_stages is None:
        return line
    stages = ", ".join(str(stage) for stage in update.trained_stages)
    return f"{line} ({share(update.trained, update.parameters)}), in stages {stages} of {update.stages}"


def rate_line(optimizer: OptimizerSpec, weights: Sequence[WeightSpec], falls: bool = False) -> str:
    """The learning rate of a run that names none, and the factors of the masked layers."""
    line = f"Learning rate {optimizer.learning_rate:g} with {optimizer.name}"
    if optimizer.few_epochs_rate != optimizer.learning_rate:
        line += f" ({optimizer.few_epochs_rate:g} up to {optimizer.few_epochs} epochs a task)"
    limit, less = optimizer.step_limit, ", and of less where many of a task would be" if falls else ""
    limited = f"; no step is larger than {limit:g} of its layer's first norm{less}" if limit else ""
    return line + _factors_of(weights) + limited


def _factors_of(weights: Sequence[WeightSpec]) -> str:
    factors = sorted({one.rate for one in weights})
    if not factors or factors == [1.0]:
        return ""
    low, high = (f"{factor:.3g}" for factor in (factors[0], factors[-1]))
    return f", times {low if low == high else f'{low} to {high}'} in masked layers"


def memory_table(memory: Memory, layers: int = 0) -> RenderableType:
    """The estimated memory of training, with the share of the largest layers in the peak."""
    at_least = "at least " if memory.unknown else ""
    rows = [
        ("activations and gradients at the peak", at_least + _megabytes(memory.peak_activation_bytes)),
        _recompute_row(memory.recompute),
        *((f"state: {role}", _megabytes(size)) for role, size in memory.state_bytes.items() if role != "sample"),
        ("feeds and results", _megabytes(memory.feed_bytes + memory.result_bytes)),
        ("together", at_least + _megabytes(memory.training_bytes)),
    ]
    largest = sorted(memory.by_layer, key=lambda one: -one.bytes)[:layers]
    rows += [(f"peak: {one.layer or 'no layer'}", _megabytes(one.bytes)) for one in largest]
    return table(f"Training memory in MB, {memory.batch} samples at once (estimate)", ("", ">"), rows)


def _recompute_row(recompute: Recomputation) -> tuple[str, str]:
    if recompute.enabled:
        return "  without --recompute", _megabytes(recompute.peak_without)
    at_most = "at most " if recompute.at_most else ""
    return "  with --recompute", at_most + _megabytes(recompute.peak_with)


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.2f}"


def artifact_size(folder: Path) -> int:
    """The bytes of all files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def next_command(model: Model, folder: Path) -> str:
    """The command that trains the artifact, with a data source that fits the model's input."""
    elements, classes = math.prod(length or 1 for length in model.input_shape), model.classes
    own = PHOTOS if model.layout in IMAGES and len(model.input_shape) == 3 else OWN_DATA
    data, need = SOURCES.get(elements, (own, 0)) if model.rows is None else (own, 0)
    tasks = next((count for count in (5, 4, 3, 2) if classes % count == 0 and classes > count), min(classes, 2))
    return f"sparcl-run {shlex.quote(str(folder))} --data {data if classes >= need else own} --tasks {tasks} --epochs 5"


def compile_report(manifest: Manifest, log: CompileReport) -> RenderableType:
    """The text that sparcl-compile prints of an artifact."""
    return Group(
        passes_table(log.passes),
        "",
        sparsity_table(manifest.weights, manifest.dense),
        "",
        *((channels_table(manifest.channels), "") if manifest.channels else ()),
        flops_table(manifest.flops),
        "",
        *((line, "") if (line := _form(manifest.weights, log.kernels)) else ()),
        Text(classes_line(manifest.model)),
        Text(update_line(manifest.update)),
        *map(Text, filter(None, (gradients_line(manifest.options, manifest.weights), replay_line(manifest.options)))),
        Text(rate_line(manifest.optimizer, manifest.weights, manifest.limits_fall)),
        "",
        memory_table(log.memory),
        "",
        *note_lines(manifest, log),
    )


def note_lines(manifest: Manifest, log: CompileReport) -> list[Text]:
    """The notes about a compilation, a line each."""
    return [Text(f"note: {line}", style="yellow") for line in notes(manifest, log)]


def _form(weights: Sequence[WeightSpec], kernels: KernelChoices | None) -> RenderableType | None:
    """The line about the form of the masked layers; empty where their channels are folded."""
    if kernels is not None:
        return _chosen_kernels(weights, kernels)
    return Text(MASKS_ONLY) if masks_only(weights) else None


def _chosen_kernels(weights: Sequence[WeightSpec], kernels: KernelChoices) -> RenderableType:
    """The line about the kernels, and the table where their times were measured."""
    line = Text(kernels_line(weights, kernels))
    return Group(kernels_table(weights, kernels), line) if kernels.measured else line


def print_compile_report(
    target: Console, manifest: Manifest, log: CompileReport, folder: Path, seconds: Callable[[], float]
) -> None:
    """Print :func:`compile_report`, then where the artifact lies and the next command, which is never folded.

    ``seconds`` says how long the whole command has taken, and is asked for the last lines.
    """
    target.print(compile_report(manifest, log))
    size = decimal(artifact_size(folder))
    target.print(f"Compiled in {seconds():.1f} s to {folder} ({size})", soft_wrap=True)
    target.print(f"Next: {next_command(manifest.model, folder)}", soft_wrap=True)
