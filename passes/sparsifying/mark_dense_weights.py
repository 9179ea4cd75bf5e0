"""Weights that stay dense, and why."""

import dataclasses
import fnmatch
import math
from collections.abc import Iterator

import onnx_ir as ir

from sparcl_compile.interface.errors import FieldError
from sparcl_compile.passes.analysis.heads import find_head
from sparcl_compile.passes.core.contract import Pass
from sparcl_compile.passes.core.edit import int_attribute
from sparcl_compile.passes.core.facts import HELD, LOSS, MASKED
from sparcl_compile.passes.core.hints import near
from sparcl_compile.passes.core.layers import weighted_layers
from sparcl_compile.passes.core.marks import DENSE_KEY
from sparcl_compile.passes.core.phases import Phase
from sparcl_compile.passes.core.roles import TRAINABLE, values_with_role
from sparcl_compile.passes.core.values import dims

NOT_A_LAYER = "elementwise"
TO_ADD = {"BatchNormalization", "Identity"}
LARGE = 0.1
"""The share of all parameters from which on one without a mask is spoken of, although no layer reads it."""


@dataclasses.dataclass(frozen=True)
class MarkDenseWeights(Pass):
    """Say of every parameter that gets no mask why it stays dense.

    1. A parameter that is no weight of a Conv, Gemm or MatMul is ``elementwise``: biases, scales, tables of tokens.
    2. The graph gives reasons of its own: ``classifier``, since new classes come; ``stem``, the first of several
       layers when it is a Conv; ``depthwise``, which has one input channel a group; ``shortcut``, a 1x1 Conv that goes
       into a residual Add beside another Conv of the same input. They hold few weights and all others depend on them.
    3. ``user`` are the weights that the globs of ``dense`` match.
    4. When nothing would be left to prune, all but the classifier lose their reasons, and then the classifier too.
    5. A reason that is there stays, which makes the pass idempotent.

    Options:
        dense: globs of weight names.
    """

    phase = Phase.SPARSIFYING
    needs = (HELD,)
    before = (MASKED, LOSS)

    dense: tuple[str, ...] = ()

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Mark the parameters. Raises FieldError for a glob without a match."""
        found = {value: why for value, why in self._reasons(model).items() if DENSE_KEY not in value.metadata_props}
        for value, reason in found.items():
            value.metadata_props[DENSE_KEY] = reason
        return ir.passes.PassResult(model, bool(found))

    def _reasons(self, model: ir.Model) -> dict[ir.Value, str]:
        layers = list(weighted_layers(model.graph))
        weights = {weight for _, weight in layers}
        parameters = [value for role in TRAINABLE for value in values_with_role(model, role)]
        named = dict.fromkeys(matching(weights, self.dense), "user")
        reasons = without_empty_choice(weights, {**structural_reasons(model.graph, layers), **named})
        return {**{value: NOT_A_LAYER for value in parameters if value not in weights}, **reasons}


def structural_reasons(graph: ir.Graph, layers: list[tuple[ir.Node, ir.Value]]) -> dict[ir.Value, str]:
    """Reasons that the graph itself gives."""
    reasons: dict[ir.Value, str] = {}
    head = find_head(graph)
    for index, (node, weight) in enumerate(layers):
        if node is head:
            reasons[weight] = "classifier"
        elif index == 0 and node.op_type == "Conv" and len(layers) > 1:
            reasons[weight] = "stem"
        elif is_depthwise(node, weight):
            reasons[weight] = "depthwise"
        elif is_shortcut(node, weight):
            reasons[weight] = "shortcut"
    return reasons


def is_depthwise(node: ir.Node, weight: ir.Value) -> bool:
    """Whether a Conv has one input channel a group, several groups."""
    return (
        node.op_type == "Conv"
        and int_attribute(node, "group", 1) > 1
        and weight.shape is not None
        and weight.shape[1] == 1
    )


def is_shortcut(node: ir.Node, weight: ir.Value) -> bool:
    """Whether a 1x1 Conv goes straight into a residual Add beside another Conv of the same input, padded or not."""
    if node.op_type != "Conv" or weight.shape is None or any(d != 1 for d in list(weight.shape)[2:]):
        return False
    source = node.inputs[0]
    siblings = [] if source is None else [reader for reader in behind_pads(source) if reader is not node]
    return any(sibling.op_type == "Conv" for sibling in siblings) and reaches_add(node)


def behind_pads(value: ir.Value) -> Iterator[ir.Node]:
    """What reads a value as it is or padded: a causal Conv pads its input in a node of its own."""
    for usage in value.uses():
        if usage.node.op_type == "Pad" and usage.idx == 0:
            yield from behind_pads(usage.node.outputs[0])
        else:
            yield usage.node


def reaches_add(node: ir.Node) -> bool:
    """Whether nothing but BatchNormalization stands between a node and an Add of two activations."""
    readers = [usage.node for usage in node.outputs[0].uses()]
    while len(readers) == 1 and readers[0].op_type in TO_ADD:
        readers = [usage.node for usage in readers[0].outputs[0].uses()]
    adds = [reader for reader in readers if reader.op_type == "Add"]
    return any(all(v is not None and not v.is_initializer() for v in add.inputs) for add in adds)


def matching(weights: set[ir.Value], globs: tuple[str, ...]) -> Iterator[ir.Value]:
    """The weights that the user's globs name."""
    names = sorted(str(weight.name) for weight in weights)
    for glob in globs:
        if not fnmatch.filter(names, glob):
            raise FieldError("dense", glob, "matches no weight", near(glob, names), joint=" ")
        yield from (weight for weight in weights if fnmatch.fnmatchcase(str(weight.name), glob))


def without_empty_choice(weights: set[ir.Value], reasons: dict[ir.Value, str]) -> dict[ir.Value, str]:
    """The reasons, without those that must go so that some weight can be pruned."""
    for spared in ({"classifier", "user"}, {"user"}):
        if weights - reasons.keys():
            return reasons
        reasons = {weight: reason for weight, reason in reasons.items() if reason in spared}
    return reasons


def remarks(model: ir.Model) -> Iterator[str]:
    """The line about large tables without a mask, since no layer reads them as they are; none without any."""
    sizes = {value: math.prod(dims(value)) for role in TRAINABLE for value in values_with_role(model, role)}
    least = LARGE * sum(sizes.values())
    loose = [value for value in sizes if value.metadata_props.get(DENSE_KEY) == NOT_A_LAYER]
    large = [value for value in loose if sizes[value] >= least and sum(length > 1 for length in dims(value)) > 1]
    if large:
        names = ", ".join(f"{value.name} ({sizes[value]:,} of {sum(sizes.values()):,} parameters)" for value in large)
        yield (
            f"no mask on {names}: masks are for what a Conv, Gemm, MatMul or recurrent layer reads as its weight, "
            "and this is joined, repeated, looked up, multiplied element by element or read in several ways"
        )
