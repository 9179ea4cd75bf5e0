"""One training step of a small residual network as one graph of stock operators and of all the sparse ones.

It is made by hand, because the graphs that are compiled for ONNX Runtime's training build hold its own operators, which
no stock build has. The network: convolution, convolution with a residual addition, convolution of stride 2, the mean of
every channel, and a sparse linear layer.
"""

from typing import Any

import numpy as np
import onnx.parser

from tests.runtime.kernels.sparse import Array, Case, normal, random_weight

CONVOLUTION = "kernel_shape = [3, 3], pads = [1, 1, 1, 1]"
LINEAR = "kernel_shape = [1, 1], channels = 20"
NORMALISATION = "relu = 1"
HEIGHT, WIDTH, CLASSES = 9, 10, 10
PIXELS = 5 * 5
"""Pixels of the last convolution's output."""

LAYERS = {"stem": (3, 12, 3), "mid": (12, 12, 3), "down": (12, 20, 3), "head": (20, CLASSES, 1)}
"""Name to input channels, output channels and kernel size."""

BODY = f"""
    c1 = sparcl.SparseConv <{CONVOLUTION}, channels = 3> (x, stem_values, stem_index, stem_rows)
    a1, next_stem_mean, next_stem_var, m1, s1 = sparcl.BatchNormTraining <{NORMALISATION}>
        (c1, stem_scale, stem_bias, , stem_mean, stem_var)
    c2 = sparcl.SparseConv <{CONVOLUTION}, channels = 12> (a1, mid_values, mid_index, mid_rows)
    a2, next_mid_mean, next_mid_var, m2, s2 = sparcl.BatchNormTraining <{NORMALISATION}>
        (c2, mid_scale, mid_bias, a1, mid_mean, mid_var)
    c3 = sparcl.SparseConv <{CONVOLUTION}, strides = [2, 2], channels = 12> (a2, down_values, down_index, down_rows)
    a3, next_down_mean, next_down_var, m3, s3 = sparcl.BatchNormTraining <{NORMALISATION}>
        (c3, down_scale, down_bias, , down_mean, down_var)
    axes = Constant <value_ints = [1, 2]> ()
    pooled = ReduceMean (a3, axes)
    logits = sparcl.SparseConv <{LINEAR}> (pooled, head_values, head_index, head_rows, head_bias)

    logarithms = LogSoftmax <axis = 0> (logits)
    chosen = Mul (target, logarithms)
    total = ReduceSum <keepdims = 0> (chosen)
    mean = Div (total, batch)
    loss = Neg (mean)

    probabilities = Softmax <axis = 0> (logits)
    error = Sub (probabilities, target)
    dlogits = Div (error, batch)
    d_head_values = sparcl.SparseConvWeightGrad <{LINEAR}> (pooled, dlogits, head_index, head_rows)
    others = Constant <value_ints = [1, 2, 3]> ()
    d_head_bias = ReduceSum <keepdims = 0> (dlogits, others)
    dpooled = sparcl.SparseConvInputGrad <{LINEAR}, input_shape = [1, 1]> (dlogits, head_values, head_index, head_rows)
    pixels = Constant <value_float = {PIXELS}.0> ()
    share = Div (dpooled, pixels)
    shape = Shape (a3)
    da3 = Expand (share, shape)
    dc3, d_down_scale, d_down_bias = sparcl.BatchNormGrad <{NORMALISATION}> (da3, c3, down_scale, m3, s3, a3)
    d_down_values = sparcl.SparseConvWeightGrad <{CONVOLUTION}, strides = [2, 2], channels = 12>
        (a2, dc3, down_index, down_rows)
    da2 = sparcl.SparseConvInputGrad
        <{CONVOLUTION}, strides = [2, 2], channels = 12, input_shape = [{HEIGHT}, {WIDTH}]>
        (dc3, down_values, down_index, down_rows)
    dc2, d_mid_scale, d_mid_bias, skipped = sparcl.BatchNormGrad <{NORMALISATION}> (da2, c2, mid_scale, m2, s2, a2)
    d_mid_values = sparcl.SparseConvWeightGrad <{CONVOLUTION}, channels = 12> (a1, dc2, mid_index, mid_rows, mid_mask)
    through = sparcl.SparseConvInputGrad <{CONVOLUTION}, channels = 12, input_shape = [{HEIGHT}, {WIDTH}]>
        (dc2, mid_values, mid_index, mid_rows)
    da1 = Add (through, skipped)
    dc1, d_stem_scale, d_stem_bias = sparcl.BatchNormGrad <{NORMALISATION}> (da1, c1, stem_scale, m1, s1, a1)
    d_stem_values = sparcl.SparseConvWeightGrad <{CONVOLUTION}, channels = 3> (x, dc1, stem_index, stem_rows)
"""

