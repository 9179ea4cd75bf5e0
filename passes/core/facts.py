"""Facts about a graph that a pass makes true and that other passes build on."""

import dataclasses
from collections.abc import Callable

import onnx_ir as ir

from sparcl_compile.interface.names import NEXT, Role, gradient_mask_name, gradient_name, mask_name
from sparcl_compile.passes.core.edit import maker_of
from sparcl_compile.passes.core.layers import layer_weights, masked_layers
from sparcl_compile.passes.core.marks import DENSE_KEY, LAYER_KEY, OPTIMIZER_KEY, PASS_KEY, PLAN_KEY
from sparcl_compile.passes.core.operators import OPTIMIZER_DOMAIN, SPARSE_WEIGHT_GRADIENT
from sparcl_compile.passes.core.roles import TRAINABLE, role_of, values_with_role


@dataclasses.dataclass(frozen=True)
class Fact:
    """Something that is true of a graph or not.

    Attributes:
        has: the end of the sentence "the graph ..." where it is true.
        lacks: the same where it is not.
        by: the pass that makes it true, with the options that it needs for that.
        holds: whether it is true.
    """

    has: str
    lacks: str
    by: str
    holds: Callable[[ir.Model], bool]


def _is_marked(model: ir.Model) -> bool:
    return any(True for role in TRAINABLE for _ in values_with_role(model, role))


def _holds_parameters(model: ir.Model) -> bool:
    read = any(role_of(value) in TRAINABLE for value in model.graph.inputs)
    return not read and any(role_of(value) in TRAINABLE for value in model.graph.initializers.values())


def _is_numbered(model: ir.Model) -> bool:
    return all(DENSE_KEY in w.metadata_props or LAYER_KEY in w.metadata_props for w in layer_weights(model))


def _has_loss(model: ir.Model) -> bool:
    read = any(value.name == "ce_weight" for value in model.graph.inputs)
    return read and any(value.name == "loss" for value in model.graph.outputs[:1])


def _has_backward(model: ir.Model) -> bool:
    graph, name = model.graph, gradient_name("loss")
    return name in graph.initializers or any(out.name == name for node in graph for out in node.outputs)


def _has_steps(model: ir.Model) -> bool:
    return any(node.metadata_props.get(PASS_KEY) == "replace_relu_gradients" for node in model.graph)


def _masks_gradients(model: ir.Model) -> bool:
    inputs = {value.name for value in model.graph.inputs}
    return all(gradient_mask_name(str(weight.name)) in inputs for weight in masked_layers(model))


def _masks_gradients_once(model: ir.Model) -> bool:
    inputs = {str(value.name): value for value in model.graph.inputs}
    return not any(_masked_twice(inputs, str(weight.name)) for weight in masked_layers(model))


def _masked_twice(inputs: dict[str, ir.Value], weight: str) -> bool:
    gradient_mask, mask = inputs.get(gradient_mask_name(weight)), inputs.get(mask_name(weight))
    readers = () if gradient_mask is None else gradient_mask.uses()
    makers = [maker_of(usage.node.inputs[0]) for usage in readers if usage.node.op_type == "Mul"]
    return any(
        maker is not None and (maker.op_type == SPARSE_WEIGHT_GRADIENT or (mask is not None and mask in maker.inputs))
        for maker in makers
    )


def _moves_parameters(model: ir.Model) -> bool:
    outputs = {value.name for value in model.graph.outputs}
    return any(f"{value.name}{NEXT}" in outputs for value in values_with_role(model, Role.PARAMETER))


def _has_optimizer(model: ir.Model) -> bool:
    there = any(domain == OPTIMIZER_DOMAIN for domain, *_ in model.functions) or _moves_parameters(model)
    return there and OPTIMIZER_KEY in model.metadata_props


def _is_constant(model: ir.Model) -> bool:
    masks = [value for role in (Role.MASK, Role.INDEX) for value in values_with_role(model, role)]
    return not masks and all(role_of(value) is None for value in model.graph.inputs)


MARKED = Fact("has marked parameters", "has no marked parameters", "import_forward", _is_marked)
HELD = Fact("holds marked parameters", "holds no marked parameters", "import_forward", _holds_parameters)
NUMBERED = Fact(
    "has a mask or a reason against one for every layer",
    "has layers with neither a mask nor a reason against one",
    "insert_weight_masks",
    _is_numbered,
)
MASKED = Fact(
    "has masked layers", "has no masked layers", "insert_weight_masks", lambda model: bool(masked_layers(model))
)
CHANNELS = Fact(
    "has channel masks",
    "has no channel masks",
    "insert_weight_masks{scheme=channel}",
    lambda model: PLAN_KEY in model.graph.meta,
)
LOSS = Fact("has a loss", "has no loss", "attach_loss", _has_loss)
DIFFERENTIATED = Fact("has a backward pass", "has no backward pass", "differentiate", _has_backward)
ACCUMULATING = Fact(
    "stores gradients",
    "stores no gradients",
    "differentiate",
    lambda model: any(True for _ in values_with_role(model, Role.GRADIENT)),
)
GRADIENTS_MASKED = Fact(
    "masks the gradients of all masked layers",
    "has masked layers without a gradient mask",
    "insert_gradient_masks",
    _masks_gradients,
)
OPTIMIZER = Fact("has an optimizer", "has no optimizer", "attach_optimizer", _has_optimizer)
PRUNED = Fact("masks no gradient twice", "masks gradients twice", "prune_backward", _masks_gradients_once)
STEPPED = Fact("has replaced ReLU gradients", "has no replaced ReLU gradients", "replace_relu_gradients", _has_steps)
MOVING = Fact("moves its parameters", "does not move its parameters", "update_in_backward", _moves_parameters)
CONSTANT = Fact("has constant weights", "has weights that may change", "freeze_state", _is_constant)

FACTS = (
    MARKED,
    HELD,
    NUMBERED,
    MASKED,
    CHANNELS,
    LOSS,
    DIFFERENTIATED,
    ACCUMULATING,
    GRADIENTS_MASKED,
    OPTIMIZER,
    PRUNED,
    STEPPED,
    MOVING,
    CONSTANT,
)
"""All facts, in the order in which a compilation makes them true."""
