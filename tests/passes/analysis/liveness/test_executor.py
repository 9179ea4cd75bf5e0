import onnx_ir as ir
import pytest

from sparcl_compile.interface.errors import FieldError
from sparcl_compile.passes.analysis.liveness.executor import EXECUTORS, executor_of
from sparcl_compile.passes.analysis.liveness.workspaces import WORKSPACES
from sparcl_compile.settings.options import CompileOptions
from sparcl_compile.targets import choice, work


def test_an_unknown_build_is_refused() -> None:
    with pytest.raises(FieldError) as refused:
        executor_of("stick")
    assert str(refused.value) == "`executor` stick: is no build of ONNX Runtime; give stock or training-build"


def test_every_target_names_a_build() -> None:
    assert choice.EXECUTORS.keys() == choice.TARGETS.keys()
    assert set(choice.EXECUTORS.values()) == EXECUTORS.keys()


@pytest.mark.parametrize("target", choice.TARGETS)
def test_the_passes_that_schedule_take_it(target: str) -> None:
    options = CompileOptions(target=target)
    made = [work.MAKERS[one](None, options) for one in (work.OrderBackward, work.RecomputeActivations)]  # type: ignore[arg-type]
    assert [one.executor for one in made] == [choice.EXECUTORS[target]] * 2  # type: ignore[attr-defined]


def node(op: str, *shapes: list[int], **attributes: list[int]) -> ir.Node:
    values = [ir.Value(shape=ir.Shape(shape), type=ir.TensorType(ir.DataType.FLOAT)) for shape in shapes]
    made = ir.node(op, values, attributes)
    made.outputs[0].shape, made.outputs[0].type = values[0].shape, values[0].type
    return made


@pytest.mark.parametrize(
    ("one", "taken"),
    [
        (node("Conv", [1, 8, 32, 32], [8, 8, 3, 3]), 65536),
        (node("Conv", [1, 8, 32, 32], [16, 8, 1, 1]), 0),
        (node("Conv", [1, 8, 32, 32], [16, 8, 1, 1], strides=[2, 2]), 65536),
        (node("ConvTranspose", [1, 16, 16, 16], [16, 8, 3, 3]), 73728),
        (node("Sum", *[[32, 64, 64]] * 3), 524288),
        (node("Sum", *[[32, 64, 64]] * 2), 0),
    ],
)
def test_workspaces_are_those_that_were_measured(one: ir.Node, taken: int) -> None:
    """In onnxruntime 1.32.0, with an allocator that counts."""
    assert WORKSPACES[one.op_type](one) == taken