NORMALISED = ("stem", "mid", "down")
PARAMETERS = (
    *(f"{name}_values" for name in LAYERS),
    *(f"{name}_{kind}" for name in NORMALISED for kind in ("scale", "bias")),
    "head_bias",
)
STATISTICS = tuple(f"{name}_{kind}" for name in NORMALISED for kind in ("mean", "var"))
OUTPUTS = ("loss", *(f"next_{name}" for name in (*PARAMETERS, *STATISTICS)))
"""Names of the graph's outputs; `next_P` is the feed P of the next step."""

INT32 = tuple(f"{name}_{kind}" for name in LAYERS for kind in ("index", "rows"))
FLOAT = ("x", "target", "batch", "rate", "mid_mask", *PARAMETERS, *STATISTICS)


def training_step() -> bytes:
    """The model; its feeds are those of `feeds`."""
    inputs = ", ".join([*(f"float[] {name}" for name in FLOAT), *(f"int32[] {name}" for name in INT32)])
    update = "".join(f"scaled_{p} = Mul (rate, d_{p})\nnext_{p} = Sub ({p}, scaled_{p})\n" for p in PARAMETERS)
    outputs = ", ".join(f"float[] {name}" for name in OUTPUTS)
    header = '<ir_version: 9, opset_import: ["" : 18, "sparcl" : 1]>'
    model = onnx.parser.parse_model(f"{header} step ({inputs}) => ({outputs}) {{{BODY}{update}}}")
    serialized: bytes = model.SerializeToString()
    return serialized


def feeds(batch: int, density: float, seed: int) -> dict[str, Array]:
    """Random images, labels, weights of a density and the state of the normalisations."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, CLASSES, batch)
    target = np.eye(CLASSES, dtype=np.float32)[:, None, None, labels]
    found: dict[str, Any] = {
        "x": normal((3, HEIGHT, WIDTH, batch), seed),
        "target": np.ascontiguousarray(target),
        "batch": np.array(batch, dtype=np.float32),
        "rate": np.array(1.0, dtype=np.float32),
        "head_bias": np.zeros(CLASSES, dtype=np.float32),
    }
    for number, (name, (channels, outputs, kernel)) in enumerate(LAYERS.items()):
        case = Case(batch, channels, outputs, HEIGHT, WIDTH, (kernel, kernel), density=density, seed=seed + number)
        weight = random_weight(case)
        scale = np.float32(1 / np.sqrt(channels * kernel**2 * density))
        # The update reaches the padding too, where NaN would stay NaN.
        found[f"{name}_values"] = np.nan_to_num(weight.values) * scale
        found |= {f"{name}_index": weight.index, f"{name}_rows": weight.rows}
        if name in NORMALISED:
            ones, zeros = np.ones(outputs, dtype=np.float32), np.zeros(outputs, dtype=np.float32)
            found |= {f"{name}_scale": ones, f"{name}_bias": zeros, f"{name}_mean": zeros, f"{name}_var": ones}
    found["mid_mask"] = (generator.random(len(found["mid_values"])) < 0.5).astype(np.float32)
    return found
