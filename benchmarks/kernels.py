"""The sparse kernels against PyTorch's dense convolution, op by op, interleaved in one process.

    python -m benchmarks.kernels [--threads 2] [--seconds 1.0] [--scheme unstructured|block4x1]

The layers are ResNet-18's, width 64, on images of 32x32: the four stages and the steps between them. GFLOP/s are
dense-equivalent, so they may exceed the machine's peak. The best of PyTorch's two layouts counts, and of all
repetitions the fastest: on a shared machine other processes slow the rest down.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import click
import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper

from sparcl_compile.runtime.session import kernel_library as kernels

BATCH = 32
DENSITIES = (0.25, 0.10, 0.05)
MASK_DENSITY = 0.2
"""Share of the kept places whose gradient is wanted, in the row `weight, masked`."""

KERNELS, STANDARD = "sparcl", ""
"""Domains of operators."""
TYPES = {"index": TensorProto.INT32, "rows": TensorProto.INT32}
Run = Callable[[], Any]


@dataclass(frozen=True)
class Layer:
    """A 3x3 convolution with padding 1, of square images."""

    channels: int
    outputs: int
    size: int
    stride: int = 1

    @property
    def out(self) -> int:
        """Rows and columns of the output."""
        return self.size // self.stride

    @property
    def flops(self) -> float:
        """Operations of the dense convolution and of each of its gradients."""
        return 2.0 * self.channels * self.outputs * 9 * self.out**2 * BATCH

    @property
    def attributes(self) -> dict[str, Any]:
        """The attributes of the kernels' nodes."""
        return {
            "kernel_shape": [3, 3],
            "strides": [self.stride] * 2,
            "pads": [1] * 4,
            "channels": self.channels,
        }


LAYERS = (
    Layer(64, 64, 32),
    Layer(64, 128, 32, 2),
    Layer(128, 128, 16),
    Layer(128, 256, 16, 2),
    Layer(256, 256, 8),
    Layer(256, 512, 8, 2),
    Layer(512, 512, 4),
)


