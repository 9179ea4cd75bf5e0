"""The gradients of one operator by its rule, by PyTorch's autograd and by ONNX Runtime's builder."""

import dataclasses
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
import torch
from hypothesis import settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from sparcl_compile.interface.onnx_runtime import has_training_build
from sparcl_compile.passes.core.contract import IR_VERSION
from sparcl_compile.passes.core.edit import Names
from sparcl_compile.passes.core.insert import Inserter
from sparcl_compile.passes.core.operators import SPARSE_DOMAIN
from sparcl_compile.passes.differentiating.ort_training.differentiate_by_builder import silent_stderr
from sparcl_compile.passes.gradients.gradient import Gradient
from sparcl_compile.passes.gradients.table import rule_for

TOLERANCE = 1e-4
FEW = settings(max_examples=8, deadline=None, derandomize=True, database=None)
"""For properties: the same few examples every time."""
BATCH = "N"
Arrays = Sequence[np.ndarray | None]
Reference = Callable[..., Any]


@dataclasses.dataclass(frozen=True)
class Operator:
    """One operator with its inputs.

    Attributes:
        op_type: operator of opset 18.
        inputs: arrays, None for one that is left out; float32 ones get a gradient.
        attributes: Python values.
        fixed: numbers of the inputs that are constants of the graph.
        batch: by input the axis whose length is symbolic.
        outputs: number of outputs.
        through: numbers of the outputs that the loss depends on.
    """

    op_type: str
    inputs: Arrays
    attributes: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    fixed: tuple[int, ...] = ()
    batch: Mapping[int, int] = dataclasses.field(default_factory=lambda: {0: 0})
    outputs: int = 1
    through: tuple[int, ...] = (0,)

    @property
    def trained(self) -> list[int]:
        """The inputs whose gradients are asked for."""
        given = ((n, a) for n, a in enumerate(self.inputs) if a is not None)
        return [n for n, a in given if a.dtype == np.float32 and n not in self.fixed]

    def forward(self) -> onnx.ModelProto:
        """The operator as a model whose first outputs are its own."""
        names = [f"i{n}" if a is not None else "" for n, a in enumerate(self.inputs)]
        node = helper.make_node(
            self.op_type, names, [f"o{n}" for n in range(self.outputs)], "tried", **dict(self.attributes)
        )
        infos = [
            helper.make_tensor_value_info(names[n], helper.np_dtype_to_tensor_dtype(a.dtype), self._shape(n, a))
            for n, a in enumerate(self.inputs)
            if a is not None and n not in self.fixed
        ]
        outs = [helper.make_empty_tensor_value_info(f"o{n}") for n in range(self.outputs)]
        stored = [numpy_helper.from_array(self.inputs[n], names[n]) for n in self.fixed]
        graph = helper.make_graph([node], "tried", infos, outs, stored)
        made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=IR_VERSION)
        return onnx.shape_inference.infer_shapes(made, strict_mode=True, data_prop=True)

    def _shape(self, number: int, array: np.ndarray) -> list[Any]:
        axis = self.batch.get(number)
        return [BATCH if place == axis else length for place, length in enumerate(array.shape)]

    def feeds(self) -> dict[str, np.ndarray]:
        """The inputs that are fed."""
        return {f"i{n}": a for n, a in enumerate(self.inputs) if a is not None and n not in self.fixed}


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    """Random numbers."""
    return np.asarray(np.random.default_rng([seed, *shape]).normal(size=shape), np.float32)


def positive(*shape: int, seed: int = 0) -> np.ndarray:
    """Random numbers between 1/2 and about 4."""
    return np.asarray(np.abs(normal(*shape, seed=seed)) + np.float32(0.5))


def tied(*shape: int, seed: int = 0) -> np.ndarray:
    """Random numbers among the halves from -1 to 1, many of which are equal."""
    return np.asarray(np.random.default_rng([seed, *shape]).integers(-2, 3, size=shape) / 2, np.float32)


def spread(*shape: int, seed: int = 0) -> np.ndarray:
    """Random numbers no two of which are near each other, and none near 0."""
    places = np.random.default_rng([seed, *shape]).permutation(math.prod(shape)) - math.prod(shape) // 2
    return ((places + 0.5) / 4).astype(np.float32).reshape(shape)


SEEDS = st.integers(0, 10**6)
LENGTHS = st.integers(1, 4)
SHAPES = st.lists(LENGTHS, min_size=0, max_size=3).map(lambda rest: (3, *rest))
"""Shapes of 1 to 4 axes, the first of which is the batch."""


