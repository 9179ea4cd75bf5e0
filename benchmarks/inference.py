"""Inference time, interleaved: an exported model of pruned channels against a dense network made with those widths.

``python -m benchmarks.inference`` compiles a ResNet-18 with ``--scheme channel``, exports it, builds a dense ResNet-18
in PyTorch whose layers have the widths that are left, exports that one by the same pipeline, and lets both take turns
in stock ONNX Runtime sessions. It prints the medians and their ratio and writes build/bench/inference.json. The ratio
says what folding costs: nothing, where the exported model is as plain as one made by hand.
"""

import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

import click
import onnx
import onnxruntime as ort
import torch
from safetensors.numpy import load_file
from torch import nn

from benchmarks.contestants import IMAGE, batch_of, module_of
from benchmarks.files import write_json
from benchmarks.one_process import measure
from models.export import export
from sparcl_compile.compiling.compiler import compile_model
from sparcl_compile.exporting.export import export_model
from sparcl_compile.interface.artifact import load
from sparcl_compile.settings.options import CompileOptions

DENSE = CompileOptions(sparsity=0.0, gradient_sparsity=0.0)


def exported(module: nn.Module, options: CompileOptions, path: Path) -> bytes:
    """Compile a module and export its initial state."""
    export(module, IMAGE, path)
    compile_model(path, path.with_suffix(".sparcl"), options)
    artifact = load(path.with_suffix(".sparcl"))
    return export_model(artifact, load_file(artifact.folder / artifact.manifest.state_file), {}).content


def weights_of(content: bytes) -> dict[str, tuple[int, ...]]:
    """The shapes of an exported model's initializers by name."""
    return {tensor.name: tuple(tensor.dims) for tensor in onnx.load_from_string(content).graph.initializer}


def graph_of(content: bytes) -> list[tuple[str, ...]]:
    """Operators with what they read and write: two models with equal graphs and shapes do the same work."""
    return [(node.op_type, *node.input, *node.output) for node in onnx.load_from_string(content).graph.node]


def narrowed(module: nn.Module, shapes: dict[str, tuple[int, ...]]) -> nn.Module:
    """The module with fresh layers of the given weights' widths; a normalisation takes that of the layer before it."""
    width = 0
    for name, layer in list(module.named_modules()):
        made: nn.Module | None = None
        if isinstance(layer, nn.Conv2d):
            width, inputs = shapes[f"{name}.weight"][:2]
            made = nn.Conv2d(inputs, width, layer.kernel_size, layer.stride, layer.padding, bias=False)  # type: ignore[arg-type]
        elif isinstance(layer, nn.BatchNorm2d):
            made = nn.BatchNorm2d(width)
        elif isinstance(layer, nn.Linear):
            made = nn.Linear(shapes[f"{name}.weight"][1], layer.out_features)
        if made is not None:
            parent, _, last = name.rpartition(".")
            setattr(module.get_submodule(parent), last, made)
    return module


def inference(content: bytes, batch: int, threads: int) -> Callable[[], object]:
    """One run of a model on a batch, in a session with all of ONNX Runtime's optimisations."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    session = ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    feeds = {"x": batch_of(batch)[0]}
    return lambda: session.run(None, feeds)


@click.command()
@click.option("--width", default=64, show_default=True, help="Channels of the first stage before pruning.")
@click.option("--sparsity", default=0.75, show_default=True)
@click.option("--batch", default=32, show_default=True)
@click.option("--repeats", default=50, show_default=True, help="Timed runs of each model.")
@click.option("--threads", default=2, show_default=True)
@click.option("-o", "--output", type=click.Path(path_type=Path), default=Path("build/bench/inference.json"))
def main(width: int, sparsity: float, batch: int, repeats: int, threads: int, output: Path) -> None:
    """Measure one inference of both models, and of the dense one before pruning."""
    warnings.filterwarnings("ignore")
    pruning = CompileOptions(sparsity=sparsity, gradient_sparsity=0.0, scheme="channel")
    with tempfile.TemporaryDirectory() as folder:
        pruned = exported(module_of(width), pruning, Path(folder, "pruned.onnx"))
        torch.manual_seed(1)
        by_hand = exported(narrowed(module_of(width), weights_of(pruned)), DENSE, Path(folder, "by-hand.onnx"))
        before = exported(module_of(width), DENSE, Path(folder, "before.onnx"))
    same = weights_of(pruned) == weights_of(by_hand) and graph_of(pruned) == graph_of(by_hand)
    models = {"folded": pruned, "by-hand": by_hand, "dense": before}
    seconds = measure({name: inference(model, batch, threads) for name, model in models.items()}, repeats, threads)
    row = {
        "model": f"resnet18-w{width}",
        "sparsity": sparsity,
        "batch": batch,
        "milliseconds": {name: round(1000 * value, 3) for name, value in seconds.items()},
        "bytes": {name: len(model) for name, model in models.items()},
        "folded_to_by_hand": seconds["folded"] / seconds["by-hand"],
        "dense_to_folded": seconds["dense"] / seconds["folded"],
        "same_graph": same,
    }
    write_json(output, row)
    for name, value in seconds.items():
        click.echo(f"{name:8} {1000 * value:8.2f} ms {len(models[name]) / 1e6:8.2f} MB")
    click.echo(f"folded / by hand {row['folded_to_by_hand']:.3f}, dense / folded {row['dense_to_folded']:.2f}")
    click.echo(f"both have the same operators and shapes: {'yes' if same else 'no'}")
    click.echo(f"written to {output}")


if __name__ == "__main__":
    main()
