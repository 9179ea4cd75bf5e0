"""What sparcl-compile prints: passes, sparsity per layer, training FLOPs, the artifact and the next command.

Tables have no borders, so that they read the same on a terminal, in a file and in a pipe; names from a model are never
taken for markup.
"""

import math
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from rich.console import Console, Group, RenderableType
from rich.filesize import decimal
from rich.table import Table
from rich.text import Text

from sparcl_compile.artifact import MASKED

PLAIN_WIDTH = 200
UNSTRUCTURED = "unstructured"

# A source whose samples have this many numbers; what the models of the papers' benchmarks take.
SOURCES = {64: "digits", 784: "idx:DIR", 3072: "cifar10:PATH"}


def console(file: IO[str] | None = None, *, stderr: bool = False) -> Console:
    """A console for the commands: as wide as the terminal, and wide enough not to fold a line where there is none."""
    made = Console(file=file, stderr=stderr, highlight=False, markup=False, emoji=False)
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


def passes_table(passes: Sequence[Mapping[str, Any]]) -> RenderableType:
    """One line a pass, from the manifest's ``passes``: time, nodes, parameters and cost afterwards."""
    columns = ("pass", ">ms", ">nodes", ">added", ">removed", ">parameters", ">MFLOPs/sample", "changed")
    return table("Passes", columns, (_pass_row(trace) for trace in passes))


def _pass_row(trace: Mapping[str, Any]) -> tuple[str, ...]:
    added, removed = sum(trace["nodes_added"].values()), sum(trace["nodes_removed"].values())
    return (
        trace["name"],
        f"{1000 * trace['seconds']:.0f}",
        str(sum(trace["ops_after"].values())),
        f"+{added}" if added else "0",
        f"-{removed}" if removed else "0",
        f"{trace['parameters']:,}",
        mflops(trace["macs_after"]),
        change(trace),
    )


def change(trace: Mapping[str, Any]) -> str:
    """The operators that a pass added and removed in a few words: ``+3 Mul -1 Identity``, the most frequent first."""
    signed = [(sign, trace[key]) for sign, key in (("+", "nodes_added"), ("-", "nodes_removed"))]
    parts = [(sign, count, op) for sign, counts in signed for op, count in sorted(counts.items(), key=_frequent)[:4]]
    text = " ".join(f"{sign}{count} {op}" for sign, count, op in parts)
    more = " ..." if any(len(counts) > 4 for _, counts in signed) else ""
    return text + more or ("weights, state or types" if trace["modified"] else "nothing")


def _frequent(item: tuple[str, int]) -> tuple[int, str]:
    return -item[1], item[0]


def sparsity_table(masks: Sequence[Mapping[str, Any]], dense: Sequence[Mapping[str, Any]]) -> RenderableType:
    """One line a weight, from the manifest's ``masks`` and ``dense``, and a line for all of them together."""
    columns = ("weight", "shape", ">kept", ">size", ">density", ">updated", "scheme, or dense because")
    # Only kept weights are updated, however many gradients the mask would let through.
    sized = [(m, int(m["base"]), min(int(m["gradient_keep"]), int(m["base"])), _scheme(m)) for m in masks]
    sized += [(d, int(d["size"]), int(d["size"]), str(d["reason"])) for d in dense]
    rows = [
        (layer["weight"], _shape(layer), *_counts(kept, updated, int(layer["size"])), reason)
        for layer, kept, updated, reason in sized
    ]
    kept, updated = sum(entry[1] for entry in sized), sum(entry[2] for entry in sized)
    rows.append(("all", "", *_counts(kept, updated, sum(int(entry[0]["size"]) for entry in sized)), ""))
    return table("Weights", columns, rows)


def _scheme(layer: Mapping[str, Any]) -> str:
    """What a layer's weights are masked in, or nothing for single weights."""
    scheme = str(layer.get("scheme", UNSTRUCTURED))
    return "" if scheme == UNSTRUCTURED else scheme


def _shape(layer: Mapping[str, Any]) -> str:
    return "x".join(str(d) for d in layer["shape"])


def _counts(kept: int, updated: int, size: int) -> tuple[str, str, str, str]:
    return f"{kept:,}", f"{size:,}", share(kept, size), share(updated, size)