def sparse_weight(layer: Layer, density: float, scheme: str) -> dict[str, NDArray[Any]]:
    """Values, index and rows of a random mask."""
    generator = np.random.default_rng(0)
    block = 4 if scheme == "block4x1" else 1
    mask = generator.random((layer.outputs // block, layer.channels * 9)) < density
    mask = np.repeat(mask, block, axis=0)
    rows = np.concatenate([[0], np.cumsum(mask.sum(axis=1))]).astype(np.int32)
    index = np.flatnonzero(mask).astype(np.int32)
    return {"values": generator.standard_normal(len(index)).astype(np.float32), "index": index, "rows": rows}


def op_run(op: str, feeds: dict[str, NDArray[Any]], threads: int, domain: str = KERNELS, **attributes: Any) -> Run:
    """A session of one op, by itself of the kernels; inputs and output are bound, so that no copy is timed."""
    node = helper.make_node(op, list(feeds), ["out"], domain=domain, **attributes)
    infos = [helper.make_tensor_value_info(name, TYPES.get(name, TensorProto.FLOAT), None) for name in feeds]
    graph = helper.make_graph([node], op, infos, [helper.make_tensor_value_info("out", TensorProto.FLOAT, None)])
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid(KERNELS, 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=9)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    # The threads of one contestant would spin on the next one's cores.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    if not kernels.register(options):
        raise click.ClickException(kernels.reason())
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    binding = session.io_binding()
    for name, value in feeds.items():
        binding.bind_cpu_input(name, value)
    binding.bind_output("out")
    return lambda: session.run_with_iobinding(binding)


def kernel_runs(layer: Layer, density: float, scheme: str, threads: int) -> dict[str, Run]:
    """The three ops, and the weight gradient under a gradient mask."""
    weight = sparse_weight(layer, density, scheme)
    index = {"index": weight["index"], "rows": weight["rows"]}
    attributes = layer.attributes | ({"block": 4} if scheme == "block4x1" else {})
    generator = np.random.default_rng(1)
    x = generator.standard_normal((layer.channels, layer.size, layer.size, BATCH), dtype=np.float32)
    dy = generator.standard_normal((layer.outputs, layer.out, layer.out, BATCH), dtype=np.float32)
    mask = (generator.random(len(weight["values"])) < MASK_DENSITY).astype(np.float32)
    size = {"input_shape": [layer.size] * 2, **attributes}
    gradient = {"x": x, "dy": dy, **index}
    return {
        "forward": op_run("SparseConv", {"x": x, **weight}, threads, **attributes),
        "input": op_run("SparseConvInputGrad", {"dy": dy, **weight}, threads, **size),
        "weight": op_run("SparseConvWeightGrad", gradient, threads, **attributes),
        "weight, masked": op_run("SparseConvWeightGrad", gradient | {"mask": mask}, threads, **attributes),
    }


def torch_runs(layer: Layer, memory_format: torch.memory_format) -> dict[str, Run]:
    """The dense convolution and its two gradients."""
    x = torch.randn(BATCH, layer.channels, layer.size, layer.size).to(memory_format=memory_format)
    w = torch.randn(layer.outputs, layer.channels, 3, 3).to(memory_format=memory_format)
    dy = torch.randn(BATCH, layer.outputs, layer.out, layer.out).to(memory_format=memory_format)
    stride, ones, zeros = [layer.stride] * 2, [1, 1], [0, 0]

    def gradient(*wanted: bool) -> Run:
        return lambda: torch.ops.aten.convolution_backward(
            dy, x, w, None, stride, ones, ones, False, zeros, 1, [*wanted, False]
        )

    return {
        "forward": lambda: torch.nn.functional.conv2d(x, w, stride=layer.stride, padding=1),
        "input": gradient(True, False),
        "weight": gradient(False, True),
        "weight, masked": gradient(False, True),
    }


def fastest(runs: list[Run], seconds: float, threads: int) -> list[float]:
    """The least seconds of each, taken in turns until the time is over.

    One thread is timed by the processor's clock, which stands still while a neighbour runs.
    """
    clock = time.thread_time if threads == 1 else time.perf_counter
    best = [float("inf")] * len(runs)
    for run in runs:
        run()
    end = time.perf_counter() + seconds * len(runs)
    while time.perf_counter() < end:
        for number, run in enumerate(runs):
            start = clock()
            run()
            best[number] = min(best[number], clock() - start)
    return best


@click.command(help=__doc__)
@click.option("--threads", default=2)
@click.option("--seconds", default=1.0, help="for each op and contestant")
@click.option("--scheme", default="unstructured", type=click.Choice(["unstructured", "block4x1"]))
def main(threads: int, seconds: float, scheme: str) -> None:
    """Print one line for each layer, op and density."""
    torch.set_num_threads(threads)
    click.echo(
        f"{'layer':>18} {'op':>15} {'density':>8} {'ms':>8} {'GFLOP/s':>8} {'torch ms':>9} {'GFLOP/s':>8} {'ratio':>6}"
    )
    for layer in LAYERS:
        dense = [torch_runs(layer, f) for f in (torch.contiguous_format, torch.channels_last)]
        sparse = [kernel_runs(layer, density, scheme, threads) for density in DENSITIES]
        for op in dense[0]:
            times = fastest([runs[op] for runs in [*dense, *sparse]], seconds, threads)
            click.echo("\n".join(_lines(layer, op, min(times[:2]), times[2:])))


def _lines(layer: Layer, op: str, reference: float, times: Sequence[float]) -> Iterator[str]:
    """One line a density: its time beside the dense one."""
    name = f"{layer.channels}-{layer.outputs} {layer.size}x{layer.size}/{layer.stride}"
    other = layer.flops / reference / 1e9
    for density, took in zip(DENSITIES, times, strict=True):
        speed = layer.flops / took / 1e9
        yield (
            f"{name:>18} {op:>15} {density:>8} {took * 1e3:>8.2f} {speed:>8.0f} "
            f"{reference * 1e3:>9.2f} {other:>8.0f} {reference / took:>6.2f}"
        )


if __name__ == "__main__":
    main()
