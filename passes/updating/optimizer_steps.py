"""The optimizer's function applied to parameters: what the optimizer graph and an updating training graph share."""

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from sparcl_compile.interface.names import NEXT, Role, accumulator_name, gradient_mask_name, long_steps_name
from sparcl_compile.passes.core.contract import Pass
from sparcl_compile.passes.core.layers import full_limit_steps, rate_factor, step_limit
from sparcl_compile.passes.core.marks import OPTIMIZER_KEY
from sparcl_compile.passes.core.operators import OPTIMIZER_DOMAIN
from sparcl_compile.passes.core.roles import set_role, values_with_role
from sparcl_compile.passes.core.values import BOOL, FLOAT, INT64, Feeds, constant, dims
from sparcl_compile.passes.differentiating.attach_optimizer import optimizer_states

FEEDS = ("learning_rate", "count")
TASK_STEP = "task_step"
MOMENTUM = "sgd_momentum"
"""The optimizer whose steps go on beyond the gradient that they came from."""


class Stepper:
    """Makes calls of the function that ``attach_optimizer`` gave a model, in this or another graph.

    Args:
        made_by: the pass whose nodes these are.
        model: the training model: its parameters, gradient masks and optimizer.
        graph: where the calls go; gets the inputs ``learning_rate`` and ``count``, and where limits fall ``task_step``,
            int64 [], the steps of the task before this one, and the state ``NAME.long_steps``.
    """

    def __init__(self, made_by: Pass, model: ir.Model, graph: ir.Graph) -> None:
        self._insert, self._graph = made_by.inserter(graph), graph
        self._variant = model.metadata_props[OPTIMIZER_KEY]
        self._masks = {str(value.name) for value in values_with_role(model, Role.GRADIENT_MASK)}
        self._feeds = Feeds(graph)
        self._rate, self._count = (self._feeds(name, []) for name in FEEDS)
        self._begun: ir.Value | None = None
        self._by_rank: dict[int, tuple[ir.Value, ir.Value]] = {}
        parameters = list(values_with_role(model, Role.PARAMETER))
        self._factors = {str(value.name): rate_factor(value) for value in parameters}
        self._limits = {str(value.name): step_limit(value) for value in parameters}
        self._full = {str(value.name): full_limit_steps(value) for value in parameters}

    def append_fed(self, name: str, shape: Sequence[int]) -> None:
        """Append the step of a parameter that is fed, as its accumulated gradient is."""
        self.append(self._feeds(name, shape), self._feeds(accumulator_name(name), shape))

    def append(self, weight: ir.Value, gradient: ir.Value) -> None:
        """Append the step of one parameter; ``NAME.next`` of it and of its optimizer state become graph outputs.

        Args:
            weight: an input of the graph, of static shape.
            gradient: of the same shape.
        """
        name, shape = str(weight.name), dims(weight)
        states = optimizer_states(self._variant, name)
        memory = [set_role(self._feeds(state, shape), Role.OPTIMIZER) for state in states]
        unit, rate = self._with_axes(len(shape))
        rate = self._scaled(rate, name, len(shape))
        if self._limits[name] is not None and self._variant == MOMENTUM:
            gradient = self._shortened(rate, gradient, name)
        else:
            rate = self._limited(rate, gradient, name)
        mask = gradient_mask_name(name)
        moves = self._feeds(mask, shape) if mask in self._masks else unit
        inputs = (weight, gradient, moves, unit, rate, self._count, *memory)
        step = self._insert.node("step", *inputs, name=f"{name}.step", domain=OPTIMIZER_DOMAIN, outputs=1 + len(states))
        for out, source in zip(step.outputs, (name, *states), strict=True):
            out.name, out.shape, out.type = f"{source}{NEXT}", weight.shape, weight.type
            self._graph.outputs.append(out)

    def _scaled(self, rate: ir.Value, name: str, rank: int) -> ir.Value:
        """The learning rate of one parameter, with as many axes."""
        factor = self._factors[name]
        if factor == 1.0:
            return rate
        by = constant(self._graph, f"{name}.rate", np.full([1] * rank, factor, np.float32))
        return self._insert.op("Mul", rate, by, name=f"{name}.learning_rate", shape=[1] * rank)

    def _limited(self, rate: ir.Value, gradient: ir.Value, name: str) -> ir.Value:
        """The learning rate of one parameter where its step is not too large, else the one of the largest step.

        A gradient of 0 has no limit: x / 0 is infinite.
        """
        if self._limits[name] is None:
            return rate
        most = self._most(rate, gradient, name)
        return self._insert.op("Min", rate, most, name=f"{name}.limited_rate", like=rate)

    def _shortened(self, rate: ir.Value, gradient: ir.Value, name: str) -> ir.Value:
        """The gradient of one parameter, shorter where its own step would be too large.

        Momentum would take a long one on into the next steps, whatever the rate of this one is.
        """
        op = self._insert.op
        share = op("Div", self._most(rate, gradient, name), rate, name=f"{name}.share", like=rate)
        one = constant(self._graph, f"{name}.whole", np.ones(dims(rate), np.float32))
        share = op("Min", share, one, name=f"{name}.limited_share", like=rate)
        return op("Mul", gradient, share, name=f"{name}.limited_gradient", like=gradient)

    def _most(self, rate: ir.Value, gradient: ir.Value, name: str) -> ir.Value:
        """The learning rate under which the step of a gradient has the largest norm."""
        shape, op = dims(rate), self._insert.op
        largest = constant(self._graph, f"{name}.limit", np.full(shape, self._limits[name], np.float32))
        norm = op("ReduceL2", gradient, name=f"{name}.step_norm", shape=shape, keepdims=1)
        most = op("Div", largest, norm, name=f"{name}.most", shape=shape)
        return self._fallen(most, rate, name) if self._full[name] else most

    def _fallen(self, most: ir.Value, rate: ir.Value, name: str) -> ir.Value:
        """The rate of the largest step after those of this task that were longer: ``NAME.long_steps`` counts them."""
        shape, op, count = dims(rate), self._insert.op, long_steps_name(name)
        before = set_role(self._feeds(count, shape), Role.OPTIMIZER)
        full = constant(self._graph, f"{name}.full_limit_steps", np.full(shape, self._full[name], np.float32))
        long = op("Less", most, rate, name=f"{name}.is_long", shape=shape, dtype=BOOL)
        one = op("Cast", long, name=f"{name}.long", shape=shape, dtype=FLOAT, to=int(ir.DataType.FLOAT))
        kept = op("Mul", before, self._in_task(), name=f"{name}.long_before", shape=shape)
        total = op("Add", kept, one, name=f"{count}{NEXT}", like=before)
        self._graph.outputs.append(total)
        long_or_full = op("Max", total, full, name=f"{name}.long_or_full", shape=shape)
        part = op("Div", full, long_or_full, name=f"{name}.part", shape=shape)
        return op("Mul", most, op("Sqrt", part, name=f"{name}.fall", shape=shape), name=f"{name}.fallen", shape=shape)

    def _in_task(self) -> ir.Value:
        """1, or 0 in the first step of a task, whose counts begin anew."""
        if self._begun is None:
            step = self._feeds(TASK_STEP, [], INT64)
            one = constant(self._graph, "one_step", np.array(1, np.int64))
            begun = self._insert.op("Min", step, one, name="steps_begun", shape=[], dtype=INT64)
            self._begun = self._insert.op(
                "Cast", begun, name="in_task", shape=[], dtype=FLOAT, to=int(ir.DataType.FLOAT)
            )
        return self._begun

    def _with_axes(self, rank: int) -> tuple[ir.Value, ir.Value]:
        """A 1 and the learning rate, with so many axes."""
        if rank not in self._by_rank:
            unit = constant(self._graph, f"unit_{rank}", np.ones([1] * rank, np.float32))
            name, shape = f"learning_rate_{rank}", [1] * rank
            rate = self._insert.op("Mul", self._rate, unit, name=name, shape=shape)
            self._by_rank[rank] = (unit, rate)
        return self._by_rank[rank]
