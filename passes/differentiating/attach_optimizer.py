"""The optimizer's update of one parameter as a function of the model: SGD or AdamW in standard ops."""

import dataclasses
from collections.abc import Mapping

import onnx_ir as ir

from sparcl_compile.interface.ranges import check_choice, check_not_negative, check_share
from sparcl_compile.passes.core.contract import OPSET, Pass
from sparcl_compile.passes.core.facts import MARKED, MOVING, OPTIMIZER
from sparcl_compile.passes.core.marks import OPTIMIZER_KEY
from sparcl_compile.passes.core.operators import OPTIMIZER_DOMAIN
from sparcl_compile.passes.core.phases import Phase

SGD = """
<opset_import: ["" : {opset}], domain: "sparcl.optimizer">
step (w, g, u, unit, learning_rate, count) => (w_next) {{
  scaled = Mul (learning_rate, g)
  w_next = Sub (w, scaled)
}}"""

# torch.optim.SGD: g += decay * w; m = momentum * m + g; w -= lr * m. Only weights with u = 1 move (DGM).
SGD_MOMENTUM = """
<opset_import: ["" : {opset}], domain: "sparcl.optimizer">
step (w, g, u, unit, learning_rate, count, momentum) => (w_next, momentum_next) {{
  decay_0 = Constant <value_float: float = {weight_decay}> ()
  decay = Mul (decay_0, unit)
  friction_0 = Constant <value_float: float = {momentum}> ()
  friction = Mul (friction_0, unit)
  decayed = Mul (decay, w)
  gradient = Add (g, decayed)
  kept = Mul (friction, momentum)
  momentum_next = Add (kept, gradient)
  scaled = Mul (learning_rate, momentum_next)
  update = Mul (scaled, u)
  w_next = Sub (w, update)
}}"""

# Loshchilov and Hutter, ICLR 2019, algorithm 2, with torch.optim.AdamW's order of operations. count is t, from 1.
# The bias corrections are computed in double: 1 - 0.999 has four correct digits in float.
ADAMW = """
<opset_import: ["" : {opset}], domain: "sparcl.optimizer">
step (w, g, u, unit, learning_rate, count, exp_avg, exp_avg_sq) => (w_next, exp_avg_next, exp_avg_sq_next) {{
  beta1_0 = Constant <value_float: float = 0.9> ()
  beta1 = Mul (beta1_0, unit)
  beta2_0 = Constant <value_float: float = 0.999> ()
  beta2 = Mul (beta2_0, unit)
  rest1_0 = Constant <value_float: float = 0.1> ()
  rest1 = Mul (rest1_0, unit)
  rest2_0 = Constant <value_float: float = 0.001> ()
  rest2 = Mul (rest2_0, unit)
  epsilon_0 = Constant <value_float: float = 1e-8> ()
  epsilon = Mul (epsilon_0, unit)
  decay_0 = Constant <value_float: float = {weight_decay}> ()
  decay = Mul (decay_0, unit)
  old1 = Mul (beta1, exp_avg)
  new1 = Mul (rest1, g)
  exp_avg_next = Add (old1, new1)
  squared = Mul (g, g)
  old2 = Mul (beta2, exp_avg_sq)
  new2 = Mul (rest2, squared)
  exp_avg_sq_next = Add (old2, new2)
  exact = Cast <to: int = 11> (count)
  exact1 = Constant <value: tensor = double {{0.9}}> ()
  exact2 = Constant <value: tensor = double {{0.999}}> ()
  exact_one = Constant <value: tensor = double {{1.0}}> ()
  power1 = Pow (exact1, exact)
  power2 = Pow (exact2, exact)
  rest_exact1 = Sub (exact_one, power1)
  rest_exact2 = Sub (exact_one, power2)
  correction1_0 = Cast <to: int = 1> (rest_exact1)
  correction1 = Mul (correction1_0, unit)
  correction2_0 = Cast <to: int = 1> (rest_exact2)
  correction2 = Mul (correction2_0, unit)
  mean = Div (exp_avg_next, correction1)
  variance = Div (exp_avg_sq_next, correction2)
  deviation = Sqrt (variance)
  denominator = Add (deviation, epsilon)
  direction = Div (mean, denominator)
  decayed = Mul (decay, w)
  total = Add (direction, decayed)
  scaled = Mul (learning_rate, total)
  update = Mul (scaled, u)
  w_next = Sub (w, update)
}}"""

