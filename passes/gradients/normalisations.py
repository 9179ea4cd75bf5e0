"""Normalisations by the statistics of a batch, of a sample or of a row."""

from collections.abc import Mapping, Sequence

import onnx_ir as ir

from sparcl_compile.interface.errors import PassOrderError
from sparcl_compile.passes.core.edit import float_attribute, int_attribute
from sparcl_compile.passes.gradients.gradient import FLOAT_TYPE, Gradient, Rule


def _affine(g: Gradient, x: ir.Value, scale: ir.Value, shift: ir.Value) -> ir.Value:
    """X * scale + shift by channel, in the one pass that BatchNormalization is with a mean of 0 and a variance of 1.

    Product and sum by themselves walk over the tensor twice.
    """
    channels = g.static(g.input(1))
    zeros, ones = g.filled(0.0, channels), g.filled(1.0, channels)
    return g.op("BatchNormalization", x, scale, shift, zeros, ones, epsilon=0.0)


def _batch(g: Gradient) -> Sequence[ir.Value | None]:
    """BatchNormalization in training form, whose second and third output are the batch's own mean and variance.

    With d = x - mean, v = sqrt(variance + epsilon) and n elements a channel (Ioffe and Szegedy, 2015, section 3):
    dbias = sum(dy), dscale = sum(dy * d) / v, dx = scale / v * (dy - dbias / n - d / v * dscale / n).
    """
    if len(g.node.outputs) < 3 or float_attribute(g.node, "momentum", 0.9) != 0.0:
        wanted = "save_batch_statistics" if int_attribute(g.node, "training_mode", 0) else "fold_fixed_norms"
        raise PassOrderError(f"BatchNormalization ({g.node.name}) has no gradient as it stands: run {wanted} before")
    _, mean, variance = g.node.outputs[:3]
    scale, channels = g.input(1), g.static(g.input(1))
    rank = g.rank(g.x)
    over = [0, *range(2, rank)]
    shift = g.summed(g.dy, over)
    ones = g.filled(1.0, channels)
    centred = g.op("BatchNormalization", g.x, ones, g.filled(0.0, channels), mean, ones, epsilon=0.0)
    deviation = g.op("Sqrt", g.add(variance, g.number(float_attribute(g.node, "epsilon", 1e-5))))
    gain = g.div(g.summed(g.mul(g.dy, centred), over), deviation)
    if not g.wants(0):
        return [None, gain, shift]
    share = g.div(g.number(-float(*channels)), g.op("Cast", g.op("Size", g.dy), to=FLOAT_TYPE))
    slope, offset = g.div(g.mul(gain, share), deviation), g.mul(shift, share)
    inner = g.add(g.dy, _affine(g, centred, slope, offset))
    return [_affine(g, inner, g.div(scale, deviation), g.filled(0.0, channels)), gain, shift]


def _layer(g: Gradient) -> Sequence[ir.Value | None]:
    """LayerNormalization, whose second and third output are the mean and the inverse deviation of a row.

    With h = (x - mean) * s and e = dy * scale: dx = s * (e - mean(e) - h * mean(e * h)) (Ba et al., 2016).
    """
    if len(g.node.outputs) < 3:
        raise g.refusal("lacks the outputs of its mean and its deviation")
    rank, first = g.rank(g.x), int_attribute(g.node, "axis", -1) % g.rank(g.x)
    inner = list(range(first, rank))
    mean, steep = g.node.outputs[1:3]
    hat = g.mul(g.sub(g.x, mean), steep)
    found: list[ir.Value | None] = [None, None, None]
    if g.wants(0):
        inward = g.mul(g.dy, g.input(1))
        along = g.mul(hat, g.mean(g.mul(inward, hat), inner, keepdims=True))
        found[0] = g.mul(g.sub(g.sub(inward, g.mean(inward, inner, keepdims=True)), along), steep)
    if g.wants(1):
        found[1] = g.gathered_from(1, g.mul(g.dy, hat))
    if g.wants(2):
        found[2] = g.gathered_from(2, g.dy)
    return found


RULES: Mapping[str, Rule] = {"BatchNormalization": _batch, "LayerNormalization": _layer}