def channels_table(channels: Mapping[str, Any]) -> RenderableType:
    """One line a space of channels, from the manifest's ``channels``, and one for everything that stays whole."""
    columns = ("space", ">kept", ">of", ">places", "weights")
    rows = ((s["name"], s["base"], s["size"], s["capacity"], ", ".join(s["members"])) for s in channels["spaces"])
    return Group(table("Channels", columns, rows), *(Text(stop_line(stop)) for stop in channels["stops"]))


def stop_line(stop: Mapping[str, Any]) -> str:
    """Which weights keep channels whole, and because of which node."""
    operator = f" ({stop['op_type']})" if stop["op_type"] else ""
    return f"kept whole: {', '.join(stop['weights'])} because {stop['node']}{operator}: {stop['reason']}"


COUNTED = "Conv, Gemm and MatMul; other operators count as 0"

FLOPS_ROWS = (
    ("forward", "forward_dense", "forward_sparse"),
    ("input gradient", "input_gradient_dense", "input_gradient_sparse"),
    ("weight gradient", "weight_gradient_dense", "weight_gradient_sparse"),
    ("training", "training_dense", "training_sparse"),
)


def flops_table(flops: Mapping[str, float]) -> RenderableType:
    """Training FLOPs of one sample, dense and sparse, from the manifest's ``flops``."""
    rows = (
        (name, f"{flops[dense] / 1e6:,.2f}", f"{flops[sparse] / 1e6:,.2f}", share(flops[sparse], flops[dense]))
        for name, dense, sparse in FLOPS_ROWS
    )
    return table(f"Training MFLOPs per sample ({COUNTED})", ("", ">dense", ">sparse", ">ratio"), rows)


MASKS_ONLY = (
    "Masks alone save no time: --compress computes with the kept weights only (sparse kernels), "
    "--scheme channel with the kept channels"
)


def masks_only(masks: Sequence[Mapping[str, Any]]) -> bool:
    """Whether weights are masked and dense kernels compute with all of them, from the manifest's ``masks``."""
    lowered = any(layer["stored"] != MASKED or "compact_shape" in layer for layer in masks)
    return not lowered and any(layer["base"] < layer["size"] for layer in masks)


def kernels_line(manifest: Mapping[str, Any]) -> str:
    """How many layers compute at their kept weights alone, from the manifest's ``masks`` and ``kernels``."""
    masks, kernels = manifest["masks"], manifest["kernels"]
    sparse = sum(layer["stored"] != MASKED for layer in masks)
    how = "as measured" if _is_measured(kernels) else "by estimate"
    return (
        f"Sparse kernels in {sparse} of {len(masks)} masked layers: the fastest for batches of {kernels['batch']} {how}"
    )


def kernels_table(masks: Sequence[Mapping[str, Any]], kernels: Mapping[str, Any]) -> RenderableType:
    """One line a masked layer: its times in both forms, and why it is masked where it is; from the manifest."""
    columns = ["weight", ">dense", ">sparse", ">transposes", "kernels", "masked because"]
    if _is_measured(kernels):
        columns[4:4] = [">measured dense", ">measured sparse"]
    times = {layer["weight"]: layer for layer in kernels["layers"]}
    rows = (_kernels_row(layer, times.get(layer["weight"]), len(columns)) for layer in masks)
    note = "transposes: what sparse takes beside dense neighbours"
    title = f"Kernels, estimated ms of a training step of {kernels['batch']} samples on one thread ({note})"
    return table(title, columns, rows)


def _is_measured(kernels: Mapping[str, Any]) -> bool:
    return any(layer["measured"] for layer in kernels["layers"])


def _kernels_row(layer: Mapping[str, Any], times: Mapping[str, Any] | None, columns: int) -> tuple[str, ...]:
    form = ("dense" if layer["stored"] == MASKED else "sparse", layer["reason"])
    if times is None:
        return (layer["weight"], *["-"] * (columns - 3), *form)
    both = [times[name] for name in ("estimated", "measured") if times[name]]
    dense, sparse, *measured = [_milliseconds(one[form]) for one in both for form in ("dense", "sparse")]
    return (layer["weight"], dense, sparse, _milliseconds(times["transposes"]), *measured, *form)


def _milliseconds(seconds: float) -> str:
    return f"{1000 * seconds:,.2f}"