@st.composite
def broadcast(draw: st.DrawFn, count: int = 2) -> list[tuple[int, ...]]:
    """Shapes that are broadcast to one another; the first that has all axes has the batch at its front."""
    shape = draw(SHAPES)
    found = [
        tuple(1 if draw(st.booleans()) else n for n in shape[draw(st.integers(0, len(shape))) :]) for _ in range(count)
    ]
    full = draw(st.integers(0, count - 1))
    return [shape if number == full else one for number, one in enumerate(found)]


def batch_of(shapes: Sequence[tuple[int, ...]]) -> dict[int, int]:
    """By input the axis of the batch, for shapes that are broadcast to one another."""
    rank = max(len(shape) for shape in shapes)
    return {number: 0 for number, shape in enumerate(shapes) if len(shape) == rank and shape[0] == 3}


def run(proto: onnx.ModelProto, feeds: Mapping[str, np.ndarray], names: Sequence[str]) -> list[np.ndarray]:
    """Values of a model by ONNX Runtime, on one thread."""
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    session = ort.InferenceSession(proto.SerializeToString(), options)
    wanted = {one.name for one in session.get_inputs()}
    return list(session.run(list(names), {name: array for name, array in feeds.items() if name in wanted}))


def backward(operator: Operator, shapes: Sequence[Sequence[int]]) -> ir.Model:
    """The operator's graph with the gradients ``g0``, ``g1``, ... of its inputs from those of its outputs.

    Args:
        operator: what is tried.
        shapes: of the outputs as they were computed, for those that shape inference leaves open.
    """
    model = ir.from_proto(operator.forward())
    graph, (node,) = model.graph, list(model.graph)
    for out, shape in zip(node.outputs, shapes, strict=True):
        open_shape = out.shape is None or sum(not isinstance(d, int) for d in out.shape) > 1
        out.shape = ir.Shape(_with_batch(operator, shape)) if open_shape else out.shape
    given = [
        ir.Value(name=f"d{n}", shape=out.shape, type=ir.TensorType(ir.DataType.FLOAT))
        if n in operator.through
        else None
        for n, out in enumerate(node.outputs)
    ]
    graph.inputs.extend(value for value in given if value is not None)
    insert = Inserter("tried", graph, Names(graph))
    rule = rule_for(node)
    assert rule is not None, operator.op_type
    made = rule(Gradient(insert, node, given, operator.trained))
    for number in operator.trained:
        found = made[number]
        assert found is not None
        of = node.inputs[number]
        assert of is not None
        out = insert.op("Identity", found, name=f"g{number}", like=of)
        graph.outputs.append(out)
    assert {one.domain for one in graph} <= {"", SPARSE_DOMAIN}
    return model


def _with_batch(operator: Operator, shape: Sequence[int]) -> list[int | str]:
    lengths = [
        a.shape[operator.batch[n]] for n, a in enumerate(operator.inputs) if a is not None and n in operator.batch
    ]
    return [BATCH if lengths and length == lengths[0] and place == 0 else length for place, length in enumerate(shape)]


def values(operator: Operator) -> list[np.ndarray]:
    """The outputs."""
    return run(operator.forward(), operator.feeds(), [f"o{n}" for n in range(operator.outputs)])


def directions(operator: Operator, made: Arrays, seed: int = 0) -> dict[int, np.ndarray]:
    """A random gradient for each output that the loss depends on."""
    random = np.random.default_rng(seed)
    return {n: random.normal(size=made[n].shape).astype(np.float32) for n in operator.through}  # type: ignore[union-attr]


def by_rule(operator: Operator, along: Mapping[int, np.ndarray]) -> list[np.ndarray]:
    """The gradients by our rule, of each input that is trained."""
    made = values(operator)
    proto = ir.to_proto(backward(operator, [a.shape for a in made]))
    onnx.checker.check_model(proto, full_check=True)
    feeds = {**operator.feeds(), **{f"d{n}": a for n, a in along.items()}}
    return run(proto, feeds, [f"g{n}" for n in operator.trained])


