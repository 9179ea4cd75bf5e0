"""Fully connected layers: ONNX Runtime's products of matrices against the sparse kernels with an index of all places.

    python -m benchmarks.dense_layers [--batch 32] [--seconds 1.0]

One thread, in turns in one process, by the processor's clock; of all repetitions the fastest counts. The kernels read
batches that lie innermost: the transposes to there and back are not counted, in their favour. A ratio above 1 says that
the kernels are the slower ones.
"""

from collections.abc import Mapping
from typing import Any

import click
import numpy as np
import onnxruntime
from numpy.typing import NDArray

from benchmarks.kernels import STANDARD, Run, fastest, op_run

LAYERS = ((64, 24), (784, 256), (256, 256), (256, 10), (160, 10), (512, 10), (192, 768), (768, 192), (1024, 1024))
"""Inputs and outputs: of small MLPs, of one on 28x28 pixels, of ResNet-18's last layers, of a transformer."""
OPS = ("forward", "input", "weight")
FORMS: Mapping[str, tuple[str, Mapping[str, int]]] = {
    "forward": ("Gemm", {"transB": 1}),
    "input": ("MatMul", {}),
    "weight": ("Gemm", {"transA": 1}),
}
"""What the target ``ort`` writes for each (``passes/gradients``)."""


def layer_runs(inputs: int, outputs: int, batch: int) -> dict[str, tuple[Run, Run]]:
    """For each op ONNX Runtime's product and the kernel."""
    generator = np.random.default_rng(0)
    x, dy, weight, bias = (
        generator.standard_normal(shape, dtype=np.float32)
        for shape in ((batch, inputs), (batch, outputs), (outputs, inputs), (outputs,))
    )
    dense = {
        "forward": {"x": x, "weight": weight, "bias": bias},
        "input": {"dy": dy, "weight": weight},
        "weight": {"dy": dy, "x": x},
    }
    index = np.arange(weight.size, dtype=np.int32)
    places = {"index": index, "rows": np.arange(0, weight.size + 1, inputs, dtype=np.int32)}
    last = {name: np.ascontiguousarray(one.T)[:, None, None] for name, one in (("x", x), ("dy", dy))}
    values: dict[str, NDArray[Any]] = {"values": weight.ravel(), **places}
    shape: dict[str, Any] = {"kernel_shape": [1, 1], "channels": inputs}
    sparse = {
        "forward": op_run("SparseConv", {"x": last["x"], **values, "bias": bias}, 1, **shape),
        "input": op_run("SparseConvInputGrad", {"dy": last["dy"], **values}, 1, input_shape=[1, 1], **shape),
        "weight": op_run("SparseConvWeightGrad", {**last, **places}, 1, **shape),
    }
    return {op: (_dense_run(op, dense[op]), sparse[op]) for op in OPS}


def _dense_run(op: str, feeds: dict[str, NDArray[Any]]) -> Run:
    product, attributes = FORMS[op]
    return op_run(product, feeds, 1, STANDARD, **attributes)


@click.command(help=__doc__)
@click.option("--batch", default=32)
@click.option("--seconds", default=1.0, help="for each op and contestant")
def main(batch: int, seconds: float) -> None:
    """Print one line for each layer."""
    click.echo(f"ONNX Runtime {onnxruntime.__version__}, batch {batch}; ms of ONNX Runtime, of the kernel, and ratio")
    for inputs, outputs in LAYERS:
        runs = layer_runs(inputs, outputs, batch)
        times = {op: fastest(list(pair), seconds, threads=1) for op, pair in runs.items()}
        totals = [sum(pair[place] for pair in times.values()) for place in (0, 1)]
        cells = [f"{op} {one * 1e3:.3f} {two * 1e3:.3f} {two / one:.1f}" for op, (one, two) in times.items()]
        click.echo(f"{inputs:>5} -> {outputs:<5} {'   '.join(cells)}   step {totals[1] / totals[0]:.1f}")


if __name__ == "__main__":
    main()