def update_line(update: Mapping[str, Any]) -> str:
    """What trains, from the manifest's ``update``: parameters, and the stages where some are frozen."""
    line = f"Training {update['trained']:,} of {update['parameters']:,} parameters"
    if update["trained"] == update["parameters"]:
        return line
    stages = ", ".join(str(stage) for stage in update["trained_stages"])
    return f"{line} ({share(update['trained'], update['parameters'])}), in stages {stages} of {update['stages']}"


def memory_table(memory: Mapping[str, Any], layers: int = 0) -> RenderableType:
    """The estimated memory of training from the manifest's ``memory``, and what so many layers take of the peak."""
    recompute, state = memory["recompute"], memory["state_bytes"]
    at_least = "at least " if memory["unknown"] else ""
    rows = [
        ("activations and gradients at the peak", at_least + _megabytes(memory["peak_activation_bytes"])),
        *_recompute_row(recompute),
        *((f"state: {role}", _megabytes(size)) for role, size in state.items() if role != "sample"),
        ("together", at_least + _megabytes(training_bytes(memory))),
    ]
    largest = sorted(memory["by_layer"], key=lambda one: -one["bytes"])[:layers]
    rows += [(f"peak: {one['layer'] or 'no layer'}", _megabytes(one["bytes"])) for one in largest]
    return table(f"Training memory in MB, batch of {memory['batch']} (estimate)", ("", ">"), rows)


def _recompute_row(recompute: Mapping[str, Any]) -> list[tuple[str, str]]:
    if recompute["enabled"]:
        return [("  without --recompute", _megabytes(recompute["peak_without"]))]
    at_most = "at most " if recompute.get("at_most") else ""
    return [("  with --recompute", at_most + _megabytes(recompute["peak_with"]))]


def training_bytes(memory: Mapping[str, Any]) -> int:
    """Activations, gradients, state, feeds and results together, from the manifest's ``memory``."""
    apart = memory["feed_bytes"] + memory["result_bytes"] + sum(memory["state_bytes"].values())
    return int(memory["peak_activation_bytes"] + apart)


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.2f}"


def artifact_size(folder: Path) -> int:
    """The bytes of all files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def next_command(manifest: Mapping[str, Any], folder: Path) -> str:
    """The command that trains the artifact, with a data source that fits the model's input."""
    elements = math.prod(d for d in manifest["model"]["input_shape"] if isinstance(d, int))
    classes = int(manifest["model"]["classes"])
    source = SOURCES.get(elements, "npz:FILE")
    tasks = next((count for count in (5, 4, 3, 2) if classes % count == 0 and classes > count), min(classes, 2))
    return f"sparcl-run {shlex.quote(str(folder))} --data {source} --tasks {tasks} --epochs 5"


def compile_report(manifest: Mapping[str, Any], folder: Path) -> RenderableType:
    """Everything that sparcl-compile prints at its end; the folder must exist."""
    return Group(
        passes_table(manifest["passes"]),
        "",
        sparsity_table(manifest["masks"], manifest["dense"]),
        "",
        *((channels_table(manifest["channels"]), "") if "channels" in manifest else ()),
        flops_table(manifest["flops"]),
        "",
        *((line, "") if (line := _form(manifest)) else ()),
        Text(update_line(manifest["update"])),
        "",
        memory_table(manifest["memory"]),
        "",
    )


def _form(manifest: Mapping[str, Any]) -> RenderableType | None:
    """How the masked layers compute; nothing to say where their channels are folded."""
    if "kernels" in manifest:
        return _chosen_kernels(manifest)
    return Text(MASKS_ONLY) if masks_only(manifest["masks"]) else None


def _chosen_kernels(manifest: Mapping[str, Any]) -> RenderableType:
    """The line; and the table where a user waited for times."""
    line = Text(kernels_line(manifest))
    if not _is_measured(manifest["kernels"]):
        return line
    return Group(kernels_table(manifest["masks"], manifest["kernels"]), line)


def print_compile_report(
    target: Console, manifest: Mapping[str, Any], folder: Path, seconds: Callable[[], float]
) -> None:
    """Print :func:`compile_report`, then where the artifact lies and the next command, which is never folded.

    ``seconds`` says how long the whole command has taken, and is asked for the last lines.
    """
    target.print(compile_report(manifest, folder))
    size = decimal(artifact_size(folder))
    target.print(f"Compiled in {seconds():.1f} s to {folder} ({size})", soft_wrap=True)
    target.print(f"Next: {next_command(manifest, folder)}", soft_wrap=True)