TEMPLATES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "sgd": (SGD, ()),
    "sgd_momentum": (SGD_MOMENTUM, ("momentum",)),
    "adamw": (ADAMW, ("exp_avg", "exp_avg_sq")),
}
"""Function text and the names of the per-parameter state of each optimizer."""


@dataclasses.dataclass(frozen=True)
class AttachOptimizer(Pass):
    """Give the model the function ``sparcl.optimizer::step`` that updates one parameter.

    1. The function takes ``w, g, u, unit, learning_rate, count`` and the optimizer's state, and returns the next
       values: ``u`` is 1 where the weight may move (DGM updates only those, with momentum as well), ``count`` the step
       from 1.
    2. It is a function, not nodes of the training graph, because one optimizer step follows several accumulated
       micro-steps; ``emit`` applies it to every parameter in a graph of its own.
    3. It is standard ops, not ORT's AdamWOptimizer: that one would move masked weights by what is left of their
       momentum, and its state cannot be reached when a mask update must clear it.
    4. SGD without momentum and weight decay is its own, shorter function: one walk over the weights.
    5. ``learning_rate`` and ``unit``, a 1 that every other scalar is multiplied by, have as many axes as ``w``: ONNX
       Runtime broadcasts a scalar over a tensor whose last axis is 1, such as the weight of a 1x1 convolution, element
       by element, at seventy times the cost.
    6. A model that has the function is left alone.

    Options:
        optimizer: ``sgd`` or ``adamw``.
        momentum: for sgd, in [0, 1).
        weight_decay: added to the gradient for sgd (L2), decoupled for adamw; not negative.
    """

    phase = Phase.DIFFERENTIATING
    needs = (MARKED,)
    before = (MOVING,)
    gives = (OPTIMIZER,)

    optimizer: str = "sgd"
    momentum: float = 0.0
    weight_decay: float = 0.0

    @property
    def variant(self) -> str:
        """The name in ``TEMPLATES``."""
        return "sgd_momentum" if self.optimizer == "sgd" and (self.momentum or self.weight_decay) else self.optimizer

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Attach the function. Raises FieldError for values out of range."""
        self._check()
        if any(key[0] == OPTIMIZER_DOMAIN for key in model.functions):
            return ir.passes.PassResult(model, False)
        text, _ = TEMPLATES[self.variant]
        function = _function(text.format(opset=OPSET, momentum=self.momentum, weight_decay=self.weight_decay))
        for node in function:
            self.tag(node)
        model.functions[function.identifier()] = function
        model.opset_imports[OPTIMIZER_DOMAIN] = 1
        model.metadata_props[OPTIMIZER_KEY] = self.variant
        return ir.passes.PassResult(model, True)

    def _check(self) -> None:
        check_choice("optimizer", self.optimizer, ("sgd", "adamw"))
        check_share("momentum", self.momentum, example=0.9)
        check_not_negative("weight_decay", self.weight_decay, example=0.0005)


def _function(text: str) -> ir.Function:
    """Parse one ONNX function by way of an otherwise empty model, which is what the text format can hold."""
    frame = f'<ir_version: 10, opset_import: ["" : {OPSET}, "{OPTIMIZER_DOMAIN}" : 1]> empty () => () {{ }}'
    return next(iter(ir.from_onnx_text(frame + text).functions.values()))


def optimizer_states(variant: str, weight: str) -> tuple[str, ...]:
    """Names of the optimizer state tensors of one parameter, for example ``("conv.weight.momentum",)``."""
    return tuple(f"{weight}.{state}" for state in TEMPLATES[variant][1])