def by_torch(operator: Operator, function: Reference, along: Mapping[int, np.ndarray]) -> list[np.ndarray]:
    """The gradients by PyTorch's autograd, in float64.

    Args:
        operator: what is tried.
        function: takes the inputs that are given as tensors; returns the output, or several.
        along: gradients of the outputs.
    """
    tensors = [None if a is None else torch.from_numpy(np.array(a, _wide(a.dtype))) for a in operator.inputs]
    for number in operator.trained:
        tensors[number].requires_grad_()  # type: ignore[union-attr]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        out = function(*(tensor for tensor in tensors if tensor is not None))
    several = out if isinstance(out, tuple | list) else (out,)
    loss = sum((several[n] * torch.from_numpy(a.astype(np.float64))).sum() for n, a in along.items())
    found = torch.autograd.grad(loss, [tensors[n] for n in operator.trained], allow_unused=True)
    return [
        np.zeros(operator.inputs[n].shape) if one is None else one.numpy()  # type: ignore[union-attr]
        for n, one in zip(operator.trained, found, strict=True)
    ]


def by_builder(operator: Operator, along: Mapping[int, np.ndarray]) -> list[np.ndarray]:
    """The gradients by ONNX Runtime's builder."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from onnxruntime.training.onnxblock import _training_graph_utils as builder
    proto = operator.forward()
    total = ""
    for number in along:
        proto.graph.input.add(name=f"d{number}").type.CopyFrom(_float(along[number].ndim))
        proto.graph.node.append(helper.make_node("Mul", [f"o{number}", f"d{number}"], [f"m{number}"], f"m{number}"))
        proto.graph.node.append(helper.make_node("ReduceSum", [f"m{number}"], [f"s{number}"], f"s{number}", keepdims=0))
        if total:
            proto.graph.node.append(helper.make_node("Add", [total, f"s{number}"], [f"t{number}"], f"t{number}"))
        total = f"t{number}" if total else f"s{number}"
    proto.graph.output.insert(0, helper.make_tensor_value_info(total, TensorProto.FLOAT, []))
    wanted = {f"i{n}" for n in operator.trained}
    with silent_stderr():
        training, _ = builder.build_gradient_graph(proto, wanted, set(), [one.name for one in proto.graph.output])
    feeds = {**operator.feeds(), **{f"d{n}": a for n, a in along.items()}, f"{total}_grad": np.ones([], np.float32)}
    with silent_stderr():
        return run(training, feeds, [f"i{n}_grad" for n in operator.trained])


def by_differences(operator: Operator, along: Mapping[int, np.ndarray], step: float = 1e-6) -> list[np.ndarray]:
    """The gradients by central differences of onnx.reference in float64, one element after the other."""
    evaluator = ReferenceEvaluator(operator.forward())
    wide = {name: np.array(array, _wide(array.dtype)) for name, array in operator.feeds().items()}

    def loss() -> float:
        made = evaluator.run(None, wide)
        return float(sum((made[n].astype(np.float64) * a).sum() for n, a in along.items()))

    found = []
    for number in operator.trained:
        array, gradient = wide[f"i{number}"], np.zeros(operator.inputs[number].shape)  # type: ignore[union-attr]
        for place in np.ndindex(array.shape):
            kept = array[place]
            array[place] = kept + step
            above = loss()
            array[place] = kept - step
            gradient[place] = (above - loss()) / (2 * step)
            array[place] = kept
        found.append(gradient)
    return found


def assert_close(got: Sequence[np.ndarray], expected: Sequence[np.ndarray], what: str) -> None:
    """Every gradient to 1e-4 of its largest element."""
    for number, (one, other) in enumerate(zip(got, expected, strict=True)):
        assert one.shape == other.shape, f"{what}: gradient {number}"
        assert np.isfinite(one).all(), f"{what}: gradient {number}"
        error = np.abs(one - other).max(initial=0.0) / max(1.0, np.abs(other).max(initial=0.0))
        assert error < TOLERANCE, f"{what}: gradient {number} differs by {error:.2e}"


def check(operator: Operator, function: Reference | None, *, builder: bool = True, seed: int = 0) -> None:
    """Our rule against PyTorch, or differences where it has no such operator, and against the builder where it is."""
    along = directions(operator, values(operator), seed)
    got = by_rule(operator, along)
    if function is not None:
        assert_close(got, by_torch(operator, function, along), f"{operator.op_type} and PyTorch")
    else:
        assert_close(got, by_differences(operator, along), f"{operator.op_type} and differences")
    if builder and has_training_build():
        assert_close(got, by_builder(operator, along), f"{operator.op_type} and the builder")


def _wide(dtype: np.dtype) -> np.dtype:
    return np.dtype(np.float64) if dtype == np.float32 else dtype


def _float(rank: int) -> onnx.TypeProto:
    return helper.make_tensor_type_proto(TensorProto.FLOAT, [None] * rank)
